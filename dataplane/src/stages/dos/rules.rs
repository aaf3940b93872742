//! The rules as workers read them: one version of all of them, built by the keeper, never changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cbpf::Set;
use shm::message::{Check, Class, Mode};

use super::buckets::Scope;
use super::lists::{Lists, SetId};
use super::rate::Rate;
use super::transit;
use crate::packet::Address;
use crate::stages::egress::tunnels::Tunnels;
use crate::stages::tenant::firewall::Firewall;

/// Whom a packet goes to, as rules tell it: 0 is this server, the others are numbers of tenants.
pub type Subject = u16;

/// This server.
pub const OWN: Subject = 0;

/// Whose packets a rule judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All.
    All,
    /// Those to one.
    To(Subject),
}

impl Reach {
    /// Whether it judges packets to this one.
    #[inline]
    pub fn includes(self, subject: Subject) -> bool {
        match self {
            Self::All => true,
            Self::To(one) => one == subject,
        }
    }
}

/// What is to be known of any rule when it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// What becomes of what it matches.
    pub mode: Mode,
    /// Whose packets it judges.
    pub reach: Reach,
    /// Whether it is a list of those who may pass.
    pub allows: bool,
}

impl Outline {
    /// No rule.
    pub const NONE: Self = Self { mode: Mode::Off, reach: Reach::All, allows: false };
}

/// One of the built-in checks, as a subject has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What becomes of what fails it.
    pub mode: Mode,
    /// The slot of the rule that says so; 0 by default.
    pub slot: u16,
}

/// How many checks there are.
const CHECKS: usize = Check::ALL.len();

/// All checks, in the order of [`Check::ALL`].
pub type Checks = [Checked; CHECKS];

/// What applies unless control says otherwise.
pub const CHECKS_DEFAULT: Checks = {
    let mut checks = [Checked { mode: Mode::Enforce, slot: 0 }; CHECKS];
    let mut at = 0;
    #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
    while at < CHECKS {
        checks[at].mode = Check::ALL[at].default_mode();
        at += 1;
    }
    checks
};

/// What shares a limit.
#[derive(Clone, Copy, Debug)]
pub enum Sharing {
    /// Sources of one prefix.
    Source(Scope),
    /// Destinations of one prefix.
    Destination(Scope),
    /// All that it reaches.
    Whole,
}

/// A limit.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Its rule's id, which no other rule gets.
    pub rule: u32,
    /// The slot of its rule.
    pub slot: u16,
    /// Which packets it counts.
    pub class: Class,
    /// What shares it.
    pub sharing: Sharing,
    /// How much one worker lets through.
    pub rate: Rate,
}

/// How many classes there are.
const CLASSES: usize = Class::ALL.len();

#[inline]
const fn row(class: Class) -> usize {
    class as usize - 1
}

/// The limits that a packet meets, by its class.
#[derive(Clone, Debug, Default)]
struct ByClass([Box<[Limit]>; CLASSES]);

impl ByClass {
    fn new(limits: &[Limit]) -> Self {
        let mut rows: [Vec<Limit>; CLASSES] = Default::default();
        for limit in limits {
            for (class, limits) in Class::ALL.iter().zip(&mut rows) {
                if limit.class == Class::Any || limit.class == *class {
                    limits.push(*limit);
                }
            }
        }
        Self(rows.map(Vec::into_boxed_slice))
    }

    fn depth(&self) -> usize {
        self.0.iter().map(|limits| limits.len()).max().unwrap_or(0)
    }

    #[inline]
    fn of(&self, class: Class) -> &[Limit] {
        self.0.get(row(class)).map(|limits| &**limits).unwrap_or_default()
    }
}

/// Limits of one kind of sharing: those of all packets, and those of each subject's.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    all: ByClass,
    /// By subject; the last one that has some is the last one here.
    to: Vec<Option<Box<ByClass>>>,
    depth: usize,
}

impl Limits {
    /// From limits with their reaches.
    pub fn new(limits: &[(Reach, Limit)]) -> Self {
        let (mut all, mut to) = (Vec::new(), BTreeMap::<Subject, Vec<Limit>>::new());
        for (reach, limit) in limits {
            match reach {
                Reach::All => all.push(*limit),
                Reach::To(subject) => to.entry(*subject).or_default().push(*limit),
            }
        }
        let all = ByClass::new(&all);
        let mut rows = Vec::new();
        for (subject, limits) in to {
            rows.resize(usize::from(subject), None);
            rows.push(Some(Box::new(ByClass::new(&limits))));
        }
        let own = rows.iter().flatten().map(|own| own.depth()).max().unwrap_or(0);
        let depth = all.depth() + own;
        Self { all, to: rows, depth }
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.depth == 0
    }

    /// The most limits that any packet meets.
    #[inline]
    pub const fn depth(&self) -> usize {
        self.depth
    }

    /// The limit of this rank, from 0, among those that a packet meets: those of all packets come first.
    #[inline]
    pub fn nth(&self, rank: usize, subject: Subject, class: Class) -> Option<&Limit> {
        let all = self.all.of(class);
        if let Some(limit) = all.get(rank) {
            return Some(limit);
        }
        let own = self.to.get(usize::from(subject)).and_then(Option::as_ref)?;
        own.of(class).get(rank - all.len())
    }
}

/// What one tenant has chosen, or this server for itself.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// The id of the tenant; none of this server.
    pub tenant: Option<u32>,
    /// What becomes of packets to it that any rule would drop.
    pub mode: Mode,
    /// Guards of its TCP servers.
    pub transit: transit::Policy,
    /// Its checks.
    pub checks: Checks,
}

impl Default for Policy {
    fn default() -> Self {
        let transit = transit::Policy::default();
        Self { tenant: None, mode: Mode::Enforce, transit, checks: CHECKS_DEFAULT }
    }
}

/// Whose prefixes are protected.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    prefixes: Lists,
    /// Whose the prefixes of each set are: as they overlap nowhere, a set is of one tenant.
    subjects: Box<[Subject]>,
}

impl Tenants {
    /// From prefixes, listed under their tenants' numbers.
    pub fn new(prefixes: Lists) -> Self {
        let of = |id| prefixes.slots(id).first().copied().unwrap_or(OWN);
        let subjects = (0..prefixes.sets()).filter_map(SetId::of).map(of).collect();
        Self { prefixes, subjects }
    }

    /// The tenant that has an address; 0 when none has.
    #[inline]
    pub fn of(&self, address: Address) -> Subject {
        if self.prefixes.is_empty() {
            return OWN;
        }
        let id = self.prefixes.lookup(address);
        self.subjects.get(usize::from(id.number())).copied().unwrap_or(OWN)
    }
}

/// One version of all rules.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Whose prefixes are protected.
    pub tenants: Arc<Tenants>,
    /// What this server has chosen for itself.
    pub own: Policy,
    /// What tenants have chosen, by their numbers less one.
    pub chosen: Vec<Policy>,
    /// What is known of each rule, by slot.
    pub outlines: Vec<Outline>,
    /// Which lists hold a source.
    pub lists: Arc<Lists>,
    /// What packets must not look like.
    pub signatures: Arc<Set>,
    /// Limits of sources.
    pub sources: Limits,
    /// Limits of destinations and of all together.
    pub totals: Limits,
    /// Limits of all together in the order of their slots, with their rates.
    pub rates: Vec<(u16, Rate)>,
    /// Named sets of prefixes, which tenants' own rules ask for.
    pub sets: Arc<Lists>,
    /// Tenants' own rules, by their numbers less one.
    pub firewalls: Vec<Option<Arc<Firewall>>>,
    /// Tenants' tunnels.
    pub tunnels: Arc<Tunnels>,
}

impl Rules {
    /// What is known of the rule in a slot.
    #[inline]
    pub fn outline(&self, slot: u16) -> Outline {
        self.outlines.get(usize::from(slot)).copied().unwrap_or(Outline::NONE)
    }

    /// A tenant's own rules, if it has any.
    #[inline]
    pub fn firewall(&self, tenant: Subject) -> Option<&Firewall> {
        let number = usize::from(tenant).checked_sub(1)?;
        self.firewalls.get(number)?.as_deref()
    }

    /// What a subject has chosen; `parse` knows no tenant that is not there.
    #[inline]
    pub fn policy(&self, subject: Subject) -> &Policy {
        let tenant = usize::from(subject).checked_sub(1);
        tenant.and_then(|number| self.chosen.get(number)).unwrap_or(&self.own)
    }
}
