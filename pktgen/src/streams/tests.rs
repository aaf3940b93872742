//! Streams: whose a frame is that has come, and who answers for which address.

use std::path::Path;

use rand_chacha::rand_core::SeedableRng;

use super::*;

const PROFILE: &str = r#"
[device]
name = "nothing"
gateways = ["192.0.2.1"]
addresses = ["192.0.2.10+4"]
[[synth]]
name = "first"
source = "192.0.2.10"
destination = "203.0.113.1"
sizes = 100
rate = "1Mpps"
[[synth]]
name = "second"
source = "192.0.2.11"
destination = "203.0.113.1"
link = "02:00:00:00:00:07"
sizes = 100
rate = "1Mpps"
"#;
const OURS: Mac = [2, 0, 0, 0, 0, 1];
const THEIRS: Mac = [2, 0, 0, 0, 0, 9];

fn profile() -> Profile {
    Profile::parse(PROFILE, Path::new("test.toml"), &[]).unwrap()
}

fn streams(tag: u32) -> Streams {
    let mut streams = Streams::new(&profile(), OURS, tag);
    streams.assume(THEIRS);
    streams.begin(&profile(), Captures::default(), Instant(0));
    streams
}

fn sent(streams: &mut Streams, until: Instant) -> Vec<Vec<u8>> {
    let (mut rng, mut frames) = (ChaCha20Rng::seed_from_u64(1), Vec::new());
    streams.turn(until, &mut rng, &mut |frame| {
        frames.push(frame.to_vec());
        true
    });
    frames
}

#[test]
fn each_packet_comes_back_to_its_own_stream_and_those_of_other_runs_to_nobody() {
    let mut streams = streams(7);
    let frames = sent(&mut streams, Instant(9_500));
    assert_eq!(frames.len(), 20);
    assert_eq!((&frames[0][..6], &frames[10][..6]), (&THEIRS[..], &[2, 0, 0, 0, 0, 7][..]));
    let mut none = |_: &[u8]| panic!("nothing is to be said");
    for frame in &frames[..13] {
        assert!(streams.receive(frame, Instant(20_000), &mut none));
    }
    let returned = |streams: &Streams| {
        streams.barrages().iter().map(|barrage| barrage.tally().returned).collect::<Vec<_>>()
    };
    assert_eq!(returned(&streams), [10, 3]);
    let other = sent(&mut self::streams(8), Instant(500));
    assert!(!streams.receive(&other[0], Instant(20_000), &mut none), "another run's");
    let mut broken = frames[0].clone();
    broken[60] ^= 1;
    assert!(!streams.receive(&broken, Instant(20_000), &mut none), "a wrong checksum");
    assert_eq!((returned(&streams), streams.tally()), (vec![10, 3], Tally::default()));
    assert!(streams.barrages().iter().all(Barrage::adds_up));
}

#[test]
fn neighbours_are_asked_for_and_our_own_addresses_answered_once() {
    let mut streams = Streams::new(&profile(), OURS, 0);
    let questions = sent(&mut streams, Instant(0));
    assert_eq!(questions.len(), 1);
    assert_eq!(asked_for(&questions[0]), Some("192.0.2.1".parse().unwrap()));
    let ask = |target: &str| {
        let mut frame = vec![0; ethernet::HEADER_LEN + arp::LEN];
        ethernet::emit(&mut frame, ethernet::BROADCAST, THEIRS, None, arp::ETHERTYPE).unwrap();
        let message =
            arp::Message::request(THEIRS, "192.0.2.1".parse().unwrap(), target.parse().unwrap());
        arp::emit(&mut frame[ethernet::HEADER_LEN..], &message).unwrap();
        frame
    };
    let answers = |streams: &mut Streams, target: &str| {
        let mut count = 0;
        let is_taken = streams.receive(&ask(target), Instant(1), &mut |_| {
            count += 1;
            true
        });
        assert!(!is_taken, "the clients learn from it as well");
        count
    };
    assert_eq!(answers(&mut streams, "192.0.2.13"), 1);
    assert!(streams.is_resolved(), "a question says where its asker is");
    assert_eq!(answers(&mut streams, "192.0.2.14"), 0);
    streams.others = vec![Range::parse("192.0.2.12+9").unwrap()];
    assert_eq!(answers(&mut streams, "192.0.2.13"), 0, "the clients' own");
    assert_eq!(streams.tally().neighbour, 2);
}

#[test]
fn a_capture_that_is_not_sent_as_it_was_is_named() {
    let mut writer = crate::pcap::Writer::new(Vec::new()).unwrap();
    writer.write(0, &[1; 60]).unwrap();
    writer.write(1, &[1; 9000]).unwrap();
    let file = writer.finish().unwrap();
    let captures = Captures(vec![Capture::read(&file[..], FRAME_LEN_MAX - 4).unwrap()]);
    let text = format!("{PROFILE}[[replay]]\nfile = \"a.pcap\"\n");
    let profile = Profile::parse(&text, Path::new("test.toml"), &[]).unwrap();
    let remarks = captures.remarks(&profile);
    assert_eq!(remarks.len(), 1);
    assert!(remarks[0].starts_with("a.pcap: 1 frames are empty or longer"), "{remarks:?}");
}
