//! Times the Argo table at the size of the Internet: `cargo run --release -p control --example argo -- [PREFIXES] [ROUNDS]`.
//!
//! Prefixes with eight exits each, a part of them within others, a part of them known by themselves, the rest by those
//! around them or not at all. A round looks at all; the best, the middle and the worst of some are told, and what other
//! steps take.
#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use control::argo::rows::{EXITS_MAX, Group, Seed};
use control::argo::testing::Random;
use control::argo::{Centre, Subject, Table};
use ipnet::{IpNet, Ipv4Net};
use shm::message::Dial;

/// Exits of each prefix: straight out, and these centres.
const EXITS: [u16; EXITS_MAX] = [0, 2, 3, 4, 5, 6, 7, 8];

/// All data centres; others may be relays.
const CENTRES: u16 = 330;

/// The second at which all begins.
const BEGIN: u32 = 1_000_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let prefixes = arguments.next().transpose()?.unwrap_or(1_150_000);
    let rounds = arguments.next().transpose()?.unwrap_or(20);
    let seeds = seeds(prefixes)?;
    let mut table = Table::new(BEGIN, 10);
    let subject = || Subject {
        here: 1,
        centres: (1..=CENTRES).map(|number| Centre { number, headroom: None, relay: 0 }).collect(),
        groups: vec![Group::new(5, EXITS.into())],
        seeds: seeds.clone(),
    };
    let first = subject();
    timed("follow a new table", || table.follow(first));
    let mut random = Random::new(1);
    timed("probes and paths of all centres", || probe(&mut table, &mut random, BEGIN));
    let dials = u32::try_from(prefixes)?.saturating_mul(4);
    let took = timed("dials", || dial(&mut table, &seeds, &mut random, dials));
    println!("{dials} dials, {} ns each", took.as_nanos() / u128::from(dials.max(1)));
    let mut now = BEGIN + 400;
    let mut times = Vec::new();
    let mut moved = 0;
    for _ in 0..rounds {
        probe(&mut table, &mut random, now);
        let began = (Instant::now(), busy());
        moved += table.round(now).led.len();
        times.push((began.0.elapsed(), busy().saturating_sub(began.1)));
        now += 10;
    }
    tell("a round", &times);
    println!("{moved} prefixes were moved in {rounds} rounds");
    let mut times = Vec::new();
    for centre in EXITS.iter().skip(1).take(3) {
        (0..3).for_each(|_| table.probe(*centre, None, now));
        for from in 2..=CENTRES {
            table.tell(from, shm::message::Path { to: *centre, rtt: None, lost: 100 }, now);
        }
        let began = (Instant::now(), busy());
        let left = table.leave_failed(now).led.len();
        times.push((began.0.elapsed(), busy().saturating_sub(began.1)));
        println!("{left} prefixes left centre {centre}");
    }
    tell("leaving a centre that fails", &times);
    timed("let all count half", || table.age());
    let again = subject();
    timed("follow the same table again", || table.follow(again));
    Ok(())
}

/// Prefixes such as the Internet has: /24 mostly, about half of them within a wider one that is there too.
fn seeds(count: usize) -> Result<Vec<Seed>, Failure> {
    let mut random = Random::new(7);
    let mut seeds = Vec::with_capacity(count * 2);
    while seeds.len() < count * 11 / 10 {
        let address = u32::try_from(random.below(0xdf00_0000))? | 0x0100_0000;
        let len = u8::try_from(16 + random.below(9))?;
        let wide = IpNet::from(Ipv4Net::new(Ipv4Addr::from(address), len)?.trunc());
        seeds.push(Seed { prefix: wide, group: 0, choice: 0 });
        for _ in 0..random.below(3) {
            let within = address & !0xff | u32::try_from(random.below(1 << (32 - len)))?;
            let narrow = IpNet::from(Ipv4Net::new(Ipv4Addr::from(within), 24)?.trunc());
            seeds.push(Seed { prefix: narrow, group: 0, choice: 0 });
        }
    }
    seeds.sort_unstable_by_key(|seed| seed.prefix);
    seeds.dedup_by_key(|seed| seed.prefix);
    seeds.truncate(count);
    println!("{} prefixes, {} exits each, {CENTRES} centres", seeds.len(), EXITS.len());
    Ok(seeds)
}

fn probe(table: &mut Table, random: &mut Random, now: u32) {
    for centre in 2..=CENTRES {
        table.probe(centre, Some(Duration::from_millis(10 + random.below(100))), now);
        for to in 2..=CENTRES {
            let rtt = Some(Duration::from_millis(10 + random.below(200)));
            table.tell(centre, shm::message::Path { to, rtt, lost: 0 }, now);
        }
    }
}

/// Dials to a part of all prefixes.
fn dial(table: &mut Table, seeds: &[Seed], random: &mut Random, count: u32) {
    for _ in 0..count {
        // A square: some prefixes have most of the traffic.
        let part = (random.below(1 << 16) * random.below(1 << 16)) >> 16;
        let at = (usize::try_from(part).unwrap_or(0) * seeds.len()) >> 16;
        let Some(seed) = seeds.get(at + usize::try_from(random.below(16)).unwrap_or(0)) else {
            continue;
        };
        let exit = usize::try_from(random.below(EXITS.len() as u64)).unwrap_or(0);
        let Some(exit) = EXITS.get(exit) else { continue };
        let answer = Ok(Duration::from_millis(100 + random.below(150)));
        table.dial(&Dial { to: seed.prefix.addr(), exit: *exit, relay: 0, answer }, BEGIN);
    }
}

fn timed<T>(what: &str, act: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    let made = act();
    let took = began.elapsed();
    drop(made);
    println!("{what}: {:.1} ms", took.as_secs_f64() * 1000.0);
    took
}

/// How long this thread has been running on a core: what others do on the machine is no part of it (proc(5), schedstat).
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split(' ').next().and_then(|number| number.parse().ok());
    Duration::from_nanos(first.unwrap_or_default())
}

/// Times by the clock, and of the core alone.
fn tell(what: &str, times: &[(Duration, Duration)]) {
    for (name, own) in [("by the clock", false), ("on the core", true)] {
        let mut times: Vec<Duration> =
            times.iter().map(|(clock, core)| if own { *core } else { *clock }).collect();
        times.sort_unstable();
        let at = |place: usize| times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
        let (best, middle, worst) = (at(0), at(times.len() / 2), at(times.len().saturating_sub(1)));
        println!("{what} {name}: best {best:.1} ms, middle {middle:.1} ms, worst {worst:.1} ms");
    }
}
