//! Control restarted and routes changed under downloads: what is under way goes on, what is new takes the new way.

use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

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
        until("the origin tells", 10, || served(site).len() > before);
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
