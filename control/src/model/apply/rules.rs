//! The rules of rules.

use std::sync::Arc;

use ipnet::IpNet;
use shm::limits::{
    BURST_OCTETS_MIN, DEPTH_MAX_S, LISTED_MAX, PER_SECOND_MAX, PROGRAM_MAX, RULES_MAX,
};

use super::{Applying, Origin, unknown, wrong_prefix};
use crate::model::dos::{
    CHECKS, Limit, MODES, Matter, Mode, Per, Prefixes, RULE_NAME_LEN_MAX, Reach, Rule, Unit,
    is_of_name, word,
};
use crate::model::{Cause, Refused};

impl Applying<'_> {
    pub(super) fn add_rule(&mut self, wanted: &Rule, put: bool) -> Result<(), Refused> {
        let origin = self.origin(wanted.origin);
        let mut rule = Rule { origin, ..wanted.clone() };
        let old = self.book.rule_named(&rule.name).cloned();
        if let Some(old) = &old {
            let same = old.says_the_same(&rule) && has_same_prefixes(old, &rule);
            let (declared, by_source) = (old.origin.is_declared(), self.by.is_declared());
            if put && same && declared && !by_source {
                return Ok(());
            }
            let may_replace = put && (declared == by_source || old.is_automatic());
            if !may_replace {
                let place = self.book.place(old.origin);
                let what = format!("there is a rule {} already ({place})", rule.name);
                let what = what + "; choose another name";
                return Err(self.wrong(Cause::Conflict, wanted.origin, "name", what));
            }
        }
        self.check_rule(&rule)?;
        let kept = old.as_ref().filter(|old| is_same_kind(old, &rule)).map(|old| old.id);
        rule.id = match (kept, rule.id) {
            (Some(id), _) => id,
            (None, id) if id != 0 && !self.book.rules.contains(&id) => id,
            (None, _) => self.book.next_rule_id(),
        };
        self.book.skip_rule_ids(rule.id);
        if let Some(old) = &old {
            keep_prefixes(old, &mut rule);
        }
        self.replace_rule(old.as_deref(), rule);
        Ok(())
    }

    pub(super) fn remove_rule(&mut self, name: &str) -> Result<(), Refused> {
        let Some(old) = self.book.rule_named(name).cloned() else {
            let what = format!("there is no rule {name}; `millrace dos rules` shows what there is");
            return Err(Refused::new(Cause::Unknown, what).at("name"));
        };
        self.may_change(old.origin, || format!("rule {name}"))?;
        self.forget_rule(&old, false);
        Ok(())
    }

    pub(super) fn expire_rule(&mut self, id: u32, now: u64) {
        let Some(old) = self.book.rule(id).cloned() else { return };
        // It may have been prolonged meanwhile.
        if old.expires.is_some_and(|at| at <= now) {
            self.forget_rule(&old, false);
        }
    }

    pub(super) fn list_prefixes(
        &mut self,
        list: &str,
        add: &Prefixes,
        remove: &Prefixes,
    ) -> Result<(), Refused> {
        let old = self.book.rule_named(list).cloned();
        let Some(old) = old else { return Err(unknown("list", "rule", list)) };
        self.may_change(old.origin, || format!("list {list}"))?;
        let Matter::List(kind, prefixes) = &old.matter else {
            let what = format!("{list} is a {} and has no prefixes", old.kind());
            return Err(Refused::new(Cause::Invalid, what).at("list"));
        };
        let at_hand = |prefix: &&IpNet| !prefixes.contains(prefix);
        if let Some(prefix) = remove.as_slice().iter().find(at_hand) {
            let what = format!("{prefix} is not in {list}; nothing is taken out");
            return Err(Refused::new(Cause::Unknown, what).at("prefix"));
        }
        let prefixes = prefixes.without(remove).with(add);
        let rule = Rule { matter: Matter::List(*kind, prefixes), ..Rule::clone(&old) };
        self.check_rule(&rule)?;
        self.replace_rule(Some(&old), rule);
        Ok(())
    }

    fn replace_rule(&mut self, old: Option<&Rule>, rule: Rule) {
        let before = old.filter(|old| old.id == rule.id).and_then(Rule::prefixes);
        let same = before.zip(rule.prefixes()).is_some_and(|(old, new)| old.are(new));
        if let Some(old) = old {
            self.forget_rule(old, same);
        }
        if !same && rule.prefixes().is_some() {
            self.touched.list(rule.id);
        }
        self.insert_rule(Arc::new(rule));
    }

    fn insert_rule(&mut self, rule: Arc<Rule>) {
        self.touched.rule(rule.id);
        if rule.is_set() {
            self.note_set(&rule.name);
        }
        self.book.messages += rule.messages();
        self.book.listed += rule.prefixes().map_or(0, Prefixes::len);
        self.book.declared.rules += usize::from(rule.origin.is_declared());
        if let Some(at) = rule.expires {
            self.book.expiries.insert((at, rule.id), ());
        }
        self.book.rule_names.insert(Arc::clone(&rule.name), rule.id);
        self.book.rules.insert(rule.id, rule);
    }

    /// Takes a rule out; unless they are kept, with its prefixes.
    pub(super) fn forget_rule(&mut self, rule: &Rule, prefixes_kept: bool) {
        self.touched.rule(rule.id);
        if rule.is_set() {
            self.note_set(&rule.name);
        }
        if !prefixes_kept && rule.prefixes().is_some() {
            self.touched.list(rule.id);
        }
        self.book.messages -= rule.messages();
        self.book.listed -= rule.prefixes().map_or(0, Prefixes::len);
        self.book.declared.rules -= usize::from(rule.origin.is_declared());
        if let Some(at) = rule.expires {
            self.book.expiries.remove(&(at, rule.id));
        }
        self.book.rule_names.remove(&*rule.name);
        self.book.rules.remove(&rule.id);
    }

    fn check_rule(&self, rule: &Rule) -> Result<(), Refused> {
        let wrong = |field, what: String| Err(self.wrong(Cause::Invalid, rule.origin, field, what));
        if let Some(what) = wrong_rule_name(rule) {
            return wrong("name", what);
        }
        if rule.is_set()
            && let Some((field, what)) = wrong_set(rule)
        {
            return wrong(field, what);
        }
        match &rule.matter {
            Matter::List(_, prefixes) => match prefixes.as_slice().iter().find_map(wrong_prefix) {
                Some(what) => wrong("prefixes", what),
                None => Ok(()),
            },
            Matter::Signature { program, .. } if program.len() > PROGRAM_MAX => {
                let len = program.len();
                let what =
                    format!("takes {len} instructions, and {PROGRAM_MAX} are taken; split it");
                wrong("match", what)
            }
            Matter::Signature { program, .. } if program.is_empty() => {
                wrong("match", "says nothing; write what a packet looks like".to_owned())
            }
            Matter::Limit(limit) => match wrong_limit(limit) {
                Some((field, what)) => wrong(field, what),
                None => Ok(()),
            },
            Matter::Signature { .. } | Matter::Check(_) => Ok(()),
        }
    }

    /// What concerns several rules, or rules and tenants.
    pub(super) fn check_rules(&self) -> Result<(), Refused> {
        for id in self.touched.rules() {
            let Some(rule) = self.book.rules.get(id) else { continue };
            if let Reach::Tenant(name) = &rule.reach
                && !self.book.tenant_names.contains(&**name)
            {
                let what = format!(
                    "there is no tenant {name}; declare a [[tenant]] of that name, or write all or own"
                );
                return Err(self.wrong(Cause::Unknown, rule.origin, "reach", what));
            }
            self.check_contradiction(rule)?;
        }
        self.check_tenants()?;
        let full = |what: String| Err(Refused::new(Cause::Full, what));
        let (rules, listed) = (self.book.rules.len(), self.book.listed);
        if rules > RULES_MAX {
            return full(format!("{rules} rules, and {RULES_MAX} are taken; remove some"));
        }
        if listed > LISTED_MAX {
            return full(format!(
                "{listed} prefixes on all lists, and {LISTED_MAX} are taken; merge or remove some"
            ));
        }
        Ok(())
    }

    /// The very same prefix in two lists that say the opposite to the same packets.
    fn check_contradiction(&self, rule: &Rule) -> Result<(), Refused> {
        let Matter::List(kind, prefixes) = &rule.matter else { return Ok(()) };
        if rule.is_automatic() || rule.is_set() {
            return Ok(());
        }
        // What an operator allows is no contradiction of what detection has blocked: it is the remedy.
        for (_, other) in self.book.rules.iter().filter(|(_, other)| !other.is_automatic()) {
            let Matter::List(other_kind, others) = &other.matter else { continue };
            let in_force = rule.mode != Mode::Off && other.mode != Mode::Off;
            if !in_force || kind == other_kind || other.is_set() || rule.reach != other.reach {
                continue;
            }
            if let Some(prefix) = prefixes.common(others) {
                let (kind, name) = (other.kind(), &other.name);
                let place = self.book.place(other.origin);
                let what = format!("{prefix} is in {kind} list {name} too ({place})");
                let what = format!("{what}, which says the opposite; take it out of one of them");
                return Err(self.wrong(Cause::Conflict, rule.origin, "prefixes", what));
            }
        }
        Ok(())
    }
}

/// Whether the dataplane may keep what it has counted.
fn is_same_kind(old: &Rule, new: &Rule) -> bool {
    old.kind() == new.kind()
}

fn has_same_prefixes(old: &Rule, new: &Rule) -> bool {
    match (old.prefixes(), new.prefixes()) {
        (Some(old), Some(new)) => old.are(new),
        (None, None) => true,
        _ => false,
    }
}

/// Prefixes that were read again are the same in memory, if they are the same.
fn keep_prefixes(old: &Rule, new: &mut Rule) {
    if let (Matter::List(_, old), Matter::List(_, new)) = (&old.matter, &mut new.matter)
        && old.are(new)
    {
        new.clone_from(old);
    }
}

fn wrong_rule_name(rule: &Rule) -> Option<String> {
    let name = &*rule.name;
    let is_text = !name.chars().any(|c| c.is_control() || c.is_whitespace());
    if !(1..=RULE_NAME_LEN_MAX).contains(&name.len()) || !is_text {
        let what = format!("a name is 1 to {RULE_NAME_LEN_MAX} octets without blanks; mend it");
        return Some(what);
    }
    let is_check = matches!(rule.matter, Matter::Check(_));
    if !is_check && CHECKS.iter().any(|(check, _)| *check == name) {
        return Some(format!("{name} is the name of a built-in check; choose another"));
    }
    let is_ours = rule.origin == Origin::Detection || !name.starts_with("auto-");
    (!is_ours).then(|| "names of automatic rules begin with auto-; choose another".to_owned())
}

/// What a set must not have: it drops nothing, so it has nothing to be kept from.
fn wrong_set(rule: &Rule) -> Option<(&'static str, String)> {
    let meaningless = |field, value: &str| {
        let what = format!(
            "{value} has no meaning for a set, which drops nothing by itself; say it in the rules of a tenant"
        );
        Some((field, what))
    };
    if !rule.name.chars().all(is_of_name) {
        let what = "rules name a set by letters, digits and the signs - _ . /; choose another";
        return Some(("name", what.to_owned()));
    }
    if rule.mode != Mode::Enforce {
        return meaningless("mode", word(&MODES, &rule.mode));
    }
    if rule.reach != Reach::All {
        return meaningless("reach", rule.reach.text());
    }
    let what = "a set has no end, for rules name it; leave it out";
    rule.expires.map(|_| ("expires", what.to_owned()))
}

fn wrong_limit(limit: &Limit) -> Option<(&'static str, String)> {
    let (unit, least) = match limit.unit {
        Unit::Packets => ("packets", 1),
        Unit::Octets => ("octets", BURST_OCTETS_MIN),
    };
    let Limit { per_second, burst, .. } = *limit;
    if !(1..=PER_SECOND_MAX).contains(&per_second) {
        return Some((unit, format!("{per_second} is beyond 1 to {PER_SECOND_MAX}; mend it")));
    }
    let most = per_second.saturating_mul(DEPTH_MAX_S);
    if most < least {
        let what = format!("{per_second} are too few to fill a bucket of {least} in ten minutes");
        return Some((unit, what + "; give it 4 at least"));
    }
    if !(least..=most).contains(&burst) {
        let what = format!(
            "{burst} {unit} are beyond {least} to {most}, what comes in ten minutes; \
             give it another burst"
        );
        return Some(("burst", what));
    }
    match limit.per {
        Per::Source { v4_len, v6_len } | Per::Destination { v4_len, v6_len } => {
            if v4_len > 32 {
                return Some(("v4_len", format!("{v4_len} is beyond 0 to 32")));
            }
            (v6_len > 128).then(|| ("v6_len", format!("{v6_len} is beyond 0 to 128")))
        }
        Per::Whole => None,
    }
}
