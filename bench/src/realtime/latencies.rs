//! Latency in real time at several loads: from the moment that was planned for a frame, and beside it from the one at which the
//! generator really sent it, which hides whatever made it late.

use pktgen::measure::Latency;
use serde::Serialize;

use super::trial::Pair;
use crate::Failure;
use crate::latency::{LOADS, points};
use crate::load::Size;
use crate::load::way::Way;

/// One load of one way.
#[derive(Debug, Serialize)]
pub(crate) struct Latencies {
    pub(crate) way: Way,
    pub(crate) size: Size,
    pub(crate) load: &'static str,
    /// Packets per second.
    pub(crate) rate: f64,
    pub(crate) packets: u64,
    pub(crate) lost: u64,
    /// Trials that were disturbed and are not in it.
    pub(crate) voided: u64,
    /// Shares of the packets, and nanoseconds that they did not exceed.
    pub(crate) corrected: Vec<(f64, u64)>,
    pub(crate) uncorrected: Vec<(f64, u64)>,
    pub(crate) max_ns: u64,
}

/// All loads of a way, each for so many seconds in trials of `trial` seconds, of which so many may be disturbed.
pub(crate) fn measure(
    pair: &mut Pair<'_>,
    (way, size): (Way, &Size),
    pdr: f64,
    (seconds, trial, tries): (f64, f64, u32),
) -> Result<Vec<Latencies>, Failure> {
    let mut all = Vec::new();
    for (load, part) in LOADS {
        let rate = pdr * part;
        let (mut corrected, mut uncorrected) = (Latency::new(), Latency::new());
        let (mut lasted, mut lost, mut voided) = (0.0, 0, 0);
        while lasted < seconds && voided < tries {
            let done = pair.trial((way, size), (rate, trial, true))?;
            if done.is_void() {
                voided += 1;
                continue;
            }
            lasted += done.tally.seconds;
            lost += done.tally.offered - done.tally.delivered;
            corrected.add(&done.corrected);
            uncorrected.add(&done.uncorrected);
        }
        all.push(Latencies {
            way,
            size: size.clone(),
            load,
            rate,
            packets: corrected.count(),
            lost,
            voided: voided.into(),
            corrected: points(&corrected),
            uncorrected: points(&uncorrected),
            max_ns: corrected.quantile_ns(1.0),
        });
    }
    Ok(all)
}
