//! Proxies that refuse, are silent or speak nonsense, and what another data centre refuses.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;

use crate::ends::{PATIENCE, hear, hear_head, is_over, reset, say, serve};
use crate::lab::alone;
use crate::site::{PROXY, STUN, Site};
use crate::through::settle;

/// What a proxy answers to a request, and whether it goes on with the connection.
struct Answer {
    name: &'static str,
    does: fn(TcpStream),
}

/// Each of them refuses in its own way. The last one, silence, is waited for while there is another machine to ask, for half of
/// the twenty seconds that an opening may take; all of them would be too long here.
const REFUSALS: [Answer; 9] = [
    Answer { name: "403", does: |stream| refuse(&stream, b"HTTP/1.1 403 Forbidden\r\n\r\n") },
    Answer {
        name: "502 with content",
        does: |stream| {
            refuse(&stream, b"HTTP/1.0 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n");
        },
    },
    Answer { name: "garbage", does: |stream| refuse(&stream, &[0x16, 3, 1, 0, 0, 0xff, b'\n', 0]) },
    Answer {
        name: "an oversized head",
        does: |stream| {
            refuse(&stream, &[b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 9000]].concat());
        },
    },
    Answer {
        name: "too many headers",
        does: |stream| {
            refuse(&stream, format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: x\r\n".repeat(20)).as_bytes());
        },
    },
    Answer {
        name: "another protocol",
        does: |stream| refuse(&stream, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    },
    Answer { name: "a close", does: drop },
    Answer { name: "a reset", does: reset },
    Answer { name: "silence", does: |stream| is_over(&stream) },
];

/// Answers, and wants the connection ended by who has asked.
fn refuse(stream: &TcpStream, answer: &[u8]) {
    say(stream, answer);
    is_over(stream);
}

/// Each of them connects, and echoes then.
const CONNECTED: [Answer; 3] = [
    Answer {
        name: "in one piece, with what the origin says first",
        does: |stream| say(&stream, b"HTTP/1.1 200 OK\r\n\r\nhello"),
    },
    Answer {
        name: "in pieces, behind interim heads",
        does: |stream| {
            stream.set_nodelay(true).unwrap();
            let answer =
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\nhello";
            answer.chunks(7).for_each(|piece| say(&stream, piece));
        },
    },
    Answer {
        name: "with a head that is almost too long",
        does: |stream| {
            let pad = "x".repeat(8000);
            say(
                &stream,
                format!("HTTP/1.1 299 OK\r\nContent-Length: 5\r\nX: {pad}\r\n\r\nhello").as_bytes(),
            );
        },
    },
];

/// A proxy for one connection to this host.
fn proxy(site: &Site, port: u16, host: u8, does: fn(TcpStream)) -> JoinHandle<()> {
    serve(&site.internet, port, move |stream| {
        let request = hear_head(&stream);
        let target = format!("203.0.113.{host}:7000");
        assert!(
            request.starts_with(&format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n")),
            "{request}"
        );
        does(stream);
    })
}

/// The centre of this host: its machines are ports of proxies, the first of which all clients ask first.
fn centre(host: u8, ports: &[u16]) -> String {
    let mut text = String::new();
    for (port, (address, weight)) in ports.iter().zip([(PROXY, 60_000), (STUN[0], 1)]) {
        write!(text, "{{ address = \"{address}:{port}\", weight = {weight} }},").unwrap();
    }
    format!(
        "[[centre]]\nname = \"c{host}\"\nnumber = {host}\nmachines = [{text}]\n\
         [[next_hop]]\nname = \"via{host}\"\nkind = \"via\"\ncentre = \"c{host}\"\n\
         [[route]]\nprefix = \"203.0.113.{host}/32\"\nnext_hop = \"via{host}\"\n"
    )
}

/// Hosts beyond proxies: those that are refused, those that are refused by the first machine of two, and the others.
const REFUSED: u8 = 100;
const SECOND: u8 = 120;
const OTHERS: u8 = 140;

fn port_of(host: u8) -> u16 {
    8000 + u16::from(host)
}

/// The port of a centre's second machine.
fn second_port_of(host: u8) -> u16 {
    9000 + u16::from(host)
}

fn numbered(first: u8, answers: &'static [Answer]) -> impl Iterator<Item = (u8, &'static Answer)> {
    (first..).zip(answers)
}

/// Those that clients are told of.
fn told() -> impl Iterator<Item = (u8, &'static Answer)> {
    numbered(REFUSED, &REFUSALS[..REFUSALS.len() - 1])
}

fn routes() -> String {
    let refused = told().map(|(host, _)| centre(host, &[port_of(host)]));
    let second = numbered(SECOND, &REFUSALS)
        .map(|(host, _)| centre(host, &[port_of(host), second_port_of(host)]));
    let others = numbered(OTHERS, &CONNECTED).map(|(host, _)| centre(host, &[port_of(host)]));
    refused.chain(second).chain(others).collect()
}

fn to(host: u8) -> SocketAddr {
    SocketAddr::new([203, 0, 113, host].into(), 7000)
}

#[test]
fn proxies_that_refuse_are_told_to_the_client_or_passed_over_and_leave_nothing() {
    let _machine = alone();
    let site = Site::new();
    let server = site.serve_routes(&routes());
    let client = site.client(0);
    // Silence lasts longest, so it is waited for beside all others.
    let refused: Vec<_> = told()
        .map(|(host, answer)| {
            let proxy = proxy(&site, port_of(host), host, answer.does);
            (answer.name, vec![proxy], client.place.thread(move || refused(to(host))))
        })
        .collect();
    let passed_over: Vec<_> = numbered(SECOND, &REFUSALS)
        .map(|(host, answer)| {
            let first = proxy(&site, port_of(host), host, answer.does);
            let second = proxy(&site, second_port_of(host), host, CONNECTED[0].does);
            (answer.name, vec![first, second], client.place.thread(move || hears_hello(to(host))))
        })
        .collect();
    for (host, answer) in numbered(OTHERS, &CONNECTED) {
        let proxy = proxy(&site, port_of(host), host, answer.does);
        client.place.thread(move || hears_hello(to(host))).join().expect(answer.name);
        proxy.join().expect(answer.name);
    }
    for (name, proxies, client) in passed_over.into_iter().chain(refused) {
        client.join().expect(name);
        for proxy in proxies {
            proxy.join().expect(name);
        }
    }
    drop(client);
    settle(&server);
    let counters = server.stop();
    let failed = told().count() as u64;
    let opened = (REFUSALS.len() + CONNECTED.len()) as u64;
    assert_eq!((counters["connects_opened"], counters["connects_failed"]), (opened, failed));
    assert!(counters["flows"] <= opened, "{counters:?}");
}

/// Wants a connection from the thread's namespace to be refused.
fn refused(to: SocketAddr) {
    let kind = TcpStream::connect_timeout(&to, PATIENCE).unwrap_err().kind();
    assert_eq!(kind, ErrorKind::ConnectionRefused, "{to}");
}

/// Wants it to be there, and to be spoken to first.
fn hears_hello(to: SocketAddr) {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    assert_eq!(hear(&stream, 5), b"hello", "{to}");
}
