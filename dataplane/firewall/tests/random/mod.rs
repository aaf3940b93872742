//! Rules and packets from a seed, with few different values, so that they meet.

use firewall::facts::{Facts, Family};
use firewall::rules::{
    Condition, Field, Limit, Period, Rule, Ruleset, Unit, Values, Verdict, WITH_PORTS,
};

/// Numbers from a seed: xorshift64*.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 |= 1 << 63;
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next()).unwrap() % count
    }

    pub(crate) fn once_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn octet(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// The largest number of a field.
fn most(field: Field) -> u128 {
    match field {
        Field::IpSaddr | Field::IpDaddr => u32::MAX.into(),
        Field::Ip6Saddr | Field::Ip6Daddr => u128::MAX,
        Field::IpDscp | Field::Ip6Dscp => 63,
        Field::TcpSport
        | Field::TcpDport
        | Field::UdpSport
        | Field::UdpDport
        | Field::ThSport
        | Field::ThDport
        | Field::Length
        | Field::IpLength => u16::MAX.into(),
        Field::Nfproto
        | Field::IpProtocol
        | Field::Ip6Nexthdr
        | Field::L4proto
        | Field::TcpFlags
        | Field::IcmpType
        | Field::IcmpCode
        | Field::Icmpv6Type
        | Field::Icmpv6Code => u8::MAX.into(),
    }
}

/// A number near one of few places, the ends of the field among them.
fn number(random: &mut Random, most: u128) -> u128 {
    let near = u128::from(random.octet() % 24);
    match random.below(4) {
        0 => near.min(most),
        1 => most - near.min(most),
        2 => (most / 2).saturating_add(near).min(most),
        _ => u128::from(random.next()) << random.below(64) & most,
    }
}

/// Ranges in order with gaps between them, which hold neither nothing nor everything.
fn ranges(random: &mut Random, most: u128) -> Box<[(u128, u128)]> {
    let mut ends: Vec<u128> =
        (0..2 * (1 + random.below(4))).map(|_| number(random, most)).collect();
    if random.once_in(3) {
        let len = random.below(100).min(127);
        let host = u128::MAX.checked_shr(u32::try_from(len).unwrap()).unwrap() & most;
        ends = vec![ends[0] & !host, ends[0] | host];
    }
    ends.sort_unstable();
    let mut ranges: Vec<(u128, u128)> = Vec::new();
    for pair in ends.chunks(2) {
        let pair = if random.once_in(3) { (pair[0], pair[0]) } else { (pair[0], pair[1]) };
        if ranges.last().is_none_or(|(_, last)| last.saturating_add(1) < pair.0) {
            ranges.push(pair);
        }
    }
    if *ranges == [(0, most)] { [(0, most / 2)].into() } else { ranges.into() }
}

/// A condition that at least one packet of this family and protocol meets.
fn condition(random: &mut Random, field: Field, family: u128, protocol: u128) -> Condition {
    let most = most(field);
    let values = match random.below(3) {
        0 if most > 0xffff => {
            Values::Set(random.pick(&["bad", "worse-ones", "12", "a.b/c"]).into())
        }
        0 | 1 if field == Field::TcpFlags => {
            let mask = random.octet().max(1);
            Values::Bits { mask, value: random.octet() & mask }
        }
        _ => Values::Ranges(ranges(random, most)),
    };
    let held = match field {
        Field::Nfproto => Some(family),
        Field::L4proto | Field::IpProtocol | Field::Ip6Nexthdr => Some(protocol),
        _ => None,
    };
    let negated = match (held, &values) {
        (Some(held), Values::Ranges(ranges)) => {
            !ranges.iter().any(|(first, last)| (*first..=*last).contains(&held))
        }
        _ => random.once_in(3),
    };
    Condition { field, negated, values }
}

fn limit(random: &mut Random) -> Limit {
    let amount = |random: &mut Random| random.next() >> random.below(56) << random.below(24);
    let periods = [Period::Second, Period::Minute, Period::Hour, Period::Day, Period::Week];
    let limit = Limit {
        over: random.once_in(2),
        // At least one a week in four hours.
        rate: amount(random).max(42),
        per: random.pick(&periods),
        unit: random.pick(&[Unit::Packets, Unit::Octets]),
        burst: amount(random).max(1),
    };
    let limit = Limit { rate: limit.rate.min(limit.rate_max()), ..limit };
    Limit { burst: limit.burst.min(limit.burst_max()), ..limit }
}

/// A rule that some packet of one family and protocol meets.
fn rule(random: &mut Random) -> Rule {
    let family = random.pick(&[Family::V4, Family::V6]);
    let protocol = random.pick(&[1, 6, 17, 47, 58, 132]);
    let number = if family == Family::V4 { 2 } else { 10 };
    let mut conditions = Vec::new();
    for _ in 0..random.below(6) {
        let field = random.pick(&Field::ALL);
        let fits = field.family().is_none_or(|asked| asked == family)
            && field.protocols().is_none_or(|asked| asked.contains(&protocol));
        if fits && conditions.iter().all(|other: &Condition| other.field != field) {
            conditions.push(condition(random, field, number, protocol.into()));
        }
    }
    let verdict = random.pick(&[None, Some(Verdict::Accept), Some(Verdict::Drop)]);
    Rule {
        conditions,
        limit: random.once_in(3).then(|| limit(random)),
        counter: verdict.is_none() || random.once_in(3),
        verdict,
        comment: random.once_in(4).then(|| random.pick(&["", "a # b; {", "größer \\"]).into()),
    }
}

/// A few rules.
pub(crate) fn ruleset(random: &mut Random) -> Ruleset {
    let policy = random.pick(&[Verdict::Accept, Verdict::Drop]);
    let rules = (0..random.below(8)).map(|_| rule(random)).collect();
    Ruleset { policy, rules }
}

/// A packet with numbers that the rules have as well.
pub(crate) fn packet(random: &mut Random) -> Facts {
    let family = random.pick(&[Family::V4, Family::V6]);
    let address = if family == Family::V4 { u32::MAX.into() } else { u128::MAX };
    let protocol = random.pick(&[1, 6, 17, 47, 58, 132]);
    let has_ports = WITH_PORTS.contains(&protocol);
    let port = |random: &mut Random| u16::try_from(number(random, u16::MAX.into())).unwrap();
    let ports = [port(random), port(random)];
    Facts {
        family,
        source: number(random, address),
        destination: number(random, address),
        protocol,
        source_port: if has_ports { ports[0] } else { 0 },
        destination_port: if has_ports { ports[1] } else { 0 },
        tcp_flags: if protocol == 6 { random.octet() } else { 0 },
        icmp: if matches!(protocol, 1 | 58) { port(random) } else { 0 },
        length: port(random),
        dscp: u8::try_from(number(random, 63)).unwrap(),
    }
}
