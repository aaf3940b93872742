//! What the dataplane tells of tenants: how their tunnels stand and what these have carried, and what their rules have
//! matched.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use shm::limits::{TENANTS_MAX, TUNNELS_MAX};
use shm::message::{ALL_RULES, Event};

use crate::dos::Count;
use crate::model::dos::TunnelState;
use crate::model::{Book, Touched};

/// Counts of rules that are kept, of all tenants together: 256 for each, or all rules of some tenants.
const COUNTS_MAX: usize = 1 << 20;

/// How a tunnel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// In a word.
    pub state: TunnelState,
    /// From a probe to its answer; zero while it is not known.
    pub rtt: Duration,
    /// Probes sent.
    pub sent: u64,
    /// Probes answered.
    pub answered: u64,
    /// Since when it stands so, since the Unix epoch.
    pub since: Duration,
}

/// What a tunnel has carried since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Packets to its other end, and their octets.
    pub sent: [u64; 2],
    /// Packets from there, likewise.
    pub received: [u64; 2],
}

/// What was heard last.
#[derive(Debug, Default)]
pub struct Transit {
    told: RwLock<Told>,
}

#[derive(Debug, Default)]
struct Told {
    standing: HashMap<u32, Standing>,
    carried: HashMap<u32, Carried>,
    /// By tenant and index of the rule.
    counts: HashMap<(u32, u32), Count>,
}

impl Transit {
    /// How a tunnel stands; nothing while it was not heard of.
    pub fn standing(&self, tunnel: u32) -> Option<Standing> {
        self.read(|told| told.standing.get(&tunnel).copied())
    }

    /// What a tunnel has carried.
    pub fn carried(&self, tunnel: u32) -> Carried {
        self.read(|told| told.carried.get(&tunnel).copied()).unwrap_or_default()
    }

    /// What a counted rule of a tenant has matched, by its index, since the tenant's rules are these.
    pub fn count(&self, tenant: u32, rule: u32) -> Count {
        self.read(|told| told.counts.get(&(tenant, rule)).copied()).unwrap_or_default()
    }

    /// What has come to a tenant, and what its rules or their policy have dropped of it.
    pub fn total(&self, tenant: u32) -> Count {
        self.count(tenant, ALL_RULES)
    }

    /// Takes in an event.
    pub(crate) fn hear(&self, event: &Event, book: impl FnOnce() -> Book) {
        let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
        match *event {
            Event::Tunnel { id, state, rtt, sent, answered, since } => {
                told.standing.insert(id, Standing { state, rtt, sent, answered, since });
            }
            Event::TunnelCount { id, sent, received } => {
                told.carried.insert(id, Carried { sent, received });
            }
            Event::TenantCount { tenant, rule, packets, octets, dropped } => {
                told.counts.insert((tenant, rule), Count { packets, octets, dropped });
            }
            Event::Applied { .. }
            | Event::Refused { .. }
            | Event::Desynchronised
            | Event::Heartbeat { .. }
            | Event::Lost(_)
            | Event::Handshake { .. }
            | Event::EndpointMoved { .. }
            | Event::PeerExpired { .. }
            | Event::PeerState { .. }
            | Event::Surveyed { .. }
            | Event::Server { .. }
            | Event::Fleet { .. }
            | Event::Dials(_)
            | Event::Probed { .. }
            | Event::Paths { .. }
            | Event::RuleCount { .. }
            | Event::Heavy { .. }
            | Event::Swept { .. } => {}
        }
        if told.is_full() {
            told.keep_those_of(&book(), COUNTS_MAX);
        }
    }

    /// A dataplane that comes counts from 0, and has probed nothing yet.
    pub(crate) fn forget(&self) {
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = Told::default();
    }

    /// Forgets tunnels that are no more, and what rules have matched that are others now. What came to a tenant in all
    /// stays as long as the tenant does: the dataplane counts that on, whatever the rules.
    pub(crate) fn follow(&self, from: &Book, to: &Book, touched: &Touched) {
        let rules = |book: &Book, id: u32| book.tenant(id).and_then(|tenant| tenant.told());
        let is_other = |id: &u32| to.tenant(*id).is_none() || rules(from, *id) != rules(to, *id);
        let others: HashSet<u32> = touched.tenants().copied().filter(is_other).collect();
        let tunnels = touched.tenants().filter_map(|id| from.tenant(*id));
        let tunnels = tunnels.flat_map(|tenant| &tenant.tunnels).map(|tunnel| tunnel.id);
        let gone: Vec<u32> = tunnels.filter(|id| to.tunnel(*id).is_none()).collect();
        if others.is_empty() && gone.is_empty() {
            return;
        }
        let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
        told.counts.retain(|(tenant, rule), _| {
            !others.contains(tenant) || *rule == ALL_RULES && to.tenant(*tenant).is_some()
        });
        for id in gone {
            told.standing.remove(&id);
            told.carried.remove(&id);
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Told) -> T) -> T {
        look(&self.told.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Told {
    fn is_full(&self) -> bool {
        let tunnels = self.standing.len().max(self.carried.len());
        tunnels > 2 * TUNNELS_MAX || self.counts.len() > COUNTS_MAX + TENANTS_MAX
    }

    /// Drops what is of nobody, and counts of rules that a tenant does not have; of all rules, where there are too many.
    /// Totals are as few as tenants.
    fn keep_those_of(&mut self, book: &Book, counts_max: usize) {
        self.standing.retain(|id, _| book.tunnel(*id).is_some());
        self.carried.retain(|id, _| book.tunnel(*id).is_some());
        self.counts.retain(|(tenant, rule), _| {
            book.tenant(*tenant).is_some_and(|tenant| {
                let rules = tenant.firewall.as_ref().map_or(0, |one| one.ruleset().rules.len());
                *rule == ALL_RULES || usize::try_from(*rule).is_ok_and(|rule| rule < rules)
            })
        });
        if self.counts.len() > counts_max {
            self.counts.retain(|(_, rule), _| *rule == ALL_RULES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Change, Firewall, Limits, Origin, Tenant, Tunnel};

    fn tenant(rules: &str, tunnels: &[&str]) -> Change {
        let tunnel = |name: &&str| {
            let remote = [198, 51, 100, u8::try_from(name.len()).unwrap()].into();
            Tunnel::new(name, [192, 0, 2, 1].into(), remote)
        };
        Change::PutTenant(Tenant {
            tunnels: tunnels.iter().map(tunnel).collect(),
            firewall: Some(Firewall::read(rules, Origin::Cli).unwrap()),
            ..Tenant::new("customer", ["203.0.113.0/24".parse().unwrap()])
        })
    }

    fn changed(transit: &Transit, book: &mut Book, change: Change) {
        let before = book.clone();
        let touched = book.apply(Origin::Cli, &[change], &Limits::default()).unwrap();
        transit.follow(&before, book, &touched);
    }

    #[test]
    fn counts_go_with_the_rules_that_they_are_of_and_states_with_their_tunnels() {
        let (transit, mut book) = (Transit::default(), Book::default());
        let rules = "tcp dport 22 counter drop\n";
        changed(&transit, &mut book, tenant(rules, &["a", "bb"]));
        let customer = book.tenant_named("customer").unwrap().clone();
        let [a, b] = [&customer.tunnels[0], &customer.tunnels[1]].map(|tunnel| tunnel.id);
        let told = |rule| Event::TenantCount {
            tenant: customer.id,
            rule,
            packets: 5,
            octets: 300,
            dropped: 4,
        };
        let (state, rtt) = (TunnelState::Up, Duration::from_micros(900));
        let zero = Duration::ZERO;
        for event in [
            told(0),
            told(ALL_RULES),
            Event::Tunnel { id: a, state, rtt, sent: 2, answered: 1, since: zero },
            Event::Tunnel { id: b, state, rtt, sent: 2, answered: 2, since: zero },
            Event::TunnelCount { id: a, sent: [1, 60], received: [2, 120] },
        ] {
            transit.hear(&event, || book.clone());
        }
        let count = Count { packets: 5, octets: 300, dropped: 4 };
        assert_eq!((transit.count(customer.id, 0), transit.total(customer.id)), (count, count));
        assert_eq!(transit.standing(a).map(|seen| (seen.state, seen.rtt)), Some((state, rtt)));
        assert_eq!(transit.carried(a), Carried { sent: [1, 60], received: [2, 120] });
        // Words alone change no rule.
        changed(&transit, &mut book, tenant(&format!("# ssh\n{rules}"), &["bb"]));
        assert_eq!(transit.count(customer.id, 0), count);
        assert_eq!((transit.standing(a), transit.carried(a)), (None, Carried::default()));
        assert!(transit.standing(b).is_some());
        changed(&transit, &mut book, tenant("tcp dport 23 counter drop\n", &["bb"]));
        // The dataplane counts on what comes to a tenant, whatever its rules.
        assert_eq!(transit.count(customer.id, 0), Count::default());
        assert_eq!(transit.total(customer.id), count);
        changed(&transit, &mut book, Change::RemoveTenant("customer".into()));
        assert_eq!(transit.total(customer.id), Count::default());
    }

    #[test]
    fn what_a_dataplane_tells_of_nobody_is_not_kept_for_ever() {
        let transit = Transit::default();
        for id in 0..=u32::try_from(2 * TUNNELS_MAX).unwrap() {
            let event = Event::TunnelCount { id, sent: [1, 60], received: [0, 0] };
            transit.hear(&event, Book::default);
        }
        assert_eq!(transit.told.read().unwrap().carried.len(), 0);
    }

    #[test]
    fn totals_stay_where_there_is_no_room_for_counts_also_of_tenants_without_rules() {
        let (transit, mut book) = (Transit::default(), Book::default());
        changed(&transit, &mut book, tenant("", &[]));
        let id = book.tenant_named("customer").unwrap().id;
        let count =
            |tenant, rule| Event::TenantCount { tenant, rule, packets: 5, octets: 300, dropped: 0 };
        for event in [count(id, ALL_RULES), count(id, 0), count(id + 1, ALL_RULES)] {
            transit.hear(&event, || book.clone());
        }
        transit.told.write().unwrap().keep_those_of(&book, COUNTS_MAX);
        assert_eq!(transit.total(id).packets, 5);
        assert_eq!(transit.told.read().unwrap().counts.len(), 1);
        changed(&transit, &mut book, tenant("tcp dport 22 counter drop\n", &[]));
        transit.hear(&count(id, 0), || book.clone());
        transit.told.write().unwrap().keep_those_of(&book, 1);
        assert_eq!((transit.total(id).packets, transit.count(id, 0).packets), (5, 0));
    }
}
