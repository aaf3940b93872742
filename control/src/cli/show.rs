//! Answers as people read them.

mod argo;
mod dos;
mod fleet;
mod tenant;

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::Failure;
use super::connection::Connection;
use super::table::Output;
use crate::api::message::{
    Answer, CountersShown, DifferenceShown, HopText, PeerShown, Request, StatusShown,
};
use crate::drops::{self, DROPS};
pub(super) use dos::events as dos_events;

const PEER: [&str; 7] =
    ["PEER", "ALLOWED IPS", "ENDPOINT", "HANDSHAKE", "RECEIVED", "SENT", "ORIGIN"];
const ROUTE: [&str; 3] = ["PREFIX", "NEXT HOP", "ORIGIN"];
const NEXT_HOP: [&str; 5] = ["NAME", "KIND", "LEADS TO", "ROUTES", "ORIGIN"];

/// A line of an answer.
pub(super) fn answer(answer: Answer, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let shown = match &answer {
            Answer::Peer(peer) => output.json(peer),
            Answer::Route(route) => output.json(route),
            Answer::NextHop(hop) => output.json(hop),
            Answer::Fleet(fleet) => output.json(fleet),
            Answer::Rule(rule) => output.json(rule),
            Answer::Dos(shown) => output.json(shown),
            Answer::Heavy(heavy) => output.json(heavy),
            Answer::Event(entry) => output.json(entry),
            Answer::TenantListed(shown) => output.json(shown),
            Answer::Tenant(shown) => output.json(shown),
            Answer::Ruleset(shown) => output.json(shown),
            Answer::Tested(shown) => output.json(shown),
            Answer::Argo(shown) => output.json(shown),
            Answer::Centre(shown) => output.json(shown),
            Answer::Tunnel(shown) => output.json(shown),
            Answer::Status(status) => output.json(status),
            Answer::Counters(counters) => output.json(counters),
            Answer::Difference(difference) => output.json(difference),
            Answer::Done { .. } | Answer::Refused { .. } => Ok(()),
        };
        return Ok(shown?);
    }
    match answer {
        Answer::Peer(shown) if shown.client_id.is_some() => peer_alone(&shown, output)?,
        Answer::Peer(shown) => output.row(&PEER, peer(&shown))?,
        Answer::Route(route) => {
            let peer = route.peer.map(|peer| format!("peer {peer}"));
            let to = route.next_hop.or(peer).unwrap_or_default();
            output.row(&ROUTE, vec![route.prefix, to, route.origin])?;
        }
        Answer::NextHop(hop) => output.row(&NEXT_HOP, next_hop(hop))?,
        Answer::Fleet(shown) => fleet::show(&shown, output)?,
        Answer::Rule(shown) => dos::rule(shown, output)?,
        Answer::Dos(shown) => dos::show(&shown, output)?,
        Answer::Heavy(shown) => dos::heavy(shown, output)?,
        Answer::Event(entry) => dos::event(&entry, output)?,
        Answer::TenantListed(shown) => tenant::listed(shown, output)?,
        Answer::Tenant(shown) => tenant::seen(&shown, output)?,
        Answer::Ruleset(shown) => tenant::ruleset(&shown, output)?,
        Answer::Tested(shown) => tenant::tested(&shown, output)?,
        Answer::Tunnel(shown) => tenant::tunnel(&shown, output)?,
        Answer::Argo(shown) => argo::show(&shown, output)?,
        Answer::Centre(shown) => argo::centre(&shown, output)?,
        Answer::Status(shown) => status(&shown, output)?,
        Answer::Difference(shown) => difference(&shown, output)?,
        Answer::Counters(_) | Answer::Done { .. } | Answer::Refused { .. } => {}
    }
    Ok(())
}

fn difference(shown: &DifferenceShown, output: &mut Output) -> io::Result<()> {
    for line in &shown.lines {
        output.line(line)?;
    }
    let [peers, routes, hops] = shown.declared;
    let changes = shown.changes;
    let hidden = changes.saturating_sub(shown.lines.len());
    if hidden > 0 && !shown.lines.is_empty() {
        output.line(&format!("and {hidden} more"))?;
    }
    let rules = match shown.declared_rules {
        [0, 0] => String::new(),
        [rules, tenants] => {
            let tunnels = shown.declared_tunnels;
            format!(", {rules} rules, {tenants} tenants, {tunnels} tunnels")
        }
    };
    output.line(&format!(
        "ok: declares {peers} peers, {routes} routes, {hops} next hops{rules}; \
         {changes} changes"
    ))?;
    Ok(())
}

fn peer(shown: &PeerShown) -> Vec<String> {
    let nets: Vec<String> = shown.allowed_ips.iter().map(ToString::to_string).collect();
    vec![
        shown.name.clone().unwrap_or_else(|| shown.public_key.clone()),
        if nets.is_empty() { "-".to_owned() } else { nets.join(",") },
        shown.endpoint.map_or_else(|| "-".to_owned(), |endpoint| endpoint.to_string()),
        ago(shown.handshake),
        octets(shown.received),
        octets(shown.sent),
        shown.origin.clone(),
    ]
}

fn peer_alone(shown: &PeerShown, output: &mut Output) -> io::Result<()> {
    output.row(&PEER, peer(shown))?;
    output.line(&format!("public key {}", shown.public_key))?;
    if let Some(id) = &shown.client_id {
        output.line(&format!("client id {id}"))?;
    }
    Ok(())
}

fn next_hop(hop: HopText) -> Vec<String> {
    let mut to: Vec<String> = Vec::new();
    to.extend(hop.peer.map(|peer| format!("peer {peer}")));
    to.extend(hop.centre.map(|centre| format!("centre {centre}")));
    to.extend((!hop.exits.is_empty()).then(|| format!("best of {}", hop.exits.join(", "))));
    to.extend(hop.remote.map(|remote| remote.to_string()));
    to.extend(hop.local.map(|local| format!("from {local}")));
    to.extend(hop.key.map(|key| format!("key {key}")));
    to.extend(hop.checksum.then(|| "with checksums".to_owned()));
    let to = if to.is_empty() { "-".to_owned() } else { to.join(" ") };
    vec![hop.name, hop.kind, to, hop.uses.to_string(), hop.origin]
}

fn status(shown: &StatusShown, output: &mut Output) -> io::Result<()> {
    let mut say = |title: &str, text: String| output.row(&["", ""], vec![title.to_owned(), text]);
    say("instance", format!("{} (control {})", shown.instance, shown.version))?;
    let dataplane = match (&shown.trouble, shown.attached) {
        (Some(trouble), true) => format!("attached, but {trouble}"),
        (None, true) => "attached".to_owned(),
        (Some(trouble), false) => format!("none: {trouble}"),
        (None, false) => "none yet".to_owned(),
    };
    say("dataplane", dataplane)?;
    if let (Some(key), Some(port)) = (&shown.public_key, shown.listen_port) {
        say("server", format!("{key}, port {port}"))?;
    }
    let source = match (&shown.source, &shown.source_trouble) {
        (None, _) => "none".to_owned(),
        (Some(source), None) => source.clone(),
        (Some(_), Some(trouble)) => format!("{trouble}; what was declared before stays in force"),
    };
    say("source", source)?;
    let of = |all: usize, declared: usize| format!("{all} ({declared} declared)");
    say("peers", of(shown.peers, shown.peers_declared))?;
    say("routes", of(shown.routes, shown.routes_declared))?;
    say("next hops", of(shown.next_hops, shown.next_hops_declared))?;
    if let Some(terminated) = &shown.terminated {
        say("terminated", terminated.clone())?;
    }
    let StatusShown { applied, refused, events_lost, .. } = shown;
    say("transactions", format!("{applied} applied, {refused} refused, {events_lost} events lost"))
}

/// A reading of the counters.
fn read(connection: &mut Connection) -> Result<(CountersShown, Instant), Failure> {
    let mut shown = CountersShown::default();
    connection.ask(&Request::Counters, |answer| {
        if let Answer::Counters(counters) = answer {
            shown = counters;
        }
        Ok(())
    })?;
    Ok((shown, Instant::now()))
}

/// Sums over all threads, by name.
fn totals(shown: &CountersShown) -> HashMap<&str, u64> {
    let mut totals: HashMap<&str, u64> = HashMap::new();
    for block in &shown.values {
        for (name, value) in shown.counters.iter().zip(block) {
            let total = totals.entry(name).or_default();
            *total = total.wrapping_add(*value);
        }
    }
    totals
}

/// How much a counter has grown a second; none after a restart of the dataplane.
fn rate(now: (u64, Instant), before: Option<(u64, Instant)>) -> Option<f64> {
    let (value, at) = before?;
    let seconds = now.1.duration_since(at).as_secs_f64();
    let grown = u32::try_from(now.0.checked_sub(value)?).ok().map_or(f64::MAX, f64::from);
    (seconds > 0.0).then(|| grown / seconds)
}

/// All counters, once or every second.
pub(super) fn counters(
    connection: &mut Connection,
    output: &mut Output,
    watch: bool,
    threads: bool,
) -> Result<(), Failure> {
    let mut before: Option<(CountersShown, Instant)> = None;
    loop {
        let (shown, at) = read(connection)?;
        if output.is_json() {
            output.json(&shown)?;
        } else {
            let last = before.as_ref().filter(|(last, _)| last.epoch == shown.epoch);
            table_of(&shown, at, last, threads, output)?;
        }
        output.flush()?;
        if !watch {
            return Ok(());
        }
        before = Some((shown, at));
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn table_of(
    shown: &CountersShown,
    at: Instant,
    last: Option<&(CountersShown, Instant)>,
    threads: bool,
    output: &mut Output,
) -> io::Result<()> {
    let mut head = vec!["COUNTER", "TOTAL"];
    if last.is_some() {
        head.push("A SECOND");
    }
    if threads {
        head.extend(shown.blocks.iter().map(String::as_str));
    }
    let now = totals(shown);
    let earlier = last.map(|(last, at)| (totals(last), *at));
    for (number, name) in shown.counters.iter().enumerate() {
        let total = now.get(name.as_str()).copied().unwrap_or(0);
        let mut row = vec![name.clone(), total.to_string()];
        if let Some((earlier, then)) = &earlier {
            let value = earlier.get(name.as_str()).map(|value| (*value, *then));
            row.push(rate_text(rate((total, at), value)));
        }
        if threads {
            let value = |block: &Vec<u64>| block.get(number).copied().unwrap_or(0).to_string();
            row.extend(shown.values.iter().map(value));
        }
        output.row(&head, row)?;
    }
    Ok(())
}

fn rate_text(rate: Option<f64>) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}"))
}

/// A line of `drops`, for machines.
#[derive(Serialize)]
struct DropShown<'a> {
    reason: &'a str,
    count: u64,
    per_second: Option<f64>,
    what: &'a str,
    remedy: &'a str,
}

/// Why packets are lost: two readings, so that there is a rate.
pub(super) fn drops(
    connection: &mut Connection,
    output: &mut Output,
    all: bool,
    interval: Duration,
) -> Result<(), Failure> {
    let (first, began) = read(connection)?;
    std::thread::sleep(interval);
    let (shown, at) = read(connection)?;
    let (before, now) = (totals(&first), totals(&shown));
    let same = first.epoch == shown.epoch;
    let mut rows = Vec::new();
    for counter in &shown.counters {
        let Some(name) = counter.strip_prefix("drop.") else { continue };
        let count = now.get(counter.as_str()).copied().unwrap_or(0);
        let value = before.get(counter.as_str()).map(|value| (*value, began)).filter(|_| same);
        let known = drops::find(name);
        let what = known.map_or("a reason of another version", |drop| drop.what);
        let remedy = known.map_or("use one version of dataplane and millrace", |drop| drop.remedy);
        let per_second = rate((count, at), value);
        rows.push(DropShown { reason: name, count, per_second, what, remedy });
    }
    if rows.is_empty() && !DROPS.is_empty() {
        let what = "the dataplane publishes no drop counters; use one version of both";
        return Err(Failure::Refused(what.to_owned()));
    }
    for row in rows.iter().filter(|row| all || row.count > 0) {
        if output.is_json() {
            output.json(row)?;
        } else {
            let cells = [row.what, row.remedy].map(str::to_owned);
            let mut line =
                vec![row.reason.to_owned(), row.count.to_string(), rate_text(row.per_second)];
            line.extend(cells);
            output.row(&["REASON", "COUNT", "A SECOND", "WHAT HAPPENED", "WHAT TO DO"], line)?;
        }
    }
    Ok(output.flush()?)
}

/// How long ago a moment of Unix time was.
fn ago(unix: u64) -> String {
    if unix == 0 {
        return "never".to_owned();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = now.saturating_sub(unix);
    match seconds {
        0..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86400),
    }
}

/// Octets in binary units.
fn octets(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut whole, mut unit) = (count, "B");
    let mut tenths = 0;
    for next in UNITS {
        if whole < 1024 {
            break;
        }
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit = next;
    }
    format!("{whole}.{tenths} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_told_in_units_that_people_read() {
        let told = [0, 1023, 1024, 1536, 5 << 20, u64::MAX].map(octets);
        assert_eq!(told, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "16383.9 PiB"]);
    }
}
