//! A client's packets that leave at another data centre and are no connection there, and what comes back of them.

use flows::{Query, Realm, Refusal, Verdict};
use rand_chacha::rand_core::Rng;
use wire::{ipv4, tcp};
use wireguard::time::Instant;

use crate::fate::{DropReason, Fate, MACHINE, Waiting};
use crate::frame::{Entry, Frame};
use crate::packet::Address;
use crate::site::{Face, Nat, Site};
use crate::stages::egress::via::{
    self, End, Pin, PinKey, worker_of_guest, worker_of_handle, worker_of_home,
};
use crate::stages::egress::{gre, local};
use crate::stages::route::NextHop;
use crate::stages::route::icmp::Why;

use super::fates::named;
use super::{Outside, Queries, Translator, drop};

impl Translator {
    /// Whether a client's packet that was carried or not may be one that leaves at another data centre.
    #[inline]
    pub(super) const fn may_go_through(&self, verdict: Verdict) -> bool {
        let is_strange = matches!(
            verdict,
            Verdict::Unknown | Verdict::Refused(Refusal::FragmentEarly | Refusal::ErrorUnmatched)
        );
        is_strange && self.via.is_some()
    }

    /// Sends a client's packet to its exit, if it has one; says whether it does.
    #[cold]
    pub(super) fn through(
        &mut self,
        frame: &mut Frame<'_>,
        (query, verdict): (&Query, Verdict),
        outside: Outside<'_>,
    ) -> Result<bool, Fate> {
        let site = outside.site;
        let Some((handle, exit)) = self.exit_of(frame, (query, verdict), outside)? else {
            return Ok(false);
        };
        let (end, face) = end(exit, site).ok_or(drop(DropReason::LinkNoRoute))?;
        let room = face.mtu.saturating_sub(via::overhead(exit));
        if frame.len() > room {
            return self.too_long(frame, room, outside).map(|()| true);
        }
        gre::clamp(frame, u16::try_from(room).unwrap_or(u16::MAX));
        let via = self.via.as_mut().ok_or(drop(DropReason::EgressViaFull))?;
        if let Some(name) = query.datagram().filter(|_| !query.is_later()) {
            via.ways.remember(name, exit, outside.now);
            self.pieces.remember(name, self.worker);
        }
        via::dress(frame, &via.seal, &end, (false, handle))?;
        outside.counters.via_out.add(1);
        Ok(true)
    }

    /// By which machine of another data centre a packet leaves, and the handle of its client there.
    fn exit_of(
        &mut self,
        frame: &Frame<'_>,
        (query, verdict): (&Query, Verdict),
        outside: Outside<'_>,
    ) -> Result<Option<(u32, Address)>, Fate> {
        let Outside { site, now, .. } = outside;
        let client = self.client_of(frame, site);
        let Some(via) = &mut self.via else { return Ok(None) };
        let handle = via.handles.of(client);
        if query.is_later() {
            return Ok(handle.zip(query.datagram().and_then(|name| via.ways.find(name, now))));
        }
        let is_connection = frame.note.ip.protocol == tcp::PROTOCOL && !query.is_error();
        if let Some(handle) = handle
            && let Some(pin) = via.pins.find_mut(PinKey::of(handle, query), now)
        {
            if !query.is_error() {
                pin.until = until(frame, query, now);
            }
            return Ok(Some((handle, pin.exit)));
        }
        let is_v4 = frame.note.ip.destination.is_v4();
        if verdict != Verdict::Unknown || is_v4 && is_connection || self.flows.has_mapping(query) {
            return Ok(None);
        }
        let NextHop::Via(centre) = frame.note.next_hop else { return Ok(None) };
        let centres = outside.routes.centres();
        let takes = |machine: std::net::IpAddr| {
            let connect = site.connect.as_ref();
            connect.is_some_and(|connect| connect.lets_in(machine.into()))
                && end(machine.into(), site).is_some()
        };
        let exit = centres.exit(centre, frame.note.client().unwrap_or(MACHINE), takes);
        let Some(exit) = exit.filter(|_| centres.here() != Some(centre)) else { return Ok(None) };
        let handle = self.pin(client, (query, exit.into()), until(frame, query, now))?;
        Ok(Some((handle, exit.into())))
    }

    /// Has a client's address and port leave by an exit from now on; gives the client's handle.
    fn pin(
        &mut self,
        client: u32,
        (query, exit): (&Query, Address),
        until: Instant,
    ) -> Result<u32, Fate> {
        let full = drop(DropReason::EgressViaFull);
        let Self { via, random, .. } = self;
        let via = via.as_mut().ok_or(full)?;
        let handle = via.handles.make(client, || random.next_u32()).ok_or(full)?;
        if !via.handles.gain(handle) {
            return Err(full);
        }
        let pin = Pin { key: PinKey::of(handle, query), exit, until };
        let is_new = via.pins.put(pin);
        if is_new != Ok(true) {
            via.handles.lose(handle);
        }
        is_new.map(|_| handle).map_err(|_| full)
    }

    /// A client's packet that does not fit the way to its exit goes in pieces, if it may, or its sender hears of it.
    fn too_long(
        &mut self,
        frame: &mut Frame<'_>,
        room: usize,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let ip = ipv4::parse_unverified(frame.data()).ok();
        if ip.is_some_and(|ip| !ip.dont_fragment()) {
            // It has been routed.
            frame.note.entry = Entry::Handed;
            return Err(Fate::cut(room));
        }
        let too_big = drop(DropReason::EgressTooBig);
        let why = Why::TooBig(u16::try_from(room).unwrap_or(u16::MAX));
        let via = self.via.as_mut().ok_or(too_big)?;
        via.turn(frame, why, outside).ok_or(too_big)?;
        let Some(number) = frame.note.client() else {
            frame.note.next_hop = NextHop::Local;
            return local::deliver(frame, outside.site);
        };
        frame.note.next_hop = NextHop::Client(number);
        Ok(())
    }

    /// A datagram of another data centre's: a packet of a client of its, or one that comes back to a client of ours.
    pub(super) fn undress_via(
        &mut self,
        frame: &mut Frame<'_>,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let stranger = drop(DropReason::EgressViaSource);
        let (site, remote) = (outside.site, frame.note.endpoint.remote);
        let connect = site.connect.as_ref().ok_or(stranger)?;
        let via = self.via.as_ref().filter(|_| connect.lets_in(remote)).ok_or(stranger)?;
        let header = via::peek(frame)?;
        let worker = if header.back {
            worker_of_handle(header.handle, site.workers)
        } else if let Some(source) = via::inner_v6_source(frame) {
            // A reply to it has nothing but this address to find its worker by.
            worker_of_home(source, site.workers)
        } else {
            worker_of_guest(remote, header.handle, site.workers)
        };
        if worker != self.worker {
            frame.rewind();
            return Err(Fate::HandOver(worker));
        }
        let tos = via::open(frame, &via.seal)?;
        if header.back {
            self.returned(frame, (header.handle, tos), outside)
        } else {
            self.for_guest(frame, (header.handle, tos), outside)
        }
    }

    /// What comes back from an exit goes to the client that it is for, if that has sent something there from where it goes to.
    fn returned(
        &mut self,
        frame: &mut Frame<'_>,
        (handle, tos): (u32, u8),
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let Outside { now, counters, .. } = outside;
        let unknown = drop(DropReason::EgressViaUnknown);
        let exit = frame.note.endpoint.remote;
        let mut queries = Queries::new();
        self.ask(frame, Realm::Network, &mut queries).map_err(named)?;
        let query = queries.first().ok_or(unknown)?;
        let via = self.via.as_mut().ok_or(unknown)?;
        let client = via.handles.client(handle).ok_or(unknown)?;
        let known = if let Some(name) = query.datagram().filter(|_| query.is_later()) {
            match via.ways.find(name, now) {
                None => return Err(self.wait_again(frame, name, now)),
                known => known,
            }
        } else {
            via.pinned(handle, query, now)
        };
        if known != Some(exit) {
            return Err(unknown);
        }
        if let Some(name) = query.datagram().filter(|_| !query.is_later()) {
            via.ways.remember(name, exit, now);
            self.pieces.remember(name, self.worker);
        }
        gre::mark_congestion(frame, tos)?;
        counters.via_in.add(1);
        self.deliver(frame, (client, handle), outside)
    }

    /// A packet goes to a client, whole or in pieces, or what its sender is owed goes back to its exit.
    fn deliver(
        &mut self,
        frame: &mut Frame<'_>,
        (client, handle): (u32, u32),
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let site = outside.site;
        let is_long = frame.len() > site.inner_mtu;
        let is_cut =
            is_long && ipv4::parse_unverified(frame.data()).is_ok_and(|ip| !ip.dont_fragment());
        if is_long && !is_cut || frame.note.ip.hop_limit <= 1 {
            return self.owe_back(frame, handle, outside);
        }
        self.to_client(frame, (client, is_cut), site)
    }

    /// Who has sent what cannot go to its client hears so by way of the exit, which knows the client by another address.
    #[cold]
    fn owe_back(
        &mut self,
        frame: &mut Frame<'_>,
        handle: u32,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let site = outside.site;
        let why = if frame.note.ip.hop_limit <= 1 {
            Why::HopLimit
        } else {
            Why::TooBig(u16::try_from(site.inner_mtu).unwrap_or(u16::MAX))
        };
        let lost = drop(why.reason());
        let exit = frame.note.endpoint.remote;
        let (end, _) = end(exit, site).ok_or(lost)?;
        let via = self.via.as_mut().ok_or(lost)?;
        via.turn(frame, why, outside).ok_or(lost)?;
        via::dress(frame, &via.seal, &end, (false, handle))
    }

    /// A piece waits for the first one of its datagram, and comes in again as it has come.
    pub(super) fn wait_again(&mut self, frame: &mut Frame<'_>, name: u64, now: Instant) -> Fate {
        frame.rewind();
        match self.pieces.wait(name, now) {
            Some(id) => Fate::Hold(Waiting::First(id)),
            None => drop(DropReason::EgressNatFragment),
        }
    }
}

/// Until when a mapping lives after this packet of its client's.
fn until(frame: &Frame<'_>, query: &Query, now: Instant) -> Instant {
    let upper = frame.data().get(usize::from(frame.note.ip.payload_offset)..).unwrap_or_default();
    now + via::span(query.protocol(), upper)
}

/// The way to an exit, from the address that is this server's alone where there is one: an answer to an address of a whole fleet
/// would come to any of its servers.
fn end(exit: Address, site: &Site) -> Option<(End, &Face)> {
    let (port, face) = site.way_to(exit)?;
    let alone = site.nat.as_ref().and_then(|nat: &Nat| nat.addresses().first().copied());
    let local = match alone.filter(|_| exit.is_v4()) {
        Some(alone) => alone,
        None => face.source_for(exit)?.into(),
    };
    Some((End { remote: exit, local, port }, face))
}
