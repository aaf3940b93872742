//! What clients of a fleet reach beyond it: an origin to which servers connect straight, through a proxy, and through another
//! data centre of ours.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::datagrams;
use super::router::Subnet;
use super::site::Site;
use super::stream;
use crate::lab::dataplane::{Counters, Dataplane, instance};
use crate::lab::files::listens;
use crate::lab::keys::Keys;
use crate::lab::namespace::Namespace;
use crate::lab::process::Process;
use crate::lab::until;

/// All of these are the origin.
pub(crate) const PREFIX: &str = "203.0.113.0/24";
pub(crate) const STRAIGHT: &str = "203.0.113.80";
/// Led through a proxy, and through a data centre.
pub(crate) const SPLICED: [&str; 2] = ["203.0.113.81", "203.0.113.82"];
const PROXY: &str = "203.0.113.90";
const PROXY_PORT: u16 = 8888;

const ORIGIN: Subnet = Subnet(120);
const POP: Subnet = Subnet(121);
const CONNECT_PORT: u16 = 4443;
/// The host of a subnet that the origin sees of whoever translates there.
const NAT: u8 = 200;

const DEVICE: &str = "net_af_packet0,framecnt=2048,iface=outer";

/// The sections of a server that translates and asks for connections.
pub(crate) fn sections(server: Subnet) -> String {
    format!(
        "[nat]\naddresses = [\"{}\"]\nflows = 16384\n{}",
        server.v4(NAT),
        asked_by(&[POP.v4(1)])
    )
}

fn asked_by(from: &[String]) -> String {
    format!("[connect]\nport = {CONNECT_PORT}\nfrom = {from:?}\n")
}

/// The origin, the proxy and the other data centre.
pub(crate) struct Outside {
    _place: Namespace,
    pop: Dataplane,
    _pop_place: Namespace,
    _proxy: Process,
}

impl Outside {
    /// All of them, and the routes to them for all servers of the site.
    pub(crate) fn new(site: &Site) -> Self {
        let place = site.place(ORIGIN);
        for address in [STRAIGHT, SPLICED[0], SPLICED[1], PROXY] {
            place.run(&format!("ip addr add {address}/32 dev lo"));
        }
        site.router.namespace.run(&format!("ip route add {PREFIX} via {}", ORIGIN.v4(1)));
        stream::serve(&place, subnet_of);
        datagrams::serve(&place, STRAIGHT);
        let proxy = proxy(&place);
        let (pop_place, pop) = pop(site);
        site.declare("outside.toml", &declared());
        Self { _place: place, pop, _pop_place: pop_place, _proxy: proxy }
    }

    /// One of the data centre's counters.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.pop.counter(name)
    }

    /// Ends the data centre; every packet has to be accounted for.
    pub(crate) fn stop(self) -> Counters {
        self.pop.stop()
    }
}

/// The number of the subnet from which somebody connects; a proxy is in none.
fn subnet_of(client: IpAddr) -> u8 {
    let IpAddr::V4(client) = client.to_canonical() else { return 0 };
    let [a, b, number, _] = client.octets();
    if [a, b] == [198, 18] { number } else { 0 }
}

fn proxy(place: &Namespace) -> Process {
    let config = format!(
        "Port {PROXY_PORT}\nListen {PROXY}\nTimeout 600\nMaxClients 100\nAllow 198.18.0.0/16\nDisableViaHeader Yes\n"
    );
    let config = place.file("tinyproxy.conf", &config);
    let mut command = place.command("tinyproxy");
    command.args(["-d", "-c", &config]);
    let process = Process::start("tinyproxy", command);
    until("the proxy listens", 30, || listens(place, PROXY_PORT));
    process
}

fn pop(site: &Site) -> (Namespace, Dataplane) {
    let place = Namespace::new();
    site.router.attach(&place, "outer", POP);
    place.run("sysctl -qw net.ipv6.conf.outer.disable_ipv6=1");
    let from: Vec<_> = site.servers.iter().map(|server| server.subnet().v4(NAT)).collect();
    let config = format!(
        "instance = \"{}\"\nprivate_key = \"{}\"\nlisten_port = 51820\nworkers = [0]\nhandshake_threads = 1\n\
         idle = \"sleep\"\n[memory]\nhugepages = false\nmegabytes = 128\n\
         [nat]\naddresses = [\"{}\"]\nflows = 16384\n{}\
         [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n\
         [[port]]\nname = \"wan\"\ndevice = \"{DEVICE}\"\naddresses = [\"{}/24\"]\ngateways = [\"{}\"]\n",
        instance(),
        Keys::new().secret_text(),
        POP.v4(NAT),
        asked_by(&from),
        POP.v4(1),
        POP.v4(254),
    );
    let pop = Dataplane::start_text(&place, &config, DIRECT);
    (place, pop)
}

const DIRECT: &str = "[[next_hop]]\nname = \"internet\"\nkind = \"direct\"\n";

/// What all servers are told.
fn declared() -> String {
    let mut text = DIRECT.to_owned();
    let ways = [
        ("proxy", 8, format!("{PROXY}:{PROXY_PORT}")),
        ("pop", 7, format!("{}:{CONNECT_PORT}", POP.v4(1))),
    ];
    for (name, number, machine) in ways {
        write!(
            text,
            "[[centre]]\nname = \"{name}\"\nnumber = {number}\nmachines = [\"{machine}\"]\n\
             [[next_hop]]\nname = \"via-{name}\"\nkind = \"via\"\ncentre = \"{name}\"\n"
        )
        .unwrap();
    }
    let routes = [(STRAIGHT, "internet"), (SPLICED[0], "via-proxy"), (SPLICED[1], "via-pop")];
    for (address, way) in routes {
        write!(text, "[[route]]\nprefix = \"{address}/32\"\nnext_hop = \"{way}\"\n").unwrap();
    }
    text
}
