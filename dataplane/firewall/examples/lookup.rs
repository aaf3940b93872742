//! Times the classifier: nanoseconds for each packet (10th percentile of blocks), milliseconds to build, octets.
//!
//! usage: cargo run --release -p firewall --example lookup [typical|overlapping|many]

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
use std::time::Instant;

use firewall::classifier::{Asked, Classifier, Sets};
use firewall::facts::{Facts, Family};
use firewall::rules::{Condition, Field, Rule, Ruleset, Values, Verdict};

const BLOCK: usize = 2048;
const BLOCKS: usize = 400;

/// Numbers at random, the same for the same seed (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }
}

fn main() {
    let wanted = std::env::args().nth(1);
    let asked = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    for (name, rules) in [("typical", typical as Maker), ("overlapping", overlapping)] {
        for count in [10, 100, 1000, 10_000, 16_384].into_iter().filter(|_| asked(name)) {
            one_tenant(name, rules, count);
        }
    }
    for (tenants, count) in [(10_000, 10), (10_000, 100), (2_000, 1000)] {
        if asked("many") {
            many_tenants(tenants, count);
        }
    }
}

type Maker = fn(&mut Random, usize) -> Ruleset;

fn rule(conditions: Vec<Condition>) -> Rule {
    let verdict = Some(Verdict::Accept);
    Rule { conditions, limit: None, counter: false, verdict, comment: None }
}

fn within(field: Field, first: u64, end: u64) -> Condition {
    let values = Values::Ranges([(first.into(), end.into())].into());
    Condition { field, negated: false, values }
}

fn prefix(random: &mut Random, field: Field, base: u64, free: u32, longest: u64) -> Condition {
    let len = 32 - random.below(longest);
    let size = 1 << (32 - len);
    let first = base + random.below(1 << free) / size * size;
    within(field, first, first + size - 1)
}

/// Services: a prefix of the tenant's /14, a protocol, a range of ports; a fifth for certain sources alone.
fn typical(random: &mut Random, count: usize) -> Ruleset {
    let one = |_| {
        let mut conditions = vec![prefix(random, Field::IpDaddr, 0xcb00_0000, 18, 9)];
        if random.below(5) == 0 {
            conditions.push(prefix(random, Field::IpSaddr, 0, 32, 17));
        }
        let first = random.below(65_000);
        let field = if random.below(3) == 0 { Field::UdpDport } else { Field::TcpDport };
        let length = if random.below(2) == 0 { 0 } else { random.below(500) };
        conditions.push(within(field, first, first + length));
        rule(conditions)
    };
    Ruleset { policy: Verdict::Drop, rules: (0..count).map(one).collect() }
}

/// The worst that rules can do: each has ranges in four fields that overlap those of all others and accept most packets
/// but in one, so that every rule is met by three fields and none by all.
fn overlapping(random: &mut Random, count: usize) -> Ruleset {
    let one = |index: usize| {
        let mut range = |field, bits: u32, number: usize| {
            let (quarter, whole) = (1_u64 << (bits - 2), 1_u64 << bits);
            let (first, end) = (random.below(quarter), whole - 1 - random.below(quarter));
            if index % 4 == number {
                let first = first + 3 * quarter;
                within(field, first, (first + end / 8).min(whole - 1))
            } else {
                within(field, first, end)
            }
        };
        let conditions = vec![
            range(Field::IpSaddr, 32, 0),
            range(Field::IpDaddr, 32, 1),
            range(Field::ThSport, 16, 2),
            range(Field::ThDport, 16, 3),
        ];
        rule(conditions)
    };
    Ruleset { policy: Verdict::Drop, rules: (0..count).map(one).collect() }
}

fn build(ruleset: &Ruleset) -> Classifier {
    let sets = Sets { count: 0, lists: &|_| &[], number: &|_| None };
    Classifier::build(ruleset, &sets).unwrap()
}

fn value(random: &mut Random, conditions: &[Condition], fields: &[Field], whole: u64) -> u64 {
    let held = conditions.iter().find(|condition| fields.contains(&condition.field));
    match held.map(|condition| &condition.values) {
        Some(Values::Ranges(ranges)) => {
            let (first, end) = ranges[0];
            first as u64 + random.below((end - first + 1) as u64)
        }
        _ => random.below(whole),
    }
}

/// Packets that no rule accepts, or only one of the last tenth: each with the addresses of one rule and ports of another.
fn worst_packets(random: &mut Random, ruleset: &Ruleset, classifier: &Classifier) -> Vec<Facts> {
    let last = ruleset.rules.len() as u32 * 9 / 10;
    let mut packets = Vec::new();
    while packets.len() < BLOCK {
        let count = ruleset.rules.len() as u64;
        let mut one = || &*ruleset.rules[random.below(count) as usize].conditions;
        let (a, b, c) = (one(), one(), one());
        let facts = Facts {
            family: Family::V4,
            source: value(random, b, &[Field::IpSaddr], 1 << 32).into(),
            destination: value(random, a, &[Field::IpDaddr], 1 << 32).into(),
            protocol: if random.below(3) == 0 { 17 } else { 6 },
            source_port: value(random, b, &[Field::ThSport], 1 << 16) as u16,
            destination_port: value(
                random,
                c,
                &[Field::TcpDport, Field::UdpDport, Field::ThDport],
                1 << 16,
            ) as u16,
            tcp_flags: 2,
            icmp: 0,
            length: 60,
            dscp: 0,
        };
        if classifier.first(&facts, (0, 0), 0).is_none_or(|rule| rule >= last) {
            packets.push(facts);
        }
    }
    packets
}

/// The 10th percentile of what blocks take, for each packet.
fn time(mut block: impl FnMut() -> u32) -> f64 {
    let mut times: Vec<f64> = (0..BLOCKS)
        .map(|_| {
            let start = Instant::now();
            black_box(block());
            start.elapsed().as_nanos() as f64 / BLOCK as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[BLOCKS / 10]
}

/// Bursts of 64, as the dataplane's largest.
fn in_bursts(packets: &[Asked<'_>]) -> u32 {
    let mut sum = 0;
    let mut found = [None; 64];
    for burst in packets.chunks(64) {
        Classifier::first_burst(burst, &mut found);
        sum += found.iter().map(|found| found.unwrap_or(1)).sum::<u32>();
    }
    sum
}

fn one_tenant(name: &str, rules: Maker, count: usize) {
    let mut random = Random(count as u64 + 1);
    let ruleset = rules(&mut random, count);
    let mut builds: Vec<f64> = (0..11)
        .map(|_| {
            let start = Instant::now();
            black_box(build(&ruleset));
            start.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    builds.sort_by(f64::total_cmp);
    let classifier = build(&ruleset);
    let packets = worst_packets(&mut random, &ruleset, &classifier);
    let alone =
        time(|| packets.iter().map(|facts| classifier.first(facts, (0, 0), 0).unwrap_or(1)).sum());
    let asked: Vec<_> = packets
        .iter()
        .map(|facts| Asked { classifier: &classifier, facts, classes: (0, 0) })
        .collect();
    let together = time(|| in_bursts(&asked));
    println!(
        "{name:11} {count:6} rules: {alone:6.1} ns, in bursts {together:6.1} ns, built in {:7.2} ms, {:8} octets",
        builds[1],
        classifier.octets(),
    );
}

/// Every packet is for a tenant that was not asked for long.
fn many_tenants(tenants: usize, count: usize) {
    let mut random = Random(tenants as u64);
    let start = Instant::now();
    let mut pairs = Vec::new();
    for _ in 0..tenants {
        let ruleset = typical(&mut random, count);
        let classifier = build(&ruleset);
        let packet = worst_packets(&mut random, &ruleset, &classifier)[0];
        pairs.push((Box::new(classifier), packet));
    }
    let built = start.elapsed().as_secs_f64() * 1000.0 / tenants as f64;
    let octets: usize = pairs.iter().map(|pair| pair.0.octets()).sum();
    let mut next = 0;
    let alone = time(|| {
        let mut sum = 0;
        for _ in 0..BLOCK {
            next = (next + 7919) % tenants;
            let (classifier, facts) = &pairs[next];
            sum += classifier.first(facts, (0, 0), 0).unwrap_or(1);
        }
        sum
    });
    let asked: Vec<_> = (0..tenants * 16)
        .map(|index| {
            let (classifier, facts) = &pairs[index * 7919 % tenants];
            Asked { classifier, facts, classes: (0, 0) }
        })
        .collect();
    let mut blocks = asked.chunks_exact(BLOCK).cycle();
    let together = time(|| in_bursts(blocks.next().unwrap_or_default()));
    println!(
        "{tenants} tenants of {count} rules: {alone:6.1} ns, in bursts {together:6.1} ns, made in {built:.2} ms, {} octets each",
        octets / tenants
    );
}
