//! Every kind of connection, through proxies and through another data centre.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};

use crate::ends::{close, connect, hear, hear_out, reset, say, serve};
use crate::lab::alone;
use crate::lab::namespace::Namespace;
use crate::lab::until;
use crate::site::{Client, INTERNET, Site, content, is_whole};
use crate::through::{Through, Way};

const PORT: u16 = 7000;
/// What is said in one go: many segments.
const SAID_LEN: usize = 200_000;

#[test]
fn every_kind_of_connection_goes_through_proxies_and_data_centres() {
    let _machine = alone();
    for way in [Way::Tinyproxy, Way::Squid, Way::Borne, Way::Plain, Way::Terminated] {
        let site = Site::new();
        let (_web, _ftp) = (site.web(), site.ftp());
        let through = Through::start(&site, way);
        let client = site.client(0);
        let about = format!("{way:?}");
        // Two for a file by FTP, and two resets.
        let mut opened = 8;
        requests_share_a_connection(&client, &about);
        tls_is_inside(&client, &about);
        files_come_from_who_speaks_first(&client, &about);
        what_is_said_before_closing_is_heard(&client, &about);
        a_closed_window_opens_again(&client, &about);
        // Proxies end a connection with the first end of it, as they see fit.
        let is_pop = matches!(way, Way::Borne | Way::Plain | Way::Terminated);
        resets_reach_the_other_end(&client, is_pop, &about);
        if is_pop {
            ends_close_one_after_the_other(&client, &about);
            opened += 2;
        }
        drop(client);
        through.end(opened);
    }
}

fn origin() -> SocketAddr {
    SocketAddr::new(INTERNET.parse().unwrap(), PORT)
}

fn requests_share_a_connection(client: &Client<'_>, about: &str) {
    let url = format!("http://{INTERNET}/served");
    let said = client.place.run(&format!(
        "curl -sS --max-time 30 -w %{{num_connects}}; -o /run/lab/got0 -o /run/lab/got1 -o /run/lab/got2 {url} {url} {url}"
    ));
    assert_eq!(said, "1;0;0;", "{about}");
    assert!((0..3).all(|load| is_whole(client.place, load)), "{about}");
}

fn tls_is_inside(client: &Client<'_>, about: &str) {
    client
        .place
        .run(&format!("curl -sS -k --max-time 30 -o /run/lab/got0 https://{INTERNET}/served"));
    assert!(is_whole(client.place, 0), "{about}");
}

fn files_come_from_who_speaks_first(client: &Client<'_>, about: &str) {
    client.place.run(&format!("curl -sS --max-time 30 -o /run/lab/got0 ftp://{INTERNET}/served"));
    assert!(is_whole(client.place, 0), "{about}");
}

pub(crate) fn what_is_said_before_closing_is_heard(client: &Client<'_>, about: &str) {
    let said = &content()[..SAID_LEN];
    let words = said.to_vec();
    // It may be over before the client knows that it is connected.
    let server = serve(client.internet, PORT, move |stream| say(&stream, &words));
    let stream = connect(client.place, origin()).unwrap();
    assert!(hear_out(&stream) == said, "{about}");
    server.join().unwrap();
}

fn a_closed_window_opens_again(client: &Client<'_>, about: &str) {
    let mut sysctl = client.place.command("sysctl");
    assert!(sysctl.args(["-qw", "net.ipv4.tcp_rmem=4096 32768 65536"]).status().unwrap().success());
    let before = questions(client.internet);
    let server = serve(client.internet, PORT, |stream| say(&stream, &content()));
    let stream = connect(client.place, origin()).unwrap();
    until("a closed window is asked about", 30, || questions(client.internet) > before);
    assert!(hear_out(&stream) == content(), "{about}");
    server.join().unwrap();
}

/// How often somebody there has asked whether a window that was closed is open: by a probe, or by sending again what was on
/// its way when it closed and was thrown away, for as long as nothing of it is confirmed.
fn questions(place: &Namespace) -> u64 {
    let text = place.run("cat /proc/net/netstat");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let mut words = || lines.next().unwrap().split_whitespace();
    let (names, values) = (words(), words());
    let counts: Vec<u64> = names
        .zip(values)
        .filter(|(name, _)| ["TCPWinProbe", "TCPTimeouts"].contains(name))
        .map(|(_, value)| value.parse().unwrap())
        .collect();
    assert_eq!(counts.len(), 2, "{text}");
    counts.iter().sum()
}

pub(crate) fn resets_reach_the_other_end(client: &Client<'_>, is_exact: bool, about: &str) {
    let server = serve(client.internet, PORT, |stream| {
        say(&stream, b"a");
        end_of(&stream)
    });
    let stream = connect(client.place, origin()).unwrap();
    hear(&stream, 1);
    reset(stream);
    let end = server.join().unwrap();
    assert!(
        end == Some(ErrorKind::ConnectionReset) || end.is_none() && !is_exact,
        "{about}: {end:?}"
    );
    let server = serve(client.internet, PORT, |stream| {
        hear(&stream, 1);
        reset(stream);
    });
    let stream = connect(client.place, origin()).unwrap();
    say(&stream, b"a");
    let end = end_of(&stream);
    assert!(
        end == Some(ErrorKind::ConnectionReset) || end.is_none() && !is_exact,
        "{about}: {end:?}"
    );
    server.join().unwrap();
}

/// How a connection ends on which nothing more is said: by a close if none is named.
fn end_of(mut stream: &TcpStream) -> Option<ErrorKind> {
    match stream.read(&mut [0]) {
        Ok(len) => {
            assert_eq!(len, 0, "nobody has said anything");
            None
        }
        Err(error) => Some(error.kind()),
    }
}

pub(crate) fn ends_close_one_after_the_other(client: &Client<'_>, about: &str) {
    for is_client_first in [true, false] {
        let talk = move |stream: TcpStream, is_first: bool| {
            let words = &content()[..SAID_LEN];
            if is_first {
                say(&stream, words);
                close(&stream);
                return hear_out(&stream);
            }
            let heard = hear_out(&stream);
            say(&stream, words);
            heard
        };
        let server = serve(client.internet, PORT, move |stream| talk(stream, !is_client_first));
        let stream = connect(client.place, origin()).unwrap();
        let heard = [talk(stream, is_client_first), server.join().unwrap()];
        let is_all = heard.iter().all(|heard| heard[..] == content()[..SAID_LEN]);
        assert!(is_all, "{about}: client first: {is_client_first}");
    }
}
