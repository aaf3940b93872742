//! A server with its clients around a perfect link: nothing is lost, everything arrives at once.

use std::net::IpAddr;
use std::time::Duration;

use shm::message::Item;
use wireguard::time::Instant;

use super::client::{self, Client};
use super::packets::{self, Ip};
use super::server::{LOCAL, Options, Place, Server, WIRE};
use super::site::{self, Plan};

/// One frame that went in or came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// At which queue.
    pub place: Place,
    /// Whether the server sent it.
    pub is_output: bool,
    /// The frame.
    pub octets: Vec<u8>,
}

/// The scene.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub server: Server,
    /// Clients that listen and speak.
    pub clients: Vec<Client>,
    /// The time.
    pub now: Instant,
    /// Whether hosts of the server's link answer its questions.
    pub neighbours: bool,
    /// Every frame, in order.
    pub seen: Vec<Seen>,
    /// What the server sent and no client took since the last look.
    pub strays: Vec<(Place, Vec<u8>)>,
}

/// Steps in which time passes.
const STEP: Duration = Duration::from_millis(50);

impl Scene {
    /// A server that knows its gateway, and nobody who talks to it yet.
    pub fn new(plan: &Plan, options: Options) -> Self {
        let mut scene = Self::bare(plan, options);
        scene.put(WIRE, &packets::arp_request((site::GATEWAY, site::GATEWAY_V4), site::SERVER_V4));
        scene.put(WIRE, &packets::solicitation((site::GATEWAY, site::GATEWAY_V6), site::SERVER_V6));
        scene.settle();
        scene.strays.clear();
        scene
    }

    /// A server that knows nobody.
    pub fn bare(plan: &Plan, options: Options) -> Self {
        let server = Server::with(&plan.text(), options);
        let now = options.now;
        Self {
            server,
            clients: Vec::new(),
            now,
            neighbours: true,
            seen: Vec::new(),
            strays: Vec::new(),
        }
    }

    /// Adds the client with the next number, at its first IPv4 or IPv6 address; gives its place.
    pub fn join(&mut self, is_v6: bool, options: client::Options) -> usize {
        let number = u32::try_from(self.clients.len()).unwrap_or(u32::MAX);
        let address = if is_v6 { site::outer_v6(number) } else { site::outer_v4(number) };
        self.clients.push(Client::new(number, address, options, self.now));
        self.clients.len() - 1
    }

    /// Lays a frame into a queue of the server.
    pub fn put(&mut self, place: Place, octets: &[u8]) {
        self.server.put(place, octets);
        self.see(place, false, octets);
    }

    /// Lets a packet come from the network, by the gateway, and everything that follows from it happen.
    pub fn arrive(&mut self, packet: &[u8]) {
        self.put(WIRE, &packets::from_gateway(packet));
        self.settle();
    }

    /// What control says from now on.
    pub fn change(&mut self, items: Vec<Item>) {
        self.server.change(items, self.now);
    }

    fn see(&mut self, place: Place, is_output: bool, octets: &[u8]) {
        self.seen.push(Seen { at: self.now, place, is_output, octets: octets.to_vec() });
    }

    /// Lets a client send an inner packet and everything that follows from it happen.
    pub fn send(&mut self, client: usize, inner: &[u8]) {
        if let Some(client) = self.clients.get_mut(client) {
            // What has no session yet waits in the tunnel.
            let _ = client.send(inner, self.now);
        }
        self.settle();
    }

    /// Frames that a client wants to send, which are not sent now.
    pub fn withhold(&mut self, client: usize, inner: &[u8]) -> Vec<Vec<u8>> {
        let now = self.now;
        let Some(client) = self.clients.get_mut(client) else { return Vec::new() };
        let _ = client.send(inner, now);
        client.frames()
    }

    /// Carries frames until nobody has anything to say at this time.
    pub fn settle(&mut self) {
        loop {
            let frames: Vec<_> = self.clients.iter_mut().flat_map(Client::frames).collect();
            for frame in &frames {
                self.put(WIRE, frame);
            }
            self.server.settle(self.now);
            let taken = self.server.take();
            let mut answered = false;
            for (place, octets) in taken {
                self.see(place, true, &octets);
                answered |= self.carry(place, octets);
            }
            if !answered && self.clients.iter().all(|client| client.outbox.is_empty()) {
                return;
            }
        }
    }

    /// Takes a frame of the server's to whom it is for; says whether there is an answer in a queue.
    fn carry(&mut self, place: Place, octets: Vec<u8>) -> bool {
        if !matches!(place, Place::Wire { .. }) {
            self.strays.push((place, octets));
            return false;
        }
        if let Some((from, to, payload)) = packets::datagram_in(&octets)
            && let Some(client) = self.clients.iter_mut().find(|client| client.address == to)
        {
            client.receive(payload, from, self.now);
            return false;
        }
        let reply = packets::answer(&octets, site::GATEWAY, |address| !is_server(address));
        if let Some(reply) = reply.filter(|_| self.neighbours) {
            self.put(WIRE, &reply);
            return true;
        }
        self.strays.push((place, octets));
        false
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = until.min(self.now + STEP);
            for client in &mut self.clients {
                if client.deadline().is_some_and(|deadline| deadline <= self.now) {
                    client.tick(self.now);
                }
            }
            self.settle();
        }
    }

    /// Takes what nobody took.
    pub fn strays(&mut self) -> Vec<(Place, Vec<u8>)> {
        std::mem::take(&mut self.strays)
    }

    /// Whether an echo request gets from one client to another and unchanged but for its hops.
    pub fn passes(&mut self, from: usize, to: usize) -> bool {
        let number =
            |scene: &Self, at: usize| scene.clients.get(at).map_or(0, |client| client.number);
        let (source, destination) = (number(self, from), number(self, to));
        let ip = Ip::new(site::inner_v4(source), site::inner_v4(destination));
        self.send(from, &ip.echo(7, b"does it pass?"));
        let expected = Ip { hop_limit: 63, ..ip }.echo(7, b"does it pass?");
        self.clients.get_mut(to).is_some_and(|client| client.inbox.pop() == Some(expected))
    }

    /// Whether an echo request gets from a client to the server's kernel, and one back.
    pub fn passes_local(&mut self, client: usize) -> bool {
        let number = self.clients.get(client).map_or(0, |client| client.number);
        let ip = Ip::new(site::inner_v4(number), site::LOCAL_V4);
        let back = Ip::new(site::LOCAL_V4, site::inner_v4(number)).echo(8, b"and back?");
        self.send(client, &ip.echo(7, b"does it pass?"));
        let delivered = self.strays();
        self.put(LOCAL, &packets::from_local(&back));
        self.settle();
        let there = delivered.iter().any(|(place, octets)| {
            matches!(place, Place::Local { .. })
                && packets::packet_in(octets)
                    .is_some_and(|(_, packet)| packet == ip.echo(7, b"does it pass?"))
        });
        there && self.clients.get_mut(client).is_some_and(|client| client.inbox.pop() == Some(back))
    }
}

fn is_server(address: IpAddr) -> bool {
    address == IpAddr::from(site::SERVER_V4) || address == IpAddr::from(site::SERVER_V6)
}
