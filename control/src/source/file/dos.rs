//! The sections of the filter: checks, detection, lists, signatures, limits and tenants, with the line of everything that
//! is wrong.

mod firewall;
mod list;
mod parts;
mod tunnel;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use toml::{Spanned, Value};

use super::section::{Part, Reading};
use crate::model::dos::{
    CHECKS, CLASSES, HOLD, HOLD_BOUNDS, LIST_KINDS, Limit, ListKind, MODES, Matter, Mode, Per,
    Reach, Rule, SYN_GUARDS, Unit, per,
};
use crate::model::{Cause, Detect, Refused, Tenant};
use crate::signature;
pub(super) use list::read as read_list;
use tunnel::TunnelSection;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DosSection {
    fragment: Option<Spanned<String>>,
    flags: Option<Spanned<String>>,
    transport: Option<Spanned<String>>,
    land: Option<Spanned<String>>,
    bogon: Option<Spanned<String>>,
    reflection: Option<Spanned<String>>,
    detect: Option<Spanned<DetectSection>>,
    list: Vec<ListSection>,
    signature: Vec<SignatureSection>,
    limit: Vec<Spanned<LimitSection>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DetectSection {
    mode: Option<Spanned<String>>,
    source_packets: Option<Spanned<i64>>,
    source_octets: Option<Spanned<i64>>,
    destination_packets: Option<Spanned<i64>>,
    pattern_packets: Option<Spanned<i64>>,
    hold: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListSection {
    name: Spanned<String>,
    kind: Spanned<String>,
    mode: Option<Spanned<String>>,
    reach: Option<Spanned<String>>,
    #[serde(default)]
    prefixes: Vec<Spanned<String>>,
    file: Option<Spanned<PathBuf>>,
    expires: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignatureSection {
    name: Spanned<String>,
    mode: Option<Spanned<String>>,
    reach: Option<String>,
    r#match: Spanned<String>,
    expires: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitSection {
    name: Spanned<String>,
    mode: Option<Spanned<String>>,
    reach: Option<String>,
    per: Spanned<String>,
    class: Option<Spanned<String>>,
    packets: Option<Spanned<i64>>,
    octets: Option<Spanned<i64>>,
    burst: Option<Spanned<i64>>,
    v4_len: Option<Spanned<i64>>,
    v6_len: Option<Spanned<i64>>,
    expires: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantSection {
    name: Spanned<String>,
    prefixes: Vec<Spanned<String>>,
    mode: Option<Spanned<String>>,
    syn: Option<Spanned<String>>,
    syn_above: Option<Spanned<i64>>,
    flows: Option<bool>,
    out_of_state: Option<Spanned<i64>>,
    rules: Option<Spanned<String>>,
    rules_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    tunnel: Vec<Spanned<TunnelSection>>,
}

impl Reading {
    pub(super) fn dos(&mut self, part: &Part<'_>, section: DosSection) -> Result<(), Refused> {
        let checks = [
            section.fragment,
            section.flags,
            section.transport,
            section.land,
            section.bogon,
            section.reflection,
        ];
        for ((name, check), mode) in CHECKS.iter().zip(checks) {
            let Some(mode) = mode else { continue };
            let rule = part.rule(name, &mode.span(), Matter::Check(*check));
            let mode = part.word(&mode, name, &MODES)?;
            self.declaration.rules.push(Rule { mode, ..rule });
        }
        if let Some(detect) = section.detect {
            self.detect(part, &detect)?;
        }
        for list in &section.list {
            self.list(part, list)?;
        }
        for signature in section.signature {
            let rule = part.signature(&signature)?;
            self.rule(rule);
        }
        for limit in section.limit {
            let rule = part.limit(&limit)?;
            self.rule(rule);
        }
        Ok(())
    }

    pub(super) fn tenant(
        &mut self,
        part: &Part<'_>,
        section: &TenantSection,
    ) -> Result<(), Refused> {
        let mut tenant = part.tenant(section)?;
        let TenantSection { rules, rules_file, .. } = section;
        tenant.firewall = self.firewall(part, rules.as_ref(), rules_file.as_ref())?;
        self.declaration.tenants.push(tenant);
        Ok(())
    }

    /// Adds a rule, unless its time is over.
    fn rule(&mut self, rule: Rule) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if rule.expires.is_none_or(|at| at > now) {
            self.declaration.rules.push(rule);
        }
    }

    fn detect(&mut self, part: &Part<'_>, section: &Spanned<DetectSection>) -> Result<(), Refused> {
        let span = section.span();
        let detect = part.detect(section)?;
        if let Some(first) = &self.declaration.detect {
            let first = self.place_of(first.origin);
            let what = format!("a second [dos.detect]; the first is in {first}; keep one of them");
            return Err(Refused::new(Cause::Conflict, what).at(part.place(&span)));
        }
        self.declaration.detect = Some(detect);
        Ok(())
    }

    fn list(&mut self, part: &Part<'_>, section: &ListSection) -> Result<(), Refused> {
        let kind = part.word(&section.kind, "kind", &LIST_KINDS)?;
        if kind == ListKind::Set {
            part.no_part_of_set(section)?;
        }
        let mut prefixes = Vec::new();
        for text in &section.prefixes {
            prefixes.push(part.prefix(text)?);
        }
        if let Some(file) = &section.file {
            let path = part.beside(file.get_ref());
            let text = super::text_of(&path)
                .map_err(|refused| part.error(&file.span(), &format!("list {refused}")))?;
            list::read(&text, &path, &mut prefixes)?;
        } else if section.prefixes.is_empty() {
            let what = "a list without prefixes; give it prefixes or a file";
            return Err(part.error(&section.name.span(), what));
        }
        let matter = Matter::List(kind, prefixes.into());
        let rule = part.rule(section.name.get_ref(), &section.name.span(), matter);
        let ListSection { mode, reach, expires, .. } = section;
        let reach = reach.as_ref().map(|reach| reach.get_ref().as_str());
        let rule = part.common(rule, mode.as_ref(), reach, expires.as_ref())?;
        self.rule(rule);
        Ok(())
    }
}

impl Part<'_> {
    /// What a set must not say, however it says it.
    fn no_part_of_set(&self, section: &ListSection) -> Result<(), Refused> {
        let meaningless = |span, field: &str| {
            let what = format!(
                "{field} has no meaning for a set, which drops nothing by itself; leave it out"
            );
            Err(self.error(&span, &what))
        };
        match (&section.mode, &section.reach, &section.expires) {
            (Some(mode), ..) => meaningless(mode.span(), "mode"),
            (_, Some(reach), _) => meaningless(reach.span(), "reach"),
            (.., Some(time)) => {
                let what = "expires has no meaning for a set, for rules name it; leave it out";
                Err(self.error(&time.span(), what))
            }
            (None, None, None) => Ok(()),
        }
    }

    fn signature(&self, section: &SignatureSection) -> Result<Rule, Refused> {
        let text = section.r#match.get_ref();
        let program = signature::compile(text)
            .map_err(|wrong| self.error(&section.r#match.span(), &format!("match: {wrong}")))?;
        let matter =
            Matter::Signature { expression: text.as_str().into(), program: program.into() };
        let rule = self.rule(section.name.get_ref(), &section.name.span(), matter);
        let SignatureSection { mode, reach, expires, .. } = section;
        self.common(rule, mode.as_ref(), reach.as_deref(), expires.as_ref())
    }

    fn limit(&self, section: &Spanned<LimitSection>) -> Result<Rule, Refused> {
        let (span, section) = (section.span(), section.get_ref());
        let (unit, rate) = match (&section.packets, &section.octets) {
            (Some(packets), None) => (Unit::Packets, self.count(packets, "packets")?),
            (None, Some(octets)) => (Unit::Octets, self.count(octets, "octets")?),
            (None, None) => {
                return Err(self.error(&span, "a limit needs packets or octets per second"));
            }
            (Some(_), Some(octets)) => {
                let what = "octets beside packets: keep one of the two, or make two limits";
                return Err(self.error(&octets.span(), what));
            }
        };
        let burst = section.burst.as_ref().map(|burst| self.count(burst, "burst")).transpose()?;
        let class = match &section.class {
            Some(class) => self.word(class, "class", &CLASSES)?,
            None => crate::model::dos::Class::Any,
        };
        let matter = Matter::Limit(Limit {
            per: self.per(section)?,
            class,
            unit,
            per_second: rate,
            burst: burst.unwrap_or_else(|| Limit::burst_of(rate, unit)),
        });
        let rule = self.rule(section.name.get_ref(), &section.name.span(), matter);
        let LimitSection { mode, reach, expires, .. } = section;
        self.common(rule, mode.as_ref(), reach.as_deref(), expires.as_ref())
    }

    fn per(&self, section: &LimitSection) -> Result<Per, Refused> {
        let LimitSection { per: word, v4_len, v6_len, .. } = section;
        let len = |len: &Option<Spanned<i64>>| len.as_ref().map(|len| *len.get_ref());
        per(word.get_ref(), len(v4_len), len(v6_len)).map_err(|(field, what)| {
            let lens = [("v4_len", v4_len), ("v6_len", v6_len)];
            let len = lens.into_iter().find(|(name, _)| *name == field);
            match len.and_then(|(_, len)| len.as_ref()) {
                Some(len) => self.error(&len.span(), &what),
                None => self.error(&word.span(), &format!("{field}: {what}")),
            }
        })
    }

    fn tenant(&self, section: &TenantSection) -> Result<Tenant, Refused> {
        let mut prefixes = Vec::new();
        for text in &section.prefixes {
            prefixes.push(self.prefix(text)?);
        }
        prefixes.sort_unstable();
        prefixes.dedup();
        let number = |field: &Option<Spanned<i64>>, name, default| match field {
            Some(number) => self.narrow(number, name),
            None => Ok(default),
        };
        let mut tenant = Tenant {
            tunnels: self.tunnels(&section.tunnel)?,
            origin: self.origin(&section.name.span()),
            ..Tenant::new(section.name.get_ref(), prefixes)
        };
        if let Some(mode) = &section.mode {
            tenant.mode = self.word(mode, "mode", &MODES)?;
        }
        if let Some(syn) = &section.syn {
            tenant.syn = self.word(syn, "syn", &SYN_GUARDS)?;
        }
        tenant.syn_above = number(&section.syn_above, "syn_above", tenant.syn_above)?;
        tenant.flows = section.flows.unwrap_or(tenant.flows);
        tenant.out_of_state = number(&section.out_of_state, "out_of_state", tenant.out_of_state)?;
        Ok(tenant)
    }

    fn detect(&self, section: &Spanned<DetectSection>) -> Result<Detect, Refused> {
        let (span, section) = (section.span(), section.get_ref());
        let rate = |field: &Option<Spanned<i64>>, name| {
            field.as_ref().map(|number| self.count(number, name)).transpose()
        };
        let hold = rate(&section.hold, "hold")?.unwrap_or(HOLD);
        let (least, most) = HOLD_BOUNDS;
        if let Some(field) = section.hold.as_ref().filter(|_| !(least..=most).contains(&hold)) {
            let what = format!("hold {hold} is beyond {least} to {most} seconds");
            return Err(self.error(&field.span(), &what));
        }
        let detect = Detect {
            mode: match &section.mode {
                Some(mode) => self.word(mode, "mode", &MODES)?,
                None => Mode::Monitor,
            },
            source_packets: rate(&section.source_packets, "source_packets")?,
            source_octets: rate(&section.source_octets, "source_octets")?,
            destination_packets: rate(&section.destination_packets, "destination_packets")?,
            pattern_packets: rate(&section.pattern_packets, "pattern_packets")?,
            hold,
            origin: self.origin(&span),
        };
        let rates = [
            detect.source_packets,
            detect.source_octets,
            detect.destination_packets,
            detect.pattern_packets,
        ];
        if rates.iter().all(Option::is_none) {
            let what = "[dos.detect] without a rate finds nothing; give it source_packets, \
                        source_octets, destination_packets or pattern_packets";
            return Err(self.error(&span, what));
        }
        Ok(detect)
    }

    /// The fields that every kind of rule has.
    fn common(
        &self,
        rule: Rule,
        mode: Option<&Spanned<String>>,
        reach: Option<&str>,
        expires: Option<&Spanned<Value>>,
    ) -> Result<Rule, Refused> {
        let time = expires.map(|text| self.time(text, "expires")).transpose()?;
        Ok(Rule {
            mode: mode.map_or(Ok(rule.mode), |mode| self.word(mode, "mode", &MODES))?,
            reach: reach.map_or(Reach::All, Reach::read),
            expires: time.as_ref().map(Duration::as_secs),
            ..rule
        })
    }
}

#[cfg(test)]
mod tests;
