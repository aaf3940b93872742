//! Two ends, a link between them and a clock that jumps from event to event.

use crate::dice::Dice;
use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use wireguard::cookie::Secrets;
use wireguard::message::ClientId;
use wireguard::noise::{Identity, PeerKeys};
use wireguard::secret::Secret;
use wireguard::time::Instant;
use wireguard::tunnel::{Config, Event, Refused, SCRATCH_LEN, Tunnel, Turn};

pub(crate) const UNIX: Duration = Duration::from_secs(1_700_000_000);

/// What the link does to datagrams; rates in permille.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    pub(crate) loss: u64,
    pub(crate) duplicate: u64,
    pub(crate) delay: Duration,
    pub(crate) spread: Duration,
}

/// One datagram seen on the wire.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) from: usize,
    pub(crate) octets: Vec<u8>,
}

pub(crate) struct End {
    pub(crate) tunnel: Tunnel<16>,
    pub(crate) address: SocketAddr,
    pub(crate) delivered: Vec<Vec<u8>>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) established: Vec<Instant>,
    pub(crate) gave_up: Vec<Instant>,
    pub(crate) forgotten: Vec<Instant>,
    pub(crate) cookies: Option<Secrets>,
}

struct Flight {
    arrives: Instant,
    order: u64,
    from: SocketAddr,
    to: SocketAddr,
    octets: Vec<u8>,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) dice: Dice,
    pub(crate) link: Link,
    pub(crate) ends: [End; 2],
    pub(crate) seen: Vec<Seen>,
    pub(crate) options: Options,
    flights: Vec<Flight>,
    order: u64,
    scratch: Vec<u8>,
}

/// What the ends are made with.
#[derive(Clone, Copy)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) preshared: [u8; 32],
    pub(crate) client_id: Option<ClientId>,
    pub(crate) persistent: [Duration; 2],
}

impl Default for Options {
    fn default() -> Self {
        let persistent = [Duration::ZERO; 2];
        Self { seed: 1, preshared: [0; 32], client_id: None, persistent }
    }
}

/// The IPv4 packet number `number` with `len` octets (at least 28).
pub(crate) fn inner(number: u64, len: usize) -> Vec<u8> {
    let mut packet = vec![0; len];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    packet[20..28].copy_from_slice(&number.to_be_bytes());
    packet
}

pub(crate) fn number(packet: &[u8]) -> u64 {
    u64::from_be_bytes(packet[20..28].try_into().unwrap())
}

impl World {
    /// End 0 knows where end 1 is; end 1 learns.
    pub(crate) fn new(options: Options) -> Self {
        let mut dice = Dice(options.seed);
        let addresses = ["192.0.2.1:1000".parse().unwrap(), "[2001:db8::2]:2000".parse().unwrap()];
        let ends = [0, 1].map(|end| fresh_end(end, &options, addresses, Instant::ZERO));
        let link = Link {
            loss: 0,
            duplicate: 0,
            delay: Duration::from_millis(10),
            spread: Duration::ZERO,
        };
        dice.roll();
        Self {
            now: Instant::ZERO,
            dice,
            link,
            ends,
            seen: Vec::new(),
            options,
            flights: Vec::new(),
            order: 0,
            scratch: vec![0; SCRATCH_LEN],
        }
    }

    pub(crate) fn send(&mut self, end: usize, packet: &[u8]) -> Result<(), Refused> {
        self.with(end, |tunnel, turn, mut emit| tunnel.send(packet, turn, &mut emit))
    }

    /// Calls the peer of an end at another address, beside the call that is pending.
    pub(crate) fn race(&mut self, end: usize, to: SocketAddr) {
        self.with(end, |tunnel, turn, mut emit| tunnel.race(to, turn, &mut emit));
    }

    /// Hands `octets` to an end as if they came from `from`.
    pub(crate) fn inject(
        &mut self,
        end: usize,
        octets: &[u8],
        from: SocketAddr,
    ) -> Result<(), Refused> {
        let verdict =
            self.with(end, |tunnel, turn, mut emit| tunnel.receive(octets, from, turn, &mut emit));
        if let Err(refused) = verdict {
            self.ends[end].refused.push(refused);
        }
        verdict
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        let mut stuck = 0;
        while let Some(next) = self.next_event().filter(|&next| next <= until) {
            stuck = if next > self.now { 0 } else { stuck + 1 };
            assert!(stuck < 10_000, "time stands still at {:?}", self.now);
            self.now = self.now.max(next);
            self.land();
            for end in 0..2 {
                if self.ends[end].tunnel.deadline().is_some_and(|deadline| deadline <= self.now) {
                    self.with(end, |tunnel, turn, mut emit| tunnel.tick(turn, &mut emit));
                }
            }
        }
        self.now = until;
    }

    /// Forgets all of an end but its keys, as a crash does. Its peer is still where it was.
    pub(crate) fn restart(&mut self, end: usize) {
        let addresses = [self.ends[0].address, self.ends[1].address];
        let mut fresh = fresh_end(end, &self.options, addresses, self.now);
        fresh.tunnel.set_endpoint(addresses[1 - end]);
        let old = &mut self.ends[end];
        old.tunnel = fresh.tunnel;
    }

    /// The first octets of what was seen on the wire from an end, since `since`.
    pub(crate) fn kinds(&self, from: usize, since: Instant) -> Vec<u8> {
        let seen = self.seen.iter().filter(|seen| seen.from == from && seen.at >= since);
        seen.map(|seen| seen.octets[0]).collect()
    }

    fn next_event(&self) -> Option<Instant> {
        let flights = self.flights.iter().map(|flight| flight.arrives);
        flights.chain(self.ends.iter().filter_map(|end| end.tunnel.deadline())).min()
    }

    fn land(&mut self) {
        let now = self.now;
        let mut landed: Vec<Flight> = Vec::new();
        while let Some(at) = self.flights.iter().position(|flight| flight.arrives <= now) {
            landed.push(self.flights.swap_remove(at));
        }
        landed.sort_by_key(|flight| (flight.arrives, flight.order));
        for flight in landed {
            if let Some(end) = (0..2).find(|&end| self.ends[end].address == flight.to) {
                let _verdict = self.inject(end, &flight.octets, flight.from);
            }
        }
    }

    fn with<T>(
        &mut self,
        end: usize,
        act: impl FnOnce(&mut Tunnel<16>, &mut Turn<'_, Dice>, &mut dyn FnMut(Event<'_>)) -> T,
    ) -> T {
        let now = self.now;
        let mut sent: Vec<(Vec<u8>, SocketAddr)> = Vec::new();
        let End { tunnel, delivered, established, gave_up, forgotten, cookies, .. } =
            &mut self.ends[end];
        let unix = UNIX + now.since(Instant::ZERO);
        if let Some(cookies) = cookies {
            cookies.advance(unix);
        }
        let mut turn = Turn {
            now,
            unix,
            rng: &mut self.dice,
            scratch: &mut self.scratch,
            cookies: cookies.as_ref(),
        };
        let verdict = act(tunnel, &mut turn, &mut |event| match event {
            Event::Transmit { octets, to } => sent.push((octets.to_vec(), to)),
            Event::Deliver(packet) => delivered.push(packet.to_vec()),
            Event::Established(_) => established.push(now),
            Event::GaveUp => gave_up.push(now),
            Event::Forgotten => forgotten.push(now),
        });
        for (octets, to) in sent {
            self.launch(end, &octets, to);
        }
        verdict
    }

    fn launch(&mut self, from: usize, octets: &[u8], to: SocketAddr) {
        self.seen.push(Seen { at: self.now, from, octets: octets.to_vec() });
        let copies = 1 + usize::from(self.dice.permille(self.link.duplicate));
        for _ in 0..copies {
            if self.dice.permille(self.link.loss) {
                continue;
            }
            let spread = self.link.spread.as_nanos() as u64;
            let late = Duration::from_nanos(self.dice.roll() % (spread + 1));
            self.order += 1;
            self.flights.push(Flight {
                arrives: self.now + self.link.delay + late,
                order: self.order,
                from: self.ends[from].address,
                to,
                octets: octets.to_vec(),
            });
        }
    }
}

fn fresh_end(end: usize, options: &Options, addresses: [SocketAddr; 2], now: Instant) -> End {
    let identities = [[1; 32], [2; 32]].map(|secret| Identity::new(Secret::new(secret)));
    let public = *identities[1 - end].public();
    let [first, second] = identities;
    let identity = if end == 0 { first } else { second };
    let peer = PeerKeys::new(&identity, public, Secret::new(options.preshared)).unwrap();
    let config = Config {
        identity: Arc::new(identity),
        peer,
        endpoint: (end == 0).then_some(addresses[1]),
        client_id: if end == 0 { options.client_id } else { None },
        persistent: options.persistent[end],
        index_base: 0x100 * (end as u32 + 1),
        mtu: 1420,
    };
    End {
        tunnel: Tunnel::new(config, now),
        address: addresses[end],
        delivered: Vec::new(),
        refused: Vec::new(),
        established: Vec::new(),
        gave_up: Vec::new(),
        forgotten: Vec::new(),
        cookies: None,
    }
}
