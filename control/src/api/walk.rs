//! What rules make of one packet, and why: rule after rule, as people would ask them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use firewall::facts::{Facts, Family};
use firewall::rules::{Condition, Field, Limit, Rule, Ruleset, Values, Verdict};
use firewall::{Members, explain};

use super::message::{Deciding, TestShown, Tried};
use crate::model::dos::Prefixes;
use crate::model::{Book, Tenant};

/// The named sets of a book.
struct Sets<'a>(&'a Book);

impl Members for Sets<'_> {
    fn holds(&self, set: &str, family: Family, address: u128) -> bool {
        let prefixes = self.0.rule_named(set).and_then(|rule| rule.prefixes());
        prefixes.is_some_and(|prefixes: &Prefixes| prefixes.cover(address_of(family, address)))
    }
}

fn address_of(family: Family, address: u128) -> IpAddr {
    match (family, u32::try_from(address)) {
        (Family::V4, Ok(address)) => Ipv4Addr::from(address).into(),
        (Family::V4, Err(_)) | (Family::V6, _) => Ipv6Addr::from(address).into(),
    }
}

/// Asks the rules of a tenant, or others in their place.
pub(super) fn test(
    book: &Book,
    tenant: &Tenant,
    ruleset: Option<&Ruleset>,
    facts: &Facts,
) -> TestShown {
    let open = Ruleset { policy: Verdict::Accept, rules: Vec::new() };
    let ruleset = ruleset.unwrap_or(&open);
    let destination = address_of(facts.family, facts.destination);
    let steps = explain(ruleset, facts, &Sets(book));
    let asked = steps.iter().filter_map(|(index, failing)| {
        let rule = ruleset.rules.get(*index)?;
        let condition = failing.and_then(|failing| rule.conditions.get(failing));
        Some((index.saturating_add(1), rule, condition))
    });
    let met = asked.clone().filter(|(.., failing)| failing.is_none());
    let owner = book.tenant_of(destination);
    let policy = Deciding { rule: None, limit: None, verdict: ruleset.policy.to_string() };
    let mut deciding: Vec<Deciding> =
        met.filter_map(|(number, rule, _)| decides(number, rule)).collect();
    if deciding.last().is_none_or(|last| last.limit.is_some()) {
        deciding.push(policy);
    }
    TestShown {
        tenant: tenant.name.to_string(),
        destination: destination.to_string(),
        owner: owner.map(|(prefix, owner)| (prefix.to_string(), owner.name.to_string())),
        in_force: true,
        tried: asked.map(|(number, rule, failing)| tried(number, rule, failing, facts)).collect(),
        policy: ruleset.policy.to_string(),
        deciding,
    }
}

/// What a rule decides of which all conditions hold.
fn decides(number: usize, rule: &Rule) -> Option<Deciding> {
    let verdict = rule.verdict?.to_string();
    let word = |limit: Limit| if limit.over { "beyond" } else { "within" }.to_owned();
    Some(Deciding { rule: Some(number), limit: rule.limit.map(word), verdict })
}

fn tried(number: usize, rule: &Rule, failing: Option<&Condition>, facts: &Facts) -> Tried {
    Tried {
        number,
        fails: failing.map(ToString::to_string),
        found: failing.map(|condition| found(condition.field, facts)),
        text: rule.to_string(),
    }
}

/// What the packet has in a field; where it has no such field, what it is.
fn found(field: Field, facts: &Facts) -> String {
    let has_family = field.family().is_none_or(|family| family == facts.family);
    let has_protocol =
        field.protocols().is_none_or(|protocols| protocols.contains(&facts.protocol));
    let field = match (has_family, has_protocol) {
        (false, _) => Field::Nfproto,
        (true, false) => Field::L4proto,
        (true, true) => field,
    };
    let value = firewall::walk::value(field, facts);
    let values = match u8::try_from(value) {
        Ok(value) if field == Field::TcpFlags => Values::Bits { mask: u8::MAX, value },
        _ => Values::Ranges([(value, value)].into()),
    };
    Condition { field, negated: false, values }.to_string()
}

#[cfg(test)]
mod tests;
