//! SYN authentication for tenants: above a rate of SYNs a source has to show that it receives what is sent to it before
//! its SYNs go on. Only packets to the tenant are seen, never its own.

mod answer;
mod cookie;
mod first;
mod proven;
mod rate;

use std::sync::Arc;
use std::time::Duration;

use wire::Malformed;
use wire::tcp::{self, Flags, OptionField};
use wireguard::time::Instant;

use crate::fate::DropReason;
use crate::fleet::sip::Sip;
use crate::packet::{Address, Ip};

pub use answer::{Answer, Terms, write};
pub use cookie::{Cookie, Cookies, Offer};
pub use first::{First, Meeting};
pub use proven::{Proven, Standing};
use rate::Rate;

/// A TCP segment, and between whom it goes.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Where the packet comes from.
    pub source: Address,
    /// Where it goes.
    pub destination: Address,
    /// Its TCP header.
    pub tcp: tcp::Located,
    /// Octets before the TCP header.
    offset: u16,
}

impl Segment {
    /// Reads the TCP header of a whole packet that is no fragment; `ip` is what its IP header says, `source` whom that
    /// names.
    ///
    /// Errors: as [`tcp::parse`].
    #[inline]
    pub fn read(packet: &[u8], ip: &Ip, source: Address) -> Result<Self, Malformed> {
        let octets = packet.get(usize::from(ip.payload_offset)..usize::from(ip.len));
        let tcp = tcp::parse(octets.ok_or(Malformed::Truncated)?)?;
        Ok(Self { source, destination: ip.destination, tcp, offset: ip.payload_offset })
    }

    /// The options in the packet that this was read from.
    #[inline]
    pub fn options<'a>(&self, packet: &'a [u8]) -> tcp::Options<'a> {
        self.tcp.options(packet.get(usize::from(self.offset)..).unwrap_or_default())
    }

    /// The timestamp that it echoes, when it has one.
    #[inline]
    pub fn echo(&self, packet: &[u8]) -> Option<u32> {
        self.options(packet).map_while(Result::ok).find_map(|option| match option {
            OptionField::Timestamps { echo, .. } => Some(echo),
            OptionField::MaximumSegmentSize(_)
            | OptionField::WindowScale(_)
            | OptionField::SackPermitted
            | OptionField::Sack(_)
            | OptionField::Other { .. } => None,
        })
    }

    /// Whether it asks for a connection.
    #[inline]
    pub fn is_syn(&self) -> bool {
        self.tcp.flags.has(Flags::SYN) && !self.tcp.flags.has(Flags::ACK)
    }

    /// Both ports in one word.
    #[inline]
    fn ports(&self) -> u32 {
        u32::from(self.tcp.source_port) << 16 | u32::from(self.tcp.destination_port)
    }

    /// Both addresses in one word, when they are of IPv4.
    #[inline]
    fn v4(&self) -> Option<u64> {
        let (source, destination) = (self.source.v4()?, self.destination.v4()?);
        Some(u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits()))
    }

    /// Both addresses in words.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "both halves are kept")]
    fn v6(&self) -> [u64; 4] {
        let (source, destination) = (self.source.bits(), self.destination.bits());
        [(source >> 64) as u64, source as u64, (destination >> 64) as u64, destination as u64]
    }
}

/// Where a segment's flow and source stand in the tables: keyed hashes, so that nobody can aim at a place.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Of the source, the destination and both ports.
    pub flow: u64,
    /// Of the source's /32 or /64; the lowest bit is its family.
    pub source: u64,
}

/// The secret of the places.
#[derive(Clone, Copy)]
pub struct Places {
    flows: Sip,
    sources: Sip,
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Places(..)")
    }
}

impl Places {
    /// The places under a secret that all workers of a server share, since they share the proven sources.
    pub fn new(secret: [u8; 16]) -> Self {
        let flows = Sip::new(secret);
        let first = flows.hash(1, 1).to_le_bytes();
        let second = flows.hash(2, 1).to_le_bytes();
        let mut key = [0; 16];
        for (place, octet) in key.iter_mut().zip(first.into_iter().chain(second)) {
            *place = octet;
        }
        Self { flows, sources: Sip::new(key) }
    }

    /// The place of a segment.
    #[inline]
    pub fn of(&self, segment: &Segment) -> Place {
        let ports = u64::from(segment.ports());
        if let Some(addresses) = segment.v4() {
            let flow = self.flows.hash_words([addresses, ports]);
            return Place { flow, source: self.sources.hash_words([addresses >> 32]) & !1 };
        }
        let [one, two, three, four] = segment.v6();
        let flow = self.flows.hash_words([one, two, three, four, ports]);
        Place { flow, source: self.sources.hash_words([one]) | 1 }
    }
}

/// A segment that is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The packet from its IP header on.
    pub packet: &'a [u8],
    /// What was read of it.
    pub segment: &'a Segment,
    /// Its place in the tables.
    pub place: Place,
}

impl Arrival<'_> {
    #[inline]
    fn flags(&self) -> Flags {
        self.segment.tcp.flags
    }
}

/// How the sources of a tenant's SYNs prove themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// Not at all.
    #[default]
    Off,
    /// By answering to a SYN-ACK of ours. The first has an acknowledgment number that the client does not take; it resets
    /// that under the same number and asks again, and whoever uses it notices nothing. A client that repeats its SYN
    /// instead, perhaps because something before it holds such an answer back, gets a cookie; who acknowledges that
    /// is proven, and his connection reset.
    CookieReset,
    /// By repeating the SYN when a client would.
    FirstDrop,
}

/// What a tenant has chosen, as one worker keeps to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How sources prove themselves.
    pub proof: Proof,
    /// SYNs per second and worker from which on they have to; 0: always.
    pub above: u32,
}

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It does not.
    Drop(DropReason),
    /// It is to be answered, see [`write()`].
    Answer(Answer),
    /// It was an answer to us.
    Consume,
}

/// What a guard has done; counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// SYNs answered with a challenge.
    pub challenges: u64,
    /// SYNs answered with a cookie.
    pub cookies: u64,
    /// SYNs dropped to see them again.
    pub dropped: u64,
    /// Sources that have proven themselves.
    pub proven: u64,
    /// SYNs of sources not proven that passed because there was no room to remember a proof.
    pub unkept: u64,
}

/// What our answers offer to a source that is to prove itself: nothing follows them, so no window.
const TERMS: Terms = Terms { mss: 1220, window: 0, window_scale: 0 };

/// One worker's guard over all tenants.
#[derive(Debug)]
pub struct Guard {
    cookies: Cookies,
    proven: Arc<Proven>,
    first: First,
    rates: Box<[Rate]>,
    /// What it has done.
    pub tally: Tally,
}

impl Guard {
    /// A guard for so many tenants that remembers so many SYNs.
    pub fn new(cookies: Cookies, proven: Arc<Proven>, tenants: usize, firsts: usize) -> Self {
        let rates = vec![Rate::default(); tenants].into();
        Self { cookies, proven, first: First::new(firsts), rates, tally: Tally::default() }
    }

    /// A tenant's number stands for another.
    pub(super) fn forget(&mut self, tenant: usize) {
        if let Some(rate) = self.rates.get_mut(tenant) {
            *rate = Rate::default();
        }
    }

    /// Follows the wall clock; call it once per turn.
    pub fn advance(&mut self, unix: Duration) {
        self.cookies.advance(unix);
    }

    /// Begins to fetch what [`Guard::judge`] will look at for a SYN.
    #[inline]
    pub fn fetch(&self, place: Place) {
        self.proven.fetch(place.source);
        self.first.fetch(place.flow);
    }

    /// Judges a segment to tenant number `tenant`. `is_known` says whether it is of a flow that was let in: then it
    /// acknowledges nothing of ours.
    #[inline]
    pub fn judge(
        &mut self,
        arrival: Arrival<'_>,
        (tenant, policy): (usize, Policy),
        is_known: bool,
        now: Instant,
    ) -> Verdict {
        if policy.proof == Proof::Off {
            return Verdict::Pass;
        }
        let Some(rate) = self.rates.get_mut(tenant) else { return Verdict::Pass };
        if arrival.segment.is_syn() {
            let acts = rate.count(policy.above, now);
            return if acts { self.judge_syn(arrival, policy.proof, now) } else { Verdict::Pass };
        }
        if policy.proof != Proof::CookieReset || !rate.acts(now) {
            return Verdict::Pass;
        }
        if arrival.flags().has(Flags::RST) {
            return self.judge_reset(arrival, now);
        }
        if is_known { Verdict::Pass } else { self.judge_ack(arrival, now) }
    }

    #[inline]
    fn judge_syn(&mut self, arrival: Arrival<'_>, proof: Proof, now: Instant) -> Verdict {
        let Arrival { segment, place, .. } = arrival;
        match self.proven.standing(place.source, now) {
            Standing::Proven => return Verdict::Pass,
            Standing::Full => {
                self.tally.unkept += 1;
                return Verdict::Pass;
            }
            Standing::Unproven => {}
        }
        let isn = segment.tcp.sequence_number;
        match (proof, self.first.meet(place.flow, isn, now)) {
            (Proof::FirstDrop, Meeting::Again) => {
                self.prove(place, now);
                Verdict::Pass
            }
            (Proof::FirstDrop, _) => {
                self.tally.dropped += 1;
                Verdict::Drop(DropReason::DosSyn)
            }
            (_, Meeting::First | Meeting::Soon) => {
                self.tally.challenges += 1;
                Verdict::Answer(self.syn_ack(arrival, self.cookies.challenge(segment)))
            }
            (_, Meeting::Again | Meeting::Crowded) => {
                self.tally.cookies += 1;
                Verdict::Answer(self.syn_ack(arrival, isn.wrapping_add(1)))
            }
        }
    }

    /// Also a challenge bears a cookie: the one client in 2^32 that takes it shows it by acknowledging that.
    #[inline]
    fn syn_ack(&self, arrival: Arrival<'_>, acknowledgment_number: u32) -> Answer {
        let syn = arrival.segment;
        let (offer, echo) = Offer::read(syn.options(arrival.packet), syn.source.is_v4());
        let cookie = self.cookies.make(syn, offer);
        Answer::SynAck { cookie, acknowledgment_number, echo, terms: TERMS }
    }

    /// Looks whether a reset answers a challenge. One that answers none is for others to judge, as are those below.
    #[inline]
    fn judge_reset(&mut self, reset: Arrival<'_>, now: Instant) -> Verdict {
        if !self.cookies.answers_challenge(reset.segment) {
            return Verdict::Pass;
        }
        self.prove(reset.place, now);
        Verdict::Consume
    }

    /// Looks whether a segment acknowledges a cookie.
    #[inline]
    fn judge_ack(&mut self, ack: Arrival<'_>, now: Instant) -> Verdict {
        if ack.flags().has(Flags::SYN) || !ack.flags().has(Flags::ACK) {
            return Verdict::Pass;
        }
        if self.cookies.check(ack.segment, ack.segment.echo(ack.packet)).is_none() {
            return Verdict::Pass;
        }
        self.prove(ack.place, now);
        Verdict::Answer(Answer::Reset)
    }

    fn prove(&mut self, place: Place, now: Instant) {
        if self.proven.prove(place.source, now) {
            self.tally.proven += 1;
        }
    }
}

/// Whole seconds, as tables keep them: they last 136 years.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "they last longer than any server")]
const fn seconds(now: Instant) -> u32 {
    (now.0 / 1_000_000_000) as u32
}

#[cfg(test)]
pub(super) mod tests;
