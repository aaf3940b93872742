//! Connections that cannot be spliced: the next hop speaks TLS, or another version of IP than the client.

use std::time::Duration;

use rustix::process::Signal;

use crate::lab::control::program;
use crate::lab::files::{listens, path};
use crate::lab::process::Process;
use crate::lab::{alone, until};
use crate::site::{
    CLIENTS, Client, INTERNET, INTERNET_V6, KNOWN_V6, LITTLE_LEN, PROXY, STUN, Site, content,
    fetch, is_whole,
};
use crate::through::settle;

const TLS_PORT: u16 = 3129;
const AUTHORITIES: &str = "/run/lab/proxy.pem";

impl Site {
    /// Debian's squid, asked over TLS as `proxy.example`, which hears the same way of those that its certificate is shown to.
    fn tls_proxy(&self) -> Process {
        self.internet.run(&format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=proxy.example \
             -addext subjectAltName=DNS:proxy.example -addext basicConstraints=critical,CA:FALSE \
             -keyout {AUTHORITIES} -out {AUTHORITIES}"
        ));
        let certificate = self.internet.run(&format!("openssl x509 -in {AUTHORITIES}"));
        self.server.file("proxy.pem", &certificate);
        let config = self.internet.file(
            "squid-tls.conf",
            &format!(
                "https_port {PROXY}:{TLS_PORT} tls-cert={AUTHORITIES}\nhttp_access allow all\ncache deny all\naccess_log none\n\
                 cache_store_log none\ncache_log /dev/null\npid_filename none\n\
                 coredump_dir none\ncache_effective_user proxy\nshutdown_lifetime 1 seconds\n\
                 netdb_filename none\nvisible_hostname proxy.example\n"
            ),
        );
        let mut command = self.internet.command("squid");
        command.args(["-N", "-f"]).arg(config);
        let process = Process::start("squid", command);
        until("the proxy listens", 30, || listens(&self.internet, TLS_PORT));
        process
    }
}

fn little(client: &Client<'_>, about: &str) {
    client
        .place
        .run(&format!("curl -sS --max-time 20 -o /run/lab/little http://{INTERNET}/little"));
    let got = std::fs::read(path(client.place, "little")).unwrap();
    assert!(got == content()[..LITTLE_LEN], "{about}");
}

#[test]
fn connections_to_a_proxy_that_speaks_tls_are_terminated_and_the_rest_is_as_ever() {
    let _machine = alone();
    let site = Site::new();
    let (_web, _proxy) = (site.web(), site.tls_proxy());
    let prefixes =
        [format!("{INTERNET}/32"), format!("{INTERNET_V6}/128"), format!("{}/32", STUN[0])];
    let prefixes = prefixes.each_ref().map(String::as_str);
    let tls = format!("tls = \"proxy.example\"\nauthorities = \"{AUTHORITIES}\"\n");
    let at = format!("{PROXY}:{TLS_PORT}");
    let (server, mut service) = site.serve_terminating(&prefixes, (&at, &tls));
    // Both have one inner address.
    let clients: Vec<_> = (0..CLIENTS).map(|number| site.client(number)).collect();
    let load = |client: &Client<'_>| client.place.command_line(&fetch(0)).spawn().unwrap();
    for (client, mut load) in clients.iter().zip(clients.iter().map(load).collect::<Vec<_>>()) {
        assert!(load.wait().unwrap().success() && is_whole(client.place, 0));
    }
    let [client, odd] = &clients[..] else { unreachable!("two") };
    little(client, "a little one");
    client.place.run(&format!("curl -sS --max-time 20 -T /run/lab/got0 http://{INTERNET}/taken/0"));
    assert!(site.is_taken(0));
    client
        .place
        .run(&format!("curl -sS -k --max-time 30 -o /run/lab/got1 https://{INTERNET}/served"));
    assert!(is_whole(client.place, 1), "TLS within TLS");
    // The proxy is asked over IPv4.
    client.place.run(&format!(
        "curl -sS --max-time 30 --interface {KNOWN_V6}2 -o /run/lab/got2 http://[{INTERNET_V6}]/served"
    ));
    assert!(is_whole(client.place, 2), "IPv6");
    // What this client's SYN lacks, the proxy's has.
    for option in ["sack", "timestamps", "window_scaling"] {
        odd.place.run(&format!("sysctl -qw net.ipv4.tcp_{option}=0"));
    }
    little(odd, "with no options");
    assert_eq!(server.counter("connects_terminated"), 7);
    // Nobody listens there: the proxy says so, and the client is reset before it was connected.
    let refused = format!("curl -sS --max-time 10 -o /dev/null http://{}:7/", STUN[0]);
    let (went, said) = client.place.attempt(&refused);
    assert!(!went && said.contains("(7)"), "{said}");
    settle(&server);
    let status = site.ask(&server, "status");
    assert!(status.contains(" of 7, 1 refused (denied 1)"), "{status}");
    // Without the service its connections are refused at once, and nothing else.
    assert!(service.stop(Signal::TERM).success());
    let begin = std::time::Instant::now();
    let (went, said) = client.place.attempt(&fetch(3));
    assert!(!went && said.contains("(7)") && begin.elapsed() < Duration::from_secs(5), "{said}");
    assert!(site.ask(&server, "status").contains("none: "), "its counts are gone with it");
    drop(clients);
    settle(&server);
    let counters = server.stop();
    let count = |name: &str| counters.get(name).copied().unwrap_or(0);
    let counts = ["connects_opened", "connects_terminated", "connects_failed"].map(count);
    assert_eq!(counts, [7, 7, 2], "{counters:?}");
}

#[test]
fn the_service_says_what_it_lacks() {
    let _machine = alone();
    let site = Site::new();
    let place = &site.server;
    let config = |interface: &str| {
        format!(
            "interface = \"{interface}\"\naddresses = [\"100.64.77.2\"]\nfrom = [\"100.64.77.1/32\"]\nsocket = \"t.sock\"\n\
             [[next_hop]]\nname = \"partner\"\nport = 3001\naddress = \"192.0.2.7:443\"\n"
        )
    };
    let service = program("millrace-terminate");
    let said = |config: &str| {
        let file = place.file("terminate.toml", config);
        let (went, said) = place.attempt(&format!("{service} --config {file}"));
        assert!(!went);
        said
    };
    assert!(said(&config("term0")).contains("no interface term0; start the dataplane with"));
    let remedy = "ip addr add 100.64.77.2/PREFIX dev lo";
    assert!(said(&config("lo")).contains(remedy));
    let many = format!("connections = 400000\n{}", config("lo"));
    let file = place.file("terminate.toml", &many);
    let (went, words) =
        place.attempt(&format!("prlimit --nofile=1000:1000 {service} --config {file}"));
    assert!(!went && words.contains("raise LimitNOFILE"), "{words}");
}
