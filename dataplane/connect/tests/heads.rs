//! Heads as people write them, and as nobody should.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

use std::net::IpAddr;

use connect::head::{
    Answer, Ask, CONNECTED, Host, Request, Status, Target, TcpOptions, Wrong, parse_answer,
    parse_request, write_answer, write_request,
};
use connect::limits::{ANSWER_LEN_MAX, REQUEST_LEN_MAX};
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn request(text: &str) -> Result<Option<Request<'_>>, Wrong> {
    parse_request(text.as_bytes())
}

#[test]
fn the_request_is_written_as_it_is_read() {
    let target = Target { host: Host::Address(ip("203.0.113.7")), port: 443 };
    let ask = Ask { target, keepalive_secs: 15, hops: None, site: None };
    let mut octets = [0; REQUEST_LEN_MAX];
    let len = write_request(&mut octets, &ask).unwrap();
    assert_eq!(
        std::str::from_utf8(&octets[..len]).unwrap(),
        "CONNECT 203.0.113.7:443 HTTP/1.1\r\nHost: 203.0.113.7:443\r\n\
         Exit-Tcp-Keepalive-Duration: 15\r\nApplication: warp\r\n\r\n"
    );
    let name = "a.".repeat(126) + "b";
    for host in [Host::Address(ip("2001:db8::7")), Host::Name(&name)] {
        let ask = Ask {
            target: Target { host, port: 65_535 },
            keepalive_secs: 7200,
            hops: Some(9),
            site: Some(65_535),
        };
        let len = write_request(&mut octets, &ask).unwrap();
        let read = parse_request(&octets[..len]).unwrap().unwrap();
        assert_eq!(read.target, ask.target);
        assert_eq!(
            (read.keepalive_secs, read.hops, read.site),
            (Some(7200), Some(9), Some(65_535))
        );
        assert_eq!((read.has_host, read.len), (true, len));
    }
}

#[test]
fn targets_are_split_at_the_last_colon_and_are_what_they_seem() {
    let target = |text| Target::parse(text).ok();
    let of = |host, port| Some(Target { host, port });
    assert_eq!(target("192.0.2.1:80"), of(Host::Address(ip("192.0.2.1")), 80));
    assert_eq!(target("[2001:db8::1]:443"), of(Host::Address(ip("2001:db8::1")), 443));
    assert_eq!(target("[::ffff:10.0.0.1]:80"), of(Host::Address(ip("10.0.0.1")), 80));
    assert_eq!(target("www.example.org:443"), of(Host::Name("www.example.org"), 443));
    assert_eq!(target("xn--bcher-kva.example.:1"), of(Host::Name("xn--bcher-kva.example."), 1));
    let long = "a".repeat(64) + ".org:80";
    for wrong in [
        "",
        ":",
        ":80",
        "host",
        "host:",
        "host:0",
        "host:65536",
        "host:+80",
        "host: 80",
        "host:8o",
        "2001:db8::1:80",
        "[2001:db8::1]",
        "[2001:db8::1:80",
        "2001:db8::1]:80",
        "[fe80::1%eth0]:80",
        "[192.0.2.1]:80",
        "http://host:80",
        "user@host:80",
        "host/path:80",
        "127.1:80",
        "0x7f000001:80",
        "2130706433:80",
        "0x7f.0.0.1:80",
        "192.0.2.256:80",
        "a..b:80",
        ".a:80",
        "a b:80",
        "host?:80",
        "hos\u{e9}:80",
        "1.2.3.4.5:80",
        &long,
    ] {
        assert_eq!(target(wrong), None, "{wrong}");
    }
}

#[test]
fn requests_that_others_may_read_otherwise_are_refused() {
    let of = |lines: &str| {
        let text = format!("CONNECT a.example:80 HTTP/1.1\r\n{lines}\r\n");
        request(&text).map(|_| ())
    };
    assert_eq!(of("Host: a.example:80\r\n"), Ok(()));
    assert_eq!(of("host: A.EXAMPLE\r\nContent-Length: 0\r\n"), Ok(()));
    for (lines, wrong) in [
        ("Host: a.example:80\r\nHost: a.example:80\r\n", Wrong::Host),
        ("Host: b.example:80\r\n", Wrong::Host),
        ("Host: a.example:81\r\n", Wrong::Host),
        ("Host: \r\n", Wrong::Host),
        ("Transfer-Encoding: chunked\r\n", Wrong::Content),
        ("transfer-encoding: identity\r\n", Wrong::Content),
        ("Content-Length: 10\r\n", Wrong::Content),
        ("Content-Length: 0, 0\r\n", Wrong::Content),
        ("Host : a.example:80\r\n", Wrong::Syntax),
        ("X: a\rb\r\n", Wrong::Syntax),
        ("X: a\0b\r\n", Wrong::Syntax),
        ("X: a\r\n folded\r\n", Wrong::Syntax),
        ("X\r\n", Wrong::Syntax),
        ("Exit-Tcp-Keepalive-Duration: soon\r\n", Wrong::Value),
        ("Exit-Tcp-Keepalive-Duration: 0\r\n", Wrong::Value),
        ("Exit-Tcp-Keepalive-Duration: -1\r\n", Wrong::Value),
        ("Exit-Tcp-Keepalive-Duration: 99999999999\r\n", Wrong::Value),
        ("Exit-Hops: 10\r\n", Wrong::Value),
        ("Exit-Hops: 1\r\nExit-Hops: 2\r\n", Wrong::Value),
        ("Exit-Site: a\r\n", Wrong::Value),
    ] {
        assert_eq!(of(lines), Err(wrong), "{lines:?}");
    }
    let lines = "X: a\r\n".repeat(17);
    assert_eq!(of(&lines), Err(Wrong::TooManyHeaders));
    assert_eq!(request("GET / HTTP/1.1\r\n"), Err(Wrong::Method));
    assert_eq!(request("connect a:80 HTTP/1.1\r\n\r\n"), Err(Wrong::Method));
    assert_eq!(request("CONNECT a:80 HTTP/2.0\r\n\r\n"), Err(Wrong::Syntax));
    assert_eq!(request("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Err(Wrong::Syntax));
    assert_eq!(Status::from(Wrong::Method).words().0, 405);
}

#[test]
fn the_wish_for_probes_is_bounded() {
    let secs = |value: &str| {
        let text = format!("CONNECT a:80 HTTP/1.1\r\nexit-tcp-keepalive-duration: {value}\r\n\r\n");
        request(&text).unwrap().unwrap().keepalive_secs
    };
    assert_eq!(["1", "15", "65535"].map(secs), [Some(5), Some(15), Some(7200)]);
}

#[test]
fn answers_are_read_one_head_at_a_time() {
    let of = |text: &str| parse_answer(text.as_bytes());
    let last = |status, len| Ok(Some(Answer::Final { status, len, hint: None }));
    assert_eq!(parse_answer(CONNECTED), last(200, CONNECTED.len()));
    assert_eq!(of("HTTP/1.1 200\r\n\r\npayload"), last(200, 16));
    assert_eq!(of("HTTP/1.0 200 ok\n\nrest"), last(200, 17));
    assert_eq!(of("HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n1234567"), last(204, 46));
    assert_eq!(of("HTTP/1.1 100 Continue\r\n\r\nHTTP"), Ok(Some(Answer::Interim { len: 25 })));
    assert_eq!(of("HTTP/1.1 200 OK\r\n"), Ok(None));
    assert_eq!(of("HTTP/1.1 101 Switching\r\n\r\n"), Err(Wrong::Upgrade));
    for wrong in
        ["HTTP/2 200\r\n\r\n", "220 mail\r\n", "HTTP/1.1 999 Much\r\n\r\n", "HTTP/1.1 2 a\r\n\r\n"]
    {
        assert_eq!(of(wrong), Err(Wrong::Syntax), "{wrong}");
    }
}

#[test]
fn a_hint_is_whole_or_not_there() {
    let of = |value: &str| {
        let text = format!("HTTP/1.1 421 No\r\nExit-Tcp-Options: {value}\r\n\r\n");
        match parse_answer(text.as_bytes()) {
            Ok(Some(Answer::Final { status: 421, hint, .. })) => hint,
            other => panic!("{other:?}"),
        }
    };
    let hint = TcpOptions { sack: false, window_scale: Some(7), mss: 1400 };
    assert_eq!(of("sack=0 ws=7 mss=1400"), Some(hint));
    assert_eq!(
        of("mss=1400  sack=0 ws=none new=1"),
        Some(TcpOptions { window_scale: None, ..hint })
    );
    for wrong in [
        "",
        "sack=0 ws=7",
        "sack=2 ws=7 mss=1400",
        "sack=0 ws=15 mss=1400",
        "sack=0 ws=7 mss=0",
        "sack=0 ws=7 mss=70000",
        "sack=0,ws=7,mss=1400",
    ] {
        assert_eq!(of(wrong), None, "{wrong}");
    }
}

#[test]
fn answers_fit_and_are_read_again() {
    let hint = TcpOptions { sack: true, window_scale: Some(14), mss: 65_535 };
    for status in [
        Status::BadRequest,
        Status::Forbidden,
        Status::MethodNotAllowed,
        Status::RequestTimeout,
        Status::MisdirectedRequest,
        Status::BadGateway,
        Status::ServiceUnavailable,
        Status::GatewayTimeout,
    ] {
        let mut octets = [0; ANSWER_LEN_MAX];
        let len = write_answer(&mut octets, status, Some(hint)).unwrap();
        let wanted = Answer::Final { status: status.words().0, len, hint: Some(hint) };
        assert_eq!(parse_answer(&octets[..len]), Ok(Some(wanted)));
    }
}

proptest! {
    #[test]
    fn no_text_is_a_surprise(octets in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..120) {
        let _ = parse_answer(&octets).map(|_| ());
        let _ = parse_request(&octets).map(|_| ());
        let start = b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n";
        let text = [&start[..cut.min(start.len())], &octets].concat();
        if let Ok(Some(request)) = parse_request(&text) {
            prop_assert!(request.len <= text.len() && request.target.port != 0);
        }
    }

    #[test]
    fn a_head_is_read_alike_however_it_comes(cut in 0_usize..54) {
        let text = b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n";
        prop_assert_eq!(text.len(), 53);
        let part = parse_request(&text[..cut.min(53)]);
        if cut < 53 {
            prop_assert_eq!(part, Ok(None));
        } else {
            prop_assert_eq!(part.unwrap().unwrap().len, 53);
        }
    }
}
