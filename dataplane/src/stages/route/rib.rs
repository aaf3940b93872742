//! The routing information base: every prefix with its next hop, owned by the keeper, and the next version
//! of the workers' routes, which is made as it changes.

use std::net::Ipv6Addr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::centres::Centres;
use super::hosts::{self, Halves};
use super::lpm4;
use super::lpm6::Lpm6;
use super::next_hop::NextHop;
use super::next_hops::{NextHops, Unbuildable};
use super::prefixes::{Prefix, Prefixes};
use super::table::{Routes, halves};
use crate::limits::{PREFETCH_FROM, PREFETCH_FROM_PREFIXES};

/// From this many changes on, and from a sixteenth of the prefixes, tables are built anew: painting one prefix
/// takes as long as building some twenty.
const ANEW_FROM: usize = 4096;

/// A prefix and its next hop; none to remove it.
pub type Change = (IpNet, Option<NextHop>);

/// The routes as they are to be.
#[derive(Debug)]
pub struct Rib {
    seed: u64,
    hosts4: hosts::Draft<u32>,
    hosts6: hosts::Draft<Halves>,
    prefixes4: Prefixes<u32>,
    prefixes6: Prefixes<u128>,
    lpm4: lpm4::Draft,
    lpm6: Lpm6,
    next_hops: NextHops,
    centres: Arc<Centres>,
}

/// Where a prefix is kept.
enum Place {
    Host4(u32),
    Host6(Halves),
    Prefix4(Prefix<u32>),
    Prefix6(Prefix<u128>),
}

/// Whether the tables of prefixes follow a change at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tables {
    Follow,
    Wait,
}

impl Rib {
    /// Without any route. Hosts are hashed under the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            hosts4: hosts::Draft::new(seed),
            hosts6: hosts::Draft::new(seed),
            prefixes4: Prefixes::default(),
            prefixes6: Prefixes::default(),
            lpm4: lpm4::Draft::default(),
            lpm6: Lpm6::default(),
            next_hops: NextHops::default(),
            centres: Arc::default(),
        }
    }

    /// The version that workers are to get. It never changes, whatever is inserted later.
    pub fn publish(&self) -> Arc<Routes> {
        Arc::new(self.routes())
    }

    pub(super) fn routes(&self) -> Routes {
        let default = |id: Option<u16>| id.map_or(NextHop::None, |id| self.next_hops.get(id));
        Routes {
            hosts4: self.hosts4.table().clone(),
            hosts6: self.hosts6.table().clone(),
            prefixes4: self.lpm4.table().clone(),
            prefixes6: self.lpm6.clone(),
            default4: default(self.prefixes4.get((0, 0))),
            default6: default(self.prefixes6.get((0, 0))),
            next_hops: Arc::clone(self.next_hops.by_id()),
            centres: Arc::clone(&self.centres),
            are_many: self.hosts4.len() + self.hosts6.len() > PREFETCH_FROM
                || self.prefixes4.len() + self.prefixes6.len() > PREFETCH_FROM_PREFIXES,
        }
    }

    /// The data centres are others.
    pub fn set_centres(&mut self, centres: Centres) {
        self.centres = Arc::new(centres);
    }

    /// Replaces everything with these routes; of equal prefixes the last wins. On an error nothing changes.
    pub fn load(&mut self, routes: &[(IpNet, NextHop)]) -> Result<(), Unbuildable> {
        let centres = Arc::clone(&self.centres);
        *self = Self { centres, ..Self::loaded(routes, self.seed)? };
        Ok(())
    }

    fn loaded(routes: &[(IpNet, NextHop)], seed: u64) -> Result<Self, Unbuildable> {
        let mut rib = Self::new(seed);
        let (mut hosts4, mut hosts6) = (Vec::new(), Vec::new());
        let (mut prefixes4, mut prefixes6) = (Vec::new(), Vec::new());
        for (net, next_hop) in routes {
            match place(*net) {
                Place::Host4(host) => hosts4.push((host, *next_hop)),
                Place::Host6(host) => hosts6.push((host, *next_hop)),
                Place::Prefix4(prefix) => {
                    prefixes4.push((prefix, rib.next_hops.acquire(*next_hop)?));
                }
                Place::Prefix6(prefix) => {
                    prefixes6.push((prefix, rib.next_hops.acquire(*next_hop)?));
                }
            }
        }
        rib.hosts4 = hosts::Draft::build(&hosts4, seed);
        rib.hosts6 = hosts::Draft::build(&hosts6, seed);
        rib.prefixes4 = collect(prefixes4, &mut rib.next_hops);
        rib.prefixes6 = collect(prefixes6, &mut rib.next_hops);
        rib.rebuild()?;
        Ok(rib)
    }

    /// Builds the tables of prefixes anew. On an error they stay as they are.
    fn rebuild(&mut self) -> Result<(), Unbuildable> {
        self.lpm4 = lpm4::Draft::build(&self.prefixes4)?;
        self.lpm6 = Lpm6::build(&self.prefixes6);
        Ok(())
    }

    /// Makes all of these changes in their order, or none.
    pub fn change(&mut self, changes: &[Change]) -> Result<(), Unbuildable> {
        let prefixes = self.prefixes4.len() + self.prefixes6.len();
        let anew = changes.len() >= ANEW_FROM && changes.len() >= prefixes / 16;
        let tables = if anew { Tables::Wait } else { Tables::Follow };
        let mut done: Vec<Change> = Vec::with_capacity(changes.len());
        let mut made = Ok(());
        for (net, next_hop) in changes {
            match self.set(*net, *next_hop, tables) {
                Ok(before) => done.push((*net, before)),
                Err(error) => {
                    made = Err(error);
                    break;
                }
            }
        }
        if anew && made.is_ok() {
            made = self.rebuild();
        }
        if made.is_err() {
            self.undo(done, tables);
        }
        made
    }

    /// Whatever stood here before fitted, so it fits again; though perhaps under other ids.
    fn undo(&mut self, done: Vec<Change>, tables: Tables) {
        for (net, before) in done.into_iter().rev() {
            let undone = self.set(net, before, tables);
            debug_assert!(undone.is_ok(), "{net}");
        }
        if tables == Tables::Wait {
            let rebuilt = self.rebuild();
            debug_assert!(rebuilt.is_ok());
        }
    }

    fn set(
        &mut self,
        net: IpNet,
        next_hop: Option<NextHop>,
        tables: Tables,
    ) -> Result<Option<NextHop>, Unbuildable> {
        match (place(net), next_hop) {
            (Place::Host4(host), Some(next_hop)) => Ok(self.hosts4.insert(host, next_hop)),
            (Place::Host4(host), None) => Ok(self.hosts4.remove(host)),
            (Place::Host6(host), Some(next_hop)) => Ok(self.hosts6.insert(host, next_hop)),
            (Place::Host6(host), None) => Ok(self.hosts6.remove(host)),
            (Place::Prefix4(prefix), next_hop) => self.set4(prefix, next_hop, tables),
            (Place::Prefix6(prefix), next_hop) => self.set6(prefix, next_hop, tables),
        }
    }

    fn set4(
        &mut self,
        prefix: Prefix<u32>,
        next_hop: Option<NextHop>,
        tables: Tables,
    ) -> Result<Option<NextHop>, Unbuildable> {
        if next_hop.is_some() && tables == Tables::Follow && !self.lpm4.has_room(prefix) {
            return Err(Unbuildable::TooManyLongPrefixes);
        }
        let before = self.prefixes4.get(prefix);
        let change = exchange(&mut self.next_hops, before, next_hop)?;
        store(&mut self.prefixes4, prefix, change.id);
        if tables == Tables::Follow && change.id != before {
            self.lpm4.paint(&self.prefixes4, prefix)?;
        }
        Ok(change.before)
    }

    fn set6(
        &mut self,
        prefix: Prefix<u128>,
        next_hop: Option<NextHop>,
        tables: Tables,
    ) -> Result<Option<NextHop>, Unbuildable> {
        let before = self.prefixes6.get(prefix);
        let change = exchange(&mut self.next_hops, before, next_hop)?;
        store(&mut self.prefixes6, prefix, change.id);
        if tables == Tables::Follow && change.id != before {
            self.lpm6.paint(&self.prefixes6, prefix);
        }
        Ok(change.before)
    }

    /// Sets the next hop of a prefix; gives back the one before. On an error nothing changes.
    pub fn insert(
        &mut self,
        net: IpNet,
        next_hop: NextHop,
    ) -> Result<Option<NextHop>, Unbuildable> {
        self.set(net, Some(next_hop), Tables::Follow)
    }

    /// Takes a prefix out; gives back its next hop. What encloses it holds again.
    pub fn remove(&mut self, net: IpNet) -> Option<NextHop> {
        let removed = self.set(net, None, Tables::Follow);
        debug_assert!(removed.is_ok(), "removing {net} needs nothing");
        removed.unwrap_or_default()
    }

    /// Lets all prefixes that lead to `from` lead to `to`, at the cost of one. Single addresses, which
    /// hold their next hops themselves, stay as they are.
    pub fn redirect(&mut self, from: NextHop, to: NextHop) {
        self.next_hops.redirect(from, to);
    }

    /// The next hop of exactly this prefix.
    pub fn get(&self, net: IpNet) -> Option<NextHop> {
        match place(net) {
            Place::Host4(host) => self.hosts4.get(host),
            Place::Host6(host) => self.hosts6.get(host),
            Place::Prefix4(prefix) => self.prefixes4.get(prefix).map(|id| self.next_hops.get(id)),
            Place::Prefix6(prefix) => self.prefixes6.get(prefix).map(|id| self.next_hops.get(id)),
        }
    }

    /// The longest prefix around this one, without itself, and its next hop.
    pub fn around(&self, net: IpNet) -> Option<(IpNet, NextHop)> {
        match net.trunc() {
            IpNet::V4(net) => {
                let (prefix, id) =
                    self.prefixes4.around((net.addr().to_bits(), net.prefix_len()))?;
                Some((net4(prefix)?, self.next_hops.get(id)))
            }
            IpNet::V6(net) => {
                let (prefix, id) =
                    self.prefixes6.around((net.addr().to_bits(), net.prefix_len()))?;
                Some((net6(prefix)?, self.next_hops.get(id)))
            }
        }
    }

    /// The prefixes within this one, without itself, in order; single addresses are not among them.
    pub fn within(&self, net: IpNet) -> Box<dyn Iterator<Item = (IpNet, NextHop)> + '_> {
        match net.trunc() {
            IpNet::V4(net) => {
                let found = self.prefixes4.within((net.addr().to_bits(), net.prefix_len()));
                Box::new(found.filter_map(|(at, id)| Some((net4(at)?, self.next_hops.get(id)))))
            }
            IpNet::V6(net) => {
                let found = self.prefixes6.within((net.addr().to_bits(), net.prefix_len()));
                Box::new(found.filter_map(|(at, id)| Some((net6(at)?, self.next_hops.get(id)))))
            }
        }
    }

    /// Every route, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (IpNet, NextHop)> {
        let hosts4 = self.hosts4.table().iter();
        let hosts4 = hosts4.filter_map(|(host, next_hop)| Some((net4((host, 32))?, next_hop)));
        let hosts6 = self.hosts6.table().iter();
        let hosts6 = hosts6.filter_map(|([high, low], next_hop)| {
            Some((net6((u128::from(high) << 64 | u128::from(low), 128))?, next_hop))
        });
        let get = |id| self.next_hops.get(id);
        let nets4 = self.prefixes4.iter().filter_map(move |(at, id)| Some((net4(at)?, get(id))));
        let nets6 = self.prefixes6.iter().filter_map(move |(at, id)| Some((net6(at)?, get(id))));
        hosts4.chain(hosts6).chain(nets4).chain(nets6)
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.hosts4.len() + self.hosts6.len() + self.prefixes4.len() + self.prefixes6.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What became of the id of a prefix.
struct Exchanged {
    id: Option<u16>,
    before: Option<NextHop>,
}

/// Gives the id before back and takes the new one; the order lets the last id be exchanged.
fn exchange(
    next_hops: &mut NextHops,
    before: Option<u16>,
    next_hop: Option<NextHop>,
) -> Result<Exchanged, Unbuildable> {
    let was = before.map(|id| next_hops.get(id));
    if was == next_hop {
        return Ok(Exchanged { id: before, before: was });
    }
    if let Some(next_hop) = next_hop
        && before.is_none_or(|id| !next_hops.is_last_use(id))
        && !next_hops.has_room(next_hop)
    {
        return Err(Unbuildable::TooManyNextHops);
    }
    if let Some(id) = before {
        next_hops.release(id);
    }
    let id = next_hop.map(|next_hop| next_hops.acquire(next_hop)).transpose()?;
    Ok(Exchanged { id, before: was })
}

fn store<W: super::prefixes::Word>(prefixes: &mut Prefixes<W>, prefix: Prefix<W>, id: Option<u16>) {
    match id {
        Some(id) => prefixes.insert(prefix, id),
        None => prefixes.remove(prefix),
    };
}

/// The prefixes in order. Where one comes twice, the ids of all but the last go back.
fn collect<W: super::prefixes::Word>(
    mut all: Vec<(Prefix<W>, u16)>,
    next_hops: &mut NextHops,
) -> Prefixes<W> {
    all.sort_by_key(|(prefix, _)| *prefix);
    all.dedup_by(|later, earlier| {
        let is_same = later.0 == earlier.0;
        if is_same {
            // `dedup_by` keeps the earlier one, which takes the place of both.
            next_hops.release(earlier.1);
            earlier.1 = later.1;
        }
        is_same
    });
    all.into_iter().collect()
}

fn place(net: IpNet) -> Place {
    match net {
        IpNet::V4(net) if net.prefix_len() == 32 => Place::Host4(net.addr().to_bits()),
        IpNet::V6(net) if net.prefix_len() == 128 => Place::Host6(halves(net.addr())),
        IpNet::V4(net) => Place::Prefix4((net.network().to_bits(), net.prefix_len())),
        IpNet::V6(net) => Place::Prefix6((net.network().to_bits(), net.prefix_len())),
    }
}

fn net4((first, len): Prefix<u32>) -> Option<IpNet> {
    Ipv4Net::new(first.into(), len).ok().map(IpNet::V4)
}

fn net6((first, len): Prefix<u128>) -> Option<IpNet> {
    Ipv6Net::new(Ipv6Addr::from_bits(first), len).ok().map(IpNet::V6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Address;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::net::IpAddr;

    type Model = HashMap<IpNet, NextHop>;

    fn naive(model: &Model, address: IpAddr) -> NextHop {
        let around = model.iter().filter(|(net, _)| net.contains(&address));
        let longest = around.max_by_key(|(net, _)| net.prefix_len());
        longest.map_or(NextHop::None, |(_, next_hop)| *next_hop)
    }

    /// The addresses around the borders of a prefix.
    fn borders(net: &IpNet) -> [IpAddr; 4] {
        match net {
            IpNet::V4(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
                    .map(|bits| std::net::Ipv4Addr::from_bits(bits).into())
            }
            IpNet::V6(net) => {
                let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
                [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
                    .map(|bits| Ipv6Addr::from_bits(bits).into())
            }
        }
    }

    /// Few high bits and few low ones, so that prefixes nest, meet and are named again.
    fn net() -> impl Strategy<Value = IpNet> {
        let four =
            (0_u32..4, 0_u32..4, 0_u32..4, 0_u8..=32).prop_map(|(high, middle, low, len)| {
                let bits = high << 30 | middle << 14 | low << 7 | low;
                IpNet::new(std::net::Ipv4Addr::from_bits(bits).into(), len).unwrap().trunc()
            });
        let six =
            (0_u128..4, 0_u128..4, 0_u128..4, 0_u8..=128).prop_map(|(high, middle, low, len)| {
                let bits = high << 126 | middle << 64 | low << 62 | low << 30 | low;
                IpNet::new(Ipv6Addr::from_bits(bits).into(), len).unwrap().trunc()
            });
        prop_oneof![four, six]
    }

    fn next_hop() -> impl Strategy<Value = NextHop> {
        let client = (0_u32..5).prop_map(NextHop::Client);
        prop_oneof![1 => Just(NextHop::None), 1 => Just(NextHop::Local), 6 => client]
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(IpNet, NextHop),
        Remove(IpNet),
        RemoveKnown(prop::sample::Index),
        Redirect(NextHop, NextHop),
        Change(Vec<Change>),
        Load(Vec<(IpNet, NextHop)>),
    }

    fn step() -> impl Strategy<Value = Step> {
        let change = prop::collection::vec((net(), prop::option::of(next_hop())), 0..6);
        let load = prop::collection::vec((net(), next_hop()), 0..20);
        prop_oneof![
            12 => (net(), next_hop()).prop_map(|(net, next_hop)| Step::Insert(net, next_hop)),
            2 => net().prop_map(Step::Remove),
            5 => any::<prop::sample::Index>().prop_map(Step::RemoveKnown),
            2 => (next_hop(), next_hop()).prop_map(|(from, to)| Step::Redirect(from, to)),
            2 => change.prop_map(Step::Change),
            1 => load.prop_map(Step::Load),
        ]
    }

    fn apply(step: &Step, rib: &mut Rib, model: &mut Model) -> Result<(), TestCaseError> {
        match step {
            Step::Insert(net, next_hop) => {
                prop_assert_eq!(rib.insert(*net, *next_hop), Ok(model.insert(*net, *next_hop)));
            }
            Step::Remove(net) => prop_assert_eq!(rib.remove(*net), model.remove(net)),
            Step::RemoveKnown(which) => {
                let mut known: Vec<_> = model.keys().copied().collect();
                known.sort();
                if !known.is_empty() {
                    let net = which.get(&known);
                    prop_assert_eq!(rib.remove(*net), model.remove(net));
                }
            }
            Step::Redirect(from, to) => {
                rib.redirect(*from, *to);
                for (net, next_hop) in model.iter_mut() {
                    if next_hop == from && net.prefix_len() < net.max_prefix_len() {
                        *next_hop = *to;
                    }
                }
            }
            Step::Change(changes) => {
                prop_assert_eq!(rib.change(changes), Ok(()));
                for (net, next_hop) in changes {
                    match next_hop {
                        Some(next_hop) => model.insert(*net, *next_hop),
                        None => model.remove(net),
                    };
                }
            }
            Step::Load(routes) => {
                prop_assert_eq!(rib.load(routes), Ok(()));
                *model = routes.iter().copied().collect();
            }
        }
        Ok(())
    }

    fn check(routes: &Routes, model: &Model, probes: &[IpAddr]) -> Result<(), TestCaseError> {
        let borders = model.keys().flat_map(borders);
        for address in borders.chain(probes.iter().copied()) {
            // A mapped address is one of IPv4 to us, and `Ip::read` lets none through.
            if IpAddr::from(Address::from(address)) == address {
                let found = routes.lookup(Address::from(address));
                prop_assert_eq!(found, naive(model, address), "{}", address);
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_version_answers_as_a_walk_over_its_prefixes_does(
            steps in prop::collection::vec(step(), 1..40),
            probes in prop::collection::vec(net(), 20),
        ) {
            let mut rib = Rib::new(5);
            let mut model = Model::new();
            let probes: Vec<_> = probes.iter().flat_map(borders).collect();
            let mut versions = Vec::new();
            for step in &steps {
                apply(step, &mut rib, &mut model)?;
                let version = rib.publish();
                check(&version, &model, &probes)?;
                versions.push((version, model.clone()));
            }
            for (version, model) in &versions {
                check(version, model, &probes)?;
            }
            prop_assert_eq!(rib.len(), model.len());
            prop_assert_eq!(rib.iter().collect::<Model>(), model.clone());
            for net in model.keys().chain(steps.iter().filter_map(named)) {
                prop_assert_eq!(rib.get(*net), model.get(net).copied());
                check_family(&rib, &model, *net)?;
            }
        }
    }

    fn named(step: &Step) -> Option<&IpNet> {
        match step {
            Step::Insert(net, _) | Step::Remove(net) => Some(net),
            Step::RemoveKnown(_) | Step::Redirect(..) | Step::Change(_) | Step::Load(_) => None,
        }
    }

    /// What lies around a prefix and within it.
    fn check_family(rib: &Rib, model: &Model, net: IpNet) -> Result<(), TestCaseError> {
        let is_prefix =
            |other: &&IpNet| **other != net && other.prefix_len() < other.max_prefix_len();
        let mut within: Vec<_> =
            model.keys().filter(is_prefix).filter(|other| net.contains(*other)).copied().collect();
        within.sort_by_key(|net| (net.network(), net.prefix_len()));
        let found: Vec<_> = rib.within(net).collect();
        let wanted: Vec<_> = within.into_iter().map(|net| (net, model[&net])).collect();
        prop_assert_eq!(found, wanted, "within {}", net);
        let around = model.keys().filter(is_prefix).filter(|other| other.contains(&net));
        let longest = around.max_by_key(|net| net.prefix_len()).map(|net| (*net, model[net]));
        prop_assert_eq!(rib.around(net), longest, "around {}", net);
        Ok(())
    }

    fn net4_of(bits: u32, len: u8) -> IpNet {
        IpNet::new(std::net::Ipv4Addr::from_bits(bits).into(), len).unwrap()
    }

    /// What a failed transaction has to leave alone.
    fn state(rib: &Rib) -> (Model, Vec<NextHop>) {
        let routes = rib.publish();
        let mut nets: Vec<_> = rib.iter().map(|(net, _)| net).collect();
        nets.sort();
        let addresses = nets.iter().flat_map(borders);
        (rib.iter().collect(), addresses.map(|address| routes.lookup(address.into())).collect())
    }

    /// Tables with room for one next hop, or for none.
    fn full(next_hops: u32) -> Rib {
        let mut rib = Rib::new(3);
        let routes: Vec<_> = (0..next_hops)
            .map(|n| (net4_of(0x0a00_0000 + (n << 8), 24), NextHop::Client(n)))
            .collect();
        rib.load(&routes).unwrap();
        rib
    }

    #[test]
    fn a_transaction_that_runs_out_of_next_hops_leaves_no_trace() {
        let mut rib = full(32_766);
        let before = state(&rib);
        let mut changes: Vec<Change> = vec![
            ("fd00::1/128".parse().unwrap(), Some(NextHop::Client(7))),
            ("10.0.1.0/24".parse().unwrap(), None),
            ("10.0.0.0/8".parse().unwrap(), Some(NextHop::Client(100_000))),
            ("fd00::/8".parse().unwrap(), Some(NextHop::Client(100_001))),
            ("10.0.2.0/24".parse().unwrap(), Some(NextHop::Client(100_000))),
        ];
        assert_eq!(rib.change(&changes), Ok(()), "one was given back, then one more was there");
        assert_eq!(rib.change(&[changes[3]]), Ok(()));
        let mut rib = full(32_766);
        changes.push(("fd00::/16".parse().unwrap(), Some(NextHop::Client(100_002))));
        changes.push(("fd00::/24".parse().unwrap(), Some(NextHop::Client(100_003))));
        changes.push(("fd00::/32".parse().unwrap(), Some(NextHop::Client(100_004))));
        assert_eq!(rib.change(&changes), Err(Unbuildable::TooManyNextHops));
        assert_eq!(state(&rib), before);
        // So long that tables are built anew.
        changes.splice(0..0, (0..8_192).map(|n| (net4_of(0x0a00_0000 + (n << 8), 24), None)));
        changes.extend(
            (0..8_192).map(|n| (net4_of(0x0b00_0000 + (n << 8), 24), Some(NextHop::Client(n)))),
        );
        changes
            .extend((0..9).map(|n| {
                (net4_of(0x0c00_0000 + (n << 8), 24), Some(NextHop::Client(200_000 + n)))
            }));
        assert_eq!(rib.change(&changes), Err(Unbuildable::TooManyNextHops));
        assert_eq!(state(&rib), before);
    }

    #[test]
    fn a_snapshot_that_does_not_fit_leaves_the_routes_as_they_are() {
        let mut rib = full(100);
        let before = state(&rib);
        let routes: Vec<_> = (0..32_768)
            .map(|n| (net4_of(0x0b00_0000 + (n << 8), 24), NextHop::Client(n)))
            .collect();
        assert_eq!(rib.load(&routes), Err(Unbuildable::TooManyNextHops));
        assert_eq!(state(&rib), before);
        assert_eq!(rib.load(&routes[1..]), Ok(()));
        assert_eq!(rib.len(), 32_767);
    }

    #[test]
    fn a_failed_transaction_leaves_no_prefix_with_an_id_that_was_given_back() {
        let mut rib = full(32_766);
        // Now two ids lead to the same client; what is put back gets the second one.
        rib.redirect(NextHop::Client(5), NextHop::Client(6));
        let mut changes: Vec<Change> =
            (0..8_192).map(|n| (net4_of(0x0a00_0000 + (n << 8), 24), None)).collect();
        changes
            .extend((0..9_000).map(|n| {
                (net4_of(0x0c00_0000 + (n << 8), 24), Some(NextHop::Client(200_000 + n)))
            }));
        assert_eq!(rib.change(&changes), Err(Unbuildable::TooManyNextHops));
        for n in 0..2 {
            let net = net4_of(0x0d00_0000 + (n << 8), 24);
            assert_eq!(rib.insert(net, NextHop::Client(300_000 + n)), Ok(None));
        }
        let found = rib.publish().lookup(Address::from(net4_of(0x0a00_0500, 24).network()));
        assert_eq!(found, NextHop::Client(6));
    }

    #[test]
    fn a_transaction_that_runs_out_of_groups_leaves_no_trace() {
        let mut rib = Rib::new(3);
        let routes: Vec<_> = (0..32_768)
            .map(|n| (net4_of(0x0a00_0000 + (n << 8), 25), NextHop::Client(n % 100)))
            .collect();
        rib.load(&routes).unwrap();
        let before = state(&rib);
        let mut changes: Vec<Change> = vec![
            ("10.0.1.0/25".parse().unwrap(), None),
            ("10.0.0.0/8".parse().unwrap(), Some(NextHop::Client(1))),
            ("11.0.0.0/26".parse().unwrap(), Some(NextHop::Client(2))),
            ("11.0.1.0/26".parse().unwrap(), Some(NextHop::Client(2))),
        ];
        assert_eq!(rib.change(&changes), Err(Unbuildable::TooManyLongPrefixes));
        assert_eq!(state(&rib), before);
        changes.extend(
            (0..8_192).map(|n| (net4_of(0x0c00_0000 + (n << 8), 24), Some(NextHop::Local))),
        );
        assert_eq!(rib.change(&changes), Err(Unbuildable::TooManyLongPrefixes));
        assert_eq!(state(&rib), before);
        assert_eq!(rib.change(&changes[..3]), Ok(()));
    }

    #[test]
    fn a_prefix_can_change_to_a_new_next_hop_when_ids_are_all_in_use() {
        let mut rib = full(32_767);
        let net = net4_of(0x0a00_0000, 24);
        assert_eq!(rib.insert(net, NextHop::Local), Ok(Some(NextHop::Client(0))));
        assert_eq!(rib.publish().lookup(Address::from(net.network())), NextHop::Local);
        let another = net4_of(0x0a00_0100, 25);
        assert_eq!(rib.insert(another, NextHop::Client(0)), Err(Unbuildable::TooManyNextHops));
        assert_eq!(rib.get(another), None);
    }
}
