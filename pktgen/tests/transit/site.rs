//! The site: a server, places of tenants and an "Internet", all on one link, so that a tenant may answer past the server.

use std::fmt::Write as _;

use serde_json::Value;

use super::tunnel::Tunnel;
use crate::lab::dataplane::{Dataplane, instance};
use crate::lab::keys::Keys;
use crate::lab::namespace::Namespace;
use crate::lab::{attach, hub, until};

/// Rings that ride out a machine that is busy with other things. Of IPv4 the kernel puts fragments together before such a
/// device sees them.
const PACKETS: &str = "net_af_packet0,framecnt=4096,iface=outer";
/// A device that sees fragments as they come.
const TAP: &str = "net_tap0,iface=tap0";

/// Of the link; none of them leaves its namespace.
pub(crate) const SERVER: [&str; 2] = ["11.1.0.1", "2a00:1::1"];
pub(crate) const INTERNET: [&str; 2] = ["11.1.0.66", "2a00:1::66"];
const LINK: [&str; 2] = ["11.1.0.0/24", "2a00:1::/64"];

/// A tenant: its prefixes, and a host of each of them.
#[derive(Clone, Copy)]
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    pub(crate) prefixes: [&'static str; 2],
    pub(crate) hosts: [&'static str; 2],
}

pub(crate) const SHOP: Tenant = Tenant {
    name: "shop",
    prefixes: ["203.0.113.0/24", "2001:db8:7::/48"],
    hosts: ["203.0.113.100", "2001:db8:7::100"],
};
pub(crate) const BANK: Tenant = Tenant {
    name: "bank",
    prefixes: ["198.51.100.0/24", "2001:db8:8::/48"],
    hosts: ["198.51.100.100", "2001:db8:8::100"],
};

impl Tenant {
    /// Its sections, with rules and tunnels.
    pub(crate) fn declared(&self, rules: &str, tunnels: &[Tunnel]) -> String {
        let Self { name, prefixes, .. } = self;
        let mut text = format!("[[tenant]]\nname = \"{name}\"\nprefixes = {prefixes:?}\n");
        writeln!(text, "rules = \"\"\"\n{rules}\n\"\"\"").unwrap();
        for tunnel in tunnels {
            text += &tunnel.declared();
        }
        text
    }
}

/// Where a tenant's router and hosts are.
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) number: u8,
}

/// The addresses of the router with a number.
pub(crate) fn router(number: u8) -> [String; 2] {
    [format!("11.1.0.{}", 100 + number), format!("2a00:1::1:{number:x}")]
}

/// The server, its link, and who else is there.
pub(crate) struct Site {
    pub(crate) server: Namespace,
    pub(crate) internet: Namespace,
    /// The link.
    hub: Namespace,
    keys: Keys,
}

impl Site {
    pub(crate) fn new() -> Self {
        let hub = hub();
        let server = attached(&hub, "server", "outer");
        // The dataplane owns the addresses: the kernel behind the same cable must keep silent.
        server.run("sysctl -qw net.ipv6.conf.outer.disable_ipv6=1");
        let internet = attached(&hub, "internet", "eth0");
        address(&internet, &INTERNET.map(str::to_owned));
        for tenant in [SHOP, BANK] {
            for (prefix, via) in tenant.prefixes.iter().zip(SERVER) {
                internet.run(&format!("ip route add {prefix} via {via}"));
            }
        }
        Self { server, internet, hub, keys: Keys::new() }
    }

    /// A place of the tenant, whose kernel has the tenant's hosts.
    pub(crate) fn place(&self, number: u8, tenant: Tenant) -> Place {
        let namespace = attached(&self.hub, &format!("place{number}"), "eth0");
        address(&namespace, &router(number));
        for host in tenant.hosts {
            namespace.run(&format!("ip addr add {host} dev lo"));
        }
        Place { namespace, number }
    }

    /// Dataplane and control, with what is declared of tenants.
    pub(crate) fn serve(&self, tenants: &str) -> Dataplane {
        self.start(PACKETS, tenants)
    }

    /// The same, where the dataplane sees fragments.
    pub(crate) fn serve_by_tap(&self, tenants: &str) -> Dataplane {
        let server = self.start(TAP, tenants);
        self.server.run(
            "sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv6.conf.tap0.disable_ipv6=1",
        );
        // The link address is the dataplane's: a bridge would keep what comes for one of its own.
        self.server.run("ip link set tap0 address 02:00:00:00:00:01");
        self.server.run("ip link add link0 type bridge mcast_snooping 0");
        for port in ["outer", "tap0"] {
            self.server.run(&format!("ip link set {port} master link0 up"));
        }
        self.server.run("ip link set link0 up");
        server
    }

    fn start(&self, device: &str, tenants: &str) -> Dataplane {
        let [v4, v6] = SERVER;
        let mut declared = "[[next_hop]]\nname = \"internet\"\nkind = \"direct\"\n".to_owned();
        for prefix in LINK {
            writeln!(declared, "[[route]]\nprefix = \"{prefix}\"\nnext_hop = \"internet\"")
                .unwrap();
        }
        let config = format!(
            "instance = \"{}\"\nprivate_key = \"{}\"\nlisten_port = 51820\nworkers = [0]\nhandshake_threads = 1\n\
             idle = \"sleep\"\n[memory]\nhugepages = false\nmegabytes = 128\n\
             [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n\
             [[port]]\nname = \"wan\"\ndevice = \"{device}\"\naddresses = [\"{v4}/24\", \"{v6}/64\"]\n",
            instance(),
            self.keys.secret_text()
        );
        let server = Dataplane::start_text(&self.server, &config, &(declared + tenants));
        let tunnels = tenants.matches("[[tenant.tunnel]]").count();
        until("the dataplane has the tunnels", 30, || {
            let list = self.ask(&server, "tunnel list");
            list.len() == tunnels && list.iter().all(|tunnel| tunnel["state"].is_string())
        });
        server
    }

    /// What `millrace` answers to these words, an entry a line.
    pub(crate) fn ask(&self, server: &Dataplane, words: &str) -> Vec<Value> {
        let text = server.control.as_ref().unwrap().ask(&self.server, &format!("--json {words}"));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A namespace at the link. It takes packets from anywhere: who answers past the server is not asked by the way back.
fn attached(hub: &Namespace, port: &str, end: &str) -> Namespace {
    let namespace = Namespace::new();
    namespace.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
    attach((hub, port), (&namespace, end));
    namespace
}

fn address(namespace: &Namespace, [v4, v6]: &[String; 2]) {
    namespace.run(&format!("ip addr add {v4}/24 dev eth0"));
    namespace.run(&format!("ip addr add {v6}/64 dev eth0 nodad"));
}

/// How many packets were lost for this reason.
pub(crate) fn lost(server: &Dataplane, reason: &str) -> u64 {
    server.counter(&format!("drop.{reason}"))
}
