//! Tenants, their rules and tunnels as people read them.

use std::io;

use crate::api::message::{
    Deciding, ProbeText, RulesetShown, TenantListed, TenantSeen, TestShown, Traffic, Tried,
    TunnelShown, TunnelText,
};
use crate::cli::table::Output;

const TENANT: [&str; 9] =
    ["TENANT", "MODE", "PREFIXES", "TUNNELS UP", "RULES", "PASSED", "DROPPED", "OCTETS", "ORIGIN"];
const TUNNEL: [&str; 10] = [
    "TUNNEL",
    "TENANT",
    "LOCAL",
    "REMOTE",
    "STATE",
    "SINCE",
    "RTT",
    "PROBES LOST",
    "SENT",
    "RECEIVED",
];
const SETTING: [&str; 3] = ["TUNNEL", "ORIGIN", "SETTINGS"];
const TRIED: [&str; 4] = ["RULE", "ALL HOLDS", "DOES NOT HOLD", "THE PACKET HAS"];

pub(super) fn listed(shown: TenantListed, output: &mut Output) -> io::Result<()> {
    let TenantListed { prefixes, tunnels, tunnels_up, rules, .. } = shown;
    let Traffic { passed, dropped, octets } = shown.traffic;
    let mut row = vec![shown.name, shown.mode, prefixes.to_string()];
    row.push(format!("{tunnels_up}/{tunnels}"));
    row.extend([rules.to_string(), passed.to_string(), dropped.to_string()]);
    row.extend([super::octets(octets), shown.origin]);
    output.row(&TENANT, row)
}

pub(super) fn seen(shown: &TenantSeen, output: &mut Output) -> io::Result<()> {
    let TenantSeen { tenant, traffic, tunnels, ruleset } = shown;
    let Traffic { passed, dropped, octets } = *traffic;
    let [syn, flows] = super::dos::guards(tenant);
    let octets = super::octets(octets);
    for (title, text) in [
        ("tenant", tenant.name.clone()),
        ("origin", tenant.origin.clone()),
        ("mode", tenant.mode.clone()),
        ("syn", syn),
        ("flows", flows),
        ("packets", format!("{passed} passed, {dropped} dropped; {octets}")),
    ] {
        output.row(&["", ""], vec![title.to_owned(), text])?;
    }
    for prefix in &tenant.prefixes {
        output.row(&["", ""], vec!["prefix".to_owned(), prefix.to_string()])?;
    }
    output.end_table()?;
    for shown in tunnels {
        tunnel(shown, output)?;
    }
    output.end_table()?;
    for TunnelShown { tunnel, origin, .. } in tunnels {
        output.row(&SETTING, vec![tunnel.name.clone(), origin.clone(), settings(tunnel)])?;
    }
    output.end_table()?;
    match ruleset {
        Some(ruleset) => {
            let RulesetShown { rules, policy, origin, .. } = ruleset;
            let count = rules.len();
            output.line(&format!("{count} rules, then {policy} ({origin})"))?;
            self::ruleset(ruleset, output)
        }
        None => output.line("no rules: everything is accepted"),
    }
}

/// Rules in the syntax in which they are set.
pub(super) fn ruleset(shown: &RulesetShown, output: &mut Output) -> io::Result<()> {
    output.line(&format!("policy {}", shown.policy))?;
    shown.rules.iter().try_for_each(|rule| output.line(&rule.text))
}

pub(super) fn tunnel(shown: &TunnelShown, output: &mut Output) -> io::Result<()> {
    let unknown = || "-".to_owned();
    let lost = shown.probes_sent.saturating_sub(shown.probes_answered);
    let carried = |packets: u64, octets| format!("{packets} ({})", super::octets(octets));
    let row = vec![
        shown.tunnel.name.clone(),
        shown.tenant.clone(),
        shown.tunnel.local.to_string(),
        shown.tunnel.remote.to_string(),
        shown.state.clone().unwrap_or_else(unknown),
        shown.since.map_or_else(unknown, super::ago),
        shown.rtt_us.map_or_else(unknown, |rtt| format!("{}.{:03} ms", rtt / 1000, rtt % 1000)),
        match shown.probes_sent {
            0 => unknown(),
            sent => format!("{lost} of {sent}"),
        },
        carried(shown.sent_packets, shown.sent_octets),
        carried(shown.received_packets, shown.received_octets),
    ];
    output.row(&TUNNEL, row)
}

/// What was asked for of a tunnel, beside its ends.
fn settings(tunnel: &TunnelText) -> String {
    let TunnelText { key, checksum, mtu, dont_fragment, priority, weight, probe, .. } = tunnel;
    let mut said = vec![format!("priority {priority}"), format!("weight {weight}")];
    said.extend(key.map(|key| format!("key {key}")));
    said.extend(checksum.then(|| "with checksums".to_owned()));
    said.push(if *mtu == 0 { "mtu of the port".to_owned() } else { format!("mtu {mtu}") });
    said.push(format!("dont-fragment {dont_fragment}"));
    said.push(match probe {
        Some(ProbeText { style, inside_local, inside_remote, interval_ms }) => {
            format!("probe {style} {inside_local} to {inside_remote} every {interval_ms} ms")
        }
        None => "no probe".to_owned(),
    });
    said.join(", ")
}

pub(super) fn tested(shown: &TestShown, output: &mut Output) -> io::Result<()> {
    let TestShown { tenant, destination, owner, in_force, tried, .. } = shown;
    output.line(&match owner {
        Some((prefix, owner)) if owner == tenant => {
            format!("{destination} is in {prefix} of tenant {tenant}")
        }
        Some((prefix, owner)) => format!(
            "{destination} is in {prefix} of tenant {owner}: the rules of {tenant} are not asked about it"
        ),
        None => format!(
            "{destination} is in no tenant's prefixes: the rules of {tenant} are not asked about it"
        ),
    })?;
    if !in_force {
        output.line("the rules are those of the file, which are not in force")?;
    }
    for Tried { number, fails, found, .. } in tried {
        let holds = if fails.is_some() { "no" } else { "yes" }.to_owned();
        let [fails, found] = [fails, found].map(|text| text.clone().unwrap_or_else(|| "-".into()));
        output.row(&TRIED, vec![number.to_string(), holds, fails, found])?;
    }
    output.end_table()?;
    let mut before = "";
    for decided in &shown.deciding {
        output.line(&format!("{before}{}", decision(decided, tried)))?;
        before = "else ";
    }
    Ok(())
}

fn decision(decided: &Deciding, tried: &[Tried]) -> String {
    let Deciding { rule, limit, verdict } = decided;
    let Some(number) = rule else { return format!("the policy decides: {verdict}") };
    let limit = limit.as_ref().map_or_else(String::new, |limit| format!(" {limit} its limit"));
    let rule = tried.iter().find(|rule| rule.number == *number);
    let text = rule.map_or("", |rule| &*rule.text);
    format!("rule {number} decides{limit}: {verdict} ({text})")
}

#[cfg(test)]
mod tests;
