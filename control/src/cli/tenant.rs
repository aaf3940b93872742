//! What the commands of tenants, their rules and tunnels ask for.

use std::io::Read;
use std::path::Path;

use shm::limits::RULESET_LEN_MAX;

use super::Failure;
use super::arguments::{RulesCommand, TenantAdd, TenantCommand};
use crate::api::message::{RulesRequest, RulesText, TenantRequest, TenantText};

pub(super) fn request(command: &TenantCommand) -> Result<TenantRequest, Failure> {
    Ok(match command {
        TenantCommand::List => TenantRequest::List,
        TenantCommand::Show { name } => TenantRequest::Show { name: name.clone() },
        TenantCommand::Add(add) => TenantRequest::Add(Box::new(tenant_text(add)?)),
        TenantCommand::Remove { name } => TenantRequest::Remove { name: name.clone() },
    })
}

pub(super) fn rules_request(command: &RulesCommand) -> Result<RulesRequest, Failure> {
    Ok(match command {
        RulesCommand::Show { tenant } => RulesRequest::Show { tenant: tenant.clone() },
        RulesCommand::Set { tenant, file } => {
            RulesRequest::Set { tenant: tenant.clone(), rules: rules_text(file)? }
        }
        RulesCommand::Test { tenant, packet, rules } => {
            let rules = rules.as_deref().map(rules_text).transpose()?;
            RulesRequest::Test { tenant: tenant.clone(), packet: packet.clone(), rules }
        }
    })
}

fn tenant_text(add: &TenantAdd) -> Result<TenantText, Failure> {
    Ok(TenantText {
        name: add.name.clone(),
        mode: add.mode.clone(),
        syn: add.syn.clone(),
        syn_above: add.syn_above,
        flows: add.flows,
        out_of_state: add.out_of_state,
        prefixes: add.prefixes.clone(),
        tunnels: add.tunnels.clone(),
        rules: add.rules.as_deref().map(rules_text).transpose()?,
    })
}

/// The rules of a file; of `-`, what comes in. They are read here, since control may not see what this shell does.
fn rules_text(path: &Path) -> Result<RulesText, Failure> {
    if path == Path::new("-") {
        return text_from(std::io::stdin().lock(), "standard input");
    }
    let title = path.display().to_string();
    let file = std::fs::File::open(path).map_err(|error| unreadable(&title, &error))?;
    text_from(file, &title)
}

fn text_from(from: impl Read, title: &str) -> Result<RulesText, Failure> {
    let mut text = String::new();
    // One octet more shows that it is too long.
    let most = RULESET_LEN_MAX as u64 + 1;
    from.take(most).read_to_string(&mut text).map_err(|error| unreadable(title, &error))?;
    if text.len() > RULESET_LEN_MAX {
        let what = format!("is longer than {RULESET_LEN_MAX} octets; put addresses into sets");
        return Err(Failure::Refused(format!("{title}: {what}")));
    }
    Ok(RulesText { file: title.to_owned(), text })
}

fn unreadable(title: &str, error: &std::io::Error) -> Failure {
    Failure::Refused(format!("{title}: cannot be read ({error}); name a readable file of rules"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_that_are_too_long_or_no_text_are_refused_before_they_are_sent() {
        let said = |octets: &[u8]| match text_from(octets, "x.nft") {
            Ok(rules) => rules.text.len().to_string(),
            Err(Failure::Refused(what) | Failure::Unreachable(what)) => what,
            Err(Failure::Unread) => String::new(),
        };
        assert_eq!(said(&vec![b'\n'; RULESET_LEN_MAX]), RULESET_LEN_MAX.to_string());
        assert!(said(&vec![b'\n'; RULESET_LEN_MAX + 1]).starts_with("x.nft: is longer than"));
        assert!(said(b"tcp dport 22 drop\xff").starts_with("x.nft: cannot be read"));
    }
}
