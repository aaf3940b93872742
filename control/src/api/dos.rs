//! What the command line asks of the filter.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use shm::message::{Heavy, Pattern};

use super::answer::{Failure, blocking};
use super::message::{
    Answer, CheckShown, DetectShown, DosRequest, DosShown, HeavyShown, LimitText, RuleShown,
    RuleText, TenantShown,
};
use super::{Api, Lines, read};
use crate::dos::{Count, Sighting, pattern_text};
use crate::model::dos::{
    CHECKS, CLASSES, Check, LIST_KINDS, Limit, MODES, Matter, Per, Prefixes, Reach, Rule,
    SYN_GUARDS, Unit, per, value, word, words,
};
use crate::model::{Book, Cause, Change, Detect, Origin, Refused, Tenant};
use crate::signature;
use crate::source::prefixes_of;

impl Api {
    pub(super) async fn dos(
        &self,
        request: DosRequest,
        lines: &mut Lines,
    ) -> Result<bool, Failure> {
        match request {
            DosRequest::Show => {
                let shown = self.dos_shown();
                lines.put(&Answer::Dos(Box::new(shown))).await?;
                Ok(false)
            }
            DosRequest::Rules => self.dos_rules(lines).await,
            DosRequest::AddList { rule, kind, prefixes, file } => {
                let kind = one_of(&kind, "kind", &LIST_KINDS)?;
                let mut all = prefixes_read(&prefixes)?;
                if let Some(file) = file.map(PathBuf::from) {
                    all.extend(blocking(move || prefixes_of(&file)).await?);
                }
                let rule = asked(&rule, Matter::List(kind, all.into()))?;
                self.change(move |_| Ok(vec![Change::AddRule(rule)])).await
            }
            DosRequest::AddSignature { rule, expression } => {
                let text: Arc<str> = expression.as_str().into();
                let compile = move || {
                    signature::compile(&expression)
                        .map_err(|what| Refused::new(Cause::Invalid, what).at("match"))
                };
                let program = blocking(compile).await?.into();
                let rule = asked(&rule, Matter::Signature { expression: text, program })?;
                self.change(move |_| Ok(vec![Change::AddRule(rule)])).await
            }
            DosRequest::AddLimit { rule, limit } => {
                let rule = asked(&rule, Matter::Limit(limit_of(&limit)?))?;
                self.change(move |_| Ok(vec![Change::AddRule(rule)])).await
            }
            DosRequest::AddPrefix { list, prefixes } => {
                let (add, remove) = (prefixes_read(&prefixes)?.into(), Prefixes::default());
                let list = list.into();
                self.change(move |_| Ok(vec![Change::ListPrefixes { list, add, remove }])).await
            }
            DosRequest::Remove { name, prefixes } if prefixes.is_empty() => {
                self.change(move |_| Ok(vec![Change::RemoveRule(name.into())])).await
            }
            DosRequest::Remove { name, prefixes } => {
                let (add, remove) = (Prefixes::default(), prefixes_read(&prefixes)?.into());
                let list = name.into();
                self.change(move |_| Ok(vec![Change::ListPrefixes { list, add, remove }])).await
            }
            DosRequest::Top => self.dos_top(lines).await,
            DosRequest::Events { after } => {
                for entry in self.journal.after(after) {
                    lines.put(&Answer::Event(entry)).await?;
                }
                Ok(false)
            }
        }
    }

    async fn dos_rules(&self, lines: &mut Lines) -> Result<bool, Failure> {
        let book = self.desk.book();
        for rule in book.rules_after(0) {
            let count = self.desk.heard().count(rule.id);
            lines.put(&Answer::Rule(rule_shown(&book, rule, count))).await?;
        }
        Ok(false)
    }

    async fn dos_top(&self, lines: &mut Lines) -> Result<bool, Failure> {
        let (book, round) = (self.desk.book(), self.desk.heard().round());
        let mut sightings = round.sightings.clone();
        sightings.sort_by_key(|sighting| (kind_of(&sighting.what), u64::MAX - sighting.packets));
        for sighting in &sightings {
            lines.put(&Answer::Heavy(heavy_shown(&book, sighting))).await?;
        }
        Ok(false)
    }

    /// What guards have done and what was dropped, all threads together.
    fn dos_counters(&self) -> Vec<(String, u64)> {
        let Ok(table) = self.counters.read() else { return Vec::new() };
        let value = |at: usize, block: usize| table.block(block).get(at).copied().unwrap_or(0);
        let total = |at: usize| (0..table.blocks.len()).map(|block| value(at, block)).sum();
        let names = table.counters.iter().enumerate();
        let ours = names.filter(|(_, name)| is_of_filter(name));
        ours.map(|(at, name)| (name.clone(), total(at))).collect()
    }

    fn dos_shown(&self) -> DosShown {
        let (book, round) = (self.desk.book(), self.desk.heard().round());
        let count = |kind: &str| book.rules_after(0).filter(|rule| rule.kind() == kind).count();
        let kinds = ["block", "allow", "set", "signature", "limit"];
        let automatic = book.rules_after(0).filter(|rule| rule.is_automatic()).count();
        DosShown {
            checks: CHECKS.iter().map(|(name, check)| check_shown(&book, name, *check)).collect(),
            rules: kinds.iter().map(|kind| ((*kind).to_owned(), count(kind))).collect(),
            automatic,
            prefixes: book.listed(),
            tenants: book.tenants_after(0).map(|tenant| tenant_shown(&book, tenant)).collect(),
            detect: book.detect().map(|detect| detect_shown(&book, detect)),
            round_at: (round.number != 0).then(|| round.at.as_secs()),
            heavy: round.sightings.len(),
            counters: self.dos_counters(),
        }
    }
}

/// Whether a counter of the dataplane's page is about the filter.
fn is_of_filter(name: &str) -> bool {
    let handshakes = ["cookies", "drop.handshake_full", "drop.handshake_flood"];
    name.starts_with("drop.dos_") || name.starts_with("syn_") || handshakes.contains(&name)
}

/// A rule of the fields that all kinds have.
fn asked(text: &RuleText, matter: Matter) -> Result<Rule, Refused> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(Rule {
        name: text.name.as_str().into(),
        id: 0,
        mode: one_of(&text.mode, "mode", &MODES)?,
        reach: Reach::read(&text.reach),
        expires: text.expires_s.map(|seconds| now.saturating_add(seconds)),
        matter,
        origin: Origin::Cli,
    })
}

fn limit_of(text: &LimitText) -> Result<Limit, Refused> {
    let invalid = |field: &str, what: String| Err(Refused::new(Cause::Invalid, what).at(field));
    let (unit, per_second) = match (text.packets, text.octets) {
        (Some(packets), None) => (Unit::Packets, packets),
        (None, Some(octets)) => (Unit::Octets, octets),
        (None, None) | (Some(_), Some(_)) => {
            return invalid("packets", "give packets or octets per second, one of them".to_owned());
        }
    };
    let (v4_len, v6_len) = (text.v4_len.map(i64::from), text.v6_len.map(i64::from));
    let per = match per(&text.per, v4_len, v6_len) {
        Ok(per) => per,
        Err((field, what)) => return invalid(field, what),
    };
    let class = one_of(&text.class, "class", &CLASSES)?;
    let burst = text.burst.unwrap_or_else(|| Limit::burst_of(per_second, unit));
    Ok(Limit { per, class, unit, per_second, burst })
}

pub(super) fn one_of<T: Copy>(text: &str, field: &str, among: &[(&str, T)]) -> Result<T, Refused> {
    value(among, text).ok_or_else(|| {
        let what = format!("\"{text}\" is none; take {}", words(among));
        Refused::new(Cause::Invalid, what).at(field)
    })
}

pub(super) fn prefixes_read(texts: &[String]) -> Result<Vec<IpNet>, Refused> {
    texts.iter().map(|text| read::prefix("prefixes", text)).collect()
}

fn rule_shown(book: &Book, rule: &Rule, count: Count) -> RuleShown {
    RuleShown {
        name: rule.name.to_string(),
        kind: rule.kind().to_owned(),
        mode: word(&MODES, &rule.mode).to_owned(),
        reach: rule.reach.text().to_owned(),
        expires: rule.expires,
        says: says(&rule.matter),
        packets: count.packets,
        octets: count.octets,
        dropped: count.dropped,
        origin: book.place(rule.origin),
    }
}

/// What a rule says, in a line.
fn says(matter: &Matter) -> String {
    match matter {
        Matter::List(_, prefixes) => match prefixes.as_slice() {
            [one] => one.to_string(),
            all => format!("{} prefixes", all.len()),
        },
        Matter::Signature { expression, .. } => expression.to_string(),
        Matter::Limit(Limit { per, class, unit, per_second, burst }) => {
            let unit = match unit {
                Unit::Packets => "packets",
                Unit::Octets => "octets",
            };
            let per = match per {
                Per::Source { v4_len, v6_len } => format!("source (/{v4_len}, /{v6_len})"),
                Per::Destination { v4_len, v6_len } => {
                    format!("destination (/{v4_len}, /{v6_len})")
                }
                Per::Whole => "whole".to_owned(),
            };
            let class = word(&CLASSES, class);
            format!("{per_second} {unit}/s of {class} per {per}, burst {burst}")
        }
        Matter::Check(_) => "-".to_owned(),
    }
}

fn check_shown(book: &Book, name: &str, check: Check) -> CheckShown {
    let rule = book.rule_named(name);
    let mode = rule.map_or_else(|| check.default_mode(), |rule| rule.mode);
    CheckShown {
        name: name.to_owned(),
        mode: word(&MODES, &mode).to_owned(),
        origin: rule.map(|rule| book.place(rule.origin)),
    }
}

pub(super) fn tenant_shown(book: &Book, tenant: &Tenant) -> TenantShown {
    TenantShown {
        name: tenant.name.to_string(),
        mode: word(&MODES, &tenant.mode).to_owned(),
        syn: word(&SYN_GUARDS, &tenant.syn).to_owned(),
        syn_above: tenant.syn_above,
        flows: tenant.flows,
        out_of_state: tenant.out_of_state,
        prefixes: tenant.prefixes.to_vec(),
        origin: book.place(tenant.origin),
    }
}

fn detect_shown(book: &Book, detect: &Detect) -> DetectShown {
    DetectShown {
        mode: word(&MODES, &detect.mode).to_owned(),
        source_packets: detect.source_packets,
        source_octets: detect.source_octets,
        destination_packets: detect.destination_packets,
        pattern_packets: detect.pattern_packets,
        hold: detect.hold,
        origin: book.place(detect.origin),
    }
}

fn kind_of(heavy: &Heavy) -> usize {
    match heavy {
        Heavy::Source(_) => 0,
        Heavy::Destination { .. } => 1,
        Heavy::Pattern(_) => 2,
    }
}

fn heavy_shown(book: &Book, sighting: &Sighting) -> HeavyShown {
    let Sighting { packets, octets, dropped, what } = *sighting;
    let (kind, text, destination, tenant) = match &what {
        Heavy::Source(prefix) if prefix.prefix_len() == prefix.max_prefix_len() => {
            ("source", prefix.addr().to_string(), None, None)
        }
        Heavy::Source(prefix) => ("source", prefix.to_string(), None, None),
        Heavy::Destination { address, tenant } => {
            ("destination", address.to_string(), Some(*address), *tenant)
        }
        Heavy::Pattern(pattern) => {
            let Pattern { destination, tenant, .. } = *pattern;
            ("pattern", pattern_text(pattern), Some(destination), tenant)
        }
    };
    let tenant = tenant.and_then(|id| Some(book.tenant(id)?.name.to_string()));
    let kind = kind.to_owned();
    HeavyShown { kind, what: text, destination, tenant, packets, octets, dropped }
}
