//! Who floods: so many sources, each with what it has learned of cookies, and what they send.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use dataplane::handshake::Random;
use dataplane::testing::{packets, site};
use rand_chacha::rand_core::{Rng, SeedableRng};
use wireguard::cookie::{Checker, Jar};
use wireguard::message::{CookieReply, INITIATION, INITIATION_LEN};
use wireguard::noise::{Identity, PeerKeys, initiate};
use wireguard::secret::Secret;
use wireguard::time::{Instant, Tai64n};
use zerocopy::{FromBytes, IntoBytes};

/// What a message is, behind right MACs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letter {
    /// Random octets.
    Garbage,
    /// A good initiation of a key that the server does not know.
    Unregistered,
    /// One of a client, which was captured.
    Replayed,
}

/// The flood.
#[derive(Debug)]
pub(crate) struct Crowd {
    letter: Letter,
    /// Where they are; none invent an address for each message.
    sources: Vec<SocketAddr>,
    /// They take turns; else chance decides who is next.
    is_patient: bool,
    jars: HashMap<SocketAddr, Jar>,
    checker: Checker,
    message: Vec<u8>,
    random: Random,
}

impl Crowd {
    fn new(sources: Vec<SocketAddr>, letter: Letter) -> Self {
        let mut message = vec![0; INITIATION_LEN];
        message[0] = INITIATION;
        if letter == Letter::Unregistered {
            let identity = Identity::new(site::secret(999_999));
            let keys = PeerKeys::new(&identity, site::server_public(), Secret::zero()).unwrap();
            let ephemeral = Secret::new([7; 32]);
            let made = initiate(&identity, &keys, 1, Tai64n::new(0, 0), ephemeral).unwrap();
            message = made.0.as_bytes().to_vec();
        }
        let jars = sources.iter().map(|source| (*source, Jar::new())).collect();
        let checker = Checker::new(&site::server_public());
        let random = Random::seed_from_u64(1);
        Self { letter, sources, is_patient: false, jars, checker, message, random }
    }

    pub(crate) fn spoofed() -> Self {
        Self::new(Vec::new(), Letter::Unregistered)
    }

    /// So many sources that get what is sent to them.
    pub(crate) fn bots(count: u32, letter: Letter) -> Self {
        let base = Ipv4Addr::new(203, 0, 0, 1).to_bits();
        let bot = |number| (Ipv4Addr::from_bits(base + number), 7_000).into();
        Self::new((0..count).map(bot).collect(), letter)
    }

    /// So many of which each lets all others go first.
    pub(crate) fn patient(count: u32, letter: Letter) -> Self {
        Self { is_patient: true, ..Self::bots(count, letter) }
    }

    /// One that shares the address of somebody else.
    pub(crate) fn behind(other: SocketAddr, letter: Letter) -> Self {
        Self::new(vec![(other.ip(), 7_000).into()], letter)
    }

    /// Takes what was captured of a client.
    pub(crate) fn capture(&mut self, initiation: &[u8]) {
        if self.letter == Letter::Replayed {
            self.message = initiation.to_vec();
        }
    }

    /// The next frame of the flood.
    pub(crate) fn frame(&mut self, number: usize, now: Instant) -> Vec<u8> {
        match self.letter {
            Letter::Garbage => self.random.fill_bytes(&mut self.message[4..116]),
            Letter::Unregistered => self.random.fill_bytes(&mut self.message[4..8]),
            Letter::Replayed => {}
        }
        let source = if self.sources.is_empty() {
            (Ipv4Addr::from_bits(0x0b00_0000 | self.random.next_u32() >> 8), 7_000).into()
        } else if self.is_patient {
            self.sources[number % self.sources.len()]
        } else {
            self.sources[self.random.next_u32() as usize % self.sources.len()]
        };
        match self.jars.get_mut(&source) {
            Some(jar) => jar.stamp(&self.checker, &mut self.message, now),
            None => self.checker.put_mac1(&mut self.message),
        }
        packets::datagram(source, site::server(source.ip()), &self.message)
    }

    /// Takes the server's answer to one of them.
    pub(crate) fn learn(&mut self, to: SocketAddr, payload: &[u8], now: Instant) {
        if let Some(jar) = self.jars.get_mut(&to)
            && let Ok(reply) = CookieReply::ref_from_bytes(payload)
        {
            // Of several answers only that to the last message fits.
            let _ = jar.receive(&self.checker, reply, now);
        }
    }
}
