//! The site: a server, clients with wireguard-go, and an "Internet" on one link, so that everybody's packets can be seen.

use std::fmt::Write as _;
use std::process::Command;

use crate::lab::control::Control;
use crate::lab::dataplane::{Dataplane, instance};
use crate::lab::files::{lay_out, listens, path, vsftpd};
use crate::lab::keys::Keys;
use crate::lab::namespace::{Namespace, cable};
use crate::lab::process::Process;
use crate::lab::traffic::octet;
use crate::lab::wireguard_go::WireguardGo;
use crate::lab::{attach, hub, until};

const DEVICE: &str = "net_af_packet0,framecnt=4096,iface=outer";
pub(crate) const SERVER: &str = "11.1.0.1";
pub(crate) const GATEWAY: &str = "11.1.0.66";
const SERVER_V6: &str = "2001:db8:1::1";
const GATEWAY_V6: &str = "2001:db8:1::66";
/// The prefix of the link.
const LINK_V6: &str = "2001:db8:1::";
/// Whom the Internet sees.
pub(crate) const NAT: &str = "11.1.0.200";
/// A server beyond the gateway.
pub(crate) const INTERNET: &str = "203.0.113.80";
/// The same in IPv6.
pub(crate) const INTERNET_V6: &str = "2001:db8:80::80";
/// Two addresses of one server.
pub(crate) const STUN: [&str; 2] = ["203.0.113.81", "203.0.113.82"];
/// The other data centre, and whom the Internet sees of it.
pub(crate) const POP: &str = "11.1.0.2";
pub(crate) const POP_NAT: &str = "11.1.0.201";
pub(crate) const POP_PORT: u16 = 4443;
/// How the Internet knows IPv6 of clients that leave there.
pub(crate) const POP_OUTSIDE_V6: &str = "2001:db8:7d:";
/// Servers and proxies beyond the gateway.
pub(crate) const BEYOND: &str = "203.0.112.0/22";
/// Where proxies are.
pub(crate) const PROXY: &str = "203.0.113.90";
const FAR: &str = "203.0.114.9";

pub(crate) const CLIENTS: usize = 2;
/// Prefixes of clients' own addresses: as the Internet knows them, and one that it knows by another, `OUTSIDE_V6`.
pub(crate) const KNOWN_V6: &str = "2001:db8:c::";
pub(crate) const INNER_V6: &str = "fd00:7::";
pub(crate) const OUTSIDE_V6: &str = "2001:db8:d:";
/// The inner address of all of them.
const CLIENT: &str = "172.16.0.2";
const LEN: usize = 3_000_000;
/// How much of it stands in the file `little`.
pub(crate) const LITTLE_LEN: usize = 100_000;
/// The web server's certificate and its key, in one file.
const CERTIFICATE: &str = "/run/lab/certificate.pem";

/// The server, its link, and who else is there.
pub(crate) struct Site {
    pub(crate) server: Namespace,
    pub(crate) internet: Namespace,
    far: Namespace,
    /// Another data centre, on the same link.
    pub(crate) pop: Namespace,
    pub(crate) places: Vec<Namespace>,
    keys: Keys,
    clients: Vec<Keys>,
    pub(crate) hub: Namespace,
}

/// One client, in its place.
pub(crate) struct Client<'a> {
    pub(crate) place: &'a Namespace,
    pub(crate) number: usize,
    pub(crate) internet: &'a Namespace,
    _tunnel: WireguardGo<'a>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let hub = hub();
        let [server, internet, far, pop] = [(); 4].map(|()| Namespace::new());
        for (port, namespace) in [("server", &server), ("pop", &pop)] {
            attach((&hub, port), (namespace, "outer"));
            // The dataplane owns the addresses: the kernel behind the same cable must keep silent.
            namespace.run("sysctl -qw net.ipv6.conf.outer.disable_ipv6=1");
        }
        attach((&hub, "internet"), (&internet, "eth0"));
        internet.run(&format!("ip addr add {GATEWAY}/24 dev eth0"));
        internet.run(&format!("ip addr add {GATEWAY_V6}/64 dev eth0 nodad"));
        for prefix in [KNOWN_V6, "2001:db8:d::"] {
            internet.run(&format!("ip route add {prefix}/48 via {SERVER_V6}"));
        }
        internet.run(&format!("ip route add {POP_OUTSIDE_V6}:/48 via {LINK_V6}2"));
        for address in [INTERNET, STUN[0], STUN[1], PROXY] {
            internet.run(&format!("ip addr add {address} dev lo"));
        }
        // Nobody could be bound to it at once otherwise.
        internet.run(&format!("ip addr add {INTERNET_V6} dev lo nodad"));
        let places: Vec<_> = (0..CLIENTS).map(|_| Namespace::new()).collect();
        for (number, place) in places.iter().enumerate() {
            attach((&hub, &format!("place{number}")), (place, "eth0"));
            place.run(&format!("ip addr add 11.1.0.{}/24 dev eth0", 10 + number));
        }
        let clients = places.iter().map(|_| Keys::new()).collect();
        Self { server, internet, far, pop, places, keys: Keys::new(), clients, hub }
    }

    /// Dataplane and control; clients go straight to the Internet.
    pub(crate) fn serve(&self, workers: usize) -> Dataplane {
        self.start(workers, ("", ""))
    }

    /// The same, where connections to the server go through this port of a proxy.
    pub(crate) fn serve_via(&self, port: u16) -> Dataplane {
        self.start(1, ("", &via(PROXY, port)))
    }

    /// The same with these further routes.
    pub(crate) fn serve_routes(&self, routes: &str) -> Dataplane {
        self.start(1, ("", routes))
    }

    /// The same through the other data centre, which is told as ours or as anybody's.
    pub(crate) fn serve_via_pop(&self, is_ours: bool) -> Dataplane {
        self.serve_routes_via_pop(is_ours, "")
    }

    /// The same, with further routes: the next hop is `via-fra`.
    pub(crate) fn serve_routes_via_pop(&self, is_ours: bool, routes: &str) -> Dataplane {
        let section = if is_ours { connect(POP) } else { String::new() };
        self.start(1, (&section, &(via(POP, POP_PORT) + routes)))
    }

    /// The same, where next hops lead through the other data centre, `via-pop`, and through this port of a proxy,
    /// `via-proxy`, and no route to them.
    pub(crate) fn serve_ways(&self, port: u16) -> Dataplane {
        let ways = [("pop", 7, POP, POP_PORT), ("proxy", 8, PROXY, port)].map(way);
        self.start(1, (&connect(POP), &ways.concat()))
    }

    /// Starts the server's control again, with what it knew.
    pub(crate) fn control_again(&self) -> Control {
        Control::again(&self.server, "/run/lab/control.toml")
    }

    /// What the server's control answers to these words.
    pub(crate) fn ask(&self, server: &Dataplane, words: &str) -> String {
        server.control.as_ref().unwrap().ask(&self.server, words)
    }

    /// The other data centre's dataplane and control.
    pub(crate) fn serve_pop(&self) -> Dataplane {
        Self::serve_pop_at((&self.pop, POP, POP_NAT), &connect(NAT))
    }

    /// The same; it also takes requests from the gateway, and none for the port of mail or for the server.
    pub(crate) fn serve_strict_pop(&self) -> Dataplane {
        let connect = format!(
            "[connect]\nport = {POP_PORT}\nfrom = [\"{NAT}\", \"{GATEWAY}\"]\nforbidden_ports = [25]\n"
        );
        let centre = format!(
            "[[centre]]\nname = \"ams\"\nnumber = 3\nmachines = [\"{SERVER}:{POP_PORT}\"]\n"
        );
        Self::start_pop((&self.pop, POP, POP_NAT), (&connect, &centre), None)
    }

    /// Such a one in this place, at this address, seen by the Internet as that one.
    pub(crate) fn serve_pop_at(at: (&Namespace, &str, &str), connect: &str) -> Dataplane {
        Self::start_pop(at, (connect, ""), None)
    }

    /// The same, as one of these data centres.
    pub(crate) fn serve_centre_at(
        at: (&Namespace, &str, &str),
        sections: (&str, &str),
        name: &str,
    ) -> Dataplane {
        Self::start_pop(at, sections, Some(name))
    }

    /// Both, with a key by which they know each other: the server, and a data centre of ours that also takes what is no connection. A
    /// next hop `via-fra` leads there.
    pub(crate) fn serve_both(&self, workers: usize) -> [Dataplane; 2] {
        let key = Keys::new().secret_text();
        let section = |from: [&str; 2]| {
            format!("[connect]\nport = {POP_PORT}\nfrom = {from:?}\nkey = \"{key}\"\n")
        };
        let prefixes = format!(
            "prefixes = [{{ inside = \"{INNER_V6}/48\", outside = \"{POP_OUTSIDE_V6}:/48\" }}]\n"
        );
        let pop = section([NAT, SERVER]);
        let pop = Self::serve_pop_at((&self.pop, POP, POP_NAT), &(prefixes + &pop));
        let way = way(("fra", 7, POP, POP_PORT));
        let route =
            |prefix: &str| format!("[[route]]\nprefix = \"{prefix}\"\nnext_hop = \"via-fra\"\n");
        let routes = route(&format!("{POP_NAT}/32")) + &route(&format!("{INTERNET_V6}/128"));
        let server = self.start(workers, (&section([POP, POP_NAT]), &(way + &routes)));
        [server, pop]
    }

    fn start_pop(
        (place, address, nat): (&Namespace, &str, &str),
        (connect, more): (&str, &str),
        centre: Option<&str>,
    ) -> Dataplane {
        let host = address.rsplit('.').next().unwrap();
        let config = format!(
            "instance = \"{}\"\nprivate_key = \"{}\"\nlisten_port = 51820\nworkers = [0]\nhandshake_threads = 1\n\
             idle = \"sleep\"\n[memory]\nhugepages = false\nmegabytes = 128\n\
             [nat]\naddresses = [\"{nat}\"]\nflows = 65536\n\
             {connect}\
             [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n\
             [[port]]\nname = \"wan\"\ndevice = \"{DEVICE}\"\naddresses = [\"{address}/24\", \"{LINK_V6}{host}/64\"]\n\
             gateways = [\"{GATEWAY}\", \"{GATEWAY_V6}\"]\n",
            instance(),
            Keys::new().secret_text()
        );
        let declared = "[[next_hop]]\nname = \"internet\"\nkind = \"direct\"\n\
            [[route]]\nprefix = \"0.0.0.0/0\"\nnext_hop = \"internet\"\n";
        Dataplane::start_in(centre, place, &config, &format!("{declared}{more}"))
    }

    pub(crate) fn start(&self, workers: usize, (section, more): (&str, &str)) -> Dataplane {
        self.start_with_port(workers, (section, ""), more)
    }

    /// The same with something more to be said of the port.
    pub(crate) fn start_with_port(
        &self,
        workers: usize,
        (section, of_port): (&str, &str),
        more: &str,
    ) -> Dataplane {
        let workers: Vec<_> = (0..workers).collect();
        let config = format!(
            "instance = \"{}\"\nprivate_key = \"{}\"\nlisten_port = 51820\nworkers = {workers:?}\nhandshake_threads = 1\n\
             idle = \"sleep\"\n[memory]\nhugepages = false\nmegabytes = 128\n\
             [nat]\naddresses = [\"{NAT}\"]\nclient_address = \"{CLIENT}\"\nflows = 65536\n\
             untranslated = [\"{KNOWN_V6}/48\"]\n\
             prefixes = [{{ inside = \"{INNER_V6}/48\", outside = \"{OUTSIDE_V6}:/48\" }}]\n\
             {section}\
             [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n\
             [[port]]\nname = \"wan\"\ndevice = \"{DEVICE}\"\naddresses = [\"{SERVER}/24\", \"{SERVER_V6}/64\"]\ngateways = [\"{GATEWAY}\", \"{GATEWAY_V6}\"]\n{of_port}",
            instance(),
            self.keys.secret_text()
        );
        let mut declared = "[[next_hop]]\nname = \"internet\"\nkind = \"direct\"\n\
            [[route]]\nprefix = \"0.0.0.0/0\"\nnext_hop = \"internet\"\n\
            [[route]]\nprefix = \"::/0\"\nnext_hop = \"internet\"\n"
            .to_owned();
        for (number, keys) in self.clients.iter().enumerate() {
            write!(
                declared,
                "[[peer]]\nname = \"client-{number}\"\npublic_key = \"{}\"\nallowed_ips = [\"10.7.0.{host}/32\", \
                 \"{INNER_V6}{host}/128\", \"{KNOWN_V6}{host}/128\"]\n",
                keys.public_text(),
                host = 2 + number
            )
            .unwrap();
        }
        Dataplane::start_text(&self.server, &config, &(declared + more))
    }

    /// The client's tunnel, by which it reaches everything but its own link.
    pub(crate) fn client(&self, number: usize) -> Client<'_> {
        let (place, keys) = (&self.places[number], &self.clients[number]);
        let host = u8::try_from(2 + number).unwrap();
        let tunnel = WireguardGo::start(place, "wg0", keys, host);
        let server = self.keys.public_text();
        tunnel.set(&format!("peer {server} endpoint {SERVER}:51820 allowed-ips 0.0.0.0/0,::/0"));
        place.run(&format!("ip addr add {CLIENT}/32 dev wg0"));
        place.run(&format!("ip addr add {KNOWN_V6}{host}/128 dev wg0 nodad"));
        place.run("ip route add 2001:db8::/32 dev wg0");
        for there in [BEYOND, NAT, POP_NAT] {
            place.run(&format!("ip route add {there} dev wg0 src {CLIENT}"));
        }
        Client { place, number, internet: &self.internet, _tunnel: tunnel }
    }

    /// A web server, which also takes files.
    pub(crate) fn web(&self) -> Process {
        self.lay_out();
        self.internet.run(&format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=edge.example \
             -keyout {CERTIFICATE} -out {CERTIFICATE}"
        ));
        let config = self.internet.file(
            "nginx.conf",
            &format!(
                "daemon off;\nmaster_process off;\npid /run/lab/nginx.pid;\nerror_log stderr;\nevents {{}}\n\
                 http {{ ssl_certificate {CERTIFICATE}; ssl_certificate_key {CERTIFICATE};\n\
                 access_log /run/lab/served.log; client_body_temp_path /run/lab/body;\n\
                 client_max_body_size 10m;\n\
                 server {{ listen {INTERNET}:80; listen {INTERNET}:443 ssl; listen [{INTERNET_V6}]:80;
\
                 root /run/lab/files;
\
                 location /taken {{ dav_methods PUT; }} }} }}\n"
            ),
        );
        let mut command = self.internet.command("nginx");
        command.args(["-c", &config]);
        let process = Process::start("nginx", command);
        until("nginx listens", 20, || listens(&self.internet, 80));
        process
    }

    /// A server that speaks first.
    pub(crate) fn ftp(&self) -> Process {
        self.lay_out();
        vsftpd(&self.internet)
    }

    /// A proxy of those that Debian has, at its usual port.
    pub(crate) fn proxy(&self, name: &'static str) -> (Process, u16) {
        let (port, config, words): (u16, String, &[&str]) = match name {
            "tinyproxy" => (
                8888,
                format!(
                    "Port 8888\nListen {PROXY}\nTimeout 60\nMaxClients 100\nAllow 11.1.0.0/24\nDisableViaHeader Yes\n"
                ),
                &["-d", "-c"],
            ),
            "squid" => (
                3128,
                format!(
                    "http_port {PROXY}:3128\nhttp_access allow all\ncache deny all\naccess_log none\n\
                     cache_store_log none\ncache_log /dev/null\npid_filename none\n\
                     coredump_dir none\ncache_effective_user proxy\nshutdown_lifetime 1 seconds\n\
                     netdb_filename none\nvisible_hostname proxy.example\n"
                ),
                &["-N", "-f"],
            ),
            _ => unreachable!("no proxy of this name"),
        };
        let config = self.internet.file(&format!("{name}.conf"), &config);
        let mut command = self.internet.command(name);
        command.args(words).arg(config);
        let process = Process::start(name, command);
        until("the proxy listens", 30, || listens(&self.internet, port));
        (process, port)
    }

    /// A folder with the files `served` and `little`, and one that takes files.
    fn lay_out(&self) {
        let served = content();
        lay_out(&self.internet, &[("served", &served), ("little", &served[..LITTLE_LEN])]);
    }

    /// Whether what a client has stored is what it had fetched.
    pub(crate) fn is_taken(&self, number: usize) -> bool {
        std::fs::read(path(&self.internet, &format!("files/taken/{number}"))).unwrap() == content()
    }

    /// A host behind the Internet's router, by a way of this MTU.
    pub(crate) fn beyond(&self, mtu: u32) -> &'static str {
        cable((&self.internet, "far"), (&self.far, "eth0"));
        self.internet.run(&format!("ip link set far mtu {mtu}"));
        self.internet.run("ip addr add 203.0.114.1/24 dev far");
        self.internet.run("sysctl -qw net.ipv4.ip_forward=1");
        self.far.run(&format!("ip addr add {FAR}/24 dev eth0"));
        self.far.run("ip route add default via 203.0.114.1");
        FAR
    }
}

/// The section of a data centre that takes requests from this address.
pub(crate) fn connect(from: &str) -> String {
    format!("[connect]\nport = {POP_PORT}\nfrom = [\"{from}\"]\n")
}

/// What leads connections to the web server through this machine.
fn via(address: &str, port: u16) -> String {
    let way = way(("fra", 7, address, port));
    format!("{way}[[route]]\nprefix = \"{INTERNET}/32\"\nnext_hop = \"via-fra\"\n")
}

/// A centre of one machine, and a next hop that leads through it.
fn way((name, number, address, port): (&str, u16, &str, u16)) -> String {
    format!(
        "[[centre]]\nname = \"{name}\"\nnumber = {number}\nmachines = [\"{address}:{port}\"]\n\
         [[next_hop]]\nname = \"via-{name}\"\nkind = \"via\"\ncentre = \"{name}\"\n"
    )
}

/// The command that fetches the served file.
pub(crate) fn fetch(load: usize) -> String {
    format!("curl -sS --max-time 30 -o /run/lab/got{load} http://{INTERNET}/served")
}

/// Whether what was fetched is what was served.
pub(crate) fn is_whole(place: &Namespace, load: usize) -> bool {
    std::fs::read(path(place, &format!("got{load}"))).unwrap() == content()
}

/// What is served.
pub(crate) fn content() -> Vec<u8> {
    (0..LEN).map(|place| octet(7, place)).collect()
}

/// The lines by which the web server tells whom it has served.
pub(crate) fn served(site: &Site) -> Vec<String> {
    site.internet.run("cat /run/lab/served.log").lines().map(str::to_owned).collect()
}

/// How many packets were lost for this reason.
pub(crate) fn lost(server: &Dataplane, reason: &str) -> u64 {
    server.counter(&format!("drop.{reason}"))
}

impl Namespace {
    /// A command line (words apart by blanks) that is not started yet.
    pub(crate) fn command_line(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().unwrap());
        command.args(words);
        command
    }
}
