//! What was measured: all blocks for the record, the figures drawn from them for a person.

use std::fmt;

use serde::Serialize;

use super::Plan;
use super::stages::{LAPS, Laps, OPEN_STAGE, SEAL_STAGE, without_aead};
use super::ways::{FRAME_OVERHEAD, Shape, Way};
use crate::sample::{Interval, compared, median, p10, per_packet};
use crate::turns::Timing;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

/// One size of packet and burst. All figures are cycles per packet, one for each block.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    len: usize,
    burst: usize,
    ways: Vec<Blocks>,
    open: Walk,
    seal: Walk,
}

#[derive(Debug, Serialize)]
struct Blocks {
    name: &'static str,
    blocks: Vec<f64>,
}

/// A walk through the stages: each lap, and all of them without the AEAD.
#[derive(Debug, Serialize)]
struct Walk {
    laps: Vec<Blocks>,
    without_aead: Vec<f64>,
    /// The WireGuard stage of this walk, with its AEAD.
    wireguard: Vec<f64>,
}

impl Walk {
    fn new() -> Self {
        let laps = LAPS.map(Blocks::new).into();
        Self { laps, without_aead: Vec::new(), wireguard: Vec::new() }
    }

    fn add(&mut self, laps: &Laps, stage: std::ops::RangeInclusive<usize>, packets: u64) {
        let stage = laps.get(stage).unwrap_or_default().iter().sum();
        self.wireguard.push(per_packet(stage, packets));
        for (blocks, lap) in self.laps.iter_mut().zip(laps) {
            blocks.blocks.push(per_packet(*lap, packets));
        }
        self.without_aead.push(per_packet(without_aead(laps), packets));
    }
}

impl Blocks {
    const fn new(name: &'static str) -> Self {
        Self { name, blocks: Vec::new() }
    }
}

impl Measured {
    pub(super) fn new(shape: Shape) -> Self {
        let ways = Way::ALL.map(|way| Blocks::new(way.name())).into();
        Self { len: shape.len, burst: shape.burst, ways, open: Walk::new(), seal: Walk::new() }
    }

    /// Adds a block of `bursts` of the way at this place of [`Way::ALL`].
    pub(super) fn way(&mut self, place: usize, cycles: u64, bursts: u64) {
        let packets = self.packets(bursts);
        if let Some(way) = self.ways.get_mut(place) {
            way.blocks.push(per_packet(cycles, packets));
        }
    }

    /// Adds a block of walks of both kinds: laps, and of how many bursts.
    pub(super) fn walks(&mut self, open: (Laps, u64), seal: (Laps, u64)) {
        let (open_packets, seal_packets) = (self.packets(open.1), self.packets(seal.1));
        self.open.add(&open.0, OPEN_STAGE, open_packets);
        self.seal.add(&seal.0, SEAL_STAGE, seal_packets);
    }

    fn packets(&self, bursts: u64) -> u64 {
        bursts * self.burst as u64
    }

    fn blocks(&self, way: Way) -> &[f64] {
        let found = self.ways.iter().find(|blocks| blocks.name == way.name());
        found.map_or(&[], |blocks| &blocks.blocks)
    }
}

impl Report {
    fn write_ways(&self, f: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
        writeln!(f, "| way | cycles | median | ns | of io-forward | above the bare AEAD, ns |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        let forward = measured.blocks(Way::Forward);
        for way in Way::ALL {
            let blocks = measured.blocks(way);
            let cycles = p10(blocks);
            let ratio = compared(blocks, forward, |ours, theirs| ours / theirs);
            let above = way.floor().map(|floor| {
                let above = compared(blocks, measured.blocks(floor), |ours, theirs| ours - theirs);
                let Interval { value, low, high } = above;
                format!(
                    "{:.1} ({:.1}..{:.1})",
                    self.conditions.ns(value),
                    self.conditions.ns(low),
                    self.conditions.ns(high)
                )
            });
            writeln!(
                f,
                "| {} | {cycles:.1} | {:.1} | {:.1} | {:.2} ({:.2}..{:.2}) | {} |",
                way.name(),
                median(blocks),
                self.conditions.ns(cycles),
                ratio.value,
                ratio.low,
                ratio.high,
                above.unwrap_or_default(),
            )?;
        }
        writeln!(f)
    }

    fn write_laps(&self, f: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
        writeln!(f, "| stage | open: cycles | ns | seal: cycles | ns |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        for (open, seal) in measured.open.laps.iter().zip(&measured.seal.laps) {
            self.write_lap(f, open.name, &open.blocks, &seal.blocks)?;
        }
        let (open, seal) = (&measured.open.without_aead, &measured.seal.without_aead);
        self.write_lap(f, "**all but the AEAD**", open, seal)?;
        let forward = measured.blocks(Way::Forward);
        for (name, blocks) in [("open", open), ("seal", seal)] {
            let Interval { value, low, high } =
                compared(blocks, forward, |ours, theirs| ours / theirs);
            writeln!(
                f,
                "\n{name} without the AEAD is {value:.2} ({low:.2}..{high:.2}) of io-forward."
            )?;
        }
        self.write_theirs(f, measured)?;
        writeln!(f)
    }

    /// The WireGuard stage with its AEAD beside what boringtun does for the same packets.
    fn write_theirs(&self, f: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
        for (name, walk, way) in
            [("open", &measured.open, Way::TheirOpen), ("seal", &measured.seal, Way::TheirSeal)]
        {
            let theirs = measured.blocks(way);
            let Interval { value, low, high } =
                compared(&walk.wireguard, theirs, |ours, theirs| theirs / ours);
            let [our_ns, their_ns] =
                [&walk.wireguard, theirs].map(|blocks| self.conditions.ns(p10(blocks)));
            writeln!(
                f,
                "\nwireguard::{name} with its AEAD: {our_ns:.1} ns; boringtun: {their_ns:.1} ns; ratio {value:.2} ({low:.2}..{high:.2})."
            )?;
        }
        Ok(())
    }

    fn write_lap(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        open: &[f64],
        seal: &[f64],
    ) -> fmt::Result {
        let (open, seal) = (p10(open), p10(seal));
        writeln!(
            f,
            "| {name} | {open:.1} | {:.1} | {seal:.1} | {:.1} |",
            self.conditions.ns(open),
            self.conditions.ns(seal)
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "# Service time\n\n{}", self.conditions)?;
        let Timing { blocks, block_us, .. } = self.plan.timing;
        writeln!(
            f,
            "- {blocks} blocks of {block_us} us or one round; 10th percentiles, cycles per packet"
        )?;
        writeln!(f, "- no call of the allocator while time was taken")?;
        for measured in &self.measured {
            let Measured { len, burst, .. } = measured;
            let frame = len + FRAME_OVERHEAD;
            writeln!(f, "\n## {len} octets inside ({frame} on the wire), bursts of {burst}\n")?;
            self.write_ways(f, measured)?;
            self.write_laps(f, measured)?;
        }
        Ok(())
    }
}
