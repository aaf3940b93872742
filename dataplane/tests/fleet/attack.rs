//! An attacker who knows every client's id, hears everything on every way, and writes any source address; of the keys he
//! has only that of one client of his own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dataplane::fleet::{Keys, Tables};
use dataplane::testing::client::{self, Client};
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::server::Place;
use dataplane::testing::{fleet, site};
use wire::fleet::{Header, Step};
use wire::udp;
use wireguard::message::{ClientId, DATA, DataHeader, put_client_id};
use wireguard::secret::Secret;
use wireguard::time::Instant;
use zerocopy::IntoBytes;

use super::flow::{Mark, Segment};
use super::world::{Event, World};

/// Between two acts.
const PAUSE: Duration = Duration::from_millis(20);
/// What he remembers of each kind.
const MEMORY: usize = 500;
/// Where he listens beside his own client's address.
const STRANGER: u32 = 50_000;

/// What was heard, and when. Who is faster than the packet that he has heard is taken for its sender, by WireGuard itself; so
/// the attacker here waits.
type Memory = Vec<(Instant, Vec<u8>)>;
const LATE: Duration = Duration::from_millis(300);

pub(crate) struct Attack {
    /// A client with a key that the servers know, and one with a key that they do not.
    known: Client,
    unknown: Client,
    /// What clients have sent, and servers to each other.
    datagrams: Memory,
    passed: Memory,
    /// Datagrams that came to where only replays were sent from, by type.
    pub(crate) heard: BTreeMap<u8, u64>,
    pub(crate) acts: u64,
}

impl Attack {
    /// His own client has the number after all others.
    pub(crate) fn new(number: u32, now: Instant) -> Self {
        let client = |number| {
            let options = client::Options::default();
            Client::new(number, site::outer_v4(number), options, now)
        };
        let (datagrams, passed) = (Vec::new(), Vec::new());
        let (known, unknown) = (client(number), client(STRANGER + 1));
        Self { known, unknown, datagrams, passed, heard: BTreeMap::new(), acts: 0 }
    }

    /// How many sessions he has got by his own right, and by none.
    pub(crate) const fn sessions(&self) -> (usize, usize) {
        (self.known.tally.sessions, self.unknown.tally.sessions)
    }

    /// Hears what a client sends.
    pub(crate) fn overhear(&mut self, octets: &[u8], at: usize, now: Instant) {
        remember(&mut self.datagrams, octets, at, now);
    }

    /// Hears a packet between servers.
    pub(crate) fn overhear_servers(&mut self, packet: &[u8], at: usize, now: Instant) {
        remember(&mut self.passed, packet, at, now);
    }

    /// Takes what comes to his addresses; says whether it did.
    pub(crate) fn hear(
        &mut self,
        to: SocketAddr,
        from: SocketAddr,
        octets: &[u8],
        now: Instant,
    ) -> bool {
        if to == site::outer_v4(STRANGER) {
            *self.heard.entry(octets[0]).or_default() += 1;
            return true;
        }
        let clients = [&mut self.known, &mut self.unknown];
        let found = clients.into_iter().find(|client| client.address == to);
        found.map(|client| client.receive(octets, from, now)).is_some()
    }
}

fn remember(memory: &mut Memory, octets: &[u8], at: usize, now: Instant) {
    let heard = (now, octets.to_vec());
    if memory.len() < MEMORY {
        memory.push(heard);
    } else {
        memory[at % MEMORY] = heard;
    }
}

/// The ids of so many that a key makes the first server's.
const IDS: u32 = 60_000;

impl World {
    /// Picks the ids that were one server's if the fleet had another key; gives how many of them each server really owns.
    pub(crate) fn aim_with(&self, key: [u8; 32]) -> BTreeMap<u8, u32> {
        let station = self.stations.values().next().unwrap();
        let state = station.server.workers[0].state();
        let right = state.fleet.view().unwrap();
        let roll = &self.operator.roll;
        let told = roll.fleet(|server| self.scenario.addresses(server));
        let keys = Arc::new(Keys::new(&Secret::new(key), None));
        let way = (station.number, right.mtu());
        let wrong = Tables::default().view(&told, way, &keys, &state.site).unwrap();
        let mut owners = BTreeMap::new();
        let ids = (1..IDS).map(|id| ClientId([id.to_le_bytes()[0], id.to_le_bytes()[1], 7]));
        for id in ids.filter(|id| wrong.owner(wrong.row(*id)) == station.number) {
            *owners.entry(right.owner(right.row(id))).or_default() += 1;
        }
        owners
    }

    pub(crate) fn attack(&mut self) {
        let number = u32::try_from(self.callers.len()).unwrap();
        self.attack = Some(Attack::new(number, self.now));
        self.plan(PAUSE, Event::Attack);
    }

    pub(crate) fn act(&mut self) {
        let Some(mut attack) = self.attack.take() else { return };
        attack.acts += 1;
        match self.dice.below(7) {
            0 => self.shake_hands(&mut attack.known),
            1 => self.shake_hands(&mut attack.unknown),
            2 => self.replay(&attack.datagrams),
            3 => self.make_up(),
            4 => self.pass_on(&attack.passed, false),
            5 => self.pass_on(&attack.passed, true),
            _ => self.inject(),
        }
        self.attack = Some(attack);
        self.plan(PAUSE, Event::Attack);
    }

    /// Something that has reached its receiver by now.
    fn recall(&mut self, memory: &Memory) -> Option<Vec<u8>> {
        let (heard, octets) = memory.get(self.dice.index(memory.len().max(1)))?;
        (*heard + LATE < self.now).then(|| octets.clone())
    }

    /// The id of any client, zeros sometimes.
    fn any_id(&mut self) -> ClientId {
        let victim = self.dice.index(self.callers.len());
        self.callers[victim].life.sends.unwrap_or(ClientId::ZERO)
    }

    /// His clients do what clients do, but with others' ids on their messages and others' addresses in their packets.
    fn shake_hands(&mut self, client: &mut Client) {
        client.tick(self.now);
        let victim = self.dice.index(self.callers.len()) as u64;
        let flow = victim << 32 | self.dice.below(20);
        let packet = Segment { flow, is_request: true, number: 0, mark: Mark::Opening }.packet();
        let _ = client.send(&packet, self.now);
        let id = self.any_id();
        for (_, mut octets) in std::mem::take(&mut client.outbox) {
            put_client_id(&mut octets, id);
            self.intrude(client.address, &octets);
        }
    }

    /// Sends again what a client has sent, from elsewhere, with its own id, another's or none.
    fn replay(&mut self, datagrams: &Memory) {
        let Some(mut octets) = self.recall(datagrams) else { return };
        if self.dice.permille(500) {
            put_client_id(&mut octets, self.any_id());
        }
        self.intrude(site::outer_v4(STRANGER), &octets);
    }

    /// Data of nobody with the id of somebody.
    fn make_up(&mut self) {
        let (id, index) = (self.any_id(), u32::try_from(self.dice.below(1 << 32)).unwrap());
        let mut octets = DataHeader::new(id, index, self.dice.below(1 << 20)).as_bytes().to_vec();
        octets.resize(32 + 16 * self.dice.index(80), 0xa7);
        assert_eq!(octets[0], DATA);
        self.intrude(site::outer_v4(STRANGER), &octets);
    }

    fn intrude(&mut self, from: SocketAddr, octets: &[u8]) {
        let server = self.any_server();
        let frame = packets::datagram(from, site::server(from.ip()), octets);
        self.plan(Duration::ZERO, Event::Arrive(server, Place::Wire { port: 0, worker: 0 }, frame));
    }

    fn any_server(&mut self) -> u8 {
        let at = self.dice.index(self.stations.len());
        *self.stations.keys().nth(at).unwrap()
    }

    /// Sends again what a server has sent to another one, to any server: as it was, or spoilt.
    fn pass_on(&mut self, passed: &Memory, is_spoilt: bool) {
        let Some(mut packet) = self.recall(passed) else { return };
        let outline = packets::outline(&packet).unwrap();
        if is_spoilt {
            // Any octet of the fleet's header or of what is carried.
            let at = outline.payload_offset + 8 + self.dice.index(40);
            packet[at] ^= 1 << self.dice.index(8);
        }
        let server = self.any_server();
        let to = self.scenario.server_at(outline.destination);
        // What is for another server goes there, or back to its sender, unless the attacker is on its link.
        if to == Some(server) || self.scenario.is_on_link {
            let frame = packets::frame(site::port_link(0), site::GATEWAY, None, &packet);
            let place = Place::Wire { port: 0, worker: self.dice.index(2) };
            self.plan(Duration::ZERO, Event::Arrive(server, place, frame));
        }
    }

    /// An inner packet for a client, as if a member had passed it on, with a guessed proof.
    fn inject(&mut self) {
        let victim = self.dice.index(self.callers.len()) as u64;
        let (flow, number) = (victim << 32 | 1, 1 << 30);
        let reply = Segment { flow, is_request: false, number, mark: Mark::Going };
        let step = [Step::Direct, Step::First, Step::Ask, Step::No][self.dice.index(4)];
        let generation = self.operator.roll.generation;
        let proof = u32::try_from(self.dice.below(1 << 32)).unwrap();
        let header = Header { generation, step, inner: true, proof, ..fleet::DIRECT };
        let mut datagram = vec![0; wire::fleet::HEADER_LEN];
        datagram.extend(reply.packet());
        wire::fleet::emit(&mut datagram, 50_000, &header).unwrap();
        let (from, to) = (self.any_server(), self.any_server());
        let (from, own) = (self.scenario.addresses(from), self.scenario.addresses(to));
        let ip = match (from.0.zip(own.0), from.1.zip(own.1)) {
            (Some((from, own)), _) => Ip::new(from, own),
            (None, Some((from, own))) => Ip::new(from, own),
            (None, None) => return,
        };
        let frame = packets::from_gateway(&ip.packet(udp::PROTOCOL, &datagram));
        let place = Place::Wire { port: 0, worker: 0 };
        self.plan(Duration::ZERO, Event::Arrive(to, place, frame));
    }
}
