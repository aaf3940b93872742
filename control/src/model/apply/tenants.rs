//! The rules of tenants.

use std::sync::Arc;

use shm::limits::{TENANT_PREFIXES_MAX, TENANTS_MAX};

use super::{Applying, wrong_name, wrong_prefix};
use crate::model::dos::Reach;
use crate::model::{Cause, Detect, Refused, Rule, Tenant};

impl Applying<'_> {
    /// Frees the prefixes of a tenant that goes or is replaced, so that another one may take them.
    pub(super) fn free_tenant(&mut self, name: &str) -> Result<(), Refused> {
        let Some(old) = self.book.tenant_named(name).cloned() else { return Ok(()) };
        self.may_change(old.origin, || format!("tenant {name}"))?;
        for prefix in &old.prefixes {
            self.book.tenant_prefixes.remove(prefix);
        }
        Ok(())
    }

    pub(super) fn put_tenant(&mut self, wanted: &Tenant) -> Result<(), Refused> {
        let origin = self.origin(wanted.origin);
        let mut tenant = Tenant { origin, ..wanted.clone() };
        self.check_tenant(&tenant)?;
        let old = self.book.tenant_named(&tenant.name).cloned();
        tenant.id = match (&old, tenant.id) {
            (Some(old), _) => old.id,
            (None, id) if id != 0 && !self.book.tenants.contains(&id) => id,
            (None, _) => self.book.next_tenant_id(),
        };
        self.book.skip_tenant_ids(tenant.id);
        match &old {
            Some(old) => self.forget_tenant(old),
            // Rules that reached one of this name which goes by the same call.
            None => self.touch_rules_of(&tenant.name),
        }
        for prefix in &tenant.prefixes {
            if let Some(other) = self.book.tenant_prefixes.insert(*prefix, tenant.id) {
                let title = match self.book.tenants.get(&other) {
                    Some(other) => format!("{} ({})", other.name, self.book.place(other.origin)),
                    None => "this one, twice".to_owned(),
                };
                let what = format!("{prefix} is that of tenant {title}; each prefix has one owner");
                return Err(self.wrong(Cause::Conflict, wanted.origin, "prefixes", what));
            }
        }
        self.touched.tenant(tenant.id);
        self.book.messages += tenant.messages();
        self.book.declared.tenants += usize::from(origin.is_declared());
        self.book.tenant_names.insert(Arc::clone(&tenant.name), tenant.id);
        self.book.tenants.insert(tenant.id, Arc::new(tenant));
        Ok(())
    }

    fn touch_rules_of(&mut self, tenant: &str) {
        let reach = |rule: &Rule| matches!(&rule.reach, Reach::Tenant(name) if **name == *tenant);
        for (id, _) in self.book.rules.iter().filter(|(_, rule)| reach(rule)) {
            self.touched.rule(*id);
        }
    }

    pub(super) fn remove_tenant(&mut self, name: &str) -> Result<(), Refused> {
        let Some(old) = self.book.tenant_named(name).cloned() else {
            let what = format!("there is no tenant {name}; `millrace dos show` names them all");
            return Err(Refused::new(Cause::Unknown, what).at("name"));
        };
        self.forget_tenant(&old);
        Ok(())
    }

    pub(super) fn put_detect(&mut self, wanted: Option<Detect>) {
        let detect = wanted.map(|detect| Detect { origin: self.origin(detect.origin), ..detect });
        self.touched.the_detection();
        self.book.detect = detect;
    }

    /// Automatic rules of a tenant that goes go with it: what is declared shall not wait for what detection has made.
    pub(super) fn forget_rules_of_nobody(&mut self) {
        if !self.touched.tenants().any(|id| !self.book.tenants.contains(id)) {
            return;
        }
        let is_of_nobody = |rule: &&Arc<Rule>| match &rule.reach {
            Reach::Tenant(name) => !self.book.tenant_names.contains(&**name),
            Reach::All | Reach::Own => false,
        };
        let rules = self.book.rules.iter().map(|(_, rule)| rule);
        let rules = rules.filter(|rule| rule.is_automatic()).filter(is_of_nobody);
        for rule in rules.cloned().collect::<Vec<_>>() {
            self.forget_rule(&rule, false);
        }
    }

    /// Rules that reach a tenant which goes, but for automatic ones, which are gone with it.
    pub(super) fn check_tenants(&self) -> Result<(), Refused> {
        let is_gone = |id: &u32| !self.book.tenants.contains(id);
        if self.touched.tenants().any(is_gone) {
            for (_, rule) in self.book.rules.iter() {
                let Reach::Tenant(name) = &rule.reach else { continue };
                if !self.book.tenant_names.contains(&**name) {
                    let what = format!("rule {} reaches tenant {name}", rule.name);
                    let what = format!("{what}, which shall go; remove the rule first");
                    return Err(self.refused(Cause::Conflict, rule.origin, what));
                }
            }
        }
        let tenants = self.book.tenants.len();
        if tenants > TENANTS_MAX {
            let what = format!("{tenants} tenants, and {TENANTS_MAX} are taken; remove some");
            return Err(Refused::new(Cause::Full, what));
        }
        Ok(())
    }

    fn forget_tenant(&mut self, tenant: &Tenant) {
        for prefix in &tenant.prefixes {
            // A tenant that has come before may hold it by now.
            if self.book.tenant_prefixes.get(prefix) == Some(&tenant.id) {
                self.book.tenant_prefixes.remove(prefix);
            }
        }
        self.touched.tenant(tenant.id);
        self.book.messages -= tenant.messages();
        self.book.declared.tenants -= usize::from(tenant.origin.is_declared());
        self.book.tenant_names.remove(&*tenant.name);
        self.book.tenants.remove(&tenant.id);
    }

    fn check_tenant(&self, tenant: &Tenant) -> Result<(), Refused> {
        let wrong =
            |field, what: String| Err(self.wrong(Cause::Invalid, tenant.origin, field, what));
        if let Some(what) = wrong_name(&tenant.name) {
            return wrong("name", what);
        }
        if matches!(&*tenant.name, "all" | "own") {
            let what = format!("{} has another meaning for rules; choose another", tenant.name);
            return wrong("name", what);
        }
        let count = tenant.prefixes.len();
        if count == 0 {
            return wrong("prefixes", "a tenant without one; name what is protected".to_owned());
        }
        if count > TENANT_PREFIXES_MAX {
            let what = format!("{count} prefixes, and {TENANT_PREFIXES_MAX} are taken; merge some");
            return wrong("prefixes", what);
        }
        let net = tenant.prefixes.iter().find_map(wrong_prefix);
        net.map_or(Ok(()), |what| wrong("prefixes", what))
    }
}
