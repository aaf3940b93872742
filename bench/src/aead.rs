//! The AEAD alone: ours, each implementation, against every library at hand, in one process and in turns.

mod contestants;
mod frames;
mod libraries;
mod report;

use clap::Args;
use dpdk::clock::Clock;
use serde::Serialize;

use crate::machine::{Machine, Weather};
use crate::{Failure, pin};
use contestants::{Contestant, Outcome};
use frames::{Frames, SIZE_MAX};
pub(crate) use report::Report;
use report::Row;

/// What to measure, and for how long.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Octets of text of the packets; IMIX is the mix of seven of 64, four of 576 and one of 1420.
    #[arg(long, value_delimiter = ',', default_value = "0,64,128,256,512,1024,1420,imix")]
    sizes: Vec<Size>,
    /// Packets of a batch, up to 64.
    #[arg(long, value_delimiter = ',', default_value = "1,2,3,4,8,16,32,64")]
    batches: Vec<usize>,
    /// Keys, used in turn; so many that they leave the caches show what that costs.
    #[arg(long, value_delimiter = ',', default_value = "16")]
    keys: Vec<usize>,
    /// Blocks of each size, batch, key count and contestant.
    #[arg(long, default_value_t = 200)]
    blocks: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Only contestants whose name contains one of these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A few blocks, to see that it works; the figures mean little.
    #[arg(long)]
    quick: bool,
}

/// Octets of text of the packets of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Size {
    Uniform(usize),
    Imix,
}

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text.eq_ignore_ascii_case("imix") => Ok(Self::Imix),
            Ok(len) if len <= SIZE_MAX => Ok(Self::Uniform(len)),
            _ => Err(format!("a size is 0 to {SIZE_MAX}, or imix")),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Uniform(len) => write!(f, "{len}"),
            Self::Imix => f.write_str("IMIX"),
        }
    }
}

/// Libraries in C, and whether this program was built with them.
const LIBRARIES: [(&str, bool); 2] = [("ipsec-mb", cfg!(ipsec_mb)), ("OpenSSL", cfg!(openssl))];

/// Packets that a block works on; a batch is a part of them.
const POOL: usize = 64;
/// Blocks before the first that counts.
const WARM_UP: usize = 5;

impl Plan {
    fn checked(&self) -> Result<Self, Failure> {
        let mut plan = self.clone();
        if plan.quick {
            plan.blocks = plan.blocks.min(5);
        }
        if !plan.batches.iter().all(|batch| (1..=POOL).contains(batch)) {
            return Err(format!("--batches takes 1 to {POOL}").into());
        }
        if plan.blocks == 0 || plan.keys.contains(&0) {
            return Err("--blocks and --keys take 1 and more".into());
        }
        Ok(plan)
    }
}

/// Measures everything that the plan names.
pub(crate) fn run(plan: &Plan) -> Result<Report, Failure> {
    let plan = plan.checked()?;
    let clock = Clock::calibrate();
    let machine = Machine::observe(&clock, "no DPDK in it".to_owned(), false, plan.core);
    pin(plan.core)?;
    let before = Weather::observe();
    let mut rows = Vec::new();
    for keys in &plan.keys {
        let mut frames = Frames::new(*keys);
        let mut contestants = contestants::all(frames.keys(), &plan.only)?;
        for size in &plan.sizes {
            frames.resize(*size);
            for batch in &plan.batches {
                rows.extend(measure(&plan, &mut frames, &mut contestants, (*size, *batch))?);
            }
        }
    }
    let after = Weather::observe();
    Ok(Report::new(plan, machine, (before, after), rows))
}

/// One size and batch: every contestant seals and then opens the same packets, in turns.
fn measure(
    plan: &Plan,
    frames: &mut Frames,
    contestants: &mut [Box<dyn Contestant>],
    (size, batch): (Size, usize),
) -> Result<[Row; 2], Failure> {
    let names: Vec<String> = contestants.iter().map(|one| one.name()).collect();
    let mut open = Row::new(false, size, batch, frames.keys().len(), &names);
    let mut seal = Row::new(true, size, batch, frames.keys().len(), &names);
    for block in 0..plan.blocks + WARM_UP {
        for (place, contestant) in contestants.iter_mut().enumerate() {
            frames.turn();
            for (row, sealing) in [(&mut seal, true), (&mut open, false)] {
                let Outcome { right, cycles } = contestant.run(frames.packets(), batch, sealing);
                if right != frames.packets().len() {
                    let what = if sealing { "seal" } else { "open" };
                    return Err(format!(
                        "{} did {what} {right} of {} packets of {size} octets",
                        contestant.name(),
                        frames.packets().len()
                    )
                    .into());
                }
                if block >= WARM_UP {
                    row.add(place, cycles, frames.packets().len());
                }
            }
            if !frames.restored() {
                return Err(format!("{} gave another text back", contestant.name()).into());
            }
        }
    }
    Ok([open, seal])
}
