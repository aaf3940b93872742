//! How quick a worker is with full bursts of a way: around that a search looks for its rates, and by it long turns are told.

use std::time::Duration;

use dataplane::limits::BURST_LEN_MAX;
use dataplane::port::Batch;
use dpdk::clock::Clock;
use pktgen::measure::Trailer;
use pktgen::size::Sizes;
use wireguard::time::Instant;

use super::lane::Lane;
use super::way::Way;
use crate::Failure;
use crate::sample::p10;

/// What one way does with full bursts: by this trials are bounded and clipped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Cycles of a turn with a full burst, when nobody disturbs it.
    pub(crate) full: f64,
    /// Packets per second of full bursts.
    pub(crate) rate: f64,
}

/// How far around it a search looks.
const BELOW: f64 = 0.01;
const ABOVE: f64 = 2.0;

impl Pace {
    /// What so many packets per second make.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
    pub(crate) fn of_rate(rate: f64, clock: &Clock) -> Self {
        Self { full: BURST as f64 * clock.hz() as f64 / rate, rate }
    }

    /// The loads among which the rates of its way are searched for.
    pub(crate) const fn range(self) -> (f64, f64) {
        (self.rate * BELOW, self.rate * ABOVE)
    }
}

/// Turns that the pace is taken from.
const PACED: u64 = 200;
pub(super) const BURST: u64 = BURST_LEN_MAX as u64;

/// Finds the pace of a way.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
pub(crate) fn pace(lane: &mut Lane, offer: (Way, &Sizes), clock: &Clock) -> Result<Pace, Failure> {
    let (way, sizes) = offer;
    let mut turns = Vec::new();
    for turn in 0..PACED {
        let mut packets = Batch::new();
        for number in turn * BURST..(turn + 1) * BURST {
            let mut packet = lane.pool.allocate().ok_or("the pool is empty")?;
            let trailer = Trailer { stream: 0, sequence: number, planned: Instant(0) };
            lane.make(way, &mut packet, sizes.of(number), trailer)?;
            packets.push(packet);
        }
        lane.server.end(way.ends().0).transmit(&mut packets);
        let now = lane.server.now() + Duration::from_micros(50);
        turns.push(lane.server.turn_at(now) as f64);
        let came = lane.clear();
        if came != BURST {
            let totals = lane.server.totals();
            return Err(format!("{}: {came} of {BURST} came through\n{totals}", way.name()).into());
        }
    }
    let full = p10(&turns);
    Ok(Pace { full, rate: BURST as f64 * clock.hz() as f64 / full })
}
