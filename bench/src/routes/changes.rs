//! The time of one change: from the call until the new version is there, while the version before is still
//! held, as a worker holds it; and the time to free that one afterwards.

use std::net::IpAddr;

use dataplane::stages::route::{NextHop, Rib};
use dpdk::clock::cycles;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::{Plan, Snapshot, Version, table};
use crate::Failure;

/// What is changed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// An IPv4 prefix of the table leaves and comes back.
    Prefix4,
    /// An IPv6 prefix of the table leaves and comes back.
    Prefix6,
    /// A peer's IPv4 address leaves and comes back.
    Host4,
    /// A peer's IPv6 address leaves and comes back.
    Host6,
    /// A new peer: one address of each family, in one transaction.
    Peer,
    /// All prefixes of one next hop lead elsewhere.
    Redirect,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Prefix4, Self::Prefix6, Self::Host4, Self::Host6, Self::Peer, Self::Redirect];
}

/// Cycles of every change and of every release of a version.
#[derive(Debug, Serialize)]
pub(super) struct Changes {
    pub(super) kind: Kind,
    pub(super) insert: Vec<f64>,
    pub(super) remove: Vec<f64>,
    pub(super) free: Vec<f64>,
}

/// Makes the change and takes it back, as often as the plan says.
pub(super) fn measure(
    kind: Kind,
    rib: &mut Rib,
    prefixes: &Snapshot,
    plan: &Plan,
) -> Result<Changes, Failure> {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let of_family = |is_v4: bool| move |(net, _): &&(IpNet, NextHop)| net.addr().is_ipv4() == is_v4;
    let known: Vec<_> = match kind {
        Kind::Prefix4 => prefixes.iter().filter(of_family(true)).collect(),
        Kind::Prefix6 => prefixes.iter().filter(of_family(false)).collect(),
        Kind::Host4 | Kind::Host6 | Kind::Peer | Kind::Redirect => Vec::new(),
    };
    let mut found = Changes { kind, insert: Vec::new(), remove: Vec::new(), free: Vec::new() };
    let mut version = rib.publish();
    for _ in 0..plan.changes {
        let at = random.next_u32();
        let route = |at: u32| known.get(at as usize % known.len().max(1)).map(|route| **route);
        let peer = at % plan.hosts.max(1);
        let step = |gone| match kind {
            Kind::Prefix4 | Kind::Prefix6 => Step::one(route(at), gone),
            Kind::Host4 => {
                Step::one(Some((host(table::host4(peer).into()), NextHop::Client(peer))), gone)
            }
            Kind::Host6 => {
                Step::one(Some((host(table::host6(peer).into()), NextHop::Client(peer))), gone)
            }
            Kind::Peer => Step::peer(gone),
            Kind::Redirect => Step::redirect(at % plan.next_hops, gone),
        };
        found.remove.push(timed(rib, &step(true), &mut version, &mut found.free)?);
        found.insert.push(timed(rib, &step(false), &mut version, &mut found.free)?);
    }
    Ok(found)
}

enum Step {
    Change(Vec<(IpNet, Option<NextHop>)>),
    Redirect(NextHop, NextHop),
}

impl Step {
    fn one(route: Option<(IpNet, NextHop)>, gone: bool) -> Self {
        let route = route.map(|(net, next_hop)| (net, (!gone).then_some(next_hop)));
        Self::Change(route.into_iter().collect())
    }

    /// The addresses lie beside those of the other peers.
    fn peer(gone: bool) -> Self {
        let next_hop = (!gone).then_some(NextHop::Client(u32::MAX));
        let (four, six) = (table::host4(table::HOSTS_MAX - 1), table::host6(table::HOSTS_MAX));
        Self::Change(vec![(host(four.into()), next_hop), (host(six.into()), next_hop)])
    }

    fn redirect(which: u32, gone: bool) -> Self {
        let (one, other) = (NextHop::Client(which), NextHop::Client(u32::MAX));
        if gone { Self::Redirect(one, other) } else { Self::Redirect(other, one) }
    }
}

fn host(address: IpAddr) -> IpNet {
    match address {
        IpAddr::V4(address) => Ipv4Net::from(address).into(),
        IpAddr::V6(address) => Ipv6Net::from(address).into(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
fn timed(
    rib: &mut Rib,
    step: &Step,
    version: &mut Version,
    free: &mut Vec<f64>,
) -> Result<f64, Failure> {
    let start = cycles();
    match step {
        Step::Change(changes) => rib.change(changes).map_err(|error| format!("{error:?}"))?,
        Step::Redirect(from, to) => rib.redirect(*from, *to),
    }
    let next = rib.publish();
    let taken = (cycles() - start) as f64;
    let before = std::mem::replace(version, next);
    let start = cycles();
    drop(before);
    free.push((cycles() - start) as f64);
    Ok(taken)
}

/// Cycles of transactions with so many prefixes, drawn from the whole table.
#[derive(Debug, Serialize)]
pub(super) struct Transactions {
    pub(super) changes: usize,
    pub(super) insert: Vec<f64>,
    pub(super) remove: Vec<f64>,
}

/// Takes many prefixes away at once and puts them back.
pub(super) fn transactions(
    changes: usize,
    rib: &mut Rib,
    prefixes: &Snapshot,
    plan: &Plan,
) -> Result<Transactions, Failure> {
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut found = Transactions { changes, insert: Vec::new(), remove: Vec::new() };
    let mut version = rib.publish();
    for _ in 0..plan.builds {
        let start = random.next_u32() as usize % prefixes.len().max(1);
        // An odd stride over the table: no two alike, and all parts of it.
        let stride = (prefixes.len() / changes.max(1)).max(1) | 1;
        let drawn = prefixes.iter().cycle().skip(start).step_by(stride).take(changes);
        let back: Vec<_> = drawn.map(|(net, next_hop)| (*net, Some(*next_hop))).collect();
        let away = back.iter().map(|(net, _)| (*net, None)).collect();
        let mut free = Vec::new();
        found.remove.push(timed(rib, &Step::Change(away), &mut version, &mut free)?);
        found.insert.push(timed(rib, &Step::Change(back), &mut version, &mut free)?);
    }
    Ok(found)
}
