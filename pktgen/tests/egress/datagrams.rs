//! What is no connection of IPv4, through another data centre: names, STUN, QUIC's like, echoes, sizes, IPv6.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::lab::traffic::ping;
use crate::lab::{alone, bound, until};
use crate::site::{
    BEYOND, CLIENTS, Client, INNER_V6, INTERNET, INTERNET_V6, NAT, POP_NAT, POP_OUTSIDE_V6, STUN,
    Site, is_whole, served,
};
use crate::{finds_names, is_called_a_good_translator, names};

#[test]
fn datagrams_and_ipv6_go_through_another_data_centre_and_keep_their_way() {
    let _machine = alone();
    let site = Site::new();
    let (_web, dnsmasq) = (site.web(), names(&site));
    let [server, pop] = site.serve_both(2);
    site.ask(&server, &format!("route add {BEYOND} via-fra"));
    let clients: Vec<_> = (0..CLIENTS).map(|number| site.client(number)).collect();
    for client in &clients {
        ping(client.place, INTERNET, 5);
        finds_names(client);
    }
    let asked = |from: &str| dnsmasq.mentions(&format!("edge.example from {from}"));
    assert!(asked(POP_NAT) >= CLIENTS * 2 && asked(NAT) == 0, "{} {}", asked(POP_NAT), asked(NAT));
    is_called_a_good_translator(&site, &clients[0]);
    sizes_are_heard_of(&site, &clients[0]);
    ipv6_is_known_by_the_exits_prefix(&site, &clients);
    mappings_outlive_their_routes(&site, &clients[1], |words| site.ask(&server, words));
    drop(clients);
    let [server, pop] = [server.stop(), pop.stop()];
    let count = |name: &str| [&server, &pop].map(|all| all.get(name).copied().unwrap_or(0));
    assert_eq!(count("connects_failed"), [0, 0]);
    assert!(count("via_out")[0] > 400 && count("guests_out")[1] > 400, "{server:?}\n{pop:?}");
    for reason in ["source", "header", "unknown", "address", "full"] {
        assert_eq!(count(&format!("drop.egress_via_{reason}")), [0, 0], "{reason}");
    }
}

/// A router beyond takes less than the tunnel does.
fn sizes_are_heard_of(site: &Site, client: &Client<'_>) {
    let far = site.beyond(1000);
    let (_, said) = client.place.attempt(&format!("ping -n -c 1 -W 2 -t 3 {far}"));
    assert!(said.contains("Time to live exceeded"), "{said}");
    until("the size is heard of", 30, || {
        let (_, said) = client.place.attempt(&format!("ping -n -c 1 -W 1 -M do -s 1200 {far}"));
        said.contains("mtu = 1000") || said.contains("mtu=1000")
    });
}

fn ipv6_is_known_by_the_exits_prefix(site: &Site, clients: &[Client<'_>]) {
    let before = served(site).len();
    for (host, client) in (2..).zip(clients) {
        client.place.run(&format!(
            "curl -sS --max-time 30 --interface {INNER_V6}{host} -o /run/lab/got0 http://[{INTERNET_V6}]/served"
        ));
        assert!(is_whole(client.place, 0), "{host}");
        client.place.run(&format!("ping -6 -n -c 2 -W 2 -I {INNER_V6}{host} {INTERNET_V6}"));
    }
    let lines = served(site).split_off(before);
    assert!(lines.iter().all(|line| line.starts_with(POP_OUTSIDE_V6)), "{lines:?}");
    assert_eq!(lines.len(), CLIENTS);
}

/// Numbered datagrams as long as QUIC's first ones (RFC 9000 14), by turns to two servers, while the route comes and goes.
fn mappings_outlive_their_routes(site: &Site, client: &Client<'_>, ask: impl Fn(&str) -> String) {
    let at = STUN.map(|address| SocketAddr::new(address.parse().unwrap(), 443));
    let servers = at.map(|address| patient(bound(&site.internet, address)));
    let anywhere = SocketAddr::new([0, 0, 0, 0].into(), 0);
    let [old, new, last] = [(); 3].map(|()| patient(bound(client.place, anywhere)));
    let talk = |socket: &UdpSocket, turn: usize| {
        let (server, address) = (&servers[turn % 2], at[turn % 2]);
        let sent = [u8::try_from(turn).unwrap(); 1200];
        let mut heard = [0; 1500];
        socket.send_to(&sent, address).unwrap();
        let (len, from) = server.recv_from(&mut heard).unwrap();
        assert_eq!(heard[..len], sent);
        server.send_to(&sent, from).unwrap();
        assert_eq!(socket.recv_from(&mut heard).unwrap(), (sent.len(), address));
        from
    };
    let begun = talk(&old, 0);
    assert_eq!(begun.ip().to_string(), POP_NAT);
    assert!((0..100).all(|turn| talk(&old, turn) == begun));
    ask(&format!("route remove {BEYOND}"));
    until("new ones leave straight", 20, || {
        talk(&patient(bound(client.place, anywhere)), 1).ip().to_string() == NAT
    });
    let straight = talk(&new, 0);
    assert!((0..100).all(|turn| (talk(&old, turn), talk(&new, turn)) == (begun, straight)));
    ask(&format!("route add {BEYOND} via-fra"));
    until("new ones go through the other data centre again", 20, || {
        talk(&patient(bound(client.place, anywhere)), 1).ip().to_string() == POP_NAT
    });
    assert!((0..100).all(|turn| (talk(&old, turn), talk(&new, turn)) == (begun, straight)));
    assert_eq!(talk(&last, 0).ip().to_string(), POP_NAT);
}

fn patient(socket: UdpSocket) -> UdpSocket {
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}
