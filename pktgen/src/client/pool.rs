//! A prepared pool: the packets of a run, sealed before it begins with the counters that they will have, and then sent
//! from memory at the plan's pace. What the swarm can send then does not depend on the cipher.
//!
//! Counters must leave in their order, so the sessions send nothing else until the pool is empty: no keepalives, no
//! answers, no renewal. A run has to end before the sessions want one.

use std::fmt;
use std::time::Duration;

use wireguard::limits::REKEY_AFTER_TIME;
use wireguard::time::Instant;

use super::batch::{BATCH_LEN, Batch};
use super::plan::{Sealing, Traffic};
use super::{Swarm, traffic};
use crate::measure::Meter;
use crate::pace::Pacer;

/// Packets that a plan is walked through for what they need, if that is too much already.
const WALKED_MAX: u64 = 1 << 22;
/// Octets beside a frame that remember it.
const ENTRY_LEN: u64 = size_of::<Entry>() as u64;

/// Why the packets of a run are not prepared: a sentence and its remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// They need more memory than they may have, octets.
    TooMuch {
        /// What they need.
        needed: u64,
        /// What they may have.
        allowed: u64,
    },
    /// The machine does not have that memory, octets.
    NoMemory(u64),
    /// A session has to be renewed before the run ends.
    TooLong {
        /// How long the traffic lasts.
        traffic: Duration,
        /// How long the oldest session still serves.
        left: Duration,
    },
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMuch { needed, allowed } => {
                let [needed, allowed] = [needed, allowed].map(|octets| octets.div_ceil(1 << 20));
                write!(
                    f,
                    "the packets of the run need {needed} MiB and may have {allowed}: raise traffic.pool_megabytes to {needed}, or lower traffic.rate or run.secs"
                )
            }
            Self::NoMemory(needed) => write!(
                f,
                "the packets of the run need {} MiB, which this machine does not have: lower traffic.rate or run.secs",
                needed.div_ceil(1 << 20)
            ),
            Self::TooLong { traffic, left } => write!(
                f,
                "the traffic lasts {:.1} s and the oldest session has to be renewed in {:.1} s, which packets that were sealed ahead do not survive: lower run.secs, or prepare fewer packets",
                traffic.as_secs_f64(),
                left.as_secs_f64()
            ),
        }
    }
}

impl std::error::Error for Refused {}

/// One packet of the pool.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// When it is planned to leave.
    planned: Instant,
    number: u32,
    /// Octets of its frame; 0 when the client had no session.
    len: u16,
}

/// The packets of a run.
#[derive(Debug)]
pub(super) struct Pool {
    frames: Vec<u8>,
    entries: Vec<Entry>,
    /// The begin that the packets were planned for.
    planned_for: Instant,
    /// What the planned times lack; none before the begin.
    shift: Option<Duration>,
    until: Instant,
    /// The next packet, and where its frame starts.
    next: (usize, usize),
}

impl Pool {
    /// None when there is no memory for so many packets and octets.
    pub(super) fn new(planned_for: Instant, (packets, octets): (usize, usize)) -> Option<Self> {
        let (mut frames, mut entries) = (Vec::new(), Vec::new());
        frames.try_reserve_exact(octets).ok()?;
        entries.try_reserve_exact(packets).ok()?;
        Some(Self {
            frames,
            entries,
            planned_for,
            shift: None,
            until: Instant::NEVER,
            next: (0, 0),
        })
    }

    /// The traffic begins now: how much later that is than planned.
    pub(super) fn begin(&mut self, now: Instant) -> Duration {
        let shift = now.since(self.planned_for);
        self.shift = Some(shift);
        shift
    }

    pub(super) const fn limit(&mut self, until: Instant) {
        self.until = until;
    }

    /// Whether the traffic has begun and packets are left.
    pub(super) const fn is_under_way(&self) -> bool {
        self.shift.is_some() && self.next.0 < self.entries.len()
    }

    /// The planned time of an entry as it came to be.
    fn planned(&self, entry: &Entry) -> Option<Instant> {
        self.shift.map(|shift| entry.planned + shift)
    }

    /// Packets that are due by `now` and were not sent.
    pub(super) fn owed(&self, now: Instant) -> u64 {
        let now = now.min(self.until);
        let left = self.entries.get(self.next.0..).unwrap_or_default();
        let due = left.partition_point(|entry| self.planned(entry).is_some_and(|at| at <= now));
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    /// The next packet if it is due: its frame is empty when its client had no session.
    fn take(&mut self, now: Instant) -> Option<(u32, Instant, &[u8])> {
        let entry = *self.entries.get(self.next.0)?;
        let planned = self.planned(&entry).filter(|&at| at <= now.min(self.until))?;
        let begin = self.next.1;
        let end = begin + usize::from(entry.len);
        self.next = (self.next.0 + 1, end);
        Some((entry.number, planned, self.frames.get(begin..end).unwrap_or_default()))
    }

    /// What was not sent never was.
    pub(super) fn withdraw(&self, meter: &mut Meter) {
        let left = self.entries.get(self.next.0..).unwrap_or_default();
        left.iter().filter(|entry| entry.len > 0).for_each(|entry| meter.withdraw(entry.number));
    }
}

impl Swarm {
    /// Seals the packets of `time` of traffic, if the plan wants them prepared. Call it when the clients are
    /// connected, right before [`Swarm::begin`]; `clock` says how late it has become meanwhile.
    ///
    /// # Errors
    /// When they do not fit, or the sessions do not last.
    pub fn prepare(&mut self, time: Duration, clock: impl Fn() -> Instant) -> Result<(), Refused> {
        let Some(traffic) = &self.shared.plan.traffic else { return Ok(()) };
        let Sealing::Prepared(allowed) = traffic.sealing else { return Ok(()) };
        let traffic = traffic.clone();
        let now = clock();
        self.outlive(time, now)?;
        let (packets, octets) = self.measure_pool(&traffic, (time, allowed), now);
        let needed = octets.saturating_add(packets.saturating_mul(ENTRY_LEN));
        if needed > allowed {
            return Err(Refused::TooMuch { needed, allowed });
        }
        let whole = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let pool = Pool::new(now, (whole(packets), whole(octets)));
        let mut pool = pool.ok_or(Refused::NoMemory(needed))?;
        self.fill(&mut pool, &traffic, time);
        self.outlive(time, clock()).inspect_err(|_| pool.withdraw(&mut self.shared.meter))?;
        self.pool = Some(pool);
        Ok(())
    }

    /// Whether every session serves until the traffic ends.
    fn outlive(&self, traffic: Duration, now: Instant) -> Result<(), Refused> {
        let tunnels = self.members.iter().filter_map(|member| member.tunnel.as_deref());
        let oldest = tunnels.filter_map(|tunnel| Some(tunnel.current(now)?.established_at())).min();
        let left = oldest.map_or(REKEY_AFTER_TIME, |at| (at + REKEY_AFTER_TIME).since(now));
        if traffic < left { Ok(()) } else { Err(Refused::TooLong { traffic, left }) }
    }

    /// Packets and octets of frames of a run, which is walked through once without sealing. The walk ends where it is
    /// plain that they are too many, and the rest is taken to be as what was walked.
    fn measure_pool(
        &self,
        traffic: &Traffic,
        (time, allowed): (Duration, u64),
        begin: Instant,
    ) -> (u64, u64) {
        let (mut gaps, mut pacer) = (traffic::gaps(&self.shared.plan), pacer(traffic, time, begin));
        let mut octets = 0;
        loop {
            let len = traffic.sizes.of(pacer.planned());
            let frame_len = self.shared.plan.frame_len_max(len);
            if pacer.take(Instant::NEVER, self.shared.plan.frame_len(len), &mut gaps).is_none() {
                return (pacer.planned(), octets);
            }
            octets += u64::try_from(frame_len).unwrap_or(u64::MAX);
            if octets > allowed && pacer.planned() >= WALKED_MAX {
                let walked = pacer.next().since(begin).as_nanos().max(1);
                let all = |count: u64| u64::try_from(u128::from(count) * time.as_nanos() / walked);
                return [pacer.planned(), octets]
                    .map(|count| all(count).unwrap_or(u64::MAX))
                    .into();
            }
        }
    }

    fn fill(&mut self, pool: &mut Pool, traffic: &Traffic, time: Duration) {
        let begin = pool.planned_for;
        let (mut gaps, mut pacer) = (traffic::gaps(&self.shared.plan), pacer(traffic, time, begin));
        let mut batch = Batch::new();
        loop {
            let len = traffic.sizes.of(self.cursor.turn());
            let frame_len = self.shared.plan.frame_len(len);
            let taken = pacer.take(Instant::NEVER, frame_len, &mut gaps);
            if batch.is_full() || taken.is_none() {
                self.seal(pool, &mut batch);
            }
            let Some(planned) = taken else { return };
            let (number, turn) = self.cursor.take();
            let Self { members, shared, .. } = self;
            let tunnel = members.get_mut(number as usize);
            let tunnel = tunnel.and_then(|member| member.tunnel.as_deref_mut());
            match tunnel.map(|tunnel| tunnel.outgoing(begin)) {
                Some(Ok(outgoing)) => {
                    shared.lay_in(&mut batch, (number, turn), &outgoing, (len, planned));
                    shared.tally.prepared += 1;
                    // The length follows when the frame is made.
                    pool.entries.push(Entry { planned, number, len: 1 });
                }
                Some(Err(_)) | None => pool.entries.push(Entry { planned, number, len: 0 }),
            }
        }
    }

    /// Seals a batch into the pool.
    fn seal(&self, pool: &mut Pool, batch: &mut Batch) {
        let Pool { frames, entries, .. } = pool;
        // Entries without a session lie between those of the batch.
        let mut at = entries.len();
        let mut left = batch.len();
        while left > 0 && at > 0 {
            at -= 1;
            left -= usize::from(entries.get(at).is_some_and(|entry| entry.len > 0));
        }
        let mut open = entries.iter_mut().skip(at).filter(|entry| entry.len > 0);
        batch.flush(&self.shared.link, |_, frame| {
            let frame = frame.unwrap_or_default();
            frames.extend_from_slice(frame);
            if let Some(entry) = open.next() {
                entry.len = u16::try_from(frame.len()).unwrap_or(0);
            }
        });
    }

    /// Sends what is due of the pool, a batch at most. Returns how many packets came due.
    pub(super) fn send_prepared(
        &mut self,
        now: Instant,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> usize {
        let Some(pool) = &mut self.pool else { return 0 };
        let (tally, meter) = (&mut self.shared.tally, &mut self.shared.meter);
        for due in 0..BATCH_LEN {
            let Some((number, planned, frame)) = pool.take(now) else { return due };
            tally.planned += 1;
            if frame.is_empty() {
                tally.without_session += 1;
                continue;
            }
            meter.late(planned, now);
            traffic::leave(number, out(frame), tally, meter);
        }
        BATCH_LEN
    }
}

fn pacer(traffic: &Traffic, time: Duration, begin: Instant) -> Pacer {
    let mut pacer = Pacer::new(traffic.rate, traffic.pattern, begin);
    pacer.end(begin + time);
    pacer
}
