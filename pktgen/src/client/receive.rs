//! Frames that arrive: to the client that they are for, into its tunnel, and what is inside to the meter or the
//! responder.

use std::net::SocketAddr;

use wireguard::message::{self, Kind};
use wireguard::tunnel::Refused;

use super::plan::Family;
use super::{Moment, Shared, Swarm};
use crate::link::Arrived;
use crate::measure::Trailer;
use crate::packet::{self, Content};
use crate::responder;

impl Swarm {
    /// Takes a frame that has come.
    pub fn receive(&mut self, frame: &[u8], moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) {
        let Shared { link, tally, .. } = &mut self.shared;
        tally.frames_received += 1;
        let arrived = link.receive(frame, &mut |answer| {
            tally.transmit(out(answer), |tally| &mut tally.neighbour);
        });
        match arrived {
            Arrived::Neighbour => tally.neighbour_received += 1,
            Arrived::Foreign => tally.foreign += 1,
            Arrived::Datagram { source, destination, payload } => {
                if let Err(refused) = self.datagram((source, destination), payload, moment, out) {
                    self.shared.tally.refused.count(refused);
                }
            }
        }
    }

    fn datagram(
        &mut self,
        (source, destination): (SocketAddr, SocketAddr),
        payload: &[u8],
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Refused> {
        let kind = message::kind(payload).map_err(|_| Refused::Malformed)?;
        let number = self.whose(kind, payload, destination).ok_or(Refused::UnknownIndex)?;
        let member = self.members.get_mut(number as usize).ok_or(Refused::UnknownIndex)?;
        let tunnel = member.tunnel.as_deref_mut().ok_or(Refused::UnknownIndex)?;
        self.shared.inbox.clear();
        let verdict = self.shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
            tunnel.receive(payload, source, turn, &mut emit)
        });
        member.rearm(number, &mut self.wheel);
        verdict?;
        let Shared { plan, places, tally, inbox, .. } = &mut self.shared;
        tally.to_former_place += u64::from(places.of(number) != destination);
        let wanted = plan.client_id(number).unwrap_or(message::ClientId::ZERO);
        tally.wrong_client_id += u64::from(payload.get(1..4) != Some(&wanted.0[..]));
        match kind {
            Kind::Data if inbox.is_empty() => tally.keepalives_received += 1,
            Kind::Data => return self.deliver(number, moment, out),
            Kind::CookieReply => {
                tally.handshakes_received += 1;
                tally.cookies_received += 1;
            }
            Kind::Initiation | Kind::Response => tally.handshakes_received += 1,
        }
        Ok(())
    }

    /// The client that a message is for: by its receiver index, which stays when the client moves; an initiation
    /// has none, so by its destination.
    fn whose(&self, kind: Kind, payload: &[u8], destination: SocketAddr) -> Option<u32> {
        let at = match kind {
            Kind::Initiation => return self.shared.places.who(destination),
            Kind::Response => 8,
            Kind::CookieReply | Kind::Data => 4,
        };
        let index = payload.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*index) >> 8)
    }

    /// An inner packet has come for the client; it lies in the inbox.
    fn deliver(
        &mut self,
        number: u32,
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Refused> {
        let Shared { plan, tally, meter, inbox, .. } = &mut self.shared;
        let inner = packet::read(inbox).ok_or(Refused::Inner)?;
        let family = if inner.destination.is_ipv4() { Family::V4 } else { Family::V6 };
        if plan.inner(number, family) != inner.destination {
            tally.misdelivered += 1;
            return Ok(());
        }
        if responder::answer(inbox, &mut self.answer) {
            tally.requests_received += 1;
            self.reply(number, moment, out);
            return Ok(());
        }
        let measured = matches!(inner.content, Content::Udp(_) | Content::EchoReply(_));
        match Trailer::read(inner.payload).filter(|_| measured) {
            Some(trailer) => {
                tally.data_received += 1;
                meter.received(trailer, moment.now);
            }
            None => tally.other_inner += 1,
        }
        Ok(())
    }

    fn reply(&mut self, number: u32, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) {
        let Self { members, shared, answer, wheel, .. } = self;
        let Some(member) = members.get_mut(number as usize) else { return };
        let Some(tunnel) = member.tunnel.as_deref_mut() else { return };
        // A session has just delivered the request. One that is too old to answer stages the packet and renews.
        let _: Result<(), Refused> =
            shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
                tunnel.send(answer, turn, &mut emit)
            });
        member.rearm(number, wheel);
    }
}
