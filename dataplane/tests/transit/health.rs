//! The health of tunnels: who asks, who answers, and where flows go meanwhile.

use std::net::Ipv4Addr;
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::packet::Address;
use dataplane::stages::egress::probe::{self, Inside, Seal, Stamp, Style};
use dataplane::testing::fleet;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{Options, WIRE};
use dataplane::testing::site::{self, Plan};
use dataplane::testing::transit::{
    self, INSIDE, INSIDE_REMOTE, ROUTER, from_router, in_gre, plain, tunnel, wrapped,
};
use shm::message::{Item, MemberState, Tunnel};
use wire::{icmp, ipv4};

use super::{answers, dropped, question};

/// Two tunnels with probes, of which the second is for when the first is down.
#[cfg(test)]
fn probed() -> Scene {
    let mut scene = Scene::new(&Plan::new(2), Options::default());
    let first = Tunnel { probe: Some(transit::probe()), ..tunnel(1) };
    let spare = Tunnel { id: 2, remote: SPARE.into(), priority: 1, ..first.clone() };
    let mut items = transit::tenant(first, "");
    items.insert(1, Item::Tunnel(Box::new(spare)));
    scene.change(items);
    let _regions = scene.server.open_border();
    scene
}

const SPARE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 78);

/// Lets time pass; routers among `alive` answer probes. Gives how long it took until packets to the tenant took the way to
/// `wanted`.
#[cfg(test)]
fn until(scene: &mut Scene, alive: &[Ipv4Addr], wanted: Ipv4Addr) -> Duration {
    let start = scene.now;
    loop {
        let frames = answers(scene, &question());
        let ways = frames.iter().filter_map(|frame| in_gre(frame));
        let ways: Vec<_> = ways.filter(|(.., inner)| inner[9] == 17).map(|way| way.1).collect();
        if ways.contains(&wanted.into()) {
            return scene.now.since(start);
        }
        assert!(scene.now.since(start) < Duration::from_mins(1), "it never goes to {wanted}");
        scene.wait(Duration::from_millis(20));
        for (_, frame) in scene.strays() {
            answer(scene, &frame, alive);
        }
    }
}

/// Answers a probe as the kernel of a router does.
#[cfg(test)]
fn answer(scene: &mut Scene, frame: &[u8], alive: &[Ipv4Addr]) {
    let Some((_, router, _, inner)) = in_gre(frame) else { return };
    let located = ipv4::parse(&inner).unwrap();
    if located.destination != INSIDE_REMOTE || !alive.iter().any(|one| router == *one) {
        return;
    }
    let reply = answer_to(&inner);
    let packet = wrapped(Ip::new(router, site::SERVER_V4), &plain(&reply), &reply);
    scene.put(WIRE, &packets::from_gateway(&packet));
}

#[test]
fn flows_leave_a_tunnel_that_is_down_within_three_seconds_and_come_back_when_it_is_steady() {
    let mut scene = probed();
    assert_eq!(until(&mut scene, &[ROUTER, SPARE], ROUTER), Duration::ZERO);
    for _ in 0..100 {
        scene.wait(Duration::from_millis(20));
        for (_, frame) in scene.strays() {
            answer(&mut scene, &frame, &[ROUTER, SPARE]);
        }
    }
    assert!(scene.server.totals().probes_answered >= 2);
    let fallen = until(&mut scene, &[SPARE], SPARE);
    assert!(fallen < Duration::from_secs(3), "{fallen:?}");
    let back = until(&mut scene, &[ROUTER, SPARE], ROUTER);
    assert!(back > Duration::from_secs(10), "{back:?}");
    // With both down it is better to try than to give up.
    let both = until(&mut scene, &[], SPARE);
    assert!(both < Duration::from_secs(4), "{both:?}");
    scene.wait(Duration::from_secs(10));
    assert_eq!(answers(&mut scene, &question()).len(), 1);
    assert_eq!(scene.server.totals().unaccounted(), 0);
}

/// Answers as the router would: what comes out of the tunnel.
#[cfg(test)]
fn answer_to(probe: &[u8]) -> Vec<u8> {
    let located = ipv4::parse(probe).unwrap();
    let mut message = probe[located.payload_offset..].to_vec();
    icmp::v4::answer_echo(&mut message).unwrap();
    Ip::new(INSIDE_REMOTE, INSIDE).packet(icmp::v4::PROTOCOL, &message)
}

#[test]
fn an_answer_that_comes_to_another_server_than_has_asked_goes_there() {
    let mut scene =
        Scene::new(&Plan { fleet: Some(fleet::SERVER), ..Plan::new(2) }, Options::default());
    let members = [fleet::SERVER, 2].map(|server| fleet::member(server, MemberState::Active));
    let tunnel = Tunnel { probe: Some(transit::probe()), ..tunnel(1) };
    let mut items = transit::tenant(tunnel, "");
    items.push(fleet::told(7, members.to_vec()));
    scene.change(items);
    let _regions = scene.server.open_border();
    scene.wait(Duration::from_secs(1));
    let frames = scene.strays();
    let probe = frames.iter().find_map(|(_, frame)| in_gre(frame)).unwrap().3;
    // Our own, by way of server 2.
    let reply = answer_to(&probe);
    let header = wire::fleet::Header { inner: true, ..fleet::DIRECT };
    let carried = fleet::passed_on((2, fleet::SERVER), &header, &reply, |_| ());
    scene.arrive(&carried);
    assert_eq!(scene.server.totals().probes_answered, 1);
    // That of server 2, which comes to us.
    let seal = Seal::new(fleet::keys().probes);
    let stamp = Stamp { server: 2, tunnel: 1, sequence: 5, sent_us: 9 };
    let inside = Inside::new(Address::from(INSIDE), Address::from(INSIDE_REMOTE)).unwrap();
    let mut theirs = vec![0; probe::LEN_MAX];
    let len = probe::write(&mut theirs, Style::Reply, &inside, &stamp, &seal).unwrap();
    answers(&mut scene, &from_router(&plain(&theirs), &theirs[..len]));
    let totals = scene.server.totals();
    assert_eq!((totals.probes_answered, totals.passed_on), (1, 1));
    // A forged one is nobody's, and not from an address of the tenant's.
    theirs[len - 1] ^= 1;
    answers(&mut scene, &from_router(&plain(&theirs), &theirs[..len]));
    assert_eq!(dropped(&scene, DropReason::EgressGreSource), 1);
}
