//! Rehearsals: what they show is what a run would send.

use std::path::Path;

use super::*;

const PROFILE: &str = r#"
[device]
name = "nothing"
vlan = 7
gateways = ["192.0.2.1"]
[server]
public_key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
endpoints = ["192.0.2.1:51820"]
[clients]
count = 5
addresses = ["192.0.2.10+20"]
inner = ["10.7.1.1"]
[traffic]
kind = "ping"
to = "10.7.0.1"
sizes = 100
rate = "10pps"
[[attack]]
name = "dos_mac1"
rate = "1kpps"
[[attack]]
name = "wireguard_tag"
rate = "1kpps"
[[synth]]
name = "questions"
source = "198.51.100.1+9"
destination = "203.0.113.1"
destination_port = 53
sizes = 60
rate = "100pps"
"#;

fn parts() -> Vec<Part> {
    let profile = Profile::parse(PROFILE, Path::new("test.toml"), &[]).unwrap();
    rehearse(&profile, Captures::default(), 4, Duration::from_secs(1))
}

#[test]
fn every_source_shows_its_first_packets() {
    let parts = parts();
    let counts: Vec<_> = parts.iter().map(|part| part.shown.len()).collect();
    assert_eq!(counts, [4, 4, 0, 4, 4], "{parts:#?}");
    let text: Vec<_> = parts.iter().map(|part| part.lines().join("\n")).collect();
    assert!(
        text[0].contains("ARP who has 192.0.2.1?") && text[0].contains("VLAN 7"),
        "{}",
        text[0]
    );
    assert!(text[0].contains("WireGuard initiation, sender 0x"), "{}", text[0]);
    assert!(text[1].contains("before they are sealed"), "{}", text[1]);
    assert!(text[1].contains("0.100000 s  IPv4 10.7.1.2 > 10.7.0.1"), "{}", text[1]);
    assert!(!text[1].contains("Ethernet"), "{}", text[1]);
    assert!(text[2].contains("wireguard_tag needs"), "{}", text[2]);
    assert!(
        text[3].starts_with("synth questions") && text[3].contains("0.030000 s"),
        "{}",
        text[3]
    );
    assert!(text[3].contains("IPv4 198.51.100.4 > 203.0.113.1"), "{}", text[3]);
    assert!(
        text[4].contains("0.003000 s") && text[4].contains("WireGuard initiation"),
        "{}",
        text[4]
    );
}

#[test]
fn the_same_profile_shows_the_same_packets() {
    let frames = || parts().into_iter().flat_map(|part| part.shown).collect::<Vec<_>>();
    assert_eq!(frames(), frames());
}
