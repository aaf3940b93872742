//! Tenants, each with rules of its own, built by both contestants as far as memory and patience allow.

use std::io;
use std::time::Duration;

use dpdk::clock::cycles;
use firewall::classifier::{Classifier, Sets};

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
    /// For `rte_acl` to build one, of the core's time.
    pub(super) patience: Duration,
}

/// What building has shown of one contestant.
#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) tenants: u32,
    /// All of them together.
    pub(super) octets: usize,
    /// Cycles for each of them.
    pub(super) times: Vec<f64>,
    /// Whether `rte_acl` has made small tries, as large ones would have been too large or taken too long.
    pub(super) small: bool,
    /// Why there is not even one.
    pub(super) refused: Option<String>,
}

/// Tenants of one kind with as many rules each.
pub(super) struct Tenants {
    pub(super) kind: Kind,
    pub(super) rules: u32,
    pub(super) ours: Vec<Classifier>,
    pub(super) acl: Vec<Acl>,
    /// The octets that `rte_acl` is given for a tenant, when it can do with any.
    most: Option<usize>,
    pub(super) built: [Built; 2],
}

/// Rules of the firewall without named sets.
pub(super) const NO_SETS: Sets<'static> = Sets { count: 1, lists: &|_| &[], number: &|_| None };

impl Tenants {
    pub(super) fn build(kind: Kind, rules: u32, room: &Room) -> Result<Self, Failure> {
        let (ours, acl) = (Vec::new(), Vec::new());
        let mut tenants = Self { kind, rules, ours, acl, most: None, built: Default::default() };
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
        if self.acl.is_empty() {
            self.most = self.most(rules, room);
        }
        let [_, built] = &mut self.built;
        let each = built.octets / self.acl.len().max(1);
        let Some(most) = self.most.filter(|_| built.octets + each <= room.octets) else {
            return Ok(false);
        };
        let start = cycles();
        let found = Acl::build(&format!("tenant{}", self.acl.len()), rules, most);
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

    /// Few large tries are quicker to search. Where they are not to be had the library may make many small ones.
    fn most(&mut self, rules: &[Five], room: &Room) -> Option<usize> {
        let [_, built] = &mut self.built;
        let mut reasons = Vec::new();
        for (most, name) in [(room.octets_each, "large"), (0, "small")] {
            match Acl::attempt(rules, most, room.patience) {
                Ok(()) => {
                    built.small = most == 0;
                    return Some(most);
                }
                Err(refused) => reasons.push(format!("{name} tries: {}", reason(&refused, room))),
            }
        }
        built.refused = Some(reasons.join("; "));
        None
    }
}

fn reason(refused: &io::Error, room: &Room) -> String {
    let kind = refused.kind();
    if kind == io::ErrorKind::TimedOut {
        format!("takes more than {} s of the core", room.patience.as_secs())
    } else if kind == io::ErrorKind::OutOfMemory {
        "finds too little memory".to_owned()
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
