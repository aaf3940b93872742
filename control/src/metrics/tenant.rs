//! Tenants as metrics: how their tunnels stand and what these carry, and what their counted rules have matched. Labels
//! are what operators call tenants, tunnels and rules.

use std::collections::HashMap;
use std::sync::Arc;

use super::text::{Kind, Text};
use crate::desk::Desk;
use crate::dos::Count;
use crate::model::dos::{TUNNEL_STATES, TunnelState};
use crate::model::{Firewall, Tenant, Tunnel};
use crate::transit::{Carried, Standing};

/// Rules that are told: a series each for three families.
const RULES_MAX: usize = 4096;

/// A tunnel with what is known of it.
struct Seen<'a> {
    tenant: &'a Tenant,
    tunnel: &'a Tunnel,
    standing: Option<Standing>,
    carried: Carried,
}

pub(super) fn write(text: &mut Text, desk: &Desk) {
    let (book, transit) = (desk.book(), desk.transit());
    let tenants: Vec<&Arc<Tenant>> = book.tenants_after(0).collect();
    let tunnels: Vec<Seen<'_>> = tenants
        .iter()
        .flat_map(|tenant| tenant.tunnels.iter().map(move |tunnel| (&***tenant, tunnel)))
        .map(|(tenant, tunnel)| {
            let (standing, carried) = (transit.standing(tunnel.id), transit.carried(tunnel.id));
            Seen { tenant, tunnel, standing, carried }
        })
        .collect();
    if !tunnels.is_empty() {
        states(text, &tunnels);
        probes(text, &tunnels);
        loads(text, &tunnels);
    }
    rules(text, desk, &tenants);
    totals(text, desk, &tenants);
}

fn states(text: &mut Text, tunnels: &[Seen<'_>]) {
    text.family("millrace_tunnel_up", Kind::Gauge, "Whether a tunnel is used: it is not down.");
    for (seen, standing) in known(tunnels) {
        text.sample(&seen.labels(), u64::from(standing.state != TunnelState::Down));
    }
    text.family("millrace_tunnel_state", Kind::Gauge, "How a tunnel stands: 1 for what it is.");
    for (seen, standing) in known(tunnels) {
        for (word, state) in TUNNEL_STATES {
            let [tenant, tunnel] = seen.labels();
            let labels = [tenant, tunnel, ("state", word)];
            text.sample(&labels, u64::from(standing.state == state));
        }
    }
}

fn probes(text: &mut Text, tunnels: &[Seen<'_>]) {
    text.unit_family(
        "millrace_tunnel_rtt_seconds",
        "seconds",
        "From a probe through a tunnel to its answer; missing while it is not known.",
    );
    for (seen, standing) in known(tunnels).filter(|(_, standing)| !standing.rtt.is_zero()) {
        text.microseconds(&seen.labels(), standing.rtt);
    }
    text.family("millrace_tunnel_probes", Kind::Counter, "Probes through a tunnel.");
    for (seen, standing) in known(tunnels) {
        let [tenant, tunnel] = seen.labels();
        text.sample(&[tenant, tunnel, ("what", "sent")], standing.sent);
        text.sample(&[tenant, tunnel, ("what", "answered")], standing.answered);
    }
}

fn loads(text: &mut Text, tunnels: &[Seen<'_>]) {
    let mut family = |name, help, place: usize| {
        text.family(name, Kind::Counter, help);
        for seen in tunnels {
            let [tenant, tunnel] = seen.labels();
            let Carried { sent, received } = &seen.carried;
            for (direction, counts) in [("sent", sent), ("received", received)] {
                let labels = [tenant, tunnel, ("direction", direction)];
                text.sample(&labels, counts.get(place).copied().unwrap_or(0));
            }
        }
    };
    family("millrace_tunnel_packets", "Packets of a tenant in a tunnel.", 0);
    family("millrace_tunnel_octets", "Octets of a tenant in a tunnel, without its headers.", 1);
}

fn rules(text: &mut Text, desk: &Desk, tenants: &[&Arc<Tenant>]) {
    let counted = tenants.iter().flat_map(|tenant| {
        let rules = tenant.firewall.as_ref().map(titles).unwrap_or_default();
        let count = |index| desk.transit().count(tenant.id, index);
        rules.into_iter().map(move |(index, title)| (&*tenant.name, title, count(index)))
    });
    let counted: Vec<(&str, String, Count)> = counted.take(RULES_MAX).collect();
    let counted = counted.iter();
    let counted: Vec<_> = counted
        .map(|(tenant, rule, count)| ([("tenant", *tenant), ("rule", &**rule)], *count))
        .collect();
    let families = [
        ("millrace_tenant_rule_packets", "Packets that a counted rule of a tenant has matched."),
        ("millrace_tenant_rule_octets", "Octets that a counted rule of a tenant has matched."),
        ("millrace_tenant_rule_dropped", "Packets dropped by a counted rule of a tenant."),
    ];
    text.counts(families, &counted);
}

fn totals(text: &mut Text, desk: &Desk, tenants: &[&Arc<Tenant>]) {
    let total = |tenant: &Tenant| desk.transit().total(tenant.id);
    let counts: Vec<_> =
        tenants.iter().map(|tenant| ([("tenant", &*tenant.name)], total(tenant))).collect();
    let families = [
        ("millrace_tenant_packets", "Packets to a tenant that its rules were asked about."),
        ("millrace_tenant_octets", "Octets of these packets."),
        ("millrace_tenant_dropped", "How many of them its rules or their policy dropped."),
    ];
    text.counts(families, &counts);
}

/// The counted rules by their indices, and what to call each: its comment, when no other has it, else its number from 1.
fn titles(firewall: &Firewall) -> Vec<(u32, String)> {
    let counted: Vec<(u32, Option<&str>)> = (0..)
        .zip(&firewall.ruleset().rules)
        .filter(|(_, rule)| rule.counter)
        .map(|(index, rule)| (index, rule.comment.as_deref()))
        .collect();
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for comment in counted.iter().filter_map(|(_, comment)| *comment) {
        *uses.entry(comment).or_default() += 1;
    }
    // One of digits alone could be mistaken for a number.
    let is_name = |comment: &&str| {
        uses.get(comment) == Some(&1) && !comment.chars().all(|sign| sign.is_ascii_digit())
    };
    let title = |(index, comment): (u32, Option<&str>)| {
        let number = || (u64::from(index) + 1).to_string();
        (index, comment.filter(is_name).map_or_else(number, str::to_owned))
    };
    counted.into_iter().map(title).collect()
}

/// Tunnels that were heard of.
fn known<'a>(tunnels: &'a [Seen<'a>]) -> impl Iterator<Item = (&'a Seen<'a>, Standing)> {
    tunnels.iter().filter_map(|seen| Some((seen, seen.standing?)))
}

impl Seen<'_> {
    fn labels(&self) -> [(&str, &str); 2] {
        [("tenant", &self.tenant.name), ("tunnel", &self.tunnel.name)]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shm::message::{ALL_RULES, Event};

    use super::*;
    use crate::model::{Book, Change, Limits, Origin};

    fn book() -> Book {
        let rules = "tcp dport 21 counter accept comment \"ftp\"\ntcp dport 22 drop\n\
            tcp dport 23 counter drop comment \"old\"\ntcp dport 24 counter drop comment \"old\"\n\
            tcp dport 25 counter drop comment \"1\"\n";
        let tenant = Tenant {
            tunnels: [Tunnel::new("west", [192, 0, 2, 1].into(), [198, 51, 100, 1].into())].into(),
            firewall: Some(Firewall::read(rules, Origin::Cli).unwrap()),
            ..Tenant::new("customer", ["203.0.113.0/24".parse().unwrap()])
        };
        let mut book = Book::default();
        book.apply(Origin::Cli, &[Change::AddTenant(tenant)], &Limits::default()).unwrap();
        book
    }

    #[test]
    fn tunnels_and_counted_rules_are_told_by_what_operators_call_them() {
        let desk = Desk::detached(book());
        let (rtt, since) = (Duration::from_micros(1250), Duration::from_secs(1));
        let state = TunnelState::Degraded;
        let count = |rule, packets| {
            let (octets, dropped) = (60 * packets, packets);
            Event::TenantCount { tenant: 1, rule, packets, octets, dropped }
        };
        for event in [
            Event::Tunnel { id: 1, state, rtt, sent: 9, answered: 7, since },
            Event::TunnelCount { id: 1, sent: [3, 180], received: [5, 300] },
            count(2, 4),
            count(ALL_RULES, 6),
        ] {
            desk.transit().hear(&event, Book::default);
        }
        let mut text = Text::default();
        write(&mut text, &desk);
        let text = text.end();
        let tunnel = "tenant=\"customer\",tunnel=\"west\"";
        for line in [
            format!("millrace_tunnel_up{{{tunnel}}} 1\n"),
            format!("millrace_tunnel_state{{{tunnel},state=\"up\"}} 0\n"),
            format!("millrace_tunnel_state{{{tunnel},state=\"degraded\"}} 1\n"),
            format!("millrace_tunnel_rtt_seconds{{{tunnel}}} 0.001250\n"),
            format!("millrace_tunnel_probes_total{{{tunnel},what=\"answered\"}} 7\n"),
            format!("millrace_tunnel_packets_total{{{tunnel},direction=\"sent\"}} 3\n"),
            format!("millrace_tunnel_octets_total{{{tunnel},direction=\"received\"}} 300\n"),
            "millrace_tenant_rule_packets_total{tenant=\"customer\",rule=\"ftp\"} 0\n".to_owned(),
            "millrace_tenant_rule_octets_total{tenant=\"customer\",rule=\"3\"} 240\n".to_owned(),
            "millrace_tenant_rule_dropped_total{tenant=\"customer\",rule=\"4\"} 0\n".to_owned(),
            "millrace_tenant_rule_dropped_total{tenant=\"customer\",rule=\"5\"} 0\n".to_owned(),
            "millrace_tenant_dropped_total{tenant=\"customer\"} 6\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(!text.contains("rule=\"2\"") && !text.contains("rule=\"old\""), "{text}");
    }

    #[test]
    fn a_tunnel_that_is_down_is_not_up_and_one_that_nobody_has_told_of_is_neither() {
        let desk = Desk::detached(book());
        let said = |desk: &Desk| {
            let mut text = Text::default();
            write(&mut text, desk);
            text.end()
        };
        assert!(!said(&desk).contains("millrace_tunnel_up{"));
        let (state, zero) = (TunnelState::Down, Duration::ZERO);
        let event = Event::Tunnel { id: 1, state, rtt: zero, sent: 9, answered: 0, since: zero };
        desk.transit().hear(&event, Book::default);
        assert!(
            said(&desk).contains("millrace_tunnel_up{tenant=\"customer\",tunnel=\"west\"} 0\n")
        );
        assert!(!said(&desk).contains("rtt_seconds{"));
    }
}
