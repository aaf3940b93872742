//! What every report of blocks begins with: what was asked for, on which machine, and in which weather.

use serde::Serialize;

use crate::machine::Conditions;

/// The layout of the JSON; raised when a field changes its meaning.
const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report<P, M> {
    schema: u32,
    pub(crate) plan: P,
    #[serde(flatten)]
    pub(crate) conditions: Conditions,
    pub(crate) measured: Vec<M>,
}

impl<P, M> Report<P, M> {
    pub(crate) const fn new(plan: P, conditions: Conditions, measured: Vec<M>) -> Self {
        Self { schema: SCHEMA, plan, conditions, measured }
    }
}
