//! Profiles: a whole one, and every mistake with its place and remedy.

use super::*;
use crate::client::{ClientIds, Families, Kind, Order, Ports, RoamTime, Sealing, Target};
use crate::link::Range;
use crate::pace::{Pattern, Rate};

const GOOD: &str = r#"seed = 9
[device]
name = "net_af_packet0,iface=eth0"
vlan = 7
[server]
public_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
endpoints = ["[2001:db8::1]:51820", "192.0.2.1:51820"]
gateways = ["192.0.2.254"]
[clients]
count = 50
addresses = ["192.0.2.10+20", "2001:db8::10+20"]
inner = ["10.7.1.1", "fd07:0:0:1::1"]
client_id = 4096
[roam]
kind = "port"
spread_secs = 1
every_secs = 60
[traffic]
kind = "echo"
to = "10.7.0.1"
sizes = [100, 1400]
rate = "2kpps"
pattern = { bursts = 8 }
[[attack]]
name = "dos_mac1"
rate = "1Mpps"
[run]
factor = 1.5
"#;

fn parse(text: &str, changes: &[&str]) -> Result<Profile, Error> {
    let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
    Profile::parse(text, Path::new("p.toml"), &changes)
}

#[test]
fn a_whole_profile_is_read() {
    let profile = parse(GOOD, &[]).unwrap();
    let plan = &profile.plan;
    assert_eq!((plan.seed, plan.clients, plan.vlan), (9, 50, Some(7)));
    let servers = ["192.0.2.1:51820", "[2001:db8::1]:51820"].map(|text| text.parse().unwrap());
    assert_eq!(plan.servers, servers, "in the order of the addresses");
    let hops = ["192.0.2.254", "2001:db8::1"].map(|text| text.parse::<std::net::IpAddr>().unwrap());
    assert_eq!(plan.hops, hops, "the gateway, or the server itself");
    assert_eq!(plan.client_ids, ClientIds::From(4096));
    assert!(matches!(plan.roam.unwrap().time, RoamTime::Waves { .. }));
    let traffic = plan.traffic.as_ref().unwrap();
    assert_eq!((traffic.rate, traffic.pattern), (Rate::Packets(3000.0), Pattern::Bursts(8)));
    assert_eq!(traffic.target, Target::Host("10.7.0.1".parse().unwrap()));
    assert_eq!(profile.attacks[0].attack, Attack::DosMac1);
    assert_eq!(profile.attacks[0].rate, Rate::Packets(1.5e6), "the factor is everybody's");
    assert_eq!(plan.hostile, None, "a stranger's attack needs no session");
}

#[test]
fn an_attack_from_within_brings_its_client_and_lasts_no_longer_than_a_session() {
    let inside = GOOD.replace("dos_mac1", "route_none");
    let profile = parse(&inside, &["hostile.local=10.7.0.1"]).unwrap();
    let hostile = profile.plan.hostile.unwrap();
    assert_eq!(hostile.local, Some([10, 7, 0, 1].into()));
    assert_eq!((profile.plan.clients, profile.plan.members()), (50, 51));
    let error = parse(&inside, &["run.secs=200"]).unwrap_err().to_string();
    assert!(error.contains("run.secs to 150"), "{error}");
    let captured = |changes: &[&str]| {
        let mut profile = parse(&GOOD.replace("dos_mac1", "replay"), changes).unwrap();
        let beside = profile.plan.hostile;
        profile.plan.clients = 0;
        profile.enlist().unwrap();
        (beside.is_some(), profile.plan.hostile.is_some())
    };
    assert_eq!(captured(&[]), (false, true), "others' messages serve as well, if there are others");
}

#[test]
fn a_profile_may_be_nothing_but_flags() {
    let changes = [
        "device.name=net_null0",
        "server.public_key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "server.endpoints=[\"192.0.2.1:51820\"]",
        "clients.count=1",
        "clients.addresses=[\"192.0.2.10\"]",
        "clients.inner=[\"10.7.1.1\"]",
    ]
    .map(str::to_owned);
    let profile = Profile::read(None, &changes).unwrap();
    assert_eq!((profile.plan.clients, profile.device.name.as_str()), (1, "net_null0"));
    let error = Profile::read(None, &changes[1..]).unwrap_err().to_string();
    assert!(error.starts_with("the command line: missing field `device`"), "{error}");
}

#[test]
fn changes_take_precedence_over_the_file() {
    let changes = ["traffic.rate=5kpps", "clients.count=3", "run.secs=0.5", "traffic.to=clients"];
    let profile = parse(GOOD, &changes).unwrap();
    let traffic = profile.plan.traffic.unwrap();
    assert_eq!((traffic.rate, traffic.kind), (Rate::Packets(7500.0), Kind::Echo));
    assert_eq!((profile.plan.clients, traffic.target), (3, Target::Clients));
    assert_eq!(profile.times.traffic, Duration::from_millis(500));
    for wrong in ["count", "=3", "seed.x=3"] {
        let error = parse(GOOD, &[wrong]).unwrap_err().to_string();
        assert!(error.contains("write --set"), "{error}");
    }
}

#[test]
fn every_mistake_names_its_line_and_what_to_write() {
    let cases = [
        ("count = 50", "count = 0", 10, "outside 1 to"),
        ("count = 50", "count = 5000000", 10, "give clients.addresses more"),
        ("count = 50", "number = 50", 10, "unknown field"),
        ("2001:db8::10+20", "2001:db8::10-20", 11, "no row such as"),
        ("2001:db8::10+20", "192.0.2.99", 11, "one of each family"),
        ("\"[2001:db8::1]:51820\", ", "", 7, "one endpoint for each family"),
        ("AAAA=", "AAA", 6, "wg pubkey"),
        ("4096", "16777200", 13, "begin lower"),
        ("every_secs = 60", "every_secs = 1", 14, "more than spread_secs"),
        ("spread_secs = 1", "spread_secs = 0", 14, "mean_secs"),
        ("vlan = 7", "vlan = 4095", 4, "1 to 4094"),
        ("2kpps", "2 kp", 22, "20kpps"),
        ("[100, 1400]", "[10]", 21, "52"),
        ("[100, 1400]", "[]", 21, "imix"),
        ("\"10.7.0.1\"", "\"fd07::1\"", 20, "traffic.family"),
        ("\"10.7.0.1\"", "\"server\"", 20, "\"clients\""),
        ("{ bursts = 8 }", "{ bursts = 0 }", 22, "send nothing"),
        ("dos_mac1", "dos_mac3", 25, "millrace-pktgen attacks"),
        ("1Mpps", "fast", 26, "20kpps"),
        ("factor = 1.5", "factor = -1", 28, "above 0"),
    ];
    for (good, bad, line, words) in cases {
        let text = GOOD.replacen(good, bad, 1);
        assert_ne!(text, GOOD, "{good}");
        let error = parse(&text, &[]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("p.toml:{line}: ")), "{bad}: {error}");
        assert!(error.contains(words), "{bad}: {error}");
    }
}

#[test]
fn families_race_and_clients_reconnect_when_the_file_says_so() {
    let race = ["clients.families=race", "reconnect.mean_secs=30"];
    let plan = parse(GOOD, &race).unwrap().plan;
    assert_eq!(plan.families, Families::Race(Duration::from_millis(250)));
    assert_eq!(plan.reconnect, Some(RoamTime::Random(Duration::from_secs(30))));
    let first = plan.server(1).unwrap();
    assert!(first.is_ipv6(), "{first}");
    let plan = parse(GOOD, &[race[0], "clients.race_delay_ms=0"]).unwrap().plan;
    assert_eq!(plan.families, Families::Race(Duration::ZERO));
    assert_eq!(parse(GOOD, &[]).unwrap().plan.families, Families::Alternate);
}

#[test]
fn segments_rows_and_pools_are_read() {
    let changes = [
        "traffic.kind=tcp",
        "traffic.to=198.51.100.0+256",
        "traffic.ports=1024..65535",
        "traffic.source_ports=2000",
        "traffic.order=random",
        "traffic.flags=syn,ack",
    ];
    let traffic = parse(GOOD, &changes).unwrap().plan.traffic.unwrap();
    let row = Range { first: "198.51.100.0".parse().unwrap(), count: 256 };
    assert_eq!((traffic.kind, traffic.target), (Kind::Tcp, Target::Hosts(row)));
    assert_eq!(traffic.spread.ports, Some(Ports { first: 1024, last: 65_535 }));
    assert_eq!(traffic.spread.source_ports, Some(Ports { first: 2000, last: 2000 }));
    assert_eq!((traffic.spread.order, traffic.flags), (Order::Random, Some(0x12)));
    assert!(traffic.is_measured_elsewhere);

    let text = GOOD.replace("[roam]\nkind = \"port\"\nspread_secs = 1\nevery_secs = 60\n", "");
    let traffic = parse(&text, &["traffic.aead=prepared"]).unwrap().plan.traffic.unwrap();
    assert_eq!(traffic.sealing, Sealing::Prepared(1 << 30));
}

#[test]
fn every_mistake_about_families_rows_and_pools_names_its_remedy() {
    let bare = GOOD.replace("[roam]\nkind = \"port\"\nspread_secs = 1\nevery_secs = 60\n", "");
    let cases: [(&[&str], &str); 15] = [
        (&["clients.race_delay_ms=100"], "clients.families = \"race\""),
        (&["clients.families=race", "clients.race_delay_ms=5000"], "outside 0 to 4999"),
        (
            &["clients.families=race", "clients.addresses=[\"192.0.2.10+20\"]"],
            "a row of each family",
        ),
        (&["reconnect.spread_secs=0"], "reconnect needs either mean_secs"),
        (&["reconnect.spread_secs=9", "reconnect.every_secs=8"], "more than spread_secs"),
        (&["traffic.ports=7"], "use \"one-way\" or \"tcp\""),
        (&["traffic.kind=tcp", "traffic.ports=9..8"], "1024..65535"),
        (&["traffic.kind=tcp", "traffic.ports=0..8"], "1024..65535"),
        (&["traffic.kind=tcp", "traffic.source_ports=1..65536"], "1024..65535"),
        (&["traffic.kind=tcp", "traffic.flags=X"], "write them like"),
        (&["traffic.flags=syn"], "traffic.kind = \"tcp\""),
        (&["traffic.to=198.51.100.0+0"], "198.51.100.0+256"),
        (&["traffic.pool_megabytes=1"], "traffic.aead = \"prepared\""),
        (&["traffic.aead=prepared", "run.secs=101"], "lower run.secs"),
        (&["traffic.aead=prepared", "traffic.to=clients"], "\"one-way\""),
    ];
    for (changes, words) in cases {
        let error = parse(&bare, changes).unwrap_err().to_string();
        assert!(error.contains(words), "{changes:?}: {error}");
    }
    let error = parse(GOOD, &["traffic.aead=prepared"]).unwrap_err().to_string();
    assert!(error.contains("leave [roam] and [reconnect] out"), "{error}");
}
