//! Clients' IPv4 to the Internet by the server's addresses, and back: NAT44 (RFC 4787, RFC 5382, RFC 5508) by the table of
//! `flows`. A flow belongs to the worker that owns its client; a reply finds it by its port.

mod answers;
mod fates;
mod guests;
mod homes;
mod meeting;
mod pieces;
mod prefixes;
mod through;

use std::net::IpAddr;

use arrayvec::ArrayVec;
use flows::{Flows, Live, Outline, Query, Realm, Refusal, Verdict};
use rand_chacha::rand_core::Rng;
use wire::{ipv4, tcp, udp};
use wireguard::time::Instant;

use crate::burst::{Burst, Kinds};
use crate::counters::Counters;
use crate::fate::{DropReason, Fate, MACHINE};
use crate::frame::{Entry, Frame, Kind, Note};
use crate::handshake::Random;
use crate::limits::{BURST_LEN_MAX, OUTBOX_PACKET_LEN};
use crate::packet::Ip;
use crate::site::{Nat, Site, global_number, local_number};
use crate::stages::egress::connect::{Around, EXIT_ACCOUNTS, From, Judged, Splicer};
use crate::stages::egress::meter::Meter;
use crate::stages::egress::via::Via;
use crate::stages::egress::{gre, local};
use crate::stages::route::{NextHop, Routes, leave, spend_hop};

use answers::{Answer, Answers, owed};
use fates::{named, not_on, onward};
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
    splicer: Splicer,
    meter: Meter,
    via: Option<Via>,
    answers: Answers,
}

/// What translating needs beside the frame.
#[derive(Clone, Copy, Debug)]
pub struct Outside<'a> {
    /// The server.
    pub site: &'a Site,
    /// Where packets lead.
    pub routes: &'a Routes,
    /// The worker's counters.
    pub counters: &'a Counters,
    /// Now.
    pub now: Instant,
}

impl Outside<'_> {
    /// Now, as flows reckon.
    #[inline]
    const fn time(&self) -> flows::Instant {
        flows::Instant(self.now.0)
    }
}

const fn drop(reason: DropReason) -> Fate {
    Fate::Drop(reason)
}

/// Replies become what their clients sent for; those of other workers' clients go there.
#[inline]
pub fn undress(burst: &mut Burst<'_>, translator: Option<&mut Translator>, outside: Outside<'_>) {
    if let Some(nat) = outside.site.nat.as_ref().filter(|nat| nat.has_v6()) {
        let has_guests = translator.as_ref().is_some_and(|translator| translator.via.is_some());
        prefixes::undress(burst, (outside.site, nat), outside, has_guests);
    }
    if let Some(translator) = translator
        && burst.has_any(Kinds::of([Kind::Reply, Kind::Via]))
    {
        translator.undress(burst, outside);
    }
}

/// Inner packets to the Internet leave by the server's addresses.
#[inline]
pub fn dress(burst: &mut Burst<'_>, translator: Option<&mut Translator>, outside: Outside<'_>) {
    if burst.is_outer() {
        return;
    }
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
    pub fn new(
        flows: Flows,
        (splicer, meter, via): (Splicer, Meter, Option<Via>),
        (machine, worker): (u32, u8),
        random: Random,
    ) -> Self {
        let (pieces, answers) = (Pieces::default(), Answers::default());
        Self { flows, machine, worker, random, pieces, splicer, meter, via, answers }
    }

    /// Takes back what flows have held that are over, and serves the connections that are being opened. Of flows that live it tells
    /// whose they are and until when, of each within seconds.
    pub fn advance(&mut self, outside: Outside<'_>, live: impl Fn(u32, Instant)) {
        let Outside { counters, now, .. } = outside;
        let Self { flows, splicer, via, machine, .. } = self;
        let last_account = *machine + EXIT_ACCOUNTS;
        flows.sweep(outside.time(), |Live { flow, client, until }| {
            if client <= *machine {
                live(client, Instant(until.0));
            } else if client <= last_account {
                splicer.swept(flow);
            }
        });
        if let Some(via) = via {
            via.advance((counters, now), live);
        }
        if self.splicer.has_swept() {
            let (splicer, around) = self.aside(outside);
            splicer.keep_alive(around);
        }
        counters.flows.set(self.flows.len().into());
        self.splicer.dials_mut().advance(&self.flows, (counters, now));
        if !self.splicer.is_idle() {
            let (splicer, around) = self.aside(outside);
            splicer.expire(around);
        }
        counters.connects_opening.set(self.splicer.opening());
    }

    /// By which other data centres are asked how far they are.
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// A client is no more: who gets its number next shall not get its answers.
    #[cold]
    pub fn forget(&mut self, client: u32, outside: Outside<'_>) {
        self.flows.forget(client, outside.time());
        if let Some(via) = &mut self.via {
            via.forget(client);
        }
        let (splicer, around) = self.aside(outside);
        splicer.forget(client, around);
    }

    /// Whether there are packets of our own.
    #[inline]
    pub fn has_packets(&self) -> bool {
        self.splicer.has_packets()
    }

    /// Copies the next packet of our own, and gives its note and length.
    pub fn take_packet(&mut self, into: &mut [u8; OUTBOX_PACKET_LEN]) -> Option<(Note, usize)> {
        self.splicer.take_packet(into)
    }

    fn aside<'a>(&'a mut self, outside: Outside<'a>) -> (&'a mut Splicer, Around<'a>) {
        let Self { flows, machine, worker, random, splicer, meter, .. } = self;
        let (machine, worker, rows) = (*machine, *worker, meter.rows());
        let Outside { site, routes, counters, now } = outside;
        let centres = routes.centres();
        let around = Around { flows, random, site, centres, rows, counters, machine, worker, now };
        (splicer, around)
    }

    fn undress(&mut self, burst: &mut Burst<'_>, outside: Outside<'_>) {
        let Some(nat) = &outside.site.nat else { return };
        let mut queries = Queries::new();
        burst.pass(|frame| {
            if frame.note.kind == Kind::Via {
                self.undress_via(frame, outside)
            } else if self.is_for_home(frame, nat, outside.routes) {
                self.home_in(frame, nat, outside)
            } else if is_reply(frame, nat) {
                if is_measured(frame, nat) {
                    return self.measured(frame, outside);
                }
                self.ask_back(frame, nat, &mut queries, outside.now)
            } else {
                Ok(())
            }
        });
        if queries.is_empty() {
            return;
        }
        self.flows.find(&mut queries);
        let replies = burst.undecided().filter(|frame| is_reply(frame, nat));
        for (frame, query) in replies.zip(&queries) {
            if let Err(fate) = self.back(frame, query, outside) {
                frame.fate = fate;
            }
        }
    }

    /// What data centres ask each other.
    #[cold]
    fn measured(&mut self, frame: &mut Frame<'_>, outside: Outside<'_>) -> Result<(), Fate> {
        let about = (outside.site, outside.routes.centres().here());
        self.meter.judge(frame, about, outside.now)
    }

    /// Reads what a reply asks for, when that is here.
    fn ask_back(
        &mut self,
        frame: &mut Frame<'_>,
        nat: &Nat,
        queries: &mut Queries,
        now: Instant,
    ) -> Result<(), Fate> {
        self.ask(frame, Realm::Network, queries).map_err(named)?;
        let worker = match queries.last() {
            Some(query) => self.worker_of(frame, query, nat, now),
            None => Ok(None),
        };
        if worker == Ok(Some(self.worker)) {
            return Ok(());
        }
        queries.pop();
        let worker = worker?.ok_or(drop(DropReason::EgressNatUnknown))?;
        frame.note.entry = Entry::Reply(frame.note.endpoint.port);
        Err(Fate::HandOver(worker))
    }

    /// Appends what a packet asks for.
    #[inline]
    fn ask(&self, frame: &Frame<'_>, realm: Realm, queries: &mut Queries) -> Result<(), Refusal> {
        queries.push(Query::NONE);
        let asked = match queries.last_mut() {
            Some(query) => self.flows.ask(query, frame.data(), outline(&frame.note.ip), realm),
            None => Err(Refusal::Truncated),
        };
        if asked.is_err() {
            queries.pop();
        }
        asked
    }

    #[inline]
    fn back(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let Outside { site, counters, .. } = outside;
        let now = outside.time();
        let is_long = frame.len() > site.inner_mtu;
        if is_long && query.is_later() && self.via.is_some() && may_be_cut(frame) {
            // It does not say whose it is, and a guest's is cut before it is translated.
            frame.note.entry = Entry::Reply(frame.note.endpoint.port);
            return Err(Fate::cut(site.inner_mtu));
        }
        if (is_long || frame.note.ip.hop_limit <= 1)
            && let Some(client) = self.whose(query)
        {
            let ip = ipv4::parse_unverified(frame.data());
            // Of IPv6 nothing may be fragmented.
            match ip.ok().filter(|_| frame.note.ip.destination.is_v4()) {
                Some(ip) if ip.ttl > 1 && !ip.dont_fragment() => {
                    if client > self.machine {
                        frame.note.entry = Entry::Reply(frame.note.endpoint.port);
                        return Err(Fate::cut(site.inner_mtu));
                    }
                }
                ip => return not_on(ip, site),
            }
        }
        let mut verdict = self.flows.carry(query, frame.data_mut(), now);
        if is_aside(verdict) && is_segment(frame) {
            match self.outside_segment(frame, query, verdict, outside)? {
                Some(judged) => verdict = judged,
                None => return self.reset_back(frame, outside),
            }
        }
        if let Some(datagram) = query.datagram() {
            self.follow_back(frame, (query, datagram), verdict, outside.now)?;
        }
        let flow = match verdict {
            Verdict::Carried { flow, .. } => self.flows.flow(flow),
            Verdict::Refused(refusal) => return Err(named(refusal)),
            Verdict::Watched { .. } | Verdict::Unknown => None,
        };
        let client = flow.ok_or(drop(DropReason::EgressNatUnknown))?.client();
        let destination = frame.note.ip.destination_in(frame.data());
        frame.note.ip.destination = destination.ok_or(drop(DropReason::EgressNatHeader))?;
        counters.translated_in.add(1);
        if client > self.machine {
            return match self.guest(client) {
                Some(guest) => self.to_ingress(frame, &guest, outside),
                None => onward(frame, site),
            };
        }
        frame.note.bare = false;
        self.to_client(frame, (client, is_long), site)
    }

    /// A packet goes to a client of this worker's, or to this machine itself, whole or in pieces.
    #[inline]
    fn to_client(
        &self,
        frame: &mut Frame<'_>,
        (client, is_cut): (u32, bool),
        site: &Site,
    ) -> Result<(), Fate> {
        let number = global_number(client, self.worker.into(), site.workers);
        let number = if client == self.machine { MACHINE } else { number };
        frame.note.kind = Kind::Inner;
        frame.note.next_hop =
            if number == MACHINE { NextHop::Local } else { NextHop::Client(number) };
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        if is_cut { Err(Fate::Pieces(number)) } else { Ok(()) }
    }

    /// Whose packet it is that goes out, by the number on the worker.
    #[inline]
    fn client_of(&self, frame: &Frame<'_>, site: &Site) -> u32 {
        let number = frame.note.client();
        number.map_or(self.machine, |number| local_number(number, site.workers))
    }

    /// Whose flow a packet from the network is one of, when that is a client's or a guest's, and not one between data centres.
    #[cold]
    fn whose(&self, query: &Query) -> Option<u32> {
        let flow = self.flows.find_flow(query).and_then(|flow| self.flows.flow(flow));
        let client = flow.map(|flow| flow.client())?;
        (client <= self.machine || self.guest(client).is_some()).then_some(client)
    }

    /// A segment from the network of a connection that is being opened, or was a moment ago, or that opens one. None for another
    /// data centre's of a connection that is not known here.
    #[cold]
    fn outside_segment(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        verdict: Verdict,
        outside: Outside<'_>,
    ) -> Result<Option<Verdict>, Fate> {
        if let Some(verdict) = self.attended(frame, (query, verdict), From::Network, outside)? {
            return Ok(Some(verdict));
        }
        let Some(connect) = &outside.site.connect else { return Ok(Some(verdict)) };
        let (site, destination) = (outside.site, frame.note.ip.destination);
        if site.is_clients(destination) || site.terminates_at(destination) {
            return Ok(Some(verdict));
        }
        let source = frame.note.ip.source_in(frame.data());
        if !source.is_some_and(|source| connect.lets_in(source)) {
            return Err(drop(DropReason::EgressConnectSource));
        }
        let (splicer, around) = self.aside(outside);
        splicer.accept(frame, around).map_or(Ok(None), Err)
    }

    /// Tells another data centre that a connection of its is not known here, as after a restart: its client would wait for hours.
    #[cold]
    fn reset_back(&mut self, frame: &mut Frame<'_>, outside: Outside<'_>) -> Result<(), Fate> {
        let lost = drop(DropReason::EgressNatState);
        self.answers.turn(frame, Answer::Elsewhere, outside).ok_or(lost)?;
        let (port, _) = outside.site.way_to(frame.note.ip.destination).ok_or(lost)?;
        leave(frame, port);
        Ok(())
    }

    /// Has a segment looked at by those who open connections. What they let pass is carried; none when they don't know it.
    #[cold]
    fn attended(
        &mut self,
        frame: &mut Frame<'_>,
        (query, verdict): (&Query, Verdict),
        from: From,
        outside: Outside<'_>,
    ) -> Result<Option<Verdict>, Fate> {
        let watched = if let Verdict::Watched { flow } = verdict { Some(flow) } else { None };
        if self.splicer.is_idle() && watched.is_none() {
            return Ok(None);
        }
        let (splicer, around) = self.aside(outside);
        let judged = splicer.segment(frame, from, around)?;
        let now = outside.time();
        let Some(flow) = watched else { return Ok(None) };
        self.flows.unwatch(flow);
        let verdict = self.flows.carry(query, frame.data_mut(), now);
        if judged == Judged::Passes {
            self.flows.watch(flow);
        }
        Ok(Some(verdict))
    }

    fn dress(&mut self, burst: &mut Burst<'_>, outside: Outside<'_>) {
        let mut queries = Queries::new();
        burst.pass(|frame| {
            if !is_outward(frame) {
                return Ok(());
            }
            let asked = self.ask_out(frame, outside.site, &mut queries);
            asked.or_else(|refusal| self.refuse(frame, refusal, outside))
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

    fn ask_out(
        &self,
        frame: &Frame<'_>,
        site: &Site,
        queries: &mut Queries,
    ) -> Result<(), Refusal> {
        let client = self.client_of(frame, site);
        self.ask(frame, Realm::Client(client), queries)
    }

    #[inline]
    fn out(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let Outside { site, counters, .. } = outside;
        let now = outside.time();
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        let mut verdict = self.flows.carry(query, frame.data_mut(), now);
        if self.may_go_through(verdict) && self.through(frame, (query, verdict), outside)? {
            return Ok(());
        }
        if is_aside(verdict) {
            if is_segment(frame) && asks_for_connections(frame, outside.routes) {
                let why = drop(DropReason::EgressConnectSource);
                return self.answer(frame, (Some(Answer::Forbidden), why), outside);
            }
            verdict = self.begin(frame, query, verdict, outside)?;
        }
        if let Some(datagram) = query.datagram() {
            self.follow(frame, (query, datagram), verdict, outside.now)?;
        }
        match verdict {
            Verdict::Carried { hairpin, .. } => {
                counters.translated_out.add(1);
                if hairpin {
                    return self.turn_back(frame, outside);
                }
                let destination = frame.note.ip.destination_in(frame.data());
                let destination = destination.ok_or(drop(DropReason::EgressNatHeader))?;
                if destination != frame.note.ip.destination {
                    // It goes to a data centre, by a way of its own.
                    let way = site.way_to(destination).ok_or(drop(DropReason::LinkNoRoute))?;
                    (frame.note.endpoint.port, frame.note.ip.destination) = (way.0, destination);
                }
                leave(frame, frame.note.endpoint.port);
                Ok(())
            }
            Verdict::Refused(refusal) => self.refuse(frame, refusal, outside),
            Verdict::Watched { .. } | Verdict::Unknown => Err(drop(DropReason::EgressNatState)),
        }
    }

    /// A client's packet that no flow carries: one is begun for it, straight or through a data centre.
    #[cold]
    fn begin(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        verdict: Verdict,
        outside: Outside<'_>,
    ) -> Result<Verdict, Fate> {
        if matches!(verdict, Verdict::Refused(_)) {
            return Ok(verdict);
        }
        let client = self.client_of(frame, outside.site);
        if is_segment(frame) {
            let from = From::Client(client);
            if let Some(verdict) = self.attended(frame, (query, verdict), from, outside)? {
                return Ok(verdict);
            }
            let centres = outside.routes.centres();
            // What is led to this data centre is where it is to leave.
            if let NextHop::Via(centre) = frame.note.next_hop
                && centres.here() != Some(centre)
            {
                let is_v4 = frame.note.ip.destination.is_v4();
                let asked = centres.asked(centre, frame.note.client().unwrap_or(MACHINE), is_v4);
                let (splicer, around) = self.aside(outside);
                let opened = splicer.open(frame, (client, asked), around);
                return opened.map_or(Ok(Verdict::Refused(Refusal::NoFlow)), Err);
            }
        }
        let random = self.random.next_u64();
        let now = outside.time();
        let flow = match self.flows.open(query, frame.data(), (now, random)) {
            Ok(flow) => flow,
            Err(refusal) => return Ok(Verdict::Refused(refusal)),
        };
        outside.counters.flows_opened.add(1);
        if is_segment(frame) && !outside.routes.centres().is_empty() {
            self.splicer.dials_mut().watch(flow, &self.flows, outside.now);
        }
        Ok(self.flows.carry(query, frame.data_mut(), now))
    }

    /// A client's packet that is not translated: it becomes what its sender is owed for it, if that is anything.
    #[cold]
    fn refuse(
        &mut self,
        frame: &mut Frame<'_>,
        refusal: Refusal,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        self.answer(frame, (owed(refusal), named(refusal)), outside)
    }

    /// The same of a packet that is owed this answer, or is lost for this reason.
    #[cold]
    fn answer(
        &mut self,
        frame: &mut Frame<'_>,
        (owed, lost): (Option<Answer>, Fate),
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        owed.and_then(|owed| self.answers.turn(frame, owed, outside)).ok_or(lost)?;
        let Some(number) = frame.note.client() else {
            frame.note.next_hop = NextHop::Local;
            return local::deliver(frame, outside.site);
        };
        frame.note.next_hop = NextHop::Client(number);
        Ok(())
    }

    /// From one client to another by their outer addresses (RFC 4787 REQ-9): it comes in as if from the network.
    #[cold]
    fn turn_back(&mut self, frame: &mut Frame<'_>, outside: Outside<'_>) -> Result<(), Fate> {
        let Outside { site, now, .. } = outside;
        let Some(nat) = &site.nat else { return Err(drop(DropReason::EgressNoNat)) };
        frame.read_ip().map_err(|_| drop(DropReason::EgressNatHeader))?;
        frame.note.set_client(None);
        let mut queries = Queries::new();
        self.ask_back(frame, nat, &mut queries, now)?;
        let query = queries.first().ok_or(drop(DropReason::EgressNatUnknown))?;
        self.back(frame, query, outside)?;
        if frame.note.kind == Kind::Outer {
            // It has left for who brings it there, and a hop was taken.
            return Ok(());
        }
        // The hop that another worker would have taken.
        spend_hop(frame).ok_or(drop(DropReason::RouteHopLimit))?;
        if frame.note.next_hop == NextHop::Local {
            return local::deliver(frame, site);
        }
        Ok(())
    }
}

/// Whether a packet has come to an address by which the Internet knows clients, or to the CONNECT port. IPv6 that is left of the
/// former is the route's.
#[inline]
fn is_reply(frame: &Frame<'_>, nat: &Nat) -> bool {
    let destination = frame.note.ip.destination;
    frame.note.kind == Kind::Reply && (destination.is_v4() || !nat.holds(destination))
}

/// Whether a packet goes on and may do so in smaller pieces.
#[cold]
fn may_be_cut(frame: &Frame<'_>) -> bool {
    let ip = ipv4::parse_unverified(frame.data());
    ip.is_ok_and(|ip| ip.ttl > 1 && !ip.dont_fragment())
}

/// Whether it is a datagram to the CONNECT port.
#[inline]
fn is_measured(frame: &Frame<'_>, nat: &Nat) -> bool {
    frame.note.ip.protocol == udp::PROTOCOL && !nat.holds(frame.note.ip.destination)
}

/// Whether a packet goes to the Internet by an address of the server's.
#[inline]
fn is_outward(frame: &Frame<'_>) -> bool {
    frame.note.kind == Kind::Inner
        && matches!(frame.note.next_hop, NextHop::Direct | NextHop::Via(_))
}

/// Whether a packet is not carried, and may yet be of a connection that is being opened.
#[inline]
const fn is_aside(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Unknown
            | Verdict::Watched { .. }
            | Verdict::Refused(Refusal::NoMapping | Refusal::Filtered)
    )
}

/// Whether it is a whole segment of TCP.
#[inline]
fn is_segment(frame: &Frame<'_>) -> bool {
    frame.note.ip.protocol == tcp::PROTOCOL && !frame.note.ip.fragment
}

/// Whether a client's segment goes to where we ask other data centres for connections: they would take the client for us.
fn asks_for_connections(frame: &Frame<'_>, routes: &Routes) -> bool {
    let ip = &frame.note.ip;
    let segment = frame.data().get(usize::from(ip.payload_offset)..).unwrap_or_default();
    let [_, _, high, low, ..] = *segment else { return false };
    let address = ip.destination_in(frame.data()).map(IpAddr::from);
    let port = u16::from_be_bytes([high, low]);
    address.is_some_and(|address| routes.centres().has_machine((address, port).into()))
}

#[inline]
fn outline(ip: &Ip) -> Outline {
    let Ip { protocol, payload_offset, len, fragment, .. } = *ip;
    Outline { protocol, payload_offset, len, fragment }
}
