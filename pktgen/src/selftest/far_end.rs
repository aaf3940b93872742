//! The other end of the cable, in memory: a server's tunnels, which answer handshakes and echo what comes inside.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use wireguard::noise::{self, Identity, PeerKeys};
use wireguard::secret::Secret;
use wireguard::time::Instant;
use wireguard::tunnel::{Config, Event, SCRATCH_LEN, Tunnel, Turn};

use crate::client::{self, ClientIds, Families, Family, Kind, Plan, Sealing, Spread, Swarm};
use crate::client::{Moment, Target, Traffic};
use crate::device::Error;
use crate::link::{Arrived, Link, Range, Setup};
use crate::pace::{Pattern, Rate};
use crate::packet;
use crate::responder;
use crate::size::Sizes;

/// Clients of the self-test.
pub(super) const CLIENTS: u32 = 16;
/// Octets of an inner packet.
pub(super) const INNER_LEN: usize = 64;
/// A packet a nanosecond: as many are due as are wanted.
const RATE: f64 = 1e9;
/// The server's private key. It guards nothing.
const SECRET: [u8; 32] = [0x5e; 32];
const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 51_820);
const FIRST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const UNIX: Duration = Duration::from_secs(1_700_000_000);

/// The clients of the self-test, sending with or without a pool.
pub(super) fn plan(sealing: Sealing) -> Plan {
    let traffic = Traffic {
        kind: Kind::Echo,
        flags: None,
        target: Target::Host(Ipv4Addr::new(10, 7, 0, 1).into()),
        spread: Spread::default(),
        sealing,
        family: Family::V4,
        sizes: Sizes::list(&[INNER_LEN]).unwrap_or_else(Sizes::imix),
        rate: Rate::Packets(RATE),
        pattern: Pattern::Constant,
        is_measured_elsewhere: false,
    };
    Plan {
        seed: 1,
        clients: CLIENTS,
        vlan: None,
        outer: vec![Range { first: FIRST.into(), count: CLIENTS }],
        families: Families::Alternate,
        first_port: 20_000,
        servers: vec![SERVER],
        hops: vec![SERVER.ip()],
        routers: Vec::new(),
        server_public: noise::public(&Secret::new(SECRET)),
        preshared: false,
        inner_v4: Ipv4Addr::new(10, 7, 1, 1),
        inner_v6: std::net::Ipv6Addr::LOCALHOST,
        client_ids: ClientIds::Omitted,
        keepalive: Duration::ZERO,
        connects_per_sec: 1e6,
        mtu: 1420,
        roam: None,
        reconnect: None,
        hostile: None,
        traffic: Some(traffic),
    }
}

/// The moment of a virtual time.
pub(super) fn moment(now: Instant) -> Moment {
    Moment { now, unix: UNIX + now.since(Instant::ZERO) }
}

/// The server.
pub(super) struct FarEnd {
    link: Link,
    tunnels: Vec<Tunnel<16>>,
    random: ChaCha20Rng,
    scratch: Vec<u8>,
}

impl FarEnd {
    /// A server that knows the plan's clients.
    fn new(plan: &Plan) -> Result<Self, Error> {
        let identity = Arc::new(Identity::new(Secret::new(SECRET)));
        let tunnel = |number: u32| {
            let (private, preshared) = client::keys(plan, number);
            let peer = PeerKeys::new(&identity, noise::public(&private), preshared).ok()?;
            let config = Config {
                identity: Arc::clone(&identity),
                peer,
                endpoint: None,
                client_id: None,
                persistent: Duration::ZERO,
                index_base: number << 8,
                mtu: plan.mtu,
            };
            Some(Tunnel::new(config, Instant::ZERO))
        };
        let tunnels: Vec<_> = (0..plan.clients).filter_map(tunnel).collect();
        if tunnels.len() != plan.clients as usize {
            return Err(Error::new("a key of the self-test is none that anybody can have"));
        }
        let addresses = vec![Range::one(SERVER.ip())];
        let setup =
            Setup { mac: [2, 0, 0, 0, 0, 1], vlan: None, addresses, hops: vec![FIRST.into()] };
        Ok(Self {
            link: Link::new(setup),
            tunnels,
            random: ChaCha20Rng::seed_from_u64(2),
            scratch: vec![0; SCRATCH_LEN],
        })
    }

    /// Takes a frame of the swarm; what goes back is appended to `back`.
    pub(super) fn receive(&mut self, frame: &[u8], now: Instant, back: &mut Vec<Vec<u8>>) {
        let arrived = self.link.receive(frame, &mut |answer| back.push(answer.to_vec()));
        let Arrived::Datagram { source, payload, .. } = arrived else { return };
        let IpAddr::V4(host) = source.ip() else { return };
        let number = host.to_bits().wrapping_sub(FIRST.to_bits()) as usize;
        let Some(tunnel) = self.tunnels.get_mut(number) else { return };
        let moment = moment(now);
        let (mut inner, mut answer, mut out) = (Vec::new(), Vec::new(), Vec::new());
        let mut emit = |event: Event<'_>| match event {
            Event::Transmit { octets, to } => out.push((octets.to_vec(), to)),
            Event::Deliver(packet) => inner.extend_from_slice(packet),
            Event::Established(_) | Event::GaveUp | Event::Forgotten => {}
        };
        let Self { random, scratch, .. } = self;
        let mut turn = Turn { now, unix: moment.unix, rng: random, scratch, cookies: None };
        // What is refused gets no answer, which the self-test would notice: nothing would be counted.
        let _: Result<(), _> = tunnel.receive(payload, source, &mut turn, &mut emit);
        let _ = emit;
        let located = packet::read(&inner);
        if located.is_some_and(|located| responder::answer(&inner, &located, &mut answer)) {
            let mut emit = |event: Event<'_>| {
                if let Event::Transmit { octets, to } = event {
                    out.push((octets.to_vec(), to));
                }
            };
            let _: Result<(), _> = tunnel.send(&answer, &mut turn, &mut emit);
        }
        for (octets, to) in out {
            let mut frame = vec![0; self.link.head_len(SERVER.ip())];
            frame.extend_from_slice(&octets);
            if self.link.enclose(&mut frame, SERVER, to) {
                back.push(frame);
            }
        }
    }
}

/// A swarm with all its sessions, its server, and the time.
pub(super) fn connected(plan: Plan) -> Result<(Swarm, FarEnd, Instant), Error> {
    let mut far_end = FarEnd::new(&plan)?;
    let clients = plan.clients as usize;
    let mut now = Instant(1_000_000_000);
    let mut swarm = Swarm::new(plan, [2, 0, 0, 0, 0, 2], now);
    for _ in 0..1000 {
        if swarm.connected(now) == clients {
            return Ok((swarm, far_end, now));
        }
        now = now + Duration::from_millis(1);
        let (mut frames, mut back) = (Vec::new(), Vec::new());
        swarm.turn(moment(now), &mut |frame| {
            frames.push(frame.to_vec());
            true
        });
        while !frames.is_empty() {
            for frame in &frames {
                far_end.receive(frame, now, &mut back);
            }
            frames.clear();
            swarm.receive(back.iter().map(Vec::as_slice), moment(now), &mut |frame| {
                frames.push(frame.to_vec());
                true
            });
            back.clear();
        }
    }
    Err(Error::new("the clients of the self-test did not connect to their server in memory"))
}
