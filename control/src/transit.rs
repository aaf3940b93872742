//! What the dataplane tells of tenants: how their tunnels stand and what these have carried, and what their rules have
//! matched.

use std::collections::HashMap;
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
            told.keep_those_of(&book());
        }
    }

    /// A dataplane that comes counts from 0, and has probed nothing yet.
    pub(crate) fn forget(&self) {
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = Told::default();
    }

    /// Forgets tunnels that are no more, and what rules have matched that are others now.
    pub(crate) fn follow(&self, from: &Book, to: &Book, touched: &Touched) {
        for id in touched.tenants() {
            let (old, new) = (from.tenant(*id), to.tenant(*id));
            let text = |tenant: Option<&_>| tenant.and_then(crate::model::Tenant::told);
            let (old_text, new_text) = (text(old.map(|old| &**old)), text(new.map(|new| &**new)));
            let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
            if old_text != new_text {
                told.counts.retain(|(tenant, _), _| tenant != id);
            }
            for tunnel in old.into_iter().flat_map(|tenant| &tenant.tunnels) {
                if to.tunnel(tunnel.id).is_none() {
                    told.standing.remove(&tunnel.id);
                    told.carried.remove(&tunnel.id);
                }
            }
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

    /// Drops what is of nobody, and counts of rules that a tenant does not have.
    fn keep_those_of(&mut self, book: &Book) {
        self.standing.retain(|id, _| book.tunnel(*id).is_some());
        self.carried.retain(|id, _| book.tunnel(*id).is_some());
        self.counts.retain(|(tenant, rule), _| {
            let firewall = book.tenant(*tenant).and_then(|tenant| tenant.firewall.as_ref());
            let rules = firewall.map_or(0, |firewall| firewall.ruleset().rules.len());
            *rule == ALL_RULES && rules > 0 || usize::try_from(*rule).is_ok_and(|rule| rule < rules)
        });
        if self.counts.len() > COUNTS_MAX {
            self.counts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dos::{Mode, SynGuard};
    use crate::model::{Change, Firewall, Limits, Origin, Tenant, Tunnel};

    fn tenant(rules: &str, tunnels: &[&str]) -> Change {
        let tunnel = |name: &&str| {
            let remote = [198, 51, 100, u8::try_from(name.len()).unwrap()].into();
            Tunnel::new(name, [192, 0, 2, 1].into(), remote)
        };
        Change::PutTenant(Tenant {
            name: "customer".into(),
            id: 0,
            mode: Mode::Enforce,
            syn: SynGuard::Off,
            syn_above: 0,
            flows: false,
            out_of_state: 0,
            prefixes: ["203.0.113.0/24".parse().unwrap()].into(),
            tunnels: tunnels.iter().map(tunnel).collect(),
            firewall: Some(Firewall::read(rules, Origin::Cli).unwrap()),
            origin: Origin::Cli,
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
        assert_eq!(transit.count(customer.id, 0), Count::default());
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
}
