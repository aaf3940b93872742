//! The rules of next hops.

use std::sync::Arc;

use super::centres::default_of;
use super::{Applying, is_fixed, unknown, wrong_name};
use crate::model::{Cause, Hop, HopNamed, NextHop, Origin, Refused, key};

impl Applying<'_> {
    pub(super) fn add_next_hop(&mut self, wanted: &HopNamed, put: bool) -> Result<(), Refused> {
        let name = &wanted.name;
        let exits = self.exits_of(wanted)?;
        let hop = if exits.is_empty() { &wanted.hop } else { &default_of(&exits) };
        let origin = self.origin(wanted.origin);
        let old = self.book.next_hop_named(name).cloned();
        if let Some(old) = &old {
            // What is named after its exits is the same, whoever says it.
            let may_repeat = old.origin.is_declared() || !self.by.is_declared() || wanted.is_list();
            if put && old.hop == *hop && old.exits == exits && (may_repeat || is_fixed(old.id)) {
                if self.by.is_declared() && !is_fixed(old.id) {
                    self.adopt_hop(old, origin);
                }
                return Ok(());
            }
            if !put || is_fixed(old.id) {
                let what = if is_fixed(old.id) {
                    format!("{name} is always there; choose another name")
                } else {
                    let place = self.book.place(old.origin);
                    format!("there is a next hop {name} already ({place}); choose another name")
                };
                return Err(self.wrong(Cause::Conflict, wanted.origin, "name", what));
            }
            self.may_change(old.origin, || format!("next hop {name}")).map_err(|refused| {
                if self.by.is_declared() {
                    refused.at(self.book.place(wanted.origin))
                } else {
                    refused
                }
            })?;
        }
        self.check_hop(wanted)?;
        let id = match &old {
            Some(old) => {
                self.forget_hop(old);
                self.reset_exits(old.id, &exits);
                old.id
            }
            None => self.book.next_id(),
        };
        if let Hop::Client(key) = hop {
            self.book.hops_to.insert((*key, id), ());
        }
        let entry = NextHop { name: Arc::clone(name), id, hop: *hop, exits, origin };
        self.book.hop_names.insert(Arc::clone(name), id);
        self.book.hops.insert(id, Arc::new(entry));
        self.book.messages += 1;
        self.book.declared.next_hops += usize::from(origin.is_declared());
        self.book.argo_changes();
        self.touched.next_hop(id);
        Ok(())
    }

    /// A next hop that says the same from another place.
    fn adopt_hop(&mut self, old: &NextHop, origin: Origin) {
        let declared = usize::from(old.origin.is_declared());
        self.book.declared.next_hops += usize::from(origin.is_declared()) - declared;
        self.book.hops.insert(old.id, Arc::new(NextHop { origin, ..NextHop::clone(old) }));
        if declared == 0 {
            self.touched.next_hop(old.id);
        }
    }

    pub(super) fn check_hop(&self, wanted: &HopNamed) -> Result<(), Refused> {
        let wrong = |cause, field, what: String| Err(self.wrong(cause, wanted.origin, field, what));
        let is_list = wanted.has_list_name();
        if let Some(what) = wanted.name.split(|c| is_list && c == ',').find_map(wrong_name) {
            return wrong(Cause::Invalid, "name", what);
        }
        match wanted.hop {
            Hop::Client(key) if !self.book.peers.contains(&key) => {
                let what = format!("there is no peer {}; add it first", key::title(&key));
                wrong(Cause::Unknown, "peer", what)
            }
            Hop::Gre { local, remote, .. } if local.is_ipv4() != remote.is_ipv4() => {
                let what = format!("{local} and {remote} are of two families; take one");
                wrong(Cause::Invalid, "remote", what)
            }
            Hop::Gre { remote, .. } | Hop::Via { remote: Some(remote), .. }
                if remote.is_unspecified() || remote.is_multicast() =>
            {
                let what = format!("{remote} is nobody's address; name the other end's");
                wrong(Cause::Invalid, "remote", what)
            }
            Hop::Reject
            | Hop::Local
            | Hop::Direct
            | Hop::Client(_)
            | Hop::Gre { .. }
            | Hop::Via { .. } => Ok(()),
        }
    }

    pub(super) fn remove_next_hop(&mut self, name: &str) -> Result<(), Refused> {
        let Some(old) = self.book.next_hop_named(name).cloned() else {
            return Err(unknown("name", "next hop", name));
        };
        if is_fixed(old.id) {
            let what = format!("{name} is always there and cannot be removed");
            return Err(Refused::new(Cause::Invalid, what).at("name"));
        }
        self.may_change(old.origin, || format!("next hop {name}"))?;
        let uses = self.book.uses(old.id);
        if uses > 0 {
            let what = format!("next hop {name} is used by {uses} routes; remove these first");
            return Err(self.refused(Cause::Conflict, old.origin, what));
        }
        self.forget_hop(&old);
        Ok(())
    }

    pub(super) fn forget_hop(&mut self, old: &NextHop) {
        if let Hop::Client(key) = old.hop {
            self.book.hops_to.remove(&(key, old.id));
        }
        self.touched.next_hop(old.id);
        self.book.hop_names.remove(&*old.name);
        self.book.hops.remove(&old.id);
        self.book.messages -= 1;
        self.book.declared.next_hops -= usize::from(old.origin.is_declared());
    }
}
