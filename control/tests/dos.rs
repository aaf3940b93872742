//! The filter from its files and commands to the dataplane and back: declared, added, refused, expired, detected, kept.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "daemon/scene.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod scene;

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use control::testing::{FakeDataplane, Filter};
use scene::{Scene, section, wait_until};
use shm::message::{Event, Heavy, Matter, Mode, Pattern, PublicKey, Reach, Rule};

const FILTER: &str = "[dos]\nbogon = \"enforce\"\n\n[dos.detect]\nmode = \"enforce\"\n\
    source_packets = 1000\ndestination_packets = 1000\npattern_packets = 1000\nhold = 3\n\n\
    [[dos.list]]\nname = \"bad\"\nkind = \"block\"\nfile = \"bad.txt\"\n\n\
    [[tenant]]\nname = \"customer\"\nprefixes = [\"203.0.113.0/24\"]\nmode = \"monitor\"\n";

fn filter(dataplane: &FakeDataplane) -> Filter {
    dataplane.tables().filter
}

fn rule(dataplane: &FakeDataplane, is_it: impl Fn(&Rule) -> bool) -> Rule {
    filter(dataplane).rules.values().find(|rule| is_it(rule)).unwrap().clone()
}

fn begun() -> (Scene, FakeDataplane, scene::Daemon) {
    let scene = Scene::new();
    scene.write("bad.txt", "198.51.100.0/24\n2001:db8:bad::/48\n");
    scene.write("dos.toml", FILTER);
    let dataplane = scene.dataplane();
    let daemon = scene.daemon();
    wait_until("the rules", || filter(&dataplane).rules.len() == 2);
    (scene, dataplane, daemon)
}

fn now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
}

/// A round of what is heavy.
fn sweep(dataplane: &FakeDataplane, round: u64, packets: u64, heavy: &[Heavy]) {
    for what in heavy {
        let (at, what) = (now(), *what);
        dataplane.tell(Event::Heavy { at, packets, octets: 64 * packets, dropped: 5, what });
    }
    dataplane.tell(Event::Swept { at: now(), round });
}

/// Rounds as often as the dataplane tells them, until there are so many rules; the number of the last round.
fn sweep_until(dataplane: &FakeDataplane, packets: u64, heavy: &[Heavy], rules: usize) -> u64 {
    let mut round = 0;
    loop {
        round += 1;
        assert!(round < 100, "{rules} rules did not come to be");
        sweep(dataplane, round, packets, heavy);
        let end = Instant::now() + Duration::from_millis(200);
        while Instant::now() < end {
            if filter(dataplane).rules.len() == rules {
                return round;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn source(text: &str) -> Heavy {
    Heavy::Source(text.parse::<IpAddr>().unwrap().into())
}

fn events(scene: &Scene) -> Vec<(String, String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let events = scene.json(&["dos", "events"]);
    events
        .iter()
        .map(|event| (text(&event["what"]), text(&event["rule"]), text(&event["by"])))
        .collect()
}

#[test]
fn what_files_declare_is_in_force_and_a_list_changes_by_what_differs() {
    let (scene, dataplane, _daemon) = begun();
    let told = filter(&dataplane);
    assert_eq!((told.listed(), told.tenants.len(), told.moved), (2, 1, (2, 0)));
    let snapshots = dataplane.tables().snapshots;
    scene.write("bad.txt", "198.51.100.0/24\n192.0.2.0/24 # new\n");
    wait_until("the change", || filter(&dataplane).moved == (3, 1));
    assert_eq!((filter(&dataplane).listed(), dataplane.tables().snapshots), (2, snapshots));
    // What is wrong is told with its place, and changes nothing.
    scene.write("bad.txt", "198.51.100.0/24\n192.0.2.0\nnonsense\n");
    wait_until("trouble", || !scene.status()["source_trouble"].is_null());
    let trouble = scene.status()["source_trouble"].as_str().unwrap().to_owned();
    assert!(trouble.contains("bad.txt:3: \"nonsense\" is no IP address"), "{trouble}");
    assert_eq!(filter(&dataplane).moved, (3, 1));
    let shown = scene.told(&["dos", "show"]);
    for line in [
        "bogon",
        "customer",
        "detection: enforce from 1000/s packets of a source",
        "drop.dos_blocked",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let diff = scene.root.path().join("next");
    fs::create_dir(&diff).unwrap();
    fs::write(diff.join("dos.toml"), "[[dos.signature]]\nname = \"x\"\nmatch = \"udp\"\n").unwrap();
    let diff = scene.told(&["diff", diff.to_str().unwrap()]);
    for line in ["+ rule x", "- rule bad", "- tenant customer", "1 rules, 0 tenants"] {
        assert!(diff.contains(line), "{line} in {diff}");
    }
}

#[test]
fn rules_of_commands_are_in_force_when_they_end_and_survive_a_restart() {
    let (scene, dataplane, daemon) = begun();
    scene.told(&["dos", "add", "list", "more", "--mode", "monitor", "192.0.2.7", "2001:db8::/32"]);
    scene.told(&["dos", "add", "prefix", "more", "192.0.2.9", "192.0.2.7"]);
    scene.told(&["dos", "remove", "more", "2001:db8::/32"]);
    let ntp = "udp and src port 123 and greater 400";
    scene.told(&["dos", "add", "signature", "ntp", ntp, "--reach", "customer"]);
    let limit = ["dos", "add", "limit", "syn", "--per", "source", "--class", "syn"];
    scene.told(&[&limit[..], &["--packets", "20", "--reach", "own", "--expires", "1h"]].concat());
    let told = filter(&dataplane);
    assert_eq!((told.rules.len(), told.listed()), (5, 4));
    let own = rule(&dataplane, |rule| rule.reach == Reach::Own);
    let left = own.expires.unwrap().as_secs().abs_diff(now().as_secs() + 3600);
    assert!(left < 120, "{left} s from an hour");
    let of_tenant = |rule: &Rule| matches!(rule.reach, Reach::Tenant(_));
    let signature = rule(&dataplane, of_tenant);
    assert!(matches!(&signature.matter, Matter::Signature(program) if program.len() > 4));
    dataplane.tell(Event::RuleCount {
        rule: signature.id,
        packets: 77,
        octets: 7000,
        dropped: 66,
        expired: false,
    });
    let shown = || scene.json(&["dos", "rules"]).into_iter().find(|rule| rule["name"] == "ntp");
    wait_until("the count", || shown().unwrap()["packets"] == 77);
    let shown = shown().unwrap();
    assert_eq!((&shown["dropped"], &shown["says"]), (&66.into(), &ntp.into()));
    assert!(scene.told(&["dos", "rules"]).contains("20 packets/s of syn per source (/32, /64)"));
    // Killed and begun again, the rules are what they were, under their ids.
    daemon.kill();
    scene.write("broken.toml", "nonsense");
    let snapshots = dataplane.tables().snapshots;
    let _daemon = scene.daemon();
    wait_until("the snapshot", || dataplane.tables().snapshots > snapshots);
    let (rules, lists) = (told.rules, told.lists);
    let after = filter(&dataplane);
    assert_eq!((after.rules, after.lists, after.tenants), (rules, lists, told.tenants));
    scene.told(&["dos", "remove", "ntp"]);
    scene.told(&["dos", "add", "list", "other", "192.0.2.99"]);
    assert!(filter(&dataplane).rules.values().all(|rule| rule.id != signature.id));
    let last = filter(&dataplane).rules.last_key_value().unwrap().1.id;
    assert!(last > own.id, "{last}");
    let said = events(&scene);
    for event in [
        ("made", "ntp", "command line"),
        ("changed", "more", "command line"),
        ("removed", "ntp", "command line"),
    ] {
        let event = (event.0.to_owned(), event.1.to_owned(), event.2.to_owned());
        assert!(said.contains(&event), "{event:?} in {said:?}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence_and_changes_nothing() {
    let (scene, dataplane, _daemon) = begun();
    scene.told(&["dos", "add", "list", "mine", "192.0.2.7"]);
    let before = filter(&dataplane);
    let file = scene.root.path().join("list.txt");
    fs::write(&file, "192.0.2.0/24\n192.0.2.1/24\n").unwrap();
    let file = file.to_str().unwrap();
    for (command, said) in [
        (vec!["add", "list", "bad", "192.0.2.1"], "there is a rule bad already"),
        (vec!["add", "list", "flags", "192.0.2.1"], "flags is the name of a built-in check"),
        (vec!["add", "list", "auto-x", "192.0.2.1"], "names of automatic rules begin with auto-"),
        (vec!["add", "list", "x", "somebody"], "\"somebody\" is no IP address"),
        (vec!["add", "list", "x", "--file", file], "list.txt:2: 192.0.2.1/24 has bits behind"),
        (vec!["add", "list", "x", "--file", "/gone"], "/gone: cannot be read"),
        (vec!["add", "list", "x", "--kind", "deny", "1.1.1.1"], "take block, allow or set"),
        (vec!["add", "list", "x", "--kind", "allow", "198.51.100.0/24"], "says the opposite"),
        (vec!["add", "signature", "x", "udp and and"], "match: "),
        (vec!["add", "signature", "x", "udp", "--mode", "on"], "take off, monitor or enforce"),
        (vec!["add", "signature", "x", "udp", "--reach", "who"], "there is no tenant who"),
        (vec!["add", "limit", "x", "--per", "host", "--packets", "1"], "take source, destination"),
        (vec!["add", "limit", "x", "--per", "whole", "--packets", "0"], "0 is beyond 1 to"),
        (
            vec!["add", "limit", "x", "--per", "whole", "--packets", "9", "--v4-len", "24"],
            "v4_len and v6_len have no meaning",
        ),
        (vec!["add", "prefix", "bad", "192.0.2.1"], "list bad is declared in"),
        (vec!["add", "prefix", "gone", "192.0.2.1"], "there is no rule gone"),
        (vec!["add", "prefix", "bogon", "192.0.2.1"], "is declared in"),
        (vec!["remove", "bad"], "rule bad is declared in"),
        (vec!["remove", "gone"], "there is no rule gone; `millrace dos rules` shows"),
        (vec!["remove", "mine", "192.0.2.8"], "192.0.2.8/32 is not in mine"),
    ] {
        let refused = scene.refused(1, &[vec!["dos"], command.clone()].concat());
        assert!(refused.contains(said), "{command:?}: {refused}");
    }
    dataplane.refuse(1);
    let said = scene.refused(1, &["dos", "add", "list", "x", "192.0.2.1"]);
    assert!(said.contains("the dataplane refuses"), "{said}");
    assert_eq!(filter(&dataplane), before);
}

#[test]
fn a_rule_whose_time_is_over_goes_from_the_book_and_the_log_says_so() {
    let (scene, dataplane, daemon) = begun();
    scene.told(&["dos", "add", "list", "brief", "--expires", "2s", "192.0.2.7"]);
    scene.told(&["dos", "add", "list", "long", "--expires", "2h", "192.0.2.7"]);
    let in_two_seconds = jiff::Timestamp::from_second(i64::try_from(now().as_secs() + 2).unwrap());
    let text = format!(
        "[[dos.signature]]\nname = \"declared\"\nmatch = \"udp\"\nexpires = {}\n",
        in_two_seconds.unwrap()
    );
    scene.write("more.toml", &text);
    wait_until("the declared rule", || filter(&dataplane).rules.len() == 5);
    wait_until("the end", || filter(&dataplane).rules.len() == 3);
    wait_until("the log", || {
        let said = events(&scene);
        ["brief", "declared"].iter().all(|name| {
            said.contains(&("expired".to_owned(), (*name).to_owned(), "control".to_owned()))
        })
    });
    // Read again, the file still says it, and it is over.
    scene.told(&["apply", scene.directory.to_str().unwrap()]);
    assert_eq!(filter(&dataplane).rules.len(), 3);
    let said = events(&scene);
    assert!(!said.iter().any(|(what, ..)| what == "removed"), "{said:?}");
    daemon.kill();
    let _daemon = scene.daemon();
    assert_eq!(events(&scene)[..said.len()], said);
}

#[test]
fn an_offender_is_a_rule_within_a_second_and_free_again_when_it_ends() {
    let (scene, dataplane, daemon) = begun();
    let tenant = filter(&dataplane).tenants.values().next().unwrap().id;
    let address = "203.0.113.9".parse().unwrap();
    let pattern = Pattern {
        tenant: Some(tenant),
        destination: address,
        protocol: 17,
        source_port: Some(53),
        destination_port: None,
        len: Some(512),
        tcp_flags: None,
    };
    let heavy = [
        source("198.18.0.7"),
        Heavy::Destination { address, tenant: Some(tenant) },
        Heavy::Pattern(pattern),
    ];
    let began = Instant::now();
    let mut round = sweep_until(&dataplane, 5000, &heavy, 5);
    let took = began.elapsed();
    println!("from the first round to the rules in force: {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let blocked: ipnet::IpNet = "198.18.0.7/32".parse().unwrap();
    let told = filter(&dataplane);
    let (list, _) = told.lists.iter().find(|(_, list)| list.contains(&blocked)).unwrap();
    let (mode, expires) = (told.rules[list].mode, told.rules[list].expires.unwrap());
    assert_eq!(mode, Mode::Enforce);
    assert!(expires.abs_diff(now() + Duration::from_secs(3)) < Duration::from_secs(2));
    let top = scene.told(&["dos", "top"]);
    for line in ["198.18.0.7", "customer", "dst host 203.0.113.9 and udp and src port 53"] {
        assert!(top.contains(line), "{line} in {top}");
    }
    // Below the rate, and still half of it, it is prolonged; then it is forgotten.
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        round += 1;
        sweep(&dataplane, round, 600, &heavy[..1]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(filter(&dataplane).rules.len(), 3, "{:?}", events(&scene));
    wait_until("the end", || filter(&dataplane).rules.len() == 2);
    wait_until("the log", || {
        events(&scene).iter().any(|(what, rule, _)| {
            (what.as_str(), rule.as_str()) == ("expired", "auto-source-198.18.0.7")
        })
    });
    let said = events(&scene);
    let of_source: Vec<&str> = said
        .iter()
        .filter(|(_, rule, _)| rule == "auto-source-198.18.0.7")
        .map(|(what, ..)| what.as_str())
        .collect();
    assert_eq!((of_source[0], *of_source.last().unwrap()), ("made", "expired"));
    assert!(of_source[1..of_source.len() - 1].iter().all(|what| *what == "prolonged"));
    let log = scene.told(&["dos", "events"]);
    let line = log.lines().find(|line| line.contains("auto-destination-customer")).unwrap();
    assert!(line.contains("5000") && line.contains("not enforced, for tenant customer"), "{line}");
    daemon.kill();
    let _daemon = scene.daemon();
    assert_eq!(events(&scene), said);
}

#[test]
fn a_source_from_which_a_client_speaks_is_never_blocked() {
    let (scene, dataplane, _daemon) = begun();
    scene.write("peers.toml", &section(1));
    wait_until("the peer", || dataplane.tables().peers.len() == 1);
    let public_key: PublicKey = *dataplane.tables().peers.keys().next().unwrap();
    let endpoint = "198.18.0.9:4000".parse().unwrap();
    dataplane.tell(Event::Handshake { public_key, endpoint, at: now() });
    wait_until("the client", || {
        scene.told(&["peer", "list"]).contains("192.0.2.1:1000")
            || scene.told(&["peer", "list"]).contains("198.18.0.9:4000")
    });
    // The survey of that command has told another endpoint.
    dataplane.tell(Event::Handshake { public_key, endpoint, at: now() });
    let heavy = [source("198.18.0.9"), source("198.18.0.10")];
    let round = sweep_until(&dataplane, 5000, &heavy, 3);
    let spared = ("not_enforced".to_owned(), "auto-source-198.18.0.9".to_owned());
    wait_until("the log", || {
        events(&scene).iter().any(|(what, rule, _)| (what, rule) == (&spared.0, &spared.1))
    });
    assert_eq!(filter(&dataplane).rules.len(), 3);
    // An operator who allows the other one is heard at once.
    scene.told(&["dos", "add", "list", "friend", "--kind", "allow", "198.18.0.10"]);
    sweep(&dataplane, round + 1, 5000, &[source("198.18.0.10")]);
    wait_until("its removal", || filter(&dataplane).listed() == 3);
}

#[test]
fn nobody_is_judged_before_it_is_known_where_clients_are() {
    let (scene, dataplane, daemon) = begun();
    scene.write("peers.toml", &section(1));
    wait_until("the peer", || dataplane.tables().peers.len() == 1);
    // With all that it keeps on disk: a peer that the next one does not know would be told away at first.
    assert!(daemon.stop());
    // The next one knows nobody's address until a survey is answered: the client's is 192.0.2.1.
    dataplane.withhold_surveys(true);
    let _daemon = scene.daemon();
    let heavy = [source("192.0.2.1"), source("198.18.0.10")];
    let mut round = 0;
    let mut swept = || {
        round += 1;
        sweep(&dataplane, round, 5000, &heavy);
    };
    wait_until("some rounds", || {
        swept();
        scene.told(&["dos", "top"]).contains("198.18.0.10")
    });
    assert_eq!(filter(&dataplane).rules.len(), 2);
    dataplane.withhold_surveys(false);
    wait_until("the rule of the other one", || {
        swept();
        filter(&dataplane).rules.len() == 3
    });
    let of_client = || {
        let said = events(&scene).into_iter();
        let said = said.filter(|(_, rule, _)| rule == "auto-source-192.0.2.1");
        said.map(|(what, ..)| what).collect::<Vec<_>>()
    };
    wait_until("the log", || !of_client().is_empty());
    assert_eq!(of_client(), ["not_enforced"]);
}

#[test]
fn a_list_of_a_million_prefixes_is_in_force_in_seconds_and_changes_at_little_cost() {
    let scene = Scene::new();
    let mut text = String::new();
    for number in 0..1_000_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        writeln!(text, "{}.{a}.{b}.{c}", 20 + number % 7).unwrap();
    }
    scene.write("feed.txt", &text);
    scene.write(
        "dos.toml",
        "[[dos.list]]\nname = \"feed\"\nkind = \"block\"\nfile = \"feed.txt\"\n",
    );
    let dataplane = scene.dataplane();
    let began = Instant::now();
    let daemon = scene.daemon();
    wait_until("the list", || dataplane.wait_for(|tables| tables.filter.moved.0 == 1_000_000));
    println!("a million prefixes from their file into the dataplane: {:?}", began.elapsed());
    scene.told(&["dos", "rules"]);
    let (began, moved) = (Instant::now(), filter(&dataplane).moved);
    scene.write("feed.txt", &(text + "192.0.2.0/24\n"));
    assert!(dataplane.wait_for(|tables| tables.filter.moved.0 > 1_000_000));
    println!("one more: {:?}", began.elapsed());
    assert_eq!(filter(&dataplane).moved, (moved.0 + 1, moved.1));
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.id())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("control's memory: {peak}");
}
