//! What the packets of an attack have in common: which of ports, length and flags do not change.
//!
//! The packets to one destination by one protocol are divided as long as a value of a field stands out; what is left
//! undivided is a pattern. So a pattern is as specific as its packets allow, and each packet counts for the most specific
//! one alone: a flood beside good traffic to the same port gets a pattern of its own, and the good traffic another.

use shm::message::Pattern;

use super::tally::{Row, Sum};
use crate::limits::HEAVY_ROWS_MIN;

/// Rows of one destination and protocol that are looked at: they tell a share of one eighth to within a sixteenth of it.
const ROWS_MAX: usize = 2048;

/// A value stands out in packets that have nothing but destination, protocol and destination port in common yet, as every
/// service has, when it is that of one in so many of them.
const FIRST_SHARE: u64 = 8;

/// And in packets that have more in common, when it is that of one in so many: a part of an attack, or the attack among good
/// packets that share its value, is worth a pattern of its own, but not each of many lengths that it varies between.
const NEXT_SHARE: u64 = 4;

/// The fields by which packets are divided.
#[derive(Clone, Copy)]
enum Field {
    DestinationPort,
    TcpFlags,
    SourcePort,
    Len,
}

impl Field {
    const ALL: [Self; 4] = [Self::DestinationPort, Self::TcpFlags, Self::SourcePort, Self::Len];

    fn of(self, row: &Row) -> Option<u16> {
        match self {
            Self::DestinationPort => row.sample.ports.map(|(_, destination)| destination),
            Self::TcpFlags => row.sample.tcp_flags.map(u16::from),
            Self::SourcePort => row.sample.ports.map(|(source, _)| source),
            Self::Len => Some(row.sample.len),
        }
    }

    const fn is_set(self, pattern: &Pattern) -> bool {
        match self {
            Self::DestinationPort => pattern.destination_port.is_some(),
            Self::TcpFlags => pattern.tcp_flags.is_some(),
            Self::SourcePort => pattern.source_port.is_some(),
            Self::Len => pattern.len.is_some(),
        }
    }

    fn set(self, mut pattern: Pattern, value: u16) -> Pattern {
        match self {
            Self::DestinationPort => pattern.destination_port = Some(value),
            Self::TcpFlags => pattern.tcp_flags = u8::try_from(value).ok(),
            Self::SourcePort => pattern.source_port = Some(value),
            Self::Len => pattern.len = Some(value),
        }
        pattern
    }
}

/// Whether a pattern says more than where its packets go.
const fn is_telling(pattern: &Pattern) -> bool {
    pattern.tcp_flags.is_some() || pattern.source_port.is_some() || pattern.len.is_some()
}

/// Finds the patterns in rows of one destination and protocol.
pub(super) fn find(rows: &[Row], found: &mut Vec<(Pattern, Sum)>) {
    let Some(first) = rows.first() else { return };
    let base = Pattern {
        tenant: first.sample.tenant,
        destination: first.sample.destination.into(),
        protocol: first.sample.protocol,
        source_port: None,
        destination_port: None,
        len: None,
        tcp_flags: None,
    };
    // Of more rows, each stands for those beside it that are passed over.
    let step = rows.len().div_ceil(ROWS_MAX);
    let stands_for = step as u64;
    let mut rows: Vec<Row> = rows
        .iter()
        .step_by(step)
        .map(|row| Row { weight: row.weight.saturating_mul(stands_for), ..*row })
        .collect();
    let mut values = Vec::with_capacity(rows.len());
    divide(&mut rows, base, &mut values, found);
}

/// Divides rows that fit `pattern`: those with a value that stands out are a part by themselves.
fn divide(
    mut rows: &mut [Row],
    pattern: Pattern,
    values: &mut Vec<(u16, u64)>,
    found: &mut Vec<(Pattern, Sum)>,
) {
    let share = if is_telling(&pattern) { NEXT_SHARE } else { FIRST_SHARE };
    while let Some(most) = most_frequent(rows, &pattern, values)
        && most.weight >= Sum::of(rows.iter()).packets / share
    {
        let count = bring_forward(rows, |row| most.field.of(row) == Some(most.value));
        let (part, rest) = rows.split_at_mut(count);
        divide(part, most.field.set(pattern, most.value), values, found);
        rows = rest;
    }
    let rest = Sum::of(rows.iter());
    if is_telling(&pattern) && rest.is_heavy() {
        found.push((pattern, rest));
    }
}

/// A value of a field, and the weight of the rows that have it.
struct Frequent {
    field: Field,
    value: u16,
    weight: u64,
}

/// The value, of all fields that are still open, with the most weight; none that is in too few rows to be told of.
fn most_frequent(
    rows: &[Row],
    pattern: &Pattern,
    values: &mut Vec<(u16, u64)>,
) -> Option<Frequent> {
    let mut most: Option<Frequent> = None;
    for field in Field::ALL.into_iter().filter(|field| !field.is_set(pattern)) {
        values.clear();
        values.extend(rows.iter().filter_map(|row| Some((field.of(row)?, row.weight))));
        values.sort_unstable_by_key(|(value, _)| *value);
        let runs = values.chunk_by(|one, next| one.0 == next.0);
        for run in runs.filter(|run| run.len() >= HEAVY_ROWS_MIN as usize) {
            let weight = run.iter().fold(0_u64, |sum, (_, weight)| sum.saturating_add(*weight));
            if let Some((value, _)) = run.first()
                && most.as_ref().is_none_or(|most| weight > most.weight)
            {
                most = Some(Frequent { field, value: *value, weight });
            }
        }
    }
    most
}

/// Puts the rows that fit before the others; tells how many they are.
fn bring_forward(rows: &mut [Row], fits: impl Fn(&Row) -> bool) -> usize {
    let mut count = 0;
    for at in 0..rows.len() {
        if rows.get(at).is_some_and(&fits) {
            rows.swap(at, count);
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::super::Sample;
    use super::*;

    const TCP: u8 = wire::tcp::PROTOCOL;

    /// A packet: source port, destination port, length, flags.
    type Look = (u16, u16, u16, u8);

    fn row((source_port, destination_port, len, tcp_flags): Look) -> Row {
        let sample = Sample {
            source: Ipv4Addr::new(192, 0, 2, 1).into(),
            destination: Ipv4Addr::new(203, 0, 113, 7).into(),
            ports: Some((source_port, destination_port)),
            len,
            tenant: Some(9),
            protocol: TCP,
            tcp_flags: Some(tcp_flags),
            dropped: false,
        };
        Row { sample, weight: 1 << 12, claimed: false }
    }

    /// Source port, destination port, length and flags of the patterns, and their packets; the greatest first.
    type Found = (Option<u16>, Option<u16>, Option<u16>, Option<u8>, u64);

    fn found(looks: impl IntoIterator<Item = Look>) -> Vec<Found> {
        let rows: Vec<Row> = looks.into_iter().map(row).collect();
        let mut found = Vec::new();
        find(&rows, &mut found);
        let mut found: Vec<Found> = found
            .into_iter()
            .map(|(pattern, sum)| {
                let Pattern { source_port, destination_port, len, tcp_flags, .. } = pattern;
                (source_port, destination_port, len, tcp_flags, sum.packets >> 12)
            })
            .collect();
        found.sort_by_key(|found| std::cmp::Reverse(found.4));
        found
    }

    /// Numbers that look random: no value comes twice in 65,536.
    fn nth(n: u16) -> u16 {
        n.wrapping_mul(40_503).wrapping_add(7)
    }

    #[test]
    fn a_flood_beside_good_traffic_to_the_same_port_is_told_apart() {
        let good = (0..1_000).map(|n| (nth(n), 443, 40 + nth(n) % 1_460, 0x10));
        let flood = (0..600).map(|n| (nth(n), 443, 40, 0x02));
        assert_eq!(
            found(good.chain(flood)),
            [
                (None, Some(443), None, Some(0x10), 1_000),
                (None, Some(443), Some(40), Some(0x02), 600)
            ]
        );
    }

    #[test]
    fn reflected_answers_have_their_source_port_in_common() {
        let answers = (0..900).map(|n| (53, nth(n), nth(n) % 1_500, 0));
        let flags_do_not_vary = (Some(53), None, None, Some(0), 900);
        assert_eq!(found(answers), [flags_do_not_vary]);
    }

    #[test]
    fn a_flood_with_the_look_of_good_packets_in_one_field_is_told_apart_by_another() {
        let good = (0..1_000).map(|n| (nth(n), 443, 1_500, 0x10));
        let flood = (0..500).map(|_| (1_234, 443, 1_500, 0x10));
        assert_eq!(
            found(good.chain(flood)),
            [
                (None, Some(443), Some(1_500), Some(0x10), 1_000),
                (Some(1_234), Some(443), Some(1_500), Some(0x10), 500)
            ]
        );
    }

    #[test]
    fn lengths_that_an_attack_varies_between_make_one_pattern() {
        let flood = (0..1_000).map(|n| (nth(n), 80, 60 + n % 6, 0x02));
        assert_eq!(found(flood), [(None, Some(80), None, Some(0x02), 1_000)]);
    }

    #[test]
    fn packets_with_nothing_but_a_port_in_common_are_no_pattern() {
        let rows = |n: u16| (nth(n), 443, nth(n), u8::try_from(nth(n) >> 8).unwrap());
        assert_eq!(found((0..2_000).map(rows)), []);
        assert_eq!(found((0..7).map(|_| (1, 2, 3, 4))), [], "too few to tell");
        assert_eq!(found([]), []);
    }

    #[test]
    fn of_many_rows_some_stand_for_all() {
        let all = found((0..20_000).map(|n| (53, nth(n), nth(n), 0)));
        assert_eq!(all, [(Some(53), None, None, Some(0), 20_000)]);
    }

    /// Ports and length, flags, which of them vary, and how many packets.
    fn attack() -> impl Strategy<Value = ([u16; 3], u8, u8, u16)> {
        (any::<[u16; 3]>(), any::<u8>(), 0_u8..16, 200_u16..300)
    }

    proptest! {
        #[test]
        fn every_packet_counts_once_and_every_attack_is_seen_as_it_is(
            attacks in prop::collection::vec(attack(), 1..5),
            noise in 0_u16..500,
        ) {
            let mut looks = Vec::new();
            let mut salt = 0;
            let mut varied = || {
                salt += 1;
                nth(salt)
            };
            for ([source, destination, len], flags, varies, count) in &attacks {
                for _ in 0..*count {
                    let mut value = |bit: u8, fixed: u16| if varies & bit != 0 { varied() } else { fixed };
                    let (source, destination) = (value(1, *source), value(2, *destination));
                    let (len, flags) = (value(4, *len), value(8, u16::from(*flags)));
                    looks.push((source, destination, len, u8::try_from(flags & 0xff).unwrap()));
                }
            }
            for _ in 0..noise {
                looks.push((varied(), varied(), varied(), u8::try_from(varied() >> 8).unwrap()));
            }
            let found = found(looks.iter().copied());
            let matching = |found: &Found| looks.iter().filter(|(source, destination, len, flags)| {
                let (s, d, l, f, _) = *found;
                s.is_none_or(|s| s == *source) && d.is_none_or(|d| d == *destination)
                    && l.is_none_or(|l| l == *len) && f.is_none_or(|f| f == *flags)
            }).count() as u64;
            for one in &found {
                prop_assert!(one.4 <= matching(one), "{one:?}");
            }
            prop_assert!(found.iter().map(|one| one.4).sum::<u64>() <= looks.len() as u64);
            for ([source, destination, len], flags, varies, count) in &attacks {
                let is_telling = varies & 0b1101 != 0b1101;
                let as_it_is = |one: &&Found| {
                    one.0 == (varies & 1 == 0).then_some(*source)
                        && one.1 == (varies & 2 == 0).then_some(*destination)
                        && one.2 == (varies & 4 == 0).then_some(*len)
                        && one.3 == (varies & 8 == 0).then_some(*flags)
                };
                let seen = found.iter().find(as_it_is).map_or(0, |one| one.4);
                prop_assert!(!is_telling || seen * 10 >= u64::from(*count) * 9, "{attacks:?} {found:?}");
            }
        }
    }
}
