//! Rules, tenants and detection in the file.

use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use super::{Loading, NUMBERS, code, entries, said};
use crate::model::dos::Prefixes;
use crate::model::{Book, Change, Touched};

const RULES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("rules");
const LISTS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("lists");
const TENANTS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("tenants");
const DETECTION: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("detection");

/// The number beneath which no rule gets its id any more.
const RULE_ID_LAST: &str = "rule_id_last";

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(RULES)?;
    transaction.open_table(LISTS)?;
    transaction.open_table(TENANTS)?;
    transaction.open_table(DETECTION)?;
    Ok(())
}

/// Tenants first: rules name them.
pub(super) fn load(transaction: &ReadTransaction, loading: &mut Loading) -> Result<(), String> {
    for entry in entries(transaction, TENANTS)? {
        let (id, value) = entry.map_err(said)?;
        let tenant = code::read_tenant(id.value(), value.value()).ok_or("a tenant is none")?;
        loading.put(Change::PutTenant(tenant))?;
    }
    let lists = transaction.open_table(LISTS).map_err(said)?;
    for entry in entries(transaction, RULES)? {
        let (id, value) = entry.map_err(said)?;
        let id = id.value();
        let prefixes = match lists.get(id).map_err(said)? {
            Some(octets) => code::read_prefixes(octets.value()).ok_or("a list is none")?,
            None => Prefixes::default(),
        };
        let rule = code::read_rule(id, value.value(), prefixes).ok_or("a rule is none")?;
        loading.put(Change::PutRule(rule))?;
    }
    for entry in entries(transaction, DETECTION)? {
        let (_, value) = entry.map_err(said)?;
        let detect = code::read_detect(value.value()).ok_or("the detection is none")?;
        loading.put(Change::PutDetect(Some(detect)))?;
    }
    let numbers = transaction.open_table(NUMBERS).map_err(said)?;
    let last = numbers.get(RULE_ID_LAST).map_err(said)?.map_or(0, |last| last.value());
    loading.book.skip_rule_ids(u32::try_from(last).unwrap_or(u32::MAX));
    Ok(())
}

pub(super) fn write(
    transaction: &WriteTransaction,
    book: &Book,
    touched: &Touched,
    octets: &mut Vec<u8>,
) -> Result<(), redb::Error> {
    write_rules(transaction, book, touched, octets)?;
    let mut tenants = transaction.open_table(TENANTS)?;
    for id in touched.tenants() {
        match book.tenant(*id) {
            Some(tenant) => {
                code::write_tenant(tenant, octets);
                tenants.insert(id, octets.as_slice())?;
            }
            None => drop(tenants.remove(id)?),
        }
    }
    if touched.detection() {
        let mut detection = transaction.open_table(DETECTION)?;
        match book.detect() {
            Some(detect) => {
                code::write_detect(detect, octets);
                detection.insert("detect", octets.as_slice())?;
            }
            None => drop(detection.remove("detect")?),
        }
    }
    Ok(())
}

fn write_rules(
    transaction: &WriteTransaction,
    book: &Book,
    touched: &Touched,
    octets: &mut Vec<u8>,
) -> Result<(), redb::Error> {
    if touched.rules().next().is_none() {
        return Ok(());
    }
    let (mut rules, mut lists) = (transaction.open_table(RULES)?, transaction.open_table(LISTS)?);
    for id in touched.rules() {
        match book.rule(*id) {
            Some(rule) => {
                code::write_rule(rule, octets);
                rules.insert(id, octets.as_slice())?;
            }
            None => drop(rules.remove(id)?),
        }
    }
    for id in touched.lists() {
        match book.rule(*id).and_then(|rule| rule.prefixes()) {
            Some(prefixes) => {
                code::write_prefixes(prefixes, octets);
                lists.insert(id, octets.as_slice())?;
            }
            None => drop(lists.remove(id)?),
        }
    }
    let mut numbers = transaction.open_table(NUMBERS)?;
    numbers.insert(RULE_ID_LAST, u64::from(book.rule_id_last()))?;
    Ok(())
}
