//! The rules of data centres, and of next hops that name them as exits.

use std::collections::HashSet;
use std::sync::Arc;

use ipnet::IpNet;
use shm::limits::{CENTRES_MAX, EXITS_MAX};

use super::Applying;
use crate::argo::Led;
use crate::model::{Cause, Centre, DIRECT, Hop, HopNamed, Refused, Route};

impl Applying<'_> {
    pub(super) fn put_centre(&mut self, wanted: &Centre) -> Result<(), Refused> {
        let origin = self.origin(wanted.origin);
        if let Some((field, what)) = wanted.wrong() {
            return Err(self.wrong(Cause::Invalid, wanted.origin, field, what));
        }
        let (name, number) = (&wanted.name, wanted.number);
        let same_name = self.book.centre_named(name).cloned();
        let same_number = self.book.centre(number).filter(|other| other.name != *name);
        if let Some(other) = same_number {
            let (title, place) = (&other.name, self.book.place(other.origin));
            let what = format!("{number} is centre {title} ({place}); number one of them anew");
            return Err(self.wrong(Cause::Conflict, wanted.origin, "number", what));
        }
        if let Some(old) = &same_name {
            self.may_change(old.origin, || format!("centre {name}"))?;
            if old.says_the_same(wanted) {
                let centre = Centre { origin, ..Centre::clone(old) };
                if centre != **old {
                    self.book.centres.insert(number, Arc::new(centre));
                    self.touched.centre(number);
                }
                return Ok(());
            }
            self.forget_centre(old);
        }
        let freed = self.freed.get(&number).copied();
        let (hop, relay) = freed.unwrap_or_else(|| (self.book.next_id(), wanted.relay));
        let centre = Centre { hop, relay, origin, ..wanted.clone() };
        self.book.messages += centre.messages();
        self.book.centre_names.insert(Arc::clone(name), number);
        self.book.centre_hops.insert(hop, number);
        self.book.centres.insert(number, Arc::new(centre));
        self.book.argo_changes();
        self.touched.centre(number);
        Ok(())
    }

    pub(super) fn remove_centre(&mut self, name: &str) -> Result<(), Refused> {
        let Some(old) = self.book.centre_named(name).cloned() else {
            let what =
                format!("there is no centre {name}; `millrace argo list` shows what there is");
            return Err(Refused::new(Cause::Unknown, what).at("name"));
        };
        self.may_change(old.origin, || format!("centre {name}"))?;
        self.forget_centre(&old);
        Ok(())
    }

    fn forget_centre(&mut self, old: &Centre) {
        self.freed.insert(old.number, (old.hop, old.relay));
        self.book.messages -= old.messages();
        self.book.centre_names.remove(&*old.name);
        self.book.centre_hops.remove(&old.hop);
        self.book.centres.remove(&old.number);
        self.book.argo_changes();
        self.touched.centre(old.number);
    }

    /// Centres that were reached through one that is gone are reached straight.
    pub(super) fn reset_relays(&mut self) {
        if self.touched.centres().all(|number| self.book.centre(*number).is_some()) {
            return;
        }
        let lost =
            self.book.centres.iter().filter(|(_, centre)| {
                centre.relay != 0 && self.book.centre(centre.relay).is_none()
            });
        let lost: Vec<(u16, u16)> = lost.map(|(number, _)| (*number, 0)).collect();
        self.relay(&lost);
    }

    /// The numbers of exits by their names; 0 for straight out.
    pub(super) fn exits_of(&self, wanted: &HopNamed) -> Result<Arc<[u16]>, Refused> {
        let wrong = |cause, what: String| Err(self.wrong(cause, wanted.origin, "exits", what));
        if wanted.exits.len() > EXITS_MAX {
            let count = wanted.exits.len();
            return wrong(
                Cause::Invalid,
                format!("{count} exits, and {EXITS_MAX} are taken; leave some out"),
            );
        }
        let (mut exits, mut seen) = (Vec::new(), HashSet::new());
        for name in &wanted.exits {
            let number = match self.book.centre_named(name) {
                Some(centre) => centre.number,
                None if **name == *DIRECT => 0,
                None => {
                    let what = format!("there is no centre {name}; declare it, or name another");
                    return wrong(Cause::Unknown, what);
                }
            };
            if !seen.insert(number) {
                return wrong(Cause::Invalid, format!("{name} is there twice; keep one of them"));
            }
            exits.push(number);
        }
        Ok(exits.into())
    }

    /// Next hops whose exits are no more.
    pub(super) fn check_centres(&self) -> Result<(), Refused> {
        if self.book.centres.len() > CENTRES_MAX {
            let count = self.book.centres.len();
            let what = format!("{count} centres, and {CENTRES_MAX} are taken; remove some");
            return Err(Refused::new(Cause::Full, what));
        }
        let gone: Vec<u16> = self.touched.centres().copied().collect();
        let gone: Vec<u16> =
            gone.into_iter().filter(|number| self.book.centre(*number).is_none()).collect();
        if gone.is_empty() {
            return Ok(());
        }
        for hop in self.book.next_hops() {
            if let Some(number) = hop.exits.iter().find(|exit| gone.contains(exit)) {
                let what = format!(
                    "centre {number} is an exit of next hop {}; remove that first",
                    hop.name
                );
                return Err(self.refused(Cause::Conflict, hop.origin, what));
            }
        }
        Ok(())
    }

    /// A route comes or goes; Argo cares where there is a choice.
    pub(super) fn argo_follows(&mut self, next_hop: u32) {
        if self.book.hops.get(&next_hop).is_some_and(|hop| hop.exits.len() > 1) {
            self.book.argo_changes();
        }
    }

    /// Leads routes to exits that Argo has chosen. Those that are others by now are passed over: it will see.
    pub(super) fn lead(&mut self, led: &[Led]) {
        for Led { prefix, exit } in led {
            let Some(route) = self.book.routes.get(prefix).copied() else { continue };
            let hop = self.book.hops.get(&route.next_hop);
            let is_one = *exit == 0 || hop.is_some_and(|hop| hop.exits.contains(exit));
            if is_one && route.exit != *exit {
                self.book.routes.insert(*prefix, Route { exit: *exit, ..route });
                self.touched.route(*prefix);
            }
        }
    }

    /// Lets centres be reached through others.
    pub(super) fn relay(&mut self, relays: &[(u16, u16)]) {
        for (number, relay) in relays {
            let Some(centre) = self.book.centre(*number) else { continue };
            let is_one = *relay == 0 || self.book.centre(*relay).is_some() && relay != number;
            if is_one && centre.relay != *relay {
                let centre = Centre { relay: *relay, ..Centre::clone(centre) };
                self.book.centres.insert(*number, Arc::new(centre));
                self.touched.centre(*number);
            }
        }
    }

    /// Routes that were led to an exit which their next hop does not name any more go by the default.
    pub(super) fn reset_exits(&mut self, id: u32, exits: &[u16]) {
        let lost = self.book.routes.iter().filter(|(_, route)| {
            route.next_hop == id && route.exit != 0 && !exits.contains(&route.exit)
        });
        let lost: Vec<(IpNet, Route)> = lost.map(|(prefix, route)| (*prefix, *route)).collect();
        for (prefix, route) in lost {
            self.book.routes.insert(prefix, Route { exit: 0, ..route });
            self.touched.route(prefix);
        }
    }
}

/// What a next hop with these exits is told as: straight out if it is named, else the first.
pub(super) fn default_of(exits: &[u16]) -> Hop {
    match exits.first() {
        Some(first) if !exits.contains(&0) => Hop::Via { centre: (*first).into(), remote: None },
        _ => Hop::Direct,
    }
}
