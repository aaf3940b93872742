//! A run: clients connect, traffic and attacks for the time asked for, then silence until everything that can arrive
//! has arrived. One thread, one device.

mod arm;
mod interval;
mod respond;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dpdk::Mbuf;
use dpdk::clock::Clock;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use wireguard::aead::Implementation;
use wireguard::time::Instant;

use crate::attack::Captured;
use crate::client::{Swarm, Tally};
use crate::device::{Burst, Device};
use crate::measure::{Latency, Sums};
use crate::profile::Profile;
use crate::report::{self, Interval, Report, Verdict};
use crate::responder::Responder;
use crate::stop::Stop;
use crate::streams::{Captures, Streams};

/// How often the sessions are counted while the clients connect.
const COUNT_EVERY: Duration = Duration::from_millis(5);
/// What an idle run that may sleep does.
const SLEEP: Duration = Duration::from_micros(20);
/// The time that a line of the report covers.
const INTERVAL: Duration = Duration::from_secs(1);
/// For what came due in the last turn before the end.
const GRACE: Duration = Duration::from_millis(10);
/// How often `tell` hears of the connecting clients.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// What a run tells while it goes on.
#[derive(Debug)]
pub enum Told<'a> {
    /// The clients connect.
    Connecting {
        /// Those that have a session.
        connected: usize,
        /// All that will call.
        clients: u32,
        /// Since the first one called.
        secs: f64,
    },
    /// An interval of the traffic has passed; the streams beside the clients, each by its name.
    Interval(&'a Interval, &'a [report::Pace]),
    /// An interval of the responder's work has passed.
    Responder(&'a report::responder::Interval),
}

/// A run under way.
#[derive(Debug)]
pub struct Run<'a> {
    profile: &'a Profile,
    device: Device,
    swarm: Swarm,
    responder: Option<Responder>,
    streams: Streams,
    /// The replays' captures, until they begin.
    captures: Captures,
    /// What attacks that replay may use, until they are armed; none if there is no attack.
    captured: Option<Captured>,
    clock: Clock,
    /// The Unix time at the clock's zero.
    unix: Duration,
    random: ChaCha20Rng,
    /// When the traffic ends.
    end: Instant,
    /// What became of the device before the end, and when, if it went.
    gone: Option<String>,
    /// Attacks that could not be made, and why.
    unarmed: Vec<String>,
    /// Packets of the clients' that ended at the responder.
    measured_behind: u64,
    /// What the responder had done by the last interval.
    told: respond::Counts,
    stop: &'a Stop,
    latency: Latency,
    lateness: Latency,
}

impl<'a> Run<'a> {
    /// A run that has sent nothing yet. It ends early when that is asked for.
    pub fn new(profile: &'a Profile, captures: Captures, device: Device, stop: &'a Stop) -> Self {
        let clock = Clock::calibrate();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Instant(clock.now_ns());
        let swarm = Swarm::new(profile.plan.clone(), device.mac(), now);
        let plan = profile.responder.clone();
        let responder = plan.map(|plan| Responder::new(plan, device.mac(), now));
        let streams = Streams::new(profile, device.mac(), unix.subsec_nanos());
        Self {
            profile,
            device,
            swarm,
            responder,
            streams,
            captures,
            captured: (!profile.attacks.is_empty()).then(Captured::default),
            unarmed: Vec::new(),
            measured_behind: 0,
            clock,
            unix: unix.saturating_sub(now.since(Instant::ZERO)),
            random: ChaCha20Rng::seed_from_u64(profile.plan.seed ^ 1),
            end: now,
            gone: None,
            told: respond::Counts::default(),
            stop,
            latency: Latency::new(),
            lateness: Latency::new(),
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// An attack that no run of this profile can make, with what it lacks; packets that cannot be prepared.
    pub fn go(
        mut self,
        tell: &mut impl FnMut(Told<'_>),
    ) -> Result<(Report, Latency), Box<dyn std::error::Error>> {
        let begin = self.now();
        let connected = self.connect(tell);
        let connect_secs = self.now().since(begin).as_secs_f64();
        let is_ready = self.is_resolved() && !self.is_stopped();
        if is_ready {
            self.arm()?;
            let clock = &self.clock;
            self.swarm.prepare(self.profile.times.traffic, || Instant(clock.now_ns()))?;
        }
        let begin = self.now();
        if is_ready {
            self.swarm.begin(begin);
            let captures = std::mem::take(&mut self.captures);
            self.streams.begin(self.profile, captures, begin);
            self.end = begin + self.profile.times.traffic;
            self.limit(self.end);
            self.traffic(begin, tell);
        }
        let end = self.now();
        self.finish(end);
        self.wait(self.profile.times.drain);
        self.take_interval();
        let times = (connect_secs, end.since(begin).as_secs_f64());
        if self.profile.plan.clients == 0 {
            self.streams.barrages().iter().for_each(|barrage| self.latency.add(barrage.latency()));
        }
        Ok((self.report(connected, times), self.latency))
    }

    fn is_resolved(&self) -> bool {
        self.swarm.link().is_resolved() && self.streams.is_resolved()
    }

    fn now(&self) -> Instant {
        Instant(self.clock.now_ns())
    }

    /// Takes what has come and does what is due. Returns how much that was.
    fn turn(&mut self) -> usize {
        let moment = self.moment();
        let now = moment.now;
        let mut arrived = Burst::new();
        let mut done = self.device.receive(&mut arrived);
        let ends_behind = self.ends_behind();
        let Self { device, swarm, responder, streams, random, captured, measured_behind, .. } =
            self;
        arrived.retain(|frame| {
            let Some(responder) = responder.as_mut().filter(|r| r.owns(frame.frame())) else {
                return !streams.receive(frame.frame(), now, &mut |frame| device.put(frame));
            };
            let mut claim = |trailer| {
                let is_clients = ends_behind && swarm.meter().knows(trailer);
                if is_clients {
                    swarm.meter_mut().received(trailer, now);
                    *measured_behind += 1;
                }
                is_clients || streams.claim(trailer, now)
            };
            responder.receive(frame.frame(), now, &mut claim, &mut |frame| device.put(frame));
            false
        });
        let mut put = |frame: &[u8]| {
            if let Some(captured) = captured {
                captured.keep(frame);
            }
            device.put(frame)
        };
        swarm.receive(arrived.iter().map(Mbuf::frame), moment, &mut put);
        done += swarm.turn(moment, &mut put);
        if let Some(responder) = responder {
            done += responder.turn(now, &mut |frame| device.put(frame));
        }
        done += streams.turn(now, random, &mut |frame| device.put(frame));
        done + device.flush()
    }

    fn turn_or_rest(&mut self) {
        if self.turn() == 0 && self.profile.device.sleep {
            std::thread::sleep(SLEEP);
        }
    }

    fn is_stopped(&self) -> bool {
        self.gone.is_some() || self.stop.is_asked()
    }

    /// Looks after the device, which may go at any time.
    fn watch(&mut self, begin: Instant) {
        if let Some(what) = self.device.gone() {
            let secs = self.now().since(begin).as_secs_f64();
            self.gone = Some(format!("{what} after {secs:.1} s of the run"));
        }
    }

    fn connect(&mut self, tell: &mut impl FnMut(Told<'_>)) -> usize {
        let (begin, clients) = (self.now(), self.profile.plan.clients);
        let (mut count_at, mut tell_at) = (begin, begin + TELL_EVERY);
        loop {
            self.turn_or_rest();
            let now = self.now();
            let is_over = now.since(begin) > self.profile.times.connect || self.is_stopped();
            // Looking at each of very many clients takes longer than a device can wait: only where it may be of use.
            let may_be_all = self.swarm.tally().sessions >= self.profile.plan.members().into();
            if !is_over && now < tell_at && (now < count_at || !may_be_all) {
                continue;
            }
            count_at = now + COUNT_EVERY;
            let connected = self.swarm.connected(now);
            let are_all = connected == clients as usize && self.swarm.hostile_connected(now);
            if is_over || (are_all && self.is_resolved()) {
                return connected;
            }
            if now >= tell_at {
                tell_at = now + TELL_EVERY;
                let secs = now.since(begin).as_secs_f64();
                tell(Told::Connecting { connected, clients, secs });
                self.watch(begin);
            }
        }
    }

    fn traffic(&mut self, begin: Instant, tell: &mut impl FnMut(Told<'_>)) {
        let mut last = (begin, interval::Counts::default());
        loop {
            self.turn_or_rest();
            let now = self.now();
            let is_over = now >= self.end || self.is_stopped() || self.has_nothing_left();
            if now.since(last.0) < INTERVAL && !is_over {
                continue;
            }
            self.watch(begin);
            let counts = self.counts();
            let length = now.since(last.0);
            let paces = self.paces((&counts, &last.1), length);
            let times = (now.since(begin), length);
            let interval = self.interval((&counts, &last.1), &paces, times);
            self.tell((&interval, &paces), length, tell);
            if is_over {
                return;
            }
            last = (now, counts);
        }
    }

    /// Whether only replays were asked for, and all of them are over; or nothing but attacks that cannot be made.
    fn has_nothing_left(&self) -> bool {
        let has_others = self.profile.plan.clients > 0 || self.responder.is_some();
        let is_unarmed = !self.unarmed.is_empty() && self.streams.barrages().is_empty();
        !has_others && (self.streams.are_over() || is_unarmed)
    }

    /// Lets nothing be due later than this.
    fn limit(&mut self, until: Instant) {
        self.swarm.limit(until);
        self.streams.limit(until);
    }

    /// Sends what is due by the end and no more; what cannot be sent within the grace is owed.
    fn finish(&mut self, end: Instant) {
        self.limit(end.min(self.end));
        while self.owed(end) > 0 && self.now() < end + GRACE {
            self.turn();
        }
        self.swarm.end(end);
        self.responder.iter_mut().for_each(Responder::end);
        self.streams.end(end);
    }

    fn owed(&self, now: Instant) -> u64 {
        self.swarm.owed(now) + self.streams.owed(now)
    }

    /// Takes what is still on its way. Whoever has stopped the traffic gets this as well; who stops once more does not.
    fn wait(&mut self, time: Duration) {
        let until = self.now() + time;
        while self.now() < until && !self.stop.is_urged() {
            self.turn_or_rest();
        }
    }

    fn unresolved(&self) -> Vec<String> {
        let mut all = self.swarm.link().unresolved();
        all.extend(self.streams.unresolved());
        all.sort_unstable();
        all.dedup();
        all.iter().map(ToString::to_string).collect()
    }

    fn report(&self, connected: usize, (connect_secs, traffic_secs): (f64, f64)) -> Report {
        let plan = &self.profile.plan;
        let (attacks, streams) = report::told_apart(self.streams.barrages());
        let tally: Tally = *self.swarm.tally();
        let sums: Sums = self.swarm.meter().sums();
        let mut report = Report {
            schema: 0,
            seed: plan.seed,
            aead: Implementation::chosen().name(),
            clients: plan.clients,
            connected: u32::try_from(connected).unwrap_or(u32::MAX),
            connect_secs,
            traffic_secs,
            loss_allowed: self.profile.loss_allowed,
            frames: self.device.frames(),
            unarmed: self.unarmed.clone(),
            device_gone: self.gone.clone(),
            unresolved: self.unresolved(),
            tally,
            sums,
            latency: self.latency.percentiles(),
            lateness: self.lateness.percentiles(),
            attacks,
            streams,
            beside_streams: self.streams.tally(),
            responder: self.responder.as_ref().map(report::responder::Responder::of),
            verdict: Verdict::Good,
            remarks: Vec::new(),
        };
        report.judge();
        report
    }
}
