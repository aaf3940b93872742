//! Which of a tenant's tunnels its flows take: the best of them share the slots of a group by weighted rendezvous hashing.
//!
//! Each member has a distance to each slot that depends on nothing but the two and the key, and the nearest by distance
//! over weight has the slot. So one that leaves or comes moves only its own slots, and servers that see the same members
//! alike make the same group.

use std::cmp::Ordering;

use super::State;
use crate::fleet::logarithm::minus_log2;
use crate::fleet::sip::Sip;
use crate::limits::CHOICES;

/// A tunnel of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::keeper) struct Member {
    /// By which control knows it, on every server.
    pub(in crate::keeper) id: u32,
    /// By which workers know it.
    pub(in crate::keeper) number: u16,
    /// How it stands.
    pub(in crate::keeper) state: State,
    /// Lower first.
    pub(in crate::keeper) priority: u16,
    /// Its share among those of its priority.
    pub(in crate::keeper) weight: u16,
}

impl Member {
    /// The lower the better. A tunnel that does not stand well comes after all that do, whatever their priority. One that is
    /// not probed passes for up.
    const fn tier(&self) -> (u8, u16) {
        let penalty = match self.state {
            State::Up | State::Unprobed => 0,
            State::Degraded => 1,
            State::Down => 2,
        };
        (penalty, self.priority)
    }
}

/// The number of the tunnel that each slot's flows take; `None` for a tenant without any. Whether one that is down carries
/// anything is not certain, but without a tunnel nothing is carried for sure: when all are down the choice is among them as
/// if they were up.
pub(in crate::keeper) fn group(members: &[Member], key: [u8; 16]) -> Option<[u16; CHOICES]> {
    let best = members.iter().map(Member::tier).min()?;
    let hash = Sip::new(key);
    let mut slots = [None; CHOICES];
    for member in members.iter().filter(|member| member.tier() == best) {
        for (slot, distance) in slots.iter_mut().zip(distances(member.id, hash)) {
            let bid = Bid { distance, member };
            if slot.is_none_or(|bidden: Bid<'_>| bid.order(&bidden).is_lt()) {
                *slot = Some(bid);
            }
        }
    }
    Some(slots.map(|slot| slot.map_or(0, |bid| bid.member.number)))
}

/// A member that is considered for a slot.
#[derive(Clone, Copy)]
struct Bid<'a> {
    /// For a weight of one; exponentially distributed, which makes the chance of each member to be the nearest proportional
    /// to its weight. Below 2^47.
    distance: u64,
    member: &'a Member,
}

impl Bid<'_> {
    /// Multiplied out, nothing is rounded. A weight of zero, which control does not send, is as one.
    fn order(&self, other: &Self) -> Ordering {
        let weight = |bid: &Self| u64::from(bid.member.weight.max(1));
        let (one, two) = (self.distance * weight(other), other.distance * weight(self));
        one.cmp(&two).then(self.member.id.cmp(&other.member.id))
    }
}

/// The distances of a member to all slots. Drawn for each slot by themselves they would leave the shares of two equal
/// members apart by eight slots or more in a third of all cases. So the top bits of what they are drawn from are a
/// permutation of the slots: each member is as near to some and as far from others as every other member is.
fn distances(id: u32, hash: Sip) -> [u64; CHOICES] {
    let mut draws: [u64; CHOICES] =
        std::array::from_fn(|slot| hash.hash(u64::from(id) | (slot as u64) << 32, 6));
    let mut order: [u64; CHOICES] = std::array::from_fn(|place| place as u64);
    for (place, draw) in draws.iter().enumerate().skip(1).rev() {
        // The top bits choose, the others are what remains of the draw.
        let other = ((draw >> CHOOSING_SHIFT) * (place as u64 + 1)) >> CHOOSING_BITS;
        order.swap(place, usize::try_from(other).unwrap_or(0));
    }
    for (draw, place) in draws.iter_mut().zip(order) {
        *draw = minus_log2(place << TOP_SHIFT | *draw << CHOOSING_BITS >> TOP_BITS);
    }
    draws
}

/// Bits of a draw that choose where in the permutation it stands.
const CHOOSING_BITS: u32 = 16;
const CHOOSING_SHIFT: u32 = u64::BITS - CHOOSING_BITS;
/// Bits of a distance's draw that stand for the place in the permutation.
const TOP_BITS: u32 = CHOICES.ilog2();
const TOP_SHIFT: u32 = u64::BITS - TOP_BITS;
const _: () = assert!(CHOICES.is_power_of_two());

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const KEY: [u8; 16] = [3; 16];

    fn member(id: u32, weight: u16) -> Member {
        let number = u16::try_from(id).unwrap();
        Member { id, number, state: State::Up, priority: 100, weight }
    }

    fn shares(group: &[u16; CHOICES]) -> BTreeMap<u16, u16> {
        let mut shares = BTreeMap::new();
        for number in group {
            *shares.entry(*number).or_default() += 1_u16;
        }
        shares
    }

    fn state() -> impl Strategy<Value = State> {
        prop_oneof![
            Just(State::Unprobed),
            Just(State::Up),
            Just(State::Degraded),
            Just(State::Down)
        ]
    }

    fn members() -> impl Strategy<Value = Vec<Member>> {
        let one = (state(), 0..3_u16, 1..=256_u16);
        proptest::collection::vec(one, 1..12).prop_map(|all| {
            let member =
                |(id, (state, priority, weight))| Member { state, priority, ..member(id, weight) };
            (1..).zip(all).map(member).collect()
        })
    }

    proptest! {
        #[test]
        fn one_that_leaves_or_comes_moves_only_its_own_slots(
            mut members in members(),
            key: [u8; 16],
            which: prop::sample::Index,
        ) {
            // Of one tier, where nothing but their own coming and going moves anything.
            for member in &mut members {
                (member.state, member.priority) = (State::Up, 0);
            }
            let before = group(&members, key).unwrap();
            let gone = members.remove(which.index(members.len()));
            let Some(after) = group(&members, key) else { return Ok(()) };
            for (one, two) in before.iter().zip(&after) {
                prop_assert_eq!(*one == gone.number, one != two);
            }
        }

        #[test]
        fn only_the_best_are_chosen_and_never_none(members in members(), key: [u8; 16]) {
            let best = members.iter().map(Member::tier).min().unwrap();
            for number in group(&members, key).unwrap() {
                let chosen = members.iter().find(|member| member.number == number).unwrap();
                prop_assert_eq!(chosen.tier(), best);
            }
        }

        #[test]
        fn the_order_in_which_they_are_named_does_not_matter(members in members(), key: [u8; 16]) {
            let reversed: Vec<_> = members.iter().rev().copied().collect();
            prop_assert_eq!(group(&members, key), group(&reversed, key));
        }
    }

    #[test]
    fn up_comes_before_degraded_and_degraded_before_down_whatever_their_priority() {
        let at = |id, state, priority| Member { state, priority, ..member(id, 1) };
        let mut members = [
            at(1, State::Down, 1),
            at(2, State::Degraded, 2),
            at(3, State::Up, 3),
            at(4, State::Unprobed, 3),
            at(5, State::Up, 4),
        ];
        let chosen = |members: &[Member]| -> Vec<u16> {
            shares(&group(members, KEY).unwrap()).into_keys().collect()
        };
        assert_eq!(chosen(&members), [3, 4]);
        assert_eq!(chosen(&members[..2]), [2]);
        members[1].state = State::Down;
        assert_eq!(chosen(&members[..2]), [1], "all are down: by priority, as if they were up");
        assert_eq!(group(&[], KEY), None);
    }

    #[test]
    fn the_group_of_two_tunnels_three_to_one_is_the_same_on_every_machine() {
        let group = group(&[member(1, 3), member(2, 1)], KEY).unwrap();
        let digest = group.iter().fold(0_u64, |sum, number| {
            sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(u64::from(*number))
        });
        assert_eq!(
            (shares(&group), digest),
            (BTreeMap::from([(1, 198), (2, 58)]), 13_468_103_882_344_640_362)
        );
    }

    /// How far the first member's slots are from its share: the root of the mean square, and the most.
    fn deviation(weights: &[u16]) -> (f64, f64) {
        let members: Vec<_> = (1..).zip(weights).map(|(id, weight)| member(id, *weight)).collect();
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let due = 256.0 * f64::from(weights[0]) / total;
        let keys = (0..500_u128).map(|seed| (seed * 0x1234_5678_9abc_def1).to_le_bytes());
        let off = keys.map(|key| {
            let shares = shares(&group(&members, key).unwrap());
            f64::from(shares.get(&1).copied().unwrap_or(0)) - due
        });
        let (squares, most) = off.fold((0.0, 0.0_f64), |(squares, most), off| {
            (squares + off * off, most.max(off.abs()))
        });
        ((squares / 500.0_f64).sqrt(), most)
    }

    #[test]
    fn shares_are_within_a_few_slots_of_the_weights() {
        for weights in [&[1, 1][..], &[3, 1], &[1, 3], &[256, 1], &[1, 1, 1], &[100, 50, 200, 75]] {
            let (typical, most) = deviation(weights);
            println!("{weights:?}: {typical:.2} slots, at most {most:.1}");
            assert!(typical < 5.0 && most < 20.0, "{weights:?}: {typical:.2}, {most:.1}");
        }
    }
}
