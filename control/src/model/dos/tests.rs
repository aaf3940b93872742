//! Rules, lists and tenants by any changes, against what the dataplane has of them.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use proptest::prelude::*;
use shm::message::Scope;
use shm::transaction::Transaction;

use super::*;
use crate::dataplane::Feed;
use crate::model::{Change, Difference, Firewall, Limits, Tenant, Thing, Tunnel};
use crate::testing::Tables;

#[derive(Clone, Debug)]
enum Act {
    Rule { name: u8, kind: u8, mode: u8, reach: u8, prefixes: Vec<u8> },
    Remove(u8),
    Prefixes { name: u8, add: Vec<u8>, remove: Vec<u8> },
    Tenant { name: u8, prefixes: Vec<u8>, tunnels: Vec<(u8, u8)>, rules: Option<u8> },
    SetRules { name: u8, rules: Option<u8> },
    TenantRemove(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let prefixes = || prop::collection::vec(0..40_u8, 0..30);
    let rule = (0..6_u8, 0..7_u8, 0..3_u8, 0..4_u8, prefixes());
    let tunnels = prop::collection::vec((0..6_u8, 0..6_u8), 0..3);
    let rules = || prop::option::of(0..12_u8);
    let act = prop_oneof![
        4 => rule.prop_map(|(name, kind, mode, reach, prefixes)| {
            Act::Rule { name, kind, mode, reach, prefixes }
        }),
        1 => (0..6_u8).prop_map(Act::Remove),
        2 => (0..6_u8, prefixes(), prop::collection::vec(0..40_u8, 0..2)).prop_map(
            |(name, add, remove)| Act::Prefixes { name, add, remove }
        ),
        3 => (0..2_u8, prop::collection::vec(0..9_u8, 1..4), tunnels, rules()).prop_map(
            |(name, prefixes, tunnels, rules)| Act::Tenant { name, prefixes, tunnels, rules }
        ),
        1 => (0..2_u8, rules()).prop_map(|(name, rules)| Act::SetRules { name, rules }),
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

/// A tunnel, which says something else with another number of where it leads.
fn tunnel(number: u8, to: u8) -> Tunnel {
    let (local, remote) = (IpAddr::from([192, 0, 2, 9]), IpAddr::from([198, 51, 100, to]));
    Tunnel { weight: 1 + u16::from(number), ..Tunnel::new(&name("tunnel", number), local, remote) }
}

/// Rules, some of which name a set, some two, and some none.
fn firewall(number: u8) -> Firewall {
    let text = match number {
        0 => String::new(),
        1..=6 => format!("policy drop\nip saddr @rule{} accept\n", number - 1),
        7 => "ip saddr @rule0 drop\nip6 daddr != @rule1 counter\n".to_owned(),
        _ => "ip saddr 192.0.2.1 tcp dport 22 drop\n".repeat(usize::from(number - 7) * 700),
    };
    Firewall::read(&text, Origin::Cli).unwrap()
}

fn change(act: &Act) -> Change {
    match act {
        Act::Rule { name: number, kind, mode, reach, prefixes } => {
            let program = vec![Instruction { code: 6, jt: 0, jf: 0, k: 1 }; 1 + prefixes.len()];
            let matter = match kind {
                0 => Matter::List(ListKind::Block, nets(prefixes)),
                1 => Matter::List(ListKind::Allow, nets(prefixes)),
                5..=6 => Matter::List(ListKind::Set, nets(prefixes)),
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
            let is_set = matches!(matter, Matter::List(ListKind::Set, _));
            // A set has no more than its prefixes.
            let (mode, reach, expires) =
                if is_set { (Mode::Enforce, Reach::All, None) } else { (mode, reach, expires) };
            let (name, origin) = (name("rule", *number), Origin::Cli);
            Change::PutRule(Rule { name, id: 0, mode, reach, expires, matter, origin })
        }
        Act::Remove(number) => Change::RemoveRule(name("rule", *number)),
        Act::Prefixes { name: number, add, remove } => Change::ListPrefixes {
            list: name("rule", *number),
            add: nets(add),
            remove: nets(remove),
        },
        Act::Tenant { name: number, prefixes, tunnels, rules } => Change::PutTenant(Tenant {
            syn_above: u32::from(*number),
            tunnels: tunnels.iter().map(|(number, to)| tunnel(*number, *to)).collect(),
            firewall: rules.map(firewall),
            ..Tenant::new(&name("tenant", *number), nets(prefixes).as_slice())
        }),
        Act::SetRules { name: number, rules } => {
            Change::SetRules { tenant: name("tenant", *number), rules: rules.map(firewall) }
        }
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

/// Whether each message of rules, tenants, tunnels and texts is known for whose it is.
fn are_named(items: &[message::Item], thing: impl Fn(u64) -> Option<Thing>) -> bool {
    let mut passed = 0;
    items.iter().all(|item| {
        let wanted = match item {
            message::Item::Rule(rule) => Some(Thing::Rule(rule.id)),
            message::Item::RuleRemove(rule)
            | message::Item::Listed { rule, .. }
            | message::Item::Unlisted { rule, .. } => Some(Thing::Rule(*rule)),
            message::Item::Tenant(tenant) => Some(Thing::Tenant(tenant.id)),
            message::Item::TenantRemove(id) => Some(Thing::Tenant(*id)),
            message::Item::Tunnel(tunnel) => Some(Thing::Tunnel(tunnel.id)),
            message::Item::TunnelRemove(id) => Some(Thing::Tunnel(*id)),
            message::Item::Ruleset(tenant) | message::Item::RulesetText { tenant, .. } => {
                Some(Thing::Ruleset(*tenant))
            }
            message::Item::Peer(_)
            | message::Item::PeerRemove(_)
            | message::Item::Route { .. }
            | message::Item::RouteRemove(_)
            | message::Item::NextHop { .. }
            | message::Item::NextHopRemove(_)
            | message::Item::Centre(_)
            | message::Item::Machines { .. }
            | message::Item::CentreRemove(_)
            | message::Item::Fleet(_)
            | message::Item::FleetRemove => None,
        };
        let first = passed;
        passed += item.message_count().unwrap() as u64;
        wanted.is_none_or(|wanted| {
            (first..passed).all(|message| thing(message).as_ref() == Some(&wanted))
        })
    })
}

/// Whether what is named comes before what names it.
fn are_in_order(items: &[message::Item]) -> bool {
    let rank = |item: &message::Item| match item {
        message::Item::RuleRemove(_) => Some(0),
        message::Item::TunnelRemove(_) => Some(1),
        message::Item::TenantRemove(_) => Some(2),
        message::Item::Tenant(_) => Some(3),
        message::Item::Tunnel(_) => Some(4),
        message::Item::Rule(_) => Some(5),
        message::Item::Unlisted { .. } => Some(6),
        message::Item::Listed { .. } => Some(7),
        message::Item::Ruleset(_) | message::Item::RulesetText { .. } => Some(8),
        message::Item::Peer(_)
        | message::Item::PeerRemove(_)
        | message::Item::Route { .. }
        | message::Item::RouteRemove(_)
        | message::Item::NextHop { .. }
        | message::Item::NextHopRemove(_)
        | message::Item::Centre(_)
        | message::Item::Machines { .. }
        | message::Item::CentreRemove(_)
        | message::Item::Fleet(_)
        | message::Item::FleetRemove => None,
    };
    items.iter().filter_map(rank).is_sorted()
}

proptest! {
    #[test]
    fn a_difference_brings_the_filter_from_one_book_to_the_next(
        calls in prop::collection::vec(acts(), 1..30),
    ) {
        let (mut book, mut tables) = (Book::default(), Tables::default());
        told(&mut tables, Scope::Snapshot, snapshot(&book));
        let mut ids = std::collections::HashMap::new();
        let mut tunnel_ids = std::collections::HashMap::new();
        for acts in calls {
            let changes: Vec<Change> = acts.iter().map(change).collect();
            let before = book.clone();
            let Ok(touched) = book.apply(Origin::Cli, &changes, &Limits::default()) else { continue };
            let difference = Difference::of_touched(&before, &book, &touched);
            let items: Vec<_> = difference.items().collect();
            prop_assert_eq!(messages(&items), difference.messages());
            let all: Vec<_> = Difference::between(&before, &book).items().collect();
            prop_assert_eq!(&items, &all);
            prop_assert!(are_named(&items, |message| difference.thing(message)));
            prop_assert!(are_in_order(&items));
            told(&mut tables, Scope::Delta, items);
            prop_assert!(tables.agree_with(&book), "{:?}", acts);
            let items = snapshot(&book);
            prop_assert!(are_named(&items, |message| book.thing(message)));
            prop_assert!(are_in_order(&items));
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
            for tunnel in book.tenants_after(0).flat_map(|tenant| &tenant.tunnels) {
                let name = Arc::clone(&tunnel.name);
                let known = tunnel_ids.entry(tunnel.id).or_insert_with(|| Arc::clone(&name));
                prop_assert_eq!(&*known, &name);
                prop_assert_eq!(book.tunnel_named(&name).map(|(_, found)| found), Some(tunnel));
            }
            let earliest = book.rules_after(0).filter_map(|rule| rule.expires).min();
            prop_assert_eq!(book.expired(u64::MAX).next().and_then(|rule| rule.expires), earliest);
        }
    }
}

fn bare_tenant() -> Act {
    Act::Tenant { name: 0, prefixes: vec![1], tunnels: Vec::new(), rules: None }
}

#[test]
fn an_automatic_rule_goes_with_its_tenant_and_keeps_no_file_from_being_declared() {
    let mut book = Book::default();
    let file = book.file("edge.toml").unwrap();
    let origin = Origin::Declared(crate::model::Place { file, line: 3 });
    let Change::PutTenant(tenant) = change(&bare_tenant()) else { panic!() };
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

mod tenants;
