//! Two WireGuard tunnels between which the input loses, repeats, spoils and invents datagrams and
//! lets time pass. Nothing panics, what is delivered was sent, and nothing is delivered twice.
#![no_main]

use core::convert::Infallible;
use libfuzzer_sys::fuzz_target;
use rand_core::{TryCryptoRng, TryRng};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use wireguard::noise::{Identity, PeerKeys};
use wireguard::secret::Secret;
use wireguard::time::Instant;
use wireguard::tunnel::{Config, Event, Tunnel, Turn};

static IDENTITIES: LazyLock<[Arc<Identity>; 2]> =
    LazyLock::new(|| [1, 2].map(|octet| Arc::new(Identity::new(Secret::new([octet; 32])))));

/// Counts up: unpredictable to nobody, the same in every run.
struct Counter(u64);

impl TryRng for Counter {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.try_next_u64()? as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        Ok(self.0)
    }
    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Infallible> {
        for octet in octets {
            *octet = (self.try_next_u64()? >> 56) as u8;
        }
        Ok(())
    }
}

impl TryCryptoRng for Counter {}

struct World {
    tunnels: [Tunnel<16>; 2],
    now: Instant,
    rng: Counter,
    wire: Vec<(usize, Vec<u8>)>,
    sent: u32,
    delivered: HashSet<(usize, u32)>,
}

const ADDRESS: &str = "192.0.2.1:1";

impl World {
    fn new(preshared: u8, persistent: u64) -> Self {
        let tunnels = [0, 1].map(|end: usize| {
            let identity = &IDENTITIES[end];
            let public = *IDENTITIES[1 - end].public();
            Tunnel::new(
                Config {
                    peer: PeerKeys::new(identity, public, Secret::new([preshared; 32])).unwrap(),
                    identity: Arc::clone(identity),
                    endpoint: Some(ADDRESS.parse().unwrap()),
                    client_id: None,
                    persistent: Duration::from_secs(persistent),
                    index_base: 0x100 * end as u32,
                    mtu: 1420,
                },
                Instant::ZERO,
            )
        });
        let (wire, delivered) = (Vec::new(), HashSet::new());
        Self { tunnels, now: Instant::ZERO, rng: Counter(9), wire, sent: 0, delivered }
    }

    fn act(
        &mut self,
        end: usize,
        act: impl FnOnce(&mut Tunnel<16>, &mut Turn<'_, Counter>, &mut dyn FnMut(Event<'_>)),
    ) {
        let mut scratch = [0; 512];
        let mut turn = Turn {
            now: self.now,
            unix: Duration::from_secs(1_700_000_000) + self.now.since(Instant::ZERO),
            rng: &mut self.rng,
            scratch: &mut scratch,
            cookies: None,
        };
        let (wire, delivered, sent) = (&mut self.wire, &mut self.delivered, self.sent);
        act(&mut self.tunnels[end], &mut turn, &mut |event| match event {
            Event::Transmit { octets, .. } => wire.push((1 - end, octets.to_vec())),
            Event::Deliver(packet) => {
                let number = u32::from_be_bytes(packet[20..24].try_into().unwrap());
                assert!(number < sent, "invented");
                assert!(delivered.insert((end, number)), "delivered twice");
            }
            Event::Established(_) | Event::GaveUp | Event::Forgotten => {}
        });
    }

    fn send(&mut self, end: usize, len: usize) {
        let mut packet = vec![0; 24 + len % 200];
        packet[0] = 0x45;
        packet[3] = packet.len() as u8;
        packet[20..24].copy_from_slice(&self.sent.to_be_bytes());
        self.sent += 1;
        self.act(end, |tunnel, turn, mut emit| {
            let _verdict = tunnel.send(&packet, turn, &mut emit);
        });
    }

    fn receive(&mut self, end: usize, octets: &[u8]) {
        self.act(end, |tunnel, turn, mut emit| {
            let _verdict = tunnel.receive(octets, ADDRESS.parse().unwrap(), turn, &mut emit);
        });
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        for end in 0..2 {
            if self.tunnels[end].deadline().is_some_and(|deadline| deadline <= self.now) {
                self.act(end, |tunnel, turn, mut emit| tunnel.tick(turn, &mut emit));
            }
        }
    }
}

fuzz_target!(|octets: &[u8]| {
    let [preshared, persistent, steps @ ..] = octets else { return };
    let mut world = World::new(*preshared, u64::from(*persistent));
    let mut steps = steps;
    while let [step, value, rest @ ..] = steps {
        let (end, value) = (usize::from(step >> 7), usize::from(*value));
        let on_wire = (!world.wire.is_empty()).then(|| value % world.wire.len().max(1));
        steps = rest;
        match (step % 8, on_wire) {
            (0, _) => world.send(end, value),
            (1, Some(at)) => {
                let (to, datagram) = world.wire.swap_remove(at);
                world.receive(to, &datagram);
            }
            (2, Some(at)) => {
                let (to, datagram) = world.wire[at].clone();
                world.receive(to, &datagram);
            }
            (3, Some(at)) => {
                let (to, mut datagram) = world.wire[at].clone();
                let [place, spoil, after @ ..] = steps else { return };
                steps = after;
                let place = usize::from(*place) % datagram.len();
                datagram[place] ^= spoil;
                world.receive(to, &datagram);
            }
            (4, _) => {
                let made_up = steps.get(..value.min(steps.len())).unwrap_or_default();
                steps = &steps[made_up.len()..];
                world.receive(end, made_up);
            }
            (5, _) => world.pass(Duration::from_millis(value as u64 * 10)),
            (6, _) => world.pass(Duration::from_secs(value as u64)),
            (_, Some(at)) => drop(world.wire.swap_remove(at)),
            (_, None) => {}
        }
    }
});
