//! Sections of streams: whole ones, and every mistake with its place and remedy.

use std::path::Path;

use super::*;
use crate::profile::Profile;

const GOOD: &str = r#"[device]
name = "net_af_packet0,iface=eth0"
vlan = 7
gateways = ["192.0.2.254"]
[[synth]]
protocol = "tcp"
flags = "syn,ack"
source = "192.0.2.10+20 random"
destination = "198.51.100.1"
source_port = "1024..65535"
destination_port = 80
sizes = [64, 1400]
dscp = 46
rate = "2kpps"
[[synth]]
name = "six"
source = "2001:db8::1"
destination = "2001:db8:1::1"
link = "02:00:00:00:00:01"
vlan = 0
sizes = "imix"
rate = "1Gbit/s"
[[replay]]
file = "a.pcap"
pace = 2.5
loops = 3
source = ["10.0.0.0+256 -> 192.0.2.0"]
destination_port = [53]
checksums = "fresh"
"#;

fn parse(text: &str) -> Result<Profile, Error> {
    Profile::parse(text, Path::new("dir/p.toml"), &[])
}

#[test]
fn whole_sections_are_read_without_clients_and_server() {
    let profile = parse(GOOD).unwrap();
    assert_eq!(profile.plan.clients, 0);
    let [four, six] = &profile.streams.synths[..] else { panic!("two") };
    assert_eq!((four.name.as_str(), six.name.as_str()), ("stream 1", "six"));
    assert_eq!(four.hop, Hop::Gateway("192.0.2.254".parse().unwrap()));
    assert_eq!(six.hop, Hop::Station([2, 0, 0, 0, 0, 1]));
    assert_eq!((four.plan.vlan, six.plan.vlan), (Some(7), None));
    assert_eq!(four.plan.protocol, Protocol::Tcp(Flags(Flags::SYN.0 | Flags::ACK.0)));
    assert_eq!((four.plan.source_port.count, four.plan.destination_port), (64_512, Ports::one(80)));
    let replay = &profile.streams.replays[0];
    assert_eq!((&*replay.file, replay.rounds), (Path::new("dir/a.pcap"), 3));
    assert_eq!((replay.pace, replay.rewrite.tag), (Pace::Recorded(2.5), Tag::Set(7)));
    assert_eq!(replay.hops, [Some(four.hop), None]);
    assert_eq!(profile.streams.gateways().len(), 1, "asked for once");
}

#[test]
fn every_mistake_names_its_line_and_what_to_write() {
    let cases = [
        ("\"tcp\"", "\"sctp\"", 6, "\"gre\""),
        ("syn,ack", "syn,ak", 7, "syn,ack"),
        ("+20 random", "-20", 8, "192.0.2.1+256"),
        ("\"198.51.100.1\"", "\"::1\"", 9, "family"),
        ("1024..65535", "1024-65535", 10, "1024..65535"),
        ("[64, 1400]", "[39, 1400]", 12, "40"),
        ("[64, 1400]", "\"mix\"", 12, "imix"),
        ("dscp = 46", "dscp = 64", 13, "0 to 63"),
        ("2kpps", "fast", 14, "20kpps"),
        ("02:00:00:00:00:01", "02:00", 19, "02:00:00:00:00:01"),
        ("link = \"02:00:00:00:00:01\"\n", "", 18, "synth.link"),
        ("vlan = 0", "vlan = 4095", 20, "0 (none) to 4094"),
        ("pace = 2.5", "pace = 0", 25, "above 0"),
        ("pace = 2.5", "pace = 2.5\nrate = \"1kpps\"", 26, "keep one"),
        ("-> 192.0.2.0", "-> ::1", 27, "10.0.0.0+256 -> 192.0.2.0"),
        ("[53]", "[\"a\"]", 28, "1000+10 -> 2000"),
    ];
    for (good, bad, line, words) in cases {
        let text = GOOD.replacen(good, bad, 1);
        assert_ne!(text, GOOD, "{good}");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("dir/p.toml:{line}: ")), "{bad}: {error}");
        assert!(error.contains(words), "{bad}: {error}");
    }
}

#[test]
fn sections_that_need_each_other_are_named() {
    let attack = "[[attack]]\nname = \"dos_mac1\"\nrate = \"1kpps\"\n";
    let server = "[server]\npublic_key = \"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"\nendpoints = [\"192.0.2.1:51820\"]\n";
    for (more, words) in [
        (attack.to_owned(), "[[attack]] without [server]"),
        (format!("{attack}{server}"), "set device.addresses"),
        (
            "[traffic]\nkind = \"ping\"\nto = \"10.7.0.1\"\nsizes = 99\nrate = \"1pps\"".to_owned(),
            "are of [clients]",
        ),
        (
            "[clients]\ncount = 1\naddresses = [\"192.0.2.9\"]\ninner = [\"10.7.1.1\"]".to_owned(),
            "[clients] without [server]",
        ),
    ] {
        let error = parse(&format!("{GOOD}{more}")).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let text =
        format!("{GOOD}{attack}{server}").replace("vlan = 7", "addresses = [\"192.0.2.10+4\"]");
    let plan = parse(&text).unwrap().plan;
    assert_eq!((plan.outer.len(), plan.hops.len()), (1, 1), "an attack without clients");
}
