//! Two data centres and the wire between them: clients of the one reach a stranger through the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dataplane::counters::Totals;
use dataplane::testing::client;
use dataplane::testing::packets::{self, Ip, Outline, packet_in};
use dataplane::testing::rules::{STRANGER, STRANGER_V6};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::Place;
use dataplane::testing::site::{
    CENTRE_V4, CONNECT_PORT, EVERY_CLIENTS, GATEWAY_V4, GATEWAY_V6, Nat, OUTSIDE_V4, OUTSIDE_V6,
    Plan, SERVER_V4, SERVER_V6,
};
use shm::message::{Centre, Item, Machine, NextHop};
use wire::{exit, icmp, udp};

use crate::pair;
use crate::{CENTRE, NEAR};

/// The port that clients ask from, and the one that is asked.
pub(crate) const ASKS: u16 = 5000;
pub(crate) const ASKED: u16 = 53;
/// By which the Internet knows those whose packets leave at the other data centre.
pub(crate) const EXIT_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);
/// The same of IPv6, the first 48 bits.
pub(crate) const EXIT_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x7d, 0, 0, 0, 0, 0);
/// Its machine's address of IPv6.
pub(crate) const CENTRE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, 1);
/// Another machine of it, which is not there.
pub(crate) const OTHER_V4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 8);
/// Octets around a packet on the wire between them.
pub(crate) const AROUND: usize = 20 + exit::HEADER_LEN;

pub(crate) struct World {
    pub(crate) here: Scene,
    pub(crate) there: Scene,
    workers: usize,
    /// What has crossed the wire since the last look.
    pub(crate) crossed: Vec<Vec<u8>>,
    /// Which worker gets the next packet.
    turn: usize,
}

/// Room for as much as a test needs.
pub(crate) const ROOM: Nat = Nat { flows: 1024, flows_per_client: 256, setups: 16 };

impl World {
    pub(crate) fn new(workers: usize, clients: usize) -> Self {
        Self::with((workers, clients), ROOM, &[machine(CENTRE_V4)])
    }

    pub(crate) fn with((workers, clients): (usize, usize), nat: Nat, machines: &[Machine]) -> Self {
        let plan = Plan { workers, nat: Some(nat), nat_v6: true, ..Plan::new(clients) };
        let from = format!("[\"{CENTRE_V4}/32\", \"{OTHER_V4}/32\", \"{CENTRE_V6}/128\"]");
        let text = plan.text().replace(&format!("[\"{CENTRE_V4}/32\"]"), &from);
        let mut here = pair::scene(&text, GATEWAY_V4, SERVER_V4);
        here.change(routes(machines));
        let there = there(&Plan { peers: plan.peers[..1].to_vec(), ..plan });
        for client in 0..clients {
            here.join(client % 2 == 1, client::Options::default());
            here.send(client, &[]);
        }
        here.strays();
        Self { here, there, workers, crossed: Vec::new(), turn: 0 }
    }

    /// The other data centre's server is another one from now on, which knows nothing.
    pub(crate) fn restart(&mut self, nat: Nat) {
        let plan = Plan { workers: self.workers, nat: Some(nat), nat_v6: true, ..Plan::new(1) };
        let now = self.there.now;
        self.there = there(&plan);
        self.there.now = now;
    }

    /// Lets packets go from one to the other until none does; gives what the other one has sent to the Internet.
    pub(crate) fn cross(&mut self) -> Vec<Vec<u8>> {
        let mut left = Vec::new();
        loop {
            let over: Vec<_> = packets_of(&mut self.here);
            let back: Vec<_> = packets_of(&mut self.there);
            if over.is_empty() && back.is_empty() {
                return left;
            }
            for packet in over {
                let centre = [IpAddr::from(CENTRE_V4), CENTRE_V6.into()];
                assert!(centre.contains(&to(&packet)), "nothing goes straight out");
                self.crossed.push(packet.clone());
                self.put(false, &packet);
            }
            for packet in back {
                if [IpAddr::from(OUTSIDE_V4), SERVER_V6.into()].contains(&to(&packet)) {
                    self.crossed.push(packet.clone());
                    self.put(true, &packet);
                } else {
                    left.push(packet);
                }
            }
        }
    }

    /// Lets a packet come to one of the servers, each to another worker.
    pub(crate) fn put(&mut self, is_here: bool, packet: &[u8]) {
        let worker = self.turn % self.workers;
        self.turn += 1;
        let scene = if is_here { &mut self.here } else { &mut self.there };
        scene.put(Place::Wire { port: 0, worker }, &packets::from_gateway(packet));
        scene.settle();
    }

    /// What has left here, wherever it goes.
    pub(crate) fn left_here(&mut self) -> Vec<Vec<u8>> {
        packets_of(&mut self.here)
    }

    /// What has left there, wherever it goes.
    pub(crate) fn left_there(&mut self) -> Vec<Vec<u8>> {
        packets_of(&mut self.there)
    }

    /// Leads everything through the other data centre.
    pub(crate) fn lead_all(&mut self) {
        let prefix = "0.0.0.0/0".parse().unwrap();
        self.here.change(vec![
            Item::Route { prefix, next_hop: 3 },
            Item::RouteRemove(IpAddr::from(NEAR).into()),
        ]);
    }

    /// What leaves there when a client sends this.
    pub(crate) fn sends(&mut self, client: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        self.here.send(client, packet);
        self.cross()
    }

    /// The one packet that leaves.
    pub(crate) fn sends_one(&mut self, client: usize, packet: &[u8]) -> Vec<u8> {
        let mut left = self.sends(client, packet);
        let (here, there) = (self.here.server.totals(), self.there.server.totals());
        assert_eq!(left.len(), 1, "{here}\n{there}");
        left.remove(0)
    }

    /// By which address and port a client asks the stranger.
    pub(crate) fn asks(&mut self, client: usize) -> SocketAddr {
        let (from, to, data) = udp_of(&self.sends_one(client, &question()));
        assert_eq!((to, &data[..]), ((STRANGER, ASKED).into(), &b"a question"[..]));
        from
    }

    /// Lets a packet come from the Internet to the other data centre, and go as far as it goes.
    pub(crate) fn arrives(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        self.put(false, packet);
        self.cross()
    }

    /// What a client has got since the last look.
    pub(crate) fn got(&mut self, client: usize) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.here.clients[client].inbox)
    }

    /// Whether a client's question is answered.
    pub(crate) fn is_answered(&mut self, client: usize) -> bool {
        let from = self.asks(client);
        self.arrives(&answer(from));
        self.got(client) == [told()]
    }

    pub(crate) fn totals(&self) -> [Totals; 2] {
        [self.here.server.totals(), self.there.server.totals()]
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.here.wait(time);
        self.there.wait(time);
    }

    /// Says nothing for longer than mappings live, and then looks what has become of them.
    pub(crate) fn silence(&mut self) {
        self.says_nothing_for(Duration::from_mins(6));
    }

    pub(crate) fn says_nothing_for(&mut self, time: Duration) {
        for scene in [&mut self.here, &mut self.there] {
            scene.now = scene.now + time;
            scene.wait(Duration::from_secs(1));
        }
    }

    /// Leads what goes to the stranger elsewhere.
    pub(crate) fn lead(&mut self, hop: NextHop) {
        self.here.change(vec![Item::NextHop { id: 3, hop }]);
    }

    /// Ends both; whatever came in has come out, and nothing has kept a buffer.
    pub(crate) fn end(mut self) {
        for scene in [&mut self.here, &mut self.there] {
            scene.server.close();
            let totals = scene.server.totals();
            assert_eq!(totals.unaccounted(), 0, "{totals}");
            assert_eq!(scene.server.buffers_held(), 0, "{totals}");
        }
    }
}

pub(crate) fn machine(address: impl Into<IpAddr>) -> Machine {
    Machine { address: address.into(), port: CONNECT_PORT, weight: 1 }
}

/// The other data centre.
pub(crate) fn centre(machines: &[Machine]) -> Item {
    let machines = machines.to_vec();
    Item::Centre(Box::new(Centre { number: CENTRE, is_here: false, relay: 0, machines }))
}

/// Through the other data centre to the stranger, and straight to somebody near.
fn routes(machines: &[Machine]) -> Vec<Item> {
    let to = |address: Ipv4Addr, next_hop| Item::Route {
        prefix: IpAddr::from(address).into(),
        next_hop,
    };
    vec![
        centre(machines),
        Item::NextHop { id: 3, hop: NextHop::Via { centre: CENTRE.into(), remote: None } },
        Item::NextHop { id: 4, hop: NextHop::Direct },
        to(STRANGER, 3),
        Item::Route { prefix: IpAddr::from(STRANGER_V6).into(), next_hop: 3 },
        Item::Route { prefix: "203.0.113.0/24".parse().unwrap(), next_hop: 3 },
        to(NEAR, 4),
    ]
}

/// The server of the other data centre, whose routes lead everything on by a third one: what has come through it leaves there.
fn there(plan: &Plan) -> Scene {
    let from = format!("[\"{OUTSIDE_V4}/32\", \"{SERVER_V6}/128\"]");
    let text = plan.text().replace(&format!("[\"{CENTRE_V4}/32\"]"), &from);
    let text = text.replace(&format!("{SERVER_V6}/64"), &format!("{CENTRE_V6}/64"));
    let text = text.replace(&OUTSIDE_V6.to_string(), &EXIT_V6.to_string());
    let text = text.replace(&GATEWAY_V6.to_string(), "2001:db8:7::fe");
    let text = text.replace(&format!("{SERVER_V4}/24"), &format!("{CENTRE_V4}/24"));
    let text = text.replace(
        &format!("addresses = [\"{OUTSIDE_V4}\"]"),
        &format!("addresses = [\"{EXIT_V4}\"]"),
    );
    let text = text.replace("192.0.2.254", "203.0.113.254");
    let mut scene = pair::scene(&text, pair::GATEWAY, CENTRE_V4);
    let machines = vec![machine(Ipv4Addr::new(192, 0, 2, 200))];
    scene.change(vec![
        Item::Centre(Box::new(Centre { number: 9, is_here: false, relay: 0, machines })),
        Item::NextHop { id: 3, hop: NextHop::Via { centre: 9, remote: None } },
        Item::Route { prefix: IpAddr::from(STRANGER).into(), next_hop: 3 },
    ]);
    scene.strays();
    scene
}

/// The packets that a server has sent by its port since the last look.
fn packets_of(scene: &mut Scene) -> Vec<Vec<u8>> {
    let (wire, other): (Vec<_>, Vec<_>) =
        scene.strays().into_iter().partition(|(place, _)| matches!(place, Place::Wire { .. }));
    scene.strays = other;
    wire.iter().filter_map(|(_, frame)| Some(packet_in(frame)?.1.to_vec())).collect()
}

/// Where a packet goes.
fn to(packet: &[u8]) -> IpAddr {
    packets::outline(packet).unwrap().destination
}

/// What is in a packet on the wire between them, and the header before it.
pub(crate) fn inside(packet: &[u8]) -> (exit::Header, Vec<u8>) {
    let outline = packets::outline(packet).unwrap();
    let datagram = &packet[outline.payload_offset..outline.len];
    let ports = udp::parse(datagram).unwrap().ports;
    assert!(ports.destination == exit::PORT && ports.source >= 49_152, "{ports:?}");
    let (header, at) = exit::parse(&datagram[udp::HEADER_LEN..]).unwrap();
    (header, datagram[udp::HEADER_LEN + at..].to_vec())
}

/// From a client to the stranger.
pub(crate) fn out() -> Ip {
    Ip::new(EVERY_CLIENTS, STRANGER)
}

pub(crate) fn question() -> Vec<u8> {
    out().udp(ASKS, ASKED, b"a question")
}

/// The stranger's answer, to where the question came from.
pub(crate) fn answer(to: SocketAddr) -> Vec<u8> {
    Ip::new(STRANGER, to.ip()).udp(ASKED, to.port(), b"an answer")
}

/// The same as the client gets it: a hop is taken at each server.
pub(crate) fn told() -> Vec<u8> {
    let ip = Ip { hop_limit: 62, ..Ip::new(STRANGER, EVERY_CLIENTS) };
    ip.udp(ASKED, ASKS, b"an answer")
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

/// Ends and payload of a datagram whose checksums are right.
pub(crate) fn udp_of(packet: &[u8]) -> (SocketAddr, SocketAddr, Vec<u8>) {
    let outline = packets::outline(packet).unwrap();
    let (ports, payload) = packets::udp_in(&outline, packet).unwrap();
    let from = SocketAddr::new(outline.source, ports.source);
    (from, SocketAddr::new(outline.destination, ports.destination), payload.to_vec())
}
