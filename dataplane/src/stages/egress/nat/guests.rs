//! Packets of other data centres' clients that leave here: translated as those of a client of this server's, and never sent on by
//! another data centre.

use flows::{Query, Realm, Refusal, Verdict};
use rand_chacha::rand_core::Rng;
use wire::{tcp, udp};

use crate::fate::{DropReason, Fate};
use crate::frame::{Entry, Frame};
use crate::stages::egress::connect::EXIT_ACCOUNTS;
use crate::stages::egress::gre;
use crate::stages::egress::via::{self, End, Guest};
use crate::stages::route::icmp::Why;
use crate::stages::route::{leave, spend_hop};

use super::answers::owed;
use super::fates::named;
use super::{Outside, Queries, Translator, drop};

const FULL: Fate = drop(DropReason::EgressViaFull);

impl Translator {
    /// The guest of a number in the flow table.
    #[inline]
    pub(super) fn guest(&self, client: u32) -> Option<Guest> {
        // Behind this machine come the accounts of exits.
        if client <= self.machine + EXIT_ACCOUNTS {
            return None;
        }
        self.via.as_ref()?.guests.get(client)
    }

    /// A guest's packet leaves by an address of ours, or the guest hears why it does not.
    pub(super) fn for_guest(
        &mut self,
        frame: &mut Frame<'_>,
        (handle, tos): (u32, u8),
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let (ingress, local) = (frame.note.endpoint.remote, frame.note.endpoint.local);
        let guest = Guest { ingress, local, handle };
        let site = outside.site;
        if !self.is_target(frame, outside) {
            return self.owe_guest(frame, (&guest, Why::Rejected), outside);
        }
        let (port, face) =
            site.way_to(frame.note.ip.destination).ok_or(drop(DropReason::LinkNoRoute))?;
        if frame.note.ip.hop_limit <= 1 {
            return self.owe_guest(frame, (&guest, Why::HopLimit), outside);
        }
        if frame.len() > face.mtu {
            let mtu = u16::try_from(face.mtu).unwrap_or(u16::MAX);
            return self.owe_guest(frame, (&guest, Why::TooBig(mtu)), outside);
        }
        let client = self.account(guest)?;
        if !frame.note.ip.destination.is_v4() {
            return self.home_out(frame, (client, tos, port), outside);
        }
        let mut queries = Queries::new();
        if let Err(refusal) = self.ask(frame, Realm::Client(client), &mut queries) {
            return self.refuse_guest(frame, (&guest, refusal), outside);
        }
        self.flows.find(&mut queries);
        let query = queries.first().ok_or(drop(DropReason::EgressNatHeader))?;
        if query.is_later() && self.pieces.find(query.datagram().unwrap_or(0)).is_none() {
            // It is judged when the first one has come, and has not been changed yet.
            return Err(self.wait_again(frame, query.datagram().unwrap_or(0), outside.now));
        }
        gre::mark_congestion(frame, tos)?;
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        match self.carry_guest(frame, query, outside) {
            Verdict::Carried { hairpin, .. } => {
                outside.counters.guests_out.add(1);
                if hairpin {
                    // The hop is taken where it turns.
                    frame.note.entry = Entry::Handed;
                    frame.note.endpoint.port = port;
                    return self.turn_back(frame, outside);
                }
                spend_hop(frame).ok_or(drop(DropReason::RouteHopLimit))?;
                leave(frame, port);
                Ok(())
            }
            Verdict::Refused(refusal) => self.refuse_guest(frame, (&guest, refusal), outside),
            Verdict::Watched { .. } | Verdict::Unknown => Err(drop(DropReason::EgressNatState)),
        }
    }

    /// Carries a guest's packet by its flow, which begins now if there is none.
    fn carry_guest(
        &mut self,
        frame: &mut Frame<'_>,
        query: &Query,
        outside: Outside<'_>,
    ) -> Verdict {
        let now = outside.time();
        let mut verdict = self.flows.carry(query, frame.data_mut(), now);
        if verdict == Verdict::Unknown {
            let random = self.random.next_u64();
            if let Err(refusal) = self.flows.open(query, frame.data(), (now, random)) {
                return Verdict::Refused(refusal);
            }
            outside.counters.flows_opened.add(1);
            verdict = self.flows.carry(query, frame.data_mut(), now);
        }
        if matches!(verdict, Verdict::Carried { .. })
            && let Some(name) = query.datagram().filter(|_| !query.is_later())
        {
            self.pieces.remember(name, self.worker);
        }
        verdict
    }

    /// Whether a packet goes to where an exit makes connections to, or to an address of clients: not to what is ours or another data
    /// centre's, and not to what is nobody's on the Internet.
    fn is_target(&self, frame: &Frame<'_>, outside: Outside<'_>) -> bool {
        let Outside { site, routes, .. } = outside;
        let ip = &frame.note.ip;
        let has_ports = matches!(ip.protocol, udp::PROTOCOL | tcp::PROTOCOL);
        let upper = frame.data().get(usize::from(ip.payload_offset)..).unwrap_or_default();
        let port = match upper {
            [_, _, high, low, ..] if has_ports && !is_later(frame) => {
                Some(u16::from_be_bytes([*high, *low]))
            }
            _ => None,
        };
        let address = std::net::IpAddr::from(ip.destination);
        // A request within a tunnel would be taken for ours there.
        let is_loop = port.is_some_and(|port| routes.centres().has_machine((address, port).into()));
        self.splicer.may_reach(address, port) && !site.owns(ip.destination) && !is_loop
    }

    /// A guest's number among the clients.
    fn account(&mut self, guest: Guest) -> Result<u32, Fate> {
        let Self { via, flows, .. } = self;
        let via::Via { guests, homes, .. } = via.as_mut().ok_or(FULL)?;
        let is_idle = |number| flows.holding(number).flows == 0 && !homes.is_any(number);
        let (number, gone) = guests.make(guest, is_idle).ok_or(FULL)?;
        if let Some(gone) = gone {
            // The next one begins without the former's addresses.
            flows.forget(gone, flows::Instant(0));
        }
        Ok(number)
    }

    /// What is for a guest goes to the server whose client it is.
    pub(super) fn to_ingress(
        &self,
        frame: &mut Frame<'_>,
        guest: &Guest,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let site = outside.site;
        gre::clamp(frame, u16::try_from(site.inner_mtu).unwrap_or(u16::MAX));
        spend_hop(frame).ok_or(drop(DropReason::RouteHopLimit))?;
        outside.counters.guests_in.add(1);
        self.send_back(frame, guest, outside)
    }

    fn send_back(
        &self,
        frame: &mut Frame<'_>,
        guest: &Guest,
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let Guest { ingress, local, handle } = *guest;
        let no_way = drop(DropReason::LinkNoRoute);
        let (port, face) = outside.site.way_to(ingress).ok_or(no_way)?;
        if frame.len() + via::overhead(ingress) > face.mtu {
            return Err(drop(DropReason::EgressTooBig));
        }
        let via = self.via.as_ref().ok_or(no_way)?;
        via::dress(frame, &via.seal, &End { remote: ingress, local, port }, (true, handle))
    }

    /// A guest hears why its packet does not go on.
    #[cold]
    fn owe_guest(
        &mut self,
        frame: &mut Frame<'_>,
        (guest, why): (&Guest, Why),
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let lost = drop(match why {
            Why::Rejected => DropReason::EgressViaTarget,
            Why::NoRoute | Why::HopLimit | Why::TooBig(_) => why.reason(),
        });
        let via = self.via.as_mut().ok_or(lost)?;
        via.turn(frame, why, outside).ok_or(lost)?;
        self.send_back(frame, guest, outside)
    }

    /// The same of a packet that is not translated.
    #[cold]
    fn refuse_guest(
        &mut self,
        frame: &mut Frame<'_>,
        (guest, refusal): (&Guest, Refusal),
        outside: Outside<'_>,
    ) -> Result<(), Fate> {
        let answered = owed(refusal).and_then(|owed| self.answers.turn(frame, owed, outside));
        answered.ok_or_else(|| named(refusal))?;
        self.send_back(frame, guest, outside)
    }
}

/// Whether a packet is a later piece of a datagram, without ports.
fn is_later(frame: &Frame<'_>) -> bool {
    if !frame.note.ip.fragment {
        return false;
    }
    if frame.note.ip.destination.is_v4() {
        wire::ipv4::parse_unverified(frame.data()).is_ok_and(|ip| ip.is_later_fragment())
    } else {
        wire::ipv6::parse(frame.data()).is_ok_and(|ip| ip.is_later_fragment())
    }
}
