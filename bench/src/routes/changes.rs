//! The time of one change: from the call until the new version is there, while the version before is still
//! held, as a worker holds it; and the time to free that one afterwards.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::stages::route::{NextHop, Rib};
use dpdk::clock::cycles;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Plan, Snapshot, Version, table};
use crate::Failure;

/// What is changed.
#[derive(Clone, Copy, Debug)]
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
    /// The worst: half of IPv4 gets a prefix around all that is in it.
    Wide4,
    /// The same for all of IPv6 that is in use.
    Wide6,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Prefix4,
        Self::Prefix6,
        Self::Host4,
        Self::Host6,
        Self::Peer,
        Self::Redirect,
        Self::Wide4,
        Self::Wide6,
    ];

    const fn is_wide(self) -> bool {
        matches!(self, Self::Wide4 | Self::Wide6)
    }

    /// Whether it is about routes that the table does not have.
    const fn is_new(self) -> bool {
        self.is_wide() || matches!(self, Self::Peer)
    }
}

/// 128.0.0.0/1 or `2000::/3`.
fn wide(is_four: bool) -> IpNet {
    let (four, six) = (Ipv4Addr::new(128, 0, 0, 0), Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0));
    if is_four { Ipv4Net::new_assert(four, 1).into() } else { Ipv6Net::new_assert(six, 3).into() }
}

/// Cycles of every change and of every release of a version.
#[derive(Debug)]
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
    let of_kind = |net: &IpNet| match kind {
        Kind::Prefix4 => net.addr().is_ipv4(),
        Kind::Prefix6 => net.addr().is_ipv6(),
        Kind::Host4 | Kind::Host6 | Kind::Peer | Kind::Redirect | Kind::Wide4 | Kind::Wide6 => {
            false
        }
    };
    let known: Vec<_> = prefixes.iter().copied().filter(|(net, _)| of_kind(net)).collect();
    let mut found = Changes { kind, insert: Vec::new(), remove: Vec::new(), free: Vec::new() };
    let mut version = rib.publish();
    // Wide ones take milliseconds.
    let rounds = if kind.is_wide() { plan.changes.div_ceil(100) } else { plan.changes };
    for _ in 0..rounds {
        let number = random.next_u32();
        // What is not in the table comes first and goes then, so that the table is the same after.
        for gone in if kind.is_new() { [false, true] } else { [true, false] } {
            let step = Step::of(kind, number, gone, (&known, plan));
            let times = if gone { &mut found.remove } else { &mut found.insert };
            times.push(timed(rib, &step, &mut version, &mut found.free)?);
        }
    }
    Ok(found)
}

enum Step {
    Change(Vec<(IpNet, Option<NextHop>)>),
    Redirect(NextHop, NextHop),
}

impl Step {
    fn of(kind: Kind, number: u32, gone: bool, (known, plan): (&Snapshot, &Plan)) -> Self {
        let peer = number % plan.hosts.max(1);
        let route = match kind {
            Kind::Prefix4 | Kind::Prefix6 => {
                known.get(number as usize % known.len().max(1)).copied()
            }
            Kind::Host4 => Some((host(table::host4(peer).into()), NextHop::Client(peer))),
            Kind::Host6 => Some((host(table::host6(peer).into()), NextHop::Client(peer))),
            Kind::Wide4 => Some((wide(true), NextHop::Local)),
            Kind::Wide6 => Some((wide(false), NextHop::Local)),
            Kind::Peer => return Self::peer(gone),
            Kind::Redirect => return Self::redirect(number % plan.source.next_hops, gone),
        };
        Self::one(route, gone)
    }

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
#[derive(Debug)]
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
