//! Against boringtun, which nobody here wrote, in process and in both roles.
//!
//! Its clock is the real one, ours is virtual; the labels of our initiations are its own time
//! plus our virtual one, so that ours always look newer.

use crate::dice::Dice;
use crate::world::inner;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use wireguard::noise::{Identity, PeerKeys};
use wireguard::secret::Secret;
use wireguard::time::Instant;
use wireguard::tunnel::{Config, Event, SCRATCH_LEN, Tunnel, Turn};

struct Duo {
    ours: Tunnel,
    theirs: Tunn,
    now: Instant,
    dice: Dice,
    scratch: Vec<u8>,
    delivered: Vec<Vec<u8>>,
    sessions: usize,
}

fn address() -> SocketAddr {
    "192.0.2.1:51820".parse().unwrap()
}

impl Duo {
    fn new(preshared: Option<[u8; 32]>) -> Self {
        let (secret, their_secret) = ([3; 32], [4; 32]);
        let identity = Identity::new(Secret::new(secret));
        let their_static = x25519::StaticSecret::from(their_secret);
        let their_public = x25519::PublicKey::from(&their_static).to_bytes();
        let our_public = x25519::PublicKey::from(*identity.public());
        let psk = Secret::new(preshared.unwrap_or_default());
        let config = Config {
            peer: PeerKeys::new(&identity, their_public, psk).unwrap(),
            identity: Arc::new(identity),
            endpoint: Some(address()),
            client_id: None,
            persistent: Duration::ZERO,
            index_base: 0x4200,
            mtu: 1420,
        };
        Self {
            ours: Tunnel::new(config, Instant::ZERO),
            theirs: Tunn::new(their_static, our_public, preshared, None, 7, None),
            now: Instant::ZERO,
            dice: Dice(3),
            scratch: vec![0; SCRATCH_LEN],
            delivered: Vec::new(),
            sessions: 0,
        }
    }

    fn act(
        &mut self,
        act: impl FnOnce(&mut Tunnel, &mut Turn<'_, Dice>, &mut dyn FnMut(Event<'_>)),
    ) -> Vec<Vec<u8>> {
        let unix = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let mut turn = Turn {
            now: self.now,
            unix: unix + self.now.since(Instant::ZERO),
            rng: &mut self.dice,
            scratch: &mut self.scratch,
            cookies: None,
        };
        let mut sent = Vec::new();
        let (delivered, sessions) = (&mut self.delivered, &mut self.sessions);
        act(&mut self.ours, &mut turn, &mut |event| match event {
            Event::Transmit { octets, .. } => sent.push(octets.to_vec()),
            Event::Deliver(packet) => delivered.push(packet.to_vec()),
            Event::Established(_) => *sessions += 1,
            Event::GaveUp | Event::Forgotten => panic!("{event:?}"),
        });
        sent
    }

    /// Carries datagrams both ways until nobody has more to say; returns what boringtun delivers.
    fn settle(&mut self, mut to_them: Vec<Vec<u8>>, mut to_us: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut delivered = Vec::new();
        while !to_them.is_empty() || !to_us.is_empty() {
            for datagram in core::mem::take(&mut to_them) {
                let mut input = datagram;
                loop {
                    let mut room = vec![0; 70_000];
                    match self.theirs.decapsulate(None, &input, &mut room) {
                        TunnResult::WriteToNetwork(octets) => to_us.push(octets.to_vec()),
                        TunnResult::WriteToTunnelV4(packet, _) => delivered.push(packet.to_vec()),
                        TunnResult::Done => break,
                        TunnResult::WriteToTunnelV6(..) => panic!("nobody sent IPv6"),
                        TunnResult::Err(error) => panic!("boringtun refuses: {error:?}"),
                    }
                    if delivered.last().is_some() && input.first() == Some(&4) {
                        break;
                    }
                    // An empty datagram asks for what it still has queued.
                    input = Vec::new();
                }
            }
            for datagram in core::mem::take(&mut to_us) {
                to_them.extend(self.act(|tunnel, turn, mut emit| {
                    tunnel.receive(&datagram, address(), turn, &mut emit).unwrap();
                }));
            }
        }
        delivered
    }

    fn we_send(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let sent = self.act(|tunnel, turn, mut emit| tunnel.send(packet, turn, &mut emit).unwrap());
        self.settle(sent, Vec::new())
    }

    fn they_send(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut room = vec![0; 70_000];
        let TunnResult::WriteToNetwork(octets) = self.theirs.encapsulate(packet, &mut room) else {
            panic!("boringtun sends nothing");
        };
        let octets = octets.to_vec();
        self.settle(Vec::new(), vec![octets])
    }

    fn data_passes_both_ways(&mut self, first: u64) {
        for n in first..first + 20 {
            let packet = inner(n, 40 + (n as usize * 71) % 1380);
            assert_eq!(self.we_send(&packet), core::slice::from_ref(&packet));
            assert!(self.they_send(&packet).is_empty());
            assert_eq!(self.delivered.pop(), Some(packet));
        }
    }
}

#[test]
fn we_initiate_and_boringtun_answers() {
    for preshared in [None, Some([0x77; 32])] {
        let mut duo = Duo::new(preshared);
        assert_eq!(duo.we_send(&inner(0, 100)), [inner(0, 100)]);
        assert_eq!(duo.sessions, 1);
        duo.data_passes_both_ways(1);
    }
}

#[test]
fn boringtun_initiates_and_we_answer() {
    for preshared in [None, Some([0x77; 32])] {
        let mut duo = Duo::new(preshared);
        assert!(duo.they_send(&inner(0, 100)).is_empty());
        assert_eq!(duo.delivered.pop(), Some(inner(0, 100)), "its queued packet");
        assert_eq!(duo.sessions, 1);
        duo.data_passes_both_ways(1);
    }
}

#[test]
fn we_rekey_with_boringtun_after_120_seconds() {
    let mut duo = Duo::new(None);
    duo.we_send(&inner(0, 100));
    for round in 1..4 {
        duo.now = duo.now + Duration::from_secs(121);
        assert_eq!(duo.we_send(&inner(round, 100)), [inner(round, 100)]);
        assert_eq!(duo.sessions, 1 + round as usize);
        duo.data_passes_both_ways(100 * round);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "boringtun reads the real clock, so must its test")]
fn boringtun_rekeys_with_us() {
    let mut duo = Duo::new(None);
    duo.they_send(&inner(0, 100));
    for round in 1..4 {
        duo.now = duo.now + Duration::from_secs(121);
        let mut room = vec![0; 2000];
        // It stamps with its real clock, and our label keeps 17 ms of it.
        let newer = std::time::Instant::now() + Duration::from_millis(20);
        while std::time::Instant::now() < newer {
            core::hint::spin_loop();
        }
        let TunnResult::WriteToNetwork(octets) =
            duo.theirs.format_handshake_initiation(&mut room, true)
        else {
            panic!("boringtun does not rekey");
        };
        let octets = octets.to_vec();
        duo.settle(Vec::new(), vec![octets]);
        assert_eq!(duo.sessions, 1 + round as usize);
        duo.data_passes_both_ways(100 * round);
    }
}
