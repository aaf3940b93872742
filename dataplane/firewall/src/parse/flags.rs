//! Conditions on the control bits of TCP, with the meanings that nft gives to each way of writing them.

use super::Fault;
use super::token::{Compare, Token, Tokens};
use super::values;
use crate::names::Kind;
use crate::rules::{Condition, Field, Values};

/// Which signs join flags.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joint {
    /// `|` alone: in braces a comma ends the value.
    Or,
    /// `|` or `,`.
    OrComma,
}

/// Reads what stands behind `tcp flags`. A list of flags alone asks for any of them; behind `!`, for none; behind `==` or
/// `!=`, or in braces, the eight bits are compared as a whole, and with a mask those of the mask.
pub(super) fn condition(tokens: &mut Tokens<'_>) -> Result<Condition, Fault> {
    let at = tokens.begin();
    let (negated, values) = if tokens.take_if(Token::And) {
        masked(tokens)?
    } else if tokens.take_if(Token::Not) {
        (false, Values::Bits { mask: bits(tokens, Joint::OrComma)?, value: 0 })
    } else if let Token::Compare(compare) = tokens.peek() {
        let negated = is_negated(compare, tokens)?;
        tokens.take();
        (negated, whole(tokens)?)
    } else if tokens.peek() == Token::Open {
        (false, whole(tokens)?)
    } else {
        any(tokens)?
    };
    if let Values::Bits { mask, value } = values {
        check(at, mask, value)?;
    }
    Ok(Condition { field: Field::TcpFlags, negated, values })
}

/// `mask == value` behind `&`, where `==` may be left out.
fn masked(tokens: &mut Tokens<'_>) -> Result<(bool, Values), Fault> {
    let is_in_brackets = tokens.peek() == Token::Left;
    let mask = if is_in_brackets { bits(tokens, Joint::Or)? } else { flag(tokens)? };
    if tokens.peek() == Token::Or {
        return Err(tokens.fault("several flags of a mask stand in brackets: write `& (syn|ack)`"));
    }
    let mut negated = false;
    if let Token::Compare(compare) = tokens.peek() {
        negated = is_negated(compare, tokens)?;
        tokens.take();
    }
    Ok((negated, Values::Bits { mask, value: bits(tokens, Joint::OrComma)? }))
}

/// All eight bits, one of several in braces, or behind a slash those of a mask.
fn whole(tokens: &mut Tokens<'_>) -> Result<Values, Fault> {
    if tokens.peek() == Token::Open {
        let values = values::list(tokens, |tokens| bits(tokens, Joint::Or))?;
        let ranges = values.into_iter().map(|value| (value.into(), value.into())).collect();
        return Ok(Values::Ranges(values::merged(ranges)));
    }
    let value = bits(tokens, Joint::OrComma)?;
    if !tokens.take_if(Token::Slash) {
        return Ok(Values::Bits { mask: u8::MAX, value });
    }
    Ok(Values::Bits { mask: bits(tokens, Joint::OrComma)?, value })
}

/// Any of the flags, or behind a slash those of a mask.
fn any(tokens: &mut Tokens<'_>) -> Result<(bool, Values), Fault> {
    let flags = bits(tokens, Joint::OrComma)?;
    if !tokens.take_if(Token::Slash) {
        return Ok((true, Values::Bits { mask: flags, value: 0 }));
    }
    Ok((false, Values::Bits { mask: bits(tokens, Joint::OrComma)?, value: flags }))
}

fn is_negated(compare: Compare, tokens: &Tokens<'_>) -> Result<bool, Fault> {
    match compare {
        Compare::Equal => Ok(false),
        Compare::Unequal => Ok(true),
        Compare::Less | Compare::LessEqual | Compare::Greater | Compare::GreaterEqual => {
            Err(tokens.fault("flags are neither more nor less: write `==` or `!=`"))
        }
    }
}

/// Flags joined, in brackets or without.
fn bits(tokens: &mut Tokens<'_>, joint: Joint) -> Result<u8, Fault> {
    let is_in_brackets = tokens.take_if(Token::Left);
    let mut bits = flag(tokens)?;
    while tokens.take_if(Token::Or) || joint == Joint::OrComma && tokens.take_if(Token::Comma) {
        bits |= flag(tokens)?;
    }
    if is_in_brackets && !tokens.take_if(Token::Right) {
        return Err(tokens.expected("`|` or `)`"));
    }
    Ok(bits)
}

/// A flag by its name, or any of them as a number.
fn flag(tokens: &mut Tokens<'_>) -> Result<u8, Fault> {
    let value = values::value(Kind::Flags, tokens)?;
    Ok(u8::try_from(value).unwrap_or(u8::MAX))
}

/// Refuses what holds for no packet, or for each.
fn check(at: usize, mask: u8, value: u8) -> Result<(), Fault> {
    let what = if mask == 0 {
        "no flag is asked for: write at least one"
    } else if value & !mask != 0 {
        "this can never match: a flag is asked for that is not in the mask; add it to the mask"
    } else {
        return Ok(());
    };
    Err(Fault { at, what: what.to_owned() })
}

/// Reads the flags of one packet.
pub(crate) fn of_packet(tokens: &mut Tokens<'_>) -> Result<u8, Fault> {
    bits(tokens, Joint::OrComma)
}
