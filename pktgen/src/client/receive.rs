//! Frames that arrive, a burst at a time: each to the client that it is for, data messages of all clients opened
//! together, and what is inside to the meter or the responder.
//!
//! The order of every client's messages is kept: what was gathered is opened before a handshake message is looked at.

use std::net::SocketAddr;

use wireguard::message::{self, ClientId, Kind};
use wireguard::tunnel::{Event, Refused};

use super::arrivals::Letter;
use super::plan::Family;
use super::pool::Pool;
use super::{Moment, Shared, Swarm, race, template};
use crate::link::Arrived;
use crate::measure::Trailer;
use crate::packet::{self, Content, Located};
use crate::responder;

impl Swarm {
    /// Takes frames that have come, in their order; any number, fastest with 64.
    pub fn receive<'f>(
        &mut self,
        frames: impl IntoIterator<Item = &'f [u8]>,
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) {
        for frame in frames {
            let Shared { link, tally, .. } = &mut self.shared;
            tally.frames_received += 1;
            let arrived = link.receive(frame, &mut |answer| {
                tally.transmit(out(answer), |tally| &mut tally.neighbour);
            });
            match arrived {
                Arrived::Neighbour => tally.neighbour_received += 1,
                Arrived::Foreign => tally.foreign += 1,
                Arrived::Datagram { source, destination, payload } => {
                    let verdict = self.datagram((source, destination), payload, moment, out);
                    self.shared.tally.judge(verdict);
                }
            }
        }
        self.settle(moment, out);
    }

    /// Gathers a data message; deals with any other at once.
    fn datagram(
        &mut self,
        (source, destination): (SocketAddr, SocketAddr),
        payload: &[u8],
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Refused> {
        let kind = message::kind(payload).map_err(|_| Refused::Malformed)?;
        let number = self.whose(kind, payload, destination).ok_or(Refused::UnknownIndex)?;
        let id = payload.get(1..4).and_then(|id| id.first_chunk()).copied();
        let client_id = ClientId(id.unwrap_or_default());
        let letter = Letter { number, source, destination, client_id };
        if kind != Kind::Data {
            self.settle(moment, out);
            return self.handshake(letter, payload, moment, out);
        }
        if self.arrivals.is_full() {
            self.settle(moment, out);
        }
        let tunnel = self.members.get(number as usize).and_then(|member| member.tunnel.as_deref());
        let incoming = tunnel.ok_or(Refused::UnknownIndex)?.incoming(payload, moment.now)?;
        self.arrivals.push(letter, &incoming, payload)
    }

    fn handshake(
        &mut self,
        letter: Letter,
        payload: &[u8],
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Refused> {
        let Letter { number, source, .. } = letter;
        let kind = message::kind(payload).map_err(|_| Refused::Malformed)?;
        let member = self.members.get_mut(number as usize).ok_or(Refused::UnknownIndex)?;
        let tunnel = member.tunnel.as_deref_mut().ok_or(Refused::UnknownIndex)?;
        let verdict = self.shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
            tunnel.receive(payload, source, turn, &mut emit)
        });
        member.rearm(number, &mut self.wheel);
        if kind == Kind::Response {
            self.decide((number, letter.destination.is_ipv4()), payload, verdict)?;
        } else {
            verdict?;
        }
        self.shared.note(letter);
        let tally = &mut self.shared.tally;
        tally.handshakes_received += 1;
        tally.cookies_received += u64::from(kind == Kind::CookieReply);
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

    /// Opens what was gathered, and deals with it in the order in which it came.
    fn settle(&mut self, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) {
        if self.arrivals.is_empty() {
            return;
        }
        self.arrivals.open();
        for at in 0..self.arrivals.len() {
            let verdict = self.opened(at, moment, out);
            self.shared.tally.judge(verdict);
        }
        self.arrivals.clear();
        self.flush(out);
    }

    fn opened(
        &mut self,
        at: usize,
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<(), Refused> {
        let (letter, ticket) = self.arrivals.opened(at)?;
        let number = letter.number;
        let member = self.members.get_mut(number as usize).ok_or(Refused::UnknownIndex)?;
        let tunnel = member.tunnel.as_deref_mut().ok_or(Refused::UnknownIndex)?;
        let is_proven = tunnel.opened(ticket, letter.source, moment.now)?;
        race::hold(self.shared.races.as_ref(), &self.shared.plan, number, tunnel);
        if is_proven {
            let _: Result<(), Refused> =
                self.shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
                    emit(Event::Established(wireguard::session::Role::Responder));
                    tunnel.release(turn, &mut emit);
                    Ok(())
                });
        }
        member.rearm(number, &mut self.wheel);
        let inner = self.arrivals.inner(at, ticket)?;
        self.shared.note(letter);
        if inner.is_empty() {
            self.shared.tally.keepalives_received += 1;
            return Ok(());
        }
        if let Some(request) = deliver(&mut self.shared, number, inner, moment)?
            && responder::answer(inner, &request, &mut self.answer)
        {
            self.reply(number, moment, out);
        }
        Ok(())
    }

    /// Puts the responder's answer into the batch of what leaves; drops it while a pool is sent, since its counter
    /// would be ahead of the pool's.
    fn reply(&mut self, number: u32, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) {
        if self.pool.as_ref().is_some_and(Pool::is_under_way) {
            return;
        }
        let Self { members, shared, answer, wheel, batch, .. } = self;
        let Some(member) = members.get_mut(number as usize) else { return };
        let Some(tunnel) = member.tunnel.as_deref_mut() else { return };
        match tunnel.outgoing(moment.now) {
            Ok(outgoing) if answer.len() <= usize::from(shared.plan.mtu) => {
                let place = shared.places.facing(number, outgoing.to.is_ipv4());
                batch.push_answer((number, place), &outgoing, (answer, shared.plan.mtu));
            }
            // A session has just delivered the request. One that is too old to answer stages the packet and renews.
            Ok(_) | Err(_) => {
                let _: Result<(), Refused> =
                    shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
                        tunnel.send(answer, turn, &mut emit)
                    });
            }
        }
        member.rearm(number, wheel);
    }
}

/// An inner packet has come for the client; given back if it asks the responder for an answer.
fn deliver<'a>(
    shared: &mut Shared,
    number: u32,
    octets: &'a [u8],
    moment: Moment,
) -> Result<Option<Located<'a>>, Refused> {
    let Shared { plan, tally, meter, .. } = shared;
    let inner = packet::read(octets).ok_or(Refused::Inner)?;
    let family = if inner.destination.is_ipv4() { Family::V4 } else { Family::V6 };
    if plan.inner(number, family) != inner.destination {
        tally.misdelivered += 1;
        return Ok(None);
    }
    if responder::asks(&inner) {
        tally.requests_received += 1;
        return Ok(Some(inner));
    }
    let measured = match inner.content {
        Content::Udp(_) | Content::EchoReply(_) => true,
        Content::EchoRequest(_) | Content::Other => template::is_tcp(octets, &inner),
    };
    // A client of another run, or this one's in a run before, may have sent to the same address.
    let trailer = Trailer::read(inner.payload).filter(|_| measured);
    match trailer.filter(|trailer| meter.knows(*trailer)) {
        Some(trailer) => {
            tally.data_received += 1;
            meter.received(trailer, moment.now);
        }
        None => tally.other_inner += 1,
    }
    Ok(None)
}

impl Shared {
    /// Notes what does not show in the counts of arrivals.
    fn note(&mut self, letter: Letter) {
        let Letter { number, destination, client_id, .. } = letter;
        let Self { plan, places, tally, .. } = self;
        tally.to_former_place += u64::from(!places.holds(number, destination));
        let wanted = plan.client_id(number).unwrap_or(ClientId::ZERO);
        tally.wrong_client_id += u64::from(client_id != wanted);
    }
}
