//! What a seed makes of a fleet: its servers, the links between them, and how each client lives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use dataplane::neighbours::LinkAddress;
use dataplane::testing::client;
use dataplane::testing::site::{self, Peer, Plan};
use wireguard::message::ClientId;

use super::dice::Dice;

/// Workers and handshake threads of each server.
pub(crate) const WORKERS: usize = 2;
const HANDSHAKE_THREADS: usize = 2;

/// Numbers of servers in one run.
const SERVERS_MAX: u8 = 100;

/// How one client lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// Calls over IPv6 first.
    pub(crate) is_v6: bool,
    /// The id that it stamps on its messages; a stock client stamps none.
    pub(crate) sends: Option<ClientId>,
    /// The id that the servers were told of; zero for none.
    pub(crate) registered: ClientId,
    /// Interval of its persistent keepalive; zero for none.
    pub(crate) persistent: Duration,
    /// Talks on for ever, so that its session never ends; others fall silent from time to time.
    pub(crate) is_steady: bool,
}

impl Life {
    /// As a tunnel. A stock client sends zeros, whatever it is sent.
    pub(crate) fn options(&self) -> client::Options {
        let client_id = Some(self.sends.unwrap_or(ClientId::ZERO));
        client::Options { client_id, persistent: self.persistent }
    }
}

/// Where servers reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
    Both,
}

/// What the links between servers do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// Lost packets of a thousand.
    pub(crate) loss: u64,
    /// The least and the most that a packet takes.
    pub(crate) delay: (Duration, Duration),
    /// By how much packets of one path differ: with more than none they overtake each other.
    pub(crate) spread: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    /// Whether servers know that they are a fleet.
    pub(crate) is_steered: bool,
    /// How many servers there are at first.
    pub(crate) servers: u8,
    pub(crate) family: Family,
    /// Servers are neighbours on one link, or reach each other through the gateway.
    pub(crate) is_on_link: bool,
    pub(crate) path: Path,
    pub(crate) lives: Vec<Life>,
}

impl Scenario {
    /// Anything, with links between servers that lose nothing.
    pub(crate) fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x666c_6565);
        let family = [Family::V4, Family::V6, Family::Both][dice.index(3)];
        let millis = |dice: &mut Dice, most| Duration::from_millis(1 + dice.below(most));
        let least = millis(&mut dice, 5);
        let most = least + millis(&mut dice, 25);
        let count = u32::try_from(60 + dice.index(60)).unwrap();
        Self {
            seed,
            is_steered: true,
            servers: u8::try_from(2 + dice.index(3)).unwrap(),
            family,
            is_on_link: dice.permille(500),
            path: Path { loss: 0, delay: (least, most), spread: Duration::ZERO },
            lives: (0..count).map(|number| life(number, &mut dice)).collect(),
        }
    }

    /// As `random`, with links between servers that lose packets and let them overtake each other.
    pub(crate) fn lossy(seed: u64) -> Self {
        let scenario = Self::random(seed ^ 0x6c6f_7373);
        let spread = Duration::from_millis(30);
        Self { path: Path { loss: 10, spread, ..scenario.path }, seed, ..scenario }
    }

    /// The same fleet whose servers do not know of each other.
    pub(crate) fn unsteered(seed: u64) -> Self {
        Self { is_steered: false, ..Self::random(seed) }
    }

    /// The configuration of a server.
    pub(crate) fn config(&self, server: u8) -> String {
        let peers =
            self.lives.iter().map(|life| Peer { client_id: life.registered.0, ..Peer::default() });
        let plan = Plan {
            workers: WORKERS,
            handshake_threads: HANDSHAKE_THREADS,
            // One more, who means ill.
            peers: peers.chain([Peer::default()]).collect(),
            fleet: self.is_steered.then_some(server),
            ..Plan::new(0)
        };
        let anycast = format!("\"{}/64\"", site::SERVER_V6);
        let (v4, v6) = self.members_addresses(server);
        let own = if self.is_on_link {
            format!("{anycast}, \"{v4}/24\", \"{v6}/64\"")
        } else {
            format!("{anycast}, \"{v4}/32\", \"{v6}/128\"")
        };
        plan.text().replace(&anycast, &own)
    }

    /// The addresses that a server's port has beside those of all.
    fn members_addresses(&self, server: u8) -> (Ipv4Addr, Ipv6Addr) {
        if self.is_on_link {
            (Ipv4Addr::new(192, 0, 2, 100 + server), v6_in(0, server))
        } else {
            (Ipv4Addr::new(203, 0, 113, 1 + server), v6_in(0xf, server))
        }
    }

    /// The addresses under which a server is known in the fleet.
    pub(crate) fn addresses(&self, server: u8) -> (Option<Ipv4Addr>, Option<Ipv6Addr>) {
        let (v4, v6) = self.members_addresses(server);
        ((self.family != Family::V6).then_some(v4), (self.family != Family::V4).then_some(v6))
    }

    /// The server that has an address for itself.
    pub(crate) fn server_at(&self, address: IpAddr) -> Option<u8> {
        (1..=SERVERS_MAX).find(|server| {
            let (v4, v6) = self.members_addresses(*server);
            address == IpAddr::from(v4) || address == IpAddr::from(v6)
        })
    }
}

const fn v6_in(subnet: u16, server: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, subnet, 0, 0, 1, server as u16)
}

/// The link address of a server, to its neighbours.
pub(crate) const fn link_of(server: u8) -> LinkAddress {
    [2, 0, 0, 0, 3, server]
}

fn life(number: u32, dice: &mut Dice) -> Life {
    let [_, id @ ..] = (0x11_0000 + number * 0x1_0101 % 0xe0_0000).to_be_bytes();
    let (sends, is_known) = (number.is_multiple_of(2), dice.permille(500));
    Life {
        is_v6: dice.permille(300),
        sends: sends.then_some(ClientId(id)),
        registered: if sends || is_known { ClientId(id) } else { ClientId::ZERO },
        persistent: Duration::from_secs(if dice.permille(200) { 25 } else { 0 }),
        is_steady: dice.permille(400),
    }
}
