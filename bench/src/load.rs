//! What measurements over load have in common: a server with everything that a packet can meet on its way, the packets of each way,
//! and trials of them in virtual time.

pub(crate) mod beside;
pub(crate) mod course;
pub(crate) mod goals;
pub(crate) mod lane;
pub(crate) mod offer;
pub(crate) mod pace;
pub(crate) mod schedule;
pub(crate) mod tally;
pub(crate) mod way;

use std::str::FromStr;

use clap::Args;
use dpdk::Pool;
use pktgen::size::Sizes;
use serde::{Serialize, Serializer};

use crate::Failure;
use crate::turns::{Setting, Timing};
use goals::Goals;
use lane::Lane;
use offer::Rules;

/// Octets of the inner packets of one series.
#[derive(Clone, Debug)]
pub(crate) struct Size {
    pub(crate) name: String,
    pub(crate) sizes: Sizes,
}

/// The headers of a datagram with a trailer, and what the path to a client carries.
const SIZES: std::ops::RangeInclusive<usize> = 52..=1_420;

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("imix") {
            return Ok(Self { name: "IMIX".to_owned(), sizes: Sizes::imix() });
        }
        let len = text.parse().ok().filter(|len| SIZES.contains(len));
        let sizes = len.and_then(|len| Sizes::list(&[len]));
        let sizes = sizes
            .ok_or_else(|| format!("a size is {} to {}, or imix", SIZES.start(), SIZES.end()))?;
        Ok(Self { name: format!("{text} octets"), sizes })
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name)
    }
}

/// What is searched for, and where.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Search {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) goals: Goals,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) place: Place,
}

impl Search {
    /// The same for a short run, if it shall be one; refuses what cannot be.
    pub(crate) fn checked(&self) -> Result<Self, Failure> {
        self.place.check()?;
        let goals = self.goals.checked(self.place.quick)?;
        Ok(Self { goals, place: self.place.clone() })
    }
}

/// Where a measurement is made, and how packets come.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Place {
    /// The core to measure on.
    #[arg(long, default_value_t = 0)]
    pub(crate) core: usize,
    /// Put packets into hugepages.
    #[arg(long)]
    pub(crate) hugepages: bool,
    /// Packets that a receive queue holds.
    #[arg(long, default_value_t = 1024)]
    pub(crate) ring: usize,
    /// Packets that come at once.
    #[arg(long, default_value_t = 1)]
    pub(crate) at_once: u32,
    /// A turn counts as at most so many times a turn with a full burst.
    #[arg(long, default_value_t = 4.0)]
    pub(crate) clip: f64,
    /// A few short trials, to see that it works; the figures mean little.
    #[arg(long)]
    pub(crate) quick: bool,
}

/// Packets of a queue at most: a lane has three, and the pool holds all of them.
const RING_MAX: usize = 4096;

impl Place {
    /// As it is by itself.
    pub(crate) const fn on(core: usize, quick: bool) -> Self {
        Self { core, hugepages: false, ring: 1024, at_once: 1, clip: 4.0, quick }
    }

    pub(crate) fn check(&self) -> Result<(), Failure> {
        if !(64..=RING_MAX).contains(&self.ring) {
            return Err(format!("--ring takes 64 to {RING_MAX}").into());
        }
        if !(1..=64).contains(&self.at_once) {
            return Err("--at-once takes 1 to 64".into());
        }
        if !(self.clip >= 1.0 && self.clip.is_finite()) {
            return Err("--clip takes 1 and more".into());
        }
        Ok(())
    }

    /// Starts DPDK on the core.
    pub(crate) fn start(&self, verbose: bool) -> Result<Setting, Failure> {
        Timing::on(self.core, self.hugepages).start(verbose)
    }

    /// A server with clients, and room for what waits before it.
    pub(crate) fn lane(&self, setting: &Setting) -> Result<Lane, Failure> {
        let pool = self.pool(setting)?;
        Lane::start(setting, &pool, self.ring)
    }

    /// Buffers for what its rings hold.
    pub(crate) fn pool(&self, setting: &Setting) -> Result<Pool, Failure> {
        let room = u16::try_from(dataplane::limits::DATA_ROOM)?;
        let count = u32::try_from(3 * self.ring + 2047)?;
        Ok(Pool::new(&setting.eal, "lane", count, room)?)
    }

    pub(crate) const fn rules(&self) -> Rules {
        Rules { ring: self.ring, at_once: self.at_once as u64, clip: self.clip }
    }
}
