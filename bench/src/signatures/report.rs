//! What was measured: all blocks for the record, nanoseconds per packet for a person.

use std::fmt;

use super::programs::Kind;
use super::{Measured, Plan};
use crate::sample::p10;

/// A whole run.
pub(crate) type Report = crate::report::Report<Plan, Measured>;

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "octets far below 2^52")]
    fn write_row(&self, f: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
        let Measured { kind, count, refused, octets, instructions, build, .. } = measured;
        write!(f, "| {} | {count} |", name(*kind))?;
        if let Some(refused) = refused {
            return writeln!(f, " refused: {refused} | | | | | |");
        }
        for blocks in [&measured.clean, &measured.near, &measured.hit] {
            if blocks.is_empty() {
                write!(f, " |")?;
            } else {
                write!(f, " {:.1} |", self.conditions.ns(p10(blocks)))?;
            }
        }
        writeln!(
            f,
            " {instructions} | {:.1} | {:.2} |",
            *octets as f64 / 1024.0,
            self.conditions.ns(*build) / 1e6
        )
    }
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ports => "udp and src port N",
        Kind::Hosts => "ip dst host N",
        Kind::Payloads => "udp and udp[8:4] = N",
        Kind::Mixed => "the three above in turn",
        Kind::Unindexable => "udp and udp[8:4] > N",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.conditions)?;
        writeln!(f, "\nNanoseconds per packet, 10th percentile of {} blocks.\n", self.plan.blocks)?;
        writeln!(
            f,
            "| rules | count | clean | like them, no match | matches one | instructions at most | KiB | ms to build |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for measured in &self.measured {
            self.write_row(f, measured)?;
        }
        Ok(())
    }
}
