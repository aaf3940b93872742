//! The dataplane and its control as their operator runs them: files, two processes, signals, and the counters that the
//! dataplane prints.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use super::control::Control;
use super::keys::Keys;
use super::namespace::Namespace;
use super::process::Process;
use super::until;

/// One `[[peer]]`.
pub(crate) struct Peer {
    pub(crate) keys: Keys,
    pub(crate) host: u8,
    pub(crate) endpoint: Option<String>,
    pub(crate) keepalive: Option<u16>,
}

impl Peer {
    /// A peer that owns `10.7.0.host` and `fd00:7::host`, and has to make the first move.
    pub(crate) fn new(keys: &Keys, host: u8) -> Self {
        Self { keys: keys.clone(), host, endpoint: None, keepalive: None }
    }

    pub(crate) fn at(mut self, endpoint: &str) -> Self {
        self.endpoint = Some(endpoint.to_owned());
        self
    }

    pub(crate) fn kept_alive(mut self, seconds: u16) -> Self {
        self.keepalive = Some(seconds);
        self
    }

    fn text(&self) -> String {
        let Self { host, .. } = self;
        let endpoint =
            self.endpoint.as_ref().map_or(String::new(), |at| format!("endpoint = \"{at}\"\n"));
        let keepalive = self
            .keepalive
            .map_or(String::new(), |seconds| format!("persistent_keepalive = {seconds}\n"));
        format!(
            "[[peer]]\nname = \"host-{host}\"\npublic_key = \"{}\"\n\
             allowed_ips = [\"10.7.0.{host}/32\", \"fd00:7::{host:x}/128\"]\n{endpoint}{keepalive}",
            self.keys.public_text()
        )
    }
}

/// One `[[port]]` with `net.1` of an IPv4 /24 and `prefix::1` of an IPv6 /64.
pub(crate) struct Port {
    pub(crate) name: &'static str,
    pub(crate) device: String,
    pub(crate) net: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) kernel: Option<&'static str>,
}

impl Port {
    pub(crate) fn wan(device: impl Into<String>) -> Self {
        let device = device.into();
        Self { name: "wan", device, net: "192.0.2", prefix: "2001:db8:", kernel: None }
    }

    fn text(&self) -> String {
        let Self { name, device, net, prefix, kernel } = self;
        let kernel = kernel.map_or(String::new(), |name| format!("kernel = \"{name}\"\n"));
        format!(
            "[[port]]\nname = \"{name}\"\ndevice = \"{device}\"\naddresses = [\"{net}.1/24\", \"{prefix}:1/64\"]\n{kernel}"
        )
    }
}

/// What the configuration file says.
pub(crate) struct Config {
    instance: String,
    pub(crate) keys: Keys,
    pub(crate) workers: Vec<usize>,
    pub(crate) ports: Vec<Port>,
    pub(crate) peers: Vec<Peer>,
}

impl Config {
    pub(crate) fn new(keys: &Keys, port: Port, peers: Vec<Peer>) -> Self {
        Self {
            instance: instance(),
            keys: keys.clone(),
            workers: vec![0],
            ports: vec![port],
            peers,
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "instance = \"{}\"\nprivate_key = \"{}\"\nlisten_port = 51820\nworkers = {:?}\nhandshake_threads = 1\nidle = \"sleep\"\n\
             [memory]\nhugepages = false\nmegabytes = 128\n\
             [local]\ninterface = \"inner0\"\naddresses = [\"10.7.0.1\", \"fd00:7::1\"]\n",
            self.instance,
            self.keys.secret_text(),
            self.workers,
        );
        self.ports.iter().for_each(|port| text += &port.text());
        text
    }

    /// What control is told to declare.
    pub(crate) fn declared(&self) -> String {
        self.peers.iter().map(Peer::text).collect()
    }
}

/// The printed table, by name.
pub(crate) type Counters = BTreeMap<String, u64>;

/// A name for the shared memory of one dataplane.
pub(crate) fn instance() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("lab-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A running dataplane with its control.
pub(crate) struct Dataplane {
    process: Process,
    pub(crate) instance: String,
    pub(crate) control: Option<Control>,
}

impl Dataplane {
    /// Starts it in the namespace and waits until it forwards; gives the inner interface its addresses.
    pub(crate) fn start(namespace: &Namespace, config: &Config) -> Self {
        Self::start_text(namespace, &config.text(), &config.declared())
    }

    /// The same with the texts of a configuration and of what control declares.
    pub(crate) fn start_text(namespace: &Namespace, config: &str, declared: &str) -> Self {
        Self::start_in(None, namespace, config, declared)
    }

    /// The same in one of the data centres that are declared.
    pub(crate) fn start_in(
        centre: Option<&str>,
        namespace: &Namespace,
        config: &str,
        declared: &str,
    ) -> Self {
        let mut dataplane = Self::alone(namespace, config);
        let key =
            |line: &str| Some(line.strip_prefix("private_key = ")?.trim_matches('"').to_owned());
        namespace.file("server.key", &config.lines().find_map(key).unwrap());
        let control = Control::start_in(centre, namespace, &dataplane.instance, declared);
        dataplane.control = Some(control);
        dataplane
    }

    /// Without a control.
    pub(crate) fn alone(namespace: &Namespace, config: &str) -> Self {
        let path = namespace.file("dataplane.toml", config);
        let mut command = namespace.command(super::dataplane_path());
        command.args(["--config", &path]).env("RUST_LOG", "info");
        let mut process = Process::start("dataplane", command);
        until("the dataplane is ready", 60, || {
            let ended = process.ended();
            assert!(ended.is_none(), "the dataplane ended early: {ended:?}");
            process.output().iter().any(|line| line == "ready")
        });
        namespace.run("ip addr add 10.7.0.1/24 dev inner0");
        namespace.run("ip addr add fd00:7::1/64 dev inner0 nodad");
        namespace.run("ip link set inner0 mtu 1420 up");
        let named = config.lines().find_map(|line| line.strip_prefix("instance = "));
        let instance = named.unwrap_or("main").trim_matches('"').to_owned();
        Self { process, instance, control: None }
    }

    fn tables(&self) -> usize {
        self.process.output().iter().filter(|line| line.starts_with("unaccounted ")).count()
    }

    /// A fresh table, asked for by signal.
    pub(crate) fn counters(&self) -> Counters {
        let before = self.tables();
        self.process.signal(Signal::USR1);
        until("a table after SIGUSR1", 30, || self.tables() > before);
        counters(&self.process.output())
    }

    /// One value of a fresh table; a name that is not printed counts as zero.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.counters().get(name).copied().unwrap_or(0)
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it without a chance to say anything.
    pub(crate) fn kill(mut self) {
        self.process.stop(Signal::KILL);
    }

    /// Stops it as an operator does, and wants a clean end with every packet accounted for.
    pub(crate) fn stop(mut self) -> Counters {
        if let Some(control) = self.control.take() {
            control.stop();
        }
        let status = self.process.stop(Signal::TERM);
        assert_eq!(status.code(), Some(0), "exit status");
        let counters = counters(&self.process.output());
        assert_eq!(counters.get("unaccounted"), Some(&0), "{counters:?}");
        assert_eq!(counters.get("held"), Some(&0), "{counters:?}");
        counters
    }
}

/// Later tables overwrite earlier ones.
fn counters(lines: &[String]) -> Counters {
    lines
        .iter()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?)))
        .collect()
}
