//! Rules, lists and tenants by any changes, against what the dataplane has of them.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;
use shm::message::Scope;
use shm::transaction::Transaction;

use super::*;
use crate::dataplane::Feed;
use crate::model::{Change, Difference, Limits, Tenant, Thing};
use crate::testing::Tables;

#[derive(Clone, Debug)]
enum Act {
    Rule { name: u8, kind: u8, mode: u8, reach: u8, prefixes: Vec<u8> },
    Remove(u8),
    Prefixes { name: u8, add: Vec<u8>, remove: Vec<u8> },
    Tenant { name: u8, prefixes: Vec<u8> },
    TenantRemove(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let prefixes = || prop::collection::vec(0..40_u8, 0..30);
    let rule = (0..6_u8, 0..5_u8, 0..3_u8, 0..4_u8, prefixes());
    let act = prop_oneof![
        4 => rule.prop_map(|(name, kind, mode, reach, prefixes)| {
            Act::Rule { name, kind, mode, reach, prefixes }
        }),
        1 => (0..6_u8).prop_map(Act::Remove),
        2 => (0..6_u8, prefixes(), prop::collection::vec(0..40_u8, 0..2)).prop_map(
            |(name, add, remove)| Act::Prefixes { name, add, remove }
        ),
        2 => (0..2_u8, prop::collection::vec(0..9_u8, 1..4)).prop_map(
            |(name, prefixes)| Act::Tenant { name, prefixes }
        ),
        1 => (0..2_u8).prop_map(Act::TenantRemove),
    ];
    prop::collection::vec(act, 1..4)
}

fn net(number: u8) -> IpNet {
    if number.is_multiple_of(3) {
        IpNet::from(IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number]))
    } else {
        IpNet::from(IpAddr::from([10, 0, 0, number]))
    }
}

fn nets(numbers: &[u8]) -> Prefixes {
    numbers.iter().map(|number| net(*number)).collect::<Vec<_>>().into()
}

fn name(what: &str, number: u8) -> Arc<str> {
    format!("{what}{number}").into()
}

fn change(act: &Act) -> Change {
    match act {
        Act::Rule { name: number, kind, mode, reach, prefixes } => {
            let program = vec![Instruction { code: 6, jt: 0, jf: 0, k: 1 }; 1 + prefixes.len()];
            let matter = match kind {
                0 => Matter::List(ListKind::Block, nets(prefixes)),
                1 => Matter::List(ListKind::Allow, nets(prefixes)),
                2 => Matter::Signature { expression: "udp".into(), program: program.into() },
                3 => Matter::Limit(Limit {
                    per: Per::Whole,
                    class: Class::Any,
                    unit: Unit::Packets,
                    per_second: 1 + u64::from(*mode),
                    burst: 1,
                }),
                _ => Matter::Check(Check::Land),
            };
            let mode = MODES[usize::from(*mode)].1;
            let reach = match reach {
                0 => Reach::All,
                1 => Reach::Own,
                tenant => Reach::Tenant(name("tenant", tenant - 2)),
            };
            let expires = prefixes.first().map(|first| u64::from(*first));
            let (name, origin) = (name("rule", *number), Origin::Cli);
            Change::PutRule(Rule { name, id: 0, mode, reach, expires, matter, origin })
        }
        Act::Remove(number) => Change::RemoveRule(name("rule", *number)),
        Act::Prefixes { name: number, add, remove } => Change::ListPrefixes {
            list: name("rule", *number),
            add: nets(add),
            remove: nets(remove),
        },
        Act::Tenant { name: number, prefixes } => Change::PutTenant(Tenant {
            name: name("tenant", *number),
            id: 0,
            mode: Mode::Enforce,
            syn: SynGuard::Off,
            syn_above: u32::from(*number),
            flows: false,
            out_of_state: 0,
            prefixes: nets(prefixes).as_slice().into(),
            origin: Origin::Cli,
        }),
        Act::TenantRemove(number) => Change::RemoveTenant(name("tenant", *number)),
    }
}

fn told(tables: &mut Tables, scope: Scope, items: Vec<message::Item>) {
    tables.apply(Transaction { id: 1, scope, count: 0, items });
}

fn snapshot(book: &Book) -> Vec<message::Item> {
    let mut feed = Feed::snapshot(book.clone());
    std::iter::from_fn(|| feed.next()).collect()
}

fn messages(items: &[message::Item]) -> u64 {
    items.iter().map(|item| item.message_count().unwrap() as u64).sum()
}

proptest! {
    #[test]
    fn a_difference_brings_the_filter_from_one_book_to_the_next(
        calls in prop::collection::vec(acts(), 1..30),
    ) {
        let (mut book, mut tables) = (Book::default(), Tables::default());
        told(&mut tables, Scope::Snapshot, snapshot(&book));
        let mut ids = std::collections::HashMap::new();
        for acts in calls {
            let changes: Vec<Change> = acts.iter().map(change).collect();
            let before = book.clone();
            let Ok(touched) = book.apply(Origin::Cli, &changes, &Limits::default()) else { continue };
            let difference = Difference::of_touched(&before, &book, &touched);
            let items: Vec<_> = difference.items().collect();
            prop_assert_eq!(messages(&items), difference.messages());
            let all: Vec<_> = Difference::between(&before, &book).items().collect();
            prop_assert_eq!(&items, &all);
            let mut passed = 0;
            for item in &items {
                let message::Item::Rule(rule) = item else {
                    passed += item.message_count().unwrap() as u64;
                    continue;
                };
                prop_assert_eq!(difference.thing(passed), Some(Thing::Rule(rule.id)));
                passed += item.message_count().unwrap() as u64;
            }
            told(&mut tables, Scope::Delta, items);
            prop_assert!(tables.agree_with(&book), "{:?}", acts);
            let items = snapshot(&book);
            prop_assert_eq!(messages(&items), book.messages());
            let mut anew = Tables::default();
            told(&mut anew, Scope::Snapshot, items);
            prop_assert!(anew.agree_with(&book));
            // An id is one rule's for ever.
            for rule in book.rules_after(0) {
                let (name, kind) = (Arc::clone(&rule.name), rule.kind());
                let known = ids.entry(rule.id).or_insert_with(|| (Arc::clone(&name), kind));
                prop_assert_eq!(&*known, &(name, kind));
            }
            let earliest = book.rules_after(0).filter_map(|rule| rule.expires).min();
            prop_assert_eq!(book.expired(u64::MAX).next().and_then(|rule| rule.expires), earliest);
        }
    }
}

#[test]
fn an_automatic_rule_goes_with_its_tenant_and_keeps_no_file_from_being_declared() {
    let mut book = Book::default();
    let file = book.file("edge.toml").unwrap();
    let origin = Origin::Declared(crate::model::Place { file, line: 3 });
    let Change::PutTenant(tenant) = change(&Act::Tenant { name: 0, prefixes: vec![1] }) else {
        panic!()
    };
    let tenant = Change::PutTenant(Tenant { origin, ..tenant });
    book.apply(origin, &[tenant], &Limits::default()).unwrap();
    let act = Act::Rule { name: 1, kind: 3, mode: 2, reach: 2, prefixes: vec![] };
    let Change::PutRule(rule) = change(&act) else { panic!() };
    let name = Arc::from("auto-destination-tenant0");
    let automatic = Change::PutRule(Rule { name, ..rule.clone() });
    book.apply(Origin::Detection, &[automatic], &Limits::default()).unwrap();
    let mut tables = Tables::default();
    told(&mut tables, Scope::Snapshot, snapshot(&book));
    // What an operator has made is in the way still.
    book.apply(Origin::Cli, &[Change::PutRule(rule)], &Limits::default()).unwrap();
    let refused = book.declare(crate::model::Declaration::default(), &Limits::default());
    assert!(refused.unwrap_err().to_string().contains("rule rule1 reaches tenant tenant0"));
    let remove = Change::RemoveRule("rule1".into());
    book.apply(Origin::Cli, &[remove], &Limits::default()).unwrap();
    let before = book.clone();
    let touched = book.declare(crate::model::Declaration::default(), &Limits::default()).unwrap();
    assert_eq!(book.rules_after(0).count(), 0);
    assert_eq!(book.messages(), Book::default().messages());
    let difference = Difference::of_touched(&before, &book, &touched);
    told(&mut tables, Scope::Delta, difference.items().collect());
    assert!(tables.agree_with(&book));
}
