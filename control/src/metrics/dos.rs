//! The filter as metrics. Rules of operators are told by their names; automatic ones have addresses in theirs, and come and
//! go, so they are counted together.

use std::sync::Arc;

use super::text::{Kind, Text};
use crate::desk::Desk;
use crate::model::dos::{MODES, Rule, word};

/// Rules that are told by their names: a series each for three families.
const NAMED_MAX: usize = 1024;

pub(super) fn write(text: &mut Text, desk: &Desk) {
    let book = desk.book();
    let rules: Vec<&Arc<Rule>> = book.rules_after(0).collect();
    text.family(
        "millrace_dos_rules",
        Kind::Gauge,
        "Rules of the filter by kind and by who made them.",
    );
    for kind in ["block", "allow", "set", "signature", "limit", "check"] {
        for (by, automatic) in [("operator", false), ("detection", true)] {
            let alike =
                |rule: &&&Arc<Rule>| rule.kind() == kind && rule.is_automatic() == automatic;
            let count = rules.iter().filter(alike).count();
            text.sample(&[("kind", kind), ("by", by)], count as u64);
        }
    }
    text.family("millrace_dos_prefixes", Kind::Gauge, "Prefixes on all lists.");
    text.sample(&[], book.listed() as u64);
    text.family("millrace_dos_tenants", Kind::Gauge, "Tenants.");
    text.sample(&[], book.counts().tenants as u64);
    text.family(
        "millrace_dos_heavy",
        Kind::Gauge,
        "Sources, destinations and patterns that were heavy in the last round.",
    );
    text.sample(&[], desk.heard().round().sightings.len() as u64);
    let named = rules.into_iter().filter(|rule| !rule.is_automatic()).take(NAMED_MAX);
    let named: Vec<_> = named
        .map(|rule| {
            let mode = word(&MODES, &rule.mode);
            let labels = [("rule", &*rule.name), ("kind", rule.kind()), ("mode", mode)];
            (labels, desk.heard().count(rule.id))
        })
        .collect();
    let families = [
        ("millrace_dos_rule_packets", "Packets that a rule has matched."),
        ("millrace_dos_rule_octets", "Octets that a rule has matched."),
        ("millrace_dos_rule_dropped", "Packets dropped for a rule."),
    ];
    text.counts(families, &named);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dos::{ListKind, Matter, Mode, Prefixes, Reach};
    use crate::model::{Book, Change, Limits, Origin};

    #[test]
    fn rules_of_operators_have_names_and_automatic_ones_have_none() {
        let rule = |name: &str, origin| {
            Change::PutRule(Rule {
                name: name.into(),
                id: 0,
                mode: Mode::Monitor,
                reach: Reach::All,
                expires: None,
                matter: Matter::List(ListKind::Block, Prefixes::default()),
                origin,
            })
        };
        let mut book = Book::default();
        for (name, origin) in [("mine", Origin::Cli), ("auto-source-192.0.2.1", Origin::Detection)]
        {
            book.apply(origin, &[rule(name, origin)], &Limits::default()).unwrap();
        }
        let mut text = Text::default();
        write(&mut text, &Desk::detached(book));
        let text = text.end();
        for line in [
            "millrace_dos_rules{kind=\"block\",by=\"operator\"} 1\n",
            "millrace_dos_rules{kind=\"block\",by=\"detection\"} 1\n",
            "millrace_dos_rule_dropped_total{rule=\"mine\",kind=\"block\",mode=\"monitor\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("192.0.2.1"), "{text}");
    }
}
