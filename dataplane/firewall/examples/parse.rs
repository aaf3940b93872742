//! Times reading and printing 10,000 rules of 80 octets: `cargo run --release -p firewall --example parse`. The best of many
//! rounds is told, which other programs on the machine disturb least.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program that measures and tells"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

const RULES: u32 = 10_000;
const ROUNDS: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    for number in 0..RULES {
        let [_, _, third, fourth] = number.to_be_bytes();
        let port = number % 60_000;
        let rule = format!(
            "ip saddr 198.51.{third}.0/24 ip daddr 203.0.113.{fourth} tcp dport {port} counter accept"
        );
        writeln!(text, "{rule:79}")?;
    }
    let ruleset = firewall::parse(&text)?;
    let reading = best(|| drop(black_box(firewall::parse(black_box(&text)))));
    let printing = best(|| drop(black_box(black_box(&ruleset).to_string())));
    // A list as long as a text may be, on one line.
    let list = format!("tcp dport {{ {} }} accept", "80, ".repeat(1 << 20));
    let long = best(|| drop(black_box(firewall::parse(black_box(&list)))));
    println!("{RULES} rules, {} octets: read {reading:.1?}, printed {printing:.1?}", text.len());
    println!("one rule of {} octets: read {long:.1?}", list.len());
    Ok(())
}

fn best(mut work: impl FnMut()) -> Duration {
    let round = |_| {
        let begin = Instant::now();
        work();
        begin.elapsed()
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}
