//! When packets are planned to come, in cycles of the trial.

/// Packets of a kind, one after the other at a rate.
pub(crate) struct Schedule {
    /// Cycles between two.
    interval: f64,
    at_once: u64,
    pub(crate) count: u64,
}

impl Schedule {
    pub(crate) const fn new(rate: f64, at_once: u64, hz: f64) -> Self {
        Self { interval: hz / rate, at_once, count: 0 }
    }

    /// When the next one is due, in cycles.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 packets")]
    pub(crate) fn due(&self) -> f64 {
        (self.count / self.at_once * self.at_once) as f64 * self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_evenly_or_so_many_at_once() {
        let dues = |at_once| {
            let mut schedule = Schedule::new(1e6, at_once, 2e9);
            std::array::from_fn::<f64, 5, _>(|_| {
                let due = schedule.due();
                schedule.count += 1;
                due / 2_000.0
            })
        };
        let is_near = |found: [f64; 5], wanted: [f64; 5]| {
            found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-9)
        };
        assert!(is_near(dues(1), [0.0, 1.0, 2.0, 3.0, 4.0]));
        assert!(is_near(dues(2), [0.0, 0.0, 2.0, 2.0, 4.0]));
    }
}
