//! A tunnel as control and the tenant's router are told of it, and that router: scapy, or the kernel where it can do GRE.

use std::fmt::Write as _;
use std::path::Path;

use super::site::{INTERNET, Place, SERVER, router};
use crate::lab::namespace::Namespace;
use crate::lab::process::Process;
use crate::lab::until;

/// Debian's, which has Debian's scapy.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// The router's device.
pub(crate) const DEVICE: &str = "tunnel0";

/// The addresses inside every tunnel: the server's, the router's.
pub(crate) const INSIDE: [&str; 2] = ["10.255.0.0", "10.255.0.1"];

const LINK_MTU: u16 = 1500;

/// One `[[tenant.tunnel]]`.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the section")]
pub(crate) struct Tunnel {
    /// The number of its router.
    pub(crate) router: u8,
    /// Whether the outer packets are IPv6.
    pub(crate) v6: bool,
    pub(crate) key: Option<u32>,
    pub(crate) checksum: bool,
    pub(crate) probed: bool,
    /// Whether a packet that must not be fragmented is.
    pub(crate) clears_df: bool,
}

impl Tunnel {
    /// The server's end and the router's.
    pub(crate) fn ends(&self) -> [String; 2] {
        let at = usize::from(self.v6);
        [SERVER[at].to_owned(), router(self.router)[at].clone()]
    }

    /// The largest inner packet.
    pub(crate) fn mtu(&self) -> u16 {
        let outer = if self.v6 { 40 } else { 20 };
        let options = u16::from(self.key.is_some()) + u16::from(self.checksum);
        LINK_MTU - outer - 4 - 4 * options
    }

    pub(crate) fn declared(&self) -> String {
        let [local, remote] = self.ends();
        let mut text = format!(
            "[[tenant.tunnel]]\nname = \"router{}\"\nlocal = \"{local}\"\nremote = \"{remote}\"\nchecksum = {}\n",
            self.router, self.checksum
        );
        if let Some(key) = self.key {
            writeln!(text, "key = {key}").unwrap();
        }
        if self.clears_df {
            text += "dont_fragment = \"clear\"\n";
        }
        if self.probed {
            let [local, remote] = INSIDE;
            writeln!(text, "inside_local = \"{local}\"\ninside_remote = \"{remote}\"").unwrap();
        }
        text
    }

    /// The headers before an inner packet from the router, as scapy writes them, with these further fields of GRE.
    pub(crate) fn headers(&self, fields: &str) -> String {
        let [server, router] = self.ends();
        self.outer([&router, &server], fields)
    }

    /// Those of the opposite way, without further fields.
    pub(crate) fn headers_back(&self) -> String {
        let [server, router] = self.ends();
        self.outer([&server, &router], "")
    }

    fn outer(&self, [source, destination]: [&String; 2], fields: &str) -> String {
        let ip = if self.v6 { "IPv6" } else { "IP" };
        let key = self.key.map_or(String::new(), |key| format!("key_present=1, key={key}, "));
        format!("{ip}(src='{source}', dst='{destination}')/GRE({key}{fields})")
    }
}

/// Who a router is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Scapy,
    Kernel,
}

/// All that there are on this machine; says so.
pub(crate) fn kinds() -> Vec<Kind> {
    let place = Namespace::new();
    let wanted = [
        "ip link add tunnel4 type gre local 10.0.0.1 remote 10.0.0.2",
        "ip link add tunnel6 type ip6gre local fd00::1 remote fd00::2",
    ];
    let refused =
        wanted.map(|line| place.attempt(line)).into_iter().find(|(is_there, _)| !is_there);
    let Some((_, why)) = refused else {
        println!("routers: scapy, and the kernel's own GRE");
        return vec![Kind::Scapy, Kind::Kernel];
    };
    println!("routers: scapy alone, this kernel has no GRE: {}", why.trim());
    vec![Kind::Scapy]
}

/// A running router.
pub(crate) struct Router<'a> {
    place: &'a Place,
    process: Option<Process>,
}

impl<'a> Router<'a> {
    /// Starts it, with its device up, and its address inside.
    pub(crate) fn start(place: &'a Place, kind: Kind, tunnel: &Tunnel) -> Self {
        assert_eq!(place.number, tunnel.router);
        let process = match kind {
            Kind::Scapy => Some(scapy(&place.namespace, tunnel)),
            Kind::Kernel => {
                place.namespace.run(&kernel(tunnel));
                None
            }
        };
        let namespace = &place.namespace;
        namespace.run(&format!("ip link set {DEVICE} mtu {} up", tunnel.mtu()));
        namespace.run(&format!("ip addr add {}/31 dev {DEVICE}", INSIDE[1]));
        Self { place, process }
    }

    /// From now on the tenant answers through the tunnel.
    pub(crate) fn answer_through(&self) {
        for address in INTERNET {
            self.place.namespace.run(&format!("ip route add {address} dev {DEVICE}"));
        }
    }

    /// How often it has said this. The kernel says nothing.
    pub(crate) fn mentions(&self, words: &str) -> usize {
        self.process.as_ref().map_or(0, |process| process.mentions(words))
    }

    /// Ends it at once. Nobody speaks GRE there any more.
    pub(crate) fn kill(self) {
        if self.process.is_none() {
            self.place.namespace.run(&format!("ip link del {DEVICE}"));
        }
        // The device goes with the program that holds it.
        drop(self.process);
    }
}

fn scapy(namespace: &Namespace, tunnel: &Tunnel) -> Process {
    let [server, router] = tunnel.ends();
    let mut command = namespace.command(PYTHON);
    command.arg(script("router.py"));
    if let Some(key) = tunnel.key {
        command.args(["--key", &key.to_string()]);
    }
    if tunnel.checksum {
        command.arg("--checksum");
    }
    command.args([&router, &server, DEVICE]);
    let process = Process::start("router.py", command);
    until("scapy is ready", 30, || process.mentions("ready") > 0);
    process
}

fn kernel(tunnel: &Tunnel) -> String {
    let [server, router] = tunnel.ends();
    let kind = if tunnel.v6 { "ip6gre encaplimit none hoplimit 64" } else { "gre ttl 64" };
    let key = tunnel.key.map_or(String::new(), |key| format!(" key {key}"));
    let checksum = if tunnel.checksum { " csum" } else { "" };
    format!("ip link add {DEVICE} type {kind} local {router} remote {server}{key}{checksum}")
}

fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transit").join(name);
    path.to_str().unwrap().to_owned()
}

/// Sends packets that are written as scapy writes them, each so many times.
pub(crate) fn speak(namespace: &Namespace, times: u64, packets: &[String]) {
    let mut command = namespace.command(PYTHON);
    command.args([&script("speak.py"), "--times", &times.to_string()]).args(packets);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
