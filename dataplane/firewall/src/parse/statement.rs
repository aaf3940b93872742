//! What a rule does: count, limit, decide, and bear a comment.

use super::Fault;
use super::token::{Token, Tokens, shown};
use crate::rules::{Limit, Period, RATE_MAX, Rule, Unit, Verdict};

/// Octets of a comment, as in nft.
const COMMENT_LEN_MAX: usize = 128;

/// Packets at once when nothing is written, as in nft.
const BURST: u64 = 5;

/// Reads a statement into the rule; whether there was one.
pub(super) fn read(rule: &mut Rule, tokens: &mut Tokens<'_>) -> Result<bool, Fault> {
    let Some(word) = tokens.word() else { return Ok(false) };
    match word {
        "counter" => counter(rule, tokens)?,
        "limit" => limit(rule, tokens)?,
        "accept" | "drop" => rule.verdict = Some(verdict(rule, tokens)?),
        "comment" => comment(rule, tokens)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Reads `accept` or `drop`.
fn verdict(rule: &Rule, tokens: &mut Tokens<'_>) -> Result<Verdict, Fault> {
    check_order(rule, tokens)?;
    let is_accept = tokens.take() == Token::Word("accept");
    Ok(if is_accept { Verdict::Accept } else { Verdict::Drop })
}

/// Refuses what stands behind the verdict or the comment.
pub(super) fn check_order(rule: &Rule, tokens: &Tokens<'_>) -> Result<(), Fault> {
    let what = if rule.comment.is_some() {
        "nothing stands behind a comment: write it at the end of the rule"
    } else if rule.verdict.is_some() {
        "nothing but a comment stands behind `accept` or `drop`: write this in front of it, or on \
         a line of its own"
    } else {
        return Ok(());
    };
    Err(tokens.fault(what))
}

/// Reads `counter`; what it had counted, as nft lists it, is passed over.
fn counter(rule: &mut Rule, tokens: &mut Tokens<'_>) -> Result<(), Fault> {
    check_order(rule, tokens)?;
    if rule.counter {
        return Err(tokens.fault("the rule counts already: write `counter` once"));
    }
    tokens.take();
    if tokens.take_if(Token::Word("packets")) {
        number(tokens)?;
        if !tokens.take_if(Token::Word("bytes")) {
            return Err(tokens.expected("`bytes`"));
        }
        number(tokens)?;
    }
    rule.counter = true;
    Ok(())
}

fn comment(rule: &mut Rule, tokens: &mut Tokens<'_>) -> Result<(), Fault> {
    if rule.comment.is_some() {
        return Err(tokens.fault("a rule has one comment: leave this one out"));
    }
    tokens.take();
    let (Token::Text(text) | Token::Word(text)) = tokens.peek() else {
        return Err(tokens.expected("a text in quotes"));
    };
    if text.len() > COMMENT_LEN_MAX || text.chars().any(char::is_control) {
        let what =
            format!("a comment is up to {COMMENT_LEN_MAX} octets of visible text: shorten it");
        return Err(tokens.fault(&what));
    }
    tokens.take();
    rule.comment = Some(text.into());
    Ok(())
}

/// Reads `limit rate [over] N[ UNIT]/PERIOD [burst N UNIT]`.
fn limit(rule: &mut Rule, tokens: &mut Tokens<'_>) -> Result<(), Fault> {
    check_order(rule, tokens)?;
    if rule.limit.is_some() {
        return Err(tokens.fault("a rule has one limit: write another rule for this one"));
    }
    if rule.counter {
        return Err(tokens.fault(
            "`counter` in front of `limit` would count what the limit keeps out: write it behind \
             `limit`, or in a rule of its own",
        ));
    }
    tokens.take();
    if !tokens.take_if(Token::Word("rate")) {
        return Err(tokens.expected("`rate`"));
    }
    let over = tokens.take_if(Token::Word("over"));
    let at = tokens.begin();
    let (rate, unit) = amount(tokens, "`/second`, `bytes`, `kbytes` or `mbytes`")?;
    if !tokens.take_if(Token::Slash) {
        return Err(tokens.expected("`/second`, `/minute`, `/hour`, `/day` or `/week`"));
    }
    let per = period(tokens)?;
    let limit = Limit { over, rate, per, unit, burst: 1 };
    if rate > limit.rate_max() {
        return Err(Fault { at, what: format!("a rate is up to {RATE_MAX} in a second") });
    }
    if limit.burst_max() == 0 {
        let what = "a rate is at least one packet or octet in four hours: write a higher one";
        return Err(Fault { at, what: what.to_owned() });
    }
    let burst = burst(&limit, tokens)?;
    rule.limit = Some(Limit { burst, ..limit });
    Ok(())
}

/// Reads `burst N UNIT`, which may be missing: then it is 5 packets, or the octets of one period, as far as those may be.
fn burst(limit: &Limit, tokens: &mut Tokens<'_>) -> Result<u64, Fault> {
    let (unit, most) = (limit.unit, limit.burst_max());
    if !tokens.take_if(Token::Word("burst")) {
        return Ok(if unit == Unit::Packets { BURST } else { limit.rate }.min(most));
    }
    let at = tokens.begin();
    let (burst, found) = amount(tokens, "`packets`, `bytes`, `kbytes` or `mbytes`")?;
    if found != unit {
        let what = "a burst is of what the rate is of: write both in octets, or both in packets";
        return Err(Fault { at, what: what.to_owned() });
    }
    if unit == Unit::Packets && !tokens.take_if(Token::Word("packets")) {
        return Err(tokens.expected("`packets`"));
    }
    if burst > most {
        let of = if unit == Unit::Packets { "packets" } else { "octets" };
        let what = format!(
            "a burst must come back within four hours: write up to {most} {of} at this rate"
        );
        return Err(Fault { at, what });
    }
    Ok(burst)
}

/// Reads a number that is not 0 and the unit of octets behind it; without one it is of packets.
fn amount(tokens: &mut Tokens<'_>, what: &str) -> Result<(u64, Unit), Fault> {
    let at = tokens.begin();
    let number = number(tokens)?;
    let scale: Option<u64> = match tokens.word() {
        Some("bytes") => Some(1),
        Some("kbytes") => Some(1 << 10),
        Some("mbytes") => Some(1 << 20),
        Some(word) if !matches!(word, "packets" | "burst") => {
            return Err(tokens.expected(what));
        }
        _ => None,
    };
    if scale.is_some() {
        tokens.take();
    }
    let amount = number.checked_mul(scale.unwrap_or(1));
    let Some(amount) = amount.filter(|amount| *amount > 0) else {
        let what = "the amount is 0 or too much: write at least 1".to_owned();
        return Err(Fault { at, what });
    };
    Ok((amount, if scale.is_some() { Unit::Octets } else { Unit::Packets }))
}

fn period(tokens: &mut Tokens<'_>) -> Result<Period, Fault> {
    let period = match tokens.word() {
        Some("second") => Period::Second,
        Some("minute") => Period::Minute,
        Some("hour") => Period::Hour,
        Some("day") => Period::Day,
        Some("week") => Period::Week,
        _ => return Err(tokens.expected("`second`, `minute`, `hour`, `day` or `week`")),
    };
    tokens.take();
    Ok(period)
}

/// Reads a decimal number.
fn number(tokens: &mut Tokens<'_>) -> Result<u64, Fault> {
    let word = tokens.word().unwrap_or_default();
    if word.is_empty() || !word.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(tokens.expected("a number"));
    }
    let Ok(number) = word.parse() else {
        let what = format!("`{}` is too much: the most is {}", shown(word), u64::MAX);
        return Err(tokens.fault(&what));
    };
    tokens.take();
    Ok(number)
}
