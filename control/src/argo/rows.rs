//! The prefixes whose routes name several exits, in order, and what is known of each.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::damping::Standing;
use super::dials::Cells;

/// Exits of one route.
pub use shm::limits::EXITS_MAX;

/// No row.
pub const NONE: u32 = u32::MAX;

/// Exits that routes name, all that name the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The next hop of the book that names them.
    pub hop: u32,
    /// As the book names them: numbers of centres, 0 for straight out from here.
    pub named: Arc<[u16]>,
    /// The one that is taken when nothing is known: straight out if that is named, else the first.
    pub default: u8,
}

impl Group {
    /// The group of a next hop.
    pub fn new(hop: u32, named: Arc<[u16]>) -> Self {
        let straight = named.iter().position(|exit| *exit == 0).unwrap_or(0);
        Self { hop, named, default: u8::try_from(straight).unwrap_or(0) }
    }

    /// An exit by its place.
    pub fn exit(&self, lane: u8) -> u16 {
        self.named.get(usize::from(lane)).copied().unwrap_or(0)
    }

    /// The place of an exit.
    pub fn lane(&self, exit: u16) -> Option<u8> {
        self.named.iter().position(|named| *named == exit).and_then(|at| u8::try_from(at).ok())
    }
}

/// A row as it comes from the book.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// The prefix.
    pub prefix: IpNet,
    /// The place of its group.
    pub group: u16,
    /// The exit to which the book leads it.
    pub choice: u8,
}

/// All rows, column by column. A row holds a cache line of measurements and some twenty octets beside its prefix.
#[derive(Debug, Default)]
pub struct Rows {
    pub(super) prefixes: Vec<IpNet>,
    pub(super) groups: Vec<u16>,
    /// The row of the next shorter prefix around each, or [`NONE`].
    pub(super) above: Vec<u32>,
    pub(super) cells: Vec<Cells>,
    pub(super) standing: Vec<Standing<u8>>,
    /// Dials since the last round.
    pub(super) fresh: Vec<u16>,
    /// Dials of a round, on average, times [`LOAD_ONE`].
    pub(super) load: Vec<u32>,
}

/// One dial of a round in [`Rows::load`].
pub const LOAD_ONE: u32 = 16;

impl Rows {
    /// Rows of which nothing is known; the seeds are sorted by prefix, each once.
    pub fn new(seeds: &[Seed]) -> Self {
        let mut rows = Self::default();
        // Those around the prefix at hand, the widest first.
        let mut around: Vec<(IpNet, u32)> = Vec::new();
        for (row, Seed { prefix, group, choice }) in (0..).zip(seeds) {
            while around.pop_if(|(wide, _)| !wide.contains(prefix)).is_some() {}
            rows.above.push(around.last().map_or(NONE, |(_, row)| *row));
            around.push((*prefix, row));
            rows.prefixes.push(*prefix);
            rows.groups.push(*group);
            rows.standing.push(Standing { choice: *choice, ..Standing::default() });
        }
        rows.cells = vec![Cells::default(); seeds.len()];
        rows.fresh = vec![0; seeds.len()];
        rows.load = vec![0; seeds.len()];
        rows
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// The row of the longest prefix around an address.
    pub fn find(&self, address: IpAddr) -> Option<u32> {
        let whole = IpNet::from(address);
        let behind = self.prefixes.partition_point(|prefix| *prefix <= whole);
        let nearest = u32::try_from(behind.checked_sub(1)?).ok()?;
        self.outward(nearest).find(|row| {
            let prefix = self.prefixes.get(at(*row));
            prefix.is_some_and(|prefix| prefix.contains(&address))
        })
    }

    /// The row of exactly this prefix.
    pub fn row(&self, prefix: &IpNet) -> Option<u32> {
        self.prefixes.binary_search(prefix).ok().and_then(|at| u32::try_from(at).ok())
    }

    /// A row and those of the prefixes around its own, the narrowest first.
    pub fn outward(&self, row: u32) -> impl Iterator<Item = u32> {
        let next = |row: &u32| self.above.get(at(*row)).copied().filter(|row| *row != NONE);
        std::iter::successors(Some(row), next)
    }

    /// The rows around one of which routes name the same exits, the narrowest first.
    pub fn alike_around(&self, row: u32) -> impl Iterator<Item = u32> {
        let group = self.groups.get(at(row));
        self.outward(row).skip(1).filter(move |other| self.groups.get(at(*other)) == group)
    }

    /// Takes over what is known of rows that were there before and name the same exits. `same` says for each group
    /// here which of the earlier ones it was. Gives for each earlier row the one that it is now, or [`NONE`].
    pub fn inherit(&mut self, before: &Self, same: &[Option<u16>]) -> Vec<u32> {
        let mut moved = vec![NONE; before.len()];
        let mut old = 0;
        for (new, prefix) in self.prefixes.iter().enumerate() {
            while before.prefixes.get(old).is_some_and(|other| other < prefix) {
                old += 1;
            }
            let group = self.groups.get(new).and_then(|group| *same.get(usize::from(*group))?);
            let is_same = before.prefixes.get(old) == Some(prefix)
                && group.is_some()
                && before.groups.get(old).copied() == group;
            if !is_same {
                continue;
            }
            if let (Some(place), Ok(row)) = (moved.get_mut(old), u32::try_from(new)) {
                *place = row;
            }
            carry(&mut self.cells, new, &before.cells, old);
            carry(&mut self.standing, new, &before.standing, old);
            carry(&mut self.fresh, new, &before.fresh, old);
            carry(&mut self.load, new, &before.load, old);
        }
        moved
    }
}

fn carry<T: Copy>(to: &mut [T], new: usize, from: &[T], old: usize) {
    if let (Some(to), Some(from)) = (to.get_mut(new), from.get(old)) {
        *to = *from;
    }
}

/// A row as an index.
pub(super) const fn at(row: u32) -> usize {
    row as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(prefixes: &[&str]) -> Rows {
        let mut seeds: Vec<Seed> = prefixes
            .iter()
            .map(|prefix| Seed { prefix: prefix.parse().unwrap(), group: 0, choice: 0 })
            .collect();
        seeds.sort_by_key(|seed| seed.prefix);
        Rows::new(&seeds)
    }

    #[test]
    fn the_longest_prefix_around_an_address_is_found_as_by_asking_all() {
        let mut random = crate::argo::testing::Random::new(7);
        let prefix = |random: &mut crate::argo::testing::Random| {
            let len = u8::try_from(random.below(25)).unwrap();
            let address = std::net::Ipv4Addr::from(u32::try_from(random.below(1 << 32)).unwrap());
            IpNet::new((address & std::net::Ipv4Addr::new(240, 255, 255, 255)).into(), len)
                .unwrap()
                .trunc()
        };
        let mut seeds: Vec<Seed> = (0..2000)
            .map(|_| Seed { prefix: prefix(&mut random), group: 0, choice: 0 })
            .chain([Seed { prefix: "2001:db8::/32".parse().unwrap(), group: 0, choice: 0 }])
            .collect();
        seeds.sort_by_key(|seed| seed.prefix);
        seeds.dedup_by_key(|seed| seed.prefix);
        let rows = Rows::new(&seeds);
        for _ in 0..5000 {
            let address: IpAddr = prefix(&mut random).addr();
            let around = rows.prefixes.iter().filter(|prefix| prefix.contains(&address));
            let naive = around.max_by_key(|prefix| prefix.prefix_len());
            let found = rows.find(address).map(|row| &rows.prefixes[at(row)]);
            assert_eq!(found, naive, "{address}");
        }
        assert!(rows.find("2001:db8::1".parse().unwrap()).is_some());
        assert_eq!(rows.find("2001:db9::1".parse().unwrap()), None);
    }

    #[test]
    fn what_is_known_moves_with_its_prefix_and_not_to_other_exits() {
        let mut before = rows(&["10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/16"]);
        for (row, load) in (1..).zip(&mut before.load) {
            *load = row;
        }
        let mut after = rows(&["10.0.0.0/9", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"]);
        after.groups[2] = 1;
        let moved = after.inherit(&before, &[Some(0), None]);
        assert_eq!(moved, [NONE, 1, NONE]);
        assert_eq!(after.load, [0, 2, 0, 0]);
        let above: Vec<u32> = after.above.clone();
        assert_eq!(above, [NONE, 0, 0, 0]);
    }
}
