//! The rules of tenants.

use std::sync::Arc;

use shm::limits::{TENANT_PREFIXES_MAX, TENANTS_MAX};

use super::{Applying, unknown, wrong_name, wrong_prefix};
use crate::model::dos::Reach;
use crate::model::{Cause, Detect, Firewall, Refused, Rule, Tenant};

impl Applying<'_> {
    /// Frees the prefixes of a tenant that goes or is replaced, so that another one may take them.
    pub(super) fn free_tenant(&mut self, name: &str) -> Result<(), Refused> {
        let Some(old) = self.book.tenant_named(name).cloned() else { return Ok(()) };
        self.may_change(old.origin, || format!("tenant {name}"))?;
        for prefix in &old.prefixes {
            self.book.tenant_prefixes.remove(prefix);
        }
        self.free_tunnels(&old);
        Ok(())
    }

    pub(super) fn add_tenant(&mut self, wanted: &Tenant) -> Result<(), Refused> {
        if let Some(old) = self.book.tenant_named(&wanted.name) {
            let place = self.book.place(old.origin);
            let what = format!("there is a tenant {} already ({place})", wanted.name);
            let what = what + "; choose another name";
            return Err(self.wrong(Cause::Conflict, wanted.origin, "name", what));
        }
        self.put_tenant(wanted)
    }

    pub(super) fn put_tenant(&mut self, wanted: &Tenant) -> Result<(), Refused> {
        let mut tenant = self.with_origin(wanted);
        self.check_tenant(&tenant)?;
        self.check_tunnels(&tenant)?;
        let old = self.book.tenant_named(&tenant.name).cloned();
        tenant.id = match (&old, tenant.id) {
            (Some(old), _) => old.id,
            (None, id) if id != 0 && !self.book.tenants.contains(&id) => id,
            (None, _) => self.book.next_tenant_id(),
        };
        self.book.skip_tenant_ids(tenant.id);
        self.number_tunnels(old.as_deref(), &mut tenant);
        match &old {
            Some(old) => self.forget_tenant(old),
            // Rules that reached one of this name which goes by the same call.
            None => self.touch_rules_of(&tenant.name),
        }
        self.take_prefixes(&tenant)?;
        self.take_tunnels(&tenant)?;
        self.insert_tenant(tenant);
        Ok(())
    }

    /// As it stands in the book, with whoever has put it there.
    fn with_origin(&self, wanted: &Tenant) -> Tenant {
        let mut tenant = Tenant { origin: self.origin(wanted.origin), ..wanted.clone() };
        for tunnel in &mut tenant.tunnels {
            tunnel.origin = self.origin(tunnel.origin);
        }
        if let Some(firewall) = &mut tenant.firewall {
            firewall.origin = self.origin(firewall.origin);
        }
        tenant
    }

    fn take_prefixes(&mut self, tenant: &Tenant) -> Result<(), Refused> {
        for prefix in &tenant.prefixes {
            if let Some(other) = self.book.tenant_prefixes.insert(*prefix, tenant.id) {
                let title = match self.book.tenants.get(&other) {
                    Some(other) => format!("{} ({})", other.name, self.book.place(other.origin)),
                    None => "this one, twice".to_owned(),
                };
                let what = format!("{prefix} is that of tenant {title}; each prefix has one owner");
                return Err(self.wrong(Cause::Conflict, tenant.origin, "prefixes", what));
            }
        }
        Ok(())
    }

    /// Puts a tenant in whose prefixes and tunnels are taken.
    pub(super) fn insert_tenant(&mut self, tenant: Tenant) {
        let id = tenant.id;
        self.touched.tenant(id);
        self.book.messages += tenant.messages();
        self.book.rules_len += tenant.firewall.as_ref().map_or(0, Firewall::told_len);
        if tenant.origin.is_declared() {
            self.book.declared.tenants += 1;
            self.book.declared.tunnels += tenant.tunnels.len();
        }
        for set in tenant.firewall.iter().flat_map(Firewall::sets) {
            self.book.set_users.insert((Arc::clone(set), id), ());
        }
        self.book.tenant_names.insert(Arc::clone(&tenant.name), id);
        self.book.tenants.insert(id, Arc::new(tenant));
    }

    fn touch_rules_of(&mut self, tenant: &str) {
        let reach = |rule: &Rule| matches!(&rule.reach, Reach::Tenant(name) if **name == *tenant);
        for (id, _) in self.book.rules.iter().filter(|(_, rule)| reach(rule)) {
            self.touched.rule(*id);
        }
    }

    pub(super) fn remove_tenant(&mut self, name: &str) -> Result<(), Refused> {
        let Some(old) = self.book.tenant_named(name).cloned() else {
            return Err(unknown("name", "tenant", name));
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
        self.check_room_for_tunnels()?;
        self.check_firewalls()?;
        if self.touched.tenants().next().is_some() { self.check_overlaps() } else { Ok(()) }
    }

    fn forget_tenant(&mut self, tenant: &Tenant) {
        for prefix in &tenant.prefixes {
            // A tenant that has come before may hold it by now.
            if self.book.tenant_prefixes.get(prefix) == Some(&tenant.id) {
                self.book.tenant_prefixes.remove(prefix);
            }
        }
        self.free_tunnels(tenant);
        self.take_tenant(tenant);
    }

    /// Takes a tenant out, whose prefixes and tunnels stay taken.
    pub(super) fn take_tenant(&mut self, tenant: &Tenant) {
        self.touched.tenant(tenant.id);
        self.book.messages -= tenant.messages();
        self.book.rules_len -= tenant.firewall.as_ref().map_or(0, Firewall::told_len);
        if tenant.origin.is_declared() {
            self.book.declared.tenants -= 1;
            self.book.declared.tunnels -= tenant.tunnels.len();
        }
        for set in tenant.firewall.iter().flat_map(Firewall::sets) {
            self.book.set_users.remove(&(Arc::clone(set), tenant.id));
        }
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
