//! Control restarted and routes changed under downloads: what is under way goes on, what is new takes the new way. What another
//! data centre has forgotten is over at once.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ends::{PATIENCE, connect, hear, hear_out, say, serve};
use crate::lab::{alone, until};
use crate::served;
use crate::site::{Client, INTERNET, NAT, POP_NAT, Site, content, fetch, is_whole};
use crate::through::settle;

/// What a download has said before its route is changed.
const HALF: usize = 1_000_000;

/// A download that is half done.
struct Download {
    client: TcpStream,
    server: JoinHandle<()>,
    go_on: Sender<()>,
}

impl Download {
    fn begin(client: &Client<'_>, port: u16) -> Self {
        let (go_on, told) = channel();
        let server = serve(client.internet, port, move |stream| {
            say(&stream, &content()[..HALF]);
            told.recv_timeout(PATIENCE * 4).unwrap();
            say(&stream, &content()[HALF..]);
        });
        let origin = format!("{INTERNET}:{port}").parse().unwrap();
        let stream = connect(client.place, origin).unwrap();
        assert!(hear(&stream, HALF) == content()[..HALF]);
        Self { client: stream, server, go_on }
    }

    fn end(self) {
        self.go_on.send(()).unwrap();
        assert!(hear_out(&self.client) == content()[HALF..]);
        self.server.join().unwrap();
    }
}

/// Waits until new connections reach the origin from an address like this.
fn leaves_from(site: &Site, client: &Client<'_>, is_it: fn(&str) -> bool) {
    until("new connections take the new way", 30, || {
        let before = served(site).len();
        client.place.run(&fetch(0));
        assert!(is_whole(client.place, 0));
        // The origin writes it down when the client has it already.
        until("the origin tells", 30, || served(site).len() > before);
        is_it(served(site).last().unwrap().split_whitespace().next().unwrap())
    });
}

#[test]
fn downloads_outlive_control_and_their_routes_and_new_connections_take_the_new_way() {
    let _machine = alone();
    let site = Site::new();
    let _web = site.web();
    let (_proxy, port) = site.proxy("tinyproxy");
    let (pop, mut server) = (site.serve_pop(), site.serve_ways(port));
    let client = site.client(0);
    let [via_pop, via_proxy] =
        ["pop", "proxy"].map(|way| format!("route add {INTERNET}/32 via-{way}"));
    let straight = format!("route remove {INTERNET}/32");
    site.ask(&server, &via_pop);
    leaves_from(&site, &client, |from| from == POP_NAT);
    let first = Download::begin(&client, 7000);
    server.control.take().unwrap().kill();
    leaves_from(&site, &client, |from| from == POP_NAT);
    server.control = Some(site.control_again());
    leaves_from(&site, &client, |from| from == POP_NAT);
    site.ask(&server, &straight);
    site.ask(&server, &via_proxy);
    leaves_from(&site, &client, |from| from != POP_NAT && from != NAT);
    let second = Download::begin(&client, 7001);
    site.ask(&server, &straight);
    leaves_from(&site, &client, |from| from == NAT);
    let third = Download::begin(&client, 7002);
    site.ask(&server, &via_pop);
    leaves_from(&site, &client, |from| from == POP_NAT);
    for download in [first, second, third] {
        download.end();
    }
    drop(client);
    for dataplane in [server, pop] {
        settle(&dataplane);
        let counters = dataplane.stop();
        assert_eq!(counters["connects_failed"], 0, "{counters:?}");
    }
}

#[test]
fn clients_hear_at_once_that_another_data_centre_was_started_again() {
    let _machine = alone();
    for is_ours in [true, false] {
        let site = Site::new();
        let pop = site.serve_pop();
        let server = site.serve_via_pop(is_ours);
        let client = site.client(0);
        // The origin hears of nothing: whom it spoke to is no more.
        let (over, told) = channel::<()>();
        let origin = serve(client.internet, 7000, move |stream| {
            say(&stream, &hear(&stream, 1));
            // Until nobody is there to tell anything.
            told.recv().unwrap_err();
        });
        let stream = connect(client.place, format!("{INTERNET}:7000").parse().unwrap()).unwrap();
        say(&stream, b"a");
        hear(&stream, 1);
        pop.kill();
        let pop = site.serve_pop();
        let begin = Instant::now();
        // What was not acknowledged before may have led to a reset already.
        let heard = (&stream).write_all(b"b").and_then(|()| (&stream).read(&mut [0]));
        let end = heard.unwrap_err().kind();
        assert_eq!(end, ErrorKind::ConnectionReset, "ours: {is_ours}");
        // Its kernel repeats what it said after a fifth of a second, then after two, and so on.
        assert!(begin.elapsed() < Duration::from_secs(10), "ours: {is_ours}");
        drop((over, client));
        origin.join().unwrap();
        assert!(pop.stop()["resets"] > 0, "ours: {is_ours}");
        server.stop();
    }
}
