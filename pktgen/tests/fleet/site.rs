//! The site: servers that share keys and peers behind a router that spreads anycast over them, each with a dataplane, a
//! control and a service of its own; and places for clients.

use std::cell::RefCell;
use std::fmt::Write as _;

use super::directory::Directory;
use super::membership::Membership;
use super::outside;
use super::router::{Router, Subnet};
use super::stream;
use crate::lab::control::Control;
use crate::lab::dataplane::{Dataplane, instance};
use crate::lab::keys::Keys;
use crate::lab::namespace::Namespace;
use crate::lab::until;
use serde_json::Value;

/// Hop limits of the servers' kernels lie so far apart that an answer tells who gave it.
const HOP_LIMIT_STEP: u8 = 16;

/// A client's largest packet and the headers in which it is carried fit.
const FLEET_MTU: u16 = 1560;
/// Rings that ride out a machine that is busy with other things.
const DEVICE: &str = "net_af_packet0,framecnt=2048";

/// One server.
pub(crate) struct Server {
    pub(crate) number: u8,
    pub(crate) namespace: Namespace,
    dataplane: RefCell<Option<Dataplane>>,
    control: RefCell<Option<Control>>,
}

impl Server {
    fn new(router: &Router, number: u8) -> Self {
        let namespace = Namespace::new();
        let limit = HOP_LIMIT_STEP * (number + 1);
        namespace.run(&format!(
            "sysctl -qw net.ipv4.ip_default_ttl={limit} net.ipv6.conf.default.hop_limit={limit}"
        ));
        router.attach(&namespace, "outer", Subnet(number));
        // The dataplane owns the addresses: the kernel behind the same cable must keep silent.
        namespace.run("sysctl -qw net.ipv6.conf.outer.disable_ipv6=1");
        stream::serve(&namespace, move |_| number);
        Self { number, namespace, dataplane: RefCell::default(), control: RefCell::default() }
    }

    /// Who has sent a packet that arrives with this hop limit.
    pub(crate) fn of_hop_limit(limit: u8) -> u8 {
        (limit + HOP_LIMIT_STEP / 2) / HOP_LIMIT_STEP - 1
    }

    pub(crate) fn subnet(&self) -> Subnet {
        Subnet(self.number)
    }

    /// What `millrace` answers here.
    pub(crate) fn ask(&self, words: &str) -> String {
        self.control.borrow().as_ref().unwrap().ask(&self.namespace, words)
    }

    /// How it sees the fleet.
    pub(crate) fn fleet(&self) -> Value {
        let text = self.ask("--json fleet list");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
    }

    /// One of its counters.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.dataplane.borrow().as_ref().unwrap().counter(name)
    }

    /// How many ids it holds, if it counts them.
    pub(crate) fn held(&self) -> Option<u64> {
        self.fleet()["held"].as_u64()
    }

    /// The configuration of its dataplane.
    fn config(&self, site: &Shared) -> String {
        let subnet = self.subnet();
        let mut text = format!(
            "instance = \"{}\"\nprivate_key = \"{}\"\nlisten_port = 51820\nworkers = [0]\nhandshake_threads = 1\n\
             idle = \"sleep\"\n[memory]\nhugepages = false\nmegabytes = 128\n\
             {}\
             [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n\
             [[port]]\nname = \"wan\"\ndevice = \"{DEVICE},iface=outer\"\n\
             addresses = [\"{}/24\", \"192.0.2.1/32\", \"{}/64\", \"2001:db8::1/128\"]\ngateways = {:?}\n",
            instance(),
            site.keys.secret_text(),
            outside::sections(subnet),
            subnet.v4(1),
            subnet.v6(1),
            subnet.gateways(),
        );
        if let Some(key) = &site.fleet {
            let (number, key) = (self.number, key.secret_text());
            writeln!(text, "[fleet]\nserver = {number}\nkey = \"{key}\"\nmtu = {FLEET_MTU}")
                .unwrap();
        }
        text
    }

    /// Starts dataplane and control, and waits until all these peers are known.
    fn start(&self, site: &Shared) {
        let config = self.config(site);
        let dataplane = Dataplane::alone(&self.namespace, &config);
        self.namespace.file("server.key", &site.keys.secret_text());
        let text = format!(
            "instance = \"{}\"\ndirectory = {:?}\nstate = \"state\"\nsocket = \"control.sock\"\n\
             [wireguard]\ninterface = \"millrace0\"\nprivate_key_file = \"server.key\"\n",
            dataplane.instance,
            site.directory.path()
        );
        let config = self.namespace.file("control.toml", &text);
        self.control.replace(Some(Control::again(&self.namespace, &config)));
        self.dataplane.replace(Some(dataplane));
        let peers = format!("\"peers\":{}", site.peers.matches("[[peer]]").count());
        until("the dataplane is told of all peers", 30, || {
            let status = self.ask("--json status");
            status.contains("\"attached\":true")
                && status.contains(&peers)
                && !status.contains("\"transaction\":0")
        });
    }

    /// Ends its dataplane without a chance to say anything.
    pub(crate) fn kill(&self) {
        self.dataplane.take().unwrap().kill();
    }

    /// Ends both as an operator does; every packet has to be accounted for.
    pub(crate) fn stop(&self) {
        if let Some(control) = self.control.take() {
            control.stop();
        }
        if let Some(dataplane) = self.dataplane.take() {
            let counters = dataplane.stop();
            assert_eq!(counters["buffers_missing"], 0, "{counters:?}");
            let drops =
                counters.iter().filter(|(name, count)| name.starts_with("drop.") && **count > 0);
            println!("server {}: {:?}", self.number, drops.collect::<Vec<_>>());
        }
    }
}

/// What all servers have in common.
struct Shared {
    keys: Keys,
    /// The fleet's key, if they are a fleet.
    fleet: Option<Keys>,
    peers: String,
    /// What all controls read.
    directory: Directory,
}

/// Servers 1 to N, the router, and what they share.
pub(crate) struct Site {
    pub(crate) router: Router,
    pub(crate) servers: Vec<Server>,
    shared: Shared,
}

impl Site {
    /// So many servers, none of which runs.
    pub(crate) fn new(keys: &Keys, fleet: Option<Keys>, servers: u8, peers: &str) -> Self {
        let router = Router::new();
        let servers = (1..=servers).map(|number| Server::new(&router, number)).collect();
        let directory = Directory::new();
        directory.put("peers.toml", peers);
        let (keys, peers) = (keys.clone(), peers.to_owned());
        Self { router, servers, shared: Shared { keys, fleet, peers, directory } }
    }

    pub(crate) fn server(&self, number: u8) -> &Server {
        &self.servers[usize::from(number) - 1]
    }

    pub(crate) fn start(&self, number: u8) {
        self.server(number).start(&self.shared);
    }

    /// Declares these sections for all controls.
    pub(crate) fn declare(&self, file: &str, sections: &str) {
        self.shared.directory.put(file, sections);
    }

    /// The members of the fleet, in the file that all controls read.
    pub(crate) fn membership(&self) -> Membership<'_> {
        Membership::new(&self.shared.directory)
    }

    /// Waits until all these servers see the same fleet, and the one that the file declares.
    pub(crate) fn agree(&self, servers: &[u8]) {
        until("all servers see the same fleet", 30, || {
            let views: Vec<_> = servers.iter().map(|&server| self.server(server).fleet()).collect();
            let is_in_force =
                |view: &Value| view["in_force"].is_u64() && view["in_force"] == view["generation"];
            views.iter().all(is_in_force)
                && views.windows(2).all(|pair| {
                    ["generation", "digest"].iter().all(|field| pair[0][field] == pair[1][field])
                })
        });
    }

    /// Prints what servers have dropped by name, and what the router's kernel counts, of packets that it refused as well.
    pub(crate) fn tell_losses(&self, servers: &[u8]) {
        for server in servers {
            println!("server {server}: {}", self.server(*server).ask("--json drops"));
        }
        println!("{}", self.router.namespace.run("cat /proc/net/snmp /proc/net/snmp6"));
        println!("{}", self.router.namespace.run("ip -s -s link"));
    }

    /// Spreads the anycast addresses over these servers.
    pub(crate) fn spread(&self, servers: &[u8]) {
        let subnets: Vec<_> = servers.iter().copied().map(Subnet).collect();
        self.router.spread(&subnets);
    }

    /// A namespace with host 1 of a subnet at its `eth0`.
    pub(crate) fn place(&self, subnet: Subnet) -> Namespace {
        let namespace = Namespace::new();
        self.router.attach(&namespace, "eth0", subnet);
        Router::address(&namespace, "eth0", subnet, 1);
        namespace
    }

    /// A namespace whose `eth0` belongs to the generator.
    pub(crate) fn generators_place(&self, subnet: Subnet) -> Namespace {
        let namespace = Namespace::new();
        self.router.attach(&namespace, "eth0", subnet);
        namespace.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
        namespace
    }
}

/// The section of a peer that owns `10.7.0.host` and `fd00:7::host`.
pub(crate) fn peer(keys: &Keys, host: u8, client_id: Option<&str>) -> String {
    let mut text = format!(
        "[[peer]]\nname = \"host-{host}\"\npublic_key = \"{}\"\n\
         allowed_ips = [\"10.7.0.{host}/32\", \"fd00:7::{host:x}/128\"]\n",
        keys.public_text()
    );
    if let Some(id) = client_id {
        writeln!(text, "client_id = \"{id}\"").unwrap();
    }
    text
}
