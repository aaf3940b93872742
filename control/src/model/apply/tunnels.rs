//! The rules of tunnels.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use shm::limits::{
    PROBE_INTERVAL_MAX_MS, PROBE_INTERVAL_MIN_MS, TUNNEL_MTU_MAX, TUNNEL_MTU_MIN,
    TUNNEL_WEIGHT_MAX, TUNNELS_MAX,
};

use super::{Applying, wrong_name};
use crate::model::dos::{Probe, TUNNEL_NAME_LEN_MAX};
use crate::model::{Cause, Refused, Tenant, Tunnel};

/// The least that IPv6 must be carried in (RFC 8200 5).
const IPV6_MTU_MIN: u16 = 1280;

impl Applying<'_> {
    /// What each tunnel says by itself, and all of one tenant together.
    pub(super) fn check_tunnels(&self, tenant: &Tenant) -> Result<(), Refused> {
        let (mut names, mut ends) = (HashSet::new(), HashMap::new());
        for tunnel in &tenant.tunnels {
            if let Some((field, what)) = wrong_tunnel(tunnel, tenant) {
                return Err(self.wrong_tunnel(Cause::Invalid, tunnel, field, &what));
            }
            if !names.insert(&*tunnel.name) {
                let what = format!("tenant {} has it twice; choose another", tenant.name);
                return Err(self.wrong_tunnel(Cause::Conflict, tunnel, "name", &what));
            }
            if let Some(other) = ends.insert(tunnel.ends(), &*tunnel.name) {
                return Err(self.same_ends(tunnel, other));
            }
        }
        Ok(())
    }

    /// Gives tunnels their ids: one whose name the tenant has had keeps its own.
    pub(super) fn number_tunnels(&mut self, old: Option<&Tenant>, tenant: &mut Tenant) {
        let known: HashMap<&str, u32> = old.map_or_else(HashMap::new, |old| {
            old.tunnels.iter().map(|tunnel| (&*tunnel.name, tunnel.id)).collect()
        });
        let mut given: HashSet<u32> = HashSet::new();
        for tunnel in &mut tenant.tunnels {
            let is_free = |id: u32| id != 0 && !self.book.tunnels.contains(&id);
            tunnel.id = match (known.get(&*tunnel.name), tunnel.id) {
                (Some(id), _) => *id,
                (None, id) if is_free(id) && !given.contains(&id) => id,
                (None, _) => self.book.next_tunnel_id(),
            };
            given.insert(tunnel.id);
            self.book.skip_tunnel_ids(tunnel.id);
        }
    }

    /// Takes names and ends that no other tunnel may have.
    pub(super) fn take_tunnels(&mut self, tenant: &Tenant) -> Result<(), Refused> {
        for tunnel in &tenant.tunnels {
            if let Some(other) = self.book.tunnel_names.insert(Arc::clone(&tunnel.name), tunnel.id)
            {
                let owner = self.book.tunnel(other).map(|(owner, other)| {
                    let place = self.book.place(other.origin);
                    format!("tenant {} has it already ({place}); choose another", owner.name)
                });
                let what = owner.unwrap_or_default();
                return Err(self.wrong_tunnel(Cause::Conflict, tunnel, "name", &what));
            }
            if let Some(other) = self.book.tunnel_ends.insert(tunnel.ends(), tunnel.id) {
                let other = self.book.tunnel(other).map(|(owner, other)| {
                    let place = self.book.place(other.origin);
                    format!("{} of tenant {} ({place})", other.name, owner.name)
                });
                return Err(self.same_ends(tunnel, &other.unwrap_or_default()));
            }
            self.book.tunnels.insert(tunnel.id, tenant.id);
        }
        Ok(())
    }

    /// Frees them, unless another one has them by now.
    pub(super) fn free_tunnels(&mut self, tenant: &Tenant) {
        for tunnel in &tenant.tunnels {
            if self.book.tunnel_names.get(&*tunnel.name) == Some(&tunnel.id) {
                self.book.tunnel_names.remove(&*tunnel.name);
            }
            if self.book.tunnel_ends.get(&tunnel.ends()) == Some(&tunnel.id) {
                self.book.tunnel_ends.remove(&tunnel.ends());
            }
            if self.book.tunnels.get(&tunnel.id) == Some(&tenant.id) {
                self.book.tunnels.remove(&tunnel.id);
            }
        }
    }

    pub(super) fn check_room_for_tunnels(&self) -> Result<(), Refused> {
        let tunnels = self.book.tunnels.len();
        if tunnels > TUNNELS_MAX {
            let what = format!("{tunnels} tunnels, and {TUNNELS_MAX} are taken; remove some");
            return Err(Refused::new(Cause::Full, what));
        }
        Ok(())
    }

    pub(super) fn wrong_tunnel(
        &self,
        cause: Cause,
        tunnel: &Tunnel,
        field: &str,
        what: &str,
    ) -> Refused {
        let what = format!("tunnel {}: {what}", tunnel.name);
        self.wrong(cause, tunnel.origin, field, what)
    }

    fn same_ends(&self, tunnel: &Tunnel, other: &str) -> Refused {
        let what = format!(
            "has the same local and remote address and key as {other}, and nothing would tell their packets apart; \
             give it another key"
        );
        self.wrong_tunnel(Cause::Conflict, tunnel, "key", &what)
    }
}

fn wrong_tunnel(tunnel: &Tunnel, tenant: &Tenant) -> Option<(&'static str, String)> {
    if let Some(what) = wrong_name(&tunnel.name) {
        return Some(("name", what));
    }
    if tunnel.name.len() > TUNNEL_NAME_LEN_MAX {
        let what = format!("a tunnel's name has up to {TUNNEL_NAME_LEN_MAX} octets; shorten it");
        return Some(("name", what));
    }
    wrong_ends((tunnel.local, "local"), (tunnel.remote, "remote"))
        .or_else(|| wrong_sizes(tunnel, tenant))
        .or_else(|| tunnel.probe.as_ref().and_then(wrong_probe))
}

/// Two addresses between which nothing can go.
fn wrong_ends(
    (local, local_field): (IpAddr, &'static str),
    (remote, remote_field): (IpAddr, &'static str),
) -> Option<(&'static str, String)> {
    for (address, field) in [(local, local_field), (remote, remote_field)] {
        if !is_of_one(address) {
            return Some((field, format!("{address} is no address of one machine; mend it")));
        }
    }
    if local.is_ipv4() != remote.is_ipv4() {
        let what = format!("{remote} is of another family than {local}; take two of one family");
        return Some((remote_field, what));
    }
    if local == remote {
        let what = format!("{remote} is the address of both ends; name the other end's");
        return Some((remote_field, what));
    }
    None
}

fn is_of_one(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !address.is_unspecified() && !address.is_multicast() && !address.is_loopback() && !is_broadcast
}

fn wrong_sizes(tunnel: &Tunnel, tenant: &Tenant) -> Option<(&'static str, String)> {
    let (mtu, weight) = (tunnel.mtu, tunnel.weight);
    if mtu != 0 && !(TUNNEL_MTU_MIN..=TUNNEL_MTU_MAX).contains(&mtu) {
        let what = format!("{mtu} is beyond {TUNNEL_MTU_MIN} to {TUNNEL_MTU_MAX}; mend it");
        return Some(("mtu", what));
    }
    let has_v6 = tenant.prefixes.iter().any(|prefix| matches!(prefix, IpNet::V6(_)));
    if mtu != 0 && mtu < IPV6_MTU_MIN && has_v6 {
        let what = format!("{mtu} is too little for the tenant's IPv6, which needs {IPV6_MTU_MIN}");
        return Some(("mtu", what + "; raise it"));
    }
    if !(1..=TUNNEL_WEIGHT_MAX).contains(&weight) {
        return Some(("weight", format!("{weight} is beyond 1 to {TUNNEL_WEIGHT_MAX}; mend it")));
    }
    None
}

fn wrong_probe(probe: &Probe) -> Option<(&'static str, String)> {
    let ends = wrong_ends((probe.local, "inside_local"), (probe.remote, "inside_remote"));
    ends.or_else(|| {
        let ms = probe.interval.as_millis();
        let bounds = u128::from(PROBE_INTERVAL_MIN_MS)..=u128::from(PROBE_INTERVAL_MAX_MS);
        let what =
            format!("{ms} is beyond {PROBE_INTERVAL_MIN_MS} to {PROBE_INTERVAL_MAX_MS}; mend it");
        (!bounds.contains(&ms)).then_some(("interval_ms", what))
    })
}
