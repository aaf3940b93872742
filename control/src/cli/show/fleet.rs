//! The fleet as people read it.

use std::io;

use crate::api::message::{FleetShown, MemberShown};
use crate::cli::table::Output;

const MEMBER: [&str; 5] = ["SERVER", "ADDRESSES", "WEIGHT", "STATE", "DEADLINE"];

pub(super) fn show(shown: &FleetShown, output: &mut Output) -> io::Result<()> {
    for member in &shown.members {
        output.row(&MEMBER, row(member))?;
    }
    let past: Vec<String> = shown.past.iter().map(ToString::to_string).collect();
    let past = if past.is_empty() { "none".to_owned() } else { past.join(", ") };
    let (generation, origin) = (shown.generation, &shown.origin);
    output.line(&format!("generation {generation} in {origin}; before it {past}"))?;
    if let Some(server) = shown.server {
        let digest = shown.digest.as_deref().unwrap_or("none");
        let seen = match shown.in_force {
            None | Some(0) => "no generation".to_owned(),
            Some(seen) => format!("generation {seen}"),
        };
        let held = shown.held.map_or_else(String::new, |held| format!("; holds {held} clients"));
        output.line(&format!(
            "this server is {server}, with {seen} in force; digest {digest}{held}"
        ))?;
    }
    match &shown.trouble {
        Some(trouble) => output.line(&format!("not in force here: {trouble}")),
        None => Ok(()),
    }
}

fn row(member: &MemberShown) -> Vec<String> {
    let addresses: Vec<String> = member.addresses.iter().map(ToString::to_string).collect();
    vec![
        member.server.to_string(),
        addresses.join(","),
        member.weight.to_string(),
        member.state.clone(),
        member.deadline.map_or_else(|| "-".to_owned(), time),
    ]
}

pub(super) fn time(unix: u64) -> String {
    let seconds = i64::try_from(unix).ok();
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "never".to_owned(), |time| time.to_string())
}
