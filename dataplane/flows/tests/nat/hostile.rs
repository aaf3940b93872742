//! What nobody means to send, and configurations that cannot be.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::world::{
    ACK, EGRESS, FIN_ACK, INNER, RST, Random, SERVER, SYN, SYN_ACK, World, config, datagram, echo,
    ends, ends_of, error, numbers, outline, segment,
};
use flows::{Config, Flows, Instant, Outline, Query, Realm, Timeouts, Verdict, Wrong};

/// Packets of flows that are there, to be spoiled.
fn samples(world: &mut World) -> Vec<Vec<u8>> {
    let question = datagram(ends(INNER, 5000, SERVER, 53), b"question");
    let (out, _) = world.sent(1, &question);
    let answer = datagram(ends(SERVER, 53, EGRESS, ends_of(&out).0.1), b"answer");
    let opening = segment(ends(INNER, 4000, SERVER, 443), numbers(SYN, 99, 0), b"");
    let (sent, _) = world.sent(1, &opening);
    let back = ends(SERVER, 443, EGRESS, ends_of(&sent).0.1);
    let flags = [SYN_ACK, ACK, FIN_ACK, RST];
    let segments = flags.map(|flags| segment(back, numbers(flags, 499, 100), b"data"));
    let mut samples = vec![
        error(SERVER, EGRESS, &out, 28),
        error(SERVER, EGRESS, &sent, 40),
        error(INNER, SERVER, &answer, 40),
        echo(INNER, SERVER, 7, true),
        question,
        answer,
        opening,
        out,
        sent,
    ];
    samples.extend(segments);
    samples
}

/// Changes some octets, and perhaps the length.
fn spoil(packet: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(4) {
        let at = usize::try_from(random.below(packet.len() as u64)).unwrap();
        packet[at] = u8::try_from(random.below(256)).unwrap();
    }
    if random.below(4) == 0 {
        let len = usize::try_from(random.below(packet.len() as u64)).unwrap();
        packet.truncate(len.max(1));
    }
}

/// An outline as the parse gives it, or anything.
fn any_outline(packet: &[u8], random: &mut Random) -> Outline {
    let word = |random: &mut Random| u16::try_from(random.below(100)).unwrap();
    let well_formed = wire::ipv4::parse(packet).is_ok();
    if well_formed && random.below(4) != 0 {
        return outline(packet);
    }
    let protocols = [1, 6, 17, 58, 132];
    Outline {
        protocol: protocols[usize::try_from(random.below(5)).unwrap()],
        payload_offset: word(random),
        len: word(random),
        fragment: random.below(4) == 0,
    }
}

#[test]
fn no_packet_is_a_surprise() {
    let mut refused = 0_u64;
    for seed in 1..21 {
        let mut world = World::new();
        let samples = samples(&mut world);
        let mut random = Random(seed);
        for _ in 0..3000 {
            let sample = random.below(samples.len() as u64);
            let mut packet = samples[usize::try_from(sample).unwrap()].clone();
            spoil(&mut packet, &mut random);
            let outline = any_outline(&packet, &mut random);
            let realm = match random.below(4) {
                0 | 1 => Realm::Network,
                client => Realm::Client(u32::try_from(client * 7).unwrap()),
            };
            let mut query = Query::NONE;
            if world.flows.ask(&mut query, &packet, outline, realm).is_err() {
                refused += 1;
                continue;
            }
            world.flows.find(std::slice::from_mut(&mut query));
            if world.flows.carry(&query, &mut packet, world.now) == Verdict::Unknown {
                let random = random.next();
                let opened = world.flows.open(&query, &packet, (world.now, random));
                refused += u64::from(opened.is_err());
            }
            world.wait(0.2);
            world.flows.sweep(world.now, |_| {});
        }
        world.wait(8000.0);
        world.sweep();
        assert!(world.flows.is_empty(), "seed {seed}");
        for client in 0..16 {
            assert_eq!(world.flows.holding(client), flows::Holding::default(), "seed {seed}");
        }
    }
    assert!(refused > 10_000, "{refused}");
}

/// Numbers of flows that are not there do nothing.
#[test]
fn what_is_over_is_not_changed() {
    let mut world = World::new();
    let (_, flow) = world.sent(1, &datagram(ends(INNER, 5000, SERVER, 53), b""));
    world.flows.watch(flow);
    assert!(!world.flows.unwatch(flow), "only splices are watched");
    world.flows.remove(flow, world.now);
    world.flows.remove(flow, world.now);
    assert!(world.flows.flow(flow).is_none());
    assert!(world.flows.is_empty());
    world.sent(1, &datagram(ends(INNER, 5000, SERVER, 53), b""));
    assert_eq!(world.flows.holding(1).flows, 1);
}

#[test]
fn time_may_stand_still_or_jump() {
    let mut world = World::new();
    world.sent(1, &datagram(ends(INNER, 5000, SERVER, 53), b""));
    for now in [0, 5, u64::MAX, 0, u64::MAX - 1] {
        world.flows.sweep(Instant(now), |_| {});
    }
    assert!(world.flows.is_empty());
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let addresses: [IpAddr; 2] = [EGRESS.into(); 2];
    let good = config(&addresses[..1]);
    let timeouts = |change: fn(&mut Timeouts)| {
        let mut timeouts = Timeouts::default();
        change(&mut timeouts);
        Config { timeouts, ..good.clone() }
    };
    let wrong = [
        (Config { flows: 0, ..good.clone() }, Wrong::Flows),
        (Config { flows: 1 << 30, ..good.clone() }, Wrong::Flows),
        (Config { clients: u32::MAX, ..good.clone() }, Wrong::Clients),
        (Config { ports: 1023..=2000, ..good.clone() }, Wrong::Ports),
        (Config { ports: RangeInclusive::new(3000, 2000), ..good.clone() }, Wrong::Ports),
        (Config { addresses: &addresses, ..good.clone() }, Wrong::Addresses),
        (timeouts(|times| times.udp = Duration::from_secs(119)), Wrong::Timeout),
        (timeouts(|times| times.icmp = Duration::from_secs(59)), Wrong::Timeout),
        (timeouts(|times| times.established = Duration::from_secs(7439)), Wrong::Timeout),
        (timeouts(|times| times.transitory = Duration::from_secs(239)), Wrong::Timeout),
        (timeouts(|times| times.incoming = Duration::from_secs(5)), Wrong::Timeout),
    ];
    for (config, why) in wrong {
        assert_eq!(Flows::new(&config).map(drop), Err(why), "{config:?}");
    }
    assert_eq!(Flows::new(&good).map(drop), Ok(()));
}

/// At most 128 octets for each flow, and the places in two indices.
#[test]
fn a_flow_costs_two_lines_and_its_places() {
    let config = Config { flows: 100_000, clients: 1, addresses: &[], ..config(&[]) };
    let flows = Flows::new(&config).unwrap();
    let each = flows.octets() / 100_000;
    assert!((128..=160).contains(&each), "{each}");
}
