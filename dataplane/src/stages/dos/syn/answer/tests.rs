//! Claims about answers, each read by a parser that shares no code with what wrote them.

use std::net::IpAddr;
use std::process::Command;

use super::super::cookie::Offer;
use super::super::tests::{ends, packet, read};
use super::*;
use crate::frame::Note;
use crate::packet::Ip;

const TERMS: Terms = Terms { mss: 1380, window: 0xfeed, window_scale: 9 };

/// Every mix of options that a client may offer.
fn offers() -> impl Iterator<Item = Offer> {
    (0..8).map(|bits| Offer {
        mss: 1460,
        window_scale: (bits & 1 != 0).then_some(7),
        sack: bits & 2 != 0,
        timestamps: bits & 4 != 0,
    })
}

/// The options of a SYN with such an offer, as Linux orders them.
fn asked(offer: Offer) -> Vec<u8> {
    let mut options = vec![2, 4, 5, 180];
    if offer.timestamps {
        options.extend(if offer.sack { [4, 2] } else { [1, 1] });
        options.extend([8, 10, 0, 1, 2, 3, 0, 0, 0, 0]);
    } else if offer.sack {
        options.extend([1, 1, 4, 2]);
    }
    if offer.window_scale.is_some() {
        options.extend([1, 3, 3, 7]);
    }
    options
}

fn syn((client, server): (IpAddr, IpAddr), offer: Offer) -> Vec<u8> {
    packet((client, 4660), (server, 443), (Flags::SYN, 0xdead_beef, 0), &asked(offer))
}

fn syn_ack(offer: Offer) -> Answer {
    let kept =
        if offer.timestamps { offer } else { Offer { window_scale: None, sack: false, ..offer } };
    let cookie = Cookie { sequence_number: 0x1234_5678, timestamp: 0x0a0b_0c0d, offer: kept };
    Answer::SynAck { cookie, acknowledgment_number: 0xdead_bef0, echo: 0x0001_0203, terms: TERMS }
}

/// The answer to a packet, and what is noted of it.
fn answered(packet: &[u8], answer: &Answer) -> (Vec<u8>, Note) {
    // Padding behind the packet, as a short frame has it, and a link header before it.
    let mut buffer = [vec![0xee; 64], packet.to_vec(), vec![0xaa; 64]].concat();
    let mut note = Note::new(Entry::Wire(3));
    note.ip = Ip::NONE;
    let mut frame = Frame::new(&mut buffer, 64, packet.len() + 6, &mut note);
    write(&mut frame, &read(packet), answer).unwrap();
    let octets = frame.data().to_vec();
    assert!(buffer[..64].iter().all(|octet| *octet == 0xee), "the link header is left alone");
    (octets, note)
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    ends: (IpAddr, IpAddr),
    ports: (u16, u16),
    numbers: (u32, u32),
    flags: u8,
    window: u16,
    /// Kind and data of each option but fillers.
    options: Vec<(u8, Vec<u8>)>,
}

fn sum(octets: impl IntoIterator<Item = u8>) -> u16 {
    let octets: Vec<u8> = octets.into_iter().collect();
    let mut sum = 0_u32;
    for pair in octets.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// Reads an answer by the figures of RFC 791, RFC 8200 and RFC 9293, and holds every checksum and length against them.
fn parse(octets: &[u8]) -> Said {
    let u16_at = |at: usize| u16::from_be_bytes([octets[at], octets[at + 1]]);
    let (addresses, tcp, ends): (_, _, (IpAddr, IpAddr)) = if octets[0] >> 4 == 4 {
        assert_eq!(octets[0], 0x45);
        assert_eq!(octets[1], 0, "the ordinary class");
        assert_eq!(usize::from(u16_at(2)), octets.len());
        assert_eq!(octets[4..8], [0, 0, 0x40, 0], "no name, not to be fragmented");
        assert_eq!(octets[8..10], [64, 6]);
        assert_eq!(sum(octets[..20].to_vec()), 0xffff);
        let at = |at: usize| <[u8; 4]>::try_from(&octets[at..at + 4]).unwrap().into();
        (12..20, 20, (at(12), at(16)))
    } else {
        assert_eq!(octets[..4], [0x60, 0, 0, 0]);
        assert_eq!(usize::from(u16_at(4)), octets.len() - 40);
        assert_eq!(octets[6..8], [6, 64]);
        let at = |at: usize| <[u8; 16]>::try_from(&octets[at..at + 16]).unwrap().into();
        (8..40, 40, (at(8), at(24)))
    };
    let segment = &octets[tcp..];
    let len = u16::try_from(segment.len()).unwrap();
    let pseudo = [&octets[addresses], &len.to_be_bytes(), &[0, 6], segment].concat();
    assert_eq!(sum(pseudo), 0xffff, "the checksum");
    assert_eq!(usize::from(segment[12]) / 4, segment.len(), "a header and nothing else");
    let u32_at = |at: usize| u32::from_be_bytes(segment[at..at + 4].try_into().unwrap());
    Said {
        ends,
        ports: (u16_at(tcp), u16_at(tcp + 2)),
        numbers: (u32_at(4), u32_at(8)),
        flags: segment[13],
        window: u16_at(tcp + 14),
        options: options_of(&segment[20..]),
    }
}

fn options_of(mut octets: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut options = Vec::new();
    while let [kind, rest @ ..] = octets {
        if *kind == 1 {
            octets = rest;
            continue;
        }
        let len = usize::from(octets[1]);
        options.push((*kind, octets[2..len].to_vec()));
        octets = &octets[len..];
    }
    options
}

#[test]
fn a_syn_becomes_the_syn_ack_that_its_offer_allows() {
    for (client, server) in ends() {
        for offer in offers() {
            let (octets, note) = answered(&syn((client, server), offer), &syn_ack(offer));
            let said = parse(&octets);
            let mut options = vec![(2, 1380_u16.to_be_bytes().to_vec())];
            if offer.timestamps {
                options.extend(offer.sack.then(|| (4, vec![])));
                options.push((8, vec![0x0a, 0x0b, 0x0c, 0x0d, 0, 1, 2, 3]));
                options.extend(offer.window_scale.map(|_| (3, vec![9])));
            }
            let want = Said {
                ends: (server, client),
                ports: (443, 4660),
                numbers: (0x1234_5678, 0xdead_bef0),
                flags: 0x12,
                window: 0xfeed,
                options,
            };
            assert_eq!(said, want, "{offer:?}");
            assert_eq!((note.kind, note.turned), (Kind::Outer, true));
            let endpoint = Endpoint::new((client, 4660).into(), server, 3);
            assert_eq!(note.endpoint, endpoint);
        }
    }
}

#[test]
fn the_answer_to_the_commonest_syn_has_just_these_octets() {
    let offer = Offer { mss: 1460, window_scale: Some(7), sack: true, timestamps: true };
    let (octets, _) = answered(&syn(ends()[0], offer), &syn_ack(offer));
    let want = [
        &[0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0xd4, 0x77][..], // length 60, DF, TTL 64, TCP
        &[203, 0, 113, 9, 198, 51, 100, 7],
        &[0x01, 0xbb, 0x12, 0x34, 0x12, 0x34, 0x56, 0x78, 0xde, 0xad, 0xbe, 0xf0],
        &[0xa0, 0x12, 0xfe, 0xed, 0xb0, 0xb5, 0, 0], // 40 octets, SYN and ACK, window, checksum
        &[2, 4, 0x05, 0x64, 4, 2, 8, 10, 0x0a, 0x0b, 0x0c, 0x0d, 0, 1, 2, 3, 1, 3, 3, 9],
    ];
    assert_eq!(octets, want.concat());
}

#[test]
fn a_segment_becomes_the_reset_of_it_whatever_it_carried() {
    for (client, server) in ends() {
        let numbers = (Flags::ACK | Flags::PSH, 77, 0x1234_5679);
        let mut asked = packet((client, 4660), (server, 443), numbers, &[1; 12]);
        let (octets, note) = answered(&asked, &Answer::Reset);
        let want = Said {
            ends: (server, client),
            ports: (443, 4660),
            numbers: (0x1234_5679, 0),
            flags: 0x04,
            window: 0,
            options: vec![],
        };
        assert_eq!(parse(&octets), want);
        assert_eq!((note.kind, note.turned), (Kind::Outer, true));
        asked.clear();
    }
}

#[test]
fn the_headers_of_the_question_leave_nothing_behind() {
    // Options in the IPv4 header, and a destination options header in IPv6.
    let [four, six] = ends();
    let plain = syn(four, offers().last().unwrap());
    let mut with_options = [&plain[..20], &[1; 8], &plain[20..]].concat();
    with_options[0] = 0x47;
    with_options[3] += 8;
    let sum = !sum([&with_options[..10], &[0, 0], &with_options[12..28]].concat());
    with_options[10..12].copy_from_slice(&sum.to_be_bytes());
    let plain = syn(six, offers().last().unwrap());
    let mut extended = [&plain[..40], &[6, 0, 1, 4, 0, 0, 0, 0], &plain[40..]].concat();
    extended[6] = 60;
    extended[5] += 8;
    for asked in [with_options, extended] {
        let said = parse(&answered(&asked, &syn_ack(offers().last().unwrap())).0);
        assert_eq!((said.ports, said.options.len()), ((443, 4660), 4));
    }
}

#[test]
fn only_what_came_by_wire_is_answered_and_only_where_there_is_room() {
    let asked = packet((ends()[0].0, 1), (ends()[0].1, 2), (Flags::SYN, 1, 0), &[]);
    let answer = syn_ack(offers().last().unwrap());
    let segment = read(&asked);
    let mut note = Note::new(Entry::Client);
    let mut buffer = [asked.clone(), vec![0; 64]].concat();
    let mut frame = Frame::new(&mut buffer, 0, asked.len(), &mut note);
    let refused = Err(Fate::Drop(DropReason::LinkNoRoute));
    assert_eq!(write(&mut frame, &segment, &answer), refused);
    let mut note = Note::new(Entry::Wire(0));
    let mut buffer = asked.clone();
    let mut frame = Frame::new(&mut buffer, 0, asked.len(), &mut note);
    let refused = Err(Fate::Drop(DropReason::ParseSegmented));
    assert_eq!(write(&mut frame, &segment, &answer), refused);
    assert_eq!(write(&mut frame, &segment, &Answer::Reset), Ok(()));
}

/// A capture file of IP packets (`LINKTYPE_RAW`).
fn capture(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_le_bytes());
    }
    for packet in packets {
        let len = u32::try_from(packet.len()).unwrap();
        for word in [0, 0, len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

#[test]
fn tcpdump_finds_nothing_wrong_with_any_answer() {
    let answers: Vec<Vec<u8>> = ends()
        .into_iter()
        .flat_map(|ends| offers().map(move |offer| answered(&syn(ends, offer), &syn_ack(offer)).0))
        .collect();
    let path = std::env::temp_dir().join(format!("millrace-answers-{}.pcap", std::process::id()));
    std::fs::write(&path, capture(&answers)).unwrap();
    let said = Command::new("tcpdump").args(["-nvvS", "-r"]).arg(&path).output();
    std::fs::remove_file(&path).unwrap();
    let Ok(said) = said else {
        eprintln!("not checked: there is no tcpdump on this machine");
        return;
    };
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.matches("Flags [S.], cksum 0x").count(), answers.len(), "{said}");
    assert_eq!(said.matches("(correct)").count(), answers.len(), "{said}");
    assert_eq!(said.matches("mss 1380").count(), answers.len(), "{said}");
    assert!(said.contains("options [mss 1380,sackOK,TS val 168496141 ecr 66051,nop,wscale 9]"));
    assert!(!said.contains("bad") && !said.contains("incorrect"), "{said}");
}
