//! A server with many clients, and the time that a flood takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use dataplane::testing::client::Options as Behaviour;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{LOCAL, Options, Place, WIRE};
use dataplane::testing::site::{self, Plan};
use wire::{ethernet, ipv4};
use wireguard::time::Instant;

use super::crowd::Crowd;

const STEP: Duration = Duration::from_millis(50);
const STEPS_PER_SECOND: u32 = 20;
/// The flood begins when the first sessions are nearly old enough to be renewed, and goes on until all are.
const QUIET: Duration = Duration::from_secs(110);
pub(crate) const FLOOD: Duration = Duration::from_secs(40);
/// A new client comes so often.
const NEWCOMER_STEPS: usize = 20;
/// Each client sends so often.
const DATA_STEPS: usize = 20;

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scene: Scene,
    /// How long each newcomer that is in has waited for that.
    pub(crate) waits: Vec<Duration>,
    clients: usize,
    newcomers: usize,
    /// Newcomers that are not in yet, and since when they ask.
    asking: Vec<(usize, Instant)>,
    /// A client's first message.
    captured: Vec<u8>,
    /// Inner packets sent, and those that arrived at their other end.
    sent: usize,
    arrived: usize,
}

impl World {
    pub(crate) fn new(seed: u64, clients: usize, newcomers: usize, job_time: Duration) -> Self {
        let options = Options { seed, job_time, ..Options::default() };
        let mut scene = Scene::new(&Plan::new(clients + newcomers), options);
        for _ in 0..clients {
            scene.join(false, Behaviour::default());
        }
        Self {
            scene,
            waits: Vec::new(),
            clients,
            newcomers,
            asking: Vec::new(),
            captured: Vec::new(),
            sent: 0,
            arrived: 0,
        }
    }

    /// Lets all clients connect, one after the other, and time pass until their sessions are old.
    pub(crate) fn connect(&mut self) {
        let end = self.scene.now + QUIET;
        for number in 0..self.clients {
            self.speak(number);
            if number == 0 {
                let (_, message) = self.scene.clients[number].outbox.first().unwrap();
                self.captured.clone_from(message);
            }
            if number % 3 == 0 {
                self.step();
            }
        }
        while self.scene.now < end {
            self.step();
        }
        assert_eq!(self.sent, self.arrived, "before the flood");
    }

    /// Lets the flood come while clients go on and others come.
    pub(crate) fn flood(&mut self, mut crowd: Crowd, per_second: u32) {
        crowd.capture(&self.captured);
        let (begun, mut number) = (self.scene.now, 0);
        for step in 0.. {
            if self.scene.now >= begun + FLOOD {
                break;
            }
            for _ in 0..per_second / STEPS_PER_SECOND {
                let frame = crowd.frame(number, self.scene.now);
                self.scene.put(WIRE, &frame);
                number += 1;
            }
            for client in (step % DATA_STEPS..self.clients).step_by(DATA_STEPS) {
                self.speak(client);
            }
            if step % NEWCOMER_STEPS == 0
                && self.scene.clients.len() < self.clients + self.newcomers
            {
                let newcomer = self.scene.join(false, Behaviour::default());
                self.asking.push((newcomer, self.scene.now));
                let _ = self.scene.clients[newcomer].send(&[], self.scene.now);
            }
            for (to, payload) in self.step() {
                crowd.learn(to, &payload, self.scene.now);
            }
        }
        for _ in 0..2 * STEPS_PER_SECOND {
            self.step();
        }
    }

    /// Inner packets that were sent, and those that arrived.
    pub(crate) const fn data(&self) -> (usize, usize) {
        (self.sent, self.arrived)
    }

    /// A client sends a packet to the server's kernel.
    fn speak(&mut self, client: usize) {
        self.sent += 1;
        let number = self.scene.clients[client].number;
        let packet = Ip::new(site::inner_v4(number), site::LOCAL_V4).echo(1, b"are you there?");
        let _ = self.scene.clients[client].send(&packet, self.scene.now);
    }

    /// Lets a moment pass; gives what the server has sent to others than clients.
    fn step(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.scene.wait(STEP);
        self.scene.seen.clear();
        let now = self.scene.now;
        let Self { scene, waits, asking, .. } = self;
        asking.retain(|(client, since)| {
            let is_in = scene.clients[*client].is_connected(now);
            waits.extend(is_in.then(|| now.since(*since)));
            !is_in
        });
        self.arrive()
    }

    /// Counts what has arrived, and lets the kernel answer; gives what clients did not take.
    fn arrive(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        for client in &mut self.scene.clients {
            self.arrived += client.inbox.drain(..).count();
        }
        let mut others = Vec::new();
        for (place, octets) in self.scene.strays() {
            if let Place::Wire { .. } = place {
                others.extend(
                    packets::datagram_in(&octets).map(|(_, to, payload)| (to, payload.to_vec())),
                );
                continue;
            }
            // Router advertisements and the like are none of ours.
            let Some(source) = source(&octets) else { continue };
            let answer = Ip::new(site::LOCAL_V4, source).echo(2, b"yes");
            (self.arrived, self.sent) = (self.arrived + 1, self.sent + 1);
            self.scene.put(LOCAL, &packets::from_local(&answer));
        }
        others
    }
}

/// The source of an IPv4 packet in a frame.
fn source(frame: &[u8]) -> Option<Ipv4Addr> {
    ipv4::parse(frame.get(ethernet::HEADER_LEN..)?).ok().map(|header| header.source)
}
