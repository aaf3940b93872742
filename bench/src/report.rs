//! What reports have in common: what was asked for, on which machine and in which weather; and how the pace of packets is told.

use results::{Cell, Column, Figure};

use crate::machine::Conditions;
use crate::sample::p10;

/// A whole run.
#[derive(Debug)]
pub(crate) struct Report<P, M> {
    pub(crate) plan: P,
    pub(crate) conditions: Conditions,
    pub(crate) measured: Vec<M>,
}

impl<P, M> Report<P, M> {
    pub(crate) const fn new(plan: P, conditions: Conditions, measured: Vec<M>) -> Self {
        Self { plan, conditions, measured }
    }
}

/// The columns of what [`pace`] says, for things that come by the packet.
pub(crate) fn pace_columns() -> [Column; 3] {
    [
        Column::of("ns", "ns", 1),
        Column::of("ns, median", "ns", 1),
        Column::of("millions per second", "Mpps", 1),
    ]
}

/// Nanoseconds of each packet as their 10th percentile, their median, and what that makes in a second.
pub(crate) fn pace(ns: &[f64]) -> [Cell; 3] {
    [Figure::p10(ns).lower().into(), Figure::also(ns, 0.5).into(), (1e3 / p10(ns)).into()]
}
