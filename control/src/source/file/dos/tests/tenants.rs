//! Claims about tenants' tunnels, their rules and the sets that these name.

use super::*;
use crate::model::dos::{DontFragment, ProbeStyle};
use crate::model::{Change, Declaration, Tunnel};

const EDGE: &str = r#"[[dos.list]]
name = "bad"
kind = "set"
prefixes = ["198.51.100.0/24"]

[[tenant]]
name = "acme"
prefixes = ["203.0.113.0/25", "2001:db8:7::/48"]
rules = '''
# FTP and nothing else
ip saddr @bad drop
ip daddr 203.0.113.100 tcp dport 20-21 counter accept
policy drop
'''

[[tenant.tunnel]]
name = "acme-1"
local = "192.0.2.1"
remote = "198.51.100.7"
key = 4294967295
checksum = true
mtu = 1476
dont_fragment = "clear"
priority = 10
weight = 256
inside_local = "10.255.0.1"
inside_remote = "10.255.0.2"
interval_ms = 250

[[tenant.tunnel]]
name = "acme-2"
local = "2001:db8::1"
remote = "2001:db8:f::7"
probe = "reply"
inside_local = "fd00::1"
inside_remote = "fd00::2"

[[tenant]]
name = "other"
prefixes = ["203.0.113.128/25"]
rules_file = "other.nft"

[[tenant.tunnel]]
name = "other-1"
local = "192.0.2.1"
remote = "198.51.100.7"
key = 7
"#;

const OTHER: &str = "tcp dport 443 accept\npolicy drop\nip6 saddr @bad drop\n";

fn files(text: &str, rules: &str) -> Result<Declaration, String> {
    read(&[("a.toml", text), ("other.nft", rules)])
}

/// What the book says of it, from the name of the file on.
fn refused(text: &str, rules: &str) -> String {
    let declared = files(text, rules).unwrap();
    let refused = Book::default().declare(declared, &Limits::default()).unwrap_err().to_string();
    refused.rsplit_once('/').map_or_else(|| refused.clone(), |_| without_directory(&refused))
}

/// A text without the temporary directory.
fn without_directory(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.rfind('/') {
        Some(at) if word.contains(".toml") || word.contains(".nft") => {
            let open = if word.starts_with('(') { "(" } else { "" };
            format!("{open}{}", &word[at + 1..])
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn in_book() -> Book {
    let mut book = Book::default();
    book.declare(files(EDGE, OTHER).unwrap(), &Limits::default()).unwrap();
    book
}

#[test]
fn tenants_are_read_with_tunnels_and_rules() {
    let book = in_book();
    let acme = book.tenant_named("acme").unwrap();
    let [first, second] = &acme.tunnels[..] else { panic!() };
    let probe = first.probe.unwrap();
    assert_eq!((probe.style, probe.interval.as_millis()), (ProbeStyle::Request, 250));
    let address = |text: &str| text.parse().unwrap();
    let origin = |line| Origin::Declared(Place { file: 0, line });
    let bare = Tunnel::new("acme-1", address("192.0.2.1"), address("198.51.100.7"));
    let wanted = Tunnel {
        id: first.id,
        key: Some(u32::MAX),
        checksum: true,
        mtu: 1476,
        dont_fragment: DontFragment::Clear,
        priority: 10,
        weight: 256,
        probe: first.probe,
        origin: origin(17),
        ..bare
    };
    assert_eq!(*first, wanted);
    let probe = second.probe.unwrap();
    assert_eq!((probe.style, probe.interval.as_millis()), (ProbeStyle::Reply, 1000));
    assert_eq!((second.key, second.mtu, second.weight, second.priority), (None, 0, 1, 0));
    let firewall = acme.firewall.as_ref().unwrap();
    assert_eq!((firewall.ruleset().rules.len(), firewall.origin), (2, origin(10)));
    assert!(firewall.text().starts_with("# FTP"));
    let other = book.tenant_named("other").unwrap();
    assert_eq!(other.firewall.as_ref().unwrap().text(), OTHER);
    assert_eq!(other.tunnels[0].probe, None);
    let set = book.rule_named("bad").unwrap();
    assert_eq!(other.told().unwrap().text.matches(&format!("@{} ", set.id)).count(), 1);
    assert_eq!((book.counts().tunnels, book.declared().tunnels), (3, 3));
    assert_eq!(set.message(&book).unwrap().matter, shm::message::Matter::Set);
}

#[test]
fn rules_that_do_not_read_are_told_with_file_line_and_column() {
    for (from, to, said) in [
        ("dport 20-21", "dport 21-20", "a.toml:12:"),
        ("policy drop\n'''", "policy\n'''", "a.toml:13:"),
        ("rules = '''\n# FTP", "rules = '''tcp sport x accept\n# FTP", "a.toml:9:"),
    ] {
        let text = EDGE.replace(from, to);
        assert_ne!(text, EDGE, "{from}");
        let refused = files(&text, OTHER).unwrap_err();
        assert!(refused.starts_with(said) && refused.contains(": rules: "), "{to}: {refused}");
    }
    // The column is that of the file, also behind what stands before the rules.
    let one = "rules = \"tcp sport x accept\"\nrules_file = \"other.nft\"";
    let text = EDGE.replace("rules_file = \"other.nft\"", one.lines().next().unwrap());
    assert!(files(&text, OTHER).unwrap_err().starts_with("a.toml:41:20: rules: "));
    let text = EDGE.replace("rules_file = \"other.nft\"", one);
    let refused = files(&text, OTHER).unwrap_err();
    assert_eq!(refused, "a.toml:42: rules_file beside rules: keep one of the two");
    let refused = files(EDGE, "tcp dport 443 accept\n\ntcp dport nothing accept\n").unwrap_err();
    assert!(refused.starts_with("other.nft:3:11: "), "{refused}");
    let refused = files(&EDGE.replace("other.nft", "gone.nft"), OTHER).unwrap_err();
    assert!(refused.starts_with("a.toml:41: rules gone.nft: cannot be read"), "{refused}");
}

#[test]
fn what_is_wrong_with_a_tunnel_is_said_with_its_line() {
    for (from, to, said) in [
        ("key = 4294967295", "key = -1", "a.toml:20: key -1 is beyond 0 to 4294967295"),
        ("mtu = 1476", "mtu = 575", "a.toml:22: mtu 575 is beyond 576 to 9216"),
        ("mtu = 1476", "mtu = 99999", "a.toml:22: mtu 99999 is beyond 576 to 9216"),
        ("\"clear\"", "\"set\"", "a.toml:23: dont_fragment: \"set\" is none; take honour or clear"),
        ("priority = 10", "priority = 65536", "a.toml:24: priority 65536 is beyond 0 to 65535"),
        ("weight = 256", "weight = 0", "a.toml:25: weight 0 is beyond 1 to 256"),
        (
            "interval_ms = 250",
            "interval_ms = 99",
            "a.toml:28: interval_ms 99 is beyond 100 to 60000",
        ),
        ("\"reply\"", "\"ping\"", "a.toml:34: probe: \"ping\" is none; take request, reply or off"),
        (
            "inside_remote = \"fd00::2\"\n",
            "",
            "a.toml:34: a probe needs inside_local and inside_remote, the addresses of both",
        ),
        (
            "key = 7",
            "interval_ms = 500",
            "a.toml:47: interval_ms of no probe; give it inside_local",
        ),
        ("key = 7", "colour = 7", "a.toml:47: unknown field `colour`"),
        ("remote = \"198.51.100.7\"\nkey = 7", "remote = 7", "a.toml:46: "),
    ] {
        let text = EDGE.replace(from, to);
        assert_ne!(text, EDGE, "{from}");
        let refused = files(&text, OTHER).unwrap_err();
        assert!(refused.starts_with(said), "{to}: {refused}");
    }
}

#[test]
fn what_a_set_cannot_have_is_told() {
    for (field, said) in [
        ("mode = \"monitor\"", "mode has no meaning for a set, which drops nothing by itself"),
        ("reach = \"all\"", "reach has no meaning for a set, which drops nothing by itself"),
        ("expires = 2127-01-31T06:00:00Z", "expires has no meaning for a set, for rules name it"),
    ] {
        let text = EDGE.replace("kind = \"set\"\n", &format!("kind = \"set\"\n{field}\n"));
        let refused = files(&text, OTHER).unwrap_err();
        assert_eq!(refused, format!("a.toml:4: {said}; leave it out"));
    }
    let text = EDGE.replace("\"bad\"", "\"très\"");
    let said =
        "a.toml:2: name: rules name a set by letters, digits and the signs - _ . /; choose another";
    assert_eq!(refused(&text, OTHER), said);
}

/// Changes of the file, and what the book says of each.
fn all_are_refused(cases: &[(&str, &str, &str)]) {
    for (from, to, said) in cases {
        let text = EDGE.replace(from, to);
        assert_ne!(text, EDGE, "{from}");
        assert_eq!(refused(&text, OTHER), *said);
    }
}

#[test]
fn what_tenants_say_together_is_judged_with_both_names() {
    all_are_refused(&[
        (
            "\"203.0.113.128/25\"",
            "\"203.0.113.64/26\"",
            "a.toml:39: prefixes: 203.0.113.64/26 of tenant other overlaps 203.0.113.0/25 of tenant acme \
             (a.toml:7); each address has one owner",
        ),
        (
            "\"203.0.113.128/25\"",
            "\"203.0.112.0/23\"",
            "a.toml:7: prefixes: 203.0.113.0/25 of tenant acme overlaps 203.0.112.0/23 of tenant other \
             (a.toml:39); each address has one owner",
        ),
        (
            "key = 7",
            "key = 4294967295",
            "a.toml:44: key: tunnel other-1: has the same local and remote address and key as acme-1 of tenant \
             acme (a.toml:17), and nothing would tell their packets apart; give it another key",
        ),
        (
            "\"other-1\"",
            "\"acme-1\"",
            "a.toml:44: name: tunnel acme-1: tenant acme has it already (a.toml:17); choose another",
        ),
        (
            "\"acme-2\"",
            "\"acme-1\"",
            "a.toml:31: name: tunnel acme-1: tenant acme has it twice; choose another",
        ),
    ]);
}

#[test]
fn a_tunnel_that_carries_nothing_is_told_with_its_line_and_its_name() {
    all_are_refused(&[
        (
            "remote = \"198.51.100.7\"\nkey = 7",
            "remote = \"192.0.2.1\"",
            "a.toml:44: remote: tunnel other-1: 192.0.2.1 is the address of both ends; name the other end's",
        ),
        (
            "remote = \"198.51.100.7\"\nkey = 7",
            "remote = \"2001:db8::2\"",
            "a.toml:44: remote: tunnel other-1: 2001:db8::2 is of another family than 192.0.2.1; take two of \
             one family",
        ),
        (
            "remote = \"198.51.100.7\"\nkey = 7",
            "remote = \"224.0.0.1\"",
            "a.toml:44: remote: tunnel other-1: 224.0.0.1 is no address of one machine; mend it",
        ),
        (
            "remote = \"198.51.100.7\"\nkey = 7",
            "remote = \"203.0.113.7\"",
            "a.toml:44: remote: tunnel other-1: 203.0.113.7 is in 203.0.113.0/25 of tenant acme (a.toml:7): its \
             packets would come back here; name an address outside of it",
        ),
        (
            "mtu = 1476",
            "mtu = 1279",
            "a.toml:17: mtu: tunnel acme-1: 1279 is too little for the tenant's IPv6, which needs 1280; raise it",
        ),
        (
            "\"10.255.0.2\"",
            "\"fd00::2\"",
            "a.toml:17: inside_remote: tunnel acme-1: fd00::2 is of another family than 10.255.0.1; take two of \
             one family",
        ),
        (
            "\"acme-2\"",
            "\"acme-2345678901234567890123456789\"",
            "a.toml:31: name: tunnel acme-2345678901234567890123456789: a tunnel's name has up to 32 octets; \
             shorten it",
        ),
    ]);
}

#[test]
fn rules_that_name_no_set_or_pass_on_too_often_are_told_with_the_line_that_does() {
    all_are_refused(&[
        (
            "saddr @bad",
            "saddr @worse",
            "a.toml:11: rules: there is no set worse; declare a [[dos.list]] of that name and kind set",
        ),
        (
            "kind = \"set\"",
            "kind = \"block\"",
            "a.toml:11: rules: bad is a block (a.toml:2) and no set; name a [[dos.list]] of kind set",
        ),
    ]);
    let said = "other.nft:2: rules: there is no set none; declare a [[dos.list]] of that name and kind set";
    assert_eq!(refused(EDGE, "# @none\nip saddr @none drop\n"), said);
    let limits = "limit rate 5/second accept\n".repeat(65);
    let said =
        "other.nft:1: rules: 65 rules have a limit or no verdict, and 64 are taken; leave some out";
    assert_eq!(refused(EDGE, &limits), said);
}

#[test]
fn a_set_that_rules_name_cannot_go() {
    let mut book = in_book();
    let by = book.tenant_named("acme").unwrap().origin;
    let refused = book.apply(by, &[Change::RemoveRule("bad".into())], &Limits::default());
    assert_eq!(
        without_directory(&refused.unwrap_err().to_string()),
        "a.toml:10: the rules of tenant acme name set bad, which shall go; change the rules first"
    );
    assert_eq!(book.users_of("bad").count(), 2);
    // With the tenants it goes.
    book.declare(Declaration::default(), &Limits::default()).unwrap();
    assert_eq!((book.counts(), book.users_of("bad").count()), (Book::default().counts(), 0));
    assert_eq!(book.messages(), Book::default().messages());
}
