//! A barrage: one attack at its own pace, counted apart from the good traffic beside it.

use std::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use serde::Serialize;
use wireguard::time::Instant;

use crate::attack::{Builder, ROOM};
use crate::measure::Latency;
use crate::pace::{Pacer, Pattern, Rate};
use crate::packet::{self, Content};

/// Frames of one turn at most.
const FRAMES_PER_TURN: usize = 64;

/// What became of an attack's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Frames whose time came.
    pub planned: u64,
    /// Given to the device.
    pub sent: u64,
    /// Due, but the device took no more.
    pub without_room: u64,
    /// Due, but nothing was left to build.
    pub unbuilt: u64,
    /// Due, but the generator did not get to them.
    pub owed: u64,
}

impl Tally {
    /// Whether every frame is where it can be.
    pub const fn adds_up(&self) -> bool {
        self.planned == self.sent + self.without_room + self.unbuilt
    }
}

/// One attack under way.
#[derive(Debug)]
pub struct Barrage {
    builder: Builder,
    /// Where answers come to.
    own: [SocketAddr; 2],
    pacer: Pacer,
    tally: Tally,
    lateness: Latency,
    frame: Box<[u8]>,
    /// The length of the last frame, for rates that depend on it.
    len: usize,
}

impl Barrage {
    /// Begins at `now`. What comes to one of the addresses `own` may teach the attack something.
    pub fn new(
        builder: Builder,
        own: [SocketAddr; 2],
        (rate, pattern): (Rate, Pattern),
        now: Instant,
    ) -> Self {
        let (pacer, frame) = (Pacer::new(rate, pattern, now), vec![0; ROOM].into_boxed_slice());
        let (tally, lateness) = (Tally::default(), Latency::new());
        Self { builder, own, pacer, tally, lateness, frame, len: 60 }
    }

    /// Shows the attack a frame that has come.
    pub fn learn(&mut self, frame: &[u8]) {
        if !self.builder.attack().learns() {
            return;
        }
        let packet = wire::ethernet::parse(frame)
            .ok()
            .and_then(|header| frame.get(header.payload_offset..))
            .and_then(packet::read);
        if let Some(packet) = packet
            && let Content::Udp(ports) = packet.content
            && self.own.contains(&SocketAddr::new(packet.destination, ports.destination))
        {
            self.builder.learn(packet.payload);
        }
    }

    /// The attack's name.
    pub const fn name(&self) -> &'static str {
        self.builder.attack().name()
    }

    /// Sends what is due. Returns how many frames came due.
    pub fn turn(
        &mut self,
        now: Instant,
        rng: &mut ChaCha20Rng,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> usize {
        for done in 0..FRAMES_PER_TURN {
            let Some(planned) = self.pacer.take(now, self.len, rng) else { return done };
            self.tally.planned += 1;
            self.lateness.record(now.since(planned));
            match self.builder.build(&mut self.frame) {
                0 => self.tally.unbuilt += 1,
                len => {
                    self.len = len;
                    let is_sent = self.frame.get(..len).is_some_and(&mut *out);
                    let place =
                        if is_sent { &mut self.tally.sent } else { &mut self.tally.without_room };
                    *place += 1;
                }
            }
        }
        FRAMES_PER_TURN
    }

    /// Lets nothing be due later than this.
    pub const fn limit(&mut self, until: Instant) {
        self.pacer.end(until);
    }

    /// Frames that are due by now and were not sent yet.
    pub fn owed(&self, now: Instant) -> u64 {
        self.pacer.owed(now, self.len)
    }

    /// The end: what is due by now and was not sent is owed.
    pub fn end(&mut self, now: Instant) {
        self.tally.owed += self.owed(now);
    }

    /// Its counts so far.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How late its frames left.
    pub const fn lateness(&self) -> &Latency {
        &self.lateness
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::{Attack, Link, Scene};
    use rand_chacha::rand_core::SeedableRng;
    use std::net::Ipv4Addr;

    #[test]
    fn keeps_its_pace_and_its_books() {
        let link = Link { server: [2, 0, 0, 0, 0, 1], station: [2, 0, 0, 0, 0, 2], vlan: None };
        let mut scene = Scene::new(link, [9; 32], 51_820, 1);
        scene.target_v4 = Some(Ipv4Addr::new(192, 0, 2, 1));
        let builder = Builder::new(Attack::DosMac1, &scene).unwrap();
        let own = ["192.0.2.9:40000", "[2001:db8::9]:40000"].map(|own| own.parse().unwrap());
        let pace = (Rate::Packets(1e6), Pattern::Constant);
        let mut barrage = Barrage::new(builder, own, pace, Instant(0));
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut room = 50;
        let mut out = |_: &[u8]| {
            room -= 1;
            room >= 0
        };
        assert_eq!(barrage.turn(Instant(99_500), &mut rng, &mut out), 64);
        assert_eq!(barrage.turn(Instant(99_500), &mut rng, &mut out), 36);
        barrage.end(Instant(109_500));
        let wanted = Tally { planned: 100, sent: 50, without_room: 50, unbuilt: 0, owed: 10 };
        assert_eq!((*barrage.tally(), barrage.name()), (wanted, "dos_mac1"));
        assert!(barrage.tally().adds_up());
    }
}
