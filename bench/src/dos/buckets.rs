//! Buckets by source under a flood: as many sources as there are entries, each of which holds one for minutes.

use std::net::Ipv4Addr;

use dataplane::packet::Address;
use dataplane::stages::dos::buckets::{Buckets, Place, Scope, Verdict};
use dataplane::stages::dos::rate::Rate;
use dpdk::clock::cycles;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wireguard::time::Instant;

use super::{BLOCK, BURST, Plan, WARM_UP};
use crate::Failure;
use crate::sample::per_packet;

/// Everything in cycles and octets.
#[derive(Debug)]
pub(super) struct Flood {
    pub(super) bits: u32,
    pub(super) octets: usize,
    /// To allocate and touch the table.
    pub(super) made: f64,
    /// Random sources; and one source beside them that sends again and again.
    pub(super) random: Vec<f64>,
    pub(super) hot: Vec<f64>,
    /// What was said to random sources: within their rate, above it, no entry free.
    pub(super) within: u64,
    pub(super) over: u64,
    pub(super) full: u64,
}

/// Octets per second and at once: a packet of 64 octets holds an entry for 6.4 s, and a source has 64 of them.
const PER_SECOND: u64 = 10;
const AT_ONCE: u64 = 4_096;
const LEN: u32 = 64;

/// Time between two packets, a flood of 50 million a second.
const GAP: u64 = 20;

/// The table, what it is asked with, and what it said.
struct Rig {
    buckets: Buckets,
    scope: Scope,
    rate: Rate,
    now: u64,
    counts: [u64; 3],
}

pub(super) fn measure(bits: u32, plan: &Plan) -> Result<Flood, Failure> {
    let start = cycles();
    let buckets = Buckets::new(1 << bits, 0x5eed);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
    let made = (cycles() - start) as f64;
    let octets = buckets.octets();
    let rate = Rate::octets(PER_SECOND, AT_ONCE)?;
    let scope = Scope::new(32, 64);
    let mut rig = Rig { buckets, scope, rate, now: 1_000_000_000, counts: [0; 3] };
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut sources = vec![Address::UNSPECIFIED; BLOCK];
    // Every source once, so that all entries are in use from the first block on.
    for first in (0..1_u32 << bits).step_by(BLOCK) {
        sources.iter_mut().zip(first..).for_each(|(place, number)| *place = source(number));
        rig.block(&sources);
    }
    rig.counts = [0; 3];
    let mut flood = Flood {
        bits,
        octets,
        made,
        random: Vec::new(),
        hot: Vec::new(),
        within: 0,
        over: 0,
        full: 0,
    };
    for block in 0..WARM_UP + plan.blocks {
        sources.fill_with(|| source(random.next_u32() >> (32 - bits)));
        let taken = rig.block(&sources);
        let [within, over, full] = std::mem::take(&mut rig.counts);
        sources.fill(source(77));
        let hot = rig.block(&sources);
        rig.counts = [0; 3];
        if block >= WARM_UP {
            flood.random.push(taken);
            flood.hot.push(hot);
            (flood.within, flood.over) = (flood.within + within, flood.over + over);
            flood.full += full;
        }
    }
    Ok(flood)
}

fn source(number: u32) -> Address {
    Ipv4Addr::from_bits(0x1000_0000 + number).into()
}

impl Rig {
    /// Cycles per packet of a block, burst after burst as the stage takes them.
    fn block(&mut self, sources: &[Address]) -> f64 {
        let mut places = [Place::default(); BURST];
        let start = cycles();
        for some in sources.chunks_exact(BURST) {
            for (place, source) in places.iter_mut().zip(some) {
                *place = self.buckets.place(self.scope.around(*source), 1);
                self.buckets.ahead(*place);
            }
            self.now += GAP * BURST as u64;
            for place in places {
                let verdict = self.buckets.take(place, &self.rate, LEN, Instant(self.now));
                let [within, over, full] = &mut self.counts;
                match verdict {
                    Verdict::Within => *within += 1,
                    Verdict::Over => *over += 1,
                    Verdict::Full => *full += 1,
                }
            }
        }
        per_packet(cycles() - start, sources.len() as u64)
    }
}
