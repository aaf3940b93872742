//! Packets that no rule lets through: each rule is made, meets its packet, and is taken back.

use dataplane::counters::Totals;
use dataplane::fate::DropReason as Why;
use dataplane::limits::FLOWS_WARM_UP;
use dataplane::testing::packets;
use dataplane::testing::rules::{is_limit, packet, rules, undone};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::WIRE;
use shm::message::Item;

pub(super) fn provoke(reason: Why, scene: &mut Scene) -> Totals {
    let items = rules(reason);
    change(scene, items.clone());
    if reason == Why::DosState {
        scene.wait(FLOWS_WARM_UP);
    }
    if is_limit(reason) {
        put(scene, &packet(reason));
    }
    let before = scene.server.totals();
    put(scene, &packet(reason));
    change(scene, items.iter().filter_map(undone).collect());
    before
}

fn change(scene: &mut Scene, items: Vec<Item>) {
    if !items.is_empty() {
        let now = scene.now;
        scene.server.change(items, now);
    }
}

fn put(scene: &mut Scene, packet: &[u8]) {
    scene.put(WIRE, &packets::from_gateway(packet));
    scene.settle();
}
