//! What one worker judges packets with: the rules, and its own tables of what they count.

mod guard;
mod limits;

use std::sync::Arc;

use arrayvec::ArrayVec;
use shm::message::{Check, Class, Mode};
use wire::tcp::Flags;
use wire::{ipv4, ipv6};
use wireguard::time::Instant;

use super::buckets::Buckets;
use super::lists::SetId;
use super::rate::Bucket;
use super::rules::{OWN, Policy, Rules};
use super::sanity::{self, Failed};
use super::sketch::{Sample, Sheet, Sketch};
use super::tallies::Tallies;
use super::transit::Transit;
use super::{Defence, JUDGED};
use crate::burst::{Burst, Kinds};
use crate::counters::Counters;
use crate::fate::{DropReason, Fate};
use crate::frame::{Entry, Frame, Kind};
use crate::limits::{BUCKETS_EXPIRE_INTERVAL, BURST_LEN_MAX, RULE_SLOTS};
use crate::packet::Address;
use crate::site::Site;

/// Tables of the filter, each with memory of its own.
#[derive(Debug)]
pub struct Tables {
    buckets: Buckets,
    /// Buckets of what shares a limit as a whole, by the slot of its rule.
    totals: Box<[Option<Bucket>]>,
    transit: Transit,
    sketch: Sketch,
}

impl Tables {
    /// Buckets of sources and destinations, guards of tenants' TCP, and the sample of what came.
    pub fn new(buckets: Buckets, transit: Transit, sketch: Sketch) -> Self {
        Self { buckets, totals: vec![None; RULE_SLOTS].into_boxed_slice(), transit, sketch }
    }
}

/// One worker's filter.
#[derive(Debug)]
pub struct Filter {
    rules: Arc<Rules>,
    tallies: Arc<Tallies>,
    tables: Tables,
    expire_at: Instant,
    /// The handshake's defence.
    pub defence: Defence,
}

/// The frames of a burst that are judged, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Judged(u64);

impl Judged {
    #[inline]
    const fn has(self, place: usize) -> bool {
        self.0 >> place & 1 != 0
    }

    #[inline]
    const fn leave_out(&mut self, place: usize) {
        self.0 &= !(1 << place);
    }
}

const _: () = assert!(BURST_LEN_MAX <= 64);

impl Filter {
    /// A filter over these tables.
    pub fn new(rules: Arc<Rules>, tallies: Arc<Tallies>, tables: Tables, defence: Defence) -> Self {
        let rules_before = Arc::clone(&rules);
        let mut filter =
            Self { rules: rules_before, tallies, tables, expire_at: Instant::ZERO, defence };
        filter.set_rules(rules);
        filter
    }

    /// Other rules from here on; what is counted for rules that stay goes on.
    pub fn set_rules(&mut self, rules: Arc<Rules>) {
        let mut rates = rules.rates.iter().peekable();
        for (slot, bucket) in (0..).zip(self.tables.totals.iter_mut()) {
            let rate = rates.next_if(|(of, _)| *of == slot).map(|(_, rate)| *rate);
            *bucket = match (*bucket, rate) {
                (Some(mut bucket), Some(rate)) => {
                    bucket.set(rate);
                    Some(bucket)
                }
                (None, Some(rate)) => Some(Bucket::new(rate)),
                // The slot may be another rule's later.
                (_, None) => None,
            };
        }
        for number in 1..=self.rules.chosen.len() {
            let tenant = |rules: &Rules| rules.chosen.get(number - 1).and_then(|one| one.tenant);
            if tenant(&rules) != tenant(&self.rules) {
                self.tables.transit.forget(number);
            }
        }
        self.rules = rules;
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Follows the time, once per turn.
    pub fn advance(&mut self, now: Instant) {
        let unix = self.defence.advance(now);
        self.tables.transit.advance(unix);
        if now >= self.expire_at {
            self.expire_at = now + BUCKETS_EXPIRE_INTERVAL;
            self.tables.buckets.expire(now);
        }
    }

    /// Gives back the sample of what came for an empty sheet.
    #[must_use]
    pub fn turn_in(&mut self, sheet: Box<Sheet>, now: Instant) -> Box<Sheet> {
        self.tables.sketch.turn_in(sheet, now)
    }

    /// Begins to sample anew as after a round of so many packets ([`Sketch::expect`]).
    pub fn expect(&mut self, packets: u64) {
        self.tables.sketch.expect(packets);
    }

    /// Judges what has come over the network, by everything but the handshake's own defence.
    #[inline]
    pub(super) fn judge(
        &mut self,
        burst: &mut Burst<'_>,
        site: &Site,
        (counters, now): (&Counters, Instant),
    ) {
        let Self { rules, tallies, tables, .. } = self;
        let judge = Judge { rules, tallies, site };
        let mut judged = judge.check(burst);
        if judged.0 == 0 {
            return;
        }
        if !rules.lists.is_empty() {
            judge.look_up(burst, &mut judged);
        }
        if !rules.signatures.is_empty() {
            judge.compare(burst, &mut judged);
        }
        if !rules.sources.is_empty() {
            tables.limit(judge, burst, &mut judged, (&rules.sources, now));
        }
        let may_be_tenants = burst.has_any(Kinds::of([Kind::Transit]));
        if may_be_tenants && burst.frames().iter().any(|frame| frame.note.tenant != OWN) {
            tables.guard(judge, burst, &mut judged, (counters, now));
        }
        if !rules.totals.is_empty() {
            tables.limit(judge, burst, &mut judged, (&rules.totals, now));
        }
    }

    /// Writes down a sample of what came, whatever became of it.
    #[inline]
    pub(super) fn sample(&mut self, burst: &mut Burst<'_>, site: &Site) {
        let frames = burst.frames();
        let rules = &self.rules;
        self.tables.sketch.look(frames.len(), |place| {
            let frame = frames.get(place).filter(|frame| frame.note.class != Class::Any)?;
            let tenant = rules.policy(frame.note.tenant).tenant;
            Some(sample_of(frame, site, tenant))
        });
    }
}

/// The rules, and where what they match is counted.
#[derive(Clone, Copy, Debug)]
struct Judge<'a> {
    rules: &'a Rules,
    tallies: &'a Tallies,
    site: &'a Site,
}

impl Judge<'_> {
    /// Finds out what each packet counts as, and whether it is one that nobody honest sends.
    #[inline]
    fn check(self, burst: &mut Burst<'_>) -> Judged {
        let mut judged = Judged(0);
        for (place, frame) in burst.frames().iter_mut().enumerate() {
            if frame.fate != Fate::Undecided || !is_from_outside(frame) {
                continue;
            }
            let (class, failed) = look(frame);
            frame.note.class = class;
            let policy = self.rules.policy(frame.note.tenant);
            if policy.mode == Mode::Off {
                continue;
            }
            judged.0 |= 1 << place;
            if !failed.is_none()
                && let Err(fate) = self.blame(frame, failed, policy)
            {
                frame.fate = fate;
                judged.leave_out(place);
            }
        }
        judged
    }

    /// What becomes of a packet that fails checks.
    #[cold]
    fn blame(self, frame: &Frame<'_>, failed: Failed, policy: &Policy) -> Result<(), Fate> {
        for (check, checked) in Check::ALL.iter().zip(policy.checks) {
            let spared = *check == Check::Bogon && self.is_on_link(frame);
            if !failed.has(*check) || checked.mode == Mode::Off || spared {
                continue;
            }
            let drops = checked.mode == Mode::Enforce && policy.mode == Mode::Enforce;
            self.count(frame, checked.slot, drops);
            if drops {
                return Err(Fate::Drop(reason(*check)));
            }
        }
        Ok(())
    }

    /// Whether its source is a station of the link that it came from, where any address may be in use.
    fn is_on_link(self, frame: &Frame<'_>) -> bool {
        let Entry::Wire(port) = frame.note.entry else { return false };
        let face = self.site.face(port);
        face.is_some_and(|face| face.is_on_link(frame.note.endpoint.remote))
    }

    /// Whether a packet that a rule matches is dropped; it is counted either way.
    #[inline]
    fn drops(self, frame: &Frame<'_>, slot: u16) -> bool {
        let outline = self.rules.outline(slot);
        let tenant = frame.note.tenant;
        if outline.mode == Mode::Off || !outline.reach.includes(tenant) {
            return false;
        }
        let enforced = self.rules.policy(tenant).mode == Mode::Enforce;
        let drops = enforced && outline.mode == Mode::Enforce && !outline.allows;
        self.count(frame, slot, drops);
        drops
    }

    #[inline]
    fn count(self, frame: &Frame<'_>, slot: u16, drops: bool) {
        if let Some(tally) = self.tallies.of(slot) {
            tally.packets.add(1);
            tally.octets.add(frame.note.ip.len.into());
            tally.dropped.add(u64::from(drops));
        }
    }

    /// Looks sources up in the lists. Whom one of them allows nothing after this drops.
    #[inline]
    fn look_up(self, burst: &mut Burst<'_>, judged: &mut Judged) {
        let lists = &self.rules.lists;
        let mut sources = ArrayVec::<Address, BURST_LEN_MAX>::new();
        let mut places = ArrayVec::<usize, BURST_LEN_MAX>::new();
        for (place, frame) in burst.frames().iter().enumerate() {
            if judged.has(place) {
                sources.push(frame.note.endpoint.remote);
                places.push(place);
            }
        }
        let mut sets = [SetId::NONE; BURST_LEN_MAX];
        let Some(found) = sets.get_mut(..sources.len()) else { return };
        lists.lookup_burst(&sources, found);
        let found = places.into_iter().zip(&*found).filter(|(_, set)| **set != SetId::NONE);
        for (place, set) in found {
            let Some(frame) = burst.frames().get_mut(place) else { continue };
            let slots = lists.slots(*set);
            if let Some(allowing) = slots.iter().find(|slot| self.allows(frame, **slot)) {
                self.count(frame, *allowing, false);
                judged.leave_out(place);
            } else if slots.iter().any(|slot| self.drops(frame, *slot)) {
                frame.fate = Fate::Drop(DropReason::DosBlocked);
                judged.leave_out(place);
            }
        }
    }

    /// Whether a list says that its sources may pass.
    #[inline]
    fn allows(self, frame: &Frame<'_>, slot: u16) -> bool {
        let outline = self.rules.outline(slot);
        outline.allows && outline.mode == Mode::Enforce && outline.reach.includes(frame.note.tenant)
    }

    /// Compares packets with the signatures.
    #[inline]
    fn compare(self, burst: &mut Burst<'_>, judged: &mut Judged) {
        for (place, frame) in burst.frames().iter_mut().enumerate() {
            if !judged.has(place) {
                continue;
            }
            let mut dropped = false;
            self.rules.signatures.for_each_match(packet(frame), |slot| {
                dropped = self.drops(frame, slot);
                !dropped
            });
            if dropped {
                frame.fate = Fate::Drop(DropReason::DosSignature);
                judged.leave_out(place);
            }
        }
    }
}

/// Whether a packet comes over the network, and not by way of another server that has judged it.
#[inline]
fn is_from_outside(frame: &Frame<'_>) -> bool {
    JUDGED.has(frame.note.kind)
        && matches!(frame.note.entry, Entry::Wire(_))
        && frame.note.passage.is_none()
}

/// Whether the frame begins at a `WireGuard` message; else it begins at its IP header.
#[inline]
const fn is_message(kind: Kind) -> bool {
    matches!(kind, Kind::Sealed | Kind::Handshake)
}

/// What a packet counts as, and which checks it fails.
#[inline]
fn look(frame: &Frame<'_>) -> (Class, Failed) {
    let (note, source) = (&*frame.note, frame.note.endpoint.remote);
    if note.kind == Kind::Reply {
        // Answers come from well-known ports, and to flows that have asked.
        let (class, failed) = sanity::look(&note.ip, source, frame.data());
        return (class, failed.without(Check::Reflection));
    }
    if !is_message(note.kind) {
        return sanity::look(&note.ip, source, frame.data());
    }
    let class = if note.kind == Kind::Sealed { Class::Data } else { Class::Handshake };
    (class, sanity::look_at_message(source))
}

/// The packet from its IP header on, without what the link has added. Of a `WireGuard` message the client id is taken out by
/// then, and reads as zeros.
#[inline]
fn packet<'a>(frame: &'a Frame<'_>) -> &'a [u8] {
    if !is_message(frame.note.kind) {
        let data = frame.data();
        return data.get(..usize::from(frame.note.ip.len)).unwrap_or(data);
    }
    frame.data_and_before(usize::from(frame.note.ip.payload_offset) + wire::udp::HEADER_LEN)
}

fn sample_of(frame: &Frame<'_>, site: &Site, tenant: Option<u32>) -> Sample {
    let note = &*frame.note;
    let is_whole = matches!(
        note.kind,
        Kind::Host | Kind::Transit | Kind::Reply | Kind::Via | Kind::Tunnelled | Kind::Report
    );
    let upper = if is_whole { usize::from(note.ip.payload_offset) } else { usize::MAX };
    let upper = frame.data().get(upper..).unwrap_or_default();
    let mut sample = Sample::new(note.endpoint.remote, &note.ip, upper);
    if matches!(note.class, Class::Data | Class::Handshake) {
        sample.ports = Some((note.endpoint.remote_port, site.listen_port));
    }
    sample.tenant = tenant;
    sample.dropped = matches!(frame.fate, Fate::Drop(_) | Fate::Consumed);
    if note.turned && note.class == Class::Syn {
        // It has become the answer of its guard, and does not go on.
        let answer = Sample::new(note.endpoint.remote, &note.ip, answered(frame));
        sample.ports = answer.ports.map(|(source, destination)| (destination, source));
        sample.tcp_flags = Some(Flags::SYN.0);
        sample.dropped = true;
    }
    sample
}

/// The TCP header of a SYN that was answered in its place: the answer has no options before it.
fn answered<'a>(frame: &'a Frame<'_>) -> &'a [u8] {
    let headers =
        if frame.note.endpoint.remote.is_v4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    frame.data().get(headers..).unwrap_or_default()
}

const fn reason(check: Check) -> DropReason {
    match check {
        Check::Fragment => DropReason::DosFragment,
        Check::Flags => DropReason::DosFlags,
        Check::Transport => DropReason::DosTransport,
        Check::Land => DropReason::DosLand,
        Check::Bogon => DropReason::DosBogon,
        Check::Reflection => DropReason::DosReflection,
    }
}
