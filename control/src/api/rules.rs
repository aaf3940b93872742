//! What the command line asks of tenants' rules.

use firewall::rules::Rule;

use super::answer::{Failure, blocking};
use super::message::{
    Answer, Counted, RuleOfTenant, RulesRequest, RulesText, RulesetShown, TestShown,
};
use super::{Api, Lines, tenant, walk};
use crate::desk::Desk;
use crate::dos::Count;
use crate::model::dos::Wrong;
use crate::model::{Book, Cause, Change, Firewall, Origin, Refused, Tenant};

impl Api {
    pub(super) async fn rules(
        &self,
        request: RulesRequest,
        lines: &mut Lines,
    ) -> Result<bool, Failure> {
        match request {
            RulesRequest::Show { tenant } => {
                let book = self.desk.book();
                let shown = shown(&self.desk, &book, tenant::named(&book, &tenant)?);
                lines.put(&Answer::Ruleset(shown)).await?;
                Ok(false)
            }
            RulesRequest::Set { tenant, rules } => {
                let rules = Some(blocking(move || read(&rules)).await?);
                let set = Change::SetRules { tenant: tenant.into(), rules };
                self.change(move |_| Ok(vec![set])).await
            }
            RulesRequest::Test { tenant, packet, rules } => {
                let book = self.desk.book();
                let test = move || tested(&book, &tenant, &packet, rules.as_ref());
                lines.put(&Answer::Tested(blocking(test).await?)).await?;
                Ok(false)
            }
        }
    }
}

/// Rules of a text; what is wrong with it is told with file, line and column.
pub(super) fn read(rules: &RulesText) -> Result<Firewall, Refused> {
    Firewall::read(&rules.text, Origin::Cli).map_err(|Wrong { line, column, what }| {
        let place = format!("{}:{line}:{column}", rules.file);
        Refused::new(Cause::Invalid, what).at(place)
    })
}

/// The rules of a tenant with what they have counted.
pub(super) fn shown(desk: &Desk, book: &Book, tenant: &Tenant) -> RulesetShown {
    let Some(firewall) = &tenant.firewall else {
        let (tenant, policy) = (tenant.name.to_string(), "accept".to_owned());
        return RulesetShown { tenant, policy, ..RulesetShown::default() };
    };
    let ruleset = firewall.ruleset();
    let rules = (0..).zip(&ruleset.rules).map(|(index, rule)| {
        let number = usize::try_from(index).unwrap_or(usize::MAX).saturating_add(1);
        let counted = rule.counter.then(|| {
            let Count { packets, octets, dropped } = desk.transit().count(tenant.id, index);
            Counted { packets, octets, dropped }
        });
        RuleOfTenant { number, text: text_of(rule, counted), counted }
    });
    RulesetShown {
        tenant: tenant.name.to_string(),
        policy: ruleset.policy.to_string(),
        rules: rules.collect(),
        origin: book.place(firewall.origin),
    }
}

/// A rule as nft lists it: behind `counter` stands what it has counted.
fn text_of(rule: &Rule, counted: Option<Counted>) -> String {
    let Some(Counted { packets, octets, .. }) = counted else { return rule.to_string() };
    let front = Rule { verdict: None, comment: None, ..rule.clone() };
    let (verdict, comment) = (rule.verdict, rule.comment.clone());
    let back = Rule { conditions: Vec::new(), limit: None, counter: false, verdict, comment };
    let text = format!("{front} packets {packets} bytes {octets} {back}");
    text.trim_end().to_owned()
}

fn tested(
    book: &Book,
    name: &str,
    packet: &str,
    others: Option<&RulesText>,
) -> Result<TestShown, Refused> {
    let tenant = tenant::named(book, name)?;
    let facts = firewall::packet(packet).map_err(|Wrong { line, column, what }| {
        let place = if line == 1 { format!("packet:{column}") } else { "packet".to_owned() };
        Refused::new(Cause::Invalid, what).at(place)
    })?;
    let others = others.map(read).transpose()?;
    if let Some((line, what)) = others.as_ref().and_then(|others| others.missing_set(book)) {
        return Err(Refused::new(Cause::Unknown, format!("line {line}: {what}")).at("rules"));
    }
    let in_force = others.is_none();
    let ruleset = others.as_ref().or(tenant.firewall.as_ref()).map(Firewall::ruleset);
    Ok(TestShown { in_force, ..walk::test(book, tenant, ruleset.map(|rules| &**rules), &facts) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stand_behind_counter_and_what_is_shown_can_be_set_again() {
        let texts = [
            ("tcp dport 21 counter accept comment \"ftp\"", "counter packets 7 bytes 420 accept"),
            ("limit rate 5/second burst 5 packets counter", "counter packets 7 bytes 420"),
            ("counter drop", "counter packets 7 bytes 420 drop"),
            ("tcp dport 22 drop comment \"a counter\"", "tcp dport 22 drop comment \"a counter\""),
        ];
        for (text, shown) in texts {
            let rule = firewall::parse(text).unwrap().rules.remove(0);
            let counted = Counted { packets: 7, octets: 420, dropped: 0 };
            let said = text_of(&rule, rule.counter.then_some(counted));
            assert!(said.contains(shown) && !said.ends_with(' '), "{said}");
            assert_eq!(firewall::parse(&said).unwrap().rules, [rule], "{said}");
        }
    }
}
