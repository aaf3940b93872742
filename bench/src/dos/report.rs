//! The record of what was measured: the stage, what survives attacks, lists and buckets.

use results::{Axis, Cell, Column, Figure, Plot, Point, Record, Section, Series, Table};

use super::Plan;
use super::buckets::Flood;
use super::lists::{self, Family, Way};
use super::stage::{Stage, Timed};
use super::survival::{Curve, FACTORS};
use crate::machine::{Conditions, Machine, Weather};
use crate::report::{pace, pace_columns};

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    conditions: Conditions,
    stage: Stage,
    survival: Vec<Curve>,
    tables: Vec<lists::Table>,
    buckets: Vec<Flood>,
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        ((stage, survival), tables, buckets): ((Stage, Vec<Curve>), Vec<lists::Table>, Vec<Flood>),
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { plan, conditions, stage, survival, tables, buckets }
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn lists(&self) -> Table {
        let columns = [
            Column::label("lists"),
            Column::label("prefixes"),
            Column::of("sorted in, ms", "ms", 0),
            Column::of("built, ms", "ms", 0),
            Column::of("one more in force, ms", "ms", 0),
            Column::of("keeper's octets each", "octets", 1),
            Column::of("workers'", "octets", 1),
        ];
        let mut table = Table::new("Lists, middle of all; octets per prefix.", columns);
        for one in &self.tables {
            let mut row =
                vec![Cell::from(family_name(one.family)), one.prefixes.to_string().into()];
            for times in [&one.loads, &one.builds, &one.changes] {
                let ms: Vec<f64> =
                    times.iter().map(|cycles| self.conditions.ns(*cycles) / 1e6).collect();
                row.push(Figure::median(&ms).lower().into());
            }
            for octets in [one.master_octets, one.lists_octets] {
                let each = octets as f64 / one.prefixes.max(1) as f64;
                row.push(Figure::single(each).lower().into());
            }
            table.row(row);
        }
        table
    }

    fn lookups(&self) -> Table {
        let labels = ["lists", "prefixes", "sources"].map(Column::label);
        let columns: Vec<_> = labels.into_iter().chain(pace_columns()).collect();
        let title = "Lookups on one core: 10th percentile and median of the blocks.";
        let mut table = Table::new(title, columns);
        for lists::Table { family, prefixes, ways, .. } in &self.tables {
            for (way, blocks) in ways {
                let labels = [
                    family_name(*family).into(),
                    prefixes.to_string().into(),
                    way_name(*way).into(),
                ];
                let pace = pace(&self.conditions.all_ns(blocks));
                table.row(labels.into_iter().chain(pace).collect::<Vec<_>>());
            }
        }
        table
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn buckets(&self) -> Section {
        let head = [
            Column::label("buckets"),
            Column::label("packets"),
            Column::of("MiB", "MiB", 0),
            Column::of("made, ms", "ms", 1),
        ];
        let columns: Vec<_> = head.into_iter().chain(pace_columns()).collect();
        let mut table = Table::new("", columns);
        let mut section = Section::new("Buckets")
            .note("All in use by as many sources: place, fetch ahead, take.");
        for Flood { bits, octets, made, random, hot, within, over, full } in &self.buckets {
            let mib = Figure::single(*octets as f64 / f64::from(1 << 20)).lower();
            let ms = self.conditions.ns(*made) / 1e6;
            for (packets, blocks) in [("random sources", random), ("one source", hot)] {
                let head =
                    [format!("2^{bits}").into(), packets.into(), mib.clone().into(), ms.into()];
                let pace = pace(&self.conditions.all_ns(blocks));
                table.row(head.into_iter().chain(pace).collect::<Vec<_>>());
            }
            let share = |count: u64| 100.0 * count as f64 / (within + over + full).max(1) as f64;
            let (within, over, full) = (share(*within), share(*over), share(*full));
            section = section.remark(format!(
                "2^{bits}, random sources: {within:.1} % within, {over:.1} % over, {full:.1} % found no entry."
            ));
        }
        section.table(table)
    }

    fn stage(&self) -> Section {
        let Stage { prefixes, signatures, ways } = &self.stage;
        let admit = Column::of("`dos::admit` in it, ns", "ns", 1);
        let columns = std::iter::once(Column::label("packets")).chain(pace_columns());
        let mut table = Table::new("", columns.chain([admit]).collect::<Vec<_>>());
        for Timed { way, whole, admit } in ways {
            let [ns, median, rate] = pace(&self.conditions.all_ns(whole));
            let admit = Figure::p10(&self.conditions.all_ns(admit)).lower();
            table.row([Cell::from(way.name()), ns, median, rate, admit.into()]);
        }
        let note = format!(
            "With parse, in bursts of 64; {prefixes} listed prefixes, {signatures} signatures."
        );
        Section::new("The stage").note(note).table(table)
    }

    #[expect(clippy::cast_precision_loss, reason = "packets of a run")]
    fn survival(&self) -> Section {
        let mut columns = vec![
            Column::label("attack"),
            Column::of("ns alone", "ns", 0),
            Column::of("Mpps alone", "Mpps", 1),
            Column::of("ns of a good packet beside it", "ns", 0),
        ];
        columns.extend(FACTORS.map(|factor| Column::of(&factor.to_string(), "%", 1)));
        columns.push(Column::of("dropped by mistake", "count", 0));
        let mut table = Table::new("", columns);
        for Curve { attack, alone, good, goodput, mistaken } in &self.survival {
            let (alone, good) = (self.conditions.ns(*alone), self.conditions.ns(*good));
            let alone_ns = Figure::single(alone).lower();
            let mut row = vec![Cell::from(attack.name()), alone_ns.into()];
            row.extend([1e3 / alone, good].map(Cell::from));
            row.extend(
                goodput.iter().map(|part| Cell::from(Figure::single(100.0 * part).higher())),
            );
            row.push(Figure::single(*mistaken as f64).lower().into());
            table.row(row);
        }
        Section::new("What survives attacks")
            .note("Good traffic that gets through, percent, by the work that comes, in parts of what one worker can do; 5 % of that is good traffic, the rest the attack.")
            .table(table)
            .plot(self.survival_plot())
    }

    fn survival_plot(&self) -> Plot {
        let mut plot = Plot::lines(
            "Good traffic beside attacks",
            Axis::logarithmic("work that comes, times what a worker can do"),
            Axis::linear("good traffic that gets through, %"),
        );
        for curve in &self.survival {
            let points = FACTORS.into_iter().zip(&curve.goodput);
            let points = points.map(|(factor, part)| Point::new(factor, 100.0 * part));
            plot = plot.with(Series::new(curve.attack.name(), points.collect()));
        }
        plot.saying("The share of good traffic that gets through, by how much more comes than one worker can do.")
    }
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
        Family::V6Single => "IPv6 with single addresses",
    }
}

const fn way_name(way: Way) -> &'static str {
    match way {
        Way::RandomBurst => "random, bursts of 64",
        Way::HotBurst => "1,000, bursts of 64",
        Way::RandomSingle => "random, one by one",
        Way::HotSingle => "1,000, one by one",
    }
}

impl From<&Report> for Record {
    fn from(report: &Report) -> Self {
        let conditions = report.conditions.clone();
        let mut record = Self::new("dos", "The filter", &report.plan, conditions);
        record.section(report.stage());
        record.section(report.survival());
        record.section(Section::new("Lists").table(report.lists()).table(report.lookups()));
        record.section(report.buckets());
        record
    }
}
