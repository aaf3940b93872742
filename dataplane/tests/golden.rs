//! Golden cases: what goes into a server and what comes out, octet by octet, in files that Wireshark opens.
//!
//! `golden/<case>/in.pcap` and `out.pcap` hold the frames, `case.toml` says what the case shows, the server's
//! configuration and seed, the queue of each frame, and the packets lost by name. The test replays `in.pcap` at
//! the times in it and compares. The server's seed fixes every key that it makes, so even sealed packets are
//! equal. `opened.pcap` is for the reader alone: the inner packets that the clients have found in them.
//!
//! `GOLDEN_WRITE=1 cargo test -p dataplane --test golden` plays the scenes of `golden/scenes.rs` and writes the
//! files anew. It takes whatever the server does for right: **a person has to look at the difference**
//! (`git diff` for case.toml, Wireshark for the rest) before it is committed.

#[cfg(test)]
#[path = "golden/case.rs"]
mod case;
#[cfg(test)]
#[path = "golden/pcap.rs"]
mod pcap;
#[cfg(test)]
#[path = "golden/scenes.rs"]
mod scenes;

use std::path::Path;
use std::process::Command;
use std::sync::Once;

use case::Case;

/// The cases on disk, once they are written if that was asked for.
fn names() -> Vec<String> {
    static WRITTEN: Once = Once::new();
    WRITTEN.call_once(|| {
        if std::env::var_os("GOLDEN_WRITE").is_some() {
            scenes::all().iter().for_each(Case::write);
        }
    });
    case::names()
}

#[test]
fn every_case_comes_out_as_it_is_written() {
    for name in names() {
        Case::read(&name).replay();
    }
}

#[test]
fn every_scene_has_its_files_and_every_file_its_scene() {
    let mut scenes: Vec<_> = scenes::all().into_iter().map(|case| case.name).collect();
    scenes.sort();
    assert_eq!(names(), scenes);
}

#[test]
fn tshark_finds_nothing_malformed_and_every_checksum_right() {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("tshark is not installed: what it thinks of the files is not known");
        return;
    }
    let cases: Vec<_> = names().iter().map(|name| Case::read(name)).collect();
    inspect("ethernet", pcap::ETHERNET, cases.iter().flat_map(Case::frames).collect());
    inspect("inner", pcap::RAW, cases.iter().flat_map(Case::opened).collect());
}

/// Lets tshark judge frames, and one with a broken checksum at the end, which it has to find.
#[cfg(test)]
fn inspect(name: &str, link: u32, mut frames: Vec<pcap::Frame>) {
    let (at, mut broken) =
        frames.iter().find(|(_, octets)| has_ipv4(link, octets)).unwrap().clone();
    let ttl = ipv4_at(link) + 8;
    broken[ttl] ^= 0x40;
    frames.push((at, broken));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("golden-{name}.pcap"));
    std::fs::write(&path, pcap::write(link, &frames)).unwrap();
    let wrong = "_ws.malformed || ip.checksum.status == 0 || udp.checksum.status == 0 \
                 || icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || _ws.expert.severity >= 0x800000";
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&path).args([
        "-o",
        "ip.check_checksum:TRUE",
        "-o",
        "udp.check_checksum:TRUE",
    ]);
    let output = tshark.args(["-T", "fields", "-e", "frame.number", "-Y", wrong]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found = String::from_utf8_lossy(&output.stdout);
    assert_eq!(found.trim(), frames.len().to_string(), "bad frames of {}", path.display());
}

const fn ipv4_at(link: u32) -> usize {
    if link == pcap::RAW { 0 } else { wire::ethernet::HEADER_LEN }
}

#[cfg(test)]
fn has_ipv4(link: u32, octets: &[u8]) -> bool {
    octets[ipv4_at(link)] == 0x45
}
