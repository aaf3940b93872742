//! What was measured: every figure for the record, percentiles and rates for a person.

use std::fmt;

use serde::Serialize;

use super::Plan;
use super::buckets::Flood;
use super::lists::{Family, Table, Way};
use super::stage::{Stage, Timed};
use super::survival::{Curve, FACTORS};
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{median, p10, quantile};

/// The layout of the JSON; raised when a field changes its meaning.
const SCHEMA: u32 = 2;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    plan: Plan,
    #[serde(flatten)]
    conditions: Conditions,
    stage: Stage,
    survival: Vec<Curve>,
    tables: Vec<Table>,
    buckets: Vec<Flood>,
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        ((stage, survival), tables, buckets): ((Stage, Vec<Curve>), Vec<Table>, Vec<Flood>),
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { schema: SCHEMA, plan, conditions, stage, survival, tables, buckets }
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn write_tables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nLists: milliseconds, least and middle; octets per prefix.\n")?;
        writeln!(
            f,
            "| lists | prefixes | sorted in | built | one more in force | keeper's | workers' |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for table in &self.tables {
            write!(f, "| {} | {} |", family_name(table.family), table.prefixes)?;
            for times in [&table.loads, &table.builds, &table.changes] {
                let ms = |share| self.conditions.ns(quantile(times.clone(), share)) / 1e6;
                write!(f, " {:.0} {:.0} |", ms(0.0), ms(0.5))?;
            }
            let each = |octets: usize| octets as f64 / table.prefixes.max(1) as f64;
            let (master, lists) = (each(table.master_octets), each(table.lists_octets));
            writeln!(f, " {master:.1} | {lists:.1} |")?;
        }
        Ok(())
    }

    fn write_lookups(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nLookups on one core: 10th percentile and median of the blocks.\n")?;
        writeln!(f, "| lists | prefixes | sources | ns | ns, median | millions per second |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for table in &self.tables {
            let Table { family, prefixes, ways, .. } = table;
            for (way, blocks) in ways {
                let name = format!("{} | {prefixes} | {}", family_name(*family), way_name(*way));
                self.write_rate(f, &name, blocks)?;
            }
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn write_buckets(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nBuckets, all in use by as many sources: place, fetch ahead, take.\n")?;
        writeln!(f, "| buckets | MiB | made | packets | ns | ns, median | millions per second |")?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for flood in &self.buckets {
            let Flood { bits, octets, made, random, hot, .. } = flood;
            let mib = *octets as f64 / f64::from(1 << 20);
            let ms = self.conditions.ns(*made) / 1e6;
            let name = format!("2^{bits} | {mib:.0} | {ms:.1} ms");
            self.write_rate(f, &format!("{name} | random sources"), random)?;
            self.write_rate(f, &format!("{name} | one source"), hot)?;
        }
        for Flood { bits, within, over, full, .. } in &self.buckets {
            let share = |count: u64| 100.0 * count as f64 / (within + over + full).max(1) as f64;
            let (within, over, full) = (share(*within), share(*over), share(*full));
            writeln!(
                f,
                "\n2^{bits}, random sources: {within:.1} % within, {over:.1} % over, {full:.1} % found no entry."
            )?;
        }
        Ok(())
    }

    fn write_stage(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stage { prefixes, signatures, ways } = &self.stage;
        writeln!(
            f,
            "\nThe stage, with parse, in bursts of 64; {prefixes} listed prefixes, {signatures} signatures.\n"
        )?;
        writeln!(
            f,
            "| packets | ns | ns, median | millions per second | `dos::admit` in it, ns |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        for Timed { way, whole, admit } in ways {
            let (least, middle) =
                (self.conditions.ns(p10(whole)), self.conditions.ns(median(whole)));
            let admit = self.conditions.ns(p10(admit));
            let name = way.name();
            writeln!(f, "| {name} | {least:.1} | {middle:.1} | {:.1} | {admit:.1} |", 1e3 / least)?;
        }
        Ok(())
    }

    fn write_survival(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nGood traffic that gets through, percent, by the work that comes, in parts of what one worker can do;\n5 % of that is good traffic, the rest the attack.\n"
        )?;
        write!(f, "| attack | ns alone | Mpps alone | ns of a good packet beside it |")?;
        FACTORS.iter().try_for_each(|factor| write!(f, " {factor} |"))?;
        writeln!(
            f,
            " dropped by mistake |\n|---|---|---|---|{}---|",
            "---|".repeat(FACTORS.len())
        )?;
        for Curve { attack, alone, good, goodput, mistaken } in &self.survival {
            let (alone, good) = (self.conditions.ns(*alone), self.conditions.ns(*good));
            write!(f, "| {} | {alone:.0} | {:.1} | {good:.0} |", attack.name(), 1e3 / alone)?;
            goodput.iter().try_for_each(|part| write!(f, " {:.1} |", 100.0 * part))?;
            writeln!(f, " {mistaken} |")?;
        }
        Ok(())
    }

    fn write_rate(&self, f: &mut fmt::Formatter<'_>, name: &str, blocks: &[f64]) -> fmt::Result {
        let (least, middle) = (self.conditions.ns(p10(blocks)), self.conditions.ns(median(blocks)));
        writeln!(f, "| {name} | {least:.1} | {middle:.1} | {:.1} |", 1e3 / least)
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        self.write_tables(f)?;
        self.write_lookups(f)?;
        self.write_buckets(f)?;
        self.write_stage(f)?;
        self.write_survival(f)
    }
}
