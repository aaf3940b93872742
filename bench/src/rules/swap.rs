//! What it takes to have new rules: from their text to what packets are looked up in.

use std::hint::black_box;

use dpdk::clock::cycles;
use firewall::classifier::Classifier;

use super::rulesets::{Five, Kind};
use super::tenants::NO_SETS;
use crate::Failure;

/// Cycles of each time that a ruleset was read and built.
#[derive(Debug)]
pub(super) struct Swap {
    pub(super) kind: Kind,
    pub(super) rules: u32,
    /// Octets of the text.
    pub(super) text: usize,
    pub(super) parse: Vec<f64>,
    pub(super) build: Vec<f64>,
    pub(super) refused: Option<String>,
}

/// So many times.
pub(super) fn measure(kind: Kind, rules: u32, times: usize) -> Result<Swap, Failure> {
    let all: Vec<Five> = (0..rules).map(|place| kind.rule(0, (place, rules))).collect();
    let meant = kind.ruleset(&all);
    let text = meant.to_string();
    let (parse, build) = (Vec::new(), Vec::new());
    let mut swap = Swap { kind, rules, text: text.len(), parse, build, refused: None };
    for _ in 0..times {
        let (taken, read) = timed(|| firewall::parse(black_box(&text)));
        let ruleset = read.map_err(|wrong| format!("rules of the bench's own: {wrong}"))?;
        if ruleset != meant {
            return Err(format!("{}: the text does not say what was written", kind.name()).into());
        }
        swap.parse.push(taken);
        let (taken, found) = timed(|| Classifier::build(&ruleset, &NO_SETS));
        swap.build.push(taken);
        if let Err(refused) = found {
            swap.refused = Some(refused.to_string());
            break;
        }
    }
    Ok(swap)
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = cycles();
    let done = work();
    ((cycles() - start) as f64, done)
}
