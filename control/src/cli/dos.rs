//! What the commands of the filter ask for.

use super::arguments::{DosAdd, DosCommand, LimitArguments, RuleArguments};
use super::{Failure, absolute};
use crate::api::message::{DosRequest, LimitText, RuleText};

pub(super) fn request(command: &DosCommand) -> Result<DosRequest, Failure> {
    Ok(match command {
        DosCommand::Show => DosRequest::Show,
        DosCommand::Rules => DosRequest::Rules,
        DosCommand::Add(add) => added(add)?,
        DosCommand::Remove { name, prefixes } => {
            DosRequest::Remove { name: name.clone(), prefixes: prefixes.clone() }
        }
        DosCommand::Top => DosRequest::Top,
        DosCommand::Events { .. } => DosRequest::Events { after: 0 },
    })
}

fn added(add: &DosAdd) -> Result<DosRequest, Failure> {
    Ok(match add {
        DosAdd::List { rule, kind, file, prefixes } => DosRequest::AddList {
            rule: rule_text(rule),
            kind: kind.clone(),
            prefixes: prefixes.clone(),
            file: file.as_deref().map(absolute).transpose()?,
        },
        DosAdd::Signature { rule, expression } => {
            DosRequest::AddSignature { rule: rule_text(rule), expression: expression.clone() }
        }
        DosAdd::Limit { rule, limit } => {
            DosRequest::AddLimit { rule: rule_text(rule), limit: limit_text(limit) }
        }
        DosAdd::Prefix { list, prefixes } => {
            DosRequest::AddPrefix { list: list.clone(), prefixes: prefixes.clone() }
        }
    })
}

fn rule_text(rule: &RuleArguments) -> RuleText {
    let RuleArguments { name, mode, reach, expires } = rule;
    let (name, mode, reach) = (name.clone(), mode.clone(), reach.clone());
    RuleText { name, mode, reach, expires_s: expires.map(|expires| expires.as_secs()) }
}

fn limit_text(limit: &LimitArguments) -> LimitText {
    let LimitArguments { per, class, packets, octets, burst, v4_len, v6_len } = limit;
    LimitText {
        per: per.clone(),
        class: class.clone(),
        packets: *packets,
        octets: *octets,
        burst: *burst,
        v4_len: *v4_len,
        v6_len: *v6_len,
    }
}
