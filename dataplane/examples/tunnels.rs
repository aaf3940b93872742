//! Times packets into and out of tunnels on one core: `cargo run --release -p dataplane --example tunnels`.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::expect_used,
    reason = "prints its numbers and works on packets it built itself"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Instant;

use dataplane::config::Config;
use dataplane::frame::{Endpoint, Entry, Frame, Kind, Note};
use dataplane::limits::{BURST_LEN_MAX, DATA_ROOM, HEADROOM};
use dataplane::packet::Address;
use dataplane::site::Site;
use dataplane::stages::dos::Tenants;
use dataplane::stages::dos::lists::Master;
use dataplane::stages::egress::gre;
use dataplane::stages::egress::tunnels::{Ends, Spec, Tunnel, Tunnels};
use dataplane::testing::packets::Ip;
use dataplane::testing::site::{Plan, SERVER_V4, SERVER_V6};

const ROUNDS: u32 = 4_000;
const REPEATS: usize = 25;
/// Packets of a burst.
const PLACES: u8 = 64;
const _: () = assert!(PLACES as usize == BURST_LEN_MAX);
/// The tenant of all tunnels.
const TENANT: u16 = 7;

fn main() {
    println!(
        "nanoseconds a packet, 64 octets inside, bursts of {BURST_LEN_MAX}; the frame's making is taken off"
    );
    for count in [1, 1_000, 8_192] {
        for (outer, inner) in [(4, 4), (4, 6), (6, 4), (6, 6)] {
            for (key, checksum) in [(false, false), (true, false), (true, true)] {
                time(count, (outer, inner), key, checksum);
            }
        }
    }
}

fn time(count: u32, (outer, inner): (u8, u8), key: bool, checksum: bool) {
    let specs: Vec<_> = (0..count).map(|number| spec(number, outer, key, checksum)).collect();
    let tunnels = known(&specs);
    // Those of the other side, whose packets come here.
    let far: Vec<_> = specs.iter().map(|spec| Spec { ends: turned(&spec.ends), ..*spec }).collect();
    let far = known(&far);
    let number = |place: usize| u16::try_from(place * 97 % count as usize).unwrap_or(0);
    let packet = packet(inner);
    let mut sent = Bench::new(|_| packet.clone());
    let mut received = Bench::new(|place| {
        let mut bench = Bench::new(|_| packet.clone());
        let tunnel = far.get(number(place)).expect("it is there");
        bench.dressed(tunnel)
    });
    let bare = sent.best(|_, _| ());
    let encap = sent.best(|frame, place| {
        let tunnel = tunnels.get(number(place)).expect("it is there");
        gre::encap(frame, tunnel, 0x1234_5678, 0).expect("it fits");
    });
    let (site, tenants) = (site(), tenants());
    let decap = received.best(|frame, _| {
        let decapped = gre::decap(frame, &tunnels, &site).expect("it is good");
        let gre::Decapped::Inner(number) = decapped else { return };
        let tunnel = tunnels.get(number).expect("it is there");
        gre::admit_source(frame, tunnel, &tenants).expect("it is the tenant's");
    });
    let options = (if key { "key" } else { "" }, if checksum { "checksum" } else { "" });
    println!(
        "IPv{inner} in IPv{outer}, {count:5} tunnels, {:3} {:8}: encap {:5.1}, decap {:5.1}",
        options.0,
        options.1,
        encap - bare,
        decap - bare,
    );
}

/// A burst of buffers, each with a packet and what is known of it.
struct Bench {
    buffers: Vec<Vec<u8>>,
    notes: Vec<Note>,
    lens: Vec<usize>,
}

impl Bench {
    fn new(mut packet: impl FnMut(usize) -> Vec<u8>) -> Self {
        let mut bench = Self { buffers: Vec::new(), notes: Vec::new(), lens: Vec::new() };
        for place in 0..BURST_LEN_MAX {
            let packet = packet(place);
            let mut buffer = vec![0; HEADROOM + DATA_ROOM];
            let room = buffer.get_mut(HEADROOM..HEADROOM + packet.len()).expect("it fits");
            room.copy_from_slice(&packet);
            let mut note = Note::new(Entry::Wire(0));
            let source = note.ip.read(&packet).expect("it is whole");
            let local = note.ip.destination;
            note.endpoint = Endpoint { remote: source, local, remote_port: 0, port: 0 };
            bench.buffers.push(buffer);
            bench.notes.push(note);
            bench.lens.push(packet.len());
        }
        bench
    }

    /// The first packet in this tunnel.
    fn dressed(&mut self, tunnel: &Tunnel) -> Vec<u8> {
        let (buffer, len) = (self.buffers.first_mut(), self.lens.first());
        let mut note = *self.notes.first().expect("there are some");
        let mut frame = Frame::new(buffer.expect("so"), HEADROOM, *len.expect("so"), &mut note);
        gre::encap(&mut frame, tunnel, 0, 0).expect("it fits");
        frame.data().to_vec()
    }

    /// Nanoseconds of one packet, in the quietest of several blocks.
    fn best(&mut self, mut act: impl FnMut(&mut Frame<'_>, usize)) -> f64 {
        let mut best = f64::INFINITY;
        let mut notes = self.notes.clone();
        for _ in 0..REPEATS {
            let start = Instant::now();
            for _ in 0..ROUNDS {
                for (place, buffer) in self.buffers.iter_mut().enumerate() {
                    let (Some(note), Some(known)) = (notes.get_mut(place), self.notes.get(place))
                    else {
                        return best;
                    };
                    (note.ip, note.endpoint, note.kind) = (known.ip, known.endpoint, Kind::Unknown);
                    let len = self.lens.get(place).copied().unwrap_or(0);
                    let mut frame = Frame::new(buffer, HEADROOM, len, note);
                    act(black_box(&mut frame), place);
                    black_box(&frame);
                }
            }
            let packets = f64::from(ROUNDS) * f64::from(PLACES);
            best = best.min(start.elapsed().as_secs_f64() * 1e9 / packets);
        }
        best
    }
}

fn spec(number: u32, outer: u8, key: bool, checksum: bool) -> Spec {
    let (local, remote) = if outer == 4 {
        (SERVER_V4.into(), Ipv4Addr::from_bits(0xc633_0000 + number).into())
    } else {
        let remote = 0x2001_0db8_0007 << 80 | u128::from(number);
        (SERVER_V6.into(), Ipv6Addr::from_bits(remote).into())
    };
    let ends = Ends { local, remote, key: key.then_some(number) };
    Spec {
        id: number,
        tenant: TENANT,
        ends,
        port: 0,
        port_mtu: 1500,
        mtu: 0,
        checksum,
        clears_df: false,
        inside: None,
    }
}

const fn turned(ends: &Ends) -> Ends {
    Ends { local: ends.remote, remote: ends.local, key: ends.key }
}

fn known(specs: &[Spec]) -> Tunnels {
    Tunnels::new(specs.iter().map(Tunnel::new).collect(), Vec::new(), 0x5eed)
}

/// From an address of the tenant, 64 octets long.
fn packet(inner: u8) -> Vec<u8> {
    let parse = |text: &str| text.parse::<IpAddr>().expect("it is an address");
    if inner == 4 {
        Ip::new(parse("203.0.113.100"), parse("198.51.100.9")).udp(1, 2, &[0; 36])
    } else {
        Ip::new(parse("2001:db8:100::1"), parse("2001:db8:9::9")).udp(1, 2, &[0; 16])
    }
}

fn tenants() -> Tenants {
    let mut prefixes = Master::default();
    let nets = ["203.0.113.0/24", "2001:db8:100::/48"];
    let nets = nets.map(|text| text.parse().expect("it is a prefix"));
    prefixes.add(TENANT, &nets);
    let tenants = Tenants::new(prefixes.build().expect("two prefixes are not too many"));
    assert_eq!(tenants.of(Address::from(Ipv4Addr::new(203, 0, 113, 1))), TENANT);
    tenants
}

fn site() -> Site {
    let config = Config::parse(&Plan::new(0).text(), Path::new("plan.toml"));
    Site::new(&config.expect("the plan is good"), &[[2, 0, 0, 0, 0, 1]], None)
}
