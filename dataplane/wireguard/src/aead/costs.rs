//! What the ways to do packets cost, in cycles as measured, and which is the cheapest.
#![expect(
    clippy::inline_always,
    reason = "only where it is inlined into code with vector features is it as fast as that"
)]

use super::Job;
use super::schedule::BLOCK_LEN;

// Passes and chunks were measured on Zen 4. Zen 5 has wider units and longer latencies: there all of them
// take about seven eighths of what stands here, and the choices made by it are the right ones or cost
// less than a tenth, as batches of two to eight of the sizes in the bench, done both ways, showed.

/// Batches from this length on are always done side by side.
const SIDE_BY_SIDE: usize = 8;
/// Cycles that a chunk costs besides its blocks and tags, as measured with three to six packets.
const CHUNK_COST: usize = 820;

/// Cycles of a pass of so many blocks.
const fn pass_cost(blocks: usize) -> usize {
    match blocks {
        0 => 0,
        1..=4 => 370,
        5..=8 => 450,
        9..=12 => 650,
        13..=16 => 690,
        17..=20 => 800,
        21..=24 => 940,
        _ => blocks.div_ceil(32) * 1200,
    }
}

/// Cycles that a packet costs alone besides the passes for its text, and less than three for each 16 octets,
/// as authentication overlaps with the key stream. Measured on Zen 5, and brought to the scale of the others.
const LONE_COST: usize = 350;

/// Cycles of a packet of this length that is done alone.
const fn lone_cost(len: usize) -> usize {
    let passes = match len.div_ceil(BLOCK_LEN) {
        9..=10 => 590,
        17..=18 => 740,
        blocks => blocks / 24 * pass_cost(24) + pass_cost(blocks % 24),
    };
    LONE_COST + passes + len.div_ceil(16) * 5 / 2
}

/// Whether jobs are done faster one after the other than side by side.
#[inline(always)]
pub(super) fn one_by_one(jobs: &[Job<'_>], costs: &Costs) -> bool {
    if jobs.len() < 3 || jobs.len() >= SIDE_BY_SIDE {
        return jobs.len() < 3;
    }
    let (mut alone, mut blocks, mut tags, mut longest) = (0, 0, 0, 0);
    for job in jobs {
        alone += lone_cost(job.len);
        tags += costs.alone(job.len);
        blocks += 1 + job.len.div_ceil(BLOCK_LEN);
        longest = longest.max(job.len);
    }
    let together = CHUNK_COST
        + blocks / 32 * pass_cost(32)
        + pass_cost(blocks % 32)
        + tags.min(price(costs.single, longest));
    alone < together
}

/// What authentication costs, in cycles: a part for each call and one for each 16 octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    /// One packet, block by block.
    pub(super) narrow: (usize, usize),
    /// One packet, its blocks in lanes.
    pub(super) wide: (usize, usize),
    /// As many packets as one register has lanes.
    pub(super) single: (usize, usize),
    /// Twice as many.
    pub(super) double: (usize, usize),
    /// How many packets one register holds.
    pub(super) lanes: usize,
}

#[inline(always)]
const fn price((call, step): (usize, usize), len: usize) -> usize {
    call + step * (len.div_ceil(16) + 1)
}

impl Costs {
    /// Whether one packet is authenticated faster with its blocks in lanes than block by block.
    #[inline(always)]
    pub(super) const fn prefers_wide(&self, len: usize) -> bool {
        price(self.wide, len) < price(self.narrow, len)
    }

    #[inline(always)]
    fn alone(&self, len: usize) -> usize {
        price(self.wide, len).min(price(self.narrow, len))
    }

    /// What up to twice as many packets cost as one register has lanes.
    #[inline(always)]
    pub(super) const fn side_by_side(&self, count: usize, longest: usize) -> usize {
        price(if count > self.lanes { self.double } else { self.single }, longest)
    }

    /// How many of the longest packets of a chunk are better authenticated one by one; the others
    /// fill lanes in their order.
    #[inline(always)]
    pub(super) fn alone_count(&self, lens: &[usize]) -> usize {
        let pair = 2 * self.lanes;
        let (first, last) = (lens.first(), lens.last());
        if lens.len().is_multiple_of(pair) && first == last {
            return 0;
        }
        let (mut best, mut lowest) = (0, usize::MAX);
        let mut alone = 0;
        for count in 0..=lens.len() {
            let rest = lens.get(count..).unwrap_or_default();
            let mut cost = alone;
            for group in rest.chunks(pair) {
                let longest = group.first().copied().unwrap_or_default();
                cost += self.side_by_side(group.len(), longest);
            }
            if cost < lowest {
                (best, lowest) = (count, cost);
            }
            alone += rest.first().map_or(0, |len| self.alone(*len));
            if alone >= lowest {
                break;
            }
        }
        best
    }
}
