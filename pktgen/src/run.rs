//! A run: clients connect, traffic and attacks for the time asked for, then silence until everything that can arrive
//! has arrived. One thread, one device.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dpdk::clock::Clock;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use wireguard::message::{self, Kind};
use wireguard::time::Instant;

use crate::attack::{self, Builder, Captured, Scene};
use crate::barrage::Barrage;
use crate::client::{Moment, Swarm, Tally};
use crate::device::{Burst, Device};
use crate::link::Link;
use crate::measure::{Latency, Sums};
use crate::profile::Profile;
use crate::report::{self, Interval, Report, Verdict};

/// How often the sessions are counted while the clients connect.
const COUNT_EVERY: Duration = Duration::from_millis(5);
/// What an idle run that may sleep does.
const SLEEP: Duration = Duration::from_micros(20);
/// The time that a line of the report covers.
const INTERVAL: Duration = Duration::from_secs(1);
/// For what came due in the last turn before the end.
const GRACE: Duration = Duration::from_millis(10);
/// Data messages that are captured for attacks that replay.
const CAPTURED_MAX: usize = 64;

/// A run under way.
#[derive(Debug)]
pub struct Run<'a> {
    profile: &'a Profile,
    device: Device,
    swarm: Swarm,
    barrages: Vec<Barrage>,
    captured: Captured,
    clock: Clock,
    /// The Unix time at the clock's zero.
    unix: Duration,
    random: ChaCha20Rng,
    /// When the traffic ends.
    end: Instant,
    stop: &'a AtomicBool,
    latency: Latency,
    lateness: Latency,
}

impl<'a> Run<'a> {
    /// A run that has sent nothing yet. It ends early when `stop` becomes true.
    pub fn new(profile: &'a Profile, device: Device, stop: &'a AtomicBool) -> Self {
        let clock = Clock::calibrate();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Instant(clock.now_ns());
        let swarm = Swarm::new(profile.plan.clone(), device.mac(), now);
        Self {
            profile,
            device,
            swarm,
            barrages: Vec::new(),
            captured: Captured::default(),
            clock,
            unix: unix.saturating_sub(now.since(Instant::ZERO)),
            random: ChaCha20Rng::seed_from_u64(profile.plan.seed ^ 1),
            end: now,
            stop,
            latency: Latency::new(),
            lateness: Latency::new(),
        }
    }

    /// All of it: `tell` gets each interval.
    ///
    /// # Errors
    /// An attack that cannot be made here, with what it lacks.
    pub fn go(
        mut self,
        tell: &mut impl FnMut(&Interval),
    ) -> Result<(Report, Latency), attack::Error> {
        let begin = self.now();
        let connected = self.connect();
        let connect_secs = self.now().since(begin).as_secs_f64();
        self.arm()?;
        let begin = self.now();
        if self.swarm.link().is_resolved() {
            self.swarm.begin(begin);
            self.end = begin + self.profile.times.traffic;
            self.limit(self.end);
            self.traffic(begin, tell);
        }
        let end = self.now();
        self.finish(end);
        let drained = std::mem::take(&mut self.barrages);
        self.wait(self.profile.times.drain);
        self.barrages = drained;
        self.take_interval();
        let times = (connect_secs, end.since(begin).as_secs_f64());
        Ok((self.report(connected, times), self.latency))
    }

    fn now(&self) -> Instant {
        Instant(self.clock.now_ns())
    }

    /// Takes what has come and does what is due. Returns how much that was.
    fn turn(&mut self) -> usize {
        let now = Instant(self.clock.now_ns());
        let moment = Moment { now, unix: self.unix + now.since(Instant::ZERO) };
        let mut arrived = Burst::new();
        let mut done = self.device.receive(&mut arrived);
        let Self { device, swarm, barrages, random, captured, .. } = self;
        for frame in &arrived {
            swarm.receive(frame.frame(), moment, &mut |frame| device.put(frame));
        }
        done += swarm.turn(moment, &mut |frame| {
            capture(captured, frame);
            device.put(frame)
        });
        for barrage in barrages {
            done += barrage.turn(now, random, &mut |frame| device.put(frame));
        }
        done + device.flush()
    }

    fn turn_or_rest(&mut self) {
        if self.turn() == 0 && self.profile.device.sleep {
            std::thread::sleep(SLEEP);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn connect(&mut self) -> usize {
        let (begin, clients) = (self.now(), self.profile.plan.clients as usize);
        let mut count_at = begin;
        loop {
            self.turn_or_rest();
            let now = self.now();
            let is_over = now.since(begin) > self.profile.times.connect || self.is_stopped();
            if now < count_at && !is_over {
                continue;
            }
            count_at = now + COUNT_EVERY;
            let connected = self.swarm.connected(now);
            if is_over || (connected == clients && self.swarm.link().is_resolved()) {
                return connected;
            }
        }
    }

    fn traffic(&mut self, begin: Instant, tell: &mut impl FnMut(&Interval)) {
        let mut last = (begin, self.counts());
        loop {
            self.turn_or_rest();
            let now = self.now();
            let is_over = now >= self.end || self.is_stopped();
            if now.since(last.0) < INTERVAL && !is_over {
                continue;
            }
            let counts = self.counts();
            let secs = now.since(last.0).as_secs_f64().max(f64::MIN_POSITIVE);
            let rate = |pick: fn(&Counts) -> u64| {
                report::share(pick(&counts).saturating_sub(pick(&last.1)), 1) / secs
            };
            let (intended_pps, sent_pps) =
                (rate(|counts| counts.planned), rate(|counts| counts.sent));
            let (received_pps, attack_pps) =
                (rate(|counts| counts.received), rate(|counts| counts.attack));
            let (latency, lateness) = self.take_interval();
            let at_secs = now.since(begin).as_secs_f64();
            tell(&Interval {
                at_secs,
                intended_pps,
                sent_pps,
                received_pps,
                attack_pps,
                latency,
                lateness,
            });
            if is_over {
                return;
            }
            last = (now, counts);
        }
    }

    /// Lets nothing be due later than this.
    fn limit(&mut self, until: Instant) {
        self.swarm.limit(until);
        self.barrages.iter_mut().for_each(|barrage| barrage.limit(until));
    }

    /// Sends what is due by the end and no more; what cannot be sent within the grace is owed.
    fn finish(&mut self, end: Instant) {
        self.limit(end.min(self.end));
        while self.owed(end) > 0 && self.now() < end + GRACE {
            self.turn();
        }
        self.swarm.end(end);
        self.barrages.iter_mut().for_each(|barrage| barrage.end(end));
    }

    fn owed(&self, now: Instant) -> u64 {
        let attacks: u64 = self.barrages.iter().map(|barrage| barrage.owed(now)).sum();
        self.swarm.owed(now) + attacks
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now() + time;
        while self.now() < until {
            self.turn_or_rest();
        }
    }

    fn counts(&self) -> Counts {
        let (tally, now) = (self.swarm.tally(), self.now());
        let attack = self.barrages.iter().map(|barrage| barrage.tally().sent).sum();
        let planned = tally.planned + self.swarm.owed(now);
        Counts { planned, sent: tally.data_sent, received: tally.data_received, attack }
    }

    /// The interval's latency and lateness, which move to the whole run's.
    fn take_interval(&mut self) -> (crate::measure::Percentiles, crate::measure::Percentiles) {
        let meter = self.swarm.meter_mut();
        let points = (meter.latency.percentiles(), meter.lateness.percentiles());
        self.latency.add(&meter.latency);
        self.lateness.add(&meter.lateness);
        meter.latency.clear();
        meter.lateness.clear();
        points
    }

    /// Prepares the attacks, which may replay what the clients have sent so far.
    fn arm(&mut self) -> Result<(), attack::Error> {
        if self.profile.attacks.is_empty() || !self.swarm.link().is_resolved() {
            return Ok(());
        }
        let scene = self.scene();
        let now = self.now();
        let made = self.profile.attacks.iter().map(|assault| {
            let builder = Builder::new(assault.attack, &scene)?;
            Ok(Barrage::new(builder, assault.rate, assault.pattern, now))
        });
        self.barrages = made.collect::<Result<_, _>>()?;
        Ok(())
    }

    fn scene(&mut self) -> Scene {
        let plan = &self.profile.plan;
        let first = plan.servers.first();
        let hop = first.and_then(|server| self.swarm.link().next_hop(server.is_ipv4()));
        let link = attack::Link {
            server: hop.unwrap_or_default(),
            station: self.device.mac(),
            vlan: plan.vlan,
        };
        let port = first.map_or(0, std::net::SocketAddr::port);
        let mut scene = Scene::new(link, plan.server_public, port, plan.seed);
        for server in &plan.servers {
            match server {
                std::net::SocketAddr::V4(server) => scene.target_v4 = Some(*server.ip()),
                std::net::SocketAddr::V6(server) => scene.target_v6 = Some(*server.ip()),
            }
        }
        scene.captured = std::mem::take(&mut self.captured);
        scene
    }

    fn report(&self, connected: usize, (connect_secs, traffic_secs): (f64, f64)) -> Report {
        let plan = &self.profile.plan;
        let attacks = self.barrages.iter().map(|barrage| report::Attack {
            name: barrage.name().to_owned(),
            tally: *barrage.tally(),
            lateness: barrage.lateness().percentiles(),
        });
        let tally: Tally = *self.swarm.tally();
        let sums: Sums = self.swarm.meter().sums();
        let mut report = Report {
            schema: 0,
            seed: plan.seed,
            clients: plan.clients,
            connected: u32::try_from(connected).unwrap_or(u32::MAX),
            connect_secs,
            traffic_secs,
            loss_allowed: self.profile.loss_allowed,
            device_missed: self.device.statistics().missed,
            unresolved: unresolved(self.swarm.link()),
            tally,
            sums,
            latency: self.latency.percentiles(),
            lateness: self.lateness.percentiles(),
            attacks: attacks.collect(),
            verdict: Verdict::Good,
            remarks: Vec::new(),
        };
        report.judge();
        report
    }
}

/// Counts whose differences make the rates of an interval.
struct Counts {
    planned: u64,
    sent: u64,
    received: u64,
    attack: u64,
}

fn unresolved(link: &Link) -> Vec<String> {
    link.unresolved().iter().map(ToString::to_string).collect()
}

/// Keeps the first messages that the clients send, for attacks that replay.
fn capture(captured: &mut Captured, frame: &[u8]) {
    if captured.datagrams.len() >= CAPTURED_MAX && captured.initiation.is_some() {
        return;
    }
    let Some(located) = wire::ethernet::parse(frame)
        .ok()
        .and_then(|header| frame.get(header.payload_offset..))
        .and_then(crate::packet::read)
    else {
        return;
    };
    match message::kind(located.payload) {
        Ok(Kind::Data) if captured.datagrams.len() < CAPTURED_MAX => {
            captured.datagrams.push(located.payload.to_vec());
        }
        Ok(Kind::Initiation) if captured.initiation.is_none() => {
            captured.initiation = Some(located.payload.to_vec());
        }
        Ok(Kind::Data | Kind::Initiation | Kind::Response | Kind::CookieReply) | Err(_) => {}
    }
}
