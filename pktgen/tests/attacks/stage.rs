//! A server in memory with two honest clients, and a third that turns hostile: it shakes hands by itself, so
//! that the attacker has its keys.

use std::net::SocketAddr;

use dataplane::testing::packets;
use dataplane::testing::scene::Scene as World;
use dataplane::testing::server::{Options, WIRE};
use dataplane::testing::site::{self, Plan};
use dataplane::testing::{client, unix};
use pktgen::attack::{Attack, Builder, Captured, Client, Counters, Fleet, Link, ROOM, Scene};
use wireguard::aead::{self, Job, Key, TAG_LEN, TAILROOM};
use wireguard::message::{ClientId, DataHeader, Response};
use wireguard::noise::{Identity, PeerKeys, Pending, initiate};
use wireguard::secret::Secret;
use wireguard::time::Tai64n;
use zerocopy::{FromBytes, IntoBytes};

use super::rules;

/// The peer that is configured but has never called.
const SILENT: u32 = 2;
/// The peer whose endpoint is configured, and where nobody answers.
const ABSENT: u32 = 3;
/// The peer that turns hostile.
const HOSTILE: u32 = 4;
const BURST: usize = 32;

/// The server and what the attacker knows of it.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) scene: Scene,
    /// Frames that go in before the server has its turns.
    pub(crate) burst: usize,
}

/// The site with all the peers that attacks speak of.
pub(crate) fn plan() -> Plan {
    let mut plan = Plan::new(5);
    plan.peers[ABSENT as usize].endpoint = Some(site::outer_v4(ABSENT));
    plan
}

/// What anybody can know of the server.
pub(crate) fn outsider(vlan: Option<u16>, seed: u64) -> Scene {
    let link = Link { server: site::port_link(0), station: site::GATEWAY, vlan };
    let mut scene = Scene::new(link, site::server_public(), site::LISTEN_PORT, seed);
    scene.target_v4 = Some(site::SERVER_V4);
    scene.target_v6 = Some(site::SERVER_V6);
    rules::show(&mut scene);
    scene
}

impl Stage {
    pub(crate) fn new(plan: &Plan, options: Options, attack: Attack) -> Self {
        let mut world = World::new(plan, options);
        for _ in 0..2 {
            let number = world.join(false, client::Options::default());
            world.send(number, &[]);
        }
        if options.local {
            rules::tell(&mut world, attack);
        }
        let mut scene = outsider(None, 1);
        let permutation = world.server.workers[0].state().owner.permutation.clone();
        let workers = u16::try_from(plan.workers).unwrap();
        scene.fleet = Some(Fleet { permutation, server: 0, workers });
        let mut stage = Self { world, scene, burst: BURST };
        stage.turn_hostile();
        stage
    }

    /// Shakes hands, confirms the session, and lets every message be captured.
    fn turn_hostile(&mut self) {
        let identity = Identity::new(site::secret(HOSTILE));
        let server = PeerKeys::new(&identity, site::server_public(), Secret::zero()).unwrap();
        let stamp = Tai64n::new(unix(self.world.now).as_secs(), 0);
        let ephemeral = Secret::new([9; 32]);
        let (initiation, pending) = initiate(&identity, &server, 77, stamp, ephemeral).unwrap();
        self.put_message(initiation.as_bytes());
        let response = self.response(&pending);
        let keys = pending.complete(&identity, &server, &response).unwrap();
        let index = response.sender_index.get();
        let datagrams: Vec<_> = (0..3).map(|number| keepalive(&keys.send, index, number)).collect();
        for datagram in &datagrams {
            self.put_message(datagram);
        }
        let initiation = Some(initiation.as_bytes().to_vec());
        self.scene.captured = Captured { datagrams, initiation, dead_index: None };
        self.scene.client = Some(Client {
            secret: site::secret(HOSTILE),
            preshared: Secret::zero(),
            index,
            key: Secret::new(*keys.send.octets()),
            counters: Counters::from(3),
            outer: site::outer_v4(HOSTILE),
            mtu: 1500,
            unix: unix(self.world.now),
            inner: site::inner_v4(HOSTILE),
            local: Some(site::LOCAL_V4),
            silent: Some(site::inner_v4(SILENT)),
            absent: Some(site::inner_v4(ABSENT)),
            unrouted: [203, 0, 113, 1].into(),
        });
    }

    fn put_message(&mut self, message: &[u8]) {
        let to = site::server(site::SERVER_V4.into());
        self.world.put(WIRE, &packets::datagram(site::outer_v4(HOSTILE), to, message));
        self.world.settle();
    }

    fn response(&mut self, pending: &Pending) -> Response {
        let strays = self.world.strays();
        let found = strays.iter().find_map(|(_, octets)| {
            let (_, to, payload) = packets::datagram_in(octets)?;
            let response = Response::read_from_bytes(payload).ok()?;
            let ours = response.receiver_index.get() == pending.local_index();
            (ours && to == site::outer_v4(HOSTILE)).then_some(response)
        });
        found.expect("the server answers its peer")
    }

    /// Sends frames of an attack, as many as asked, and lets everything follow.
    pub(crate) fn send(&mut self, builder: &mut Builder, count: usize) {
        let mut out = [0; ROOM];
        for number in 1..=count {
            let len = builder.build(&mut out);
            assert!(len > 0, "{} gives a frame", builder.attack());
            self.world.put(WIRE, &out[..len]);
            if number % self.burst == 0 || number == count {
                self.world.settle();
            }
        }
    }

    /// Sends frames while the handshake threads are busy with other things, and shows the attacker what
    /// comes back to him.
    pub(crate) fn send_to_workers(&mut self, builder: &mut Builder, count: usize) {
        let own: SocketAddr = (self.scene.own_v4, self.scene.own_port).into();
        let mut out = [0; ROOM];
        for _ in 0..count {
            let len = builder.build(&mut out);
            self.world.put(WIRE, &out[..len]);
            self.world.server.workers[0].turn(self.world.now);
            for (_, octets) in self.world.server.take() {
                if let Some((_, to, payload)) = packets::datagram_in(&octets)
                    && to == own
                {
                    builder.learn(payload);
                }
            }
        }
    }

    /// Whether the honest clients still reach each other.
    pub(crate) fn works(&mut self) -> bool {
        self.world.passes(0, 1) && self.world.passes(1, 0)
    }
}

fn keepalive(key: &Key, index: u32, counter: u64) -> Vec<u8> {
    let mut text = [0; TAILROOM];
    aead::seal(&mut [Job::new(key, counter, &mut text, 0).unwrap()]);
    let header = DataHeader::new(ClientId::ZERO, index, counter);
    [header.as_bytes(), &text[..TAG_LEN]].concat()
}
