//! The site: a server with a tenant behind its kernel, and beside it on one link the generator, an honest visitor of the
//! tenant and a heavy one.

use std::fmt::Write as _;

use serde_json::Value;

use crate::lab::control::declare;
use crate::lab::dataplane::{Counters, Dataplane, instance};
use crate::lab::generator::{command, told};
use crate::lab::keys::Keys;
use crate::lab::namespace::Namespace;
use crate::lab::{attach, hub, until};

/// Rings that ride out a machine that is busy with other things.
const DEVICE: &str = "net_af_packet0,framecnt=4096";

/// Of the link; none of them is a bogon, and none leaves its namespace.
const SERVER: [&str; 2] = ["11.1.0.1", "2a00:1::1"];
const ROWS: [&str; 2] = ["11.1.0.10+20", "2a00:1::10+20"];
pub(crate) const VISITOR: &str = "11.1.0.66";
pub(crate) const HEAVY: &str = "11.1.0.77";
/// The tenant's prefixes, and the service that it has.
const TENANT: [&str; 2] = ["203.0.113.0/24", "2001:db8:7::/48"];
pub(crate) const SERVICE: &str = "203.0.113.200:8000";

/// Clients whose every packet has to come back.
const CLIENTS: u32 = 20;

/// The server, its link, and who else is there.
pub(crate) struct Site {
    pub(crate) server: Namespace,
    generator: Namespace,
    pub(crate) visitor: Namespace,
    pub(crate) heavy: Namespace,
    /// The link.
    _hub: Namespace,
    keys: Keys,
}

impl Site {
    pub(crate) fn new() -> Self {
        let hub = hub();
        let attached = |port: &str, end: &str| {
            let namespace = Namespace::new();
            attach((&hub, port), (&namespace, end));
            namespace
        };
        let (server, generator) = (attached("server", "outer"), attached("generator", "eth0"));
        // Both ends belong to programs.
        server.run("sysctl -qw net.ipv6.conf.outer.disable_ipv6=1");
        generator.run("sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1");
        // The kernel has no way back to anybody on the link: it takes what the dataplane gives it all the same, and
        // nothing of what it sees by itself behind the same cable.
        server.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
        server.run("sysctl -qw net.ipv4.conf.outer.rp_filter=1");
        let [visitor, heavy] = [("visitor", VISITOR), ("heavy", HEAVY)].map(|(port, address)| {
            let namespace = attached(port, "eth0");
            namespace.run(&format!("ip addr add {address}/24 dev eth0"));
            namespace.run(&format!("ip route add {} via {}", TENANT[0], SERVER[0]));
            namespace
        });
        Self { server, generator, visitor, heavy, _hub: hub, keys: Keys::new() }
    }

    /// What every run of the generator has in common.
    fn profile(&self) -> String {
        let [v4, v6] = SERVER;
        format!(
            "seed = 7\n[device]\nname = \"{DEVICE},iface=eth0\"\nsleep = true\n\
             [server]\npublic_key = \"{}\"\nendpoints = [\"{v4}:51820\", \"[{v6}]:51820\"]\ntenants = {TENANT:?}\n\
             [clients]\ncount = {CLIENTS}\naddresses = {ROWS:?}\ninner = [\"10.8.0.1\", \"fd00:8::1\"]\n\
             connects_per_sec = 200\n\
             [traffic]\nkind = \"echo\"\nto = \"clients\"\nsizes = [100, 600, 1400]\nrate = \"300pps\"\n\
             [run]\nconnect_secs = 30\nsecs = 2\ndrain_secs = 1\nloss_allowed = 0.0\n",
            self.keys.public_text()
        )
    }

    /// The clients and the tenant with its routes, and then `rules`.
    pub(crate) fn declared(&self, tenant: &str, rules: &str) -> String {
        let (code, mut text) = told(&mut command(&self.generator, &self.profile(), &["peers"]));
        assert_eq!(code, Some(0), "{text}");
        for prefix in TENANT {
            writeln!(text, "[[route]]\nprefix = \"{prefix}\"\nnext_hop = \"local\"").unwrap();
        }
        writeln!(text, "[[tenant]]\nname = \"shop\"\nprefixes = {TENANT:?}\n{tenant}").unwrap();
        text + rules
    }

    /// Dataplane and control, and the address of the tenant's service.
    pub(crate) fn serve(&self, declared: &str) -> Dataplane {
        let [v4, v6] = SERVER;
        let dataplane = Dataplane::start_text(
            &self.server,
            &format!(
                "instance = \"{}\"\nprivate_key = \"{}\"\nlisten_port = 51820\nworkers = [0]\nhandshake_threads = 1\n\
                 idle = \"sleep\"\n[memory]\nhugepages = false\nmegabytes = 128\n\
                 [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n\
                 [[port]]\nname = \"wan\"\ndevice = \"{DEVICE},iface=outer\"\n\
                 addresses = [\"{v4}/24\", \"{v6}/64\"]\n",
                instance(),
                self.keys.secret_text()
            ),
            declared,
        );
        let address = SERVICE.split(':').next().unwrap();
        self.server.run(&format!("ip addr add {address}/32 dev inner0"));
        dataplane
    }

    /// Declares other sections, and waits until they are in force.
    pub(crate) fn declare(&self, dataplane: &Dataplane, sections: &str) {
        let before = self.transaction(dataplane);
        declare(&self.server, sections);
        until("what is declared is in force", 30, || self.transaction(dataplane) != before);
    }

    fn transaction(&self, dataplane: &Dataplane) -> String {
        let status = dataplane.control.as_ref().unwrap().status(&self.server);
        let number = status.split("\"transaction\":").nth(1).unwrap_or_default();
        number.chars().take_while(char::is_ascii_digit).collect()
    }

    /// The event log, as far as it is about a rule whose name has this in it.
    pub(crate) fn events(&self, dataplane: &Dataplane, name: &str) -> Vec<Value> {
        let text = dataplane.control.as_ref().unwrap().ask(&self.server, "--json dos events");
        let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let is_about =
            |entry: &Value| entry["rule"].as_str().is_some_and(|rule| rule.contains(name));
        entries.filter(is_about).collect()
    }

    /// The generator's clients, with these further arguments.
    pub(crate) fn swarm(&self, arguments: &[&str]) -> std::process::Command {
        let arguments = [&["client", "--json"], arguments].concat();
        command(&self.generator, &self.profile(), &arguments)
    }
}

/// How much more often something was lost for this reason.
pub(crate) fn more(after: &Counters, before: &Counters, reason: &str) -> u64 {
    let count = |of: &Counters| of.get(&format!("drop.{reason}")).copied().unwrap_or(0);
    count(after) - count(before)
}
