//! The prefixes of a list: sorted, each once, shared by all who hold them. A million take 18 MB, once.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use shm::limits::LISTED_PER_ITEM_MAX;
use shm::message::Item;

/// Prefixes in order, IPv4 first. A clone costs nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Prefixes {
    all: Arc<[IpNet]>,
    /// How many messages they take.
    messages: u64,
}

impl fmt::Debug for Prefixes {
    /// Not what is in it: that may be a million.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefixes").field("len", &self.all.len()).finish_non_exhaustive()
    }
}

impl From<Vec<IpNet>> for Prefixes {
    fn from(mut prefixes: Vec<IpNet>) -> Self {
        prefixes.sort_unstable();
        prefixes.dedup();
        Self::sorted(prefixes)
    }
}

impl Prefixes {
    fn sorted(prefixes: Vec<IpNet>) -> Self {
        let messages = prefixes.chunks(LISTED_PER_ITEM_MAX).map(|run| {
            let item = Item::Listed { rule: 0, prefixes: run.to_vec() };
            item.message_count().unwrap_or(0) as u64
        });
        let messages = messages.sum();
        Self { all: prefixes.into(), messages }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All, in order.
    pub fn as_slice(&self) -> &[IpNet] {
        &self.all
    }

    /// Whether exactly this prefix is there.
    pub fn contains(&self, prefix: &IpNet) -> bool {
        self.all.binary_search(prefix).is_ok()
    }

    /// Whether an address is in one of them.
    pub fn cover(&self, address: IpAddr) -> bool {
        let len_max = IpNet::from(address).max_prefix_len();
        (0..=len_max)
            .any(|len| IpNet::new(address, len).is_ok_and(|prefix| self.contains(&prefix.trunc())))
    }

    /// One that is also among others.
    pub fn common(&self, others: &Self) -> Option<IpNet> {
        let (few, many) = if self.len() < others.len() { (self, others) } else { (others, self) };
        few.all.iter().find(|prefix| many.contains(prefix)).copied()
    }

    /// Whether both are the same, which is nearly free to say when they are so in memory.
    pub fn are(&self, others: &Self) -> bool {
        Arc::ptr_eq(&self.all, &others.all) || self == others
    }

    /// Those that are not among others.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        if others.is_empty() {
            return self.clone();
        }
        let (mut rest, mut missing) = (others.as_slice(), Vec::new());
        for prefix in &*self.all {
            while rest.first().is_some_and(|other| other < prefix) {
                rest = rest.get(1..).unwrap_or_default();
            }
            if rest.first().map(|other| other.cmp(prefix)) != Some(Ordering::Equal) {
                missing.push(*prefix);
            }
        }
        Self::sorted(missing)
    }

    /// These and others.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        let both = self.all.iter().chain(&*others.all);
        both.copied().collect::<Vec<_>>().into()
    }

    /// How many messages they take.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// How many items they take.
    pub(crate) fn items(&self) -> usize {
        self.len().div_ceil(LISTED_PER_ITEM_MAX)
    }

    /// The prefixes of an item, by its number.
    pub(crate) fn item(&self, number: usize) -> Option<&[IpNet]> {
        self.all.chunks(LISTED_PER_ITEM_MAX).nth(number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn prefix(number: u16) -> IpNet {
        let address = if number.is_multiple_of(3) {
            IpAddr::from([
                0x20,
                1,
                0xd,
                0xb8,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                number.to_le_bytes()[0],
            ])
        } else {
            IpAddr::from([10, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]])
        };
        IpNet::new(address, 24 + number.to_be_bytes()[1] % 9).unwrap().trunc()
    }

    fn made(numbers: &[u16]) -> (Prefixes, BTreeSet<IpNet>) {
        let all: Vec<IpNet> = numbers.iter().map(|number| prefix(*number)).collect();
        (all.clone().into(), all.into_iter().collect())
    }

    proptest! {
        #[test]
        fn lists_are_sets_and_their_messages_say_each_prefix_once(
            one in prop::collection::vec(0..600_u16, 0..300),
            two in prop::collection::vec(0..600_u16, 0..300),
        ) {
            let ((one, ones), (two, twos)) = (made(&one), made(&two));
            let gone: Vec<IpNet> = ones.difference(&twos).copied().collect();
            let without = one.without(&two);
            prop_assert_eq!(without.as_slice(), gone.as_slice());
            let all: Vec<IpNet> = ones.union(&twos).copied().collect();
            let with = one.with(&two);
            prop_assert_eq!(with.as_slice(), all.as_slice());
            prop_assert_eq!(one.common(&two).is_some(), ones.intersection(&twos).next().is_some());
            let mut said = Vec::new();
            for number in 0..one.items() {
                said.extend_from_slice(one.item(number).unwrap());
            }
            prop_assert_eq!(said.as_slice(), one.as_slice());
            prop_assert!(one.item(one.items()).is_none());
        }
    }

    #[test]
    fn an_address_is_covered_by_any_of_its_prefixes() {
        let list: Prefixes =
            vec!["198.51.100.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()].into();
        for (address, covered) in
            [("198.51.100.7", true), ("198.51.101.7", false), ("2001:db8::1", true), ("::1", false)]
        {
            assert_eq!(list.cover(address.parse().unwrap()), covered, "{address}");
        }
    }
}
