//! The report as a table for people: only of what ran.

use std::fmt::Write as _;

use super::{Attack, Report, per_sec, points, share, time};
use crate::barrage;
use crate::client::Tally;

impl Report {
    /// The table for people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        if self.clients > 0 {
            self.write_clients(text)?;
        }
        if self.tally.planned.saturating_add(self.tally.owed) > 0 {
            self.write_traffic(text)?;
        }
        for attack in &self.attacks {
            attack.write(text, self.traffic_secs)?;
        }
        for stream in &self.streams {
            stream.write(text, self.traffic_secs)?;
        }
        if let Some(responder) = &self.responder {
            responder.write(text)?;
        }
        for remark in &self.remarks {
            writeln!(text, "! {remark}")?;
        }
        writeln!(text, "unaccounted  {}", self.unaccounted())
    }

    fn write_clients(&self, text: &mut String) -> std::fmt::Result {
        let Self { tally, clients, connected, connect_secs, .. } = self;
        writeln!(
            text,
            "clients      {connected} of {clients} connected in {connect_secs:.3} s, {} sessions, {} moves",
            tally.sessions, tally.moves
        )?;
        if tally.races > 0 {
            let Tally { races, won_v4, won_v6, late_answers, .. } = tally;
            writeln!(
                text,
                "races        {races}, won over IPv4 {won_v4}, over IPv6 {won_v6}, late answers {late_answers}"
            )?;
        }
        writeln!(
            text,
            "refused      {} datagrams, {} frames of others, {} misdelivered",
            tally.refused.total(),
            tally.foreign,
            tally.misdelivered
        )
    }

    fn write_traffic(&self, text: &mut String) -> std::fmt::Result {
        let (tally, sums, traffic_secs) = (&self.tally, &self.sums, self.traffic_secs);
        let rate = |count: u64| per_sec(count, traffic_secs);
        let planned = tally.planned.saturating_add(tally.owed);
        writeln!(
            text,
            "planned      {planned} packets in {traffic_secs:.3} s ({:.1} pps)",
            rate(planned)
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
        match tally.prepared {
            0 => writeln!(text, "sealed       as they left, by AEAD {}", self.aead)?,
            count => writeln!(
                text,
                "sealed       {count} packets before the traffic began, by AEAD {}",
                self.aead
            )?,
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
        writeln!(text, "lateness     {}", points(&self.lateness))
    }
}

impl Attack {
    fn write(&self, text: &mut String, secs: f64) -> std::fmt::Result {
        let barrage::Tally { planned, sent, without_room, owed, .. } = self.tally;
        let planned = planned.saturating_add(owed);
        writeln!(
            text,
            "attack       {}: planned {planned} ({:.1} pps), sent {sent} ({:.1} pps), no room {without_room}, owed {owed}, lateness p99.9 {}",
            self.name,
            per_sec(planned, secs),
            per_sec(sent, secs),
            time(self.lateness.p99_9_ns)
        )
    }
}
