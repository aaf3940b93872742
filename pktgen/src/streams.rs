//! Everything that a run sends beside its clients: attacks, synthetic streams and replays, each a barrage, and the
//! neighbours that the streams go to. No device, no clock.

use std::fs::File;
use std::io::BufReader;
use std::net::IpAddr;

use rand_chacha::ChaCha20Rng;
use serde::Serialize;
use wire::ethernet::{self, Mac};
use wire::{arp, icmp, ipv6, nd};
use wireguard::time::Instant;

use crate::barrage::{Barrage, Plan};
use crate::link::{Link, Range, Setup};
use crate::pace::Pacer;
use crate::pcap::Capture;
use crate::profile::{Hop, Pace, Profile};
use crate::replay::{Recorded, Replay, total};
use crate::rewrite::Station;
use crate::synth::{self, Stations, Synth};

/// The longest frame that is sent, without check sequence: what a buffer of the device holds.
pub const FRAME_LEN_MAX: usize = 1_600;
/// Streams that trailers can tell apart: the low octet of their numbers. The rest is the run's own.
const STREAM_BITS: u32 = 8;

/// The replays' captures, read before anything is opened.
#[derive(Debug, Default)]
pub struct Captures(Vec<Capture>);

impl Captures {
    /// Reads the captures of a profile.
    ///
    /// # Errors
    /// The file, the place in it, and what is wrong there.
    pub fn read(profile: &Profile) -> Result<Self, String> {
        let one = |replay: &crate::profile::Replay| {
            let name = replay.file.display();
            let file = File::open(&replay.file)
                .map_err(|error| format!("capture {name} cannot be opened ({error})"))?;
            let capture = Capture::read(BufReader::new(file), FRAME_LEN_MAX - 4)
                .map_err(|error| format!("capture {name}: {error}"))?;
            Ok(capture)
        };
        profile.streams.replays.iter().map(one).collect::<Result<_, String>>().map(Self)
    }

    /// A sentence for each capture that is not sent as it was on the wire.
    pub fn remarks(&self, profile: &Profile) -> Vec<String> {
        let mut remarks = Vec::new();
        for (capture, replay) in self.0.iter().zip(&profile.streams.replays) {
            let (name, too_long, cut) = (&replay.name, capture.too_long, capture.cut);
            if too_long > 0 {
                let max = FRAME_LEN_MAX - 4;
                remarks.push(format!("{name}: {too_long} frames are empty or longer than {max} octets and left out; capture without segmentation offload (ethtool -K IFACE gro off tso off)"));
            }
            if cut > 0 {
                remarks.push(format!("{name}: {cut} frames were not captured to their ends, which are zeros now; capture with tcpdump -s 0"));
            }
        }
        remarks
    }
}

/// Frames that belong to the streams without being one of theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Questions and answers about link addresses.
    pub neighbour: u64,
    /// The same, that the device did not take.
    pub unsent: u64,
    /// Packets with a trailer of this run that name no stream of it.
    pub strange: u64,
}

/// The streams of a run.
#[derive(Debug)]
pub struct Streams {
    barrages: Vec<Barrage>,
    link: Link,
    mac: Mac,
    /// Addresses that others answer for.
    others: Vec<Range>,
    /// What the trailers of this run have in common.
    tag: u32,
    tally: Tally,
    /// Whether anything can come back.
    is_measured: bool,
}

impl Streams {
    /// No stream yet, behind the link address `mac`. `tag`, of which 24 bits count, tells this run's packets from those
    /// of others.
    pub fn new(profile: &Profile, mac: Mac, tag: u32) -> Self {
        let plan = &profile.plan;
        let routers = plan.routers.iter().map(|&first| Range { first, count: 1 });
        let others = plan.outer.iter().copied().chain(routers).collect();
        let setup = Setup {
            mac,
            vlan: plan.vlan,
            addresses: profile.streams.own_addresses(),
            hops: profile.streams.gateways(),
        };
        let link = Link::new(setup);
        let (barrages, tally, tag) = (Vec::new(), Tally::default(), tag << STREAM_BITS);
        Self { barrages, link, mac, others, tag, tally, is_measured: false }
    }

    /// Whether all neighbours are known that the streams go to.
    pub fn is_resolved(&self) -> bool {
        self.link.is_resolved()
    }

    /// Those that have not answered.
    pub fn unresolved(&self) -> Vec<IpAddr> {
        self.link.unresolved()
    }

    /// Takes the neighbours for known without asking, for a run on no link.
    pub fn assume(&mut self, mac: Mac) {
        self.link.assume(mac);
    }

    /// Adds the profile's streams, which begin at `now`. Their neighbours have to be known.
    pub fn begin(&mut self, profile: &Profile, captures: Captures, now: Instant) {
        // Trailers number the streams by their places, so these come first.
        let attacks = std::mem::take(&mut self.barrages);
        for stream in &profile.streams.synths {
            let number = u32::try_from(self.barrages.len()).unwrap_or(0);
            let Some(to) = self.station(stream.hop) else { continue };
            let stations = Stations { source: self.mac, to };
            let seed = profile.plan.seed.wrapping_add(u64::from(number) << 32);
            if let Some(synth) = Synth::new(stream.plan.clone(), stations, seed) {
                let (name, mark) = (stream.name.clone(), self.tag | number);
                self.is_measured |= stream.plan.is_measured();
                let pace = (stream.rate, stream.pattern);
                self.barrages.push(Barrage::synth(name, synth, pace, mark, now));
            }
        }
        for (replay, capture) in profile.streams.replays.iter().zip(captures.0) {
            let mut rewrite = replay.rewrite.clone();
            rewrite.station = self.stations(replay);
            let capture = capture.map(|frame, is_cut| rewrite.apply(frame, is_cut));
            let plan = match replay.pace {
                Pace::Recorded(factor) => {
                    Plan::Recorded(Recorded::new(&capture, factor, replay.rounds, now))
                }
                Pace::Rate(rate, pattern) => {
                    Plan::Paced(Pacer::new(rate, pattern, now), total(&capture, replay.rounds))
                }
            };
            self.barrages.push(Barrage::replay(replay.name.clone(), Replay::new(capture), plan));
        }
        self.barrages.extend(attacks);
    }

    fn station(&self, hop: Hop) -> Option<Mac> {
        match hop {
            Hop::Station(mac) => Some(mac),
            Hop::Gateway(address) => self.link.neighbour(address),
        }
    }

    /// None keeps the link addresses of the file.
    fn stations(&self, replay: &crate::profile::Replay) -> Option<Station> {
        let [v4, v6] = replay.hops.map(|hop| hop.and_then(|hop| self.station(hop)));
        let (to_v4, to_v6) = (v4.or(v6)?, v6.or(v4)?);
        Some(Station { source: self.mac, to_v4, to_v6 })
    }

    /// Adds an attack.
    pub fn push(&mut self, attack: Barrage) {
        self.barrages.push(attack);
    }

    /// All of them.
    pub fn barrages(&self) -> &[Barrage] {
        &self.barrages
    }

    /// The same, to take frames from one after the other.
    pub fn barrages_mut(&mut self) -> &mut [Barrage] {
        &mut self.barrages
    }

    /// Takes a frame that has come, if it is a packet of a stream that has come back; false leaves it to others, and
    /// only lets attacks and the link learn from it.
    pub fn receive(
        &mut self,
        frame: &[u8],
        now: Instant,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> bool {
        if self.returned(frame, now) {
            return true;
        }
        self.barrages.iter_mut().for_each(|barrage| barrage.learn(frame));
        // Others answer for their own addresses.
        let asked = asked_for(frame);
        let is_others =
            asked.is_some_and(|asked| self.others.iter().any(|row| row.position(asked).is_some()));
        let Self { link, tally, .. } = self;
        link.receive(frame, &mut |answer| {
            if !is_others {
                tally.transmit(out(answer));
            }
        });
        false
    }

    fn returned(&mut self, frame: &[u8], now: Instant) -> bool {
        if !self.is_measured {
            return false;
        }
        let Some(trailer) = synth::returned(frame) else { return false };
        let number = trailer.stream ^ self.tag;
        if number >> STREAM_BITS != 0 {
            return false;
        }
        match self.barrages.get_mut(number as usize) {
            Some(barrage) => barrage.returned(trailer, now),
            None => self.tally.strange += 1,
        }
        true
    }

    /// Asks for neighbours that are not known, and sends what is due. Returns how many frames came due.
    pub fn turn(
        &mut self,
        now: Instant,
        rng: &mut ChaCha20Rng,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> usize {
        let Self { link, tally, barrages, .. } = self;
        if !link.is_resolved() {
            link.resolve(now, &mut |frame| tally.transmit(out(frame)));
        }
        barrages.iter_mut().map(|barrage| barrage.turn(now, rng, out)).sum()
    }

    /// Lets nothing be due later than this.
    pub fn limit(&mut self, until: Instant) {
        self.barrages.iter_mut().for_each(|barrage| barrage.limit(until));
    }

    /// Frames that are due by now and were not sent yet.
    pub fn owed(&self, now: Instant) -> u64 {
        self.barrages.iter().map(|barrage| barrage.owed(now)).sum()
    }

    /// Ends all of them; what comes back is still counted.
    pub fn end(&mut self, now: Instant) {
        self.barrages.iter_mut().for_each(|barrage| barrage.end(now));
    }

    /// Whether there are streams, and none of them will ever send again.
    pub fn are_over(&self) -> bool {
        !self.barrages.is_empty() && self.barrages.iter().all(Barrage::is_over)
    }

    /// What is counted beside the streams.
    pub const fn tally(&self) -> Tally {
        self.tally
    }
}

impl Tally {
    const fn transmit(&mut self, is_sent: bool) {
        if is_sent {
            self.neighbour += 1;
        } else {
            self.unsent += 1;
        }
    }
}

/// The address that a question about link addresses is for.
fn asked_for(frame: &[u8]) -> Option<IpAddr> {
    let header = ethernet::parse(frame).ok()?;
    let payload = frame.get(header.payload_offset..)?;
    match header.ethertype {
        arp::ETHERTYPE => Some(arp::parse(payload).ok()?.target.into()),
        ipv6::ETHERTYPE => {
            let ip = ipv6::parse(payload).ok().filter(|ip| ip.protocol == icmp::v6::PROTOCOL)?;
            match nd::parse(&ip, payload.get(ip.payload_offset..ip.total_len())?).ok()? {
                nd::Message::Solicitation { target, .. } => Some(target.into()),
                nd::Message::Advertisement { .. } => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
