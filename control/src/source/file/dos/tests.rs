//! Claims about the sections of the filter.

use std::fmt::Write as _;
use std::time::Instant;

use super::*;
use crate::model::dos::{Check, Class, ListKind, Prefixes};
use crate::model::{Book, Limits, Origin, Place};
use crate::source::file::tests::read;

const ALL: &str = r#"[dos]
bogon = "enforce"
land = "off"

[dos.detect]
mode = "enforce"
source_packets = 100000
hold = 30

[[dos.list]]
name = "bad"
kind = "block"
prefixes = ["203.0.113.0/24", "198.51.100.7"]
file = "bad.txt"

[[dos.list]]
name = "partners"
kind = "allow"
mode = "monitor"
reach = "customer"
prefixes = ["192.0.2.0/24"]
expires = 2127-01-31T06:00:00Z

[[dos.signature]]
name = "ntp"
match = "udp and src port 123 and greater 400"

[[dos.limit]]
name = "syn"
reach = "own"
per = "source"
class = "syn"
packets = 20
burst = 40

[[dos.limit]]
name = "octets"
per = "destination"
octets = 1000000

[[tenant]]
name = "customer"
prefixes = ["203.0.113.0/25", "2001:db8:7::/48"]
syn = "cookie-reset"
syn_above = 500
flows = true
"#;

fn files(text: &str) -> Result<crate::model::Declaration, String> {
    read(&[
        ("a.toml", text),
        ("bad.txt", "# spammers\n\n198.51.100.9 # since May\n2001:db8::/32\n"),
    ])
}

#[test]
fn all_that_the_sections_say_is_read() {
    let declared = files(ALL).unwrap();
    let named = |name: &str| declared.rules.iter().find(|rule| &*rule.name == name).unwrap();
    assert_eq!(declared.rules.len(), 7);
    assert_eq!((named("bogon").mode, named("land").mode), (Mode::Enforce, Mode::Off));
    assert_eq!(named("bogon").matter, Matter::Check(Check::Bogon));
    let Matter::List(ListKind::Block, prefixes) = &named("bad").matter else { panic!() };
    let texts: Vec<String> = prefixes.as_slice().iter().map(ToString::to_string).collect();
    let wanted = ["198.51.100.7/32", "198.51.100.9/32", "203.0.113.0/24", "2001:db8::/32"];
    assert_eq!(texts, wanted);
    let partners = named("partners");
    assert_eq!((partners.mode, partners.reach.text()), (Mode::Monitor, "customer"));
    assert_eq!(partners.expires, Some(4_957_048_800));
    assert_eq!(partners.origin, Origin::Declared(Place { file: 0, line: 17 }));
    let Matter::Signature { program, .. } = &named("ntp").matter else { panic!() };
    assert!(!program.is_empty());
    let limit = |name: &str| match named(name).matter {
        Matter::Limit(limit) => limit,
        Matter::List(..) | Matter::Signature { .. } | Matter::Check(_) => panic!(),
    };
    let syn = limit("syn");
    assert_eq!((syn.per, syn.class), (Per::Source { v4_len: 32, v6_len: 64 }, Class::Syn));
    assert_eq!((syn.unit, syn.per_second, syn.burst), (Unit::Packets, 20, 40));
    let octets = limit("octets");
    assert_eq!(octets.per, Per::Destination { v4_len: 32, v6_len: 128 });
    assert_eq!((octets.class, octets.burst), (Class::Any, 1_000_000));
    let detect = declared.detect.unwrap();
    assert_eq!(
        (detect.mode, detect.source_packets, detect.hold),
        (Mode::Enforce, Some(100_000), 30)
    );
    let [tenant] = &declared.tenants[..] else { panic!() };
    assert_eq!((tenant.syn, tenant.syn_above), (crate::model::dos::SynGuard::CookieReset, 500));
    assert_eq!((tenant.flows, tenant.mode, tenant.prefixes.len()), (true, Mode::Enforce, 2));
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_what_to_do() {
    for (from, to, said) in [
        (
            "bogon = \"enforce\"",
            "bogon = \"on\"",
            "a.toml:2: bogon: \"on\" is none; take off, monitor or enforce",
        ),
        ("land =", "sea =", "a.toml:3: unknown field `sea`"),
        ("source_packets = 100000\n", "", "a.toml:5: [dos.detect] without a rate finds nothing"),
        ("source_packets = 100000", "source_packets = 0", "a.toml:7: source_packets is 0"),
        ("hold = 30", "hold = 1", "a.toml:8: hold 1 is beyond 2 to 86400"),
        (
            "kind = \"block\"",
            "kind = \"deny\"",
            "a.toml:12: kind: \"deny\" is none; take block, allow or set",
        ),
        (
            "\"198.51.100.7\"",
            "\"198.51.100.300\"",
            "a.toml:13: \"198.51.100.300\" is no IP address",
        ),
        ("\"bad.txt\"", "\"gone.txt\"", "a.toml:14: list gone.txt: cannot be read"),
        ("2127-01-31T06:00:00Z", "2127-01-31", "a.toml:22: expires is no time with its zone"),
        ("udp and src port 123", "udp and and", "a.toml:26: match: libpcap: "),
        ("per = \"source\"", "per = \"host\"", "a.toml:31: per: \"host\" is none"),
        ("class = \"syn\"", "class = \"sin\"", "a.toml:32: class: \"sin\" is none; take any, syn,"),
        ("packets = 20", "packets = -1", "a.toml:33: packets is -1, and 1 is the least"),
        ("packets = 20\n", "", "a.toml:28: a limit needs packets or octets"),
        ("packets = 20", "packets = 20\noctets = 1", "a.toml:34: octets beside packets"),
        ("burst = 40", "v4_len = 33", "a.toml:34: v4_len 33 is beyond 0 to 32"),
        (
            "per = \"source\"",
            "per = \"whole\"\nv6_len = 3",
            "a.toml:32: v4_len and v6_len have no meaning",
        ),
        (
            "\"2001:db8:7::/48\"",
            "\"2001:db8:7::/32\"",
            "a.toml:43: 2001:db8:7::/32 has bits behind",
        ),
        (
            "\"cookie-reset\"",
            "\"cookies\"",
            "a.toml:44: syn: \"cookies\" is none; take off, cookie-reset or",
        ),
        ("syn_above = 500", "syn_above = -5", "a.toml:45: syn_above -5 is beyond"),
    ] {
        let text = ALL.replace(from, to);
        assert_ne!(text, ALL, "{from}");
        let refused = files(&text).unwrap_err();
        assert!(refused.starts_with(said), "{to}: {refused}");
    }
    for (text, said) in [
        (
            "10.0.0.0/8\n10.0.0.1/8\n",
            "bad.txt:2: 10.0.0.1/8 has bits behind its prefix; write 10.0.0.0/8",
        ),
        ("# x\n\nsomebody\n", "bad.txt:3: \"somebody\" is no IP address"),
        ("224.0.0.0/4\n", "bad.txt:1: 224.0.0.0/4 is multicast"),
    ] {
        let refused = read(&[("a.toml", ALL), ("bad.txt", text)]).unwrap_err();
        assert!(refused.starts_with(said), "{text}: {refused}");
    }
    let twice = read(&[
        ("a.toml", "[dos.detect]\npattern_packets = 1\n"),
        ("b.toml", "[dos.detect]\npattern_packets = 1\n"),
    ]);
    assert!(
        twice.unwrap_err().starts_with("b.toml:1: a second [dos.detect]; the first is in a.toml:1")
    );
}

#[test]
fn what_several_sections_say_together_is_judged_with_its_line() {
    for (from, to, said) in [
        (
            "\"octets\"",
            "\"syn\"",
            "a.toml:37: name: rule syn is there already (a.toml:29); keep one",
        ),
        ("\"octets\"", "\"flags\"", "a.toml:37: name: flags is the name of a built-in check"),
        ("\"octets\"", "\"auto-x\"", "a.toml:37: name: names of automatic rules begin with auto-"),
        (
            "\"own\"",
            "\"somebody\"",
            "a.toml:29: reach: there is no tenant somebody; declare a [[tenant]]",
        ),
        ("burst = 40", "burst = 99999", "a.toml:29: burst: 99999 packets are beyond 1 to 12000"),
        (
            "[[tenant]]",
            "[[tenant]]\nname = \"other\"\nprefixes = [\"203.0.113.0/25\"]\n[[tenant]]",
            "a.toml:45: prefixes: 203.0.113.0/25 is that of tenant other (a.toml:42)",
        ),
        ("name = \"customer\"", "name = \"all\"", "a.toml:42: name: all has another meaning"),
    ] {
        let text = ALL.replace(from, to);
        assert_ne!(text, ALL, "{from}");
        let declared = files(&text).unwrap();
        let refused = Book::default().declare(declared, &Limits::default()).unwrap_err();
        let place = refused.to_string();
        let place =
            place.rsplit_once("/a.toml").map_or(place.as_str(), |(_, rest)| rest).to_owned();
        let wanted = said.rsplit_once("a.toml").map_or(said, |(_, rest)| rest);
        assert!(place.starts_with(wanted), "{to}: {refused}");
    }
    let allow = "[[dos.list]]\nname = \"x\"\nkind = \"allow\"\nprefixes = [\"198.51.100.7/32\"]\n";
    let declared = files(&format!("{ALL}\n{allow}")).unwrap();
    let refused = Book::default().declare(declared, &Limits::default()).unwrap_err().to_string();
    assert!(
        refused.contains("a.toml:11: prefixes: 198.51.100.7/32 is in allow list x too"),
        "{refused}"
    );
}

#[test]
fn a_rule_whose_time_is_over_is_none() {
    let declared = files(&ALL.replace("2127-", "2024-")).unwrap();
    assert!(!declared.rules.iter().any(|rule| &*rule.name == "partners"));
}

#[test]
fn a_list_of_a_million_prefixes_is_read_in_seconds_and_held_once() {
    let mut text = String::new();
    for number in 0..1_000_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        writeln!(text, "{}.{a}.{b}.{c}", 20 + number % 7).unwrap();
    }
    let toml = "[[dos.list]]\nname = \"feed\"\nkind = \"block\"\nfile = \"feed.txt\"\n";
    let began = Instant::now();
    let declared = read(&[("a.toml", toml), ("feed.txt", &text)]).unwrap();
    let mut book = Book::default();
    book.declare(declared.clone(), &Limits::default()).unwrap();
    println!("a million prefixes: {:?}", began.elapsed());
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    let held = |book: &Book| book.rule_named("feed").unwrap().prefixes().unwrap().clone();
    let before = held(&book);
    assert_eq!((before.len(), book.listed()), (1_000_000, 1_000_000));
    // Read again, it is the same in memory.
    let again = Prefixes::from(before.as_slice().to_vec());
    let mut other = declared;
    if let Matter::List(_, prefixes) = &mut other.rules[0].matter {
        *prefixes = again;
    }
    other.rules[0].mode = Mode::Monitor;
    book.declare(other, &Limits::default()).unwrap();
    assert!(std::ptr::eq(held(&book).as_slice(), before.as_slice()));
}

#[test]
fn a_small_rate_of_octets_has_a_burst_that_is_within_its_bounds() {
    for (octets, burst) in [(4, 2400), (6, 3600), (7, 4096), (5000, 5000)] {
        let text = ALL.replace("octets = 1000000", &format!("octets = {octets}"));
        let declaration = files(&text).unwrap();
        let limit = declaration.rules.iter().find(|rule| &*rule.name == "octets").unwrap();
        let Matter::Limit(limit) = limit.matter else { panic!() };
        assert_eq!((limit.per_second, limit.burst), (octets, burst));
        Book::default().declare(declaration, &Limits::default()).unwrap();
    }
    let declaration = files(&ALL.replace("octets = 1000000", "octets = 3")).unwrap();
    let refused = Book::default().declare(declaration, &Limits::default()).unwrap_err();
    let said = "octets: 3 are too few to fill a bucket of 2048 in ten minutes; give it 4 at least";
    assert!(refused.to_string().contains(said), "{refused}");
}

mod tenants;
