//! A barrage: one attack, one synthetic stream or one replay at its own pace, counted apart from all others.

mod plan;
mod tally;

pub use plan::Plan;
pub use tally::{Kind, Tally};

use std::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use wireguard::time::Instant;

use crate::attack::{Builder, ROOM};
use crate::measure::{Latency, Meter, Percentiles, Sums, Trailer};
use crate::pace::{Pattern, Rate};
use crate::packet::{self, Content};
use crate::replay::Replay;
use crate::synth::Synth;

/// Frames of one turn at most.
const FRAMES_PER_TURN: usize = 64;

/// What makes the frames.
#[derive(Debug)]
enum Source {
    /// And where answers come to.
    Attack(Box<Builder>, [SocketAddr; 2]),
    Synth(Box<Synth>),
    Replay(Replay),
}

/// One stream of frames under way.
#[derive(Debug)]
pub struct Barrage {
    name: String,
    source: Source,
    plan: Plan,
    tally: Tally,
    meter: Meter,
    /// How late the frames of all intervals but the present left.
    lateness: Latency,
    /// What its trailers say of whose they are.
    mark: u32,
    frame: Box<[u8]>,
    /// The length of the last frame, for rates that depend on it.
    len: usize,
    is_ended: bool,
}

impl Barrage {
    /// An attack that begins at `now`. What comes to one of the addresses `own` may teach it something.
    pub fn new(
        builder: Builder,
        own: [SocketAddr; 2],
        (rate, pattern): (Rate, Pattern),
        now: Instant,
    ) -> Self {
        let name = builder.attack().name().to_owned();
        let source = Source::Attack(Box::new(builder), own);
        Self::of(name, source, Plan::paced(rate, pattern, now))
    }

    /// Shows an attack a frame that has come.
    pub fn learn(&mut self, frame: &[u8]) {
        let Source::Attack(builder, own) = &mut self.source else { return };
        if !builder.attack().learns() {
            return;
        }
        if let Some(packet) = packet::in_frame(frame)
            && let Content::Udp(ports) = packet.content
            && own.contains(&SocketAddr::new(packet.destination, ports.destination))
        {
            builder.learn(packet.payload);
        }
    }

    /// A synthetic stream that begins at `now`. `mark` is the stream's number in its trailers.
    pub fn synth(
        name: String,
        synth: Synth,
        (rate, pattern): (Rate, Pattern),
        mark: u32,
        now: Instant,
    ) -> Self {
        let len = synth.plan().frame_len(synth.plan().sizes.of(0));
        let source = Source::Synth(Box::new(synth));
        Self { mark, len, ..Self::of(name, source, Plan::paced(rate, pattern, now)) }
    }

    /// A replay by a plan of its own.
    pub fn replay(name: String, replay: Replay, plan: Plan) -> Self {
        let len = replay.frame_len();
        Self { len, ..Self::of(name, Source::Replay(replay), plan) }
    }

    fn of(name: String, source: Source, plan: Plan) -> Self {
        // Measured streams have one meter row; those that nobody measures have none.
        let meter = Meter::new(usize::from(matches!(source, Source::Synth(_))), false);
        let frame = vec![0; ROOM].into_boxed_slice();
        let (tally, lateness) = (Tally::default(), Latency::new());
        Self {
            name,
            source,
            plan,
            tally,
            meter,
            lateness,
            mark: 0,
            frame,
            len: 60,
            is_ended: false,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is.
    pub const fn kind(&self) -> Kind {
        match self.source {
            Source::Attack(..) => Kind::Attack,
            Source::Synth(_) => Kind::Synth,
            Source::Replay(_) => Kind::Replay,
        }
    }

    /// Sends what is due. Returns how many frames came due.
    pub fn turn(
        &mut self,
        now: Instant,
        rng: &mut ChaCha20Rng,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> usize {
        if self.is_ended {
            return 0;
        }
        for done in 0..FRAMES_PER_TURN {
            if !self.step(now, rng, &mut |frame, _| out(frame)) {
                return done;
            }
        }
        FRAMES_PER_TURN
    }

    /// Sends the next frame if it is due, and tells `out` when it was planned for; false if none is.
    #[inline]
    pub fn step(
        &mut self,
        now: Instant,
        rng: &mut ChaCha20Rng,
        out: &mut impl FnMut(&[u8], Instant) -> bool,
    ) -> bool {
        let Some(planned) = self.plan.take(now, self.len, rng) else { return false };
        self.tally.planned += 1;
        self.send(planned, now, &mut |frame| out(frame, planned));
        true
    }

    #[inline]
    fn send(&mut self, planned: Instant, now: Instant, out: &mut impl FnMut(&[u8]) -> bool) {
        let Self { source, meter, frame, mark, .. } = self;
        meter.late(planned, now);
        let mut is_measured = false;
        let octets = match source {
            Source::Attack(builder, _) => {
                let len = builder.build(frame);
                frame.get(..len).unwrap_or_default()
            }
            Source::Replay(replay) => replay.frame(),
            Source::Synth(synth) => {
                is_measured = synth.measures_next();
                if is_measured {
                    let trailer = Trailer { stream: *mark, ..meter.send(0, planned) };
                    let len = synth.build(Some(trailer), frame);
                    frame.get(..len).unwrap_or_default()
                } else if let Some(prepared) = synth.prepared() {
                    prepared
                } else {
                    let len = synth.build(None, frame);
                    frame.get(..len).unwrap_or_default()
                }
            }
        };
        let tally = &mut self.tally;
        if octets.is_empty() {
            tally.unbuilt += 1;
        } else {
            self.len = octets.len();
            if out(octets) {
                tally.sent += 1;
                return;
            }
            tally.without_room += 1;
        }
        if is_measured {
            meter.withdraw(0);
        }
    }

    /// One of its packets has come back at `now`.
    pub fn returned(&mut self, trailer: Trailer, now: Instant) {
        self.tally.returned += 1;
        self.meter.received(Trailer { stream: 0, ..trailer }, now);
    }

    /// Lets nothing be due later than this.
    pub const fn limit(&mut self, until: Instant) {
        self.plan.end(until);
    }

    /// Frames that are due by now and were not sent yet.
    pub fn owed(&self, now: Instant) -> u64 {
        self.plan.owed(now, self.len)
    }

    /// Frames that are still to come; none if they have no end.
    pub const fn left(&self) -> Option<u64> {
        self.plan.left()
    }

    /// Whether nothing will ever be due again.
    pub const fn is_over(&self) -> bool {
        self.plan.is_over()
    }

    /// The end: what is due by now and was not sent is owed, and nothing is sent any more.
    pub fn end(&mut self, now: Instant) {
        self.tally.owed += self.owed(now);
        self.is_ended = true;
    }

    /// Its counts so far.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The sequences of its measured packets.
    pub fn sums(&self) -> Sums {
        self.meter.sums()
    }

    /// From planned sending to return.
    pub const fn latency(&self) -> &Latency {
        &self.meter.latency
    }

    /// How late its frames left.
    pub fn lateness(&self) -> Percentiles {
        let mut all = self.lateness.clone();
        all.add(&self.meter.lateness);
        all.percentiles()
    }

    /// How late those of the interval left; the next one begins.
    pub fn take_lateness(&mut self) -> Percentiles {
        if self.meter.lateness.count() == 0 {
            return Percentiles::default();
        }
        let points = self.meter.lateness.percentiles();
        self.lateness.add(&self.meter.lateness);
        self.meter.lateness.clear();
        points
    }

    /// Whether every frame, either way, is in exactly one count.
    pub fn adds_up(&self) -> bool {
        let sums = self.sums();
        let returned = sums.received + sums.duplicates + sums.too_old + sums.strange;
        self.tally.adds_up() && sums.adds_up() && self.tally.returned == returned
    }
}

#[cfg(test)]
mod tests;
