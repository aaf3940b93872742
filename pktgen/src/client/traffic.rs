//! The plan's traffic: inner packets with the trailer, from one client after the other.

use std::net::{IpAddr, SocketAddr};

use wire::icmp;
use wireguard::time::Instant;

use super::plan::{Kind, Plan, Target, Traffic};
use super::{Moment, Swarm};
use crate::measure::Trailer;
use crate::packet;
use crate::responder::ECHO_PORT;

/// The port where one-way traffic ends (RFC 863).
const DISCARD_PORT: u16 = 9;
/// Inner source ports: this and the following, a client each.
const SOURCE_PORT: u16 = 10_000;
const SOURCE_PORTS: u32 = 50_000;
/// The identifier of echo requests: which of 65,536 clients in turn.
const IDENTIFIERS: u32 = 1 << 16;

impl Swarm {
    /// Sends what is due, a batch at most. Returns how many packets came due.
    pub(super) fn send_due(
        &mut self,
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> usize {
        let mut due = 0;
        while !self.batch.is_full() {
            let Some((inner_len, planned)) = self.take_due(moment.now) else { break };
            due += 1;
            self.shared.tally.planned += 1;
            let number = self.sender();
            if !self.lay_in(number, (inner_len, planned), moment.now) {
                self.shared.tally.without_session += 1;
                self.call(number, moment, out);
            }
        }
        self.flush(out);
        due
    }

    fn take_due(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let (pacer, traffic) = (self.traffic.as_mut()?, self.shared.plan.traffic.as_ref()?);
        let inner_len = traffic.sizes.of(self.turn);
        let frame_len = self.shared.plan.frame_len(inner_len);
        let planned = pacer.take(now, frame_len, &mut self.shared.random)?;
        Some((inner_len, planned))
    }

    /// Whose turn it is.
    fn sender(&mut self) -> u32 {
        let number = self.turn % u64::from(self.shared.plan.clients.max(1));
        self.turn += 1;
        u32::try_from(number).unwrap_or(0)
    }

    /// Puts one packet of the client into the batch; false when it has no session.
    fn lay_in(&mut self, number: u32, (len, planned): (usize, Instant), now: Instant) -> bool {
        let Some(member) = self.members.get_mut(number as usize) else { return false };
        let Some(tunnel) = member.tunnel.as_deref_mut() else { return false };
        let plan = &self.shared.plan;
        let Some(traffic) = &plan.traffic else { return false };
        let Ok(outgoing) = tunnel.outgoing(now) else { return false };
        let trailer = self.shared.meter.send(number, planned, now);
        let source = self.shared.places.of(number);
        self.batch.push((number, source), &outgoing, (len, plan.mtu), |inner| {
            write(inner, plan, traffic, trailer);
        });
        member.rearm(number, &mut self.wheel);
        true
    }

    fn flush(&mut self, out: &mut impl FnMut(&[u8]) -> bool) {
        let (tally, meter) = (&mut self.shared.tally, &mut self.shared.meter);
        self.batch.flush(&self.shared.link, |number, frame| {
            if frame.is_some_and(&mut *out) {
                tally.frames_sent += 1;
                tally.data_sent += 1;
            } else {
                tally.without_room += 1;
                meter.withdraw(number);
            }
        });
    }
}

/// Writes the inner packet over all of `inner`, which is long enough by the plan's check.
fn write(inner: &mut [u8], plan: &Plan, traffic: &Traffic, trailer: Trailer) {
    let number = trailer.stream;
    let source = plan.inner(number, traffic.family);
    let to = target(plan, traffic, number);
    inner.fill(0);
    trailer.write(inner);
    let offset = u16::try_from(number % SOURCE_PORTS).unwrap_or(0);
    let from = SocketAddr::new(source, SOURCE_PORT + offset);
    let written = match traffic.kind {
        Kind::Echo => packet::emit_udp(inner, from, SocketAddr::new(to, ECHO_PORT)),
        Kind::OneWay => packet::emit_udp(inner, from, SocketAddr::new(to, DISCARD_PORT)),
        Kind::Ping => {
            let low = |value: u64| u16::try_from(value % u64::from(IDENTIFIERS)).unwrap_or(0);
            let identifier = low(number.into());
            let echo = icmp::Echo { identifier, sequence: low(trailer.sequence) };
            packet::emit_echo(inner, source, to, echo)
        }
    };
    // The plan's check leaves no packet too short for its headers; one that were would arrive as a broken one.
    let _: Result<(), wire::NoRoom> = written;
}

fn target(plan: &Plan, traffic: &Traffic, number: u32) -> IpAddr {
    match traffic.target {
        Target::Host(address) => address,
        Target::Clients => {
            let next = (number + 1) % plan.clients.max(1);
            plan.inner(next, traffic.family)
        }
    }
}
