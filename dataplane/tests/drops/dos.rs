//! Packets that no rule lets through: each rule is made, meets its packet, and is taken back.

use dataplane::counters::Totals;
use dataplane::fate::DropReason as Why;
use dataplane::limits::FLOWS_WARM_UP;
use dataplane::testing::rules::{is_limit, packet, rules, undone};
use dataplane::testing::scene::Scene;

pub(super) fn provoke(reason: Why, scene: &mut Scene) -> Totals {
    let items = rules(reason);
    scene.change(items.clone());
    if reason == Why::DosState {
        scene.wait(FLOWS_WARM_UP);
    }
    if is_limit(reason) {
        scene.arrive(&packet(reason));
    }
    let before = scene.server.totals();
    scene.arrive(&packet(reason));
    scene.change(items.iter().filter_map(undone).collect());
    before
}
