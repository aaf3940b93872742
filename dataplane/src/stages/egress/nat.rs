//! Clients' IPv4 to the Internet by the server's addresses, and back: NAT44 (RFC 4787, RFC 5382, RFC 5508) by the table of
//! `flows`. A flow belongs to the worker that owns its client; a reply finds it by its port.

use arrayvec::ArrayVec;
use flows::{End, Flows, Outline, Query, Realm, Refusal, Verdict};
use rand_chacha::rand_core::Rng;
use wireguard::time::Instant;

use crate::burst::Burst;
use crate::counters::Counters;
use crate::fate::{DropReason, Fate};
use crate::frame::{Entry, Frame, Kind};
use crate::handshake::Random;
use crate::limits::{BURST_LEN_MAX, NAT_PIECES};
use crate::packet::Ip;
use crate::site::{Nat, Site, global_number, local_number};
use crate::stages::egress::gre;
use crate::stages::route::{NextHop, leave};

/// What one worker translates with.
#[derive(Debug)]
pub struct Translator {
    flows: Flows,
    /// What this machine itself sends to the Internet is translated as a client's.
    machine: u32,
    worker: u8,
    random: Random,
    pieces: Pieces,
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
    pub fn new(flows: Flows, (machine, worker): (u32, u8), random: Random) -> Self {
        Self { flows, machine, worker, random, pieces: Pieces::default() }
    }

    /// Takes back what flows have held that are over.
    pub fn advance(&mut self, counters: &Counters, now: Instant) {
        self.flows.sweep(flows::Instant(now.0), |_| {});
        counters.flows.set(self.flows.len().into());
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
        let Outside { site, counters, now } = outside;
        if frame.len() > site.inner_mtu {
            // Its sender is to hear that as it has sent it: the route's stage tells him.
            return Ok(());
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
        Ok(())
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
        let client = match frame.note.client {
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
        let Outside { site, counters, now } = outside;
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        let now = flows::Instant(now.0);
        let mut verdict = self.flows.carry(query, frame.data_mut(), now);
        if verdict == Verdict::Unknown {
            let random = self.random.next_u64();
            let way = flows::Way::default();
            self.flows.open(query, frame.data(), way, (now, random)).map_err(named)?;
            counters.flows_opened.add(1);
            verdict = self.flows.carry(query, frame.data_mut(), now);
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
            Verdict::Refused(refusal) => Err(named(refusal)),
            Verdict::Carried { .. } | Verdict::Attended { .. } | Verdict::Unknown => {
                Err(drop(DropReason::EgressNatState))
            }
        }
    }

    /// From one client to another by their outer addresses (RFC 4787 REQ-9): it comes in as if from the network.
    #[cold]
    fn turn_back(&mut self, frame: &mut Frame<'_>, outside: Outside<'_>) -> Result<(), Fate> {
        let Some(nat) = &outside.site.nat else { return Err(drop(DropReason::EgressNoNat)) };
        frame.read_ip().map_err(|_| drop(DropReason::EgressNatHeader))?;
        frame.note.client = None;
        let mut queries = Queries::new();
        self.ask_back(frame, nat, &mut queries)?;
        queries.first().map_or(Ok(()), |query| self.back(frame, query, outside))
    }
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
