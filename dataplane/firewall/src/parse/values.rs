//! What a field is compared with: a value, a range, a prefix, several of them, or a named set.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Fault;
use super::token::{Compare, Token, Tokens, shown};
use crate::names::{Kind, words};
use crate::rules::{Condition, Field, Values};

type Range = (u128, u128);

/// Reads what stands behind the field.
pub(super) fn condition(field: Field, tokens: &mut Tokens<'_>) -> Result<Condition, Fault> {
    let kind = Kind::of(field);
    let compare = compare(tokens)?;
    let negated = compare == Compare::Unequal;
    let values = match (compare, tokens.peek()) {
        (Compare::Equal | Compare::Unequal, Token::Set(_)) => set(kind, tokens)?,
        (Compare::Equal | Compare::Unequal, Token::Open) => {
            Values::Ranges(merged(list(tokens, |tokens| element(kind, tokens))?))
        }
        (Compare::Equal | Compare::Unequal, _) => Values::Ranges([element(kind, tokens)?].into()),
        (compare, _) => Values::Ranges([bound(kind, compare, tokens)?].into()),
    };
    if tokens.peek() == Token::Comma {
        let what = format!("several values stand in braces: write `{} {{ a, b }}`", words(field));
        return Err(tokens.fault(&what));
    }
    Ok(Condition { field, negated, values })
}

fn compare(tokens: &mut Tokens<'_>) -> Result<Compare, Fault> {
    if tokens.peek() == Token::Not {
        return Err(tokens.fault("`!` is for flags only: write `!=`"));
    }
    if tokens.peek() == Token::And {
        let what = "only `tcp flags` is masked with `&`: write a prefix or a range instead";
        return Err(tokens.fault(what));
    }
    let Token::Compare(compare) = tokens.peek() else { return Ok(Compare::Equal) };
    tokens.take();
    Ok(compare)
}

/// A named set.
fn set(kind: Kind, tokens: &mut Tokens<'_>) -> Result<Values, Fault> {
    if kind.bits().is_none() {
        let what =
            format!("a named set holds addresses: write {} or a list in braces", kind.noun());
        return Err(tokens.fault(&what));
    }
    if let Token::Set(name) = tokens.peek()
        && !name.is_empty()
    {
        tokens.take();
        return Ok(Values::Set(name.into()));
    }
    Err(tokens.fault("the name of the set is missing: write it right behind the `@`"))
}

/// Reads `{ a, b }`, where a comma behind the last is allowed.
pub(super) fn list<'a, T>(
    tokens: &mut Tokens<'a>,
    mut element: impl FnMut(&mut Tokens<'a>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    tokens.take();
    let mut elements = Vec::new();
    while elements.is_empty() || tokens.peek() != Token::Close {
        if tokens.peek() == Token::Close {
            return Err(tokens.fault("the braces are empty: write a value in them"));
        }
        elements.push(element(tokens)?);
        if !tokens.take_if(Token::Comma) && tokens.peek() != Token::Close {
            return Err(tokens.expected("`,` or `}`"));
        }
    }
    tokens.take();
    Ok(elements)
}

/// Reads a value, a range or a prefix.
fn element(kind: Kind, tokens: &mut Tokens<'_>) -> Result<Range, Fault> {
    let at = tokens.begin();
    let first = value(kind, tokens)?;
    if let Some(bits) = kind.bits()
        && tokens.take_if(Token::Slash)
    {
        return prefix(first, bits, tokens);
    }
    if !tokens.take_if(Token::Dash) {
        return Ok((first, first));
    }
    let last = value(kind, tokens)?;
    if first > last {
        let what = "the range ends before it begins: write the smaller value first".to_owned();
        return Err(Fault { at, what });
    }
    Ok((first, last))
}

/// What is covered by the prefix. As in nft, bits behind its length may be set, and mean nothing.
fn prefix(address: u128, bits: u32, tokens: &mut Tokens<'_>) -> Result<Range, Fault> {
    let len = tokens.word().and_then(|word| word.parse::<u32>().ok());
    let Some(len) = len.filter(|len| *len <= bits) else {
        return Err(tokens.expected(&format!("the length of a prefix, 0 to {bits}")));
    };
    tokens.take();
    let host = u128::MAX.checked_shr(128 - bits + len).unwrap_or(0);
    Ok((address & !host, address | host))
}

/// The values that compare so with the one that follows.
fn bound(kind: Kind, compare: Compare, tokens: &mut Tokens<'_>) -> Result<Range, Fault> {
    let at = tokens.begin();
    if matches!(tokens.peek(), Token::Open | Token::Set(_)) {
        return Err(tokens.fault("`<`, `>`, `<=` and `>=` take one value: write `==` or `!=`"));
    }
    let (first, last) = element(kind, tokens)?;
    if first != last {
        let what = "`<`, `>`, `<=` and `>=` take one value: write the range without them";
        return Err(Fault { at, what: what.to_owned() });
    }
    let range = match compare {
        Compare::Less => first.checked_sub(1).map(|most| (0, most)),
        Compare::Greater => (first < kind.most()).then(|| (first + 1, kind.most())),
        Compare::GreaterEqual => Some((first, kind.most())),
        Compare::LessEqual | Compare::Equal | Compare::Unequal => Some((0, first)),
    };
    let what = format!("this can never match: {} cannot be there", kind.noun());
    range.ok_or(Fault { at, what })
}

/// Reads one value.
pub(crate) fn value(kind: Kind, tokens: &mut Tokens<'_>) -> Result<u128, Fault> {
    if let Token::Set(_) = tokens.peek() {
        return Err(tokens.fault("a named set stands alone: write a rule for each"));
    }
    let Some(word) = tokens.word() else { return Err(tokens.expected(kind.noun())) };
    if matches!(word, "vmap" | "map") {
        let what = format!("`{word}` is not to be had here: write a rule for each value");
        return Err(tokens.fault(&what));
    }
    if word == "." {
        let what = "fields are not joined with `.`: write one condition behind the other";
        return Err(tokens.fault(what));
    }
    let value = if kind == Kind::V4 {
        v4(word)
    } else if kind == Kind::V6 {
        v6(word)
    } else if word.starts_with(|first: char| first.is_ascii_digit()) {
        number(kind, word)
    } else {
        kind.number(word).ok_or_else(|| {
            format!("`{}` is not the name of {}: write its number", shown(word), kind.noun())
        })
    };
    let value = value.map_err(|what| tokens.fault(&what))?;
    tokens.take();
    Ok(value)
}

fn v4(word: &str) -> Result<u128, String> {
    let address = word.parse::<Ipv4Addr>().map(|address| u32::from(address).into());
    address.map_err(|_| match word.parse::<Ipv6Addr>() {
        Ok(_) => format!("`{word}` is an IPv6 address: write `ip6` instead of `ip`"),
        Err(_) => format!("`{}` is not an IPv4 address: write one like 198.51.100.7", shown(word)),
    })
}

fn v6(word: &str) -> Result<u128, String> {
    let address = word.parse::<Ipv6Addr>().map(u128::from);
    address.map_err(|_| match word.parse::<Ipv4Addr>() {
        Ok(_) => format!("`{word}` is an IPv4 address: write `ip` instead of `ip6`"),
        Err(_) => format!("`{}` is not an IPv6 address: write one like 2001:db8::7", shown(word)),
    })
}

/// A number in decimal or, behind `0x`, in hexadecimal.
pub(super) fn number(kind: Kind, word: &str) -> Result<u128, String> {
    let (digits, radix) = word.strip_prefix("0x").map_or((word, 10), |digits| (digits, 16));
    if radix == 10 && word.len() > 1 && word.starts_with('0') {
        return Err(format!("`{}` is octal in nft: write it without the 0", shown(word)));
    }
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(format!("`{}` is not {}: write its number", shown(word), kind.noun()));
    }
    let number = u128::from_str_radix(digits, radix).ok().filter(|number| *number <= kind.most());
    number.ok_or_else(|| {
        format!("`{}` is too much for {}: the most is {}", shown(word), kind.noun(), kind.most())
    })
}

/// The ranges in order, those that overlap or adjoin as one.
pub(super) fn merged(mut ranges: Vec<Range>) -> Box<[Range]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let is_joined = next.0 <= before.1.saturating_add(1);
        if is_joined {
            before.1 = before.1.max(next.1);
        }
        is_joined
    });
    ranges.into()
}
