//! Tenants from commands and files to the dataplane and back: added, shown, their rules set, asked and refused, kept.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "daemon/scene.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod scene;

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use control::testing::{FakeDataplane, Filter};
use scene::{Daemon, Scene, wait_until};
use shm::message::{ALL_RULES, Event, ProbeStyle, TunnelState};

const DECLARED: &str = "[[dos.list]]\nname = \"bad\"\nkind = \"set\"\nprefixes = [\"198.51.100.0/24\"]\n\n\
    [[tenant]]\nname = \"declared\"\nprefixes = [\"192.0.2.128/25\"]\nrules = \"drop\"\n";

const RULES: &str = "policy drop\nip saddr @bad counter drop\n\
    ip daddr 203.0.113.100 tcp dport 20-21 counter accept comment \"ftp\"\n";

const FTP: &str = "ip saddr 192.0.2.7 ip daddr 203.0.113.100 tcp sport 40000 tcp dport 21";

const ADD: [&str; 9] = [
    "tenant",
    "add",
    "shop",
    "--prefix",
    "203.0.113.0/24,2001:db8:7::/48",
    "--tunnel",
    "fra,local=192.0.2.1,remote=198.18.0.9,key=7,inside-local=10.0.0.1,inside-remote=10.0.0.2",
    "--tunnel",
    "ams,local=192.0.2.1,remote=198.18.0.8,priority=1",
];

fn filter(dataplane: &FakeDataplane) -> Filter {
    dataplane.tables().filter
}

fn begun() -> (Scene, FakeDataplane, Daemon) {
    let scene = Scene::new();
    scene.write("tenants.toml", DECLARED);
    let dataplane = scene.dataplane();
    let daemon = scene.daemon();
    wait_until("the declared tenant", || filter(&dataplane).tenants.len() == 1);
    (scene, dataplane, daemon)
}

fn file(scene: &Scene, name: &str, text: &str) -> String {
    let path = scene.root.path().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The id of the tenant `shop`, and what the dataplane was told of its rules.
fn told(dataplane: &FakeDataplane) -> (u32, String) {
    let filter = filter(dataplane);
    let shop = "203.0.113.0/24".parse().unwrap();
    let is_shop = |tenant: &&shm::message::Tenant| tenant.prefixes.contains(&shop);
    let id = filter.tenants.values().find(is_shop).unwrap().id;
    let text = filter.texts.get(&id).cloned().unwrap_or_default();
    (id, String::from_utf8(text).unwrap())
}

#[test]
fn a_tenant_of_a_command_is_in_force_when_it_ends_and_survives_a_restart() {
    let (scene, dataplane, daemon) = begun();
    let rules = file(&scene, "shop.nft", RULES);
    scene.told(&[&ADD[..], &["--rules", &rules]].concat());
    let before = filter(&dataplane);
    let (id, text) = told(&dataplane);
    assert!(text.starts_with("policy drop\nip saddr @1 counter drop\n"), "{text}");
    let tunnels: Vec<_> = before
        .tunnels
        .values()
        .map(|one| (one.tenant, one.key, one.priority, one.weight))
        .collect();
    assert_eq!(tunnels, [(id, Some(7), 0, 1), (id, None, 1, 1)]);
    let probe = before.tunnels.values().next().unwrap().probe.unwrap();
    assert_eq!((probe.style, probe.interval), (ProbeStyle::Request, Duration::from_secs(1)));
    daemon.kill();
    let snapshots = dataplane.tables().snapshots;
    let _daemon = scene.daemon();
    wait_until("the snapshot", || dataplane.tables().snapshots > snapshots);
    let after = filter(&dataplane);
    assert_eq!((after.tenants, after.tunnels), (before.tenants, before.tunnels));
    assert_eq!(after.texts, before.texts);
    scene.told(&["tenant", "remove", "shop"]);
    assert_eq!((filter(&dataplane).tenants.len(), filter(&dataplane).tunnels.len()), (1, 0));
    let said = scene.refused(1, &["tenant", "show", "shop"]);
    let wanted = "tenant: there is no tenant shop; `millrace tenant list` shows what there is";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn what_the_dataplane_tells_of_tunnels_and_rules_is_shown() {
    let (scene, dataplane, _daemon) = begun();
    let rules = file(&scene, "shop.nft", RULES);
    scene.told(&[&ADD[..], &["--rules", &rules]].concat());
    let (tenant, _) = told(&dataplane);
    let tunnels: Vec<u32> = filter(&dataplane).tunnels.into_keys().collect();
    let list = scene.json(&["tunnel", "list"]);
    assert_eq!((list.len(), list[0]["state"].is_null()), (2, true));
    assert_eq!(list[0]["probe"]["interval_ms"], 1000);
    let (rtt, since) = (Duration::from_micros(1250), Duration::from_secs(1_700_000_000));
    let state = |id, state, rtt| Event::Tunnel { id, state, rtt, sent: 20, answered: 17, since };
    let count = |rule, packets, dropped| Event::TenantCount {
        tenant,
        rule,
        packets,
        octets: 60 * packets,
        dropped,
    };
    for event in [
        state(tunnels[0], TunnelState::Degraded, rtt),
        state(tunnels[1], TunnelState::Down, Duration::ZERO),
        Event::TunnelCount { id: tunnels[0], sent: [3, 1536], received: [5, 300] },
        count(0, 4, 4),
        count(1, 7, 0),
        count(ALL_RULES, 13, 6),
    ] {
        dataplane.tell(event);
    }
    wait_until("the counts", || {
        scene.json(&["tenant", "list"]).iter().any(|tenant| tenant["passed"] == 7)
    });
    let list = scene.json(&["tunnel", "list"]);
    let fra = list.iter().find(|tunnel| tunnel["name"] == "fra").unwrap();
    assert_eq!((&fra["state"], &fra["rtt_us"]), (&"degraded".into(), &1250.into()));
    assert_eq!((&fra["since"], &fra["tenant"]), (&1_700_000_000.into(), &"shop".into()));
    assert_eq!((&fra["probes_sent"], &fra["probes_answered"]), (&20.into(), &17.into()));
    assert_eq!((&fra["sent_octets"], &fra["received_packets"]), (&1536.into(), &5.into()));
    let table = scene.told(&["tunnel", "list"]);
    for cell in ["1.250 ms", "3 of 20", "3 (1.5 KiB)", "5 (300 B)", "down"] {
        assert!(table.contains(cell), "{cell} in {table}");
    }
    let listed = scene.json(&["tenant", "list"]);
    let shop = listed.iter().find(|tenant| tenant["name"] == "shop").unwrap();
    let numbers = ["prefixes", "tunnels", "tunnels_up", "rules", "passed", "dropped", "octets"];
    assert_eq!(numbers.map(|name| shop[name].as_u64().unwrap()), [2, 2, 1, 2, 7, 6, 780]);
    let shown = scene.told(&["rules", "show", "shop"]);
    let wanted = "policy drop\nip saddr @bad counter packets 4 bytes 240 drop\n\
        ip daddr 203.0.113.100 tcp dport 20-21 counter packets 7 bytes 420 accept comment \"ftp\"\n";
    assert_eq!(shown, wanted);
    let whole = scene.told(&["tenant", "show", "shop"]);
    for line in ["7 passed, 6 dropped", "2001:db8:7::/48", "degraded", "key 7", wanted] {
        assert!(whole.contains(line), "{line} in {whole}");
    }
    // What is shown can be set, and changes nothing.
    let again = file(&scene, "again.nft", &shown);
    let before = filter(&dataplane).texts;
    scene.told(&["rules", "set", "shop", &again]);
    assert_eq!(filter(&dataplane).texts, before);
}

#[test]
fn rules_are_set_from_files_and_standard_input_and_asked_before_they_are() {
    let (scene, dataplane, _daemon) = begun();
    scene.told(&ADD);
    assert_eq!(told(&dataplane).1, "");
    assert!(scene.told(&["tenant", "show", "shop"]).contains("no rules: everything is accepted"));
    let rules = file(&scene, "shop.nft", RULES);
    let test = scene.told(&["rules", "test", "shop", FTP, "--rules", &rules]);
    let wanted = "203.0.113.100 is in 203.0.113.0/24 of tenant shop\n\
        the rules are those of the file, which are not in force\n\
        RULE  ALL HOLDS  DOES NOT HOLD  THE PACKET HAS\n\
        \u{20}  1  no         ip saddr @bad  ip saddr 192.0.2.7\n\
        \u{20}  2  yes        -              -\n\
        rule 2 decides: accept (ip daddr 203.0.113.100 tcp dport 20-21 counter accept comment \"ftp\")\n";
    assert_eq!(test, wanted);
    assert_eq!(told(&dataplane).1, "");
    scene.told(&["rules", "set", "shop", &rules]);
    assert!(told(&dataplane).1.contains("tcp dport 20-21"));
    let from_bad = FTP.replace("192.0.2.7", "198.51.100.7");
    let test = scene.json(&["rules", "test", "shop", &from_bad]).remove(0);
    assert_eq!((&test["deciding"][0]["rule"], &test["in_force"]), (&1.into(), &true.into()));
    let mut set = Command::new(env!("CARGO_BIN_EXE_millrace"));
    set.arg("--socket").arg(scene.root.path().join("control.sock"));
    let set = set.args(["rules", "set", "shop", "-"]).stdin(Stdio::piped()).spawn();
    let mut set = set.unwrap();
    std::io::Write::write_all(&mut set.stdin.take().unwrap(), b"tcp dport 80 accept\n").unwrap();
    assert!(set.wait().unwrap().success());
    assert_eq!(told(&dataplane).1, "tcp dport 80 accept\n");
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence_and_changes_nothing() {
    let (scene, dataplane, _daemon) = begun();
    scene.told(&ADD);
    let before = filter(&dataplane);
    let wrong = file(&scene, "wrong.nft", "# first\ntcp dport 22 drop\ntcp dprot 23 drop\n");
    let lost = file(&scene, "lost.nft", "tcp dport 22 drop\nip saddr @lost drop\n");
    let add =
        |name, prefix, tunnel| vec!["tenant", "add", name, "--prefix", prefix, "--tunnel", tunnel];
    for (status, command, said) in [
        (1, vec!["rules", "set", "shop", &wrong], "wrong.nft:3:5: "),
        (1, vec!["rules", "set", "shop", &lost], "line 2: there is no set lost"),
        (1, vec!["rules", "set", "shop", "/gone"], "/gone: cannot be read"),
        (1, vec!["rules", "set", "gone", &wrong], "wrong.nft:3:5: "),
        (1, vec!["rules", "set", "declared", "/dev/null"], "tenant declared is declared in "),
        (1, vec!["rules", "set", "gone", "/dev/null"], "there is no tenant gone"),
        (1, vec!["rules", "show", "gone"], "there is no tenant gone"),
        (1, vec!["rules", "test", "shop", "tcp dport 22"], "the packet is not complete"),
        (1, vec!["rules", "test", "shop", FTP, "--rules", &lost], "line 2: there is no set lost"),
        (1, vec!["rules", "test", "shop", FTP, "--rules", &wrong], "wrong.nft:3:5: "),
        (1, vec!["tenant", "remove", "declared"], "tenant declared is declared in "),
        (1, vec!["tenant", "remove", "gone"], "there is no tenant gone"),
        (1, vec!["tenant", "add", "shop", "--prefix", "10.0.0.0/8"], "there is a tenant shop"),
        (1, vec!["tenant", "add", "x", "--prefix", "203.0.113.0/25"], "overlaps 203.0.113.0/24"),
        (1, vec!["tenant", "add", "x", "--prefix", "somebody"], "\"somebody\" is no IP address"),
        (1, vec!["tenant", "add", "x", "--prefix", "10.0.0.0/8", "--syn", "on"], "take off, "),
        (1, add("x", "10.0.0.0/8", "fra,local=192.0.2.1,remote=198.18.0.1"), "tenant shop has it"),
        (1, add("x", "10.0.0.0/8", "b,local=192.0.2.1,remote=10.0.0.1"), "would come back here"),
        (1, add("x", "10.0.0.0/8", "b,local=::1,remote=::2,dont-fragment=x"), "tunnel b: \"x\" is"),
        (1, add("x", "10.0.0.0/8", "b,local=192.0.2.2,remote=192.0.2.1"), "the dataplane refuses"),
        (2, add("x", "10.0.0.0/8", "b,local=192.0.2.1"), "needs remote=ADDRESS"),
        (2, vec!["tenant", "add", "x"], "--prefix"),
    ] {
        let refused = scene.refused(status, &command);
        assert!(refused.contains(said), "{command:?}: {refused}");
    }
    assert_eq!(filter(&dataplane), before);
}

#[test]
fn rules_of_megabytes_go_through_the_socket() {
    let (scene, dataplane, _daemon) = begun();
    scene.told(&ADD);
    let mut text = String::new();
    for number in 0..16_000_u32 {
        let [.., a, b] = number.to_be_bytes();
        let comment = "x".repeat(100);
        writeln!(text, "ip saddr 10.1.{a}.{b} tcp dport 22 drop comment \"{comment}\"").unwrap();
    }
    assert!(text.len() > 2 << 20);
    let rules = file(&scene, "long.nft", &text);
    scene.told(&["rules", "set", "shop", &rules]);
    assert_eq!(told(&dataplane).1, text);
    assert_eq!(scene.told(&["rules", "show", "shop"]), format!("policy accept\n{text}"));
    let asked = scene.told(&["rules", "test", "shop", FTP]);
    assert_eq!(asked.lines().count(), 16_003);
    assert!(asked.ends_with("\nthe policy decides: accept\n"));
}

#[test]
fn a_file_of_rules_that_changes_is_followed() {
    let (scene, dataplane, _daemon) = begun();
    scene.write("shop.nft", "tcp dport 22 drop\n");
    let shop = "[[tenant]]\nname = \"shop\"\nprefixes = [\"203.0.113.0/24\"]\n\
        rules_file = \"shop.nft\"\n\n[[tenant.tunnel]]\nname = \"fra\"\n\
        local = \"192.0.2.1\"\nremote = \"198.18.0.9\"\n";
    scene.write("shop.toml", shop);
    wait_until("the tenant", || filter(&dataplane).tenants.len() == 2);
    assert_eq!(told(&dataplane).1, "tcp dport 22 drop\n");
    let said = scene.told(&["check", scene.directory.to_str().unwrap()]);
    assert!(said.contains(" next hops, 1 rules, 2 tenants, 1 tunnels; 0 changes"), "{said}");
    scene.write("shop.nft", "tcp dport 23 drop\n");
    wait_until("the other rules", || told(&dataplane).1 == "tcp dport 23 drop\n");
}
