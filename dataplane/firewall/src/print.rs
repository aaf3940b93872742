//! Rules as text again, one way for each meaning: what is printed parses to what it was made from.

use std::fmt::{self, Display, Formatter};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::names::{Kind, words};
use crate::rules::{Condition, Limit, Period, Rule, Ruleset, Unit, Values, Verdict};

impl Display for Ruleset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.policy == Verdict::Drop {
            writeln!(f, "policy drop")?;
        }
        self.rules.iter().try_for_each(|rule| writeln!(f, "{rule}"))
    }
}

impl Display for Rule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut blank = "";
        for condition in &self.conditions {
            write!(f, "{blank}{condition}")?;
            blank = " ";
        }
        if let Some(limit) = self.limit {
            write!(f, "{blank}{limit}")?;
            blank = " ";
        }
        if self.counter {
            write!(f, "{blank}counter")?;
            blank = " ";
        }
        if let Some(verdict) = self.verdict {
            write!(f, "{blank}{verdict}")?;
            blank = " ";
        }
        self.comment.iter().try_for_each(|text| write!(f, "{blank}comment \"{text}\""))
    }
}

impl Display for Verdict {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
        })
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let over = if self.over { "over " } else { "" };
        let per = match self.per {
            Period::Second => "second",
            Period::Minute => "minute",
            Period::Hour => "hour",
            Period::Day => "day",
            Period::Week => "week",
        };
        if self.unit == Unit::Packets {
            return write!(f, "limit rate {over}{}/{per} burst {} packets", self.rate, self.burst);
        }
        let ((rate, rate_unit), (burst, burst_unit)) = (scaled(self.rate), scaled(self.burst));
        write!(f, "limit rate {over}{rate} {rate_unit}/{per} burst {burst} {burst_unit}")
    }
}

/// Octets in the largest unit that leaves no rest.
fn scaled(octets: u64) -> (u64, &'static str) {
    match octets.trailing_zeros() {
        20..64 => (octets >> 20, "mbytes"),
        10..20 => (octets >> 10, "kbytes"),
        _ => (octets, "bytes"),
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = Kind::of(self.field);
        let operator = if self.negated { " !=" } else { "" };
        f.write_str(words(self.field))?;
        match &self.values {
            Values::Bits { mask, value } => bits(f, self.negated, *mask, *value),
            Values::Set(name) => write!(f, "{operator} @{name}"),
            Values::Ranges(ranges) if kind == Kind::Flags => {
                write!(f, "{operator} {{ ")?;
                let values =
                    ranges.iter().flat_map(|(first, last)| *first..=(*last).min(kind.most()));
                joined(f, values, |f, value| flags(f, value, " | "))?;
                f.write_str(" }")
            }
            Values::Ranges(ranges) => {
                write!(f, "{operator} ")?;
                if let [one] = **ranges {
                    return range(f, kind, one);
                }
                f.write_str("{ ")?;
                joined(f, ranges.iter().copied(), |f, one| range(f, kind, one))?;
                f.write_str(" }")
            }
        }
    }
}

/// Writes all, with commas between them.
fn joined<T>(
    f: &mut Formatter<'_>,
    all: impl Iterator<Item = T>,
    one: impl Fn(&mut Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    let mut comma = "";
    for item in all {
        f.write_str(comma)?;
        one(f, item)?;
        comma = ", ";
    }
    Ok(())
}

/// The shortest of nft's ways to ask for control bits.
fn bits(f: &mut Formatter<'_>, negated: bool, mask: u8, value: u8) -> fmt::Result {
    let (operator, list, sign) = match (negated, mask, value) {
        (true, u8::MAX, _) => (" != ", value, " | "),
        (false, u8::MAX, _) => (" == ", value, " | "),
        (true, _, 0) => (" ", mask, ","),
        (false, _, 0) => (" ! ", mask, ","),
        (true, _, _) => (" != ", value, ","),
        (false, _, _) => (" ", value, ","),
    };
    f.write_str(operator)?;
    flags(f, list.into(), sign)?;
    if mask == u8::MAX || value == 0 {
        return Ok(());
    }
    f.write_str(" / ")?;
    flags(f, mask.into(), ",")
}

/// The names of the flags that are set, joined by the sign.
fn flags(f: &mut Formatter<'_>, value: u128, sign: &str) -> fmt::Result {
    let mut before = "";
    for bit in (0..8).filter(|bit| value & 1 << bit != 0) {
        write!(f, "{before}{}", Kind::Flags.name(1 << bit).unwrap_or_default())?;
        before = sign;
    }
    if before.is_empty() { f.write_str("0x0") } else { Ok(()) }
}

/// A value, a prefix, or else both ends of the range.
fn range(f: &mut Formatter<'_>, kind: Kind, (first, last): (u128, u128)) -> fmt::Result {
    if first == last {
        return match kind.name(first) {
            Some(name) => f.write_str(name),
            None => value(f, kind, first),
        };
    }
    value(f, kind, first)?;
    if let Some(len) = prefix_len(kind, first, last) {
        return write!(f, "/{len}");
    }
    f.write_str("-")?;
    value(f, kind, last)
}

fn value(f: &mut Formatter<'_>, kind: Kind, value: u128) -> fmt::Result {
    match (kind.bits(), u32::try_from(value)) {
        (Some(32), Ok(address)) => Ipv4Addr::from(address).fmt(f),
        (Some(128), _) => Ipv6Addr::from(value).fmt(f),
        _ => value.fmt(f),
    }
}

/// The length of the prefix that covers just these addresses.
fn prefix_len(kind: Kind, first: u128, last: u128) -> Option<u32> {
    let host = first ^ last;
    let is_prefix = host & host.wrapping_add(1) == 0 && first & host == 0;
    kind.bits().filter(|_| is_prefix).map(|bits| (bits + host.leading_zeros()).saturating_sub(128))
}
