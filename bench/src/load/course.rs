//! A trial in virtual time: generator and server take turns on one thread, and only what the server takes moves the clock. Every
//! packet that is due by then goes into a receive queue of a bounded length, as a card would put it there; what finds it full is
//! lost. So nothing is lost because somebody else had the core, and nothing of a generator's weakness shows.

use std::collections::VecDeque;
use std::time::Duration;

use dataplane::counters::Totals;
use dataplane::limits::BURST_LEN_MAX;
use dataplane::port::Batch;
use dpdk::clock::{Clock, cycles};
use dpdk::{Mbuf, mbuf};
use pktgen::attack::ROOM;
use pktgen::measure::{Latency, Stream, Trailer};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wireguard::time::Instant;

use super::beside::Umpire;
use super::lane::Lane;
use super::offer::{Offer, Rules};
use super::pace::{BURST, Pace};
use super::schedule::Schedule;
use super::tally::{self, Tally};
use crate::Failure;
use crate::service::client;
use crate::service::server::End;

/// A packet before the server, and whether it is of the traffic that is measured.
struct Waiting {
    packet: Mbuf,
    is_good: bool,
}

/// A trial under way.
struct Course<'a, 'b> {
    lane: &'a mut Lane,
    offer: Offer<'b>,
    clock: &'a Clock,
    rules: Rules,
    /// The cycles that a turn counts at most.
    clip: f64,
    /// Who says what was longer by itself.
    umpire: Option<Umpire>,
    /// The time at the begin.
    base: Instant,
    /// Cycles of the server's since then, and when packets stop coming.
    elapsed: f64,
    end: f64,
    /// Up to when the handshake thread is busy, and the nanoseconds of its last undisturbed piece of work.
    shaking: f64,
    shaken: u64,
    good: Schedule,
    bad: Option<Schedule>,
    queues: [VecDeque<Waiting>; 3],
    /// Calls with their moments, the next one first: in a flood it matters where between other packets they come.
    calls: VecDeque<(f64, Vec<u8>)>,
    /// Up to when packets have come, and where calls come among them.
    filled: f64,
    random: ChaCha8Rng,
    stream: Stream,
    tally: Tally,
    /// Packets given to the server, and frames that it has sent.
    fed: u64,
    sent: u64,
    frame: Box<[u8]>,
}

/// Makes a trial.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
pub(crate) fn trial(
    lane: &mut Lane,
    offer: Offer<'_>,
    (clock, rules, pace): (&Clock, Rules, Pace),
) -> Result<Tally, Failure> {
    lane.renew()?;
    let hz = clock.hz() as f64;
    let before = lane.server.totals();
    let tally = Tally {
        load: offer.rate,
        seconds: offer.seconds,
        latency: offer.with_latency.then(Latency::new),
        ..Tally::default()
    };
    let mut course = Course {
        base: lane.server.now(),
        lane,
        clock,
        rules,
        clip: pace.full * rules.clip,
        umpire: (offer.beside.is_some() || offer.until_answered).then(Umpire::new).transpose()?,
        elapsed: 0.0,
        end: offer.seconds * hz,
        shaking: 0.0,
        shaken: SHAKE_NS_MAX,
        good: Schedule::new(offer.rate, rules.at_once, hz),
        bad: offer.flood.as_ref().map(|(_, rate)| Schedule::new(*rate, 1, hz)),
        queues: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
        calls: VecDeque::new(),
        filled: 0.0,
        random: ChaCha8Rng::seed_from_u64(CALLS_SEED),
        stream: Stream::default(),
        tally,
        fed: 0,
        sent: 0,
        frame: vec![0; ROOM].into_boxed_slice(),
        offer,
    };
    while course.elapsed < course.end {
        course.fill()?;
        course.turn()?;
    }
    course.stop();
    course.drain()?;
    course.close(&before)
}

/// Turns after the last packet in which whatever the server still does comes to its end.
const IDLE_TURNS: usize = 4;
/// What decides where calls come among other packets.
pub(crate) const CALLS_SEED: u64 = 12;
/// Turns of that at most: what is still there then does not come out.
const DRAIN_TURNS_MAX: usize = 100_000;
/// Nanoseconds that a handshake counts at most, several times what it takes: in more the core has done something else.
const SHAKE_NS_MAX: u64 = 1_000_000;

impl Course<'_, '_> {
    /// Puts into the queues what is due.
    fn fill(&mut self) -> Result<(), Failure> {
        let by = self.elapsed.min(self.end);
        self.gather_calls(by);
        loop {
            let good = self.good.due();
            let bad = self.bad.as_ref().map_or(f64::INFINITY, Schedule::due);
            let call = self.calls.front().map_or(f64::INFINITY, |(due, _)| *due);
            let next = good.min(bad).min(call);
            if next > by || next >= self.end {
                break;
            }
            if good <= next {
                self.put_good(good)?;
            } else if bad <= next {
                self.put_bad()?;
            } else {
                self.put_call()?;
            }
        }
        self.filled = by;
        Ok(())
    }

    /// Takes the calls of the time since the last look, each at any moment of it.
    fn gather_calls(&mut self, by: f64) {
        let now = self.now();
        while let Some(callers) = &mut self.offer.callers {
            let Some(len) = callers.next_frame(&mut self.frame, now) else { break };
            let part = f64::from(self.random.next_u32()) / f64::from(u32::MAX);
            let due = self.filled + part * (by - self.filled);
            let frame = self.frame.get(..len).unwrap_or_default().to_vec();
            let place = self.calls.partition_point(|(other, _)| *other <= due);
            self.calls.insert(place, (due, frame));
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a moment of the trial"
    )]
    fn put_good(&mut self, due: f64) -> Result<(), Failure> {
        self.good.count += 1;
        self.tally.offered += 1;
        let (from, _) = self.offer.way.ends();
        if self.queue(from).len() >= self.rules.ring {
            self.tally.overflow += 1;
            return Ok(());
        }
        let mut packet = self.lane.pool.allocate().ok_or("the pool is empty")?;
        let sequence = self.stream.send();
        let planned = Instant(self.nanoseconds(due as u64));
        let stream = self.mark();
        let len = self.offer.sizes.of(sequence);
        let trailer = Trailer { stream, sequence, planned };
        self.lane.make(self.offer.way, &mut packet, len, trailer)?;
        self.queue(from).push_back(Waiting { packet, is_good: true });
        Ok(())
    }

    fn put_bad(&mut self) -> Result<(), Failure> {
        if let Some(schedule) = &mut self.bad {
            schedule.count += 1;
        }
        self.tally.flood += 1;
        if self.queue(End::Wire).len() >= self.rules.ring {
            self.tally.flood_overflow += 1;
            return Ok(());
        }
        let Some((builder, _)) = &mut self.offer.flood else { return Ok(()) };
        let len = builder.build(&mut self.frame);
        self.put_frame(len)
    }

    fn put_call(&mut self) -> Result<(), Failure> {
        let Some((_, frame)) = self.calls.pop_front() else { return Ok(()) };
        if self.queue(End::Wire).len() >= self.rules.ring {
            return Ok(());
        }
        let len = frame.len();
        self.frame.get_mut(..len).ok_or("a call is too long")?.copy_from_slice(&frame);
        self.put_frame(len)
    }

    fn put_frame(&mut self, len: usize) -> Result<(), Failure> {
        let mut packet = self.lane.pool.allocate().ok_or("the pool is empty")?;
        client::write(&mut packet, |room| {
            room.get_mut(..len)?.copy_from_slice(self.frame.get(..len)?);
            Some(len)
        })?;
        self.queue(End::Wire).push_back(Waiting { packet, is_good: false });
        Ok(())
    }

    /// Gives the server a burst of each queue and lets it have a turn.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
    fn turn(&mut self) -> Result<(), Failure> {
        let fed = self.fed;
        for end in ENDS {
            let mut packets = Batch::new();
            while !packets.is_full()
                && let Some(waiting) = self.queue(end).pop_front()
            {
                packets.push(waiting.packet);
            }
            self.fed += packets.len() as u64;
            self.lane.server.end(end).transmit(&mut packets);
        }
        let now = self.now();
        self.umpire.iter_mut().for_each(Umpire::begin);
        let taken = self.lane.server.turn_at(now) as f64;
        let counted = self.counted(taken);
        self.tally.turns += 1;
        let least = if self.fed == fed { self.offer.rest * self.clock.hz() as f64 } else { 0.0 };
        self.elapsed += counted.max(least);
        self.shake();
        self.go_on_beside()?;
        self.collect();
        Ok(())
    }

    /// What a turn counts that has taken so many cycles.
    #[expect(clippy::cast_precision_loss, reason = "a clock has fewer than 2^52 Hz")]
    fn counted(&mut self, taken: f64) -> f64 {
        if taken <= self.clip || self.umpire.as_mut().is_some_and(Umpire::is_whole) {
            self.tally.longest = self.tally.longest.max(taken / self.clock.hz() as f64);
            return taken;
        }
        self.tally.clips += 1;
        self.tally.clipped += (taken - self.clip) / self.clock.hz() as f64;
        self.clip
    }

    /// Lets go on what goes on beside the worker. When that is over, or all callers have what they want, no more packets come.
    #[expect(clippy::cast_precision_loss, reason = "a clock has fewer than 2^52 Hz")]
    fn go_on_beside(&mut self) -> Result<(), Failure> {
        let now = self.now();
        let mut is_over = match &mut self.offer.beside {
            Some(beside) => beside.turn(&mut self.lane.server, now)?,
            None => false,
        };
        let callers = self.offer.callers.as_ref().filter(|_| self.offer.until_answered);
        is_over |= callers.is_some_and(|callers| callers.are_answered());
        if is_over && self.elapsed < self.end {
            self.end = self.elapsed;
            self.tally.seconds = self.elapsed / self.clock.hz() as f64;
        }
        Ok(())
    }

    /// Lets the handshake thread work beside the worker, for as long as it would have had.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
    fn shake(&mut self) {
        self.shaking = self.shaking.max(self.elapsed - self.clip);
        while self.shaking <= self.elapsed {
            self.umpire.iter_mut().for_each(Umpire::begin);
            let start = cycles();
            if self.lane.server.shake(1) == 0 {
                break;
            }
            let taken = self.nanoseconds(cycles() - start).min(SHAKE_NS_MAX);
            let taken = self.shaken(taken);
            self.shaking += taken as f64 * self.clock.hz() as f64 / 1e9;
            self.lane.server.spend(Duration::from_nanos(taken));
        }
    }

    /// What a piece of the thread's work counts that has taken so many nanoseconds: as much as the last one when the core was taken away.
    fn shaken(&mut self, taken: u64) -> u64 {
        match &mut self.umpire {
            Some(umpire) if !umpire.had_core() => self.shaken.min(taken),
            _ => {
                self.shaken = taken;
                taken
            }
        }
    }

    /// Takes what has left the server.
    fn collect(&mut self) {
        let (_, to) = self.offer.way.ends();
        let now = self.now();
        let moment = now.since(self.base);
        for end in ENDS {
            let mut packets = Batch::new();
            loop {
                self.lane.server.end(end).receive(&mut packets);
                if packets.is_empty() {
                    break;
                }
                self.sent += packets.len() as u64;
                if end == End::Wire
                    && let Some(callers) = &mut self.offer.callers
                {
                    packets.iter().for_each(|packet| callers.hear(packet.frame(), now));
                }
                if end == to {
                    self.hear(&mut packets, moment);
                }
                mbuf::free_bulk(&mut packets);
            }
        }
    }

    fn hear(&mut self, packets: &mut Batch<Mbuf>, moment: Duration) {
        let mark = self.mark();
        let (stream, latency) = (&mut self.stream, &mut self.tally.latency);
        self.lane.hear(self.offer.way, packets, |trailer| {
            if trailer.stream == mark {
                stream.receive(trailer.sequence);
                if let Some(latency) = latency {
                    latency.record(moment.saturating_sub(trailer.planned.since(Instant(0))));
                }
            }
        });
    }

    /// What distinguishes this trial's packets from those of others.
    #[expect(clippy::cast_possible_truncation, reason = "trials are further apart than that")]
    const fn mark(&self) -> u32 {
        (self.base.0 >> 8) as u32
    }

    /// No more packets come.
    fn stop(&mut self) {
        let backlog: usize = self.queues.iter().flatten().filter(|waiting| waiting.is_good).count();
        self.tally.late = (backlog as u64).saturating_sub(BURST);
        self.tally.in_time = self.stream.received();
    }

    /// Lets come through what is on its way. Strangers' handshakes may have to wait for their share of the thread.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
    fn drain(&mut self) -> Result<(), Failure> {
        let mut idle = 0;
        for _ in 0..DRAIN_TURNS_MAX {
            let (fed, sent) = (self.fed, self.sent);
            self.turn()?;
            let shaken = self.lane.server.shake(BURST_LEN_MAX);
            let moved = self.fed != fed || self.sent != sent || shaken > 0;
            idle = if moved { 0 } else { idle + 1 };
            if idle >= IDLE_TURNS {
                if self.lane.server.totals().unaccounted() == 0 {
                    break;
                }
                self.elapsed += self.clock.hz() as f64 / 1_000.0;
                idle = 0;
            }
        }
        Ok(())
    }

    /// The books: every packet came through, or was lost before the server, or was dropped by name.
    fn close(mut self, before: &Totals) -> Result<Tally, Failure> {
        let after = self.lane.server.totals();
        let went = |totals: &Totals| totals.transmitted + totals.delivered;
        let lost = after.dropped_all() - before.dropped_all();
        let missing = self.stream.missing();
        let is_quiet = self.bad.is_none() && self.offer.callers.is_none();
        let closes = after.received - before.received == self.fed
            && went(&after) - went(before) == self.sent
            && (after.unaccounted(), after.held) == (0, 0)
            && self.tally.offered == self.stream.sent() + self.tally.overflow
            && if is_quiet { missing == lost } else { missing <= lost };
        if !closes {
            let (way, fed, sent) = (self.offer.way.name(), self.fed, self.sent);
            let what = format!("{way}: {fed} packets in, {sent} out, {missing} of them missing");
            return Err(format!("the books of a trial do not close: {what}\n{after}").into());
        }
        self.tally.delivered = self.stream.received();
        self.tally.duplicates = self.stream.duplicates();
        self.tally.reordered = self.stream.reordered();
        self.tally.drops = tally::drops(before, &after);
        if let Some(callers) = &self.offer.callers {
            (self.tally.calls, self.tally.answered) = callers.counts();
        }
        Ok(self.tally)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a moment of the trial"
    )]
    fn now(&self) -> Instant {
        self.base + Duration::from_nanos(self.nanoseconds(self.elapsed as u64) + 1)
    }

    /// Nanoseconds of so many cycles.
    fn nanoseconds(&self, cycles: u64) -> u64 {
        let nanoseconds = u128::from(cycles) * 1_000_000_000 / u128::from(self.clock.hz());
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }

    fn queue(&mut self, end: End) -> &mut VecDeque<Waiting> {
        let [wire, kernel, local] = &mut self.queues;
        match end {
            End::Wire => wire,
            End::Kernel => kernel,
            End::Local => local,
        }
    }
}

const ENDS: [End; 3] = [End::Wire, End::Kernel, End::Local];
