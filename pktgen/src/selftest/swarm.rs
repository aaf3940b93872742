//! The clients' own way, packet by packet, and the AEAD alone to compare it with.

use std::cell::RefCell;
use std::time::Duration;

use arrayvec::ArrayVec;
use dpdk::Mbuf;
use dpdk::clock::Clock;
use wireguard::aead::{Job, Key, TAILROOM, open, seal};
use wireguard::secret::Secret;
use wireguard::time::Instant;

use super::course::Task;
use super::far_end::{self, CLIENTS, FarEnd, INNER_LEN};
use super::{BLOCK, Shared};
use crate::client::{Sealing, Swarm};
use crate::device::{Burst, Device, Error};

/// Packets sealed or opened together.
const BATCH_LEN: usize = 64;
/// Memory of the prepared pool, octets, and the packets that are sealed at a time.
const POOL: u64 = 64 << 20;
const POOLED: u64 = 16 * BLOCK;

/// The AEAD alone, with as many keys as there are clients.
pub(super) struct Bare {
    keys: Vec<Key>,
    texts: Vec<[u8; INNER_LEN + TAILROOM]>,
    counter: u64,
    opens: bool,
}

impl Bare {
    fn new(opens: bool) -> Self {
        let octets = (0_u8..).take(CLIENTS as usize);
        let keys = octets.map(|octet| Key::new(Secret::new([octet; 32]))).collect();
        let texts = vec![[0; INNER_LEN + TAILROOM]; usize::try_from(BLOCK).unwrap_or(BATCH_LEN)];
        Self { keys, texts, counter: 0, opens }
    }

    pub(super) fn seal() -> Self {
        Self::new(false)
    }

    pub(super) fn open() -> Self {
        Self::new(true)
    }

    fn batches(&mut self, act: fn(&mut [Job<'_>])) {
        let keys = self.keys.iter().cycle();
        let mut counter = self.counter;
        for texts in self.texts.chunks_mut(BATCH_LEN) {
            let mut jobs: ArrayVec<Job<'_>, BATCH_LEN> = ArrayVec::new();
            for (text, key) in texts.iter_mut().zip(keys.clone()) {
                jobs.extend(Job::new(key, counter, text, INNER_LEN));
                counter += 1;
            }
            act(&mut jobs);
        }
    }
}

impl Task for Bare {
    fn ready(&mut self) {
        self.counter += BLOCK;
        if self.opens {
            self.batches(seal);
        }
    }

    fn run(&mut self) -> u64 {
        self.batches(if self.opens { open } else { seal });
        BLOCK
    }
}

/// Clients that send.
pub(super) struct Sending<'d> {
    swarm: Swarm,
    now: Instant,
    device: Option<Shared<'d>>,
    clock: &'d Clock,
    /// Packets left of a pool; none when they are sealed as they leave.
    pooled: Option<u64>,
}

impl<'d> Sending<'d> {
    pub(super) fn new(
        device: Option<&'d RefCell<Device>>,
        is_pooled: bool,
        clock: &'d Clock,
    ) -> Result<Self, Error> {
        let sealing = if is_pooled { Sealing::Prepared(POOL) } else { Sealing::Live };
        let (mut swarm, _, now) = far_end::connected(far_end::plan(sealing))?;
        if !is_pooled {
            swarm.begin(now);
        }
        Ok(Self { swarm, now, device, clock, pooled: is_pooled.then_some(0) })
    }

    /// One turn of a run, in which a batch is due.
    fn turn(&mut self) {
        std::hint::black_box(self.clock.now_ns());
        self.now = Instant(self.now.0 + BATCH_LEN as u64);
        let (swarm, moment) = (&mut self.swarm, far_end::moment(self.now));
        let Some(device) = self.device else {
            swarm.turn(moment, &mut |frame| {
                std::hint::black_box(frame);
                true
            });
            return;
        };
        let mut device = device.borrow_mut();
        let mut arrived = Burst::new();
        device.receive(&mut arrived);
        swarm.receive(arrived.iter().map(Mbuf::frame), moment, &mut |frame| device.put(frame));
        swarm.turn(moment, &mut |frame| device.put(frame));
        device.flush();
    }
}

impl Task for Sending<'_> {
    fn ready(&mut self) {
        if let Some(device) = self.device {
            super::take_back(&mut device.borrow_mut());
        }
        let Some(left) = self.pooled else { return };
        if left >= BLOCK {
            self.pooled = Some(left - BLOCK);
            return;
        }
        self.swarm.end(self.now);
        // A pool that does not fit would send nothing, and a figure without packets is none.
        let _: Result<(), _> = self.swarm.prepare(Duration::from_nanos(POOLED), || self.now);
        self.swarm.begin(self.now);
        self.pooled = Some(POOLED - BLOCK);
    }

    fn run(&mut self) -> u64 {
        let before = self.swarm.tally().data_sent;
        for _ in 0..BLOCK / BATCH_LEN as u64 {
            self.turn();
        }
        self.swarm.tally().data_sent - before
    }
}

/// Clients that get their own packets back from a server in memory.
pub(super) struct Receiving {
    swarm: Swarm,
    far_end: FarEnd,
    now: Instant,
    back: Vec<Vec<u8>>,
}

impl Receiving {
    pub(super) fn new() -> Result<Self, Error> {
        let (mut swarm, far_end, now) = far_end::connected(far_end::plan(Sealing::Live))?;
        swarm.begin(now);
        Ok(Self { swarm, far_end, now, back: Vec::new() })
    }
}

impl Task for Receiving {
    fn ready(&mut self) {
        self.back.clear();
        let mut frames = Vec::new();
        for _ in 0..BLOCK / BATCH_LEN as u64 {
            self.now = Instant(self.now.0 + BATCH_LEN as u64);
            self.swarm.turn(far_end::moment(self.now), &mut |frame| {
                frames.push(frame.to_vec());
                true
            });
        }
        for frame in &frames {
            self.far_end.receive(frame, self.now, &mut self.back);
        }
    }

    fn run(&mut self) -> u64 {
        let before = self.swarm.tally().data_received;
        for burst in self.back.chunks(BATCH_LEN) {
            let frames = burst.iter().map(Vec::as_slice);
            self.swarm.receive(frames, far_end::moment(self.now), &mut |_| true);
        }
        self.swarm.tally().data_received - before
    }
}
