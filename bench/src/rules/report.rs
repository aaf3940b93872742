//! What was measured: every block for the record, percentiles and ratios for a person.

use std::fmt;

use serde::Serialize;

use super::Plan;
use super::contest::Measured;
use super::rulesets::Kind;
use super::swap::Swap;
use super::tenants::{Built, Tenants};
use crate::machine::{Conditions, Machine, Weather};
use crate::sample::{compared, median, p10, quantile};

/// The layout of the JSON; raised when a field changes its meaning.
const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: u32,
    plan: Plan,
    #[serde(flatten)]
    conditions: Conditions,
    swaps: Vec<Swap>,
    tables: Vec<Table>,
}

/// Rules of both contestants, and how long they took to be found.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    kind: Kind,
    rules: u32,
    ours: Built,
    acl: Built,
    measured: Vec<Measured>,
}

impl Table {
    pub(super) fn new(tenants: Tenants, measured: Vec<Measured>) -> Self {
        let Tenants { kind, rules, built: [ours, acl], .. } = tenants;
        Self { kind, rules, ours, acl, measured }
    }
}

impl Report {
    pub(super) fn new(
        plan: Plan,
        machine: Machine,
        weather: (Weather, Weather),
        (swaps, tables): (Vec<Swap>, Vec<Table>),
    ) -> Self {
        let conditions = Conditions::new(machine, weather);
        Self { schema: SCHEMA, plan, conditions, swaps, tables }
    }

    fn ms(&self, times: &[f64], share: f64) -> f64 {
        self.conditions.ns(quantile(times.to_vec(), share)) / 1e6
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn write_swaps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nFrom text to what packets are looked up in: milliseconds, least and middle.\n"
        )?;
        writeln!(
            f,
            "| rules | count | text, KiB | read | built | both |\n|---|---|---|---|---|---|"
        )?;
        for swap in &self.swaps {
            let Swap { kind, rules, text, parse, build, refused } = swap;
            write!(f, "| {} | {rules} | {:.0} |", kind.name(), *text as f64 / 1024.0)?;
            let both: Vec<f64> = parse.iter().zip(build).map(|(one, other)| one + other).collect();
            for times in [parse, build, &both] {
                write!(f, " {:.1} {:.1} |", self.ms(times, 0.0), self.ms(times, 0.5))?;
            }
            match refused {
                Some(refused) => writeln!(f, " refused: {refused} |")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }

    fn write_built(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nBuilding: milliseconds of the least and the middle tenant, and what each takes.\n"
        )?;
        writeln!(
            f,
            "| rules | count | ours, tenants | ms | KiB each | rte_acl, tenants | ms | KiB each |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for table in &self.tables {
            write!(f, "| {} | {} |", table.kind.name(), table.rules)?;
            for built in [&table.ours, &table.acl] {
                self.write_one(f, built)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn write_one(&self, f: &mut fmt::Formatter<'_>, built: &Built) -> fmt::Result {
        let Built { tenants, octets, times, small, refused } = built;
        if let Some(refused) = refused {
            return write!(f, " refused: {refused} | | |");
        }
        let each = *octets as f64 / f64::from((*tenants).max(1)) / 1024.0;
        let note = if *small { ", small tries" } else { "" };
        let (least, middle) = (self.ms(times, 0.0), self.ms(times, 0.5));
        write!(f, " {tenants}{note} | {least:.2} {middle:.2} | {each:.1} |")
    }

    fn write_contest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nLookups: nanoseconds per packet, 10th percentile and median of the blocks;"
        )?;
        writeln!(
            f,
            "rte_acl with the algorithm that was quickest there; how many times ours its time is.\n"
        )?;
        writeln!(f, "| rules | count | tenants | packets | on end | ours | rte_acl | ratio |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for one in self.tables.iter().flat_map(|table| &table.measured) {
            let Measured { kind, rules, tenants, run, traffic, ours, acl } = one;
            let (kind, traffic) = (kind.name(), traffic.name());
            write!(f, "| {kind} | {rules} | {tenants} | {traffic} | {run} |")?;
            let ns = |blocks: &[f64]| {
                (self.conditions.ns(p10(blocks)), self.conditions.ns(median(blocks)))
            };
            let (least, middle) = ns(ours);
            write!(f, " {least:.1} {middle:.1} |")?;
            let best = acl.iter().min_by(|one, other| p10(&one.1).total_cmp(&p10(&other.1)));
            match best {
                Some((name, blocks)) => {
                    let (least, middle) = ns(blocks);
                    let ratio = compared(ours, blocks, |ours, theirs| theirs / ours);
                    let (value, low, high) = (ratio.value, ratio.low, ratio.high);
                    write!(f, " {least:.1} {middle:.1} ({name}) |")?;
                    writeln!(f, " {value:.2} ({low:.2}..{high:.2}) |")?;
                }
                None => writeln!(f, " | |")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        self.write_swaps(f)?;
        self.write_built(f)?;
        self.write_contest(f)
    }
}
