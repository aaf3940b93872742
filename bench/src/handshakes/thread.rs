//! A handshake thread's answers: `Handshaker::turn` alone, over as many initiations as there are peers.

use std::time::Duration;

use dataplane::exchange::{Job, Message, Order};
use dataplane::frame::Endpoint;
use dataplane::testing::server::{Options, Server};
use dataplane::testing::site::{self, Plan};
use dataplane::testing::{START, unix};
use dpdk::clock::cycles;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use wireguard::message::ClientId;
use wireguard::time::Instant;

use super::letters::{self, Letter, Writer};
use crate::Failure;
use crate::sample::per_packet;

/// Peers, and initiations of a round.
const PEERS: u32 = 128;

/// What the initiations are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Whole,
    Again,
    Unregistered,
    Garbage,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Whole, Self::Again, Self::Unregistered, Self::Garbage];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Whole => "answered: a session for a known peer",
            Self::Again => "refused: a client's initiation again",
            Self::Unregistered => "refused: a key that is no peer's",
            Self::Garbage => "refused: garbage",
        }
    }
}

/// The thread and those who write to it.
pub(super) struct Thread {
    server: Server,
    peers: Vec<Writer>,
    stranger: Writer,
    random: ChaCha8Rng,
    now: Instant,
}

impl Thread {
    pub(super) fn new() -> Result<Self, Failure> {
        let mut thread = Self {
            server: Server::with(&Plan::new(PEERS as usize).text(), Options::default()),
            peers: (0..PEERS).map(Writer::new).collect::<Result<_, _>>()?,
            stranger: Writer::new(PEERS)?,
            random: ChaCha8Rng::seed_from_u64(17),
            now: START,
        };
        // The first handshake of a peer makes its keys as well.
        thread.round(Kind::Whole)?;
        Ok(thread)
    }

    /// Lets the thread work off a round; gives cycles per initiation.
    pub(super) fn round(&mut self, kind: Kind) -> Result<f64, Failure> {
        self.now = self.now + Duration::from_secs(1);
        for number in 0..PEERS {
            let letter = self.letter(kind, number)?;
            let from = site::outer_v4(number);
            let endpoint = Endpoint::new(from, site::server(from.ip()).ip(), 0);
            let message = Message::new(&letter, endpoint, ClientId::ZERO);
            let job = Job::Arrived(message.ok_or("the message is too long")?);
            if !self.server.exchange.submit(0, job) {
                return Err("the thread's ring is full".into());
            }
        }
        let handshaker = self.server.handshakers.first_mut().ok_or("there is no thread")?;
        let start = cycles();
        let done = handshaker.turn(self.now, PEERS as usize);
        let taken = cycles() - start;
        let mut answered = 0;
        while let Some(order) = self.server.exchange.next_order(0) {
            if let Order::Install(install) = order {
                answered += 1;
                self.server.exchange.free_slot(0, install.slot);
            }
        }
        let wanted = if kind == Kind::Whole { PEERS } else { 0 };
        if done != PEERS as usize || answered != wanted {
            return Err(format!("{}: {answered} answers to {done}", kind.name()).into());
        }
        Ok(per_packet(taken, PEERS.into()))
    }

    fn letter(&mut self, kind: Kind, number: u32) -> Result<Letter, Failure> {
        let second = unix(self.now).as_secs();
        let random = &mut self.random;
        let peer = self.peers.get(number as usize).ok_or("there is no such peer")?;
        match kind {
            Kind::Whole => peer.write(second, random),
            Kind::Again => peer.write(0, random),
            Kind::Unregistered => self.stranger.write(second, random),
            Kind::Garbage => Ok(letters::garbage(random)),
        }
    }
}
