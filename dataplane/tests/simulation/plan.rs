//! What a seed makes of the site: how many workers, which clients, how bad the links get.

use std::time::Duration;

use dataplane::testing::client;
use dataplane::testing::site::{self, Peer, Plan};
use wireguard::message::ClientId;

use super::dice::Dice;

/// How one client lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// Calls over IPv6 first.
    pub(crate) is_v6: bool,
    /// Speaks by itself; else it only answers, stays where it is, and the server knows where.
    pub(crate) speaks: bool,
    /// Is boringtun.
    pub(crate) is_boring: bool,
    /// What it does as a tunnel.
    pub(crate) options: client::Options,
    /// What the server knows about it.
    pub(crate) peer: Peer,
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    /// Queues of the port; workers beyond them relay.
    pub(crate) queues: usize,
    pub(crate) handshake_threads: usize,
    pub(crate) lives: Vec<Life>,
}

impl Scenario {
    /// Anything.
    pub(crate) fn random(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x706c_616e);
        let workers = 1 + dice.index(3);
        let count = u32::try_from(2 + dice.index(5)).unwrap();
        let lives = (0..count).map(|number| life(number, &mut dice)).collect();
        let queues = 1 + dice.index(workers);
        Self { seed, workers, queues, handshake_threads: 1 + dice.index(2), lives }
    }

    /// Two workers, clients that speak and clients that only answer, so that never both sides begin a handshake at
    /// once.
    pub(crate) fn steady(seed: u64) -> Self {
        let mut scenario =
            Self { workers: 2, queues: 2, handshake_threads: 2, ..Self::random(seed) };
        let mut dice = Dice::new(seed);
        scenario.lives = (0..4).map(|number| life(number, &mut dice)).collect();
        for (number, life) in (0..).zip(&mut scenario.lives) {
            life.speaks = number < 2;
            life.options.persistent = Duration::ZERO;
            life.peer = if life.speaks { Peer::default() } else { known(number, life.is_v6) };
        }
        scenario
    }

    /// As `random`, and every second client is boringtun.
    pub(crate) fn with_boringtun(seed: u64) -> Self {
        let mut scenario = Self::random(seed ^ 0x626f_7265);
        for life in scenario.lives.iter_mut().step_by(2) {
            *life = Life { speaks: true, is_boring: true, peer: Peer::default(), ..*life };
        }
        Self { seed, ..scenario }
    }

    pub(crate) fn config(&self) -> String {
        let peers = self.lives.iter().map(|life| life.peer).collect();
        let (workers, handshake_threads) = (self.workers, self.handshake_threads);
        Plan { workers, handshake_threads, peers, ..Plan::new(0) }.text()
    }
}

fn life(number: u32, dice: &mut Dice) -> Life {
    let (is_v6, speaks) = (dice.permille(500), dice.permille(700));
    let persistent = Duration::from_secs(if dice.permille(300) { 25 } else { 0 });
    let client_id = dice.permille(300).then_some(ClientId([7, 7, u8::try_from(number).unwrap()]));
    let peer = if speaks { Peer::default() } else { known(number, is_v6) };
    Life {
        is_v6,
        speaks,
        is_boring: false,
        options: client::Options { client_id, persistent },
        peer,
    }
}

/// The server knows where the client is and keeps it awake.
fn known(number: u32, is_v6: bool) -> Peer {
    let endpoint = Some(if is_v6 { site::outer_v6(number) } else { site::outer_v4(number) });
    Peer { endpoint, persistent_keepalive: 25, ..Peer::default() }
}
