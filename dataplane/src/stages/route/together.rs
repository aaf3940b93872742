//! Next hops of a burst, found for all its frames together before any of them is forwarded: so they wait for memory at the same time.

use arrayvec::ArrayVec;
use wireguard::prefetch::prefetch;

use super::{NextHop, Routes};
use crate::burst::Burst;
use crate::frame::{Entry, Frame, Kind};
use crate::limits::BURST_LEN_MAX;
use crate::packet::flow_hash;
use crate::stages::dos::OWN;
use crate::stages::egress::tunnels::Tunnels;
use crate::stages::tenant::tallies::Tallies;

/// Finds what is not found yet, where there is so much to find it in that the core's caches do not hold it. What nothing is found for
/// is asked for once more when it is forwarded, and its sender told.
pub(super) fn look_up(
    burst: &mut Burst<'_>,
    routes: &Routes,
    (tunnels, tallies): (&Tunnels, &Tallies),
) {
    if tunnels.are_many() {
        into_tunnels(burst, tunnels, tallies);
    }
    if routes.are_many() {
        by_routes(burst, routes, tunnels);
    }
}

#[inline]
fn is_open(frame: &Frame<'_>) -> bool {
    frame.note.kind == Kind::Inner
        && frame.note.next_hop == NextHop::None
        && frame.note.entry != Entry::Own
}

#[inline]
fn has_tunnels(frame: &Frame<'_>, tunnels: &Tunnels) -> bool {
    frame.note.tenant != OWN && tunnels.has(frame.note.tenant)
}

/// The tunnels of what goes to tenants: first where it stands which one each takes, then the tunnels and what they
/// are counted with.
fn into_tunnels(burst: &mut Burst<'_>, tunnels: &Tunnels, tallies: &Tallies) {
    let is_tenants = |frame: &&mut Frame<'_>| is_open(frame) && has_tunnels(frame, tunnels);
    for frame in burst.undecided().filter(is_tenants) {
        let hash = flow_hash(frame.data(), &frame.note.ip);
        // GRE writes it as well.
        frame.note.counter = hash.into();
        tunnels.prefetch_choice(frame.note.tenant, hash);
    }
    for frame in burst.undecided().filter(is_tenants) {
        let hash = u32::try_from(frame.note.counter).unwrap_or(0);
        if let Some(tunnel) = tunnels.choose(frame.note.tenant, hash) {
            frame.note.next_hop = NextHop::Tunnel(tunnel);
            tunnels.prefetch(tunnel);
            tallies.sent(tunnel).into_iter().for_each(prefetch);
        }
    }
}

/// What goes by nothing but the routes: not what may go to a tenant through its tunnels.
fn by_routes(burst: &mut Burst<'_>, routes: &Routes, tunnels: &Tunnels) {
    let is_asked = |frame: &&mut Frame<'_>| is_open(frame) && !has_tunnels(frame, tunnels);
    let asked = burst.undecided().filter(is_asked).map(|frame| frame.note.ip.destination);
    let asked: ArrayVec<_, BURST_LEN_MAX> = asked.take(BURST_LEN_MAX).collect();
    let mut found = [NextHop::None; BURST_LEN_MAX];
    routes.lookup_burst(&asked, &mut found);
    let frames = burst.undecided().filter(is_asked).zip(found).take(asked.len());
    frames.for_each(|(frame, next_hop)| frame.note.next_hop = next_hop);
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::burst;
    use crate::limits::{CHOICES, PREFETCH_FROM};
    use crate::stages::egress::tunnels::tests::{ends, spec};
    use crate::stages::egress::tunnels::{Group, Tunnel};
    use crate::testing::memory::Buffers;
    use crate::testing::packets::Ip;

    /// Tenants 1 to 100 with a tunnel each, but for every fifth one, which has none.
    fn tunnels() -> Tunnels {
        let tunnel = |number: u16| {
            let remote = IpAddr::from([198, 51, 100, u8::try_from(number).unwrap()]).to_string();
            Tunnel::new(&spec(ends("192.0.2.1", &remote, None)))
        };
        let has_tunnel = |number: &u16| !number.is_multiple_of(5);
        let all = (0..=100).map(|number| Some(number).filter(has_tunnel).and_then(tunnel));
        let group = |number| Group::new(Box::new([number; CHOICES]));
        let groups = (0..=100).map(|number| Some(number).filter(has_tunnel).map(group));
        Tunnels::new(all.collect(), groups.collect(), 3)
    }

    /// More routes than are looked up one by one: 10.0.0.0/8 in hosts and prefixes, with holes.
    fn routes() -> Routes {
        let count = u32::try_from(PREFETCH_FROM + 1).unwrap();
        let route = |number: u32| {
            let address = IpAddr::from((0x0a00_0000 + number * 512).to_be_bytes());
            let len = if number.is_multiple_of(2) { 32 } else { 25 };
            (ipnet::IpNet::new(address, len).unwrap(), NextHop::Client(number))
        };
        Routes::build(&(0..count).map(route).collect::<Vec<_>>(), 5).unwrap()
    }

    #[test]
    fn finds_what_each_would_find_alone_and_leaves_what_is_found() {
        let (routes, tunnels) = (routes(), tunnels());
        assert!(routes.are_many() && tunnels.are_many());
        let pool = Buffers::new(BURST_LEN_MAX);
        let mut packets = Vec::new();
        for number in 0..64_u8 {
            let destination = match number % 4 {
                0 => IpAddr::from([10, 0, number * 2, 0]),
                1 => IpAddr::from([10, 0, number * 2, 200]),
                2 => IpAddr::from([203, 0, 113, number]),
                _ => "2001:db8::5".parse().unwrap(),
            };
            let source: IpAddr = if destination.is_ipv4() {
                [192, 0, 2, 7].into()
            } else {
                "2001:db8::7".parse().unwrap()
            };
            packets.push(
                pool.packet(&Ip::new(source, destination).udp(7, number.into(), b"x")).unwrap(),
            );
        }
        let mut notes = burst::notes();
        let mut burst = Burst::lend(&mut packets, &mut notes, Entry::Wire(0));
        let mut alone = Vec::new();
        for (frame, number) in burst.frames().iter_mut().zip(0_u16..) {
            frame.read_ip().unwrap();
            frame.note.kind = if number % 16 == 9 { Kind::Outer } else { Kind::Inner };
            frame.note.tenant = if number % 3 == 0 { OWN } else { number };
            frame.note.entry = if number % 16 == 5 { Entry::Own } else { Entry::Wire(0) };
            frame.note.next_hop = if number % 16 == 7 { NextHop::Local } else { NextHop::None };
            let found = if is_open(frame) {
                super::super::next_hop(frame, &routes, &tunnels)
            } else {
                frame.note.next_hop
            };
            alone.push((found, std::mem::take(&mut frame.note.counter)));
        }
        let count = |is: fn(NextHop) -> bool| alone.iter().filter(|(hop, _)| is(*hop)).count();
        assert!(count(|hop| matches!(hop, NextHop::Tunnel(_))) > 20);
        assert!(count(|hop| matches!(hop, NextHop::Client(_))) > 5);
        assert!(count(|hop| hop == NextHop::None) > 5 && count(|hop| hop == NextHop::Local) == 4);
        look_up(&mut burst, &routes, (&tunnels, &Tallies::new(0)));
        for (frame, (next_hop, counter)) in burst.frames().iter().zip(alone) {
            let found = (frame.note.next_hop, frame.note.counter);
            assert_eq!(found, (next_hop, counter), "{frame:?}");
        }
    }
}
