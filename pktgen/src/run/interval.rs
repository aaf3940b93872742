//! The arithmetic of an interval: counts before and after, and the rates, latency and lateness between.

use std::time::Duration;

use super::Run;
use crate::barrage::{Barrage, Kind};
use crate::measure::Percentiles;
use crate::report::{Interval, Pace, per_sec};

/// Counts whose differences make the rates of an interval.
#[derive(Debug, Default)]
pub(super) struct Counts {
    planned: u64,
    sent: u64,
    received: u64,
    /// Of each stream.
    streams: Vec<Stream>,
}

/// The counts of one stream beside the clients.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    planned: u64,
    sent: u64,
    returned: u64,
}

/// A count per second of an interval of this length.
pub(super) fn rate(after: u64, before: u64, length: Duration) -> f64 {
    per_sec(after.saturating_sub(before), length.as_secs_f64())
}

impl Run<'_> {
    pub(super) fn counts(&self) -> Counts {
        let (tally, now) = (self.swarm.tally(), self.now());
        let stream = |barrage: &Barrage| {
            let tally = barrage.tally();
            let planned = tally.planned.saturating_add(barrage.owed(now));
            Stream { planned, sent: tally.sent, returned: tally.returned }
        };
        Counts {
            planned: tally.planned.saturating_add(self.swarm.owed(now)),
            sent: tally.data_sent,
            received: tally.data_received + self.measured_behind,
            streams: self.streams.barrages().iter().map(stream).collect(),
        }
    }

    /// What each stream beside the clients did since the last interval. Its lateness begins anew.
    pub(super) fn paces(
        &mut self,
        (after, before): (&Counts, &Counts),
        length: Duration,
    ) -> Vec<Pace> {
        let rows = self.streams.barrages_mut().iter_mut().zip(&after.streams).enumerate();
        rows.map(|(number, (barrage, after))| {
            let before = before.streams.get(number).copied().unwrap_or_default();
            Pace {
                kind: barrage.kind(),
                name: barrage.name().to_owned(),
                intended_pps: rate(after.planned, before.planned, length),
                sent_pps: rate(after.sent, before.sent, length),
                returned_pps: rate(after.returned, before.returned, length),
                lateness: barrage.take_lateness(),
            }
        })
        .collect()
    }

    /// What happened since the last one; `paces` says it of each stream.
    pub(super) fn interval(
        &mut self,
        (after, before): (&Counts, &Counts),
        paces: &[Pace],
        (at, length): (Duration, Duration),
    ) -> Interval {
        let sum = |of_attacks: bool, pick: fn(&Pace) -> f64| {
            let some = paces.iter().filter(|pace| (pace.kind == Kind::Attack) == of_attacks);
            some.map(pick).fold(0.0, |sum, pps| sum + pps)
        };
        let (latency, lateness) = self.take_interval();
        Interval {
            at_secs: at.as_secs_f64(),
            intended_pps: rate(after.planned, before.planned, length),
            sent_pps: rate(after.sent, before.sent, length),
            received_pps: rate(after.received, before.received, length),
            attack_intended_pps: sum(true, |pace| pace.intended_pps),
            attack_pps: sum(true, |pace| pace.sent_pps),
            stream_intended_pps: sum(false, |pace| pace.intended_pps),
            stream_pps: sum(false, |pace| pace.sent_pps),
            latency,
            lateness,
        }
    }

    /// The interval's latency and lateness, which move to the whole run's.
    pub(super) fn take_interval(&mut self) -> (Percentiles, Percentiles) {
        let meter = self.swarm.meter_mut();
        let points = (meter.latency.percentiles(), meter.lateness.percentiles());
        self.latency.add(&meter.latency);
        self.lateness.add(&meter.lateness);
        meter.latency.clear();
        meter.lateness.clear();
        points
    }
}
