//! Nothing is allocated per packet: after the first bursts, turns of data traffic in every direction call the
//! allocator exactly never.
//!
//! That the library reads no clock and makes no system call on the way needs no test: it has no I/O but the
//! queues that it is given, and the time is an argument (clippy refuses the rest).

#[path = "allocation/counting.rs"]
mod counting;

use std::net::IpAddr;
use std::time::Duration;

use dataplane::limits::BURST_LEN_MAX;
use dataplane::testing::client;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::{PROTECTED, STRANGER};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::{LOCAL, Options, Place, WIRE};
use dataplane::testing::site::{self, CENTRE_V4, EVERY_CLIENTS, Nat, OUTSIDE_V4, Plan};
use dataplane::testing::transit;
use dataplane::testing::via;
use shm::message::{Centre, Item, Machine, NextHop};

use counting::CALLS;

/// Whom clients reach through another data centre.
const FAR: std::net::Ipv4Addr = std::net::Ipv4Addr::new(198, 51, 100, 2);

const WARM_UP: usize = 3;
const ROUNDS: usize = 40;
/// So that timers run in between and keepalives are sent, but nobody misses the answers of a client that is
/// silent here: a handshake allocates, off the packets' way.
const PACE: Duration = Duration::from_millis(250);

/// A tenant's rules of every kind: counted, limited, of sets of values.
const RULES: &str = "policy drop\n\
    ip saddr 198.51.100.0/24 counter\n\
    udp dport { 53, 80-90 } limit rate 1000000/second burst 100000 packets counter accept\n\
    ip daddr 203.0.113.7 accept";

/// Calls of the allocator in `ROUNDS` bursts of the frames that `make` makes, and frames that came out.
fn count(
    workers: usize,
    place: Place,
    make: impl Fn(&mut Scene, usize) -> Vec<u8>,
) -> (u64, usize) {
    let nat = Some(Nat { flows: 8192, flows_per_client: 8192, setups: 64 });
    let plan = Plan { workers, nat, ..Plan::new(2) };
    let mut scene = Scene::new(&plan, Options::default());
    let mut items = transit::tenant(transit::tunnel(1), RULES);
    items.push(Item::NextHop { id: 3, hop: NextHop::Direct });
    items.push(Item::Route { prefix: IpAddr::from(STRANGER).into(), next_hop: 3 });
    let machines = vec![Machine { address: CENTRE_V4.into(), port: 443, weight: 1 }];
    let centre = Centre { number: 7, is_here: false, relay: 0, machines };
    items.push(Item::Centre(Box::new(centre)));
    items.push(Item::NextHop { id: 4, hop: NextHop::Via { centre: 7, remote: None } });
    items.push(Item::Route { prefix: IpAddr::from(FAR).into(), next_hop: 4 });
    scene.change(items);
    for number in 0..2 {
        scene.join(number == 1, client::Options::default());
        scene.send(number, &[]);
    }
    let frames: Vec<_> =
        (0..(WARM_UP + ROUNDS) * BURST_LEN_MAX).map(|number| make(&mut scene, number)).collect();
    let outputs = [WIRE, LOCAL, Place::Wire { port: 0, worker: workers - 1 }];
    let (mut calls, mut out) = (0, 0);
    for (round, burst) in frames.chunks(BURST_LEN_MAX).enumerate() {
        for frame in burst {
            scene.server.put(place, frame);
        }
        scene.now = scene.now + PACE;
        let before = CALLS.get();
        scene.server.settle(scene.now);
        if round >= WARM_UP {
            calls += CALLS.get() - before;
        }
        for output in outputs {
            while scene.server.end(output).take().is_some() {
                out += 1;
            }
        }
    }
    assert_eq!(scene.server.totals().dropped_all(), 0, "{}", scene.server.totals());
    (calls, out)
}

#[cfg(test)]
fn sealed(to: std::net::Ipv4Addr) -> impl Fn(&mut Scene, usize) -> Vec<u8> {
    move |scene, number| {
        let packet = Ip::new(site::inner_v4(0), to).udp(1, 2, &vec![0; number % 1200]);
        scene.withhold(0, &packet).pop().unwrap()
    }
}

#[cfg(test)]
fn from_local(_: &mut Scene, number: usize) -> Vec<u8> {
    let to = site::inner_v4(u32::try_from(number % 2).unwrap());
    packets::from_local(&Ip::new(site::LOCAL_V4, to).udp(1, 2, &vec![0; number % 1200]))
}

fn allocates_never(
    name: &str,
    workers: usize,
    place: Place,
    make: impl Fn(&mut Scene, usize) -> Vec<u8>,
) {
    let (calls, out) = count(workers, place, make);
    assert!(out >= (WARM_UP + ROUNDS) * BURST_LEN_MAX, "{name}: {out} frames came out");
    assert_eq!(calls, 0, "{name}: calls of the allocator");
}

/// To a tenant: a whole datagram, or one piece of it after the other.
#[cfg(test)]
fn to_tenant(in_pieces: bool) -> impl Fn(&mut Scene, usize) -> Vec<u8> {
    move |_, number| {
        let ip = Ip::new(STRANGER, PROTECTED);
        // Both pieces of a datagram are of the same one, and port 0 is no port.
        let port = u16::try_from(1 + number / 2 % 100).unwrap();
        if !in_pieces {
            return packets::from_gateway(&ip.udp(1, port, &vec![0; number % 1200]));
        }
        let whole = ip.udp(1, port, &[0; 40]);
        let (first, second) = whole[wire::ipv4::HEADER_LEN..].split_at(16);
        let is_first = number.is_multiple_of(2);
        let mut packet = ip.packet(17, if is_first { first } else { second });
        let identification = u16::try_from(number / 2).unwrap();
        transit::fragment(&mut packet, identification, if is_first { 0 } else { 16 }, is_first);
        packets::from_gateway(&packet)
    }
}

#[cfg(test)]
fn from_tenant(_: &mut Scene, number: usize) -> Vec<u8> {
    let packet = Ip::new(PROTECTED, STRANGER).udp(53, 1, &vec![0; number % 1200]);
    packets::from_gateway(&transit::from_router(&transit::plain(&packet), &packet))
}

/// A client's packet to the Internet, by one flow or each by its own.
#[cfg(test)]
fn outward(is_new: bool) -> impl Fn(&mut Scene, usize) -> Vec<u8> {
    move |scene, number| {
        let port = if is_new { u16::try_from(1 + number).unwrap() } else { 1 };
        let packet = Ip::new(EVERY_CLIENTS, STRANGER).udp(port, 53, &vec![0; number % 1200]);
        scene.withhold(0, &packet).pop().unwrap()
    }
}

/// The answer to one that was sent before.
#[cfg(test)]
fn inward(scene: &mut Scene, number: usize) -> Vec<u8> {
    scene.send(0, &Ip::new(EVERY_CLIENTS, STRANGER).udp(1, 53, b"ask"));
    let sent = scene.strays();
    let (from, ..) = sent.iter().find_map(|(_, frame)| packets::datagram_in(frame)).unwrap();
    let packet = Ip::new(STRANGER, OUTSIDE_V4).udp(53, from.port(), &vec![0; number % 1200]);
    packets::from_gateway(&packet)
}

/// A client's packet through another data centre, of one port or each of its own.
#[cfg(test)]
fn through(is_new: bool) -> impl Fn(&mut Scene, usize) -> Vec<u8> {
    move |scene, number| {
        let port = if is_new { u16::try_from(1 + number % 2000).unwrap() } else { 1 };
        let packet = Ip::new(EVERY_CLIENTS, FAR).udp(port, 53, &vec![0; number % 1200]);
        scene.withhold(0, &packet).pop().unwrap()
    }
}

/// A packet of another data centre's client, of one or each of another one.
#[cfg(test)]
fn guests(is_new: bool) -> impl Fn(&mut Scene, usize) -> Vec<u8> {
    move |_, number| {
        let handle = if is_new { u32::try_from(number).unwrap() } else { 1 };
        let packet = Ip::new(EVERY_CLIENTS, STRANGER).udp(1, 53, &vec![0; number % 1200]);
        let ends = (CENTRE_V4.into(), site::SERVER_V4.into());
        packets::from_gateway(&via::sealed(ends, (false, handle), &packet))
    }
}

#[test]
fn the_way_through_another_data_centre_allocates_nothing() {
    for workers in [1, 2] {
        for is_new in [false, true] {
            allocates_never("through another data centre", workers, WIRE, through(is_new));
            allocates_never("for another data centre's client", workers, WIRE, guests(is_new));
        }
    }
}

#[test]
fn the_way_to_the_internet_and_back_allocates_nothing() {
    for workers in [1, 2] {
        allocates_never("to the Internet", workers, WIRE, outward(false));
        allocates_never("to the Internet, a new flow each", workers, WIRE, outward(true));
        allocates_never("from the Internet", workers, WIRE, inward);
    }
}

#[test]
fn the_way_to_a_tenant_and_back_allocates_nothing() {
    allocates_never("to a tenant", 1, WIRE, to_tenant(false));
    allocates_never("to a tenant in pieces", 1, WIRE, to_tenant(true));
    allocates_never("from a tenant", 1, WIRE, from_tenant);
}

#[test]
fn the_allocator_is_counted() {
    let before = CALLS.get();
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert_eq!(CALLS.get() - before, 2);
}

#[test]
fn opening_to_the_kernel_allocates_nothing() {
    allocates_never("client to kernel", 1, WIRE, sealed(site::LOCAL_V4));
}

#[test]
fn sealing_from_the_kernel_allocates_nothing() {
    allocates_never("kernel to clients", 1, LOCAL, from_local);
}

#[test]
fn forwarding_between_clients_allocates_nothing() {
    allocates_never("client to client", 1, WIRE, sealed(site::inner_v4(1)));
}

#[test]
fn handing_over_between_workers_allocates_nothing() {
    allocates_never("kernel to clients of two workers", 2, LOCAL, from_local);
    allocates_never("client to client of another worker", 2, WIRE, sealed(site::inner_v4(1)));
}
