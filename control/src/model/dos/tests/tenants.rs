//! Claims about tenants' tunnels and rules: what a change sends, what it may not be, what is left out with what.

use shm::limits::{RULESETS_LEN_MAX, TUNNELS_MAX};

use super::*;

fn tenant_of(prefixes: Vec<u8>, tunnels: Vec<(u8, u8)>, rules: Option<u8>) -> Tenant {
    let act = Act::Tenant { name: 0, prefixes, tunnels, rules };
    let Change::PutTenant(tenant) = change(&act) else { panic!() };
    tenant
}

fn made(book: &mut Book, change: Change) -> Result<Vec<message::Item>, String> {
    let before = book.clone();
    let touched = book
        .apply(Origin::Cli, &[change], &Limits::default())
        .map_err(|refused| refused.to_string())?;
    Ok(Difference::of_touched(&before, book, &touched).items().collect())
}

#[test]
fn a_tenants_change_sends_only_what_has_changed() {
    let mut book = Book::default();
    let add = Change::AddTenant(tenant_of(vec![1], vec![(0, 0), (1, 1)], Some(8)));
    assert_eq!(made(&mut book, add.clone()).unwrap().len(), 1 + 2 + 2);
    let refused = made(&mut book, add).unwrap_err();
    assert_eq!(
        refused,
        "name: there is a tenant tenant0 already (made with `millrace`); choose another name"
    );
    let id = book.tenant_named("tenant0").unwrap().id;
    // One tunnel comes, one goes, and one stays as it is, with its id.
    let stays = book.tunnel_named("tunnel1").unwrap().1.id;
    let put = Change::PutTenant(tenant_of(vec![1], vec![(1, 1), (2, 2)], Some(8)));
    let [message::Item::TunnelRemove(_), message::Item::Tunnel(new)] =
        &made(&mut book, put).unwrap()[..]
    else {
        panic!()
    };
    assert_eq!((new.tenant, new.weight), (id, 3));
    assert_eq!(book.tunnel_named("tunnel1").unwrap().1.id, stays);
    // Words alone are nothing to the dataplane; other rules are, and none at all.
    let rules = |text: &str| Some(Firewall::read(text, Origin::Cli).unwrap());
    let set = |rules| Change::SetRules { tenant: name("tenant", 0), rules };
    let same = format!("# the same\n{}", firewall(8).text());
    assert_eq!(made(&mut book, set(rules(&same))), Ok(Vec::new()));
    assert_eq!(book.tenant(id).unwrap().firewall.as_ref().unwrap().text(), same);
    let text = message::Item::RulesetText { tenant: id, text: (*b"policy drop\n").into() };
    let wanted = vec![message::Item::Ruleset(id), text];
    assert_eq!(made(&mut book, set(rules("policy drop"))), Ok(wanted));
    assert_eq!(made(&mut book, set(None)), Ok(vec![message::Item::Ruleset(id)]));
    // What belongs to a tenant goes before it.
    let gone = made(&mut book, Change::RemoveTenant(name("tenant", 0))).unwrap();
    let [message::Item::TunnelRemove(_), message::Item::TunnelRemove(_), last] = &gone[..] else {
        panic!()
    };
    assert_eq!(*last, message::Item::TenantRemove(id));
}

#[test]
fn the_rules_of_a_tenant_that_a_file_declares_are_changed_there() {
    let mut book = Book::default();
    let file = book.file("edge.toml").unwrap();
    let origin = Origin::Declared(crate::model::Place { file, line: 7 });
    let tenant = Tenant { origin, ..tenant_of(vec![1], Vec::new(), None) };
    book.apply(origin, &[Change::PutTenant(tenant)], &Limits::default()).unwrap();
    let set = |number| Change::SetRules { tenant: name("tenant", number), rules: None };
    let said = "tenant tenant0 is declared in edge.toml:7; change it there";
    assert_eq!(made(&mut book, set(0)).unwrap_err(), said);
    let said = "there is no tenant tenant1; `millrace tenant list` shows what there is";
    assert_eq!(made(&mut book, set(1)).unwrap_err(), format!("tenant: {said}"));
    let gone = Change::RemoveTenant(name("tenant", 1));
    assert_eq!(made(&mut book, gone).unwrap_err(), format!("name: {said}"));
}

#[test]
fn rules_by_command_are_refused_with_the_line_that_names_no_set() {
    let mut book = Book::default();
    let rules = Firewall::read("policy drop\n\nip saddr @none accept\n", Origin::Cli).unwrap();
    let tenant = Tenant { firewall: Some(rules), ..tenant_of(vec![1], Vec::new(), None) };
    let refused = made(&mut book, Change::AddTenant(tenant)).unwrap_err();
    let said =
        "rules: line 3: there is no set none; declare a [[dos.list]] of that name and kind set";
    assert_eq!(refused, said);
}

#[test]
fn rules_are_told_again_when_a_set_of_theirs_becomes_another() {
    let set = |kind| change(&Act::Rule { name: 0, kind, mode: 2, reach: 0, prefixes: vec![1] });
    let mut book = Book::default();
    made(&mut book, set(5)).unwrap();
    made(&mut book, Change::AddTenant(tenant_of(vec![1], Vec::new(), Some(1)))).unwrap();
    let id = book.tenant_named("tenant0").unwrap().id;
    let told = |book: &Book| book.tenant(id).unwrap().told().unwrap().text;
    let first = told(&book);
    assert!(first.contains(&format!("@{} ", book.rule_named("rule0").unwrap().id)), "{first}");
    // More prefixes are nothing to the rules.
    let (list, add, remove) = (name("rule", 0), nets(&[2, 3]), Prefixes::default());
    let more = Change::ListPrefixes { list: Arc::clone(&list), add, remove };
    let items = made(&mut book, more).unwrap();
    assert!(matches!(&items[..], [message::Item::Listed { .. }]), "{items:?}");
    let refused = made(&mut book, set(0)).unwrap_err();
    assert_eq!(
        refused,
        "the rules of tenant tenant0 name set rule0, which shall go; change the rules first"
    );
    // Another set of the same name has another id.
    let before = book.clone();
    let changes = [Change::RemoveRule(list), set(5)];
    let touched = book.apply(Origin::Cli, &changes, &Limits::default()).unwrap();
    assert_ne!(told(&book), first);
    let items: Vec<_> = Difference::of_touched(&before, &book, &touched).items().collect();
    assert!(items.contains(&message::Item::Ruleset(id)), "{items:?}");
}

#[test]
fn a_tenant_whose_rules_or_sets_are_refused_is_left_out_and_does_not_lie_open() {
    let mut book = Book::default();
    let set = Act::Rule { name: 0, kind: 5, mode: 2, reach: 0, prefixes: vec![1] };
    made(&mut book, change(&set)).unwrap();
    let tenant = tenant_of(vec![1], vec![(0, 0), (1, 1)], Some(1));
    made(&mut book, Change::AddTenant(tenant)).unwrap();
    let tenant = Arc::clone(book.tenant_named("tenant0").unwrap());
    let (tunnel, rule) = (tenant.tunnels[0].id, book.rule_named("rule0").unwrap().id);
    let why: Arc<str> = "for the test".into();
    let without = |thing| {
        let mut aside = crate::model::Aside::default();
        aside.put(thing, Vec::new(), &why);
        let told = aside.without(&book);
        let (items, mut tables) = (snapshot(&told), Tables::default());
        assert_eq!(messages(&items), told.messages(), "{thing:?}");
        tables.apply(Transaction { id: 1, scope: Scope::Snapshot, count: 0, items });
        tables.filter
    };
    let filter = without(Thing::Tunnel(tunnel));
    assert_eq!((filter.tenants.len(), filter.tunnels.len(), filter.texts.len()), (1, 1, 1));
    for thing in [Thing::Ruleset(tenant.id), Thing::Rule(rule), Thing::Tenant(tenant.id)] {
        let filter = without(thing);
        let counts = (filter.tenants.len(), filter.tunnels.len(), filter.texts.len());
        assert_eq!(counts, (0, 0, 0), "{thing:?}");
    }
    // A change gives each another try.
    let mut aside = crate::model::Aside::default();
    aside.put(Thing::Ruleset(tenant.id), vec![Thing::Tunnel(tunnel)], &why);
    let mut next = book.clone();
    let put = Change::PutTenant(tenant_of(vec![2], vec![(0, 0), (1, 1)], Some(1)));
    let touched = next.apply(Origin::Cli, &[put], &Limits::default()).unwrap();
    let (aside, all) = aside.after(&book, &next, &touched);
    assert_eq!((aside.len(), all), (0, true));
}

#[test]
fn more_tunnels_than_the_dataplane_takes_are_refused() {
    let tunnel = |number: usize| {
        let [.., high, low] = number.to_be_bytes();
        Tunnel::new(&format!("t{number}"), [192, 0, 2, 9].into(), [198, 18, high, low].into())
    };
    let with = |count| {
        let tunnels = (0..count).map(tunnel).collect();
        Change::PutTenant(Tenant { tunnels, ..tenant_of(vec![1], Vec::new(), None) })
    };
    let mut book = Book::default();
    made(&mut book, with(TUNNELS_MAX)).unwrap();
    let refused = made(&mut book, with(TUNNELS_MAX + 1)).unwrap_err();
    assert_eq!(refused, "8193 tunnels, and 8192 are taken; remove some");
    assert_eq!(book.counts().tunnels, TUNNELS_MAX);
}

#[test]
fn more_octets_of_all_rules_than_the_dataplane_takes_are_refused() {
    let mut book = Book::default();
    let text = format!("drop comment \"{}\"\n", "x".repeat(128)).repeat(16_000);
    let firewall = Some(Firewall::read(&text, Origin::Cli).unwrap());
    let tenant = |number: usize, firewall: &Option<Firewall>| {
        let [.., number] = number.to_be_bytes();
        let prefix: IpNet = format!("10.0.{number}.0/24").parse().unwrap();
        let firewall = firewall.clone();
        Change::AddTenant(Tenant { firewall, ..Tenant::new(&name("many", number), [prefix]) })
    };
    made(&mut book, tenant(0, &firewall)).unwrap();
    // The book's own is printed already, which spares doing it for each.
    let printed = book.tenant_named("many0").unwrap().firewall.clone();
    let most = RULESETS_LEN_MAX / text.len();
    for number in 1..most {
        made(&mut book, tenant(number, &printed)).unwrap();
    }
    let refused = made(&mut book, tenant(most, &printed)).unwrap_err();
    let len = (most + 1) * text.len();
    let said = format!("the rules of all tenants have {len} octets, and 134217728 are taken");
    assert_eq!(refused, said + "; put addresses into sets");
    assert_eq!(book.counts().tenants, most);
}
