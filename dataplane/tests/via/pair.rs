//! Two data centres with a way between them that a test is: nothing goes from one to the other by itself.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dataplane::testing::packets::{self, packet_in};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{Options, Server, WIRE};
use dataplane::testing::site::{self, CENTRE_V4, Plan, SERVER_V4};

use super::plan;

/// The one with clients, and the one at [`CENTRE_V4`].
pub(crate) struct Pair {
    pub(crate) here: Scene,
    pub(crate) there: Scene,
}

/// The other one's gateway.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 254);

impl Pair {
    pub(crate) fn new() -> Self {
        Self { here: super::stage(), there: there() }
    }

    /// What one has sent to the other since the last look, as IP packets; the rest is kept.
    pub(crate) fn sent(&mut self, from_here: bool) -> Vec<Vec<u8>> {
        let (scene, to) =
            if from_here { (&mut self.here, CENTRE_V4) } else { (&mut self.there, SERVER_V4) };
        let mut sent = Vec::new();
        for (place, frame) in scene.strays() {
            match packet_in(&frame) {
                Some((outline, packet)) if outline.destination == IpAddr::from(to) => {
                    sent.push(packet.to_vec());
                }
                _ => scene.strays.push((place, frame)),
            }
        }
        sent
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.here.wait(time);
        self.there.wait(time);
    }
}

/// The server at the other address.
fn there() -> Scene {
    let text = Plan::text(&plan());
    let text = text.replace(&format!("[\"{CENTRE_V4}/32\"]"), &format!("[\"{SERVER_V4}/32\"]"));
    let text = text.replace(&format!("{SERVER_V4}/24"), &format!("{CENTRE_V4}/24"));
    let text = text.replace("192.0.2.77", "203.0.113.77").replace("192.0.2.254", "203.0.113.254");
    scene(&text, GATEWAY, CENTRE_V4)
}

/// A server at an address, which knows its gateway.
pub(crate) fn scene(text: &str, gateway: Ipv4Addr, address: Ipv4Addr) -> Scene {
    let options = Options { seed: 2, ..Options::default() };
    let mut scene = Scene {
        server: Server::with(text, options),
        clients: Vec::new(),
        now: options.now,
        neighbours: true,
        seen: Vec::new(),
        strays: Vec::new(),
    };
    scene.put(WIRE, &packets::arp_request((site::GATEWAY, gateway), address));
    scene.settle();
    scene.strays.clear();
    scene
}
