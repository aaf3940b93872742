//! A server that translates, clients that all have the same inner address, and the Internet around them.

use std::net::{IpAddr, SocketAddr};

use dataplane::counters::Totals;
use dataplane::fate::DropReason;
use dataplane::testing::client;
use dataplane::testing::packets::{self, Ip, Outline};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{Options, Place};
use dataplane::testing::site::{EVERY_CLIENTS, Nat, OUTSIDE_V4, Plan};
use dataplane::testing::transit;
use wire::checksum::Sum;
use wire::{icmp, tcp};

/// The port that clients ask from, and the one that is asked.
pub(crate) const ASKS: u16 = 5000;
pub(crate) const ASKED: u16 = 53;

pub(crate) struct World {
    pub(crate) scene: Scene,
    workers: usize,
}

impl World {
    /// Clients with sessions, and room for all that they do.
    pub(crate) fn new(workers: usize, clients: usize) -> Self {
        Self::with(workers, clients, Nat { flows: 8192, flows_per_client: 8192, setups: 64 })
    }

    pub(crate) fn with(workers: usize, clients: usize, nat: Nat) -> Self {
        let plan = Plan { workers, nat: Some(nat), nat_v6: true, ..Plan::new(clients) };
        let mut scene = Scene::new(&plan, Options::default());
        scene.change(transit::internet());
        for client in 0..clients {
            scene.join(client % 2 == 1, client::Options::default());
            scene.send(client, &[]);
        }
        scene.strays();
        Self { scene, workers }
    }

    /// The packets that leave by the port when a client sends this.
    pub(crate) fn sends(&mut self, client: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        self.scene.send(client, packet);
        self.left()
    }

    /// The one that leaves.
    pub(crate) fn sends_one(&mut self, client: usize, packet: &[u8]) -> Vec<u8> {
        let mut sent = self.sends(client, packet);
        assert_eq!(sent.len(), 1, "{}", self.totals());
        sent.remove(0)
    }

    /// By which address and port a client asks a stranger.
    pub(crate) fn asks(&mut self, client: usize) -> SocketAddr {
        let (from, ..) = udp(&self.sends_one(client, &question()));
        from
    }

    /// The packets that have left by the port.
    pub(crate) fn left(&mut self) -> Vec<Vec<u8>> {
        let strays = self.scene.strays().into_iter();
        let wire = strays.filter(|(place, _)| matches!(place, Place::Wire { .. }));
        wire.map(|(_, frame)| packets::packet_in(&frame).unwrap().1.to_vec()).collect()
    }

    /// Lets a packet come from the network to the queue of a worker.
    pub(crate) fn arrives(&mut self, worker: usize, packet: &[u8]) {
        self.lands(worker, packet);
        self.scene.settle();
    }

    /// The same, and nobody looks yet.
    pub(crate) fn lands(&mut self, worker: usize, packet: &[u8]) {
        let worker = worker % self.workers;
        self.scene.put(Place::Wire { port: 0, worker }, &packets::from_gateway(packet));
    }

    /// What a client has got since the last look.
    pub(crate) fn got(&mut self, client: usize) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.scene.clients[client].inbox)
    }

    pub(crate) fn totals(&self) -> Totals {
        self.scene.server.totals()
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.totals().dropped(reason)
    }

    /// Whether a client's question is answered, whichever worker the answer reaches.
    pub(crate) fn is_answered(&mut self, client: usize) -> bool {
        let from = self.asks(client);
        (0..self.workers).all(|worker| {
            self.arrives(worker, &answer(from));
            self.got(client) == [told()]
        })
    }

    /// Ends the server; whatever came in has come out, and nothing has kept a buffer.
    pub(crate) fn end(mut self) {
        self.scene.server.close();
        let totals = self.totals();
        assert_eq!(totals.unaccounted(), 0, "{totals}");
        assert_eq!(self.scene.server.buffers_held(), 0, "{totals}");
    }
}

/// From a client to the stranger.
pub(crate) fn out() -> Ip {
    Ip::new(EVERY_CLIENTS, STRANGER)
}

/// From the stranger to the address by which the Internet knows clients.
pub(crate) fn back() -> Ip {
    Ip::new(STRANGER, OUTSIDE_V4)
}

pub(crate) fn question() -> Vec<u8> {
    out().udp(ASKS, ASKED, b"a question")
}

/// The stranger's answer, to where the question came from.
pub(crate) fn answer(to: SocketAddr) -> Vec<u8> {
    Ip::new(STRANGER, to.ip()).udp(ASKED, to.port(), b"an answer")
}

/// The same as the client gets it, with one hop less.
pub(crate) fn told() -> Vec<u8> {
    let ip = Ip { hop_limit: 63, ..Ip::new(STRANGER, EVERY_CLIENTS) };
    ip.udp(ASKED, ASKS, b"an answer")
}

/// Ends and payload of a datagram whose checksums are right.
pub(crate) fn udp(packet: &[u8]) -> (SocketAddr, SocketAddr, Vec<u8>) {
    let outline = packets::outline(packet).unwrap();
    let (ports, payload) = packets::udp_in(&outline, packet).unwrap();
    let from = SocketAddr::new(outline.source, ports.source);
    (from, SocketAddr::new(outline.destination, ports.destination), payload.to_vec())
}

/// A segment whose checksums are right.
pub(crate) fn tcp(packet: &[u8]) -> (Outline, tcp::Located, &[u8]) {
    let outline = packets::outline(packet).unwrap();
    let segment = &packet[outline.payload_offset..outline.len];
    let (IpAddr::V4(from), IpAddr::V4(to)) = (outline.source, outline.destination) else {
        panic!("{outline:?}")
    };
    let len = u16::try_from(segment.len()).unwrap();
    tcp::verify(Sum::pseudo_v4(from, to, tcp::PROTOCOL, len), segment).unwrap();
    (outline, tcp::parse(segment).unwrap(), segment)
}

/// Who sends an ICMP error to whom, the message, and what it quotes; checksums are right.
pub(crate) fn error(packet: &[u8]) -> (Outline, icmp::Located, Vec<u8>) {
    let outline = packets::outline(packet).unwrap();
    assert_eq!(outline.protocol, icmp::v4::PROTOCOL);
    let message = &packet[outline.payload_offset..outline.len];
    let located = icmp::v4::parse(message).unwrap();
    assert!(located.is_error_v4(), "{located:?}");
    (outline, located, message[icmp::HEADER_LEN..].to_vec())
}
