//! TCP to tenants: what it costs to let sources prove themselves and to follow flows, under floods and beside them.

mod report;
mod segments;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use clap::Args;
use dataplane::frame::{Entry, Frame, Note};
use dataplane::limits::{BURST_LEN_MAX, FIRSTS_MAX, FLOWS_MAX, PROVEN_MAX};
use dataplane::packet::Address;
use dataplane::stages::dos::flows::{self, Flows};
use dataplane::stages::dos::syn::{
    self, Arrival, Cookies, Guard, Places, Proof, Proven, Segment, Verdict,
};
use dataplane::stages::dos::transit::{Policy, Transit};
use dpdk::clock::{Clock, cycles};
use serde::Serialize;
use wireguard::secret::Secret;
use wireguard::time::Instant;

use crate::machine::{Machine, Weather};
use crate::sample::per_packet;
use crate::{Failure, pin};
pub(crate) use report::Report;
use segments::Source;

/// What to measure.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Blocks of each case, 2,048 segments in each.
    #[arg(long, default_value_t = 1_000)]
    blocks: usize,
    /// Flows that are under way where many are.
    #[arg(long, default_value_t = 1 << 20)]
    flows: u32,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Few blocks and flows, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            (plan.blocks, plan.flows) = (plan.blocks.min(20), plan.flows.min(10_000));
        }
        if plan.blocks == 0 || plan.flows == 0 || plan.flows > segments::FLOWS_LIMIT {
            let limit = segments::FLOWS_LIMIT;
            return Err(format!("--blocks takes 1 and more, --flows 1 to {limit}").into());
        }
        Ok(plan)
    }
}

/// What is sent, and what the tenant has chosen against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// Only the TCP header is read and the place found: what all others contain.
    Read,
    /// SYNs of invented IPv4 sources with all options, each answered with a challenge or a cookie.
    Answer4,
    /// The same over IPv6.
    Answer6,
    /// SYNs of invented sources, each dropped.
    FirstDrop,
    /// SYNs of sources that are proven.
    Proven,
    /// Segments of a few flows.
    Hot,
    /// Segments of random flows of many.
    Many,
    /// The same while the guard acts, too.
    ManyGuarded,
    /// Segments of no flow, each dropped.
    Stray,
    /// The same while the guard looks for answers in them.
    StrayGuarded,
}

impl Case {
    const ALL: [Self; 10] = [
        Self::Read,
        Self::Answer4,
        Self::Answer6,
        Self::FirstDrop,
        Self::Proven,
        Self::Hot,
        Self::Many,
        Self::ManyGuarded,
        Self::Stray,
        Self::StrayGuarded,
    ];

    const fn policy(self) -> Policy {
        let (proof, tracked) = match self {
            Self::Read => (Proof::Off, false),
            Self::Answer4 | Self::Answer6 | Self::Proven => (Proof::CookieReset, false),
            Self::FirstDrop => (Proof::FirstDrop, false),
            Self::Hot | Self::Many | Self::Stray => (Proof::Off, true),
            Self::ManyGuarded | Self::StrayGuarded => (Proof::CookieReset, true),
        };
        let flows = flows::Policy { tracked, out_of_state: 0, since: Instant::ZERO };
        Policy { syn: syn::Policy { proof, above: 0 }, flows }
    }

    const fn source(self, plan: &Plan) -> Source {
        match self {
            Self::Answer6 => Source::Syn6,
            Self::Read | Self::Answer4 | Self::FirstDrop => Source::Syn4,
            Self::Proven => Source::Known { flows: FEW, syn: true },
            Self::Hot => Source::Known { flows: FEW, syn: false },
            Self::Many | Self::ManyGuarded => Source::Known { flows: plan.flows, syn: false },
            Self::Stray | Self::StrayGuarded => Source::Stray,
        }
    }
}

/// The few flows.
const FEW: u32 = 2_000;
/// Segments of a block.
const BLOCK: usize = 2_048;
/// Octets of a buffer, and those before the packet.
const BUFFER: usize = 256;
const HEADROOM: usize = 128;

/// The time at which everything is judged: long after tracking began.
const NOW: Instant = Instant(1_000_000_000_000);
const UNIX: Duration = Duration::from_secs(1_700_000_000);

/// Cycles per segment, one figure for each block, and what became of them.
#[derive(Debug)]
struct Rate {
    case: Case,
    blocks: Vec<f64>,
    passed: u64,
    dropped: u64,
    answered: u64,
}

/// Octets of the tables.
#[derive(Debug)]
struct Weights {
    proven: usize,
    firsts: usize,
    flows: usize,
}

/// Measures everything.
pub(crate) fn run(plan: &Plan) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    pin(plan.core)?;
    let before = Weather::observe();
    let rates = Case::ALL.into_iter().map(|case| measure(case, &plan)).collect();
    let weights = Weights {
        proven: Proven::new(PROVEN_MAX).octets(),
        firsts: syn::First::new(FIRSTS_MAX).octets(),
        flows: Flows::new(FLOWS_MAX as usize, 1).octets(),
    };
    let after = Weather::observe();
    Ok(Report::new(plan, machine, (before, after), (weights, rates)))
}

fn transit() -> (Transit, Arc<Proven>, Places) {
    let proven = Arc::new(Proven::new(PROVEN_MAX));
    let cookies = Cookies::new(&Secret::new([1; 32]), UNIX);
    let guard = Guard::new(cookies, Arc::clone(&proven), 1, FIRSTS_MAX);
    let places = Places::new([2; 16]);
    (Transit::new(places, guard, Flows::new(FLOWS_MAX as usize, 1)), proven, places)
}

fn measure(case: Case, plan: &Plan) -> Rate {
    let (mut transit, proven, places) = transit();
    let mut source = segments::Stream::new(case.source(plan));
    for packet in source.under_way() {
        let (mut note, mut octets) = (Note::new(Entry::Wire(0)), packet);
        let len = octets.len();
        let mut frame = Frame::new(&mut octets, 0, len, &mut note);
        let Some(read) = segments::read(&mut frame) else { continue };
        let place = places.of(&read);
        proven.prove(place.source, NOW);
        learn(&mut transit, &read, place);
    }
    let mut rate =
        Rate { case, blocks: Vec::with_capacity(plan.blocks), passed: 0, dropped: 0, answered: 0 };
    let mut buffers = vec![[0_u8; BUFFER]; BLOCK];
    let mut notes = vec![Note::new(Entry::Wire(0)); BLOCK];
    for number in 0..plan.blocks {
        let now = NOW + Duration::from_micros(number as u64 * 300);
        let mut frames = source.fill(&mut buffers, &mut notes);
        let start = cycles();
        for burst in frames.chunks_mut(BURST_LEN_MAX) {
            judge(burst, (&mut transit, places), case, now, &mut rate);
        }
        rate.blocks.push(per_packet(cycles() - start, BLOCK as u64));
    }
    rate
}

/// Makes a flow known: with the second segment it is more than begun.
fn learn(transit: &mut Transit, segment: &Segment, place: syn::Place) {
    let policy = flows::Policy { tracked: true, out_of_state: 0, since: NOW };
    for _ in 0..2 {
        black_box(transit.flows.judge(segment, place, (0, policy), NOW)).unwrap_or_default();
    }
}

/// Judges a burst as the stage does: places first, so that their lines come while others are looked at.
fn judge(
    burst: &mut [(Frame<'_>, Address)],
    (transit, places): (&mut Transit, Places),
    case: Case,
    now: Instant,
    rate: &mut Rate,
) {
    let policy = case.policy();
    let mut ahead: ArrayVec<(Segment, syn::Place), BURST_LEN_MAX> = ArrayVec::new();
    for (frame, source) in burst.iter() {
        let Ok(segment) = Segment::read(frame.data(), &frame.note.ip, *source) else { continue };
        let is_read = case == Case::Read;
        let place = if is_read { places.of(&segment) } else { transit.ahead(&segment, policy) };
        ahead.push((segment, place));
    }
    if case == Case::Read {
        black_box(&ahead);
        return;
    }
    for ((frame, _), (segment, place)) in burst.iter_mut().zip(&ahead) {
        let arrival = Arrival { packet: frame.data(), segment, place: *place };
        match transit.judge(arrival, (0, policy), now) {
            Verdict::Pass => rate.passed += 1,
            Verdict::Drop(_) | Verdict::Consume => rate.dropped += 1,
            Verdict::Answer(answer) => {
                rate.answered += u64::from(syn::write(frame, segment, &answer).is_ok());
            }
        }
    }
}
