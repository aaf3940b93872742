//! Clients' IPv4 to the Internet by the server's addresses, and back: NAT44 (RFC 4787, RFC 5382, RFC 5508) by the table of
//! `flows`. A flow belongs to the worker that owns its client; a reply finds it by its port.

mod answers;
mod pieces;
mod prefixes;

use arrayvec::ArrayVec;
use flows::{End, Flows, Outline, Query, Realm, Refusal, Swept, Verdict};
use rand_chacha::rand_core::Rng;
use wire::ipv4;
use wireguard::time::Instant;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::fate::{DropReason, Fate, Split, Waiting};
use crate::frame::{Entry, Frame, Kind};
use crate::handshake::Random;
use crate::limits::BURST_LEN_MAX;
use crate::packet::Ip;
use crate::site::{Nat, Site, global_number, local_number};
use crate::stages::egress::{gre, local};
use crate::stages::route::{NextHop, leave};

use answers::Answers;
use pieces::Pieces;

/// What one worker translates with.
#[derive(Debug)]
pub struct Translator {
    flows: Flows,
    /// What this machine itself sends to the Internet is translated as a client's.
    machine: u32,
    worker: u8,
    random: Random,
    pieces: Pieces,
    answers: Answers,
}

/// What translating needs beside the frame.
#[derive(Clone, Copy, Debug)]
pub struct Outside<'a> {
    /// The server.
    pub site: &'a Site,
    /// The worker's counters.
    pub counters: &'a Counters,
    /// Now.
    pub now: Instant,
}

const fn drop(reason: DropReason) -> Fate {
    Fate::Drop(reason)
}

/// Replies become what their clients sent for; those of other workers' clients go there.
#[inline]
pub fn undress(burst: &mut Burst<'_>, translator: Option<&mut Translator>, outside: Outside<'_>) {
    if let Some(nat) = outside.site.nat.as_ref().filter(|nat| nat.has_v6()) {
        prefixes::undress(burst, (outside.site, nat), outside.counters);
    }
    if let Some(translator) = translator {
        translator.undress(burst, outside);
    }
}

/// Inner packets to the Internet leave by the server's addresses.
#[inline]
pub fn dress(burst: &mut Burst<'_>, translator: Option<&mut Translator>, outside: Outside<'_>) {
    if let Some(nat) = outside.site.nat.as_ref().filter(|nat| nat.has_v6()) {
        prefixes::dress(burst, (outside.site, nat), outside.counters);
    }
    if let Some(translator) = translator {
        translator.dress(burst, outside);
    }
}

/// The frames of a burst that are translated, and what each asks for.
type Queries = ArrayVec<Query, BURST_LEN_MAX>;

impl Translator {
    /// Over a table that has room for one client more than the worker has: `machine` is its number.
    pub fn new(flows: Flows, (machine, worker): (u32, u8), random: Random) -> Self {
        let (pieces, answers) = (Pieces::default(), Answers::default());
        Self { flows, machine, worker, random, pieces, answers }
    }

    /// Takes back what flows have held that are over, and tells of those that live whose they are and until when; of each within
    /// seconds.
    pub fn advance(&mut self, counters: &Counters, now: Instant, live: impl Fn(u32, Instant)) {
        self.flows.sweep(flows::Instant(now.0), |swept| {
            if let Swept::Live { client, until } = swept {
                live(client, Instant(until.0));
            }
        });
        counters.flows.set(self.flows.len().into());
    }

    /// A client is no more: who gets its number next shall not get its answers.
    #[cold]
    pub fn forget(&mut self, client: u32, now: Instant) {
        loop {
            let newest = self.flows.of_client(client).next();
            let Some(flow) = newest else { return };
            self.flows.remove(flow, flows::Instant(now.0));
        }
    }

    /// What waits under this id need not wait any more: the first piece of its datagram has come, or never will.
    pub fn next_pieces(&mut self, now: Instant) -> Option<(u32, bool)> {
        self.pieces.next_over(now)
    }

    fn undress(&mut self, burst: &mut Burst<'_>, outside: Outside<'_>) {
        let Some(nat) = &outside.site.nat else { return };
        let mut queries = Queries::new();
        burst.pass(|frame| {
            if is_reply(frame) {
                self.ask_back(frame, nat, outside.now).map(|query| queries.push(query))
            } else {
                Ok(())
            }
        });
        if queries.is_empty() {
            return;
        }
        self.flows.find(&mut queries);
        let replies = burst.undecided().filter(|frame| is_reply(frame));
        for (frame, query) in replies.zip(&queries) {
            if let Err(fate) = self.back(frame, query, outside) {
                frame.fate = fate;
            }
        }
    }

    /// Reads what a reply asks for, when that is here.
    fn ask_back(&mut self, frame: &mut Frame<'_>, nat: &Nat, now: Instant) -> Result<Query, Fate> {
        let query = self.ask(frame, Realm::Network).map_err(named)?;
        let worker = match query.datagram() {
            None => nat.worker(query.port()),
            Some(datagram) => self.meet(frame, (&query, datagram), nat, now)?,
        };
        let worker = worker.ok_or(drop(DropReason::EgressNatUnknown))?;
        if worker != self.worker {
            frame.note.entry = Entry::Reply(frame.note.endpoint.port);
            return Err(Fate::HandOver(worker));
        }
        Ok(query)
    }

    /// Where a piece of a datagram goes next. All of them meet at one worker, which sees the first one and sends the others after
    /// it.
    #[cold]
    fn meet(
        &mut self,
        frame: &mut Frame<'_>,
        (query, datagram): (&Query, u64),
        nat: &Nat,
        now: Instant,
    ) -> Result<Option<u8>, Fate> {
        let meeting = nat.meeting(datagram);
        if meeting != self.worker {
            let has_met = matches!(frame.note.entry, Entry::Reply(_));
            return Ok(Some(if has_met { self.worker } else { meeting }));
        }
        if !query.is_later() {
            let worker = nat.worker(query.port());
            self.pieces.remember(datagram, worker.unwrap_or(self.worker));
            return Ok(worker);
        }
        match self.pieces.find(datagram) {
            Some(worker) => Ok(Some(worker)),
            None => Err(self.wait(frame, (datagram, Entry::Reply(frame.note.endpoint.port)), now)),
        }
    }

    /// A piece waits for the first one of its datagram, and comes back by this entry.
    fn wait(
        &mut self,
        frame: &mut Frame<'_>,
        (datagram, entry): (u64, Entry),
        now: Instant,
    ) -> Fate {
        frame.note.entry = entry;
        match self.pieces.wait(datagram, now) {
            Some(id) => Fate::Hold(Waiting::First(id)),
            None => drop(DropReason::EgressNatFragment),
        }
    }

    fn ask(&self, frame: &Frame<'_>, realm: Realm) -> Result<Query, Refusal> {
        self.flows.ask(frame.data(), outline(&frame.note.ip), realm)
    }

    #[inline]
    fn back(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let Outside { site, counters, now } = outside;
        let is_long = frame.len() > site.inner_mtu;
        if is_long || frame.note.ip.hop_limit <= 1 {
            let ip = ipv4::parse_unverified(frame.data());
            let ip = ip.map_err(|_| drop(DropReason::EgressNatHeader))?;
            if ip.ttl <= 1 || ip.dont_fragment() {
                return not_on(&ip, site);
            }
        }
        let verdict = self.flows.carry(query, frame.data_mut(), flows::Instant(now.0));
        let client = match verdict {
            Verdict::Carried { flow, to: End::Near, .. } => self.flows.flow(flow),
            Verdict::Refused(refusal) => return Err(named(refusal)),
            Verdict::Carried { .. } | Verdict::Attended { .. } | Verdict::Unknown => None,
        };
        let client = client.ok_or(drop(DropReason::EgressNatUnknown))?.client();
        frame.note.kind = Kind::Inner;
        frame.note.bare = false;
        frame.note.next_hop = if client == self.machine {
            NextHop::Local
        } else {
            NextHop::Client(global_number(client, self.worker.into(), site.workers))
        };
        let destination = frame.note.ip.destination_in(frame.data());
        frame.note.ip.destination = destination.ok_or(drop(DropReason::EgressNatHeader))?;
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        counters.translated_in.add(1);
        if is_long {
            let mtu = u16::try_from(site.inner_mtu).unwrap_or(u16::MAX);
            return Err(Fate::Split(Split { mtu, next_hop: frame.note.next_hop }));
        }
        Ok(())
    }

    fn dress(&mut self, burst: &mut Burst<'_>, outside: Outside<'_>) {
        let mut queries = Queries::new();
        burst.pass(|frame| {
            if !is_outward(frame) {
                return Ok(());
            }
            match self.ask_out(frame, outside.site) {
                Ok(query) => queries.push(query),
                Err(refusal) => return self.refuse(frame, refusal, outside),
            }
            Ok(())
        });
        if queries.is_empty() {
            return;
        }
        self.flows.find(&mut queries);
        let outward = burst.undecided().filter(|frame| is_outward(frame));
        for (frame, query) in outward.zip(&queries) {
            if let Err(fate) = self.out(frame, query, outside) {
                frame.fate = fate;
            }
        }
    }

    fn ask_out(&self, frame: &Frame<'_>, site: &Site) -> Result<Query, Refusal> {
        let client = match frame.note.client {
            Some(number) => local_number(number, site.workers),
            None => self.machine,
        };
        self.ask(frame, Realm::Client(client))
    }

    #[inline]
    fn out(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let Outside { site, counters, now } = outside;
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        let now = flows::Instant(now.0);
        let mut verdict = self.flows.carry(query, frame.data_mut(), now);
        if verdict == Verdict::Unknown {
            let random = self.random.next_u64();
            let way = flows::Way::default();
            if let Err(refusal) = self.flows.open(query, frame.data(), way, (now, random)) {
                return self.refuse(frame, refusal, outside);
            }
            counters.flows_opened.add(1);
            verdict = self.flows.carry(query, frame.data_mut(), now);
        }
        if let Some(datagram) = query.datagram() {
            self.follow(frame, (query, datagram), verdict, outside.now)?;
        }
        match verdict {
            Verdict::Carried { to: End::Far, hairpin, .. } => {
                counters.translated_out.add(1);
                if hairpin {
                    return self.turn_back(frame, outside);
                }
                leave(frame, frame.note.endpoint.port);
                Ok(())
            }
            Verdict::Refused(refusal) => self.refuse(frame, refusal, outside),
            Verdict::Carried { .. } | Verdict::Attended { .. } | Verdict::Unknown => {
                Err(drop(DropReason::EgressNatState))
            }
        }
    }

    /// A client's packet that is not translated: it becomes what its sender is owed for it, if that is anything.
    #[cold]
    fn refuse(
        &mut self,
        frame: &mut Frame<'_>,
        refusal: Refusal,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        self.answers.turn(frame, refusal, outside).ok_or_else(|| named(refusal))?;
        let Some(number) = frame.note.client else {
            frame.note.next_hop = NextHop::Local;
            return local::deliver(frame, outside.site);
        };
        frame.note.next_hop = NextHop::Client(number);
        Ok(())
    }

    /// A client's datagram in pieces: those that come before the first one wait for it.
    #[cold]
    fn follow(
        &mut self,
        frame: &mut Frame<'_>,
        (query, datagram): (&Query, u64),
        verdict: Verdict,
        now: Instant,
    ) -> Result<(), Fate> {
        if matches!(verdict, Verdict::Carried { .. }) && !query.is_later() {
            self.pieces.remember(datagram, self.worker);
        }
        let is_early = verdict == Verdict::Refused(Refusal::FragmentEarly);
        if is_early && self.pieces.find(datagram).is_none() {
            // It has been routed.
            return Err(self.wait(frame, (datagram, Entry::Handed), now));
        }
        Ok(())
    }

    /// From one client to another by their outer addresses (RFC 4787 REQ-9): it comes in as if from the network.
    #[cold]
    fn turn_back(&mut self, frame: &mut Frame<'_>, outside: Outside<'_>) -> Result<(), Fate> {
        let Outside { site, now, .. } = outside;
        let Some(nat) = &site.nat else { return Err(drop(DropReason::EgressNoNat)) };
        frame.read_ip().map_err(|_| drop(DropReason::EgressNatHeader))?;
        frame.note.client = None;
        let query = self.ask_back(frame, nat, now)?;
        self.back(frame, &query, outside)?;
        // The hop that another worker would have taken.
        let header = ipv4::Header::of(frame.data_mut()).ok();
        header
            .and_then(|header| header.decrement_ttl().ok())
            .ok_or(drop(DropReason::RouteHopLimit))?;
        if frame.note.next_hop == NextHop::Local {
            return local::deliver(frame, site);
        }
        Ok(())
    }
}

/// A reply that may not go to its client: its sender is to hear of that as it has sent it, so the route's stage tells him, unless
/// it is a client himself.
#[cold]
fn not_on(ip: &ipv4::Located, site: &Site) -> Result<(), Fate> {
    match ip.ttl {
        _ if !site.is_clients(ip.source.into()) => Ok(()),
        0 | 1 => Err(drop(DropReason::RouteHopLimit)),
        _ => Err(drop(DropReason::EgressTooBig)),
    }
}

/// Whether a packet has come to an address by which the Internet knows clients. IPv6 that is left of those is the route's.
#[inline]
const fn is_reply(frame: &Frame<'_>) -> bool {
    matches!(frame.note.kind, Kind::Reply) && frame.note.ip.destination.is_v4()
}

/// Whether a packet goes to the Internet by an address of the server's.
#[inline]
fn is_outward(frame: &Frame<'_>) -> bool {
    frame.note.kind == Kind::Inner && frame.note.next_hop == NextHop::Direct
}

#[inline]
fn outline(ip: &Ip) -> Outline {
    let Ip { protocol, payload_offset, len, fragment, .. } = *ip;
    Outline { protocol, payload_offset, len, fragment }
}

/// The name under which a packet is lost.
#[cold]
const fn named(refusal: Refusal) -> Fate {
    drop(match refusal {
        Refusal::Truncated => DropReason::EgressNatHeader,
        Refusal::Protocol | Refusal::Icmp => DropReason::EgressNatProtocol,
        Refusal::Family | Refusal::NoAddress => DropReason::EgressNoNat,
        Refusal::NoFlow => DropReason::EgressNatState,
        Refusal::NoMapping => DropReason::EgressNatUnknown,
        Refusal::Filtered => DropReason::EgressNatFiltered,
        Refusal::Client | Refusal::ClientFlows | Refusal::ClientPorts | Refusal::ClientSetups => {
            DropReason::EgressNatClient
        }
        Refusal::TableFull => DropReason::EgressNatFull,
        Refusal::PortsExhausted | Refusal::Conflict => DropReason::EgressNatPorts,
        Refusal::ErrorUnmatched | Refusal::ErrorImplausible | Refusal::ErrorChecksum => {
            DropReason::EgressNatError
        }
        Refusal::FragmentEarly | Refusal::FragmentsFull => DropReason::EgressNatFragment,
    })
}
