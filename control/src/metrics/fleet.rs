//! The fleet as metrics: what is declared, and how this server's dataplane sees it.

use super::text::{Kind, Text};
use crate::desk::Desk;
use crate::model::fleet::{Member, MemberState};

pub(super) fn write(text: &mut Text, desk: &Desk) {
    let (book, seen) = (desk.book(), desk.status().fleet);
    let fleet = book.fleet();
    if fleet.is_none() && seen.is_none() {
        return;
    }
    text.family(
        "millrace_fleet_generation",
        Kind::Gauge,
        "The fleet's generation: as declared, and as the dataplane has it in force.",
    );
    if let Some(fleet) = fleet {
        text.sample(&[("where", "declared")], fleet.generation.into());
    }
    if let Some(seen) = seen {
        text.sample(&[("where", "dataplane")], seen.generation.into());
        text.family(
            "millrace_fleet_digest",
            Kind::Info,
            "The digest over the owner table: alike on all servers that see the same fleet.",
        );
        let (server, digest) = (seen.server.to_string(), format!("{:016x}", seen.digest));
        text.sample(&[("server", &server), ("digest", &digest)], 1);
    }
    if let Some(fleet) = fleet {
        members(text, &fleet.members);
    }
    if let Some(held) = seen.map(|seen| seen.held).filter(|held| *held != u64::MAX) {
        text.family(
            "millrace_fleet_held",
            Kind::Gauge,
            "Client ids that this server still holds while it drains.",
        );
        text.sample(&[], held);
    }
}

fn members(text: &mut Text, members: &[Member]) {
    text.family("millrace_fleet_members", Kind::Gauge, "Servers of the fleet by state.");
    let count = |is_it: fn(&MemberState) -> bool| {
        members.iter().filter(|member| is_it(&member.state)).count() as u64
    };
    let active = count(|state| matches!(state, MemberState::Active));
    let draining = count(|state| matches!(state, MemberState::Draining { .. }));
    let down = count(|state| matches!(state, MemberState::Down));
    for (state, count) in [("active", active), ("draining", draining), ("down", down)] {
        text.sample(&[("state", state)], count);
    }
}
