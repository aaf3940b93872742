//! A change of the fleet in the text of its file: comments, order and everything else stay as they are.

use std::time::Duration;

use jiff::Timestamp;
use shm::limits::PAST_MAX;
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use crate::model::fleet::{Member, MemberState, next_generation};
use crate::model::{Cause, Fleet, Refused};

/// What shall become of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Its state.
    State(MemberState),
    /// Its weight.
    Weight(u16),
}

/// The text with the change made: the member is as it shall be, the generation is the next one, and the membership that
/// was in force is the newest past one. None when the member is so already.
pub(super) fn edit(
    text: &str,
    fleet: &Fleet,
    server: u8,
    edit: Edit,
) -> Result<Option<String>, Refused> {
    let invalid = |what: String| Refused::new(Cause::Invalid, what);
    let Some(old) = fleet.members.iter().find(|member| member.server == server) else {
        let what = format!("the fleet has no member {server}; `millrace fleet list` shows them");
        return Err(Refused::new(Cause::Unknown, what));
    };
    let new = match edit {
        Edit::State(state) => Member { state, ..*old },
        Edit::Weight(weight) => Member { weight, ..*old },
    };
    if new == *old {
        return Ok(None);
    }
    check_last(fleet, new)?;
    let mut document: DocumentMut = text.parse().map_err(|error| invalid(format!("{error}")))?;
    let table = document.get_mut("fleet").and_then(Item::as_table_mut);
    let table = table.ok_or_else(|| not_sections("fleet", "[fleet]"))?;
    put(table, "generation", i64::from(next_generation(fleet.generation)).into());
    change(member_of(table, server)?, edit);
    remember(table, fleet)?;
    Ok(Some(document.to_string()))
}

/// The last one that takes new clients goes on taking them.
fn check_last(fleet: &Fleet, new: Member) -> Result<(), Refused> {
    let server = new.server;
    let (took, weights) = (fleet.weights(), {
        let members = fleet.members.iter().map(|old| if old.server == server { new } else { *old });
        Fleet::new(fleet.generation, members.collect(), Vec::new(), fleet.origin).weights()
    });
    if took.iter().any(|(taking, _)| *taking == server) && weights.is_empty() {
        let what = format!(
            "member {server} is the last active one with a weight, and nobody else would take new \
             clients; make another one active first (`millrace fleet up`)"
        );
        return Err(Refused::new(Cause::Conflict, what));
    }
    Ok(())
}

fn not_sections(key: &str, form: &str) -> Refused {
    let what = format!("`{key}` is not written as {form}; write it so, or change it by hand");
    Refused::new(Cause::Invalid, what)
}

fn member_of(fleet: &mut Table, server: u8) -> Result<&mut Table, Refused> {
    let members = fleet.get_mut("member").and_then(Item::as_array_of_tables_mut);
    let members = members.ok_or_else(|| not_sections("member", "[[fleet.member]]"))?;
    let number = |table: &Table| table.get("server").and_then(Item::as_integer);
    let mut members = members.iter_mut();
    let found = members.find(|table| number(table) == Some(server.into()));
    found.ok_or_else(|| not_sections("member", "[[fleet.member]]"))
}

/// Puts a value in the place of another, beside the same comments.
fn put(table: &mut Table, key: &str, mut new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => drop(table.insert(key, Item::Value(new))),
    }
}

fn change(member: &mut Table, edit: Edit) {
    let state = match edit {
        Edit::Weight(weight) => return put(member, "weight", i64::from(weight).into()),
        Edit::State(MemberState::Active) => "active",
        Edit::State(MemberState::Draining { .. }) => "draining",
        Edit::State(MemberState::Down) => "down",
    };
    put(member, "state", state.into());
    if let Edit::State(MemberState::Draining { deadline: Some(deadline) }) = edit {
        put(member, "deadline", time(deadline).into());
    } else {
        member.remove("deadline");
    }
}

/// A time since the Unix epoch as text.
fn time(since: Duration) -> String {
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
}

/// The weights of a past generation, in order, however they are written.
fn weights_of(past: &Table) -> Vec<(&str, Option<i64>)> {
    let weights = past.get("weights").and_then(Item::as_table_like);
    let pairs = weights.into_iter().flat_map(|weights| weights.iter());
    let mut pairs: Vec<_> = pairs.map(|(server, weight)| (server, weight.as_integer())).collect();
    pairs.sort_unstable();
    pairs
}

/// Makes the membership that was in force the newest past one.
fn remember(fleet: &mut Table, was: &Fleet) -> Result<(), Refused> {
    let mut weights = InlineTable::new();
    for (server, weight) in was.weights() {
        weights.insert(server.to_string(), i64::from(weight).into());
    }
    let mut past = Table::new();
    past.insert("generation", value(i64::from(was.generation)));
    past.insert("weights", value(weights));
    let none = || Item::ArrayOfTables(ArrayOfTables::new());
    let all = fleet.entry("past").or_insert_with(none).as_array_of_tables_mut();
    let all = all.ok_or_else(|| not_sections("past", "[[fleet.past]]"))?;
    // An older one with the same weights says nothing more.
    all.retain(|other| weights_of(other) != weights_of(&past));
    all.insert(0, past);
    while all.len() > PAST_MAX {
        all.remove(all.len() - 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
