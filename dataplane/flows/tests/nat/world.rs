//! A table, packets to and from it, and time: what all tests begin with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use flows::{Config, FlowId, Flows, Instant, Limits, Outline, Query, Realm, Refusal, Verdict};
use wire::checksum::Sum;
use wire::tcp::{Fields, Flags};
use wire::{icmp, ipv4, ipv6, tcp, udp};

pub(crate) const EGRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const INNER: Ipv4Addr = Ipv4Addr::new(172, 16, 0, 2);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub(crate) const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

pub(crate) const SYN: Flags = Flags::SYN;
pub(crate) const ACK: Flags = Flags::ACK;
pub(crate) const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
pub(crate) const RST: Flags = Flags::RST;
pub(crate) const RST_ACK: Flags = Flags(Flags::RST.0 | Flags::ACK.0);
pub(crate) const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

/// Numbers at random, the same for the same seed (xorshift64*).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }
}

pub(crate) fn config(addresses: &[IpAddr]) -> Config<'_> {
    Config {
        flows: 64,
        clients: 16,
        fragments: 16,
        limits: Limits { flows: 32, ports: 24, setups: 8 },
        timeouts: flows::Timeouts::default(),
        addresses,
        ports: 1024..=2047,
        seed: 0x5eed,
    }
}

/// A table in virtual time.
pub(crate) struct World {
    pub(crate) flows: Flows,
    pub(crate) now: Instant,
    pub(crate) random: Random,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(&config(&[EGRESS.into()]))
    }

    pub(crate) fn of(config: &Config<'_>) -> Self {
        let flows = Flows::new(config).unwrap();
        Self { flows, now: Instant(1_000_000_000), random: Random(77) }
    }

    pub(crate) fn wait(&mut self, secs: f64) {
        let nanos = u64::try_from(Duration::from_secs_f64(secs).as_nanos()).unwrap();
        self.now = Instant(self.now.0 + nanos);
    }

    /// Turns until every line was looked at twice, without time passing for flows.
    pub(crate) fn sweep(&mut self) {
        for _ in 0..64 {
            self.wait(0.1);
            self.flows.sweep(self.now, |_| {});
        }
    }

    pub(crate) fn ask(&self, packet: &[u8], realm: Realm) -> Result<Query, Refusal> {
        let mut query = Query::NONE;
        self.flows.ask(&mut query, packet, outline(packet), realm).map(|()| query)
    }

    /// Carries a packet that came from a client, with a flow of its own if need be.
    pub(crate) fn out(&mut self, client: u32, packet: &mut [u8]) -> Verdict {
        let mut query = match self.ask(packet, Realm::Client(client)) {
            Ok(query) => query,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        self.flows.find(std::slice::from_mut(&mut query));
        let verdict = self.flows.carry(&query, packet, self.now);
        if verdict != Verdict::Unknown {
            return verdict;
        }
        let random = self.random.next();
        match self.flows.open(&query, packet, (self.now, random)) {
            Ok(_) => self.flows.carry(&query, packet, self.now),
            Err(refusal) => Verdict::Refused(refusal),
        }
    }

    /// Carries a packet that came from the network.
    pub(crate) fn back(&mut self, packet: &mut [u8]) -> Verdict {
        let mut query = match self.ask(packet, Realm::Network) {
            Ok(query) => query,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        self.flows.find(std::slice::from_mut(&mut query));
        self.flows.carry(&query, packet, self.now)
    }

    /// Sends a packet out, which must work, and says what it became and by which flow.
    pub(crate) fn sent(&mut self, client: u32, packet: &[u8]) -> (Vec<u8>, FlowId) {
        let mut packet = packet.to_vec();
        let verdict = self.out(client, &mut packet);
        let Verdict::Carried { flow, .. } = verdict else { panic!("{verdict:?}") };
        assert_intact(&packet);
        (packet, flow)
    }

    /// Takes a packet in, which must work, and says what it became and whose it is.
    pub(crate) fn taken(&mut self, packet: &[u8]) -> (Vec<u8>, u32) {
        let mut packet = packet.to_vec();
        let verdict = self.back(&mut packet);
        let Verdict::Carried { flow, .. } = verdict else { panic!("{verdict:?}") };
        assert_intact(&packet);
        (packet, self.flows.flow(flow).unwrap().client())
    }

    pub(crate) fn refused(&mut self, client: u32, packet: &[u8]) -> Refusal {
        let verdict = self.out(client, &mut packet.to_vec());
        let Verdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
        refusal
    }

    pub(crate) fn refused_back(&mut self, packet: &[u8]) -> Refusal {
        let verdict = self.back(&mut packet.to_vec());
        let Verdict::Refused(refusal) = verdict else { panic!("{verdict:?}") };
        refusal
    }
}

/// What the dataplane's parse says of a packet.
pub(crate) fn outline(packet: &[u8]) -> Outline {
    let short = |len: usize| u16::try_from(len).unwrap();
    if packet[0] >> 4 == 4 {
        let ip = ipv4::parse(packet).unwrap();
        return Outline {
            protocol: ip.protocol,
            payload_offset: short(ip.payload_offset),
            len: short(ip.total_len()),
            fragment: ip.is_fragment(),
        };
    }
    let ip = ipv6::parse(packet).unwrap();
    Outline {
        protocol: ip.protocol,
        payload_offset: short(ip.payload_offset),
        len: short(ip.total_len()),
        fragment: ip.is_fragment(),
    }
}

/// Source and destination of anything with ports.
pub(crate) type Ends = ((IpAddr, u16), (IpAddr, u16));

pub(crate) fn ends(
    source: impl Into<IpAddr>,
    port: u16,
    to: impl Into<IpAddr>,
    to_port: u16,
) -> Ends {
    ((source.into(), port), (to.into(), to_port))
}

fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = vec![0; ipv4::HEADER_LEN];
            let fields = ipv4::Fields {
                source,
                destination,
                protocol,
                ttl: 64,
                tos: 0,
                identification: 0x1234,
                dont_fragment: true,
                payload_len: payload.len(),
            };
            ipv4::emit(&mut packet, &fields).unwrap();
            packet.extend(payload);
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = vec![0; ipv6::HEADER_LEN];
            let fields = ipv6::Fields {
                source,
                destination,
                protocol,
                hop_limit: 64,
                traffic_class: 0,
                flow_label: 0,
                payload_len: payload.len(),
            };
            ipv6::emit(&mut packet, &fields).unwrap();
            packet.extend(payload);
            packet
        }
        _ => panic!("two families"),
    }
}

fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> Sum {
    let len = u16::try_from(len).unwrap();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(to)) => Sum::pseudo_v4(source, to, protocol, len),
        (IpAddr::V6(source), IpAddr::V6(to)) => Sum::pseudo_v6(source, to, protocol, len),
        _ => panic!("two families"),
    }
}

pub(crate) fn datagram((source, destination): Ends, data: &[u8]) -> Vec<u8> {
    let mut payload = [&[0; udp::HEADER_LEN], data].concat();
    let ports = udp::Ports { source: source.1, destination: destination.1 };
    match (source.0, destination.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => udp::emit_v4(&mut payload, ports, from, to).unwrap(),
        (IpAddr::V6(from), IpAddr::V6(to)) => udp::emit_v6(&mut payload, ports, from, to).unwrap(),
        _ => panic!("two families"),
    }
    ip(source.0, destination.0, udp::PROTOCOL, &payload)
}

/// A segment's numbers.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) flags: Flags,
    pub(crate) sequence: u32,
    pub(crate) acknowledgment: u32,
    pub(crate) window: u16,
}

pub(crate) fn numbers(flags: Flags, sequence: u32, acknowledgment: u32) -> Numbers {
    Numbers { flags, sequence, acknowledgment, window: 1000 }
}

pub(crate) fn segment(ends: Ends, numbers: Numbers, data: &[u8]) -> Vec<u8> {
    segment_with(ends, numbers, &[], data)
}

pub(crate) fn segment_with(
    (source, to): Ends,
    numbers: Numbers,
    options: &[u8],
    data: &[u8],
) -> Vec<u8> {
    let mut payload = vec![0; tcp::HEADER_LEN + options.len()];
    payload.extend(data);
    let fields = Fields {
        source_port: source.1,
        destination_port: to.1,
        sequence_number: numbers.sequence,
        acknowledgment_number: numbers.acknowledgment,
        flags: numbers.flags,
        window: numbers.window,
    };
    let pseudo = pseudo(source.0, to.0, tcp::PROTOCOL, payload.len());
    tcp::emit(&mut payload, &fields, options, pseudo).unwrap();
    ip(source.0, to.0, tcp::PROTOCOL, &payload)
}

pub(crate) fn echo(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    identifier: u16,
    request: bool,
) -> Vec<u8> {
    let mut message = *b"........ping";
    let echo = icmp::Echo { identifier, sequence: 1 };
    if request {
        icmp::v4::emit_echo_request(&mut message, echo).unwrap();
    } else {
        icmp::v4::emit_echo_reply(&mut message, echo).unwrap();
    }
    ip(source.into(), destination.into(), icmp::v4::PROTOCOL, &message)
}

/// An error about a packet, of which only so many octets are quoted.
pub(crate) fn error(from: Ipv4Addr, to: Ipv4Addr, about: &[u8], quoted: usize) -> Vec<u8> {
    let mut message = [0; 600];
    let quote = &about[..quoted.min(about.len())];
    let kind = icmp::v4::Error::FragmentationNeeded { mtu: 1400 };
    let len = icmp::v4::emit_error(&mut message, kind, quote).unwrap();
    ip(from.into(), to.into(), icmp::v4::PROTOCOL, &message[..len])
}

pub(crate) fn error_v6(from: Ipv6Addr, to: Ipv6Addr, about: &[u8], quoted: usize) -> Vec<u8> {
    let mut message = [0; 1300];
    let quote = &about[..quoted.min(about.len())];
    let kind = icmp::v6::Error::PacketTooBig { mtu: 1400 };
    let len = icmp::v6::emit_error(&mut message, kind, from, to, quote).unwrap();
    ip(from.into(), to.into(), icmp::v6::PROTOCOL, &message[..len])
}

/// Reads where a packet of TCP or UDP goes from and to.
pub(crate) fn ends_of(packet: &[u8]) -> Ends {
    let outline = outline(packet);
    let at = usize::from(outline.payload_offset);
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let (source, destination): (IpAddr, IpAddr) = if packet[0] >> 4 == 4 {
        let ip = ipv4::parse(packet).unwrap();
        (ip.source.into(), ip.destination.into())
    } else {
        let ip = ipv6::parse(packet).unwrap();
        (ip.source.into(), ip.destination.into())
    };
    ((source, port(at)), (destination, port(at + 2)))
}

pub(crate) fn identifier_of(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[24], packet[25]])
}

pub(crate) fn tcp_of(packet: &[u8]) -> tcp::Located {
    tcp::parse(&packet[usize::from(outline(packet).payload_offset)..]).unwrap()
}

/// Every checksum of a packet is what computing it anew gives.
pub(crate) fn assert_intact(packet: &[u8]) {
    let outline = outline(packet);
    let upper = &packet[usize::from(outline.payload_offset)..usize::from(outline.len)];
    if outline.fragment {
        return;
    }
    let ((source, _), (destination, _)) = ends_of(packet);
    match outline.protocol {
        tcp::PROTOCOL => {
            let pseudo = pseudo(source, destination, tcp::PROTOCOL, upper.len());
            tcp::verify(pseudo, upper).unwrap();
        }
        udp::PROTOCOL => match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(to)) => udp::verify_v4(source, to, upper).unwrap(),
            (IpAddr::V6(source), IpAddr::V6(to)) => udp::verify_v6(source, to, upper).unwrap(),
            _ => panic!("two families"),
        },
        icmp::v4::PROTOCOL => drop(icmp::v4::parse(upper).unwrap()),
        icmp::v6::PROTOCOL => {
            let (IpAddr::V6(source), IpAddr::V6(to)) = (source, destination) else {
                panic!("two families")
            };
            icmp::v6::parse(source, to, upper).unwrap();
        }
        _ => {}
    }
}
