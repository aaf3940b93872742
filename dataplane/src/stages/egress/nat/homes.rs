//! IPv6 of other data centres' clients, which leaves here as it is or under another prefix, as that of clients of this server's
//! does; who has which address is remembered, so that replies find their way back.

use crate::fate::{DropReason, Fate};
use crate::frame::{Entry, Frame, Kind};
use crate::packet::Address;
use crate::site::Nat;
use crate::stages::egress::gre;
use crate::stages::egress::via::{HomeRefused, worker_of_home};
use crate::stages::route::{NextHop, Routes, leave, spend_hop};

use super::{Outside, Translator, drop, prefixes};

impl Translator {
    /// A guest's packet of IPv6 leaves, and its address leads to the guest from now on.
    pub(super) fn home_out(
        &mut self,
        frame: &mut Frame<'_>,
        (guest, tos, port): (u32, u8, u8),
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let Outside { site, routes, counters, now } = outside;
        let no_nat = drop(DropReason::EgressNoNat);
        let nat = site.nat.as_ref().ok_or(no_nat)?;
        let source = frame.note.ip.source_in(frame.data()).ok_or(no_nat)?;
        if !nat.is_untranslated(source) && nat.outward(source).is_none() {
            return Err(no_nat);
        }
        let taken = drop(DropReason::EgressViaAddress);
        if is_own(routes, source) {
            return Err(taken);
        }
        let homes = &mut self.via.as_mut().ok_or(no_nat)?.homes;
        homes.keep(source, guest, now).map_err(|refused| match refused {
            HomeRefused::Taken => taken,
            HomeRefused::Full => drop(DropReason::EgressViaFull),
        })?;
        gre::mark_congestion(frame, tos)?;
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        prefixes::outward(frame, nat)?;
        spend_hop(frame).ok_or(drop(DropReason::RouteHopLimit))?;
        counters.guests_out.add(1);
        if nat.holds(frame.note.ip.destination) {
            return self.home_turn(frame, (nat, port), outside);
        }
        leave(frame, port);
        Ok(())
    }

    /// From a guest to another one, or to a client of this server's, by its outer address: it comes in as if from the network.
    #[cold]
    fn home_turn(
        &mut self,
        frame: &mut Frame<'_>,
        (nat, port): (&Nat, u8),
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        if frame.len() > outside.site.inner_mtu {
            // Who has sent it is a client himself, and keeps to what fits clients.
            return Err(drop(DropReason::EgressTooBig));
        }
        let address = inner(frame.note.ip.destination, nat);
        frame.note.endpoint.port = port;
        frame.note.kind = Kind::Reply;
        if address.is_some_and(|address| is_own(outside.routes, address)) {
            frame.note.entry = Entry::Handed;
            frame.note.kind = Kind::Inner;
            return prefixes::inward(frame, nat);
        }
        self.home_in(frame, nat, outside)
    }

    /// A packet of IPv6 from the network to no client of this server's: its address may lead to a guest.
    pub(super) fn home_in(
        &mut self,
        frame: &mut Frame<'_>,
        nat: &Nat,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let Outside { site, now, .. } = outside;
        if frame.len() > site.inner_mtu || frame.note.ip.hop_limit <= 1 {
            // Its sender is to hear of that as he has sent it: the route's stage tells him.
            return Ok(());
        }
        let unknown = drop(DropReason::EgressNatUnknown);
        let address = inner(frame.note.ip.destination, nat).ok_or(unknown)?;
        let worker = worker_of_home(address, site.workers);
        if worker != self.worker {
            frame.note.entry = Entry::Reply(frame.note.endpoint.port);
            return Err(Fate::HandOver(worker));
        }
        let via = self.via.as_ref().ok_or(unknown)?;
        let guest = via.homes.find(address, now).and_then(|number| via.guests.get(number));
        let guest = guest.ok_or(unknown)?;
        prefixes::inward(frame, nat)?;
        self.to_ingress(frame, &guest, outside)
    }

    /// Whether a packet is one of IPv6 from the network that is for no client of this server's.
    pub(super) fn is_for_home(&self, frame: &Frame<'_>, nat: &Nat, routes: &Routes) -> bool {
        let destination = frame.note.ip.destination;
        frame.note.kind == Kind::Reply
            && !destination.is_v4()
            && self.via.is_some()
            && nat.holds(destination)
            && is_elsewhere(destination, nat, routes)
    }
}

/// Whether an address by which the Internet may know a client is none of this server's clients'.
pub(super) fn is_elsewhere(destination: Address, nat: &Nat, routes: &Routes) -> bool {
    inner(destination, nat).is_some_and(|address| !is_own(routes, address))
}

/// The address that an outer one stands for.
fn inner(outer: Address, nat: &Nat) -> Option<Address> {
    match nat.inward(outer) {
        Some(prefixes) => prefixes.inward(outer.v6()).ok().map(Address::from),
        None => Some(outer),
    }
}

/// Whether an address is a client's of this server's, or its own.
fn is_own(routes: &Routes, address: Address) -> bool {
    matches!(routes.lookup(address), NextHop::Client(_) | NextHop::Local | NextHop::Tunnel(_))
}
