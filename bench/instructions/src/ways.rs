//! The ways that are counted, each in a scene of its own, with the stages that do something for it.

use std::time::Duration;

use dataplane::frame::Entry;
use dataplane::stages::wireguard::sessions::Due;
use dataplane::testing::scene::Scene;

use crate::course::{self, FRAMES};
use crate::scenes::{self, CLIENTS};
use crate::{Failure, splice};

struct Way {
    name: &'static str,
    /// The stages that are told one by one.
    laps: &'static [&'static str],
    scene: fn() -> Scene,
    entry: Entry,
    /// The frame with each number.
    frame: fn(&mut Scene, usize) -> Vec<u8>,
}

const WIRE: Entry = Entry::Wire(0);
const OPEN: [&str; 2] = ["wireguard::open, before the AEAD", "wireguard::open, after the AEAD"];
const SEAL: [&str; 2] = ["wireguard::seal, before the AEAD", "wireguard::seal, after the AEAD"];
const IN: [&str; 2] = ["parse::locate", "dos::admit"];
const CLAIM: &str = "steer::claim";
const ROUTE: &str = "route::choose";
const ADDRESS: &str = "link::address, finish";

const WAYS: [Way; 15] = [
    Way {
        name: "client to kernel",
        laps: &[IN[0], IN[1], CLAIM, OPEN[0], OPEN[1], ROUTE],
        scene: scenes::server,
        entry: WIRE,
        frame: scenes::to_kernel,
    },
    Way {
        name: "kernel to clients",
        laps: &[IN[0], ROUTE, SEAL[0], SEAL[1], ADDRESS],
        scene: scenes::server,
        entry: Entry::Local,
        frame: scenes::from_kernel,
    },
    Way {
        name: "client to client",
        laps: &[OPEN[1], ROUTE, SEAL[0]],
        scene: scenes::server,
        entry: WIRE,
        frame: scenes::between_clients,
    },
    Way {
        name: "initiations",
        laps: &[IN[0], CLAIM],
        scene: scenes::server,
        entry: WIRE,
        frame: scenes::initiation,
    },
    Way {
        name: "to a tenant",
        laps: &[IN[0], IN[1], "tenant::filter", ROUTE, "egress::dress", ADDRESS],
        scene: scenes::server,
        entry: WIRE,
        frame: scenes::to_tenant,
    },
    Way {
        name: "to a tenant with 1,000 rules",
        laps: &["tenant::filter"],
        scene: scenes::ruled,
        entry: WIRE,
        frame: scenes::to_tenant,
    },
    Way {
        name: "from a tenant",
        laps: &[IN[0], IN[1], "egress::undress", ROUTE],
        scene: scenes::server,
        entry: WIRE,
        frame: scenes::from_tenant,
    },
    Way {
        name: "from a tenant, 20,000 routes",
        laps: &[ROUTE],
        scene: scenes::routed,
        entry: WIRE,
        frame: scenes::from_tenant_far,
    },
    Way {
        name: "from a tenant, list, signature and limits",
        laps: &[IN[1]],
        scene: scenes::filtered,
        entry: WIRE,
        frame: scenes::from_tenant,
    },
    Way {
        name: "NAT44 out",
        laps: &[ROUTE, "nat::dress"],
        scene: scenes::server,
        entry: WIRE,
        frame: scenes::outward,
    },
    Way {
        name: "NAT44 out, new flows",
        laps: &["nat::dress"],
        scene: scenes::server,
        entry: WIRE,
        frame: scenes::outward_new,
    },
    Way {
        name: "NAT44 back",
        laps: &[IN[0], IN[1], "nat::undress", ROUTE],
        scene: scenes::server,
        entry: WIRE,
        frame: scenes::inward,
    },
    Way {
        name: "through a data centre",
        laps: &[ROUTE, "nat::dress"],
        scene: scenes::server,
        entry: WIRE,
        frame: scenes::through,
    },
    Way {
        name: "guests",
        laps: &["nat::undress"],
        scene: scenes::server,
        entry: WIRE,
        frame: scenes::guests,
    },
    Way {
        name: "to another server",
        laps: &[IN[0], CLAIM, "steer::pass_on"],
        scene: scenes::of_fleet,
        entry: WIRE,
        frame: scenes::of_the_other,
    },
];

/// Counts all of them.
pub(crate) fn all() -> Result<(), Failure> {
    for way in &WAYS {
        let mut scene = (way.scene)();
        let frames: Vec<_> = (0..FRAMES).map(|number| (way.frame)(&mut scene, number)).collect();
        course::run(&mut scene, (way.name, way.laps), (way.entry, &frames))?;
    }
    splice::both()?;
    turns()
}

const TURNS: usize = 16;

/// What a worker does without a packet: turns that find nothing, and timers.
fn turns() -> Result<(), Failure> {
    let mut scene = scenes::server();
    for client in 0..CLIENTS as usize {
        let frame = scenes::to_kernel(&mut scene, client);
        scene.put(dataplane::testing::server::WIRE, &frame);
    }
    scene.settle();
    let now = scene.now;
    let worker = scene.server.workers.first_mut().ok_or("there is no worker")?;
    course::once("an empty turn", TURNS, || {
        for _ in 0..TURNS {
            worker.turn(now);
        }
    })?;
    // Every client has sent and heard nothing: a keepalive is due for each (Keepalive-Timeout).
    let (later, mut due) = (now + Duration::from_secs(11), Due::default());
    let sessions = &mut worker.state_mut().sessions;
    course::once("a timer that is due", CLIENTS as usize, || sessions.tick(later, &mut due))?;
    if due.keepalives.len() != CLIENTS as usize {
        return Err(format!("{} of {CLIENTS} keepalives were due", due.keepalives.len()).into());
    }
    Ok(())
}
