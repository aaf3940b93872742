//! Both contestants before the same packets, in blocks that take turns. They must find the same rules.

use std::hint::black_box;

use arrayvec::ArrayVec;
use dataplane::limits::BURST_LEN_MAX;
use dpdk::clock::cycles;
use firewall::classifier::{Asked, Classifier};
use firewall::facts::Facts;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::acl::{Acl, Algorithm};
use super::packets::{Key, Packet, Traffic};
use super::rulesets::Kind;
use super::tenants::Tenants;
use super::{Plan, WARM_UP};
use crate::sample::per_packet;
use crate::{Failure, allocator};

/// Packets of a block: with what they are looked up by, they stay in the second cache.
const PACKETS: usize = 2_048;

/// Packets of the first block of which the rule is also sought by going through all rules.
const WALKED: usize = 64;

/// Who searches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Contestant {
    Ours,
    Acl(Algorithm),
}

impl Contestant {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Acl(algorithm) => algorithm.name,
        }
    }
}

/// Cycles per packet of each block.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) kind: Kind,
    pub(super) rules: u32,
    pub(super) tenants: u32,
    /// Packets of the same tenant on end, which a call of `rte_acl` is for.
    pub(super) run: usize,
    pub(super) traffic: Traffic,
    pub(super) ours: Vec<f64>,
    /// `rte_acl`'s, by the name of the algorithm.
    pub(super) acl: Vec<(&'static str, Vec<f64>)>,
}

/// Packets and whose they are.
struct Batch {
    packets: Vec<Packet>,
    facts: Vec<Facts>,
    keys: Vec<Key>,
    /// The tenant of each run.
    owners: Vec<u32>,
}

/// All traffic in all runs, to the first so many tenants. `rte_acl` takes part when it has built them.
pub(super) fn measure(
    tenants: &Tenants,
    (count, runs): (u32, &[usize]),
    plan: &Plan,
) -> Result<Vec<Measured>, Failure> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let acl = tenants.acl.first().filter(|_| tenants.acl.len() >= count as usize);
    let algorithms = acl.map(Acl::algorithms).unwrap_or_default();
    let mut measured = begin(tenants, (count, runs), &algorithms);
    for block in 0..WARM_UP + plan.blocks {
        for one in &mut measured {
            let batches: [Batch; 2] =
                std::array::from_fn(|_| Batch::draw(tenants, one, &mut random));
            let [_, batch] = &batches;
            if block == 0 {
                batch.walk(tenants, one)?;
            }
            let found = time(tenants, Contestant::Ours, &batches, one.run)?;
            check(one.traffic.wanted(tenants.rules), &found.1, one)?;
            let mut others = Vec::new();
            for algorithm in &algorithms {
                let other = time(tenants, Contestant::Acl(*algorithm), &batches, one.run)?;
                agree(&found.1, &other.1, one)?;
                others.push(other.0);
            }
            if block >= WARM_UP {
                one.ours.push(found.0);
                one.acl.iter_mut().zip(others).for_each(|((_, blocks), one)| blocks.push(one));
            }
        }
    }
    Ok(measured)
}

fn begin(
    tenants: &Tenants,
    (count, runs): (u32, &[usize]),
    algorithms: &[Algorithm],
) -> Vec<Measured> {
    let measured = |run: usize, traffic| Measured {
        kind: tenants.kind,
        rules: tenants.rules,
        tenants: count,
        run,
        traffic,
        ours: Vec::new(),
        acl: algorithms.iter().map(|one| (one.name, Vec::new())).collect(),
    };
    let of_run = |run: &usize| Traffic::ALL.map(|traffic| measured(*run, traffic));
    runs.iter().flat_map(of_run).collect()
}

/// Cycles per packet of the second batch, and what was found in it. The first brings into the caches what the contestant
/// before has driven out.
fn time(
    tenants: &Tenants,
    contestant: Contestant,
    batches: &[Batch; 2],
    run: usize,
) -> Result<(f64, Vec<u32>), Failure> {
    let mut found = vec![0; PACKETS];
    let mut taken = 0;
    for batch in batches {
        let keys: Vec<&Key> = batch.keys.iter().collect();
        let calls = allocator::calls();
        let start = cycles();
        batch.search(tenants, contestant, (&keys, &mut found), run);
        taken = cycles() - start;
        black_box(&mut found);
        if allocator::calls() > calls {
            return Err(format!("{} calls the allocator", contestant.name()).into());
        }
    }
    Ok((per_packet(taken, PACKETS as u64), found))
}

fn check(wanted: Option<u32>, found: &[u32], one: &Measured) -> Result<(), Failure> {
    match found.iter().find(|rule| wanted.is_some_and(|wanted| wanted != **rule)) {
        Some(other) => Err(format!("{}: rule {other} is found and {wanted:?} meant", one.title())),
        None => Ok(()),
    }
    .map_err(Failure::from)
}

fn agree(ours: &[u32], theirs: &[u32], one: &Measured) -> Result<(), Failure> {
    match ours.iter().zip(theirs).find(|(ours, theirs)| ours != theirs) {
        Some((ours, theirs)) => {
            Err(format!("{}: we find rule {ours}, rte_acl {theirs}", one.title()))
        }
        None => Ok(()),
    }
    .map_err(Failure::from)
}

impl Measured {
    fn title(&self) -> String {
        format!("{}, {} rules, {}", self.kind.name(), self.rules, self.traffic.name())
    }
}

impl Batch {
    fn draw(tenants: &Tenants, one: &Measured, random: &mut ChaCha8Rng) -> Self {
        let owners: Vec<u32> =
            (0..PACKETS.div_ceil(one.run)).map(|_| random.next_u32() % one.tenants).collect();
        let of_each = owners.iter().flat_map(|owner| std::iter::repeat_n(*owner, one.run));
        let packets: Vec<Packet> = of_each
            .take(PACKETS)
            .map(|owner| one.traffic.draw((one.kind, owner, tenants.rules), random))
            .collect();
        let facts = packets.iter().map(Packet::facts).collect();
        let keys = packets.iter().map(Packet::key).collect();
        Self { packets, facts, keys, owners }
    }

    /// In bursts as the dataplane has them, whosever packets they are.
    fn search_ours(&self, tenants: &Tenants, found: &mut [u32], run: usize) {
        let owners = self.owners.iter().flat_map(|owner| std::iter::repeat_n(*owner, run));
        let mut asked = owners.zip(&self.facts).filter_map(|(owner, facts)| {
            let classifier = tenants.ours.get(owner as usize)?;
            Some(Asked { classifier, facts, classes: (0, 0) })
        });
        for found in found.chunks_mut(BURST_LEN_MAX) {
            let burst: ArrayVec<Asked<'_>, BURST_LEN_MAX> =
                asked.by_ref().take(found.len()).collect();
            let mut first = [None; BURST_LEN_MAX];
            if let Some(first) = first.get_mut(..burst.len()) {
                Classifier::first_burst(&burst, first);
            }
            for (found, first) in found.iter_mut().zip(first) {
                *found = first.map_or(0, |place| place + 1);
            }
        }
    }

    /// The rule of each packet, counted from 1; 0 is none.
    fn search(
        &self,
        tenants: &Tenants,
        contestant: Contestant,
        (keys, found): (&[&Key], &mut [u32]),
        run: usize,
    ) {
        match contestant {
            Contestant::Ours => self.search_ours(tenants, found, run),
            Contestant::Acl(algorithm) => {
                let owned = self.owners.iter().zip(found.chunks_mut(run));
                for ((owner, found), keys) in owned.zip(keys.chunks(run)) {
                    let Some(rules) = tenants.acl.get(*owner as usize) else { continue };
                    rules.classify(keys, found, algorithm);
                }
            }
        }
    }

    /// Holds what is found against going through the rules one by one.
    fn walk(&self, tenants: &Tenants, one: &Measured) -> Result<(), Failure> {
        let keys: Vec<&Key> = self.keys.iter().collect();
        let mut found = vec![0; PACKETS];
        self.search(tenants, Contestant::Ours, (&keys, &mut found), one.run);
        let owners = self.owners.iter().flat_map(|owner| std::iter::repeat_n(*owner, one.run));
        for ((packet, owner), found) in self.packets.iter().zip(owners).zip(&found).take(WALKED) {
            let holds = |place: &u32| one.kind.rule(owner, (*place, tenants.rules)).holds(packet);
            let wanted = (0..tenants.rules).find(holds).map_or(0, |place| place + 1);
            if *found != wanted {
                return Err(
                    format!("{packet:?}: rule {found} is found and rule {wanted} meant").into()
                );
            }
        }
        Ok(())
    }
}
