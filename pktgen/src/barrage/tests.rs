//! Barrages: each keeps its pace and its books, whatever makes its frames.

use std::net::Ipv4Addr;

use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::attack::{Attack, Link, Scene};
use crate::pace::Pacer;
use crate::pcap::{Capture, Writer};
use crate::replay::{Recorded, total};
use crate::synth::{self, Addresses, Ports, Protocol, Stations};

const STATIONS: Stations = Stations { source: [2, 0, 0, 0, 0, 1], to: [2, 0, 0, 0, 0, 9] };
const MPPS: Rate = Rate::Packets(1e6);

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn capture() -> Capture {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for number in 0..10_u64 {
        writer.write(number * 100, &[7; 60]).unwrap();
    }
    Capture::read(&writer.finish().unwrap()[..], 1518).unwrap()
}

/// A stream whose packets are long enough for the trailer in turn and not.
fn measured(mark: u32) -> Barrage {
    let plan = synth::Plan {
        protocol: Protocol::Udp,
        source: Addresses::parse("192.0.2.1").unwrap(),
        destination: Addresses::parse("198.51.100.1").unwrap(),
        source_port: Ports::one(9),
        destination_port: Ports::one(7),
        sizes: crate::size::Sizes::list(&[100, 46]).unwrap(),
        ttl: 64,
        dscp: 0,
        vlan: None,
        measure: true,
    };
    let synth = Synth::new(plan, STATIONS, 1).unwrap();
    Barrage::synth("s".into(), synth, (MPPS, Pattern::Constant), mark, Instant(0))
}

#[test]
fn an_attack_keeps_its_pace_and_its_books() {
    let link = Link { server: [2, 0, 0, 0, 0, 1], station: [2, 0, 0, 0, 0, 2], vlan: None };
    let mut scene = Scene::new(link, [9; 32], 51_820, 1);
    scene.target_v4 = Some(Ipv4Addr::new(192, 0, 2, 1));
    let builder = Builder::new(Attack::DosMac1, &scene).unwrap();
    let own = ["192.0.2.9:40000", "[2001:db8::9]:40000"].map(|own| own.parse().unwrap());
    let mut barrage = Barrage::new(builder, own, (MPPS, Pattern::Constant), Instant(0));
    let mut rng = rng();
    let mut room = 50;
    let mut out = |_: &[u8]| {
        room -= 1;
        room >= 0
    };
    assert_eq!(barrage.turn(Instant(99_500), &mut rng, &mut out), 64);
    assert_eq!(barrage.turn(Instant(99_500), &mut rng, &mut out), 36);
    barrage.end(Instant(109_500));
    assert_eq!(barrage.turn(Instant(109_500), &mut rng, &mut out), 0, "what is owed stays owed");
    let wanted = Tally { planned: 100, sent: 50, without_room: 50, owed: 10, ..Tally::default() };
    assert_eq!((*barrage.tally(), barrage.name()), (wanted, "dos_mac1"));
    assert!(barrage.adds_up());
}

#[test]
fn packets_that_come_back_are_in_exactly_one_count() {
    let mut barrage = measured(0x500);
    let (mut rng, mut frames) = (rng(), Vec::new());
    let mut room = 0;
    barrage.turn(Instant(19_500), &mut rng, &mut |frame| {
        room += 1;
        frames.push(frame.to_vec());
        room <= 18
    });
    assert_eq!(barrage.sums().sent, 9, "of 18 that left every other was long enough");
    frames.truncate(18);
    let trailers: Vec<_> = frames.iter().filter_map(|frame| synth::returned(frame)).collect();
    assert!(trailers.iter().all(|trailer| trailer.stream == 0x500));
    // 0 1 2 are lost, 3 comes twice, 5 before 4.
    for number in [3, 3, 5, 4, 6, 7, 8] {
        barrage.returned(trailers[number], Instant(1_000_000));
    }
    let sums = barrage.sums();
    assert_eq!((sums.received, sums.missing, sums.duplicates, sums.reordered), (6, 3, 1, 1));
    assert_eq!((barrage.tally().returned, barrage.tally().sent), (7, 18));
    assert!(barrage.adds_up());
    let later = Instant(1_000_000 - 6_000);
    assert!(barrage.latency().percentiles().max_ns >= later.0, "from the planned moment");
    barrage.returned(Trailer { sequence: 400, ..trailers[0] }, Instant(1));
    assert!(!barrage.adds_up(), "nobody has sent that");
}

#[test]
fn a_replay_ends_by_its_own_times_or_by_its_count() {
    let mut rng = rng();
    for recorded in [true, false] {
        let plan = if recorded {
            Plan::Recorded(Recorded::new(&capture(), 1.0, 3, Instant(0)))
        } else {
            Plan::Paced(Pacer::new(MPPS, Pattern::Constant, Instant(0)), total(&capture(), 3))
        };
        let mut barrage = Barrage::replay("r".into(), Replay::new(capture()), plan);
        assert!(!barrage.is_over());
        assert_eq!(barrage.owed(Instant(1_000_000)), 30, "{recorded}");
        let sent = barrage.turn(Instant(1_000_000), &mut rng, &mut |frame| frame == [7; 60]);
        assert_eq!((sent, barrage.tally().sent), (30, 30));
        assert!(barrage.is_over() && barrage.owed(Instant(9_000_000)) == 0 && barrage.adds_up());
    }
}

#[test]
fn lateness_of_a_replay_counts_from_its_recorded_time() {
    let plan = Plan::Recorded(Recorded::new(&capture(), 1.0, 1, Instant(0)));
    let mut barrage = Barrage::replay("r".into(), Replay::new(capture()), plan);
    barrage.turn(Instant(1_000_900), &mut rng(), &mut |_| true);
    let max = barrage.lateness().percentiles().max_ns;
    assert!((990_000..1_010_000).contains(&max), "{max}");
}
