//! Clients' IPv4 to the Internet by the server's addresses, and back: NAT44 (RFC 4787, RFC 5382, RFC 5508) by the table of
//! `flows`. A flow belongs to the worker that owns its client; a reply finds it by its port.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use flows::{Flows, Outline, Query, Realm, Refusal, Verdict};
use rand_chacha::rand_core::Rng;
use wire::{ipv4, ipv6, tcp};
use wireguard::time::Instant;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::fate::{DropReason, Fate};
use crate::frame::{Entry, Frame, Kind, Note};
use crate::handshake::Random;
use crate::limits::{BURST_LEN_MAX, NAT_PIECES, OUTBOX_PACKET_LEN};
use crate::packet::{Ip, flow_hash};
use crate::site::{Nat, Site, global_number, local_number};
use crate::stages::egress::connect::{Around, From, Judged, Splicer};
use crate::stages::egress::gre;
use crate::stages::route::{NextHop, Routes, leave};

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

/// What every packet needs of it.
struct Parts<'a> {
    site: &'a Site,
    counters: &'a Counters,
    now: flows::Instant,
}

impl<'a> Outside<'a> {
    #[inline]
    const fn parts(&self) -> Parts<'a> {
        Parts { site: self.site, counters: self.counters, now: flows::Instant(self.now.0) }
    }
}

const fn drop(reason: DropReason) -> Fate {
    Fate::Drop(reason)
}

/// Replies become what their clients sent for; those of other workers' clients go there.
#[inline]
pub fn undress(burst: &mut Burst<'_>, translator: Option<&mut Translator>, outside: Outside<'_>) {
    if let Some(translator) = translator {
        translator.undress(burst, outside);
    }
}

/// Inner packets to the Internet leave by the server's addresses.
#[inline]
pub fn dress(burst: &mut Burst<'_>, translator: Option<&mut Translator>, outside: Outside<'_>) {
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
        splicer: Splicer,
        (machine, worker): (u32, u8),
        random: Random,
    ) -> Self {
        Self { flows, machine, worker, random, pieces: Pieces::default(), splicer }
    }

    /// Takes back what flows have held that are over, and serves the connections that are being opened.
    pub fn advance(&mut self, outside: Outside<'_>) {
        let Outside { counters, now, .. } = outside;
        self.flows.sweep(flows::Instant(now.0), |_| {});
        counters.flows.set(self.flows.len().into());
        if !self.splicer.is_idle() {
            let (splicer, around) = self.aside(outside);
            splicer.expire(around);
        }
        counters.connects_opening.set(self.splicer.opening());
    }

    /// Copies the next packet of our own, and gives its note and length.
    pub fn take_packet(&mut self, into: &mut [u8; OUTBOX_PACKET_LEN]) -> Option<(Note, usize)> {
        self.splicer.take_packet(into)
    }

    fn aside<'a>(&'a mut self, outside: Outside<'a>) -> (&'a mut Splicer, Around<'a>) {
        let Self { flows, machine, worker, random, splicer, .. } = self;
        let (machine, worker) = (*machine, *worker);
        let Outside { site, routes, counters, now } = outside;
        let centres = routes.centres();
        let around = Around { flows, random, site, centres, counters, machine, worker, now };
        (splicer, around)
    }

    fn undress(&mut self, burst: &mut Burst<'_>, outside: Outside<'_>) {
        let Some(nat) = &outside.site.nat else { return };
        let mut queries = Queries::new();
        burst.pass(|frame| {
            if frame.note.kind == Kind::Reply {
                self.ask_back(frame, nat, &mut queries)
            } else {
                Ok(())
            }
        });
        if queries.is_empty() {
            return;
        }
        self.flows.find(&mut queries);
        let replies = burst.undecided().filter(|frame| frame.note.kind == Kind::Reply);
        for (frame, query) in replies.zip(&queries) {
            if let Err(fate) = self.back(frame, query, outside) {
                frame.fate = fate;
            }
        }
    }

    /// Reads what a reply asks for, when that is here.
    fn ask_back(
        &mut self,
        frame: &mut Frame<'_>,
        nat: &Nat,
        queries: &mut Queries,
    ) -> Result<(), Fate> {
        let query = self.ask(frame, Realm::Network, queries)?;
        let worker = match query.datagram() {
            // To the CONNECT port: all segments of a connection come to one worker.
            None if !nat.holds(frame.note.ip.destination) => {
                u8::try_from(flow_hash(frame.data(), &frame.note.ip) % nat.workers()).ok()
            }
            None => nat.worker(query.port()),
            Some(datagram) if query.is_later() => self.pieces.find(datagram).or(Some(self.worker)),
            Some(datagram) => {
                let worker = nat.worker(query.port());
                self.pieces.remember(datagram, worker.unwrap_or(self.worker));
                worker
            }
        };
        if worker == Some(self.worker) {
            return Ok(());
        }
        queries.pop();
        let worker = worker.ok_or(drop(DropReason::EgressNatUnknown))?;
        frame.note.entry = Entry::Reply(frame.note.endpoint.port);
        Err(Fate::HandOver(worker))
    }

    /// Appends what a packet asks for.
    #[inline]
    fn ask<'q>(
        &self,
        frame: &Frame<'_>,
        realm: Realm,
        queries: &'q mut Queries,
    ) -> Result<&'q Query, Fate> {
        queries.push(Query::NONE);
        let asked = match queries.last_mut() {
            Some(query) => self.flows.ask(query, frame.data(), outline(&frame.note.ip), realm),
            None => Err(Refusal::Truncated),
        };
        if let Err(refusal) = asked {
            queries.pop();
            return Err(named(refusal));
        }
        queries.last().ok_or(drop(DropReason::EgressNatHeader))
    }

    #[inline]
    fn back(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let Parts { site, counters, now } = outside.parts();
        if frame.len() > site.inner_mtu && self.is_for_client(query) {
            // Its sender is to hear that as it has sent it: the route's stage tells him.
            return Ok(());
        }
        let mut verdict = self.flows.carry(query, frame.data_mut(), now);
        if is_aside(verdict) && is_segment(frame) {
            verdict = self.outside_segment(frame, query, verdict, outside)?;
        }
        let flow = match verdict {
            Verdict::Carried { flow, .. } => self.flows.flow(flow),
            Verdict::Refused(refusal) => return Err(named(refusal)),
            Verdict::Attended { .. } | Verdict::Watched { .. } | Verdict::Unknown => None,
        };
        let client = flow.ok_or(drop(DropReason::EgressNatUnknown))?.client();
        let destination = frame.note.ip.destination_in(frame.data());
        frame.note.ip.destination = destination.ok_or(drop(DropReason::EgressNatHeader))?;
        counters.translated_in.add(1);
        if client > self.machine {
            return onward(frame, site);
        }
        frame.note.kind = Kind::Inner;
        frame.note.bare = false;
        frame.note.next_hop = if client == self.machine {
            NextHop::Local
        } else {
            NextHop::Client(global_number(client, self.worker.into(), site.workers))
        };
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        Ok(())
    }

    /// Whether a packet from the network is one of a flow to a client, and not of one between data centres.
    #[cold]
    fn is_for_client(&self, query: &Query) -> bool {
        let flow = self.flows.find_flow(query).and_then(|flow| self.flows.flow(flow));
        flow.is_some_and(|flow| flow.client() <= self.machine)
    }

    /// A segment from the network of a connection that is being opened, or was a moment ago, or that opens one.
    #[cold]
    fn outside_segment(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        verdict: Verdict,
        outside: Outside<'_>,
    ) -> Result<Verdict, Fate> {
        if let Some(verdict) = self.attended(frame, (query, verdict), From::Network, outside)? {
            return Ok(verdict);
        }
        let Some(connect) = &outside.site.connect else { return Ok(verdict) };
        if outside.site.is_clients(frame.note.ip.destination) {
            return Ok(verdict);
        }
        let source = frame.note.ip.source_in(frame.data());
        if !source.is_some_and(|source| connect.lets_in(source)) {
            return Err(drop(DropReason::EgressConnectSource));
        }
        let (splicer, around) = self.aside(outside);
        Err(splicer.accept(frame, around))
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
        let watched = if let Verdict::Watched { flow, .. } = verdict { Some(flow) } else { None };
        if self.splicer.is_idle() && watched.is_none() {
            return Ok(None);
        }
        let (splicer, around) = self.aside(outside);
        let judged = splicer.segment(frame, from, around)?;
        let now = outside.parts().now;
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
            self.ask_out(frame, outside.site, &mut queries)
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

    fn ask_out(&self, frame: &Frame<'_>, site: &Site, queries: &mut Queries) -> Result<(), Fate> {
        let client = match frame.note.client() {
            Some(number) => local_number(number, site.workers),
            None => self.machine,
        };
        self.ask(frame, Realm::Client(client), queries).map(|_| ())
    }

    #[inline]
    fn out(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let Parts { site, counters, now } = outside.parts();
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        let mut verdict = self.flows.carry(query, frame.data_mut(), now);
        if is_aside(verdict) {
            verdict = self.begin(frame, query, verdict, outside)?;
        }
        match verdict {
            Verdict::Carried { hairpin, .. } => {
                counters.translated_out.add(1);
                if hairpin {
                    return self.turn_back(frame, outside);
                }
                let destination = frame.note.ip.destination_in(frame.data());
                frame.note.ip.destination = destination.ok_or(drop(DropReason::EgressNatHeader))?;
                let (port, _) =
                    site.way_to(frame.note.ip.destination).ok_or(drop(DropReason::LinkNoRoute))?;
                leave(frame, port);
                Ok(())
            }
            Verdict::Refused(refusal) => Err(named(refusal)),
            Verdict::Attended { .. } | Verdict::Watched { .. } | Verdict::Unknown => {
                Err(drop(DropReason::EgressNatState))
            }
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
        if let Verdict::Refused(refusal) = verdict {
            return Err(named(refusal));
        }
        let number = frame.note.client();
        let client =
            number.map_or(self.machine, |number| local_number(number, outside.site.workers));
        if is_segment(frame) {
            let from = From::Client(client);
            if let Some(verdict) = self.attended(frame, (query, verdict), from, outside)? {
                return Ok(verdict);
            }
            if asks_for_connections(frame, outside.routes) {
                return Err(drop(DropReason::EgressConnectSource));
            }
            if let NextHop::Via(centre) = frame.note.next_hop {
                let is_v4 = frame.note.ip.destination.is_v4();
                let centres = outside.routes.centres();
                let asked = centres.asked(centre, number.unwrap_or(u32::MAX), is_v4);
                let (splicer, around) = self.aside(outside);
                return Err(splicer.open(frame, (client, asked), around));
            }
        }
        let random = self.random.next_u64();
        let now = outside.parts().now;
        let way = flows::Way::default();
        self.flows.open(query, frame.data(), way, (now, random)).map_err(named)?;
        outside.counters.flows_opened.add(1);
        Ok(self.flows.carry(query, frame.data_mut(), now))
    }

    /// From one client to another by their outer addresses (RFC 4787 REQ-9): it comes in as if from the network.
    #[cold]
    fn turn_back(&mut self, frame: &mut Frame<'_>, outside: Outside<'_>) -> Result<(), Fate> {
        let Some(nat) = &outside.site.nat else { return Err(drop(DropReason::EgressNoNat)) };
        frame.read_ip().map_err(|_| drop(DropReason::EgressNatHeader))?;
        frame.note.set_client(None);
        let mut queries = Queries::new();
        self.ask_back(frame, nat, &mut queries)?;
        queries.first().map_or(Ok(()), |query| self.back(frame, query, outside))
    }
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
            | Verdict::Attended { .. }
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

/// From one side of a flow between data centres to the other.
fn onward(frame: &mut Frame<'_>, site: &Site) -> Result<(), Fate> {
    let (port, face) =
        site.way_to(frame.note.ip.destination).ok_or(drop(DropReason::LinkNoRoute))?;
    if frame.len() > face.mtu {
        return Err(drop(DropReason::EgressTooBig));
    }
    let spent = drop(DropReason::RouteHopLimit);
    let octets = frame.data_mut();
    if octets.first().is_some_and(|octet| octet >> 4 == 4) {
        let header = ipv4::Header::of(octets).map_err(|_| spent)?;
        header.decrement_ttl().map_err(|_| spent)?;
    } else {
        let header = ipv6::Header::of(octets).map_err(|_| spent)?;
        header.decrement_hop_limit().map_err(|_| spent)?;
    }
    leave(frame, port);
    Ok(())
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

/// At which worker a datagram in pieces is, of which only the first names a port: one place for each name modulo their
/// number, and the newest datagram keeps it.
#[derive(Clone, Debug)]
struct Pieces(Box<[(u64, u8)]>);

impl Default for Pieces {
    fn default() -> Self {
        Self(vec![(0, 0); NAT_PIECES].into_boxed_slice())
    }
}

impl Pieces {
    fn place(&self, datagram: u64) -> usize {
        let places = self.0.len().max(1) as u64;
        usize::try_from(datagram % places).unwrap_or(0)
    }

    fn find(&self, datagram: u64) -> Option<u8> {
        let (name, worker) = self.0.get(self.place(datagram))?;
        (*name == datagram).then_some(*worker)
    }

    fn remember(&mut self, datagram: u64, worker: u8) {
        let place = self.place(datagram);
        if let Some(entry) = self.0.get_mut(place) {
            *entry = (datagram, worker);
        }
    }
}
