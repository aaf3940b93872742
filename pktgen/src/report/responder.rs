//! The responder's part of a report: the same figures as lines for people and as JSON.

use std::fmt::Write;

use serde::Serialize;

use super::Verdict;
use crate::responder::{self, Sums, Tally, gre, origin};

/// One tunnel.
#[derive(Clone, Debug, Serialize)]
pub struct Tunnel {
    /// Our outer address.
    pub local: String,
    /// The server's.
    pub remote: String,
    /// The key.
    pub key: Option<u32>,
    /// Whether it made mistakes on purpose, so that lost keepalives are as asked.
    pub has_faults: bool,
    /// Its counts.
    pub tally: gre::Tally,
}

/// The whole responder.
#[derive(Clone, Debug, Serialize)]
pub struct Responder {
    /// Every count of its frames.
    pub tally: Tally,
    /// Connections and requests.
    pub origin: origin::Tally,
    /// One-way traffic of other runs that ended here.
    pub sums: Sums,
    /// The tunnels, in the profile's order.
    pub tunnels: Vec<Tunnel>,
    /// Servers whose keepalives never left, because they did not say where they are.
    pub unresolved: Vec<String>,
}

/// What the responder does in an interval of a run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Interval {
    /// Its end, seconds from the start.
    pub at_secs: f64,
    /// Frames per second that came.
    pub received_pps: f64,
    /// Frames per second that were sent.
    pub sent_pps: f64,
    /// Requests per second that were answered.
    pub requests_per_sec: f64,
    /// Connections there are.
    pub connections: u64,
}

impl Interval {
    /// The line for people.
    pub fn line(&self) -> String {
        let Self { at_secs, received_pps, sent_pps, requests_per_sec, connections } = self;
        format!(
            "{at_secs:7.1} s  responder received {received_pps:.0} sent {sent_pps:.0} pps  requests {requests_per_sec:.0}/s  connections {connections}"
        )
    }
}

impl Responder {
    /// What a responder has to show.
    pub fn of(responder: &responder::Responder) -> Self {
        let tunnels = responder.tunnels().map(|tunnel| Tunnel {
            local: tunnel.plan().local.to_string(),
            remote: tunnel.plan().remote.to_string(),
            key: tunnel.plan().key,
            has_faults: tunnel.plan().faults != gre::Faults::default(),
            tally: tunnel.tally,
        });
        Self {
            tally: *responder.tally(),
            origin: *responder.origin(),
            sums: responder.sums(),
            tunnels: tunnels.collect(),
            unresolved: responder.link().unresolved().iter().map(ToString::to_string).collect(),
        }
    }

    /// Frames and connections in no count; always zero.
    pub const fn unaccounted(&self) -> u64 {
        self.tally.unaccounted() + self.origin.unaccounted()
    }

    /// What was asked for and not reached, and what cannot be.
    pub(super) fn judge(&self) -> Vec<(Verdict, String)> {
        let mut found = Vec::new();
        let Self { tally, origin, .. } = self;
        if !self.unresolved.is_empty() {
            let who = self.unresolved.join(" and ");
            found.push((Verdict::Unreached, format!(
                "nobody on the link says where {who} is, so no keepalive left: check responder.gre.remote, responder.gateways and the cable"
            )));
        }
        for tunnel in self.tunnels.iter().filter(|t| !t.has_faults && t.tally.keepalives_lost > 0) {
            let (lost, sent) = (tunnel.tally.keepalives_lost, tunnel.tally.keepalives_sent);
            found.push((Verdict::Unreached, format!(
                "the server at {} answered {lost} of {sent} keepalives from {} late or not at all",
                tunnel.remote, tunnel.local
            )));
        }
        if tally.frames_unsent > 0 {
            let unsent = tally.frames_unsent;
            let remark = format!("the device did not take {unsent} frames of the responder");
            found.push((Verdict::Unreached, remark));
        }
        if origin.refused > 0 {
            let refused = origin.refused;
            let remark =
                format!("{refused} connections found no room: raise responder.connections_max");
            found.push((Verdict::Unreached, remark));
        }
        if tally.misdelivered > 0 {
            let count = tally.misdelivered;
            let remark =
                format!("{count} packets came through a tunnel whose tenant they are not for");
            found.push((Verdict::Unbalanced, remark));
        }
        if self.unaccounted() > 0 {
            let count = self.unaccounted();
            let remark = format!("the responder's books do not add up: {count} unaccounted for");
            found.push((Verdict::Unbalanced, remark));
        }
        found
    }

    /// The lines for people.
    pub(super) fn write(&self, text: &mut String) -> std::fmt::Result {
        let Self { tally, origin, sums, .. } = self;
        writeln!(
            text,
            "responder    {} frames received, {} sent, {} not taken; {} echoes, {} neighbours, {} of others, {} unreadable",
            tally.frames_received,
            tally.frames_sent,
            tally.frames_unsent,
            tally.echoes,
            tally.neighbour_received,
            tally.foreign + tally.other,
            tally.unreadable
        )?;
        writeln!(
            text,
            "origin       {} connections ({} at once), {} closed, {} aborted, {} abandoned, {} without room; {} requests, {} bad, {} octets out, {} in",
            origin.opened,
            origin.live_max,
            origin.closed,
            origin.aborted,
            origin.abandoned,
            origin.refused,
            origin.requests,
            origin.bad_requests,
            origin.octets_sent,
            origin.octets_received
        )?;
        if sums.streams > 0 {
            writeln!(
                text,
                "one-way      {} streams, received {}, missing {}, duplicates {}, reordered {}, too old {}, strange {}",
                sums.streams,
                sums.received,
                sums.missing,
                sums.duplicates,
                sums.reordered,
                sums.too_old,
                sums.strange
            )?;
        }
        self.tunnels.iter().try_for_each(|tunnel| tunnel.write(text))?;
        if tally.gre_refused() + tally.misdelivered > 0 {
            writeln!(
                text,
                "gre refused  {} of no tunnel, {} with a wrong key, {} malformed, {} without a packet, {} misdelivered",
                tally.gre_unknown,
                tally.gre_key,
                tally.gre_malformed,
                tally.gre_inner,
                tally.misdelivered
            )?;
        }
        Ok(())
    }
}

impl Tunnel {
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let tally = &self.tally;
        let key = self.key.map_or_else(String::new, |key| format!(" key {key}"));
        writeln!(
            text,
            "gre          {} to {}{key}: {} in, {} out, keepalives {} sent {} answered {} lost, {} of the server; {} gaps, {} late",
            self.local,
            self.remote,
            tally.packets_received,
            tally.packets_sent,
            tally.keepalives_sent,
            tally.keepalives_answered,
            tally.keepalives_lost,
            tally.keepalives_received,
            tally.sequence_gaps,
            tally.sequence_late
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn responder() -> Responder {
        let tally = gre::Tally { keepalives_sent: 4, keepalives_lost: 1, ..gre::Tally::default() };
        let (local, remote) = ("198.51.100.2".into(), "192.0.2.1".into());
        Responder {
            tally: Tally::default(),
            origin: origin::Tally::default(),
            sums: Sums::default(),
            tunnels: vec![Tunnel { local, remote, key: Some(7), has_faults: false, tally }],
            unresolved: Vec::new(),
        }
    }

    fn worst(change: impl FnOnce(&mut Responder)) -> Option<Verdict> {
        let mut responder = responder();
        change(&mut responder);
        responder.judge().into_iter().map(|(verdict, _)| verdict).max()
    }

    #[test]
    fn lost_keepalives_are_a_fault_unless_they_were_asked_for() {
        assert_eq!(worst(|_| ()), Some(Verdict::Unreached));
        assert_eq!(worst(|r| r.tunnels[0].has_faults = true), None);
    }

    #[test]
    fn a_packet_of_another_tenant_and_a_frame_in_no_count_are_the_worst() {
        assert_eq!(worst(|r| r.tally.misdelivered = 1), Some(Verdict::Unbalanced));
        assert_eq!(worst(|r| r.tally.frames_received = 1), Some(Verdict::Unbalanced));
        assert_eq!(worst(|r| r.origin.opened = 1), Some(Verdict::Unbalanced));
    }

    #[test]
    fn the_lines_say_what_the_json_says() {
        let mut text = String::new();
        responder().write(&mut text).unwrap();
        assert!(text.contains("key 7: 0 in, 0 out, keepalives 4 sent 0 answered 1 lost"), "{text}");
        let json = serde_json::to_value(responder()).unwrap();
        assert_eq!(json["tunnels"][0]["tally"]["keepalives_lost"].as_u64(), Some(1));
    }
}
