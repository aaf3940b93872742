//! The streams beside the clients in the report: counted apart, each by its name.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Attack, Report, Verdict, per_sec, points, share};
use crate::barrage::{Barrage, Kind, Tally};
use crate::measure::{Percentiles, Sums};

/// A stream in an interval.
#[derive(Clone, Debug, Serialize)]
pub struct Pace {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Frames per second that were planned.
    pub intended_pps: f64,
    /// Frames per second given to the device.
    pub sent_pps: f64,
    /// Of its measured packets, how many came back per second.
    pub returned_pps: f64,
    /// From planned to actual sending.
    pub lateness: Percentiles,
}

impl Pace {
    /// The part of a line for people.
    pub fn text(&self) -> String {
        let back = if self.returned_pps > 0.0 {
            format!(" back {:.0}", self.returned_pps)
        } else {
            String::new()
        };
        let Self { name, intended_pps, sent_pps, .. } = self;
        let late = super::time(self.lateness.p99_9_ns);
        format!("{name} intended {intended_pps:.0} sent {sent_pps:.0}{back} pps late {late}")
    }
}

/// A synthetic stream or a replay of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Stream {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its counts.
    pub tally: Tally,
    /// Frames that never came due; none for a stream without end.
    pub left: Option<u64>,
    /// The sequences of its measured packets.
    pub sums: Sums,
    /// From planned sending to return.
    pub latency: Percentiles,
    /// From planned to actual sending.
    pub lateness: Percentiles,
    /// Whether every frame, either way, is in exactly one count.
    pub adds_up: bool,
}

/// Attacks, and all others.
pub fn told_apart(barrages: &[Barrage]) -> (Vec<Attack>, Vec<Stream>) {
    let (attacks, others): (Vec<_>, Vec<_>) =
        barrages.iter().partition(|barrage| barrage.kind() == Kind::Attack);
    let attacks = attacks.into_iter().map(|barrage| Attack {
        name: barrage.name().to_owned(),
        tally: *barrage.tally(),
        lateness: barrage.lateness(),
    });
    let streams = others.into_iter().map(|barrage| Stream {
        kind: barrage.kind(),
        name: barrage.name().to_owned(),
        tally: *barrage.tally(),
        left: barrage.left(),
        sums: barrage.sums(),
        latency: barrage.latency().percentiles(),
        lateness: barrage.lateness(),
        adds_up: barrage.adds_up(),
    });
    (attacks.collect(), streams.collect())
}

impl Stream {
    /// Its lines of the table.
    pub(super) fn write(&self, text: &mut String, secs: f64) -> std::fmt::Result {
        let Tally { planned, sent, without_room, owed, returned, .. } = self.tally;
        let planned = planned.saturating_add(owed);
        let [intended, rate] = [planned, sent].map(|count| per_sec(count, secs));
        let kind = self.kind.name();
        writeln!(
            text,
            "{kind:<12} {}: planned {planned} ({intended:.1} pps), sent {sent} ({rate:.1} pps), no room {without_room}, owed {owed}, lateness p99.9 {}",
            self.name,
            super::time(self.lateness.p99_9_ns)
        )?;
        if self.sums.sent == 0 {
            return Ok(());
        }
        let Sums { missing, duplicates, reordered, too_old, .. } = self.sums;
        let percent = 100.0 * share(missing, self.sums.sent);
        writeln!(
            text,
            "             measured {}, back {returned}, missing {missing} ({percent:.6} %), duplicates {duplicates}, reordered {reordered}, too old {too_old}",
            self.sums.sent
        )?;
        writeln!(text, "             latency {}", points(&self.latency))
    }
}

impl Report {
    /// What the streams did not reach, lost, or cannot account for.
    pub(super) fn stream_faults(&self) -> Vec<(Verdict, String)> {
        self.streams
            .iter()
            .flat_map(|stream| self.faults_of(stream))
            .chain(self.strange())
            .collect()
    }

    fn faults_of(&self, stream: &Stream) -> Vec<(Verdict, String)> {
        let (mut found, name) = (Vec::new(), &stream.name);
        if stream.tally.owed > 0 {
            let owed = stream.tally.owed;
            let what = format!(
                "{name}: {owed} frames were due and not sent: the rate is too high for this core"
            );
            found.push((Verdict::Unreached, what));
        }
        if stream.tally.without_room > 0 {
            let refused = stream.tally.without_room;
            let what = format!(
                "{name}: the device did not take {refused} frames: the rate is too high for it"
            );
            found.push((Verdict::Unreached, what));
        }
        if let Some(left) = stream.left.map(|left| left.saturating_sub(stream.tally.owed))
            && left > 0
            && self.unresolved.is_empty()
        {
            let what = format!(
                "{name}: {left} frames of the capture were not due yet at the end; raise run.secs or the pace"
            );
            found.push((Verdict::Unreached, what));
        }
        let Sums { missing, sent, .. } = stream.sums;
        // Without its device a run loses the rest, and that has been said.
        let had_device = self.device_gone.is_none();
        let is_lossy = |allowed| had_device && share(missing, sent) > allowed;
        if self.loss_allowed.is_some_and(is_lossy) {
            let what = format!(
                "{name}: {missing} of {sent} measured packets did not come back, more than is allowed; measure = false is for packets that are not to come back"
            );
            found.push((Verdict::Loss, what));
        }
        if !stream.adds_up {
            found.push((Verdict::Unbalanced, format!("{name}: the books do not add up")));
        }
        found
    }

    fn strange(&self) -> Option<(Verdict, String)> {
        let strange = self.beside_streams.strange;
        (strange > 0).then(|| {
            let what = format!("{strange} packets came back that name no stream of this run");
            (Verdict::Unbalanced, what)
        })
    }
}
