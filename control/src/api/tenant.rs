//! What the command line asks of tenants and their tunnels.

use std::time::Duration;

use super::answer::{Failure, blocking};
use super::dos::{one_of, prefixes_read, tenant_shown};
use super::message::{
    Answer, ProbeText, TenantListed, TenantRequest, TenantSeen, TenantText, Traffic, TunnelShown,
    TunnelText,
};
use super::{Api, Lines, rules};
use crate::desk::Desk;
use crate::dos::Count;
use crate::model::dos::{
    DONT_FRAGMENT, MODES, PROBE_STYLES, Probe, SYN_GUARDS, TUNNEL_STATES, TunnelState, word,
};
use crate::model::{Book, Change, Firewall, Origin, Refused, Tenant, Tunnel, unknown};

impl Api {
    pub(super) async fn tenant(
        &self,
        request: TenantRequest,
        lines: &mut Lines,
    ) -> Result<bool, Failure> {
        match request {
            TenantRequest::List => {
                let book = self.desk.book();
                for tenant in book.tenants_after(0) {
                    lines.put(&Answer::TenantListed(listed(&self.desk, &book, tenant))).await?;
                }
                Ok(false)
            }
            TenantRequest::Show { name } => {
                let book = self.desk.book();
                let shown = seen(&self.desk, &book, named(&book, &name)?);
                lines.put(&Answer::Tenant(Box::new(shown))).await?;
                Ok(false)
            }
            TenantRequest::Add(text) => {
                let tenant = blocking(move || asked(&text)).await?;
                self.change(move |_| Ok(vec![Change::AddTenant(tenant)])).await
            }
            TenantRequest::Remove { name } => {
                let remove = move |book: &Book| {
                    named(book, &name)?;
                    Ok(vec![Change::RemoveTenant(name.into())])
                };
                self.change(remove).await
            }
        }
    }

    pub(super) async fn tunnel_list(&self, lines: &mut Lines) -> Result<bool, Failure> {
        let book = self.desk.book();
        for tenant in book.tenants_after(0) {
            for tunnel in &tenant.tunnels {
                let shown = tunnel_shown(&self.desk, &book, tenant, tunnel);
                lines.put(&Answer::Tunnel(Box::new(shown))).await?;
            }
        }
        Ok(false)
    }
}

/// A tenant by its name, for those who say it.
pub(super) fn named<'a>(book: &'a Book, name: &str) -> Result<&'a Tenant, Refused> {
    let tenant = book.tenant_named(name).map(|tenant| &**tenant);
    tenant.ok_or_else(|| unknown("tenant", "tenant", name))
}

/// A tenant of the texts of a request.
fn asked(text: &TenantText) -> Result<Tenant, Refused> {
    let mut prefixes = prefixes_read(&text.prefixes)?;
    prefixes.sort_unstable();
    prefixes.dedup();
    let tunnels: Result<Box<[Tunnel]>, Refused> = text.tunnels.iter().map(tunnel).collect();
    Ok(Tenant {
        name: text.name.as_str().into(),
        id: 0,
        mode: one_of(&text.mode, "mode", &MODES)?,
        syn: one_of(&text.syn, "syn", &SYN_GUARDS)?,
        syn_above: text.syn_above,
        flows: text.flows,
        out_of_state: text.out_of_state,
        prefixes: prefixes.into(),
        tunnels: tunnels?,
        firewall: text.rules.as_ref().map(rules::read).transpose()?,
        origin: Origin::Cli,
    })
}

fn tunnel(text: &TunnelText) -> Result<Tunnel, Refused> {
    let of_tunnel = |refused: Refused| {
        let what = format!("tunnel {}: {}", text.name, refused.what);
        Refused { what, ..refused }
    };
    let probe = |probe: &ProbeText| {
        Ok(Probe {
            style: one_of(&probe.style, "probe", &PROBE_STYLES)?,
            local: probe.inside_local,
            remote: probe.inside_remote,
            interval: Duration::from_millis(probe.interval_ms),
        })
    };
    Ok(Tunnel {
        key: text.key,
        checksum: text.checksum,
        mtu: text.mtu,
        dont_fragment: one_of(&text.dont_fragment, "dont_fragment", &DONT_FRAGMENT)
            .map_err(of_tunnel)?,
        priority: text.priority,
        weight: text.weight,
        probe: text.probe.as_ref().map(probe).transpose().map_err(of_tunnel)?,
        ..Tunnel::new(&text.name, text.local, text.remote)
    })
}

fn listed(desk: &Desk, book: &Book, tenant: &Tenant) -> TenantListed {
    let is_up = |tunnel: &&Tunnel| {
        let standing = desk.transit().standing(tunnel.id);
        standing.is_some_and(|standing| standing.state != TunnelState::Down)
    };
    let ruleset = tenant.firewall.as_ref().map(Firewall::ruleset);
    TenantListed {
        name: tenant.name.to_string(),
        mode: word(&MODES, &tenant.mode).to_owned(),
        prefixes: tenant.prefixes.len(),
        tunnels: tenant.tunnels.len(),
        tunnels_up: tenant.tunnels.iter().filter(is_up).count(),
        rules: ruleset.map_or(0, |ruleset| ruleset.rules.len()),
        traffic: traffic(desk, tenant),
        origin: book.place(tenant.origin),
    }
}

fn seen(desk: &Desk, book: &Book, tenant: &Tenant) -> TenantSeen {
    let tunnels = tenant.tunnels.iter();
    TenantSeen {
        tenant: tenant_shown(book, tenant),
        traffic: traffic(desk, tenant),
        tunnels: tunnels.map(|tunnel| tunnel_shown(desk, book, tenant, tunnel)).collect(),
        ruleset: tenant.firewall.is_some().then(|| rules::shown(desk, book, tenant)),
    }
}

fn traffic(desk: &Desk, tenant: &Tenant) -> Traffic {
    let Count { packets, octets, dropped } = desk.transit().total(tenant.id);
    Traffic { passed: packets.saturating_sub(dropped), dropped, octets }
}

fn tunnel_shown(desk: &Desk, book: &Book, tenant: &Tenant, tunnel: &Tunnel) -> TunnelShown {
    let standing = desk.transit().standing(tunnel.id);
    let carried = desk.transit().carried(tunnel.id);
    let rtt = standing.map(|standing| standing.rtt).filter(|rtt| !rtt.is_zero());
    let since = standing.map(|standing| standing.since.as_secs());
    let [sent_packets, sent_octets] = carried.sent;
    let [received_packets, received_octets] = carried.received;
    TunnelShown {
        tunnel: tunnel.into(),
        tenant: tenant.name.to_string(),
        state: standing.map(|standing| word(&TUNNEL_STATES, &standing.state).to_owned()),
        since: since.filter(|since| *since != 0),
        rtt_us: rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
        probes_sent: standing.map_or(0, |standing| standing.sent),
        probes_answered: standing.map_or(0, |standing| standing.answered),
        sent_packets,
        sent_octets,
        received_packets,
        received_octets,
        origin: book.place(tunnel.origin),
    }
}

impl From<&Tunnel> for TunnelText {
    fn from(tunnel: &Tunnel) -> Self {
        let probe = |probe: &Probe| ProbeText {
            style: word(&PROBE_STYLES, &probe.style).to_owned(),
            inside_local: probe.local,
            inside_remote: probe.remote,
            interval_ms: u64::try_from(probe.interval.as_millis()).unwrap_or(u64::MAX),
        };
        Self {
            name: tunnel.name.to_string(),
            local: tunnel.local,
            remote: tunnel.remote,
            key: tunnel.key,
            checksum: tunnel.checksum,
            mtu: tunnel.mtu,
            dont_fragment: word(&DONT_FRAGMENT, &tunnel.dont_fragment).to_owned(),
            priority: tunnel.priority,
            weight: tunnel.weight,
            probe: tunnel.probe.as_ref().map(probe),
        }
    }
}
