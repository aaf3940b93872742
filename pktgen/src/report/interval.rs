//! An interval of a run: what was intended and what was reached, as a line for people and as JSON.

use serde::Serialize;

use super::{Pace, points, time};
use crate::measure::Percentiles;

/// An interval of a run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Interval {
    /// Its end, seconds from the start of the traffic.
    pub at_secs: f64,
    /// Packets per second that were planned.
    pub intended_pps: f64,
    /// Packets per second that were sent.
    pub sent_pps: f64,
    /// Packets per second that arrived.
    pub received_pps: f64,
    /// Frames per second of all attacks that were planned.
    pub attack_intended_pps: f64,
    /// Frames per second of all attacks.
    pub attack_pps: f64,
    /// Frames per second of all synthetic streams and replays that were planned.
    pub stream_intended_pps: f64,
    /// Frames per second of all synthetic streams and replays.
    pub stream_pps: f64,
    /// From planned sending to arrival.
    pub latency: Percentiles,
    /// From planned to actual sending.
    pub lateness: Percentiles,
}

impl Interval {
    /// The line for people: the clients' part where they had any traffic, and each stream's.
    pub fn line(&self, streams: &[Pace]) -> String {
        let mut parts = vec![format!("{:7.1} s", self.at_secs)];
        parts.extend((self.has_clients() || streams.is_empty()).then(|| self.clients()));
        parts.extend(streams.iter().map(Pace::text));
        parts.join("  ")
    }

    fn has_clients(&self) -> bool {
        self.intended_pps > 0.0 || self.sent_pps > 0.0 || self.received_pps > 0.0
    }

    fn clients(&self) -> String {
        let Self { intended_pps, sent_pps, received_pps, .. } = self;
        format!(
            "intended {intended_pps:.0} sent {sent_pps:.0} received {received_pps:.0} pps  latency {}  lateness p99.9 {}",
            points(&self.latency),
            time(self.lateness.p99_9_ns),
        )
    }

    /// Packets per second of all that were planned.
    pub fn all_intended_pps(&self) -> f64 {
        self.intended_pps + self.attack_intended_pps + self.stream_intended_pps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::barrage::Kind;

    fn pace() -> Pace {
        let lateness = Percentiles { p99_9_ns: 55, ..Percentiles::default() };
        Pace {
            kind: Kind::Synth,
            name: "pings".to_owned(),
            intended_pps: 1000.0,
            sent_pps: 900.0,
            returned_pps: 800.0,
            lateness,
        }
    }

    #[test]
    fn every_line_has_intended_and_reached_rates_and_lateness_of_what_ran() {
        let alone = Interval { at_secs: 1.0, ..Interval::default() }.line(&[pace()]);
        assert_eq!(alone.trim(), "1.0 s  pings intended 1000 sent 900 back 800 pps late 55 ns");
        let both = Interval { intended_pps: 7.0, ..Interval::default() }.line(&[pace()]);
        assert!(both.contains("intended 7 sent 0 received 0 pps"), "{both}");
        assert!(both.contains("lateness p99.9 0 ns") && both.contains("pings"), "{both}");
        assert!(Interval::default().line(&[]).contains("intended 0"), "idle is said");
    }
}
