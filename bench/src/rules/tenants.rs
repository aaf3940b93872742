//! Tenants, each with rules of its own, built by both contestants as far as memory and patience allow.

use std::io;
use std::time::Duration;

use dpdk::clock::cycles;
use firewall::classifier::{Classifier, Sets};
use serde::Serialize;

use super::acl::Acl;
use super::rulesets::{Five, Kind};
use crate::{Failure, allocator};

/// How many tenants there may be, and what each contestant may take for them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) tenants: u32,
    /// For all of them, and for one of `rte_acl`'s.
    pub(super) octets: usize,
    pub(super) octets_each: usize,
    /// For `rte_acl` to build one.
    pub(super) patience: Duration,
}

/// What building has shown of one contestant.
#[derive(Debug, Default, Serialize)]
pub(super) struct Built {
    pub(super) tenants: u32,
    /// All of them together.
    pub(super) octets: usize,
    /// Cycles for each of them.
    pub(super) times: Vec<f64>,
    /// Why there is not even one.
    pub(super) refused: Option<String>,
}

/// Tenants of one kind with as many rules each.
pub(super) struct Tenants {
    pub(super) kind: Kind,
    pub(super) rules: u32,
    pub(super) ours: Vec<Classifier>,
    pub(super) acl: Vec<Acl>,
    pub(super) built: [Built; 2],
}

/// Rules of the firewall without named sets.
pub(super) const NO_SETS: Sets<'static> = Sets { count: 1, lists: &|_| &[], number: &|_| None };

impl Tenants {
    pub(super) fn build(kind: Kind, rules: u32, room: &Room) -> Result<Self, Failure> {
        let (ours, acl) = (Vec::new(), Vec::new());
        let mut tenants = Self { kind, rules, ours, acl, built: Default::default() };
        for tenant in 0..room.tenants {
            let all: Vec<Five> =
                (0..rules).map(|place| kind.rule(tenant, (place, rules))).collect();
            let goes_on = [tenants.add(&all, room)?, tenants.add_acl(&all, room)?];
            if goes_on == [false; 2] {
                break;
            }
        }
        Ok(tenants)
    }

    /// Whether there was room for one more.
    fn add(&mut self, rules: &[Five], room: &Room) -> Result<bool, Failure> {
        let ruleset = self.kind.ruleset(rules);
        let [built, _] = &mut self.built;
        let each = built.octets / self.ours.len().max(1);
        if built.refused.is_some() || built.octets + each > room.octets {
            return Ok(false);
        }
        let before = allocator::octets();
        let start = cycles();
        let found = Classifier::build(&ruleset, &NO_SETS);
        let taken = cycles() - start;
        match found {
            Ok(classifier) => {
                built.add(taken, allocator::octets() - before);
                self.ours.push(classifier);
                Ok(true)
            }
            Err(refused) if self.ours.is_empty() => {
                built.refused = Some(refused.to_string());
                Ok(false)
            }
            Err(refused) => Err(refused.to_string().into()),
        }
    }

    fn add_acl(&mut self, rules: &[Five], room: &Room) -> Result<bool, Failure> {
        let [_, built] = &mut self.built;
        let each = built.octets / self.acl.len().max(1);
        if built.refused.is_some() || built.octets + each > room.octets {
            return Ok(false);
        }
        if self.acl.is_empty()
            && let Err(refused) = Acl::attempt(rules, room.octets_each, room.patience)
        {
            built.refused = Some(reason(&refused, room));
            return Ok(false);
        }
        let start = cycles();
        let found = Acl::build(&format!("tenant{}", self.acl.len()), rules, room.octets_each);
        let taken = cycles() - start;
        match found {
            Ok(acl) => {
                built.add(taken, acl.octets);
                self.acl.push(acl);
                Ok(true)
            }
            // What DPDK has is not all free for the structures: lists of rules are there as well.
            Err(refused) if refused.kind() == io::ErrorKind::OutOfMemory => Ok(false),
            Err(refused) => Err(refused.into()),
        }
    }
}

fn reason(refused: &io::Error, room: &Room) -> String {
    let kind = refused.kind();
    if kind == io::ErrorKind::TimedOut {
        format!("takes more than {} s", room.patience.as_secs())
    } else if kind == io::ErrorKind::OutOfMemory {
        format!("takes more than {} MiB", room.octets_each >> 20)
    } else {
        refused.to_string()
    }
}

impl Built {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 cycles")]
    fn add(&mut self, cycles: u64, octets: usize) {
        self.tenants += 1;
        self.octets += octets;
        self.times.push(cycles as f64);
    }
}
