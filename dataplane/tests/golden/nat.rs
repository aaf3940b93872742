//! The golden scenes of clients that reach the Internet by the server's address, and what is refused of them.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the list of what is refused sorts the reasons"
)]

use std::net::{Ipv4Addr, SocketAddr};

use dataplane::fate::DropReason;
use dataplane::testing::packets::{self, Ip};
use dataplane::testing::rules::STRANGER;
use dataplane::testing::site::{EVERY_CLIENTS, Nat, OUTSIDE_V4, Plan};
use dataplane::testing::{client, transit};
use shm::message::Item;
use wire::tcp::{Fields, Flags};
use wire::{icmp, udp};

use super::Stage;
use crate::case::Case;

/// The name under which sheets say that the server has a way to the Internet.
const INTERNET: &str = "internet";

/// What control says where a sheet names this.
pub(crate) fn items(name: &str) -> Option<Vec<Item>> {
    let is_ours = name == INTERNET || name.starts_with("egress_nat_");
    is_ours.then(transit::internet)
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = vec![datagrams(), connection(), echo(), report(), too_big(), pieces()];
    cases.extend([protocol(), reset(), prohibited(), hairpin()]);
    cases.extend(REFUSED.map(|(reason, about)| refused(reason, about)));
    cases
}

/// A server with two clients that have the same address.
fn stage(flows_per_client: u32) -> Stage {
    let nat = Some(Nat { flows: 64, flows_per_client, setups: 64 });
    let mut stage = Stage::new(&Plan { nat, ..Plan::new(2) });
    stage.scene.change(transit::internet());
    for number in 0..2 {
        stage.scene.join(number == 1, client::Options::default());
        stage.scene.send(number, &[]);
    }
    stage.later();
    stage
}

fn out() -> Ip {
    Ip::new(EVERY_CLIENTS, STRANGER)
}

fn back() -> Ip {
    Ip::new(STRANGER, OUTSIDE_V4)
}

fn segment(ip: Ip, (from, to): (u16, u16), flags: Flags, numbers: (u32, u32)) -> Vec<u8> {
    let fields = Fields {
        source_port: from,
        destination_port: to,
        sequence_number: numbers.0,
        acknowledgment_number: numbers.1,
        flags,
        window: 64_000,
    };
    ip.tcp(&fields, &[2, 4, 0x05, 0xb4], &[])
}

impl Stage {
    fn send(&mut self, client: usize, packet: &[u8]) {
        self.scene.send(client, packet);
        self.later();
    }

    /// The last packet that left.
    fn left(&self) -> Vec<u8> {
        let last = self.scene.seen.iter().rfind(|seen| seen.is_output).unwrap();
        packets::packet_in(&last.octets).unwrap().1.to_vec()
    }

    /// By which address and port a client's datagram left.
    fn asks(&mut self, client: usize, port: u16) -> SocketAddr {
        self.send(client, &out().udp(port, 53, b"a question"));
        let left = self.left();
        let outline = packets::outline(&left).unwrap();
        let (ports, _) = packets::udp_in(&outline, &left).unwrap();
        (outline.source, ports.source).into()
    }

    fn under_internet(self, name: &str, about: &str) -> Case {
        self.end(name, about).under(INTERNET)
    }
}

fn datagrams() -> Case {
    let mut stage = stage(64);
    for client in 0..2 {
        let end = stage.asks(client, 5000);
        let answer = Ip::new(STRANGER, end.ip()).udp(53, end.port(), b"an answer");
        stage.arrive(&answer);
    }
    let about = "Two clients with the same address and port ask, and each gets its own answer.";
    stage.under_internet("nat_datagrams", about)
}

fn connection() -> Case {
    let mut stage = stage(64);
    stage.send(0, &segment(out(), (5000, 80), Flags::SYN, (7, 0)));
    let left = stage.left();
    let port = wire::tcp::parse(&left[20..]).unwrap().source_port;
    let both = Flags::SYN | Flags::ACK;
    stage.arrive(&segment(back(), (80, port), both, (1000, 8)));
    let about = "A connection begins; both sides hear of segments that fit the tunnel.";
    stage.under_internet("nat_connection", about)
}

fn echo() -> Case {
    let mut stage = stage(64);
    stage.send(0, &out().echo(1, b"a golden packet"));
    let left = stage.left();
    let request = icmp::v4::parse(&left[20..]).unwrap().echo_request_v4().unwrap();
    let mut message = vec![0; icmp::HEADER_LEN];
    message.extend(b"a golden packet");
    icmp::v4::emit_echo_reply(&mut message, request).unwrap();
    stage.arrive(&back().packet(icmp::v4::PROTOCOL, &message));
    stage.under_internet("nat_echo", "An echo and its answer, by an identifier of the server's.")
}

fn report() -> Case {
    let mut stage = stage(64);
    stage.asks(0, 5000);
    let on_the_way = Ipv4Addr::new(198, 51, 100, 99);
    let left = stage.left();
    stage
        .arrive(&Ip::new(on_the_way, OUTSIDE_V4).error_about(icmp::v4::Error::TimeExceeded, &left));
    let about = "A router's error comes to the client, about what the client had sent.";
    stage.under_internet("nat_report", about)
}

fn too_big() -> Case {
    let mut stage = stage(64);
    let end = stage.asks(0, 5000);
    stage.arrive(&back().udp(53, end.port(), &[b'x'; 1421 - 28]));
    let about = "An answer that is too long for its client: its sender hears what fits.";
    stage.under_internet("nat_too_big", about)
}

fn pieces() -> Case {
    let mut stage = stage(64);
    let end = stage.asks(0, 5000);
    let whole = back().udp(53, end.port(), &[b'x'; 1600]);
    let (first, second) = whole[20..].split_at(1480);
    for (part, offset, more) in [(second, 1480, false), (first, 0, true)] {
        let mut piece = back().packet(udp::PROTOCOL, part);
        transit::fragment(&mut piece, 9, offset, more);
        stage.arrive(&piece);
    }
    let about = "The second piece waits for the first, which is too long and goes on in two.";
    stage.under_internet("nat_pieces", about)
}

fn protocol() -> Case {
    let mut stage = stage(64);
    stage.send(0, &out().packet(253, &[7; 16]));
    let about = "A protocol that is not translated is answered so.";
    stage.under_internet("nat_protocol", about)
}

fn reset() -> Case {
    let mut stage = stage(64);
    stage.send(0, &segment(out(), (5000, 80), Flags::ACK, (7, 1000)));
    let about = "A segment of no connection is reset by the end that it was for.";
    stage.under_internet("nat_reset", about)
}

fn prohibited() -> Case {
    let mut stage = stage(1);
    stage.asks(0, 5000);
    stage.send(0, &out().udp(5001, 53, b"one too many"));
    let about = "A client that has all the flows it may have hears that more are prohibited.";
    stage.under_internet("nat_prohibited", about)
}

fn hairpin() -> Case {
    let mut stage = stage(64);
    let ends = [stage.asks(0, 5000), stage.asks(1, 5000)];
    let to = |end: SocketAddr, data: &[u8]| {
        Ip::new(EVERY_CLIENTS, OUTSIDE_V4).udp(5000, end.port(), data)
    };
    stage.send(0, &to(ends[1], b"nobody has asked for this"));
    stage.send(1, &to(ends[0], b"from one client to another"));
    let about = "Two clients of this server reach each other by their outer addresses.";
    stage.under_internet("nat_hairpin", about)
}

/// What is refused from the Internet and from clients.
const REFUSED: [(DropReason, &str); 5] = [
    (DropReason::EgressNatHeader, "A datagram of four octets."),
    (DropReason::EgressNatState, "A reset of no connection."),
    (DropReason::EgressNatUnknown, "An answer to a port that no client has."),
    (DropReason::EgressNatFiltered, "A datagram from an address that nobody has asked."),
    (DropReason::EgressNatError, "An error about a packet that nobody has sent."),
];

fn refused(reason: DropReason, about: &str) -> Case {
    let mut stage = stage(64);
    let end = stage.asks(0, 5000);
    match reason {
        DropReason::EgressNatHeader => stage.send(0, &out().packet(udp::PROTOCOL, &[0; 4])),
        DropReason::EgressNatState => {
            stage.send(0, &segment(out(), (5000, 80), Flags::RST, (7, 0)));
        }
        DropReason::EgressNatUnknown => {
            stage.arrive(&back().udp(53, end.port() ^ 1, b"an answer"));
        }
        DropReason::EgressNatFiltered => {
            let other = Ipv4Addr::from_bits(STRANGER.to_bits() + 1);
            stage.arrive(&Ip::new(other, OUTSIDE_V4).udp(53, end.port(), b"an answer"));
        }
        reason => {
            assert_eq!(reason, DropReason::EgressNatError);
            let never = Ip::new(OUTSIDE_V4, STRANGER).udp(end.port() ^ 1, 53, b"a question");
            stage.arrive(&back().error_about(icmp::v4::Error::HostUnreachable, &never));
        }
    }
    stage.end(reason.name(), about).under(reason.name())
}
