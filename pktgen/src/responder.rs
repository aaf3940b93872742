//! The responder: what stands behind the server under test. It answers pings and UDP echo, is the far end of tenants'
//! GRE tunnels, serves HTTP over TCP, and counts one-way traffic that ends here.
//!
//! Nothing here knows a device or a clock: frames go in and out, time is an argument.

mod echo;
pub mod gre;
pub mod origin;
mod sink;
mod tally;

pub use echo::{ECHO_PORT, answer, asks};
pub use sink::Sums;
pub use tally::Tally;

use std::net::IpAddr;

use wire::ethernet::{self, Mac};
use wire::{arp, ipv4, ipv6, tcp};
use wireguard::time::Instant;

use crate::link::{self, Link, Opened, Range, Setup};
use crate::measure::Trailer;
use crate::packet::{self, Content, Located};
use gre::{Inside, Tunnels};
use origin::{Origin, Segment};
use sink::Sink;
use tally::Sent;

/// The longest packet on the link.
const MTU: usize = 1500;
/// Keepalives that leave in one turn at most.
const KEEPALIVES_PER_TURN: usize = 64;

/// What the responder is told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Initial sequence numbers follow from it.
    pub seed: u64,
    /// The 802.1Q tag of the link.
    pub vlan: Option<u16>,
    /// Its addresses on the link, beside the local ends of tunnels.
    pub addresses: Vec<Range>,
    /// The tunnels.
    pub tunnels: Vec<gre::Plan>,
    /// What is served over TCP.
    pub origin: origin::Plan,
}

impl Plan {
    /// Whether a packet to this address, on the link or in a tunnel, ends here.
    pub fn has(&self, address: IpAddr) -> bool {
        let inner = self.tunnels.iter().flat_map(|tunnel| &tunnel.inner);
        self.addresses.iter().chain(inner).any(|range| range.position(address).is_some())
    }

    fn link(&self, mac: Mac) -> Setup {
        let locals = self.tunnels.iter().map(|t| Range::one(t.local));
        let mut addresses: Vec<_> = self.addresses.clone();
        for local in locals {
            let is_known = addresses.iter().any(|range| range.position(local.first).is_some());
            addresses.extend((!is_known).then_some(local));
        }
        let asking = self.tunnels.iter().filter(|tunnel| !tunnel.keepalive.is_zero());
        let mut hops: Vec<_> = asking.map(|tunnel| tunnel.hop).collect();
        hops.sort_unstable();
        hops.dedup();
        Setup { mac, vlan: self.vlan, addresses, hops }
    }
}

/// The way that a packet came and its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// The link address.
    mac: Mac,
    /// The tunnel, by its number in the plan.
    tunnel: Option<u32>,
}

/// The responder.
#[derive(Debug)]
pub struct Responder {
    link: Link,
    origin: Origin,
    sink: Sink,
    outlet: Outlet,
    /// The answer on its way.
    answer: Vec<u8>,
}

/// What a packet passes that leaves.
#[derive(Debug)]
struct Outlet {
    mac: Mac,
    vlan: Option<u16>,
    tunnels: Tunnels,
    tally: Tally,
    /// Where frames are made.
    frame: Vec<u8>,
}

/// What takes frames; false when one was not taken.
type Out<'a> = dyn FnMut(&[u8]) -> bool + 'a;

impl Responder {
    /// A responder behind the link address `mac` that has met nobody.
    pub fn new(plan: Plan, mac: Mac, now: Instant) -> Self {
        let link = Link::new(plan.link(mac));
        let outlet = Outlet {
            mac,
            vlan: plan.vlan,
            tunnels: Tunnels::new(plan.tunnels, now),
            tally: Tally::default(),
            frame: Vec::with_capacity(ethernet::TAGGED_HEADER_LEN + MTU),
        };
        let origin = Origin::new(plan.origin, plan.seed, now);
        Self { link, origin, sink: Sink::default(), outlet, answer: Vec::new() }
    }

    /// Whether a frame is for one of its addresses, so that it shares a device with others.
    pub fn owns(&self, frame: &[u8]) -> bool {
        destination(frame).is_some_and(|address| self.link.has(address))
    }

    /// Takes a frame that has come. Trailers of one-way traffic are shown to `claim`; those that it does not take for
    /// its own are of other runs, and the responder follows them itself.
    pub fn receive(
        &mut self,
        frame: &[u8],
        now: Instant,
        claim: &mut dyn FnMut(Trailer) -> bool,
        out: &mut Out<'_>,
    ) {
        let Self { link, outlet: Outlet { tally, .. }, .. } = self;
        tally.frames_received += 1;
        let opened = link.open(frame, &mut |answer| tally.transmit(out(answer), Sent::Neighbour));
        match opened {
            Opened::Neighbour => tally.neighbour_received += 1,
            Opened::Foreign => tally.foreign += 1,
            Opened::Packet { octets, sender } => {
                if let Some(trailer) = self.packet(octets, sender, now, out) {
                    self.outlet.tally.measured += 1;
                    if !claim(trailer) {
                        self.sink.receive(trailer);
                    }
                }
            }
        }
    }

    /// Does what is due: questions on the link, keepalives, the origin's timers. Returns how much that was.
    pub fn turn(&mut self, now: Instant, out: &mut Out<'_>) -> usize {
        let Self { link, origin, outlet, .. } = self;
        link.resolve(now, &mut |frame| outlet.tally.transmit(out(frame), Sent::Neighbour));
        let asked = outlet.keep_alive(link, now, out);
        asked + origin.turn(now, &mut |via, packet| outlet.send(via, packet, Sent::Segment, out))
    }

    /// No keepalives any more; answers go on.
    pub fn end(&mut self) {
        self.outlet.tunnels.iter_mut().for_each(gre::Tunnel::hush);
    }

    /// The frames of the run so far.
    pub const fn tally(&self) -> &Tally {
        &self.outlet.tally
    }

    /// The origin's counts.
    pub const fn origin(&self) -> &origin::Tally {
        self.origin.tally()
    }

    /// The tunnels, with their counts.
    pub fn tunnels(&self) -> impl Iterator<Item = &gre::Tunnel> {
        self.outlet.tunnels.iter()
    }

    /// One-way traffic of other runs.
    pub fn sums(&self) -> Sums {
        self.sink.sums()
    }

    /// The outer link.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Counts a packet from the link and acts on it; its trailer if it was one-way traffic.
    fn packet(
        &mut self,
        octets: &[u8],
        mac: Mac,
        now: Instant,
        out: &mut Out<'_>,
    ) -> Option<Trailer> {
        let Some(packet) = packet::read(octets) else {
            self.outlet.tally.unreadable += 1;
            return None;
        };
        if !self.link.has(packet.destination) {
            self.outlet.tally.foreign += 1;
            return None;
        }
        if packet.protocol == wire::gre::PROTOCOL {
            return self.tunnelled(&packet, mac, now, out);
        }
        let octets = octets.get(..packet.len).unwrap_or_default();
        self.serve((octets, &packet), Via { mac, tunnel: None }, now, out)
    }

    fn tunnelled(
        &mut self,
        outer: &Located<'_>,
        mac: Mac,
        now: Instant,
        out: &mut Out<'_>,
    ) -> Option<Trailer> {
        let Outlet { tunnels, tally, .. } = &mut self.outlet;
        let inside = tunnels.find(outer).and_then(|(index, arrived)| {
            let tunnel = tunnels.at(index).ok_or(gre::Refused::Unknown)?;
            Ok((index, tunnel.decap(&arrived, now)?))
        });
        match inside {
            Err(refused) => tally.refuse(refused),
            Ok((_, Inside::Answer)) => tally.keepalive_answers_received += 1,
            Ok((index, Inside::Keepalive(answer))) => {
                tally.keepalives_received += 1;
                let is_silent = tunnels.at(index).is_some_and(|t| t.plan().faults.silent);
                if !is_silent {
                    let via = Via { mac, tunnel: None };
                    self.outlet.send(via, answer, Sent::KeepaliveAnswer, out);
                }
            }
            Ok((index, Inside::Packet(octets, packet))) => {
                if tunnels.at(index).is_some_and(|tunnel| tunnel.has(packet.destination)) {
                    let via = Via { mac, tunnel: Some(index) };
                    return self.serve((octets, &packet), via, now, out);
                }
                tally.misdelivered += 1;
            }
        }
        None
    }

    /// Counts a packet for one of our hosts and answers it; its trailer if it was one-way traffic.
    fn serve(
        &mut self,
        (octets, packet): (&[u8], &Located<'_>),
        via: Via,
        now: Instant,
        out: &mut Out<'_>,
    ) -> Option<Trailer> {
        let Self { origin, outlet, answer, .. } = self;
        if packet.protocol == tcp::PROTOCOL {
            match Segment::read(octets, packet, (via, outlet.mtu(via))) {
                Ok(segment) => {
                    outlet.tally.segments_received += 1;
                    origin.receive(&segment, now, &mut |via, packet| {
                        outlet.send(via, packet, Sent::Segment, out)
                    });
                }
                Err(_) => outlet.tally.unreadable += 1,
            }
            return None;
        }
        if echo::answer(octets, packet, answer) {
            outlet.tally.echoes += 1;
            outlet.send(via, answer, Sent::Answer, out);
            return None;
        }
        let is_datagram = matches!(packet.content, Content::Udp(_));
        let trailer = Trailer::read(packet.payload).filter(|_| is_datagram);
        outlet.tally.other += u64::from(trailer.is_none());
        trailer
    }
}

impl Outlet {
    /// The longest packet that fits a way.
    fn mtu(&mut self, via: Via) -> usize {
        MTU - self.head_len(via)
    }

    fn head_len(&mut self, via: Via) -> usize {
        let tunnel = via.tunnel.and_then(|index| self.tunnels.at(index));
        tunnel.map_or(0, |tunnel| tunnel.head_len())
    }

    /// Sends a packet on its way, through the tunnel if that leads through one. False when the device did not take it.
    fn send(&mut self, via: Via, packet: &[u8], kind: Sent, out: &mut Out<'_>) -> bool {
        let link_len = self.vlan.map_or(ethernet::HEADER_LEN, |_| ethernet::TAGGED_HEADER_LEN);
        let head_len = link_len + self.head_len(via);
        self.frame.clear();
        self.frame.resize(head_len, 0);
        self.frame.extend_from_slice(packet);
        let is_sent = self.enclose(via, link_len) && out(&self.frame);
        self.tally.transmit(is_sent, kind);
        is_sent
    }

    /// Writes the headers before the packet in the frame.
    fn enclose(&mut self, via: Via, link_len: usize) -> bool {
        let Some(outer) = self.frame.get_mut(link_len..) else { return false };
        if let Some(tunnel) = via.tunnel.and_then(|index| self.tunnels.at(index))
            && tunnel.encap(outer).is_err()
        {
            return false;
        }
        let is_v6 = outer.first().is_some_and(|octet| octet >> 4 == 6);
        let ethertype = if is_v6 { ipv6::ETHERTYPE } else { ipv4::ETHERTYPE };
        ethernet::emit(&mut self.frame, via.mac, self.mac, self.vlan, ethertype).is_ok()
    }

    fn keep_alive(&mut self, link: &Link, now: Instant, out: &mut Out<'_>) -> usize {
        for done in 0..KEEPALIVES_PER_TURN {
            let Some(index) = self.tunnels.due(now) else { return done };
            let Some(tunnel) = self.tunnels.at(index) else { return done };
            let Some(mac) = link.neighbour(tunnel.plan().hop) else {
                tunnel.postpone(now);
                continue;
            };
            if let Ok(inside) = tunnel.ask(now) {
                self.send(Via { mac, tunnel: Some(index) }, &inside, Sent::Keepalive, out);
            }
        }
        KEEPALIVES_PER_TURN
    }
}

/// The address that a frame asks for or goes to.
fn destination(frame: &[u8]) -> Option<IpAddr> {
    let header = ethernet::parse(frame).ok()?;
    let payload = frame.get(header.payload_offset..)?;
    match header.ethertype {
        arp::ETHERTYPE => link::asked_for(frame),
        ipv4::ETHERTYPE => {
            let octets: [u8; 4] = *payload.get(16..)?.first_chunk()?;
            Some(octets.into())
        }
        ipv6::ETHERTYPE => {
            let octets: [u8; 16] = *payload.get(24..)?.first_chunk()?;
            // A question goes to a group.
            let is_group = octets.first() == Some(&0xff);
            let asked = is_group.then(|| link::asked_for(frame)).flatten();
            Some(asked.unwrap_or_else(|| octets.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
