//! What a run has shown: a line per interval and a table for people, the same as JSON for machines, a plot of the
//! latencies, and the verdict that the exit code repeats.

mod frames;
mod history;
mod interval;
mod plot;
pub mod responder;
mod streams;
mod table;

pub use frames::Frames;
pub use history::History;
pub use interval::Interval;
pub use plot::{percentiles_svg, rates_svg};
pub use streams::{Pace, Stream, told_apart};

use serde::Serialize;

use crate::barrage;
use crate::client::Tally;
use crate::measure::{Percentiles, Sums};

/// Layout of the JSON; it changes when a field changes its meaning or goes.
const SCHEMA: u32 = 2;

/// A generator that stands still for longer than this, nanoseconds, may lose what comes meanwhile: queues of
/// virtual devices hold some hundred frames.
const STALL_NS: u64 = 50_000_000;

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
    /// What seals and opens the clients' packets.
    pub aead: &'static str,
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
    /// Every frame that the device gave or took.
    pub frames: Frames,
    /// Attacks that could not be made, and why.
    pub unarmed: Vec<String>,
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
                "nobody on the link says where {who} is: check device.name, device.gateways, server.endpoints, server.gateways and the cable"
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
        for why in &self.unarmed {
            unreached(why.clone());
        }
        found.extend(self.unsent());
        found
    }

    /// What was due and did not leave.
    fn unsent(&self) -> Vec<(Verdict, String)> {
        let mut found = Vec::new();
        let mut unreached = |count: u64, say: fn(u64) -> String| {
            found.extend((count > 0).then(|| (Verdict::Unreached, say(count))));
        };
        let (tally, frames) = (&self.tally, &self.frames);
        let of_attacks = |pick: fn(&barrage::Tally) -> u64| {
            self.attacks.iter().map(|attack| pick(&attack.tally)).fold(0, u64::saturating_add)
        };
        unreached(of_attacks(|tally| tally.owed).saturating_add(tally.owed), |owed| {
            format!("{owed} packets were due and not sent: the rate is too high for this core")
        });
        let beside = tally.frames_unsent + self.beside_streams.unsent;
        unreached(
            of_attacks(|tally| tally.without_room) + tally.without_room + beside,
            |refused| {
                format!("the device did not take {refused} frames: the rate is too high for it")
            },
        );
        unreached(of_attacks(|tally| tally.unbuilt), |unbuilt| {
            format!("{unbuilt} frames of attacks were due and could not be made")
        });
        unreached(frames.held, |held| {
            format!("{held} frames were still in front of the device at the end: it takes no more")
        });
        unreached(frames.failed, |failed| {
            format!("the device took {failed} frames and could not send them: see its link")
        });
        unreached(tally.without_session, |count| {
            format!("{count} packets were due at clients without a session")
        });
        unreached(frames.missed, |missed| {
            format!(
                "the device lost {missed} frames that were not fetched in time: loss below may be the generator's own"
            )
        });
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
        let unaccounted = tally.unaccounted() + self.unaccounted_frames();
        if unaccounted > 0 || !sums.adds_up() || self.attacks.iter().any(|a| !a.tally.adds_up()) {
            found.push((Verdict::Unbalanced, format!("the books do not add up: {unaccounted} frames unaccounted for, {} strange sequences", sums.strange)));
        }
        found
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

/// A count of so many seconds as a rate.
pub fn per_sec(count: u64, secs: f64) -> f64 {
    ratio(count, 1) / secs.max(f64::MIN_POSITIVE)
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
            aead: "portable",
            clients: 5,
            connected: 5,
            connect_secs: 0.1,
            traffic_secs: 2.0,
            loss_allowed: None,
            frames: Frames::default(),
            unarmed: Vec::new(),
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
            report.frames.taken = 1;
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
    fn a_frame_of_the_device_that_nobody_counts_is_the_worst_and_shows_in_the_sum() {
        for change in [|f: &mut Frames| f.received = 2, |f: &mut Frames| f.taken = 2] {
            let mut report = report();
            change(&mut report.frames);
            report.judge();
            assert_eq!(report.verdict, Verdict::Unbalanced);
            assert!(report.table().contains("unaccounted  2"), "{}", report.table());
        }
        let (found, remark) = verdict(|report| {
            (report.frames.received, report.tally.frames_received, report.tally.foreign) =
                (2, 2, 2);
        });
        assert_eq!((found, remark.as_str()), (Verdict::Good, ""));
    }

    #[test]
    fn what_never_left_or_was_never_made_is_said() {
        for (change, words) in [
            (|r: &mut Report| r.frames.held = 3, "3 frames were still in front"),
            (|r: &mut Report| r.frames.failed = 3, "took 3 frames and could not send"),
            (|r: &mut Report| r.frames.missed = 3, "lost 3 frames"),
            (|r: &mut Report| r.beside_streams.unsent = 3, "did not take 3 frames"),
            (|r: &mut Report| r.unarmed.push("attack x needs y".into()), "attack x needs y"),
        ] as [(fn(&mut Report), _); 5]
        {
            let (found, remark) = verdict(change);
            assert!(found == Verdict::Unreached && remark.contains(words), "{remark}");
        }
        let (found, remark) = verdict(|report| {
            let tally = barrage::Tally { planned: 2, unbuilt: 2, ..barrage::Tally::default() };
            let lateness = Percentiles::default();
            report.attacks.push(Attack { name: "replay".into(), tally, lateness });
        });
        assert!(found == Verdict::Unreached && remark.contains("could not be made"), "{remark}");
    }

    #[test]
    fn the_table_has_only_what_ran() {
        let mut report = report();
        report.clients = 0;
        report.connected = 0;
        let tally = barrage::Tally { planned: 9, sent: 9, ..barrage::Tally::default() };
        let lateness = Percentiles { p99_9_ns: 77, ..Percentiles::default() };
        report.attacks.push(Attack { name: "syn_flood".into(), tally, lateness });
        report.frames.taken = 9;
        report.judge();
        let table = report.table();
        for zero in ["clients", "planned      0", "sent         0", "latency ", "races", "missing"]
        {
            assert!(!table.contains(zero), "{zero}: {table}");
        }
        assert!(
            table.contains("syn_flood: planned 9 (4.5 pps), sent 9 (4.5 pps)")
                && table.contains("77 ns"),
            "{table}"
        );
        assert!(table.ends_with("unaccounted  0\n"), "{table}");
    }

    #[test]
    fn the_table_and_the_json_say_the_same() {
        let mut report = report();
        report.sums = Sums { sent: 1, received: 1, ..Sums::default() };
        report.tally.planned = 1;
        report.tally.data_sent = 1;
        (report.tally.frames_sent, report.frames.taken) = (1, 1);
        report.judge();
        let table = report.table();
        assert!(table.contains("5 of 5 connected") && table.contains("p50 900 ns"), "{table}");
        assert!(table.contains("p99.9 1234.6 us"), "{table}");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((json["schema"].as_u64(), json["verdict"].as_str()), (Some(2), Some("good")));
        assert_eq!(json["latency"]["p50_ns"].as_u64(), Some(900));
    }
}
