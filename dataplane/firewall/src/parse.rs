//! Rules from text in nft's syntax, one on each line, or what is wrong with it and where.

use std::fmt;

use crate::rules::{CONDITIONS_MAX, Field, RULES_MAX, Rule, Ruleset, Verdict};
use possible::Possible;
use token::{Token, Tokens};

pub(crate) mod token;
pub(crate) mod field;
pub(crate) mod values;
pub(crate) mod flags;
mod possible;
mod statement;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The line, from 1.
    pub line: u32,
    /// The character in the line, from 1.
    pub column: u32,
    /// What is wrong, and what to write.
    pub what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}

impl std::error::Error for Wrong {}

/// What is wrong, at a place in octets: lines are counted once, when something is.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) what: String,
}

impl Fault {
    pub(crate) fn place(self, text: &str) -> Wrong {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
        Wrong {
            line: number(before.matches('\n').count()),
            column: number(line.chars().count()),
            what: self.what,
        }
    }
}

/// Reads all rules of a tenant. A line `policy accept` or `policy drop` says what becomes of packets that no rule decides;
/// without one they are accepted.
pub fn parse(text: &str) -> Result<Ruleset, Wrong> {
    ruleset(&mut Tokens::new(text)).map_err(|fault| fault.place(text))
}

fn ruleset(tokens: &mut Tokens<'_>) -> Result<Ruleset, Fault> {
    let mut policy = None;
    let mut rules = Vec::new();
    while tokens.peek() != Token::Finish {
        if tokens.take_if(Token::End) {
            continue;
        }
        if tokens.peek() == Token::Word("policy") {
            if policy.is_some() {
                return Err(tokens.fault("there is a policy already: leave this one out"));
            }
            policy = Some(self::policy(tokens)?);
        } else if rules.len() == RULES_MAX {
            let what = format!("a tenant has at most {RULES_MAX} rules: put addresses into sets");
            return Err(tokens.fault(&what));
        } else {
            rules.push(rule(tokens)?);
        }
    }
    Ok(Ruleset { policy: policy.unwrap_or(Verdict::Accept), rules })
}

fn policy(tokens: &mut Tokens<'_>) -> Result<Verdict, Fault> {
    tokens.take();
    let verdict = match tokens.word() {
        Some("accept") => Verdict::Accept,
        Some("drop") => Verdict::Drop,
        _ => return Err(tokens.expected("`accept` or `drop`")),
    };
    tokens.take();
    if !tokens.at_end() {
        return Err(tokens.expected("the end of the line behind the policy"));
    }
    Ok(verdict)
}

/// Reads a rule up to the end of its line.
fn rule(tokens: &mut Tokens<'_>) -> Result<Rule, Fault> {
    let at = tokens.begin();
    let mut rule =
        Rule { conditions: Vec::new(), limit: None, counter: false, verdict: None, comment: None };
    let mut possible = Possible::new();
    while !tokens.at_end() {
        if !statement::read(&mut rule, tokens)? {
            condition(&mut rule, &mut possible, tokens)?;
        }
    }
    if rule.verdict.is_none() && !rule.counter {
        let what = "the rule does nothing: write `accept`, `drop` or `counter` at its end";
        return Err(Fault { at, what: what.to_owned() });
    }
    Ok(rule)
}

/// Reads a condition into the rule.
fn condition(
    rule: &mut Rule,
    possible: &mut Possible,
    tokens: &mut Tokens<'_>,
) -> Result<(), Fault> {
    statement::check_order(rule, tokens)?;
    let at = tokens.begin();
    let field = field::read(tokens)?;
    if rule.counter || rule.limit.is_some() {
        let what = "conditions stand in front of `counter` and `limit`, which in nft would see what \
                    this one keeps out: write it first";
        return Err(Fault { at, what: what.to_owned() });
    }
    if rule.conditions.len() == CONDITIONS_MAX {
        let what =
            format!("a rule has at most {CONDITIONS_MAX} conditions: write values in braces");
        return Err(Fault { at, what });
    }
    let condition = if field == Field::TcpFlags {
        flags::condition(tokens)?
    } else {
        values::condition(field, tokens)?
    };
    possible.narrow(&rule.conditions, &condition, at)?;
    rule.conditions.push(condition);
    Ok(())
}
