//! The client that turns hostile: it shakes hands as all others do, and then its session is an attack's.

use std::net::{Ipv4Addr, SocketAddr};

use wireguard::secret::Secret;
use wireguard::time::Instant;

use super::{Family, Moment, Swarm, identity};
use crate::attack;

/// Inner addresses that attacks from within need beside the client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hostile {
    /// An inner address of the server's kernel.
    pub local: Option<Ipv4Addr>,
    /// The inner address of a peer that has never called.
    pub silent: Option<Ipv4Addr>,
    /// The inner address of a peer with an endpoint where nobody answers.
    pub absent: Option<Ipv4Addr>,
    /// An inner destination without a route.
    pub unrouted: Ipv4Addr,
}

impl Swarm {
    /// Hands the session of the client behind the last one over, and the client ceases to act. None when it has no
    /// session, or the plan has no such client.
    pub fn lend(&mut self, moment: Moment) -> Option<attack::Client> {
        let plan = &self.shared.plan;
        let hostile = plan.hostile?;
        let number = plan.clients;
        let member = self.members.get_mut(number as usize)?;
        let mut tunnel = member.tunnel.take()?;
        let outgoing = tunnel.outgoing(moment.now).ok()?;
        let (secret, preshared) = identity::keys(plan, number);
        let inner = match plan.inner(number, Family::V4) {
            std::net::IpAddr::V4(inner) => inner,
            std::net::IpAddr::V6(_) => return None,
        };
        Some(attack::Client {
            secret,
            preshared,
            index: outgoing.header.receiver_index.get(),
            key: Secret::new(*outgoing.key.octets()),
            counters: attack::Counters::from(outgoing.header.counter.get()),
            outer: self.shared.places.of(number),
            mtu: OUTER_MTU,
            // What the client itself has sent is older.
            unix: moment.unix,
            inner,
            local: hostile.local,
            silent: hostile.silent,
            absent: hostile.absent,
            unrouted: hostile.unrouted,
        })
    }

    /// Lets the hostile client call anew, as if it had just been started.
    pub fn recall(&mut self, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) {
        if self.shared.plan.hostile.is_some() {
            self.call(self.shared.plan.clients, moment, out);
        }
    }

    /// Whether the hostile client can send now; true as well when there is none.
    pub fn hostile_connected(&self, now: Instant) -> bool {
        let Some(_) = self.shared.plan.hostile else { return true };
        let member = self.members.get(self.shared.plan.clients as usize);
        member.and_then(|member| member.tunnel.as_deref()?.current(now)).is_some()
    }

    /// The address of a stranger: the first of the swarm's in this family, with a port that no client has.
    pub fn stranger(&self, is_ipv4: bool) -> Option<SocketAddr> {
        let plan = &self.shared.plan;
        let row = plan.outer.iter().find(|row| row.first.is_ipv4() == is_ipv4)?;
        Some(SocketAddr::new(row.first, plan.first_port.saturating_sub(1).max(1)))
    }
}

/// Largest outer packet of the client's path, octets.
const OUTER_MTU: u16 = 1500;
