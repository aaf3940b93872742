//! The rules of tenants' rules: what they need beside their syntax.

use std::collections::BTreeSet;
use std::sync::Arc;

use firewall::rules::PASSING_MAX;
use shm::limits::{RULESET_LEN_MAX, RULESETS_LEN_MAX};

use super::{Applying, unknown};
use crate::model::{Cause, Firewall, Refused, Tenant};

impl Applying<'_> {
    pub(super) fn set_rules(
        &mut self,
        name: &str,
        rules: Option<&Firewall>,
    ) -> Result<(), Refused> {
        let Some(old) = self.book.tenant_named(name).cloned() else {
            return Err(unknown("tenant", "tenant", name));
        };
        self.may_change(old.origin, || format!("tenant {name}"))?;
        let mut tenant = Tenant { firewall: rules.cloned(), ..Tenant::clone(&old) };
        if let Some(firewall) = &mut tenant.firewall {
            firewall.origin = self.origin(firewall.origin);
        }
        self.take_tenant(&old);
        self.insert_tenant(tenant);
        Ok(())
    }

    /// Gives the rules of tenants the ids of the sets that they name, where either has changed.
    pub(super) fn name_sets(&mut self) -> Result<(), Refused> {
        let mut tenants: BTreeSet<u32> = self.touched.tenants().copied().collect();
        tenants.extend(self.sets.iter().flat_map(|set| self.book.users_of(set)));
        for id in tenants {
            let Some(old) = self.book.tenants.get(&id).cloned() else { continue };
            let Some(mut firewall) = old.firewall.clone() else { continue };
            let id_of = |name: &str| {
                self.book.rule_named(name).filter(|rule| rule.is_set()).map(|rule| rule.id)
            };
            match firewall.resolve(id_of) {
                Err(set) => return Err(self.no_set(&old, &firewall, &set)),
                Ok(false) => {}
                Ok(true) => {
                    let tenant = Tenant { firewall: Some(firewall), ..Tenant::clone(&old) };
                    self.take_tenant(&old);
                    self.insert_tenant(tenant);
                }
            }
        }
        self.touched.tidy();
        Ok(())
    }

    fn no_set(&self, tenant: &Tenant, firewall: &Firewall, set: &str) -> Refused {
        let is_new = self.touched.tenants().any(|id| *id == tenant.id);
        if !is_new {
            let what = format!("the rules of tenant {} name set {set}", tenant.name);
            let what = format!("{what}, which shall go; change the rules first");
            return self.refused(Cause::Conflict, firewall.origin, what);
        }
        let (line, what) = firewall.missing_set(&self.book).unwrap_or_default();
        let place = firewall.place_of(line);
        // In a file the line is the place already.
        let what = if place.is_declared() { what } else { format!("line {line}: {what}") };
        self.wrong(Cause::Unknown, place, "rules", what)
    }

    pub(super) fn check_firewalls(&self) -> Result<(), Refused> {
        for id in self.touched.tenants() {
            let Some(firewall) =
                self.book.tenants.get(id).and_then(|tenant| tenant.firewall.as_ref())
            else {
                continue;
            };
            if let Some(what) = wrong_firewall(firewall) {
                return Err(self.wrong(Cause::Full, firewall.origin, "rules", what));
            }
        }
        let len = self.book.rules_len;
        if len > RULESETS_LEN_MAX {
            let what = format!(
                "the rules of all tenants have {len} octets, and {RULESETS_LEN_MAX} are taken"
            );
            return Err(Refused::new(Cause::Full, what + "; put addresses into sets"));
        }
        Ok(())
    }

    /// Notes that a set comes, goes or changes.
    pub(super) fn note_set(&mut self, name: &Arc<str>) {
        self.sets.insert(Arc::clone(name));
    }
}

fn wrong_firewall(firewall: &Firewall) -> Option<String> {
    let len = firewall.told_len().max(firewall.text().len());
    if len > RULESET_LEN_MAX {
        return Some(format!(
            "{len} octets, and {RULESET_LEN_MAX} are taken; put addresses into sets"
        ));
    }
    let passing = firewall.ruleset().rules.iter().filter(|rule| rule.is_passing()).count();
    (passing > PASSING_MAX).then(|| {
        format!(
            "{passing} rules have a limit or no verdict, and {PASSING_MAX} are taken; leave some out"
        )
    })
}
