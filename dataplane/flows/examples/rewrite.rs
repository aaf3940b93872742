//! Times packets of established flows, in bursts of 64: the key read, the flow found, followed, and the packet rewritten;
//! nanoseconds for each (10th percentile of blocks).
//!
//! usage: cargo run --release -p flows --example rewrite [10000 1000000 ...]

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a measurement, not a part of the edge"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant as Clock;

use flows::{
    Config, Entry, Flows, Instant, Limits, Opened, Outline, Path, Query, Realm, Splice, Timeouts,
    Verdict,
};
use wire::checksum::Sum;
use wire::tcp::{Fields, Flags};
use wire::{ipv4, tcp, udp};

const BURST: usize = 64;
const BURSTS: usize = 32;
const BLOCKS: usize = 400;
const FLOWS_PER_CLIENT: u32 = 100;
const PACKET_LEN: usize = 64;
const NOW: Instant = Instant(1_000_000_000);

/// Numbers at random, the same for the same seed (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }
}

type Packet = [u8; PACKET_LEN];
type Ends = ((Ipv4Addr, u16), (Ipv4Addr, u16));

/// What flows are measured: two protocols through NAT, and splices whose sides count differently by so much.
#[derive(Clone, Copy)]
enum Kind {
    Udp,
    Tcp,
    Splice(u32),
}

impl Kind {
    const fn protocol(self) -> u8 {
        if matches!(self, Self::Udp) { udp::PROTOCOL } else { tcp::PROTOCOL }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Udp => "NAT44 UDP",
            Self::Tcp => "NAT44 TCP",
            Self::Splice(0) => "splice, aligned",
            Self::Splice(_) => "splice, shifted",
        }
    }
}

fn main() {
    let asked: Vec<u32> = std::env::args().skip(1).filter_map(|count| count.parse().ok()).collect();
    let counts = if asked.is_empty() { vec![10_000, 1_000_000] } else { asked };
    for count in counts {
        for kind in [Kind::Udp, Kind::Tcp, Kind::Splice(0), Kind::Splice(12_345)] {
            measure(count, kind);
        }
    }
}

fn inner_of(flow: u32) -> Ends {
    let server = Ipv4Addr::from_bits(0xc633_6400 + flow % 200);
    ((Ipv4Addr::new(172, 16, 0, 2), (1024 + flow % FLOWS_PER_CLIENT) as u16), (server, 443))
}

fn packet(
    ((source, port), (to, to_port)): Ends,
    protocol: u8,
    numbers: (Flags, u32, u32),
) -> Packet {
    let mut packet = [0; PACKET_LEN];
    let (header, payload) = packet.split_at_mut(ipv4::HEADER_LEN);
    let fields = ipv4::Fields {
        source,
        destination: to,
        protocol,
        ttl: 64,
        tos: 0,
        identification: 0,
        dont_fragment: true,
        payload_len: payload.len(),
    };
    ipv4::emit(header, &fields).unwrap();
    if protocol == udp::PROTOCOL {
        udp::emit_v4(payload, udp::Ports { source: port, destination: to_port }, source, to)
            .unwrap();
        return packet;
    }
    let (flags, sequence_number, acknowledgment_number) = numbers;
    let fields = Fields {
        source_port: port,
        destination_port: to_port,
        sequence_number,
        acknowledgment_number,
        flags,
        window: 60_000,
    };
    let pseudo = Sum::pseudo_v4(source, to, protocol, payload.len() as u16);
    tcp::emit(payload, &fields, &[], pseudo).unwrap();
    packet
}

fn outline(protocol: u8) -> Outline {
    let (payload_offset, len) = (ipv4::HEADER_LEN as u16, PACKET_LEN as u16);
    Outline { protocol, payload_offset, len, fragment: false }
}

/// Opens a flow and says where it seems to come from.
fn open(flows: &mut Flows, flow: u32, kind: Kind, random: &mut Random) -> (Ipv4Addr, u16) {
    if let Kind::Splice(shift) = kind {
        return splice(flows, flow, shift, random);
    }
    let protocol = kind.protocol();
    let client = flow / FLOWS_PER_CLIENT;
    let ends = inner_of(flow);
    let mut out = packet(ends, protocol, (Flags::SYN, 0, 0));
    let mut query = Query::NONE;
    flows.ask(&mut query, &out, outline(protocol), Realm::Client(client)).unwrap();
    flows.open(&query, &out, (NOW, random.next())).unwrap();
    let verdict = flows.carry(&query, &mut out, NOW);
    let Verdict::Carried { flow: id, .. } = verdict else { return ends.0 };
    let [_, (IpAddr::V4(address), port)] = flows.flow(id).unwrap().addresses(flows::End::Far)
    else {
        return ends.0;
    };
    if protocol == tcp::PROTOCOL {
        let back = (ends.1, (address, port));
        let mut answer = packet(back, protocol, (Flags::SYN | Flags::ACK, 0, 1));
        carry(flows, &mut answer, protocol, Realm::Network);
        let mut last = packet(ends, protocol, (Flags::ACK, 1, 1));
        carry(flows, &mut last, protocol, Realm::Client(client));
    }
    (address, port)
}

/// Puts a splice in whose next hop is the server itself.
fn splice(flows: &mut Flows, flow: u32, shift: u32, random: &mut Random) -> (Ipv4Addr, u16) {
    let client = flow / FLOWS_PER_CLIENT;
    let ((source, port), (server, server_port)) = inner_of(flow);
    let lease = flows.lease(client, false, (NOW, random.next())).unwrap();
    let (outer, outer_port) = (lease.address, lease.port);
    let server = (server.into(), server_port);
    let entry = Entry {
        client,
        realm: Realm::Client(client),
        near: Path { source: (source.into(), port), destination: server },
        far: Path { source: server, destination: (outer, outer_port) },
        lease,
    };
    let sides = [Opened { acked: 1, edge: 60_001, scale: 0 }; 2];
    flows.splice(entry, &Splice { sides, shifts: [shift; 2], windows: [0; 2] }, NOW).unwrap();
    let IpAddr::V4(outer) = outer else { return (source, port) };
    (outer, outer_port)
}

fn carry(flows: &mut Flows, packet: &mut Packet, protocol: u8, realm: Realm) {
    let mut query = Query::NONE;
    flows.ask(&mut query, packet, outline(protocol), realm).unwrap();
    assert!(matches!(flows.carry(&query, packet, NOW), Verdict::Carried { .. }));
}

fn measure(count: u32, kind: Kind) {
    let protocol = kind.protocol();
    let addresses: Vec<IpAddr> = (0..count.div_ceil(40_000))
        .map(|last| Ipv4Addr::from_bits(0xc000_0200 + last).into())
        .collect();
    let mut flows = Flows::new(&Config {
        flows: count + count / 8,
        clients: count / FLOWS_PER_CLIENT + 1,
        fragments: 1024,
        limits: Limits { flows: 8192, ports: 4096, setups: 512 },
        timeouts: Timeouts::default(),
        addresses: &addresses,
        ports: 1024..=65_535,
        seed: 0x5eed,
    })
    .unwrap();
    let mut random = Random(u64::from(count) + 1);
    let start = Clock::now();
    let outer: Vec<_> = (0..count).map(|flow| open(&mut flows, flow, kind, &mut random)).collect();
    let opened = start.elapsed().as_nanos() as f64 / f64::from(count);
    let [mut out, mut back] = [Vec::new(), Vec::new()];
    for _ in 0..BLOCKS {
        out.push(block(&mut flows, &mut random, count, |flow| {
            let packet = packet(inner_of(flow), protocol, (Flags::ACK, 1, 1));
            (packet, Realm::Client(flow / FLOWS_PER_CLIENT))
        }));
        back.push(block(&mut flows, &mut random, count, |flow| {
            let ends = (inner_of(flow).1, outer[flow as usize]);
            (packet(ends, protocol, (Flags::ACK, 1, 1)), Realm::Network)
        }));
    }
    let tenth = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        (times[BLOCKS / 10], times[BLOCKS / 2])
    };
    let (out, back) = (tenth(&mut out), tenth(&mut back));
    let swept = sweep(&mut flows);
    println!(
        "{:15} {count:8} flows: out {:5.1} ns (median {:5.1}), back {:5.1} ns (median {:5.1}); opened in {opened:.0} ns; a line swept in {swept:.1} ns; {:.0} octets each",
        kind.name(),
        out.0,
        out.1,
        back.0,
        back.1,
        flows.octets() as f64 / f64::from(count),
    );
}

/// What looking at a line costs while none of them is over.
fn sweep(flows: &mut Flows) -> f64 {
    let mut live = 0_u64;
    let mut until = 0;
    let mut now = NOW;
    let start = Clock::now();
    for _ in 0..5000 {
        now = Instant(now.0 + 1_000_000);
        flows.sweep(now, |swept| {
            live += 1;
            until = swept.until.0.max(until);
        });
    }
    black_box(until);
    start.elapsed().as_nanos() as f64 / live as f64
}

/// Some bursts of packets of flows at random, as they lie in the cache when they have been parsed.
fn block(
    flows: &mut Flows,
    random: &mut Random,
    count: u32,
    make: impl Fn(u32) -> (Packet, Realm),
) -> f64 {
    let mut nanos = 0;
    let mut queries = [Query::NONE; BURST];
    for _ in 0..BURSTS {
        let mut burst: Vec<_> = (0..BURST).map(|_| make(random.below(count))).collect();
        let protocol = burst[0].0[9];
        let outline = black_box(outline(protocol));
        let start = Clock::now();
        for (query, (packet, realm)) in queries.iter_mut().zip(&burst) {
            flows.ask(query, packet, outline, *realm).unwrap();
        }
        flows.find(&mut queries);
        let mut carried = 0;
        for (query, (packet, _)) in queries.iter().zip(&mut burst) {
            carried +=
                u32::from(matches!(flows.carry(query, packet, NOW), Verdict::Carried { .. }));
        }
        nanos += start.elapsed().as_nanos();
        assert_eq!(carried, BURST as u32);
        black_box(&burst);
    }
    nanos as f64 / (BURSTS * BURST) as f64
}
