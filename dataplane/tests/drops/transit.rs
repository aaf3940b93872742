//! Packets to a tenant and out of its tunnel: its rules and tunnel are made, meet their packets, and are taken back.

use dataplane::counters::Totals;
use dataplane::fate::DropReason as Why;
use dataplane::limits::FRAGMENTS_TIME;
use dataplane::testing::packets::Ip;
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::site;
use dataplane::testing::transit;
use shm::message::Item;

pub(super) fn provoke(reason: Why, scene: &mut Scene) -> Totals {
    scene.change(transit::rules(reason));
    if reason == Why::EgressNoNat {
        let before = scene.server.totals();
        let packet = Ip::new(site::inner_v4(0), STRANGER).udp(1, 2, b"from a client");
        scene.send(0, &packet);
        scene.change(vec![Item::RouteRemove(std::net::IpAddr::from(STRANGER).into())]);
        return undo(scene, before);
    }
    let mut all = transit::packets(reason);
    let last = all.pop().expect("there is one");
    for packet in all {
        scene.arrive(&packet);
    }
    let before = scene.server.totals();
    scene.arrive(&last);
    if reason == Why::TenantFragmentLost {
        scene.wait(FRAGMENTS_TIME);
    }
    undo(scene, before)
}

fn undo(scene: &mut Scene, before: Totals) -> Totals {
    scene.change(transit::undone());
    before
}
