//! The origin against a TCP that is not ours to shape: a second stack as the client, with losses on the way, plainly
//! and through tunnels.

use std::net::SocketAddr;
use std::time::Duration;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant as Micros;
use smoltcp::wire::{HardwareAddress, IpCidr};
use wire::tcp::{self, Flags};

use super::super::gre::Plan as Tunnel;
use super::{Site, framed, gre, ip, plan, segment, tunnels, unframed};
use crate::packet;

/// The client's end of the cable.
#[derive(Default)]
struct Cable {
    arrived: Vec<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

struct Arrived(Vec<u8>);
struct Outgoing<'a>(&'a mut Vec<Vec<u8>>);

impl Device for Cable {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: Micros) -> Option<(Arrived, Outgoing<'_>)> {
        let first = (!self.arrived.is_empty()).then(|| self.arrived.remove(0))?;
        Some((Arrived(first), Outgoing(&mut self.sent)))
    }

    fn transmit(&mut self, _: Micros) -> Option<Outgoing<'_>> {
        Some(Outgoing(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ip, 1500);
        capabilities
    }
}

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = vec![0; len];
        let result = write(&mut packet);
        self.0.push(packet);
        result
    }
}

/// A client, the responder, and the way between them, which may be a tunnel and may lose packets.
struct World {
    site: Site,
    cable: Cable,
    interface: Interface,
    sockets: SocketSet<'static>,
    tunnel: Option<Tunnel>,
    /// One packet in so many is lost, either way.
    loss: Option<u32>,
    packets: u32,
    sequence: u32,
}

impl World {
    fn new(client: &str, tunnel: Option<Tunnel>, loss: Option<u32>) -> Self {
        let mut cable = Cable::default();
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut cable, Micros::ZERO);
        interface.update_ip_addrs(|all| all.push(IpCidr::new(ip(client).into(), 0)).unwrap());
        let (site, sockets) = (Site::new(plan()), SocketSet::new(Vec::new()));
        Self { site, cable, interface, sockets, tunnel, loss, packets: 0, sequence: 0 }
    }

    fn connect(&mut self, to: &str, port: u16) -> SocketHandle {
        let [receive, send] = [(); 2].map(|()| SocketBuffer::new(vec![0; 30_000]));
        let mut socket = Socket::new(receive, send);
        let to: SocketAddr = to.parse().unwrap();
        socket.connect(self.interface.context(), (to.ip(), to.port()), port).unwrap();
        self.sockets.add(socket)
    }

    fn socket(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    fn survives(&mut self) -> bool {
        self.packets += 1;
        self.loss.is_none_or(|loss| !self.packets.is_multiple_of(loss))
    }

    /// Five milliseconds: everything under way arrives, or is lost.
    fn step(&mut self) {
        let at = Micros::from_micros(i64::try_from(self.site.now.0 / 1000).unwrap());
        self.interface.poll(at, &mut self.cable, &mut self.sockets);
        let mut frames = Vec::new();
        for packet in std::mem::take(&mut self.cable.sent) {
            let outer = match &self.tunnel {
                Some(tunnel) => gre::through(tunnel, self.sequence, &packet),
                None => packet,
            };
            self.sequence += 1;
            if self.survives() {
                frames.extend(self.site.receive_frame(&framed(&outer)));
            }
        }
        frames.extend(self.site.pass(Duration::from_millis(5)));
        for frame in frames {
            let outer = unframed(&frame);
            assert!(outer.len() <= 1500, "fits the link");
            let packet = match &self.tunnel {
                Some(_) => {
                    let located = packet::read(&outer).unwrap();
                    let header = wire::gre::parse(located.payload).unwrap();
                    located.payload[header.payload_offset..].to_vec()
                }
                None => outer,
            };
            if self.survives() {
                self.cable.arrived.push(packet);
            }
        }
    }

    /// Sends all of it while reading until the answer ends as it should, or the connection does.
    fn talk(
        &mut self,
        handle: SocketHandle,
        question: &[u8],
        ends: impl Fn(&[u8]) -> bool,
    ) -> Vec<u8> {
        let (mut left, mut answer) = (question, Vec::new());
        for _ in 0..40_000 {
            self.step();
            let socket = self.socket(handle);
            if socket.may_send() && !left.is_empty() {
                left = &left[socket.send_slice(left).unwrap()..];
            }
            while socket.can_recv() {
                socket.recv(|octets| (octets.len(), answer.extend_from_slice(octets))).unwrap();
            }
            let is_over = matches!(socket.state(), State::CloseWait | State::Closed);
            if ends(&answer) || is_over {
                return answer;
            }
        }
        panic!("no end after {} octets: {:?}", answer.len(), self.site.responder.origin())
    }

    fn close(&mut self, handle: SocketHandle) {
        self.socket(handle).close();
        for _ in 0..200 {
            self.step();
        }
    }
}

/// The body behind a head that promises its length, once it is whole.
fn body(answer: &[u8]) -> Option<&[u8]> {
    let at = answer.windows(4).position(|octets| octets == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..at]).unwrap();
    if head.contains("100 Continue") {
        return body(&answer[at..]);
    }
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let len = head.split_once("Content-Length: ").unwrap().1.split_once('\r').unwrap().0;
    let len: usize = len.parse().unwrap();
    answer.get(at..at + len)
}

fn is_whole(answer: &[u8]) -> bool {
    body(answer).is_some()
}

fn letters(len: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(len).collect()
}

/// Each way that leads to the origin: the client's address, the origin's, the tunnel.
fn ways() -> [(&'static str, &'static str, Option<Tunnel>); 6] {
    let [plain, full] = [0, 1].map(|index| Some(tunnels()[index].clone()));
    [
        ("192.0.2.9", "198.51.100.10", None),
        ("2001:db8::9", "[2001:db8:f::10]", None),
        ("192.0.2.9", "203.0.113.1", plain.clone()),
        ("2001:db8::9", "[2001:db8:4::1]", plain),
        ("192.0.2.9", "203.0.113.17", full.clone()),
        ("2001:db8::9", "[2001:db8:6::1]", full),
    ]
}

#[test]
fn requests_one_after_the_other_are_answered_on_one_connection_through_every_way() {
    for (client, origin, tunnel) in ways() {
        let mut world = World::new(client, tunnel, None);
        let handle = world.connect(&format!("{origin}:80"), 5000);
        let welcome = world.talk(handle, b"GET / HTTP/1.1\r\n\r\n", is_whole);
        assert!(body(&welcome).unwrap().starts_with(b"millrace-pktgen"));
        let bytes = world.talk(handle, b"GET /bytes/100000 HTTP/1.1\r\n\r\n", is_whole);
        assert_eq!(body(&bytes).unwrap(), letters(100_000));
        let request = [
            &b"POST /echo HTTP/1.1\r\nContent-Length: 50000\r\nExpect: 100-continue\r\n\r\n"[..],
            &letters(50_000),
        ];
        let echoed = world.talk(handle, &request.concat(), is_whole);
        assert_eq!(body(&echoed).unwrap(), letters(50_000));
        let head =
            world.talk(handle, b"HEAD /bytes/9 HTTP/1.1\r\n\r\n", |a| a.ends_with(b"\r\n\r\n"));
        assert!(head.windows(17).any(|octets| octets == b"Content-Length: 9"), "{origin}");
        world.close(handle);
        let tally = world.site.responder.origin();
        assert_eq!(
            (tally.opened, tally.closed, tally.requests, tally.live),
            (1, 1, 4, 0),
            "{tally:?}"
        );
        assert_eq!(world.site.responder.tally().gre_refused(), 0);
    }
}

#[test]
fn requests_in_one_segment_are_answered_in_their_order() {
    let mut world = World::new("192.0.2.9", None, None);
    let handle = world.connect("198.51.100.10:80", 5000);
    let both = b"GET /bytes/3 HTTP/1.1\r\n\r\nGET /bytes/5 HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answers = world.talk(handle, both, |answer| answer.ends_with(b"abcde"));
    assert!(answers.windows(3).any(|octets| octets == b"abc"));
    let rest = world.talk(handle, b"", |_| false);
    assert!(rest.is_empty(), "and the connection ends");
}

#[test]
fn losses_on_the_way_are_made_good() {
    for (client, origin, tunnel) in ways() {
        let mut world = World::new(client, tunnel, Some(17));
        let handle = world.connect(&format!("{origin}:80"), 5000);
        let bytes = world.talk(handle, b"GET /bytes/300000 HTTP/1.1\r\n\r\n", is_whole);
        assert_eq!(body(&bytes).unwrap(), letters(300_000));
        let handle = world.connect(&format!("{origin}:7"), 5001);
        let sent = letters(60_000);
        let echoed = world.talk(handle, &sent, |answer| answer.len() >= sent.len());
        assert_eq!(echoed, sent, "{origin}");
    }
}

#[test]
fn errors_are_said_and_end_the_connection() {
    let mut world = World::new("192.0.2.9", None, None);
    for (port, request, status) in [
        (5000, "GET /nothing HTTP/1.1\r\n\r\n", "404"),
        (5001, "BREW /pot HTCPCP/1.0\r\n\r\n", "400"),
        (5002, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "411"),
        (5003, &format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(5000)), "431"),
    ] {
        let handle = world.connect("198.51.100.10:80", port);
        let answer = world.talk(handle, request.as_bytes(), |_| false);
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{status}");
        world.close(handle);
    }
    let tally = world.site.responder.origin();
    assert_eq!((tally.bad_requests, tally.requests, tally.opened), (4, 0, 4));
}

#[test]
fn ports_without_a_service_refuse() {
    for (client, origin, tunnel) in ways() {
        let mut world = World::new(client, tunnel, None);
        let handle = world.connect(&format!("{origin}:81"), 5000);
        (0..20).for_each(|_| world.step());
        assert_eq!(world.socket(handle).state(), State::Closed, "{origin}");
        assert_eq!(world.site.responder.origin().stray, 1);
    }
}

#[test]
fn half_a_request_is_let_go_when_its_client_goes() {
    let mut world = World::new("192.0.2.9", None, None);
    let handle = world.connect("198.51.100.10:80", 5000);
    world.talk(handle, b"GET / HTTP/1.1\r\n", |_| true);
    (0..10).for_each(|_| world.step());
    world.close(handle);
    assert_eq!(world.site.responder.origin().closed, 1);
}

/// Sends one segment of a hand-made client; the header of the answer.
fn exchange(
    site: &mut Site,
    port: u16,
    flags: Flags,
    numbers: (u32, u32),
    payload: &[u8],
) -> Option<tcp::Located> {
    let ends = (SocketAddr::new(ip("192.0.2.9"), port), SocketAddr::new(ip("198.51.100.10"), 80));
    let answers = site.receive(&segment(ends, (flags.0, numbers.0, numbers.1), payload));
    answers.last().map(|answer| tcp::parse(&answer[20..]).unwrap())
}

#[test]
fn ten_thousand_connections_live_at_once_and_the_next_one_is_counted() {
    const COUNT: u16 = 10_000;
    let mut plan = plan();
    (plan.origin.connections_max, plan.origin.buffer) = (COUNT.into(), 4096);
    let mut site = Site::new(plan);
    let ack = Flags(0x10);
    let mut theirs = Vec::new();
    for port in 1..=COUNT {
        let answer = exchange(&mut site, port, Flags::SYN, (99, 0), &[]).unwrap();
        assert_eq!(answer.flags, Flags(0x12), "SYN and ACK");
        theirs.push(answer.sequence_number.wrapping_add(1));
        exchange(&mut site, port, ack, (100, theirs[usize::from(port) - 1]), &[]);
    }
    assert_eq!(exchange(&mut site, COUNT + 1, Flags::SYN, (99, 0), &[]), None);
    assert_eq!((site.responder.origin().live, site.responder.origin().refused), (10_000, 1));
    for port in (1..=COUNT).rev() {
        let ours = theirs[usize::from(port) - 1];
        let request = b"GET /bytes/400 HTTP/1.1\r\n\r\n";
        let answer = exchange(&mut site, port, ack, (100, ours), request).unwrap();
        assert!(answer.payload_len > 400, "{answer:?}");
    }
    assert_eq!(site.responder.origin().requests, 10_000);
    theirs.sort_unstable();
    theirs.dedup();
    assert!(theirs.len() > 9_990, "initial numbers are not to be guessed");
}

#[test]
fn a_flood_of_syns_is_forgotten_in_time() {
    let mut site = Site::new(plan());
    for port in 1..=100 {
        exchange(&mut site, port, Flags::SYN, (99, 0), &[]);
    }
    assert_eq!((site.responder.origin().live, site.responder.origin().refused), (64, 36));
    for _ in 0..8 {
        site.pass(Duration::from_secs(1));
    }
    let tally = site.responder.origin();
    assert_eq!((tally.live, tally.abandoned), (0, 64), "{tally:?}");
}

#[test]
fn a_reset_ends_a_connection_and_its_port_can_be_used_again() {
    let mut site = Site::new(plan());
    for round in 0..3 {
        let answer = exchange(&mut site, 9, Flags::SYN, (99, 0), &[]).unwrap();
        let theirs = answer.sequence_number.wrapping_add(1);
        exchange(&mut site, 9, Flags(0x10), (100, theirs), &[]);
        exchange(&mut site, 9, Flags(0x14), (100, theirs), &[]);
        let tally = site.responder.origin();
        assert_eq!((tally.aborted, tally.live), (round + 1, 0), "{tally:?}");
    }
}
