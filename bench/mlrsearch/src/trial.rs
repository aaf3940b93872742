//! What a trial has shown.

use serde::Serialize;

/// One trial at one load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Packets per second that were meant to be sent.
    pub load: f64,
    /// Seconds that it was meant to last.
    pub duration: f64,
    /// Seconds that it took with everything around it; not less than `duration`.
    pub effective: f64,
    /// The part of the packets that were lost, 0..=1.
    pub loss: f64,
}

impl Trial {
    /// Packets per second that came through.
    pub fn forwarding_rate(&self) -> f64 {
        self.load * (1.0 - self.loss)
    }

    /// Whether it was made at this very load.
    pub(crate) fn is_at(&self, load: f64) -> bool {
        self.load.total_cmp(&load).is_eq()
    }
}
