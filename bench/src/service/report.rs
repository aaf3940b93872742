//! What was measured: all blocks, and the record that they become.

use results::{Axis, Cell, Column, Figure, Plot, Record, Section, Series, Table};

use serde::{Deserialize, Serialize};

use super::Plan;
use super::stages::{LAPS, Laps, OPEN_STAGE, SEAL_STAGE, is_aead, without_aead};
use super::ways::{FRAME_OVERHEAD, Shape, Way};
use crate::machine::Conditions;
use crate::sample::{compared, p10, per_packet};
use crate::turns::stacked;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

/// One size of packet and burst. All figures are cycles per packet, one for each block.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    len: usize,
    burst: usize,
    ways: Vec<Blocks>,
    open: Walk,
    seal: Walk,
}

#[derive(Debug, Serialize, Deserialize)]
struct Blocks {
    /// Places tell which one it is where a part of a run comes from another process.
    #[serde(skip)]
    name: &'static str,
    blocks: Vec<f64>,
}

/// A walk through the stages: each lap, and all of them without the AEAD.
#[derive(Debug, Serialize, Deserialize)]
struct Walk {
    laps: Vec<Blocks>,
    without_aead: Vec<f64>,
    /// The WireGuard stage of this walk, with its AEAD.
    wireguard: Vec<f64>,
}

/// Nanoseconds above the AEAD that were wanted at most of a packet of this size, in bursts of this length.
const ABOVE_WANTED: f64 = 50.0;
const JUDGED: (usize, usize) = (64, 64);
/// How many times quicker than boringtun the whole receive path was wanted there.
const OPEN_RATIO_WANTED: f64 = 3.5;
/// The contestant, as Cargo.toml names it.
const BORINGTUN: &str = "boringtun 0.7";

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

/// Adds those of a part to those of the whole, place by place.
fn add(whole: &mut [Blocks], part: Vec<Blocks>) {
    for (blocks, part) in whole.iter_mut().zip(part) {
        blocks.blocks.extend(part.blocks);
    }
}

impl Measured {
    pub(super) fn new(shape: Shape) -> Self {
        let ways = Way::ALL.map(|way| Blocks::new(way.name())).into();
        Self { len: shape.len, burst: shape.burst, ways, open: Walk::new(), seal: Walk::new() }
    }

    /// Adds the blocks of another process.
    pub(super) fn add(&mut self, part: Self) {
        add(&mut self.ways, part.ways);
        for (walk, part) in [(&mut self.open, part.open), (&mut self.seal, part.seal)] {
            add(&mut walk.laps, part.laps);
            walk.without_aead.extend(part.without_aead);
            walk.wireguard.extend(part.wireguard);
        }
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

    fn judged(&self) -> bool {
        (self.len, self.burst) == JUDGED
    }

    fn section(&self, conditions: &Conditions) -> Section {
        let Self { len, burst, .. } = self;
        let frame = len + FRAME_OVERHEAD;
        let title = format!("{len} octets inside ({frame} on the wire), bursts of {burst}");
        Section::new(title)
            .table(self.ways_table(conditions))
            .table(self.laps_table(conditions))
            .table(self.peers_table(conditions))
    }

    fn ways_table(&self, conditions: &Conditions) -> Table {
        let columns = [
            Column::label("way"),
            Column::of("cycles", "cycles", 1),
            Column::of("median", "cycles", 1),
            Column::of("ns", "ns", 1),
            Column::of("of io-forward", "ratio", 2).with_intervals(),
            Column::of("above the bare AEAD, ns", "ns", 1).with_intervals(),
        ];
        let mut table = Table::new("", columns);
        let forward = self.blocks(Way::Forward);
        for way in Way::ALL {
            let blocks = self.blocks(way);
            let ratio = compared(blocks, forward, |ours, theirs| ours / theirs);
            let above = way.floor().map(|floor| {
                let theirs = conditions.all_ns(self.blocks(floor));
                let ours = conditions.all_ns(blocks);
                Figure::compared(compared(&ours, &theirs, |one, two| one - two), blocks.len())
            });
            table.row([
                Cell::from(way.name()),
                Figure::also(blocks, 0.1).into(),
                Figure::also(blocks, 0.5).into(),
                Figure::p10(&conditions.all_ns(blocks)).lower().into(),
                // An empty turn forwards nothing.
                (way != Way::Idle).then(|| Figure::compared(ratio, blocks.len()).lower()).into(),
                above.map(Figure::lower).into(),
            ]);
        }
        table
    }

    fn laps_table(&self, conditions: &Conditions) -> Table {
        let columns = [
            Column::label("stage"),
            Column::of("open: cycles", "cycles", 1),
            Column::of("open: ns", "ns", 1),
            Column::of("seal: cycles", "cycles", 1),
            Column::of("seal: ns", "ns", 1),
        ];
        let mut table = Table::new("", columns);
        for (open, seal) in self.open.laps.iter().zip(&self.seal.laps) {
            let ns = [open, seal].map(|lap| Figure::p10(&conditions.all_ns(&lap.blocks)).lower());
            table.row(lap_row(open.name, [&open.blocks, &seal.blocks], ns));
        }
        let sums = [&self.open.without_aead, &self.seal.without_aead];
        let ns = sums.map(|blocks| {
            let ns = Figure::p10(&conditions.all_ns(blocks)).lower();
            if self.judged() { ns.at_most(ABOVE_WANTED) } else { ns }
        });
        table.row(lap_row("**all but the AEAD**", sums, ns));
        table
    }

    /// The WireGuard stage with its AEAD beside what boringtun does for the same packets.
    fn peers_table(&self, conditions: &Conditions) -> Table {
        let columns = [
            Column::label("the stage with its AEAD"),
            Column::of("ours, ns", "ns", 1),
            Column::of("boringtun, ns", "ns", 1),
            Column::of("ratio", "ratio", 2).with_intervals(),
        ];
        let mut table = Table::new("", columns);
        for (name, walk, way) in [
            ("wireguard::open", &self.open, Way::TheirOpen),
            ("wireguard::seal", &self.seal, Way::TheirSeal),
        ] {
            let theirs = conditions.all_ns(self.blocks(way));
            let ours = conditions.all_ns(&walk.wireguard);
            let ratio = compared(&ours, &theirs, |ours, theirs| theirs / ours);
            let ratio = Figure::compared(ratio, ours.len()).higher();
            let wanted = self.judged() && way == Way::TheirOpen;
            table.row([
                Cell::from(name),
                Figure::p10(&ours).lower().beside(BORINGTUN, &theirs).into(),
                Figure::also(&theirs, 0.1).into(),
                if wanted { ratio.at_least(OPEN_RATIO_WANTED) } else { ratio }.into(),
            ]);
        }
        table
    }
}

/// Cycles and nanoseconds of a lap, opening and sealing.
fn lap_row(name: &str, cycles: [&Vec<f64>; 2], ns: [Figure; 2]) -> [Cell; 5] {
    let [open, seal] = cycles.map(|blocks| Figure::also(blocks, 0.1));
    let [open_ns, seal_ns] = ns;
    [name.into(), open.into(), open_ns.into(), seal.into(), seal_ns.into()]
}

/// Where the time goes by the size of the packets, with the AEAD that no implementation could do without.
fn stages_plot(
    report: &Report,
    burst: usize,
    (title, floor, walk): (&str, Way, fn(&Measured) -> &Walk),
) -> Plot {
    let Report { conditions, measured, .. } = report;
    let of_burst = || measured.iter().filter(move |one| one.burst == burst);
    let sizes = of_burst().map(|one| one.len.to_string());
    let axis = Axis::names("octets of the inner packet", sizes);
    let plot = Plot::stacks(title, axis, Axis::linear("ns a packet"));
    let parts = LAPS.into_iter().enumerate().map(|(place, name)| {
        let lap = |one| walk(one).laps.get(place).map_or(0.0, |lap| p10(&lap.blocks));
        (name, of_burst().map(|one| conditions.ns(lap(one))).collect::<Vec<_>>())
    });
    // The AEAD stands at the bottom, where its level can be compared.
    let (aead, stages): (Vec<_>, Vec<_>) =
        parts.enumerate().partition(|(place, _)| is_aead(*place));
    let parts = aead.into_iter().chain(stages).map(|(_, part)| part);
    let floors = of_burst().map(|one| conditions.ns(p10(one.blocks(floor))));
    stacked(plot, parts.collect())
        .with(Series::by_name("bare AEAD", floors).as_level())
        .saying("Nanoseconds per packet, divided among the stages, by the size of the packet; the thick line is the AEAD alone.")
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let Report { plan, conditions, measured } = report;
        let mut record = Self::new("service", "Service time", plan, conditions.clone());
        record.peer(BORINGTUN, "`Tunn`, called in the same process");
        let (blocks, block_us) = (plan.timing.blocks, plan.timing.block_us);
        let processes = plan.processes;
        let mut overview = Section::default()
            .note(format!("{blocks} blocks of {block_us} us or one round, in {processes} processes; 10th percentiles, cycles per packet."))
            .note("No call of the allocator while time was taken.");
        for burst in &plan.timing.bursts {
            for (title, floor, walk) in [
                (
                    format!("Opening, bursts of {burst}"),
                    Way::AeadOpen,
                    (|one| &one.open) as fn(&Measured) -> &Walk,
                ),
                (format!("Sealing, bursts of {burst}"), Way::AeadSeal, |one| &one.seal),
            ] {
                overview = overview.plot(stages_plot(report, *burst, (&title, floor, walk)));
            }
        }
        record.section(overview);
        for one in measured {
            record.section(one.section(conditions));
        }
        record
    }
}
