//! What comes in a trial, and how.

use pktgen::attack::Builder;
use pktgen::size::Sizes;

use super::beside::Beside;
use super::way::Way;
use crate::overload::callers::Callers;

/// How packets come, and what counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Packets that a receive queue holds.
    pub(crate) ring: usize,
    /// Packets that come at once.
    pub(crate) at_once: u64,
    /// How many times the turn of a full burst a turn counts at most.
    pub(crate) clip: f64,
}

/// What comes in a trial.
pub(crate) struct Offer<'a> {
    pub(crate) way: Way,
    pub(crate) sizes: &'a Sizes,
    /// Packets per second, and for how many seconds.
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    /// What else comes from the network, and how many a second.
    pub(crate) flood: Option<(&'a mut Builder, f64)>,
    /// Who shakes hands meanwhile.
    pub(crate) callers: Option<&'a mut Callers>,
    /// What else goes on; turns are clipped only if the core was taken away, then.
    pub(crate) beside: Option<&'a mut dyn Beside>,
    /// Whether the trial ends when all callers have a session.
    pub(crate) until_answered: bool,
    /// Seconds that a turn without packets counts at least: then the worker rests between two.
    pub(crate) rest: f64,
    /// Whether each packet's latency is kept.
    pub(crate) with_latency: bool,
}

impl<'a> Offer<'a> {
    pub(crate) const fn new(way: Way, sizes: &'a Sizes, (rate, seconds): (f64, f64)) -> Self {
        Self {
            way,
            sizes,
            rate,
            seconds,
            flood: None,
            callers: None,
            beside: None,
            until_answered: false,
            rest: 0.0,
            with_latency: false,
        }
    }
}
