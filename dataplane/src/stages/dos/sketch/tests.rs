//! The sketch against exact counts of the same packets.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use shm::message::Heavy;

use super::*;
use crate::limits::{HEAVIES_MAX, SKETCH_INTERVAL};
use crate::packet::Address;

/// A round of one worker, of which every packet is known.
struct Round {
    sketch: Sketch,
    random: u64,
    packets: Vec<Sample>,
    now: Instant,
}

impl Round {
    fn new(seed: u64) -> Self {
        let now = Instant(1_000_000_000);
        Self { sketch: Sketch::new(seed, now), random: !seed, packets: Vec::new(), now }
    }

    /// Below `bound`, from a stream of its own.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mixed = (self.random ^ self.random >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        u64::try_from((u128::from(mixed) * u128::from(bound)) >> 64).unwrap()
    }

    fn come(&mut self, packets: impl IntoIterator<Item = Sample>) {
        let first = self.packets.len();
        self.packets.extend(packets);
        for burst in self.packets[first..].chunks(64) {
            self.sketch.look(burst.len(), |index| Some(burst[index]));
        }
    }

    /// Ends the round; its packets are known no more.
    fn turn_in(&mut self) -> Sheet {
        self.now = self.now + SKETCH_INTERVAL;
        self.packets.clear();
        *self.sketch.turn_in(Box::default(), self.now)
    }

    fn heavies(&mut self) -> Heavies {
        let mut tally = Tally::new(1);
        tally.add(&self.turn_in());
        tally.finish()
    }

    /// Packets per second of each key.
    fn exact<K: Hash + Eq>(&self, key: impl Fn(&Sample) -> K) -> HashMap<K, u64> {
        let mut rates = HashMap::new();
        for packet in &self.packets {
            *rates.entry(key(packet)).or_insert(0) += 5;
        }
        rates
    }
}

fn packet(source: impl Into<Address>, destination: [u8; 4]) -> Sample {
    Sample {
        source: source.into(),
        destination: Ipv4Addr::from(destination).into(),
        ports: Some((1024, 51820)),
        len: 100,
        tenant: None,
        protocol: udp::PROTOCOL,
        tcp_flags: None,
        dropped: false,
    }
}

const TARGET: [u8; 4] = [203, 0, 113, 7];

fn v4(number: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap() * 256)
}

/// Of a source's rate what is within `deviations` times the standard error of its `samples`.
fn assert_near(hitter: &Hitter, exact: u64, deviations: f64, what: &str) {
    let [told, exact] =
        [hitter.rate.packets, exact].map(|rate| f64::from(u32::try_from(rate).unwrap()));
    let error = told / f64::from(hitter.samples).sqrt();
    assert!((told - exact).abs() <= deviations * error + 5.0, "{what}: {hitter:?}, exact {exact}");
}

fn source(hitter: &Hitter) -> IpAddr {
    let Heavy::Source(net) = hitter.what else { panic!("{hitter:?}") };
    net.addr()
}

#[test]
fn a_sample_takes_one_line_of_memory_at_most() {
    assert_eq!((size_of::<Sample>(), size_of::<Option<Sample>>()), (56, 56));
}

#[test]
fn a_sketch_that_expects_many_packets_takes_few_of_them() {
    let mut sketch = Sketch::new(1, Instant::ZERO);
    sketch.look(100, |_| Some(packet(v4(0), TARGET)));
    sketch.expect(100 * SAMPLES as u64);
    sketch.look(SAMPLES, |_| Some(packet(v4(0), TARGET)));
    let sheet = sketch.turn_in(Box::default(), Instant::ZERO);
    assert_eq!(sheet.seen(), SAMPLES as u64, "what came before is forgotten");
    // One in fifty is looked at.
    assert!((SAMPLES / 100..SAMPLES / 25).contains(&sheet.rows().len()), "{}", sheet.rows().len());
}

#[test]
fn a_quiet_round_is_counted_exactly() {
    let mut round = Round::new(1);
    for number in 0..500_u64 {
        let mut one = packet(v4(number % 20), TARGET);
        one.dropped = number.is_multiple_of(2);
        round.come([one]);
    }
    let heavies = round.heavies();
    assert_eq!(heavies.sources.len(), HEAVIES_MAX, "{heavies:?}");
    for hitter in &heavies.sources {
        let dropped =
            if source(hitter).to_string().ends_with('0') { hitter.rate.dropped } else { 0 };
        assert_eq!((hitter.rate.packets, hitter.rate.octets, hitter.samples), (125, 12_500, 25));
        assert!(
            dropped == 0 || dropped == 125,
            "all of the even ones, none of the odd: {hitter:?}"
        );
    }
    let [target] = heavies.destinations[..] else { panic!("{heavies:?}") };
    assert_eq!(target.rate, Rate { packets: 2_500, octets: 250_000, dropped: 1_250 });
    assert_eq!(target.what, Heavy::Destination { address: TARGET.into(), tenant: None });
}

#[test]
fn finds_the_first_of_a_zipf_distribution_with_their_rates() {
    for seed in 0..6 {
        let mut round = Round::new(seed);
        for _ in 0..150_000 {
            // The n-th of 100,000 sources has a share of about 1 / (12 n).
            let exponent =
                f64::from(u32::try_from(round.below(1 << 24)).unwrap()) / f64::from(1 << 24);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank")]
            let rank = 100_000_f64.powf(exponent) as u64;
            round.come([packet(v4(rank % 60_000), TARGET)]);
        }
        let exact = round.exact(|packet| packet.source);
        let mut ranking: Vec<_> = exact.iter().collect();
        ranking.sort_by_key(|(_, rate)| std::cmp::Reverse(**rate));
        let heavies = round.heavies();
        for (address, _) in &ranking[..10] {
            let address = IpAddr::from(**address);
            assert!(
                heavies.sources.iter().any(|hitter| source(hitter) == address),
                "{seed} {address}"
            );
        }
        for hitter in &heavies.sources {
            assert_near(hitter, exact[&source(hitter).into()], 4.0, &format!("seed {seed}"));
        }
    }
}

#[test]
fn says_of_nobody_among_many_alike_that_he_is_heavy() {
    for seed in 0..3 {
        let mut round = Round::new(seed);
        for _ in 0..200_000 {
            let one = packet(v4(round.below(60_000)), TARGET);
            round.come([one]);
        }
        let heavies = round.heavies();
        assert!(heavies.sources.is_empty(), "seed {seed}: {heavies:?}");
    }
}

#[test]
fn invented_addresses_push_no_true_hitter_out() {
    for seed in 0..6 {
        let mut round = Round::new(seed);
        let hitter: Ipv6Addr = "2001:db8:1::7".parse().unwrap();
        // All of IPv6 at random, in every second round in waves, before and after the one with a share of a 64th.
        for number in 0..400_000_u64 {
            let invented =
                u128::from(round.below(u64::MAX)) << 64 | u128::from(round.below(u64::MAX));
            let is_hit =
                number % 64 == 5 && (seed % 2 == 0 || (100_000..300_000).contains(&number));
            let from = if is_hit { hitter } else { Ipv6Addr::from(invented >> 3 | 1 << 125) };
            round.come([packet(from, TARGET)]);
        }
        let exact = round.exact(|packet| packet.source)[&hitter.into()];
        let heavies = round.heavies();
        let [found] = heavies.sources[..] else { panic!("seed {seed}: {heavies:?}") };
        assert_eq!(found.what, Heavy::Source(IpAddr::from(hitter).into()), "seed {seed}");
        assert_near(&found, exact, 4.0, &format!("seed {seed}"));
    }
}

#[test]
fn a_network_that_changes_its_addresses_is_found_as_a_whole_and_no_member_counts_twice() {
    let mut round = Round::new(5);
    for number in 0..100_000_u64 {
        let (host, spread) = (round.below(1 << 62), round.below(1 << 16));
        let from: Ipv6Addr = match number % 4 {
            0 => (0x2001_0db8_0001_0002_u128 << 64 | u128::from(host)).into(),
            1 => (0x2001_0db8_0003_u128 << 80 | u128::from(spread) << 64 | u128::from(host)).into(),
            2 => (0x2001_0db8_0003_0000_u128 << 64 | 9).into(),
            _ => u128::from(host).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834).into(),
        };
        round.come([packet(from, TARGET)]);
    }
    let heavies = round.heavies();
    let mut nets: Vec<String> = heavies
        .sources
        .iter()
        .map(|hitter| {
            assert_near(hitter, 125_000, 4.0, "a quarter");
            let Heavy::Source(net) = hitter.what else { panic!("{hitter:?}") };
            net.to_string()
        })
        .collect();
    nets.sort();
    assert_eq!(nets, ["2001:db8:1:2::/64", "2001:db8:3::/48", "2001:db8:3::9/128"]);
}

#[test]
fn an_address_of_one_family_is_never_in_a_network_of_the_other() {
    let mut round = Round::new(5);
    // The first 48 bits are those of the IPv4 network, shifted.
    let alike: Ipv6Addr = "ff:ff0a:0b0c::1".parse().unwrap();
    round.come((0..10).flat_map(|host| {
        [
            packet(Ipv4Addr::new(10, 11, 12, host), TARGET),
            packet(Ipv6Addr::from(alike.to_bits() + u128::from(host)), TARGET),
        ]
    }));
    let heavies = round.heavies();
    let nets: Vec<_> = heavies.sources.iter().map(|hitter| (hitter.what, hitter.samples)).collect();
    let of = |net: &str| (Heavy::Source(net.parse().unwrap()), 10);
    assert_eq!(nets, [of("ff:ff0a:b0c::/64"), of("10.11.12.0/24")]);
}

#[test]
fn bursts_shorter_than_a_round_count_by_what_they_bring() {
    for seed in 0..10 {
        let mut round = Round::new(seed);
        for _ in 0..5 {
            // Ten times as many as rows, then silence: the chance of a packet does not depend on when it comes.
            for _ in 0..50 {
                round.come((0..1_000).map(|_| packet(Ipv4Addr::new(10, 0, 0, 1), TARGET)));
                round.come((0..600).map(|_| packet(Ipv4Addr::new(10, 0, 0, 2), TARGET)));
            }
            let exact = round.exact(|packet| packet.source);
            for hitter in &round.heavies().sources {
                assert_near(hitter, exact[&source(hitter).into()], 4.0, &format!("seed {seed}"));
            }
        }
    }
}

#[test]
fn what_one_worker_sees_weighs_as_much_as_what_another_sees() {
    let (mut busy, mut calm) = (Round::new(1), Round::new(2));
    busy.come((0..400_000).map(|n| packet(v4(n % 4), TARGET)));
    calm.come((0..2_000).map(|n| packet(v4(n % 4 + 2), TARGET)));
    let mut tally = Tally::new(1);
    tally.add(&calm.turn_in());
    tally.add(&busy.turn_in());
    let heavies = tally.finish();
    let exact: HashMap<IpAddr, u64> =
        [(0, 500_000), (1, 500_000), (2, 502_500), (3, 502_500), (4, 2_500), (5, 2_500)]
            .map(|(number, rate)| (v4(number).into(), rate))
            .into();
    assert_eq!(heavies.sources.len(), 6, "{heavies:?}");
    for hitter in &heavies.sources {
        assert_near(hitter, exact[&source(hitter)], 4.0, "of six");
    }
    assert!(tally.finish().iter().next().is_none(), "a round leaves nothing to the next");
}

#[test]
fn many_workers_weigh_what_few_do() {
    let mut tally = Tally::new(16);
    for seed in 0..16 {
        let mut round = Round::new(seed);
        // Not in step with the rows that are taken.
        round.come((0..50_000).map(|n| packet(v4(n % 7), TARGET)));
        tally.add(&round.turn_in());
    }
    let heavies = tally.finish();
    assert_eq!(heavies.sources.len(), 7, "{heavies:?}");
    for hitter in &heavies.sources {
        assert_near(hitter, 16 * 50_000 * 5 / 7, 4.0, "of seven");
    }
    let [target] = heavies.destinations[..] else { panic!("{heavies:?}") };
    assert!(target.rate.packets.abs_diff(16 * 250_000) < 100, "{target:?}");
    assert!(target.samples as usize <= crate::limits::TALLY_ROWS_MAX, "{target:?}");
}

#[test]
fn counts_packets_that_do_not_concern_the_filter_for_nobody() {
    let mut round = Round::new(1);
    let one = packet(v4(1), TARGET);
    for burst in 0..2_000_usize {
        round.sketch.look(64, |index| Some(one).filter(|_| (index + burst).is_multiple_of(4)));
    }
    let heavies = round.heavies();
    let [hitter] = heavies.sources[..] else { panic!("{heavies:?}") };
    assert_near(&hitter, 160_000, 4.0, "a quarter of 640,000");
}

#[test]
fn four_billion_packets_a_second_and_a_clock_that_stands_still_fit() {
    let mut sheet = Round::new(1).turn_in();
    for place in 0..SAMPLES {
        sheet.write(Place::Instead(place), Some(Sample { len: u16::MAX, ..packet(v4(1), TARGET) }));
    }
    (sheet.seen, sheet.elapsed) = (800_000_000, SKETCH_INTERVAL);
    let mut tally = Tally::new(1);
    tally.add(&sheet);
    let hitter = tally.finish().sources[0];
    assert_eq!(hitter.rate.packets, 4_000_000_000);
    assert_eq!(hitter.rate.octets, 4_000_000_000 * 65_535);
    for (seen, elapsed) in [(u64::MAX, Duration::ZERO), (1, Duration::MAX), (0, Duration::ZERO)] {
        (sheet.seen, sheet.elapsed) = (seen, elapsed);
        tally.add(&sheet);
        tally.finish();
    }
}

#[test]
fn a_jump_of_the_clock_spoils_one_round_only() {
    let mut round = Round::new(1);
    round.now = Instant(u64::MAX - 1_000_000_000);
    round.come((0..1_000).map(|_| packet(v4(1), TARGET)));
    assert!(round.heavies().sources[0].rate.packets < 5_000);
    round.come((0..1_000).map(|_| packet(v4(1), TARGET)));
    assert_eq!(round.heavies().sources[0].rate.packets, 5_000);
}

#[test]
fn reads_ports_and_flags_where_a_packet_shows_them() {
    let upper = [0x12, 0x34, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0, 0];
    let ip = |protocol, fragment| Ip { protocol, fragment, len: 40, ..Ip::NONE };
    let sample = |protocol, fragment, upper: &[u8]| {
        let sample = Sample::new(v4(1).into(), &ip(protocol, fragment), upper);
        (sample.ports, sample.tcp_flags)
    };
    assert_eq!(sample(6, false, &upper), (Some((0x1234, 443)), Some(2)));
    assert_eq!(
        sample(6, false, &upper[..8]),
        (Some((0x1234, 443)), None),
        "an end that is cut off"
    );
    assert_eq!(sample(17, false, &upper), (Some((0x1234, 443)), None));
    assert_eq!(sample(6, true, &upper), (None, None), "a fragment");
    assert_eq!(sample(1, false, &upper), (None, None), "no ports in it");
    assert_eq!(sample(6, false, &[]), (None, None));
}
