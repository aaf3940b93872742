//! What a dataplane does not take, left out of what it is told: one thing that it cannot serve is no reason not to
//! serve the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::apply::messages_of;
use super::difference::is_same_fleet;
use super::dos::Reach;
use super::{Book, Centre, Hop, NextHop, Rule, Tenant, Thing, Touched};

/// The things that are left out, each with the dataplane's reason. What leads to them is left out with them.
#[derive(Clone, Debug, Default)]
pub struct Aside(BTreeMap<Thing, Arc<str>>);

impl Aside {
    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many things are left out.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Leaves a thing out, and others that are like it.
    pub fn put(&mut self, thing: Thing, alike: Vec<Thing>, why: &Arc<str>) {
        let things = alike.into_iter().chain([thing]);
        self.0.extend(things.map(|thing| (thing, Arc::clone(why))));
    }

    /// What is left out, in words; nothing when all is told.
    pub fn trouble(&self, book: &Book) -> Option<String> {
        let (thing, why) = self.0.first_key_value()?;
        let place = book.declared_at(thing).map_or_else(String::new, |place| format!("{place}: "));
        let more = match self.0.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        Some(format!("{place}{} is left out{more}: {why}", book.title(thing)))
    }

    /// The book that the dataplane is told. It is good for nothing else: what finds its entries is not kept in step.
    pub fn without(&self, book: &Book) -> Book {
        let mut told = book.clone();
        if self.is_empty() {
            return told;
        }
        let mut hops_used = false;
        for (id, _) in book.hops.iter().filter(|(_, hop)| self.leaves_out(hop)) {
            told.hops.remove(id);
            told.messages -= 1;
            hops_used |= book.uses(*id) > 0;
        }
        for thing in self.0.keys() {
            match thing {
                Thing::Peer(key) => {
                    if let Some(peer) = told.peers.remove(key) {
                        told.messages -= messages_of(&peer.allowed_ips);
                    }
                }
                Thing::Centre(number) => {
                    if let Some(centre) = told.centres.remove(number) {
                        told.messages -= centre.messages();
                    }
                }
                Thing::Route(prefix) => {
                    told.messages -= u64::from(told.routes.remove(prefix).is_some());
                }
                Thing::Fleet => {
                    told.messages -= told.fleet.take().map_or(0, |fleet| fleet.messages());
                }
                Thing::Rule(id) => told.leave_rule(*id),
                Thing::Tunnel(id) => told.leave_tunnel(*id),
                // Without its rules a tenant would lie open.
                Thing::Tenant(id) | Thing::Ruleset(id) => told.leave_tenant(*id),
                Thing::NextHop(_) => {}
            }
        }
        if hops_used {
            let led = book.routes.iter().filter(|(_, route)| !told.hops.contains(&route.next_hop));
            let led: Vec<_> = led.map(|(prefix, _)| *prefix).collect();
            for prefix in led {
                told.messages -= u64::from(told.routes.remove(&prefix).is_some());
            }
        }
        told
    }

    fn leaves_out(&self, hop: &NextHop) -> bool {
        matches!(hop.hop, Hop::Client(key) if self.0.contains_key(&Thing::Peer(key)))
            || self.0.contains_key(&Thing::NextHop(hop.id))
            || matches!(hop.hop, Hop::Via { centre, remote: None }
                if u16::try_from(centre).is_ok_and(|n| self.0.contains_key(&Thing::Centre(n))))
    }

    /// What is still left out when one book follows another, and whether the dataplane then has to be told everything:
    /// what has changed deserves another try, and others may lead there.
    pub fn after(&self, from: &Book, to: &Book, touched: &Touched) -> (Self, bool) {
        let (mut aside, mut all) = (self.clone(), false);
        if self.is_empty() {
            return (aside, all);
        }
        let mut again = |thing: Thing, is_there: bool| {
            all |= aside.0.remove(&thing).is_some() && is_there;
        };
        for key in touched.peers() {
            let (old, new) = (from.peers.get(key), to.peers.get(key));
            if !old.zip(new).is_some_and(|(old, new)| old.is_same_to_dataplane(new)) {
                again(Thing::Peer(*key), new.is_some());
            }
        }
        for id in touched.next_hops() {
            let (old, new) = (from.hops.get(id), to.hops.get(id));
            if old.map(|hop| hop.hop) != new.map(|hop| hop.hop) {
                again(Thing::NextHop(*id), new.is_some());
            }
        }
        for number in touched.centres() {
            let (old, new) = (from.centres.get(number), to.centres.get(number));
            let told = |centre: Option<&Arc<Centre>>| centre.map(|centre| centre.message(false));
            if told(old) != told(new) {
                again(Thing::Centre(*number), new.is_some());
            }
        }
        for prefix in touched.routes() {
            let (old, new) = (from.routes.get(prefix), to.routes.get(prefix));
            if old.map(|route| route.next_hop) != new.map(|route| route.next_hop) {
                again(Thing::Route(*prefix), false);
            }
        }
        for id in touched.rules() {
            let is_same = from.rules.get(id) == to.rules.get(id);
            if !is_same {
                // With a set go the tenants whose rules name it.
                again(Thing::Rule(*id), to.rules.get(id).is_some_and(|rule| rule.is_set()));
                // And rules that could not be compiled with what it held may be now.
                for book in [from, to] {
                    let Some(set) = book.rules.get(id).filter(|rule| rule.is_set()) else {
                        continue;
                    };
                    for tenant in book.users_of(&set.name) {
                        again(Thing::Ruleset(tenant), to.tenants.contains(&tenant));
                    }
                }
            }
        }
        for id in touched.tenants() {
            let (old, new) = (from.tenants.get(id), to.tenants.get(id));
            if old == new {
                continue;
            }
            again(Thing::Tenant(*id), new.is_some());
            again(Thing::Ruleset(*id), new.is_some());
            for tunnel in old.into_iter().chain(new).flat_map(|tenant| &tenant.tunnels) {
                again(Thing::Tunnel(tunnel.id), false);
            }
        }
        // Nothing leads to the fleet.
        if touched.fleet() && !is_same_fleet(from, to) {
            again(Thing::Fleet, false);
        }
        // Routes that nobody has touched come or go with the next hop that they lead to.
        let leads = |book: &Book, aside: &Self, id: &u32| {
            book.hops.get(id).is_some_and(|hop| !aside.leaves_out(hop))
        };
        let moved = |id: &u32| {
            let stays = from.hops.contains(id) && to.hops.contains(id);
            stays && to.uses(*id) > 0 && leads(from, self, id) != leads(to, &aside, id)
        };
        all |= touched.next_hops().any(moved);
        (aside, all)
    }
}

impl Book {
    /// Leaves a rule out, and the tenants whose rules name it.
    fn leave_rule(&mut self, id: u32) {
        let Some(rule) = self.rules.remove(&id) else { return };
        self.messages -= rule.messages();
        if rule.is_set() {
            for tenant in self.users_of(&rule.name).collect::<Vec<_>>() {
                self.leave_tenant(tenant);
            }
        }
    }

    fn leave_tunnel(&mut self, id: u32) {
        let Some((tenant, _)) = self.tunnel(id) else { return };
        let mut tenant = Tenant::clone(tenant);
        tenant.tunnels = tenant.tunnels.iter().filter(|tunnel| tunnel.id != id).cloned().collect();
        self.messages -= 1;
        self.tenants.insert(tenant.id, Arc::new(tenant));
    }

    /// Leaves a tenant out, and the rules that reach it.
    fn leave_tenant(&mut self, id: u32) {
        let Some(tenant) = self.tenants.remove(&id) else { return };
        self.messages -= tenant.messages();
        self.tenant_names.remove(&*tenant.name);
        let reaching = |rule: &Rule| matches!(&rule.reach, Reach::Tenant(to) if *to == tenant.name);
        let rules = self.rules.iter().filter(|(_, rule)| reaching(rule));
        for id in rules.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.leave_rule(id);
        }
    }
}
