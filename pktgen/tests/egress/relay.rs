//! Three data centres, of which two do not reach each other: connections go through the third.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::ends::{connect, hear_head, is_over, say};
use crate::kinds::{
    ends_close_one_after_the_other, resets_reach_the_other_end,
    what_is_said_before_closing_is_heard,
};
use crate::lab::alone;
use crate::lab::dataplane::{Counters, Dataplane};
use crate::lab::keys::Keys;
use crate::lab::namespace::Namespace;
use crate::lab::{attach, until};
use crate::loss::{load_and_store, load_side_by_side};
use crate::middle::{Middle, part_from};
use crate::served;
use crate::site::{Client, GATEWAY, INTERNET, NAT, POP, POP_NAT, POP_PORT, SERVER, Site};
use crate::through::{end, settle};

/// The one between the others, and whom the Internet sees of it.
const RELAY: &str = "11.1.0.3";
const RELAY_NAT: &str = "11.1.0.202";
/// Its port of the link.
const RELAY_PORT: &str = "relay";

/// The three of them: where clients are, where their connections leave, and between.
struct Chain {
    server: Dataplane,
    relay: Dataplane,
    exit: Dataplane,
    _place: Namespace,
}

/// All three as everybody is told of them, and one that is nowhere: each of two takes the other for the way there.
fn centres(nowhere: &str) -> String {
    [("fra", 7, POP), ("ams", 8, RELAY), ("lhr", 1, SERVER), ("nul", 9, nowhere)]
        .map(|(name, number, address)| {
            format!("[[centre]]\nname = \"{name}\"\nnumber = {number}\nmachines = [\"{address}:{POP_PORT}\"]\n")
        })
        .concat()
}

impl Chain {
    /// Starts all three.
    fn start(site: &Site) -> Self {
        let place = Namespace::new();
        attach((&site.hub, RELAY_PORT), (&place, "outer"));
        place.run("sysctl -qw net.ipv6.conf.outer.disable_ipv6=1");
        for port in ["server", "pop"] {
            site.hub.run(&format!("ip link set {port} type bridge_slave isolated on"));
        }
        let key = Keys::new().secret_text();
        let section = |from: &[&str]| {
            format!("[connect]\nport = {POP_PORT}\nfrom = {from:?}\nkey = \"{key}\"\n")
        };
        let exit = Site::serve_centre_at(
            (&site.pop, POP, POP_NAT),
            (&section(&[SERVER, NAT, RELAY, RELAY_NAT]), &centres(RELAY)),
            "fra",
        );
        let relay = Site::serve_centre_at(
            (&place, RELAY, RELAY_NAT),
            (&section(&[SERVER, NAT, POP, POP_NAT, GATEWAY]), &centres(POP)),
            "ams",
        );
        let declared = centres("11.1.0.9")
            + &format!(
                "[[next_hop]]\nname = \"via-fra\"\nkind = \"via\"\ncentre = \"fra\"\n\
                [[route]]\nprefix = \"{INTERNET}/32\"\nnext_hop = \"via-fra\"\n"
            );
        let server = site.start(1, (&section(&[POP, POP_NAT, RELAY, RELAY_NAT]), &declared));
        Self { server, relay, exit, _place: place }
    }

    /// Waits until the server's control has found the way.
    fn is_found(&self, site: &Site) {
        let begin = Instant::now();
        until("the way through the relay is found", 60, || {
            let list = site.ask(&self.server, "--json argo list");
            list.lines().any(|line| line.contains("\"fra\"") && line.contains("\"relay\":\"ams\""))
        });
        println!("the way is found after {:.1?}", begin.elapsed());
    }

    /// Ends all three: nothing is being opened still; gives what each has counted.
    fn end(self) -> [Counters; 3] {
        [self.server, self.relay, self.exit].map(end)
    }
}

/// Loads and stores a file, loads so many of the small one side by side, and opens connections that end in each way there is;
/// gives how many connections that was.
fn everything(client: &Client<'_>, name: &str, short: usize, about: &str) -> u64 {
    load_and_store(client, name, about);
    load_side_by_side(client, short, about);
    what_is_said_before_closing_is_heard(client, about);
    resets_reach_the_other_end(client, true, about);
    ends_close_one_after_the_other(client, about);
    2 + short as u64 + 5
}

/// What all three say in the end of connections of which so many were asked for in the SYN.
fn nothing_is_left(counts: &[Counters; 3], opened: u64, borne: u64) {
    for counters in counts {
        let count = ["connects_opened", "connects_failed", "connects_borne"];
        let count = count.map(|name| counters[name]);
        assert_eq!(count, [opened, 0, borne], "{counters:?}");
        assert!(counters["flows"] <= opened, "{counters:?}");
    }
}

#[test]
fn a_third_data_centre_stands_in_where_two_do_not_reach_each_other() {
    let _machine = alone();
    let site = Site::new();
    let _web = site.web();
    let chain = Chain::start(&site);
    chain.is_found(&site);
    let client = site.client(0);
    let opened = everything(&client, "served", 4, "borne");
    let lines = served(&site);
    assert!(lines.iter().all(|line| line.starts_with(POP_NAT)), "{lines:?}");
    no_request_goes_round(&site);
    drop(client);
    let [server, relay, exit] = chain.end();
    // The relay has opened one for who asked by hand, behind the SYN, and none that goes round, not even once.
    let count = |counters: &Counters| {
        ["connects_opened", "connects_borne", "connects_failed"].map(|name| counters[name])
    };
    assert_eq!(count(&server), [opened, opened, 0], "{server:?}");
    assert_eq!(count(&relay), [opened + 1, opened, REFUSED], "{relay:?}");
    assert_eq!(count(&exit)[0], opened + 1, "{exit:?}");
}

/// Requests that are refused because no relay may follow, here or one further.
const REFUSED: u64 = 3;

fn no_request_goes_round(site: &Site) {
    let asked = SocketAddr::new(RELAY.parse().unwrap(), POP_PORT);
    let ask = |more: &str| {
        let stream = connect(&site.internet, asked).unwrap();
        let target = format!("{INTERNET}:80");
        say(
            &stream,
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{more}\r\n").as_bytes(),
        );
        let answer = hear_head(&stream);
        (stream, answer)
    };
    let (stream, answer) = ask("Exit-Site: 7\r\nExit-Hops: 1\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "one relay: {answer}");
    say(&stream, b"GET /little HTTP/1.0\r\n\r\n");
    assert!(hear_head(&stream).starts_with("HTTP/1.1 200 OK"), "the origin's answer");
    drop(stream);
    for more in [
        "Exit-Site: 7\r\nExit-Hops: 0\r\n",
        "Exit-Site: 9\r\nExit-Hops: 1\r\n",
        "Exit-Site: 9\r\nExit-Hops: 9\r\n",
    ] {
        let begin = Instant::now();
        let (stream, answer) = ask(more);
        let is_refused = ["403", "502", "503"]
            .iter()
            .any(|status| answer.starts_with(&format!("HTTP/1.1 {status} ")));
        assert!(is_refused && begin.elapsed() < Duration::from_secs(5), "{more}: {answer}");
        is_over(&stream);
    }
}

#[test]
#[ignore = "it takes minutes: scripts/test --slow"]
fn a_relay_bears_losses_and_networks_that_eat_requests_in_the_syn() {
    let _machine = alone();
    // On each of two links, so that a tenth is the most on the whole way.
    for (percent, seed) in [(0, 1), (1, 2), (5, 3)] {
        let about = format!("{percent} % lost and late, seed {seed}");
        let site = Site::new();
        let _web = site.web();
        let chain = Chain::start(&site);
        part_from(&site, RELAY_PORT);
        let behind = (RELAY_PORT, &[RELAY, RELAY_NAT][..]);
        let middle = Middle::strict(&site, behind, percent, seed);
        chain.is_found(&site);
        let client = site.client(0);
        let begin = Instant::now();
        // More than a hundredth makes TCP so slow that the whole file would take minutes.
        let name = if percent < 5 { "served" } else { "little" };
        let opened = everything(&client, name, 12, &about);
        println!("{about}: {:.1?}", begin.elapsed());
        drop(client);
        for dataplane in [&chain.server, &chain.relay, &chain.exit] {
            settle(dataplane);
        }
        // The link goes with the relay's place.
        assert!(middle.end_strict() >= 2 * opened, "{about}");
        nothing_is_left(&chain.end(), opened, 0);
    }
}
