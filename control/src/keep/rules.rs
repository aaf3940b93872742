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

/// The same for tenants.
const TENANT_ID_LAST: &str = "tenant_id_last";

/// And for their tunnels.
const TUNNEL_ID_LAST: &str = "tunnel_id_last";

pub(super) fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(RULES)?;
    transaction.open_table(LISTS)?;
    transaction.open_table(TENANTS)?;
    transaction.open_table(DETECTION)?;
    Ok(())
}

/// Tenants first: rules name them. Rules of tenants name sets, so that all of them are put into the book together.
pub(super) fn load(transaction: &ReadTransaction, loading: &mut Loading) -> Result<(), String> {
    loading.flush()?;
    for entry in entries(transaction, TENANTS)? {
        let (id, value) = entry.map_err(said)?;
        let tenant = code::read_tenant(id.value(), value.value()).ok_or_else(|| {
            format!("tenant {} is none, or its rules do not read any more", id.value())
        })?;
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
    let last = |name| {
        let last = numbers.get(name).map_err(said)?.map_or(0, |last| last.value());
        Ok::<u32, String>(u32::try_from(last).unwrap_or(u32::MAX))
    };
    loading.book.skip_rule_ids(last(RULE_ID_LAST)?);
    loading.book.skip_tenant_ids(last(TENANT_ID_LAST)?);
    loading.book.skip_tunnel_ids(last(TUNNEL_ID_LAST)?);
    Ok(())
}

pub(super) fn write(
    transaction: &WriteTransaction,
    book: &Book,
    touched: &Touched,
    octets: &mut Vec<u8>,
) -> Result<(), redb::Error> {
    write_rules(transaction, book, touched, octets)?;
    write_tenants(transaction, book, touched, octets)?;
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

fn write_tenants(
    transaction: &WriteTransaction,
    book: &Book,
    touched: &Touched,
    octets: &mut Vec<u8>,
) -> Result<(), redb::Error> {
    if touched.tenants().next().is_none() {
        return Ok(());
    }
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
    let mut numbers = transaction.open_table(NUMBERS)?;
    numbers.insert(TENANT_ID_LAST, u64::from(book.tenant_id_last()))?;
    numbers.insert(TUNNEL_ID_LAST, u64::from(book.tunnel_id_last()))?;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Keep;
    use crate::model::dos::{ListKind, Matter, Mode, Reach};
    use crate::model::{Book, Change, Firewall, Limits, Origin, Rule, Tenant, Tunnel};

    fn changed(keep: &Keep, book: &mut Book, change: Change) {
        let touched = book.apply(Origin::Cli, &[change], &Limits::default()).unwrap();
        keep.write(book, &touched, &[]).unwrap();
    }

    fn tenant(name: &str) -> Change {
        Change::PutTenant(Tenant::new(name, ["192.0.2.0/24".parse().unwrap()]))
    }

    #[test]
    fn a_tenant_after_a_restart_has_no_id_of_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let keep = Keep::open(directory.path()).unwrap();
        let mut book = keep.book().unwrap();
        changed(&keep, &mut book, tenant("first"));
        let first = book.tenant_named("first").unwrap().id;
        changed(&keep, &mut book, Change::RemoveTenant(Arc::from("first")));
        drop(keep);
        let keep = Keep::open(directory.path()).unwrap();
        let mut book = keep.book().unwrap();
        changed(&keep, &mut book, tenant("second"));
        assert_ne!(book.tenant_named("second").unwrap().id, first);
    }

    #[test]
    fn a_tenant_comes_back_with_the_ids_of_its_tunnels_and_of_the_sets_that_its_rules_name() {
        let directory = tempfile::tempdir().unwrap();
        let keep = Keep::open(directory.path()).unwrap();
        let mut book = keep.book().unwrap();
        let prefixes = vec!["198.51.100.0/24".parse().unwrap()].into();
        let set = Rule {
            name: "bad".into(),
            id: 0,
            mode: Mode::Enforce,
            reach: Reach::All,
            expires: None,
            matter: Matter::List(ListKind::Set, prefixes),
            origin: Origin::Cli,
        };
        changed(&keep, &mut book, Change::AddRule(set));
        let tunnels = |names: &[&str]| {
            let tunnel = |name: &&str| {
                let remote = [198, 51, 101, u8::try_from(name.len()).unwrap()].into();
                Tunnel::new(name, [192, 0, 3, 1].into(), remote)
            };
            names.iter().map(tunnel).collect()
        };
        let Change::PutTenant(bare) = tenant("customer") else { panic!() };
        let rules = "ip saddr @bad drop\n";
        let firewall = Some(Firewall::read(rules, Origin::Cli).unwrap());
        let with =
            |names| Tenant { tunnels: tunnels(names), firewall: firewall.clone(), ..bare.clone() };
        changed(&keep, &mut book, Change::AddTenant(with(&["a", "bb"])));
        changed(&keep, &mut book, Change::PutTenant(with(&["bb", "ccc"])));
        changed(&keep, &mut book, Change::PutTenant(with(&["bb"])));
        let before = book.tenant_named("customer").unwrap().clone();
        drop(keep);
        let keep = Keep::open(directory.path()).unwrap();
        let mut book = keep.book().unwrap();
        assert_eq!(*book.tenant_named("customer").unwrap(), before);
        assert_eq!(before.tunnels[0].id, 2);
        // Not even one that was the last has its id again.
        changed(&keep, &mut book, Change::PutTenant(with(&["bb", "dddd"])));
        assert_eq!(book.tunnel_named("dddd").unwrap().1.id, 4);
    }
}
