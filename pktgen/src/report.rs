//! What a run has shown: a line per interval and a table for people, the same as JSON for machines, a plot of the
//! latencies, and the verdict that the exit code repeats.

mod history;
mod plot;
pub mod responder;
mod streams;

pub use history::History;
pub use plot::{percentiles_svg, rates_svg};
pub use streams::{Pace, Stream, told_apart};

use std::fmt::Write as _;

use serde::Serialize;

use crate::barrage;
use crate::client::Tally;
use crate::measure::{Percentiles, Sums};

/// Layout of the JSON; it changes when a field changes its meaning or goes.
const SCHEMA: u32 = 1;

/// A generator that stands still for longer than this, nanoseconds, may lose what comes meanwhile: queues of
/// virtual devices hold some hundred frames.
const STALL_NS: u64 = 50_000_000;

/// An interval of a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Interval {
    /// Its end, seconds from the start of the traffic.
    pub at_secs: f64,
    /// Packets per second that were planned.
    pub intended_pps: f64,
    /// Packets per second that were sent.
    pub sent_pps: f64,
    /// Packets per second that arrived.
    pub received_pps: f64,
    /// Frames per second of all attacks.
    pub attack_pps: f64,
    /// From planned sending to arrival.
    pub latency: Percentiles,
    /// From planned to actual sending.
    pub lateness: Percentiles,
}

/// What a run amounts to, from good to bad; the exit code is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As asked, and everything adds up.
    Good = 0,
    /// Something asked for was not reached: clients without a session, packets not sent in time.
    Unreached = 2,
    /// More packets are missing than allowed.
    Loss = 3,
    /// Counts do not add up: the figures are not to be believed.
    Unbalanced = 4,
}

/// One attack of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Attack {
    /// Its name.
    pub name: String,
    /// Its counts.
    pub tally: barrage::Tally,
    /// How late its frames left.
    pub lateness: Percentiles,
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Layout of this record.
    pub schema: u32,
    /// The seed.
    pub seed: u64,
    /// Clients asked for.
    pub clients: u32,
    /// Clients that had a session when the traffic began.
    pub connected: u32,
    /// Seconds until then.
    pub connect_secs: f64,
    /// Seconds of traffic.
    pub traffic_secs: f64,
    /// Largest share of missing packets that is good, 0..=1; none allows any.
    pub loss_allowed: Option<f64>,
    /// Frames that the device lost because the generator did not fetch them in time.
    pub device_missed: u64,
    /// What became of the device, and when, if it went before the end.
    pub device_gone: Option<String>,
    /// Neighbours that did not say where they are.
    pub unresolved: Vec<String>,
    /// Every count of the clients.
    pub tally: Tally,
    /// Sequences of all streams.
    pub sums: Sums,
    /// From planned sending to arrival.
    pub latency: Percentiles,
    /// From planned to actual sending.
    pub lateness: Percentiles,
    /// The attacks beside.
    pub attacks: Vec<Attack>,
    /// What stands behind the server, if that ran here too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responder: Option<responder::Responder>,
    /// Synthetic streams and replays.
    pub streams: Vec<Stream>,
    /// What is counted beside them.
    pub beside_streams: crate::streams::Tally,
    /// What it amounts to.
    pub verdict: Verdict,
    /// One sentence for each thing that is not as it should be.
    pub remarks: Vec<String>,
}

impl Report {
    /// Judges the figures and adds the remarks.
    pub fn judge(&mut self) {
        self.schema = SCHEMA;
        let behind = self.responder.iter().flat_map(responder::Responder::judge);
        let found = self.unreached().into_iter().chain(behind).chain(self.faults());
        let found: Vec<_> = found.chain(self.stream_faults()).collect();
        self.verdict = found.iter().map(|(verdict, _)| *verdict).max().unwrap_or(Verdict::Good);
        self.remarks = found.into_iter().map(|(_, remark)| remark).collect();
    }

    /// What was asked for and not reached.
    fn unreached(&self) -> Vec<(Verdict, String)> {
        let mut found = Vec::new();
        let mut unreached = |remark| found.push((Verdict::Unreached, remark));
        let tally = &self.tally;
        if let Some(gone) = &self.device_gone {
            unreached(format!("{gone}; the figures are those until then"));
        }
        if !self.unresolved.is_empty() {
            let who = self.unresolved.join(" and ");
            unreached(format!(
                "nobody on the link says where {who} is: check device.name, server.endpoints, server.gateways and the cable"
            ));
        } else if self.connected < self.clients {
            let missing = self.clients - self.connected;
            let why = if tally.handshakes_received == 0 {
                "nothing has answered a handshake: check server.public_key, server.endpoints, and that the server knows these peers (millrace-pktgen peers)"
            } else {
                "raise run.connect_secs, or see what the server drops"
            };
            unreached(format!("{missing} clients had no session in time; {why}"));
        }
        let owed: u64 =
            self.attacks.iter().map(|attack| attack.tally.owed).sum::<u64>() + tally.owed;
        if owed > 0 {
            unreached(format!(
                "{owed} packets were due and not sent: the rate is too high for this core"
            ));
        }
        let refused: u64 = self.attacks.iter().map(|attack| attack.tally.without_room).sum::<u64>()
            + tally.without_room
            + tally.frames_unsent;
        if refused > 0 {
            unreached(format!(
                "the device did not take {refused} frames: the rate is too high for it"
            ));
        }
        if tally.without_session > 0 {
            unreached(format!(
                "{} packets were due at clients without a session",
                tally.without_session
            ));
        }
        if self.device_missed > 0 {
            unreached(format!(
                "the device lost {} frames that were not fetched in time: loss below may be the generator's own",
                self.device_missed
            ));
        }
        found
    }

    /// Loss, and what does not add up.
    fn faults(&self) -> Vec<(Verdict, String)> {
        let mut found = Vec::new();
        let (tally, sums) = (&self.tally, &self.sums);
        // Without its device a run loses the rest, and that has been said.
        let had_device = self.device_gone.is_none();
        let is_lossy = |allowed: &f64| had_device && share(sums.missing, sums.sent) > *allowed;
        if let Some(allowed) = self.loss_allowed.filter(is_lossy) {
            let (missing, sent) = (sums.missing, sums.sent);
            let stall = if self.lateness.max_ns > STALL_NS {
                let longest = time(self.lateness.max_ns);
                format!(
                    "; the generator stood still for {longest}, so its own device may have lost them: give it a core, or the device more buffers (framecnt=4096)"
                )
            } else {
                String::new()
            };
            let remark = format!(
                "{missing} of {sent} packets are missing, more than the share {allowed} that is allowed{stall}"
            );
            found.push((Verdict::Loss, remark));
        }
        if tally.misdelivered > 0 {
            found.push((
                Verdict::Unbalanced,
                format!("{} packets came to the wrong client", tally.misdelivered),
            ));
        }
        let unaccounted = tally.unaccounted();
        if unaccounted > 0 || !sums.adds_up() || self.attacks.iter().any(|a| !a.tally.adds_up()) {
            found.push((Verdict::Unbalanced, format!("the books do not add up: {unaccounted} frames unaccounted for, {} strange sequences", sums.strange)));
        }
        found
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let has_others = self.clients > 0 || !self.attacks.is_empty() || !self.streams.is_empty();
        if has_others || self.responder.is_none() {
            self.write_clients(text)?;
        }
        let mut unaccounted = self.tally.unaccounted();
        if let Some(responder) = &self.responder {
            responder.write(text)?;
            unaccounted += responder.unaccounted();
        }
        for remark in &self.remarks {
            writeln!(text, "! {remark}")?;
        }
        writeln!(text, "unaccounted  {unaccounted}")
    }

    fn write_clients(&self, text: &mut String) -> std::fmt::Result {
        let (tally, sums) = (&self.tally, &self.sums);
        let Self { clients, connected, connect_secs, traffic_secs, .. } = self;
        writeln!(
            text,
            "clients      {connected} of {clients} connected in {connect_secs:.3} s, {} sessions, {} moves",
            tally.sessions, tally.moves
        )?;
        let rate = |count: u64| ratio(count, 1) / traffic_secs.max(f64::MIN_POSITIVE);
        writeln!(
            text,
            "planned      {} packets in {traffic_secs:.3} s ({:.1} pps)",
            tally.planned + tally.owed,
            rate(tally.planned + tally.owed)
        )?;
        writeln!(
            text,
            "sent         {} ({:.1} pps), no session {}, no room {}, owed {}",
            sums.sent,
            rate(sums.sent),
            tally.without_session,
            tally.without_room,
            tally.owed
        )?;
        if tally.prepared > 0 {
            writeln!(text, "sealed       {} packets before the traffic began", tally.prepared)?;
        }
        if tally.races > 0 {
            let Tally { races, won_v4, won_v6, late_answers, .. } = tally;
            writeln!(
                text,
                "races        {races}, won over IPv4 {won_v4}, over IPv6 {won_v6}, late answers {late_answers}"
            )?;
        }
        writeln!(text, "received     {} ({:.1} pps)", sums.received, rate(sums.received))?;
        writeln!(
            text,
            "missing      {} ({:.6} %), elsewhere {}, duplicates {}, reordered {}, too old {}",
            sums.missing,
            100.0 * share(sums.missing, sums.sent),
            sums.elsewhere,
            sums.duplicates,
            sums.reordered,
            sums.too_old
        )?;
        writeln!(text, "latency      {}", points(&self.latency))?;
        writeln!(text, "lateness     {}", points(&self.lateness))?;
        writeln!(
            text,
            "refused      {} datagrams, {} frames of others, {} misdelivered",
            tally.refused.total(),
            tally.foreign,
            tally.misdelivered
        )?;
        for attack in &self.attacks {
            let barrage::Tally { planned, sent, without_room, owed, .. } = attack.tally;
            writeln!(
                text,
                "attack       {}: planned {planned}, sent {sent} ({:.1} pps), no room {without_room}, owed {owed}",
                attack.name,
                rate(sent)
            )?;
        }
        for stream in &self.streams {
            stream.write(text, *traffic_secs)?;
        }
        Ok(())
    }
}

impl Interval {
    /// The line for people.
    pub fn line(&self) -> String {
        let Self { at_secs, intended_pps, sent_pps, received_pps, attack_pps, .. } = self;
        let attack =
            if *attack_pps > 0.0 { format!(" attack {attack_pps:.0}") } else { String::new() };
        format!(
            "{at_secs:7.1} s  intended {intended_pps:.0} sent {sent_pps:.0} received {received_pps:.0}{attack} pps  latency {}  lateness p99.9 {}",
            points(&self.latency),
            time(self.lateness.p99_9_ns),
        )
    }
}

fn points(percentiles: &Percentiles) -> String {
    let Percentiles { p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns } = *percentiles;
    let [p50, p90, p99, p99_9, max] = [p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns].map(time);
    format!("p50 {p50} p90 {p90} p99 {p99} p99.9 {p99_9} max {max}")
}

fn time(nanos: u64) -> String {
    match nanos {
        0..10_000 => format!("{nanos} ns"),
        10_000..10_000_000 => format!("{:.1} us", ratio(nanos, 1_000)),
        _ => format!("{:.1} ms", ratio(nanos, 1_000_000)),
    }
}

/// The first as a share of the second, 0 if that is 0.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { ratio(part, whole) }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people, of at most 53 bits")]
fn ratio(count: u64, unit: u64) -> f64 {
    count as f64 / unit as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            schema: 0,
            seed: 1,
            clients: 5,
            connected: 5,
            connect_secs: 0.1,
            traffic_secs: 2.0,
            loss_allowed: None,
            device_missed: 0,
            device_gone: None,
            unresolved: Vec::new(),
            tally: Tally::default(),
            sums: Sums::default(),
            latency: Percentiles { p50_ns: 900, p99_9_ns: 1_234_567, ..Percentiles::default() },
            lateness: Percentiles::default(),
            attacks: Vec::new(),
            responder: None,
            streams: Vec::new(),
            beside_streams: crate::streams::Tally::default(),
            verdict: Verdict::Unbalanced,
            remarks: Vec::new(),
        }
    }

    fn verdict(change: impl FnOnce(&mut Report)) -> (Verdict, String) {
        let mut report = report();
        change(&mut report);
        report.judge();
        (report.verdict, report.remarks.join(" "))
    }

    #[test]
    fn a_run_as_asked_is_good_and_the_worst_fault_decides() {
        assert_eq!(verdict(|_| ()), (Verdict::Good, String::new()));
        let (found, remark) = verdict(|report| report.connected = 4);
        assert!(found == Verdict::Unreached && remark.contains("server.public_key"), "{remark}");
        let (found, remark) = verdict(|report| {
            report.tally.owed = 3;
            report.tally.frames_sent = 1;
        });
        assert_eq!(found, Verdict::Unbalanced);
        assert!(remark.contains("3 packets were due") && remark.contains("1 frames"), "{remark}");
    }

    #[test]
    fn loss_counts_against_what_is_allowed() {
        let lossy = |allowed| {
            verdict(|report| {
                report.sums = Sums { sent: 100, received: 99, missing: 1, ..Sums::default() };
                report.loss_allowed = allowed;
            })
        };
        assert_eq!(lossy(None).0, Verdict::Good);
        assert_eq!(lossy(Some(0.01)).0, Verdict::Good);
        let (found, remark) = lossy(Some(0.0));
        assert!(found == Verdict::Loss && !remark.contains("stood still"), "{remark}");
        let (_, remark) = verdict(|report| {
            report.sums = Sums { sent: 9, received: 8, missing: 1, ..Sums::default() };
            (report.loss_allowed, report.lateness.max_ns) = (Some(0.0), 300_000_000);
        });
        assert!(remark.contains("stood still for 300.0 ms"), "{remark}");
    }

    #[test]
    fn the_table_and_the_json_say_the_same() {
        let mut report = report();
        report.judge();
        let table = report.table();
        assert!(table.contains("5 of 5 connected") && table.contains("p50 900 ns"), "{table}");
        assert!(table.contains("p99.9 1234.6 us"), "{table}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((json["schema"].as_u64(), json["verdict"].as_str()), (Some(1), Some("good")));
        assert_eq!(json["latency"]["p50_ns"].as_u64(), Some(900));
    }
}
