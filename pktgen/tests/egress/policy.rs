//! What a data centre does not do for others, and for whom it does nothing at all.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::ends::{PATIENCE, connect, hear_head, is_over, say};
use crate::lab::alone;
use crate::lab::namespace::Namespace;
use crate::lab::until;
use crate::site::{INTERNET, POP, POP_NAT, POP_PORT, Site, lost};
use crate::through::settle;

/// Targets that nobody is connected to: our own addresses, those that are nobody's, a port that is forbidden, and another
/// data centre's port for requests, by which a request would go round.
const FORBIDDEN: [&str; 11] = [
    "11.1.0.2:22",
    "11.1.0.2:4443",
    "11.1.0.201:80",
    "10.7.0.1:80",
    "127.0.0.1:80",
    "169.254.169.254:80",
    "224.0.0.1:80",
    "[::1]:80",
    "[::ffff:127.0.0.1]:80",
    "203.0.113.80:25",
    LOOP,
];

/// Another data centre's port for requests.
const LOOP: &str = "11.1.0.1:4443";

/// What cannot be read, or cannot be done, and the status of the answer.
fn requests() -> Vec<(String, u16)> {
    let target = format!("{INTERNET}:80");
    let to = |target: &str, more: &str| {
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{more}\r\n")
    };
    let mut requests: Vec<_> = FORBIDDEN.iter().map(|target| (to(target, ""), 403)).collect();
    requests.extend([
        (format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n"), 405),
        (to(INTERNET, ""), 400),
        (to(&format!("http://{target}/"), ""), 400),
        (to("2130706433:80", ""), 400),
        (to(&target, "Transfer-Encoding: chunked\r\n"), 400),
        (to(&target, "Content-Length: 5\r\n"), 400),
        (to(&target, "Host: 203.0.113.81\r\n"), 400),
        (format!("CONNECT {target} HTTP/1.1\r\nHost: 203.0.113.81\r\n\r\n"), 400),
        (to(&target, &format!("X: {}\r\n", "x".repeat(9000))), 400),
        (to(&target, "Exit-Site: 99\r\n"), 503),
        (to(&target, "Exit-Site: 3\r\nExit-Hops: 0\r\n"), 403),
        (to("origin.example:80", ""), 403),
        // Nobody listens there.
        (to(&format!("{INTERNET}:81"), ""), 502),
    ]);
    requests
}

#[test]
fn a_data_centre_refuses_by_name_what_it_does_not_do() {
    let _machine = alone();
    let site = Site::new();
    let _web = site.web();
    let pop = site.serve_strict_pop();
    let asked = SocketAddr::new(POP.parse().unwrap(), POP_PORT);
    until("the other data centre is known", 30, || is_forbidden(&site, asked, LOOP));
    for (request, status) in requests() {
        let stream = connect(&site.internet, asked).unwrap();
        say(&stream, request.as_bytes());
        let answer = hear_head(&stream);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        is_over(&stream);
    }
    // What stands behind a request is not taken for one, and waits for the tunnel.
    let stream = connect(&site.internet, asked).unwrap();
    say(
        &stream,
        format!("CONNECT {INTERNET}:80 HTTP/1.1\r\n\r\nGET /little HTTP/1.0\r\n\r\n").as_bytes(),
    );
    let answer = hear_head(&stream);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(hear_head(&stream).starts_with("HTTP/1.1 200 OK"), "the origin's answer");
    drop(stream);
    // Half a request, and no more of it.
    let stream = connect(&site.internet, asked).unwrap();
    say(&stream, b"CONNECT 203.0.113.80:80 HT");
    drop(stream);
    // A stranger is not even told that somebody is there.
    assert_eq!(tries(&site.places[1], asked), ErrorKind::TimedOut);
    assert!(lost(&pop, "egress_connect_source") > 0);
    settle(&pop);
    let counters = pop.stop();
    assert_eq!(counters["connects_opened"], 1);
    assert!(counters["connects_failed"] > requests().len() as u64, "{counters:?}");
    assert_eq!(counters["flows"], 1, "{counters:?}");
}

/// Whether a request for this target is refused at once.
fn is_forbidden(site: &Site, asked: SocketAddr, target: &str) -> bool {
    let mut stream = connect(&site.internet, asked).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    say(&stream, format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes());
    let mut status = [0; 13];
    stream.read_exact(&mut status).is_ok() && status == *b"HTTP/1.1 403 "
}

/// How a connection fails that nobody may answer.
fn tries(place: &Namespace, to: SocketAddr) -> ErrorKind {
    let patience = Duration::from_secs(2);
    let tried = place.thread(move || TcpStream::connect_timeout(&to, patience)).join().unwrap();
    tried.unwrap_err().kind()
}

#[test]
fn clients_are_refused_what_a_data_centre_refuses_and_do_not_speak_to_it_in_our_name() {
    let _machine = alone();
    for is_ours in [true, false] {
        let site = Site::new();
        let pop = site.serve_strict_pop();
        let route =
            |prefix: &str| format!("[[route]]\nprefix = \"{prefix}\"\nnext_hop = \"via-fra\"\n");
        let server =
            site.serve_routes_via_pop(is_ours, &(route("11.1.0.201/32") + &route("10.9.0.0/16")));
        let client = site.client(0);
        for target in [POP, POP_NAT, "10.9.9.9"] {
            client.place.run(&format!("ip route replace {target}/32 dev wg0 src 172.16.0.2"));
        }
        for target in [format!("{POP_NAT}:80"), format!("{INTERNET}:25"), "10.9.9.9:80".to_owned()]
        {
            let to: SocketAddr = target.parse().unwrap();
            let refused = client.place.thread(move || TcpStream::connect_timeout(&to, PATIENCE));
            let kind = refused.join().unwrap().unwrap_err().kind();
            assert_eq!(kind, ErrorKind::ConnectionRefused, "{target}, ours: {is_ours}");
        }
        // It would believe whoever has our address, so it hears nothing of this; the client hears a reset.
        let to = SocketAddr::new(POP.parse().unwrap(), POP_PORT);
        let before = server.counter("resets");
        assert_eq!(tries(client.place, to), ErrorKind::ConnectionRefused);
        assert_eq!(server.counter("resets"), before + 1);
        drop(client);
        for dataplane in [server, pop] {
            settle(&dataplane);
            let counters = dataplane.stop();
            let count = ["connects_opened", "connects_failed", "flows"].map(|name| counters[name]);
            assert_eq!(count, [0, 3, 0], "{counters:?}");
        }
    }
}
