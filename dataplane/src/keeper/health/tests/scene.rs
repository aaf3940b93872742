//! The keeper's health with workers that do as it says, and ways that behave as a test likes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use wireguard::time::Instant;

use super::super::{Health, Probe, Probing, Standing, State, Tunnel, Turn};
use crate::limits::CHOICES;
use crate::stages::egress::probe::{AllAnswers, Answers, Stamp, Style, microseconds};

const KEY: [u8; 16] = [9; 16];
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const TENANT: u16 = 1;
pub(super) const START: Instant = Instant(3_600_000_000_000);

/// The way through a tunnel and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Probes lost by chance, of a million.
    pub(super) lost: u64,
    pub(super) round_trip: Duration,
    /// Whether the other end lives, so long after the start.
    pub(super) lives: fn(Duration) -> bool,
}

pub(super) const GOOD: Way =
    Way { lost: 0, round_trip: Duration::from_millis(20), lives: |_| true };

/// An answer under way: when it comes, by which tunnel, to which worker.
type Coming = Reverse<(Instant, u16, usize, (u32, u64))>;

/// The keeper's health with workers that do as it says.
pub(super) struct Scene {
    pub(super) health: Health,
    answers: AllAnswers,
    workers: [Arc<Answers>; 2],
    pub(super) ways: Vec<Way>,
    pub(super) coming: BinaryHeap<Coming>,
    pub(super) now: Instant,
    random: u64,
    pub(super) probes: u64,
    /// When the group of the tenant became what.
    pub(super) groups: Vec<(Instant, [u16; CHOICES])>,
}

pub(super) fn tunnel(number: u16, interval: Duration) -> Tunnel {
    Tunnel {
        id: u32::from(number) + 1000,
        number,
        tenant: TENANT,
        priority: 100,
        weight: 1,
        probing: Some(Probing { style: Style::Request, interval }),
    }
}

impl Scene {
    /// Tunnels of one tenant over these ways, numbered from one.
    pub(super) fn new(ways: &[Way], interval: Duration) -> Self {
        let tunnels = (1..).zip(ways).map(|(number, _)| tunnel(number, interval));
        Self::of(&tunnels.collect::<Vec<_>>(), ways, 1)
    }

    pub(super) fn of(tunnels: &[Tunnel], ways: &[Way], seed: u64) -> Self {
        let answers = AllAnswers::new(2);
        let mut scene = Self {
            health: Health::new(KEY, seed),
            workers: [0, 1].map(|worker| answers.of_worker(worker)),
            answers,
            ways: ways.to_vec(),
            coming: BinaryHeap::new(),
            now: START,
            random: seed,
            probes: 0,
            groups: Vec::new(),
        };
        scene.health.follow(tunnels, START);
        scene.regroup();
        scene
    }

    fn roll(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        self.random >> 33
    }

    pub(super) fn regroup(&mut self) {
        let group = self.health.group(TENANT).unwrap();
        if self.groups.last().is_none_or(|(_, last)| *last != group) {
            self.groups.push((self.now, group));
        }
    }

    pub(super) fn since_start(&self) -> Duration {
        self.now.since(START)
    }

    /// Everything that happens until so long after the start.
    pub(super) fn run_until(&mut self, end: Duration) {
        let end = START + end;
        loop {
            let comes = self.coming.peek().map_or(Instant::NEVER, |Reverse((at, ..))| *at);
            let next = comes.min(self.health.next_due());
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.deliver();
            let turn = self.turn();
            turn.probes.iter().for_each(|probe| self.send(probe));
        }
        self.now = end;
    }

    pub(super) fn turn(&mut self) -> Turn {
        let turn = self.health.turn(&self.answers, self.now);
        if turn.changed.contains(&TENANT) {
            self.regroup();
        }
        turn
    }

    pub(super) fn send(&mut self, probe: &Probe) {
        self.probes += 1;
        let way = self.ways[usize::from(probe.number) - 1];
        let back = self.since_start() + way.round_trip;
        if self.roll() % 1_000_000 < way.lost || !(way.lives)(back) {
            return;
        }
        let worker = usize::from(self.roll().is_multiple_of(2));
        let stamp = (probe.sequence, microseconds(self.now));
        self.coming.push(Reverse((START + back, probe.number, worker, stamp)));
    }

    /// What comes by now is noted, and noted again by the other worker, as if the way had copied it.
    pub(super) fn deliver(&mut self) {
        while let Some(Reverse((at, number, worker, (sequence, sent_us)))) = self.coming.peek() {
            if *at > self.now {
                return;
            }
            let id = u32::from(*number) + 1000;
            let stamp = Stamp { server: 1, tunnel: id, sequence: *sequence, sent_us: *sent_us };
            assert!(self.workers[*worker].note(*number, &stamp, self.now));
            assert!(!self.workers[*worker].note(*number, &stamp, self.now));
            self.workers[1 - *worker].note(*number, &stamp, self.now);
            self.coming.pop();
        }
    }

    pub(super) fn state(&self, number: u16) -> State {
        self.health.tracked[usize::from(number)].as_ref().unwrap().state()
    }

    pub(super) fn standing(&self, number: u16) -> Standing {
        self.health.tracked[usize::from(number)].as_ref().unwrap().standing()
    }

    /// How many slots a tunnel has.
    pub(super) fn share(&self, number: u16) -> usize {
        let (_, group) = self.groups.last().unwrap();
        group.iter().filter(|slot| **slot == number).count()
    }
}
