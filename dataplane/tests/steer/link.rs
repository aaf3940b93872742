//! The link of the servers: they reach each other on it, and clients by its router.

use std::time::Duration;

use dataplane::counters::Totals;
use dataplane::exchange::Job;
use dataplane::fleet::{Tables, id_of_key};
use dataplane::testing::client::{Client, Options};
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::server::{Options as ServerOptions, Place, Server, WIRE};
use dataplane::testing::site::{self, Nat, Plan};
use dataplane::testing::{START, fleet, transit};
use shm::message::{Fleet, Item, Member, MemberState, Past};
use wireguard::index::Place as Index;
use wireguard::message::{ClientId, DATA_LEN_MIN, DataHeader};
use wireguard::time::Instant;
use zerocopy::IntoBytes;

/// How many servers there are.
pub(crate) const SERVERS: usize = 3;

/// The number of the first.
const FIRST: u8 = 11;

const STEP: Duration = Duration::from_millis(50);

/// The peers that servers know from the start.
#[derive(Clone, Copy, Default)]
pub(crate) struct Peers {
    pub(crate) count: usize,
    /// Seconds between unasked keepalives to where they are first; zero for none.
    pub(crate) persistent: u16,
    /// Servers translate what their clients send to the Internet.
    pub(crate) translated: bool,
}

pub(crate) struct Link {
    pub(crate) servers: Vec<Server>,
    pub(crate) clients: Vec<Client>,
    /// On which server each client's packets land.
    pub(crate) landing: Vec<usize>,
    /// Servers that neither take nor send anything any more.
    pub(crate) dead: [bool; SERVERS],
    /// Who has yet to hear what all others have been told.
    pub(crate) behind: Option<usize>,
    pub(crate) now: Instant,
    pub(crate) generation: u16,
    /// The way between servers marks what can be marked.
    pub(crate) congested: bool,
    /// The type of service of clients' packets.
    pub(crate) tos: u8,
    /// Servers reach each other by IPv6 alone.
    pub(crate) over_v6: bool,
    past: Vec<Past>,
    ids: Vec<ClientId>,
    strays: Vec<(usize, Place, Vec<u8>)>,
    to_clients: Vec<(usize, usize, Vec<u8>)>,
    owners: Owners,
}

/// Who owns what, found by a model of one server's view.
struct Owners {
    tables: Tables,
    told: Option<Fleet>,
}

impl Link {
    /// Servers that know so many peers, and nothing of each other yet.
    pub(crate) fn new(peers: usize, workers: usize) -> Self {
        Self::with(Peers { count: peers, ..Peers::default() }, workers)
    }

    pub(crate) fn with(peers: Peers, workers: usize) -> Self {
        let servers = (0..SERVERS).map(|server| Self::server(server, peers, workers)).collect();
        Self {
            servers,
            clients: Vec::new(),
            landing: Vec::new(),
            dead: [false; SERVERS],
            behind: None,
            now: START,
            generation: 1,
            congested: false,
            tos: 0,
            over_v6: false,
            past: Vec::new(),
            ids: Vec::new(),
            strays: Vec::new(),
            to_clients: Vec::new(),
            owners: Owners { tables: Tables::default(), told: None },
        }
    }

    fn server(server: usize, peers: Peers, workers: usize) -> Server {
        let translated = peers.translated;
        let number = FIRST + u8::try_from(server).unwrap();
        let each = (0..u32::try_from(peers.count).unwrap()).map(|number| {
            let [a, b, ..] = (number + 1).to_le_bytes();
            let persistent_keepalive = peers.persistent;
            let endpoint = (persistent_keepalive > 0).then(|| site::outer_v4(number));
            site::Peer { client_id: [a, b, 7], endpoint, persistent_keepalive }
        });
        let peers = each.collect();
        let nat = translated.then_some(Nat { flows: 1024, flows_per_client: 64, setups: 64 });
        let plan = Plan { fleet: Some(number), workers, peers, nat, ..Plan::new(0) };
        let (own, own_v6) = (fleet::address(number), fleet::address_v6(number));
        // Each has addresses of its own behind those of all.
        let text = plan.text().replace(
            "addresses = [\"192.0.2.1/24\"",
            &format!("addresses = [\"192.0.2.1/24\", \"{own}/24\", \"{own_v6}/64\""),
        );
        assert!(text.contains(&own.to_string()), "{text}");
        let seed = u64::from(number);
        let mut server = Server::with(&text, ServerOptions { seed, ..ServerOptions::default() });
        server.put(WIRE, &packets::arp_request((site::GATEWAY, site::GATEWAY_V4), site::SERVER_V4));
        server
            .put(WIRE, &packets::solicitation((site::GATEWAY, site::GATEWAY_V6), site::SERVER_V6));
        server.settle(START);
        drop(server.take());
        if translated {
            server.change(transit::internet(), START);
        }
        server
    }

    /// A server loses everything, and is told of the fleet again.
    pub(crate) fn start_again(&mut self, server: usize) {
        let peers = Peers { count: self.clients.len(), ..Peers::default() };
        let workers = self.servers[server].workers.len();
        self.servers[server] = Self::server(server, peers, workers);
        let told = self.owners.told.clone().unwrap();
        self.servers[server].change(vec![Item::Fleet(Box::new(told))], self.now);
    }

    pub(crate) fn number(&self, server: usize) -> u8 {
        assert!(server < self.servers.len());
        FIRST + u8::try_from(server).unwrap()
    }

    /// Tells all servers that live of the states of all.
    pub(crate) fn tell(&mut self, states: &[MemberState; SERVERS]) {
        let members: Vec<Member> = (0_usize..)
            .zip(states)
            .map(|(server, state)| {
                let member = fleet::member(self.number(server), *state);
                let v6 = Some(fleet::address_v6(member.server));
                if self.over_v6 { Member { v4: None, v6, ..member } } else { member }
            })
            .collect();
        self.generation += 1;
        let generation = self.generation;
        let told = Fleet { generation, members, past: self.past.clone() };
        let active = told.members.iter().filter(|member| member.state == MemberState::Active);
        let weights = active.map(|member| (member.server, member.weight)).collect();
        self.past.insert(0, Past { generation, weights });
        let behind = self.behind;
        for server in (0..SERVERS).filter(|server| behind != Some(*server)) {
            self.hear(server, &told);
        }
        self.owners.told = Some(told);
    }

    fn hear(&mut self, server: usize, told: &Fleet) {
        if !self.dead[server] {
            self.servers[server].change(vec![Item::Fleet(Box::new(told.clone()))], self.now);
        }
    }

    /// Who is behind hears it as well.
    pub(crate) fn catch_up(&mut self) {
        let behind = self.behind.take().unwrap();
        let told = self.owners.told.clone().unwrap();
        self.hear(behind, &told);
    }

    /// The server that owns a client's id.
    pub(crate) fn owner(&mut self, client: usize) -> usize {
        let told = self.owners.told.as_ref().unwrap();
        let weights = &self.past.first().unwrap().weights;
        assert_eq!(told.generation, self.generation);
        let keys = fleet::keys();
        let table = self.owners.tables.owners(keys.table, weights).unwrap();
        let row = dataplane::fleet::row(keys.row, self.ids[client]);
        usize::from(table.owner(row) - FIRST)
    }

    pub(crate) fn join(&mut self, options: Options, is_v6: bool) {
        let number = u32::try_from(self.clients.len()).unwrap();
        let address = if is_v6 { site::outer_v6(number) } else { site::outer_v4(number) };
        self.clients.push(Client::new(number, address, options, self.now));
        self.landing.push(0);
        // All are registered with an id, whether they show it or not.
        let [a, b, ..] = (number + 1).to_le_bytes();
        self.ids.push(ClientId([a, b, 7]));
        assert_ne!(id_of_key(&site::peer(number).public_key.0), ClientId::ZERO);
    }

    pub(crate) fn send(&mut self, client: usize, inner: &[u8]) {
        let _ = self.clients[client].send(inner, self.now);
        self.settle();
    }

    /// Whether a client's inner packet comes out at this server, and the answer back to the client.
    pub(crate) fn reaches(&mut self, client: usize, server: usize) -> bool {
        let number = self.clients[client].number;
        let ip = Ip::new(site::inner_v4(number), site::LOCAL_V4);
        let request = ip.echo(7, b"who is there?");
        self.strays.clear();
        self.send(client, &request);
        let there = self.strays(server).iter().any(|(place, octets)| {
            matches!(place, Place::Local { .. })
                && packets::packet_in(octets).is_some_and(|(_, packet)| packet == request)
        });
        let answer = Ip::new(site::LOCAL_V4, site::inner_v4(number)).echo(8, b"me");
        self.servers[server].put(Place::Local { worker: 0 }, &packets::from_local(&answer));
        self.settle();
        there && self.clients[client].inbox.pop() == Some(answer)
    }

    /// Carries frames until nobody has anything to say at this time.
    pub(crate) fn settle(&mut self) {
        loop {
            for client in 0..self.clients.len() {
                for octets in self.datagrams(client) {
                    self.land(client, &octets);
                }
            }
            let mut moved = false;
            for server in 0..SERVERS {
                if self.dead[server] {
                    continue;
                }
                self.servers[server].settle(self.now);
                for (place, octets) in self.servers[server].take() {
                    moved |= self.carry(server, place, octets);
                }
            }
            if !moved && self.clients.iter().all(|client| client.outbox.is_empty()) {
                return;
            }
        }
    }

    /// What a client wants sent, as it leaves.
    fn datagrams(&mut self, client: usize) -> Vec<Vec<u8>> {
        let (tos, address) = (self.tos, self.clients[client].address);
        let outbox = std::mem::take(&mut self.clients[client].outbox);
        let datagram =
            |(to, octets): &(_, Vec<u8>)| packets::datagram_with(address, *to, tos, octets);
        outbox.iter().map(datagram).collect()
    }

    fn land(&mut self, client: usize, frame: &[u8]) {
        let server = self.landing[client];
        if !self.dead[server] {
            self.servers[server].put(WIRE, frame);
        }
    }

    fn carry(&mut self, server: usize, place: Place, octets: Vec<u8>) -> bool {
        if !matches!(place, Place::Wire { .. }) {
            self.strays.push((server, place, octets));
            return false;
        }
        if let Some(reply) = packets::answer(&octets, site::GATEWAY, |_| true) {
            self.servers[server].put(WIRE, &reply);
            return true;
        }
        if let Some(other) = self.server_at(&octets) {
            let mut octets = octets;
            // The router sends it back on the same link.
            octets[..6].copy_from_slice(&site::port_link(0));
            if self.congested {
                mark(&mut octets);
            }
            if !self.dead[other] {
                // On whichever queue: here on that of the worker that does not have the client, if there are two.
                let worker = self.servers[other].workers.len() - 1;
                self.servers[other].put(Place::Wire { port: 0, worker }, &octets);
            }
            return true;
        }
        let Some((from, to, payload)) = packets::datagram_in(&octets) else {
            self.strays.push((server, place, octets));
            return false;
        };
        let Some(client) = self.clients.iter().position(|client| client.address == to) else {
            self.strays.push((server, place, octets));
            return false;
        };
        self.to_clients.push((client, server, payload.to_vec()));
        self.clients[client].receive(payload, from, self.now);
        true
    }

    fn server_at(&self, octets: &[u8]) -> Option<usize> {
        let (outline, _) = packets::packet_in(octets)?;
        let ours = |number| {
            outline.destination == fleet::address(number)
                || outline.destination == fleet::address_v6(number)
        };
        (0..SERVERS).find(|server| ours(self.number(*server)))
    }

    pub(crate) fn wait(&mut self, time: Duration) {
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

    pub(crate) fn totals(&self, server: usize) -> Totals {
        self.servers[server].totals()
    }

    /// What came out of a server and nobody took.
    pub(crate) fn strays(&mut self, server: usize) -> Vec<(Place, Vec<u8>)> {
        let all = std::mem::take(&mut self.strays);
        let of_server = all.into_iter().filter(|(of, _, _)| *of == server);
        of_server.map(|(_, place, octets)| (place, octets)).collect()
    }

    /// A message for a server that nobody can open.
    pub(crate) fn sealed_message(&self, server: usize, id: ClientId, len: usize) -> Vec<u8> {
        let place = Index { server: self.number(server).into(), worker: 0, slot: 0 };
        let index = fleet::permutation().index(place);
        let mut message = DataHeader::new(id, index, 0).as_bytes().to_vec();
        message.resize(len, 0);
        message
    }

    /// The same as the first client's packet.
    pub(crate) fn sealed_for(&self, server: usize, id: ClientId) -> Vec<u8> {
        let message = self.sealed_message(server, id, DATA_LEN_MIN);
        let address = self.clients[0].address;
        packets::datagram(address, site::server(address.ip()), &message)
    }

    /// Fills the rings of a server's handshake threads with what comes to nothing.
    pub(crate) fn overload(&mut self, server: usize, jobs: usize) {
        for _ in 0..jobs {
            assert!(self.servers[server].exchange.submit(0, Job::Abandon(u32::MAX)));
        }
    }

    /// The message with which a client begins; it is not sent.
    pub(crate) fn initiation(&mut self, client: usize) -> Vec<u8> {
        let _ = self.clients[client].send(&[1], self.now);
        let (_, octets) = std::mem::take(&mut self.clients[client].outbox).pop().unwrap();
        octets
    }

    /// Lets one message of a client go its way through the workers, while handshake threads stand still.
    pub(crate) fn pass_through(&mut self, client: usize, message: &[u8]) {
        let address = self.clients[client].address;
        let frame = packets::datagram(address, site::server(address.ip()), message);
        self.land(client, &frame);
        for _ in 0..10 {
            for server in 0..SERVERS {
                let now = self.now;
                for worker in &mut self.servers[server].workers {
                    worker.turn(now);
                }
                for (place, octets) in self.servers[server].take() {
                    self.carry(server, place, octets);
                }
            }
        }
    }

    /// What servers have sent to a client, and which.
    pub(crate) fn sent_to(&self, client: usize) -> Vec<(usize, Vec<u8>)> {
        let own = self.to_clients.iter().filter(|(to, _, _)| *to == client);
        own.map(|(_, server, octets)| (*server, octets.clone())).collect()
    }

    /// Ends all servers; whatever came in has come out.
    pub(crate) fn close(mut self) {
        for server in &mut self.servers {
            server.close();
            let totals = server.totals();
            assert_eq!(totals.unaccounted(), 0, "{totals}");
        }
    }
}

/// Marks congestion in an IPv4 header (RFC 3168 5).
fn mark(frame: &mut [u8]) {
    let packet = &mut frame[wire::ethernet::HEADER_LEN..];
    let header = wire::ipv4::Header::of(packet).unwrap();
    header.set_ecn(wire::ecn::Ecn::Ce);
}
