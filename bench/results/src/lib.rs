//! What measurements come to: one model of figures, tables, plots and the record around them, from which the printed report, the
//! JSON, the page and the comparison of two runs are made. Nothing here measures, and nothing here knows DPDK.
//!
//! A measurement fills a [`Record`] with [`Section`]s; each has notes, [`Table`]s of [`Figure`]s, and [`Plot`]s. `Display` prints
//! it as Markdown, [`page`] makes HTML of many, [`compare`] sets two runs side by side.
#![deny(unsafe_code)]

pub mod aims;
pub mod compare;
pub mod conditions;
pub mod counts;
pub mod figure;
pub mod markdown;
pub mod others;
pub mod page;
pub mod plot;
pub mod record;
pub mod sample;
pub mod table;
pub mod targets;
pub mod trend;
mod text;

pub use conditions::{Conditions, Machine, Probe, Weather};
pub use figure::{Better, Figure, Peer, Verdict};
pub use plot::{Axis, Mark, Plot, Point, Scale, Series, Shape};
pub use record::{Anchor, Omission, Record, Section, Seed, Voided};
pub use table::{Cell, Column, Table};
