//! What the network does with frames and datagrams.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dataplane::testing::server::Place;
use dataplane::testing::{packets, site};
use wire::fleet::Step;
use wire::{ethernet, fleet, udp};

use super::plan::link_of;
use super::router::{client_delay, server_delay};
use super::station::queue_of;
use super::world::{Event, World};

const GATEWAYS: [IpAddr; 2] = [IpAddr::V4(site::GATEWAY_V4), IpAddr::V6(site::GATEWAY_V6)];
/// Until a neighbour answers.
const QUESTION: Duration = Duration::from_millis(1);

impl World {
    /// A frame that a server has sent: a question for a neighbour, a packet for another server, or a datagram for a
    /// client.
    pub(crate) fn carry(&mut self, server: u8, place: Place, octets: &[u8]) {
        if let Some(reply) = self.answer_of_neighbour(server, octets) {
            return self.plan(QUESTION, Event::Arrive(server, place, reply));
        }
        // The rest between neighbours: answers to the gateway, and questions that nobody answers.
        let Some((outline, packet)) = packets::packet_in(octets) else { return };
        if GATEWAYS.contains(&outline.destination) || outline.destination.is_multicast() {
            return;
        }
        if let Some(other) = self.scenario.server_at(outline.destination) {
            return self.forward((server, other), octets);
        }
        let anycast = [IpAddr::from(site::SERVER_V4), site::SERVER_V6.into()];
        assert!(
            !anycast.contains(&outline.destination),
            "server {server} writes to the address of all"
        );
        let datagram = packets::udp_in(&outline, packet);
        let Some((ports, payload)) = datagram else {
            panic!("server {server} sent to a client what is no datagram: {outline:?}");
        };
        let from = SocketAddr::new(outline.source, ports.source);
        let to = SocketAddr::new(outline.destination, ports.destination);
        assert_eq!(from, site::server(to.ip()), "clients are answered from where they called");
        let client = self.callers.iter().position(|caller| caller.hears(to, self.now));
        let delay = client_delay(client.unwrap_or(0));
        self.plan(delay, Event::Reach(to, from, payload.to_vec()));
    }

    /// The answer of the gateway or of a server that lives.
    fn answer_of_neighbour(&self, server: u8, octets: &[u8]) -> Option<Vec<u8>> {
        packets::answer(octets, site::GATEWAY, |target| GATEWAYS.contains(&target)).or_else(|| {
            let others = self.stations.keys().filter(|other| **other != server);
            let others = others.filter(|_| self.scenario.is_on_link);
            others.into_iter().find_map(|other| {
                let has = |target| self.scenario.server_at(target) == Some(*other);
                packets::answer(octets, link_of(*other), has)
            })
        })
    }

    /// Takes a packet from one server to another: over their link, or through the gateway.
    fn forward(&mut self, (from, to): (u8, u8), octets: &[u8]) {
        let header = ethernet::parse(octets).unwrap();
        let is_on_link = self.scenario.is_on_link;
        let expected = if is_on_link { link_of(to) } else { site::GATEWAY };
        assert_eq!(header.destination, expected, "server {from} sent to the wrong neighbour");
        let payload = &octets[header.payload_offset..];
        if let Some(attack) = &mut self.attack {
            attack.overhear_servers(payload, self.dice.index(usize::MAX), self.now);
        }
        *self.figures.forwarded.entry(purpose(payload)).or_default() += 1;
        let Some(delay) = server_delay(&self.scenario, (from, to), &mut self.dice) else { return };
        let sender = if is_on_link { link_of(from) } else { site::GATEWAY };
        let frame = packets::frame(site::port_link(0), sender, None, payload);
        let place = queue_of_packet(payload);
        self.plan(delay, Event::Arrive(to, place, frame));
    }

    /// Sends a datagram of a client's on its way. Its address decides the family, whatever was heard last.
    pub(crate) fn send(&mut self, client: usize, octets: &[u8]) {
        let from = self.callers[client].client.address;
        let to = site::server(from.ip());
        let Some(server) = self.router.choose(from, to) else { return };
        let frame = packets::datagram(from, to, octets);
        let place = queue_of(from, to);
        self.plan(client_delay(client), Event::Arrive(server, place, frame));
    }
}

/// What the server that gets a packet from another one shall do with it.
fn purpose(packet: &[u8]) -> &'static str {
    let outline = packets::outline(packet).unwrap();
    let at = outline.payload_offset + udp::HEADER_LEN;
    match fleet::parse(&packet[at..]).unwrap().0.step {
        Step::Direct => "Direct",
        Step::First => "First",
        Step::Ask => "Ask",
        Step::No => "No",
    }
}

/// The queue that a packet comes to, by its addresses and ports.
fn queue_of_packet(packet: &[u8]) -> Place {
    let outline = packets::outline(packet).unwrap();
    let ports = packet.get(outline.payload_offset..).and_then(|octets| octets.first_chunk());
    let [a, b, c, d] = ports.copied().unwrap_or([0; 4]);
    let (source, destination) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    queue_of((outline.source, source).into(), (outline.destination, destination).into())
}
