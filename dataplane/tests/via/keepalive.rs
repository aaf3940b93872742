//! Case 26: an exit keeps the origin's connection alive, or finds that there is none.

use std::time::Duration;

use dataplane::testing::packets::Ip;
use dataplane::testing::rules::STRANGER;
use dataplane::testing::scene::Scene;
use dataplane::testing::site::{CENTRE_V4, CONNECT_PORT, SERVER_V4};
use wire::tcp::{self, Flags};

use super::{Segment, segments_out, stage};

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const SECOND: Duration = Duration::from_secs(1);

/// Numbers of the two ends.
const NEAR: u32 = 1000;
const FAR: u32 = 5000;

/// A connection of another data centre's to an origin, both of which have said nothing since; the SYN to the origin and the answer
/// to the data centre.
fn spliced(scene: &mut Scene, options: &[u8]) -> (Segment, Segment) {
    let request = format!(
        "CONNECT {STRANGER}:80 HTTP/1.1\r\nHost: {STRANGER}:80\r\nExit-Tcp-Keepalive-Duration: 15\r\n\r\n"
    );
    let fields = |sequence_number, acknowledgment_number, flags| tcp::Fields {
        source_port: 40_000,
        destination_port: CONNECT_PORT,
        sequence_number,
        acknowledgment_number,
        flags,
        window: 1000,
    };
    let ip = Ip::new(CENTRE_V4, SERVER_V4);
    scene.arrive(&ip.tcp(&fields(NEAR, 0, Flags::SYN), options, request.as_bytes()));
    let dial = only(segments_out(scene));
    assert_eq!(dial.to, (STRANGER.into(), 80));
    scene.arrive(&connected(&dial, options));
    let opened = segments_out(scene);
    let to_near = opened.into_iter().find(|segment| segment.to.1 == 40_000).unwrap();
    let acknowledged = to_near.sequence.wrapping_add(1 + to_near.len);
    let start = NEAR + 1 + u32::try_from(request.len()).unwrap();
    scene.arrive(&ip.tcp(&fields(start, acknowledged, Flags::ACK), options, &[]));
    scene.wait(2 * SECOND);
    scene.strays();
    (dial, to_near)
}

/// The origin's answer to a SYN.
fn connected(dial: &Segment, options: &[u8]) -> Vec<u8> {
    let fields = tcp::Fields {
        source_port: dial.to.1,
        destination_port: dial.from.1,
        sequence_number: FAR,
        acknowledgment_number: dial.sequence.wrapping_add(1),
        flags: SYN_ACK,
        window: 1000,
    };
    Ip::new(dial.to.0, dial.from.0).tcp(&fields, options, &[])
}

fn only(mut segments: Vec<Segment>) -> Segment {
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments.remove(0)
}

/// The probes that an origin gets within so many seconds; each is answered if it lives.
fn probes(scene: &mut Scene, seconds: u32, lives: bool) -> Vec<Segment> {
    let mut probes = Vec::new();
    for _ in 0..seconds {
        scene.wait(SECOND);
        for probe in segments_out(scene) {
            if probe.to == (STRANGER.into(), 80) && lives {
                let fields = tcp::Fields {
                    source_port: 80,
                    destination_port: probe.from.1,
                    sequence_number: FAR + 1,
                    acknowledgment_number: probe.sequence.wrapping_add(1),
                    flags: Flags::ACK,
                    window: 1000,
                };
                scene.arrive(&Ip::new(STRANGER, probe.from.0).tcp(&fields, &[], &[]));
                scene.strays();
            }
            probes.push(probe);
        }
    }
    probes
}

#[test]
fn an_origin_that_answers_is_asked_once_in_each_silence() {
    let mut scene = stage();
    let (dial, _) = spliced(&mut scene, &[]);
    let asked = probes(&mut scene, 120, true);
    // The sweep comes by every four seconds.
    assert!((6..=8).contains(&asked.len()), "{asked:?}");
    for probe in &asked {
        assert_eq!((probe.to, probe.flags), ((STRANGER.into(), 80), Flags::ACK));
        assert_eq!((probe.sequence, probe.len), (dial.sequence, 0), "one before the next");
    }
    let totals = scene.server.totals();
    assert_eq!((totals.origins_probed, totals.origins_gone), (asked.len() as u64, 0));
    assert_eq!(totals.unaccounted(), 0);
}

#[test]
fn an_origin_that_does_not_answer_is_gone_and_both_ends_hear_of_it() {
    let mut scene = stage();
    let (dial, to_near) = spliced(&mut scene, &[]);
    // It has answered before: each probe counts for itself.
    assert_eq!(probes(&mut scene, 40, true).len(), 2);
    let sent = probes(&mut scene, 100, false);
    let (resets, asked): (Vec<_>, Vec<_>) =
        sent.iter().partition(|segment| segment.flags.has(Flags::RST));
    assert_eq!((asked.len(), resets.len()), (3, 2), "{sent:?}");
    let to = |end: std::net::Ipv4Addr| resets.iter().find(|reset| reset.to.0 == end).unwrap();
    assert_eq!(to(STRANGER).sequence, dial.sequence + 1, "what it expects");
    assert_eq!(to(CENTRE_V4).sequence, to_near.sequence.wrapping_add(1 + to_near.len));
    let totals = scene.server.totals();
    assert_eq!((totals.origins_gone, totals.flows), (1, 0));
}

/// An old timestamp in a segment without payload is dropped by some, and never answered.
#[test]
fn with_timestamps_a_probe_bears_an_octet_that_was_received_before() {
    let mut scene = stage();
    let (dial, _) = spliced(&mut scene, &[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0]);
    let asked = probes(&mut scene, 20, true);
    let [probe] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((probe.sequence, probe.len), (dial.sequence, 1));
    assert_eq!(probe.stamp, Some(9), "no newer one than its sender's");
}

#[test]
fn who_speaks_is_not_asked() {
    let mut scene = stage();
    let (dial, _) = spliced(&mut scene, &[]);
    for _ in 0..12 {
        scene.wait(5 * SECOND);
        let fields = tcp::Fields {
            source_port: 40_000,
            destination_port: CONNECT_PORT,
            sequence_number: dial.sequence,
            acknowledgment_number: 0,
            flags: Flags::ACK,
            window: 1000,
        };
        scene.arrive(&Ip::new(CENTRE_V4, SERVER_V4).tcp(&fields, &[], &[]));
    }
    assert_eq!(scene.server.totals().origins_probed, 0);
}
