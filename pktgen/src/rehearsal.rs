//! A rehearsal: what a run would send first, without device, neighbours or server.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use wire::ethernet::{self, Mac};
use wire::{ipv4, ipv6};
use wireguard::time::Instant;

use crate::attack::{self, Builder, Captured, Scene};
use crate::barrage::Barrage;
use crate::client::{Moment, Swarm, inner_packets};
use crate::decode;
use crate::link::{Link, Range, Setup};
use crate::profile::Profile;
use crate::streams::{Captures, Streams};

/// Our station, and that of every next hop: set aside for local use, since nobody was asked.
const OURS: Mac = [2, 0, 0, 0, 0, 1];
const THEIRS: Mac = [2, 0, 0, 0, 0, 0xfe];
/// How far the clients' time goes, and in which steps.
const CLIENTS_TIME: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(1);

/// One frame that would be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When, after the start.
    pub at: Duration,
    /// The frame; a packet that would be sealed stands behind a link header of zeros.
    pub frame: Vec<u8>,
    /// Whether it would be sealed before it is sent.
    pub is_inner: bool,
}

/// The first frames of one source.
#[derive(Clone, Debug)]
pub struct Part {
    /// Whose they are, and what is to be known about them.
    pub title: String,
    /// The frames in the order of their times.
    pub shown: Vec<Shown>,
}

impl Part {
    /// The frames for people: a line for each layer.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.title.clone()];
        for shown in &self.shown {
            let mut layers = decode::frame(&shown.frame);
            if shown.is_inner {
                layers.remove(0);
            }
            let mut layers = layers.into_iter();
            lines.push(format!(
                "{:12.6} s  {}",
                shown.at.as_secs_f64(),
                layers.next().unwrap_or_default()
            ));
            lines.extend(layers.map(|layer| format!("                {layer}")));
        }
        lines
    }
}

/// The first `count` frames of the clients and of every stream. `unix` is the time that initiations bear.
pub fn rehearse(profile: &Profile, captures: Captures, count: usize, unix: Duration) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rehearsal = Rehearsal { profile, count, unix, captured: Captured::default() };
    if profile.plan.clients > 0 {
        parts.push(rehearsal.handshakes());
        parts.extend(rehearsal.traffic());
    }
    rehearsal.streams(captures, &mut parts);
    parts
}

struct Rehearsal<'a> {
    profile: &'a Profile,
    count: usize,
    unix: Duration,
    /// What the clients have sent, for attacks that replay it.
    captured: Captured,
}

impl Rehearsal<'_> {
    /// The swarm's first frames, with the neighbours' answers made up.
    fn handshakes(&mut self) -> Part {
        let plan = &self.profile.plan;
        let mut swarm = Swarm::new(plan.clone(), OURS, Instant::ZERO);
        let addresses = plan.hops.iter().copied().map(Range::one).collect();
        let mut neighbour =
            Link::new(Setup { mac: THEIRS, vlan: plan.vlan, addresses, hops: Vec::new() });
        let mut shown = Vec::new();
        let mut at = Duration::ZERO;
        while shown.len() < self.count && at < CLIENTS_TIME && !swarm.has_called() {
            let moment = Moment { now: Instant::ZERO + at, unix: self.unix + at };
            let mut sent = Vec::new();
            swarm.turn(moment, &mut |frame| {
                sent.push(frame.to_vec());
                true
            });
            for frame in &sent {
                self.captured.keep(frame);
                let mut answers = Vec::new();
                neighbour.receive(frame, &mut |answer| answers.push(answer.to_vec()));
                swarm.receive(answers.iter().map(Vec::as_slice), moment, &mut |_| true);
            }
            shown.extend(sent.into_iter().map(|frame| Shown { at, frame, is_inner: false }));
            at += STEP;
        }
        shown.truncate(self.count);
        let title =
            "clients, up to the first handshakes; neighbours' answers are made up".to_owned();
        Part { title, shown }
    }

    /// The first packets of the traffic as they are before they are sealed: a session needs the server.
    fn traffic(&self) -> Option<Part> {
        let plan = &self.profile.plan;
        plan.traffic.as_ref()?;
        let mut shown = Vec::new();
        for (planned, inner) in inner_packets(plan, self.count, Instant::ZERO) {
            let ethertype =
                if inner.first()? >> 4 == 6 { ipv6::ETHERTYPE } else { ipv4::ETHERTYPE };
            let mut frame = vec![0; ethernet::HEADER_LEN];
            ethernet::emit(&mut frame, [0; 6], [0; 6], None, ethertype).ok()?;
            frame.extend(inner);
            shown.push(Shown { at: planned.since(Instant::ZERO), frame, is_inner: true });
        }
        let title = "clients' packets before they are sealed, since a session needs the server; a pcap has them behind a link header of zeros";
        Some(Part { title: title.to_owned(), shown })
    }

    fn streams(&self, captures: Captures, parts: &mut Vec<Part>) {
        let profile = self.profile;
        let mut streams = Streams::new(profile, OURS, 0);
        streams.assume(THEIRS);
        let scene = self.scene();
        for assault in &profile.attacks {
            match Builder::new(assault.attack, &scene) {
                Ok(builder) => {
                    let pace = (assault.rate, assault.pattern);
                    let nowhere = std::net::SocketAddr::from(([0; 4], 0));
                    streams.push(Barrage::new(builder, [nowhere; 2], pace, Instant::ZERO));
                }
                Err(error) => {
                    let title = format!("{error}: not shown");
                    parts.push(Part { title, shown: Vec::new() });
                }
            }
        }
        streams.begin(profile, captures, Instant::ZERO);
        let mut rng = ChaCha20Rng::seed_from_u64(profile.plan.seed ^ 1);
        for barrage in streams.barrages_mut() {
            let mut shown = Vec::new();
            for _ in 0..self.count {
                barrage.step(Instant::NEVER, &mut rng, &mut |frame, planned| {
                    let at = planned.since(Instant::ZERO);
                    shown.push(Shown { at, frame: frame.to_vec(), is_inner: false });
                    true
                });
            }
            let title = format!("{} {}", barrage.kind().name(), barrage.name());
            parts.push(Part { title, shown });
        }
    }

    fn scene(&self) -> Scene {
        let plan = &self.profile.plan;
        let link = attack::Link { server: THEIRS, station: OURS, vlan: plan.vlan };
        let mut scene = Scene::before(link, plan.server_public, &plan.servers, plan.seed);
        scene.captured.clone_from(&self.captured);
        (scene.tenant_v4, scene.tenant_v6) = (self.profile.tenants.v4, self.profile.tenants.v6);
        scene
    }
}

#[cfg(test)]
mod tests;
