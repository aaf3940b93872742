//! Debian's wireguard-go as a peer: in one test the client, in another the side that is called.

use rustix::process::Signal;

use super::keys::Keys;
use super::namespace::Namespace;
use super::process::Process;
use super::until;

/// A tunnel interface in a namespace; `host` numbers its inner addresses.
pub(crate) struct WireguardGo<'a> {
    namespace: &'a Namespace,
    device: &'static str,
    process: Process,
}

impl<'a> WireguardGo<'a> {
    pub(crate) fn start(
        namespace: &'a Namespace,
        device: &'static str,
        keys: &Keys,
        host: u8,
    ) -> Self {
        let mut command = namespace.command("wireguard-go");
        command.arg(device).env("WG_PROCESS_FOREGROUND", "1").env("LOG_LEVEL", "verbose");
        let process = Process::start("wireguard-go", command);
        // Not by asking with `wg`: it removes a socket that is bound but does not listen yet, and wireguard-go gives up.
        until("wireguard-go is up", 30, || process.mentions("UAPI listener started") > 0);
        namespace.feed(&format!("wg set {device} private-key /dev/stdin"), &keys.secret_text());
        namespace.run(&format!("ip addr add 10.7.0.{host}/24 dev {device}"));
        namespace.run(&format!("ip addr add fd00:7::{host:x}/64 dev {device} nodad"));
        namespace.run(&format!("ip link set {device} mtu 1420 up"));
        Self { namespace, device, process }
    }

    /// `wg set DEVICE …`
    pub(crate) fn set(&self, arguments: &str) {
        self.namespace.run(&format!("wg set {} {arguments}", self.device));
    }

    /// Everything inner goes to this peer, whose endpoint may be known (`192.0.2.1:51820`) or left to be learned.
    pub(crate) fn peer(&self, keys: &Keys, endpoint: Option<&str>) {
        let endpoint = endpoint.map_or(String::new(), |address| format!("endpoint {address}"));
        self.set(&format!(
            "peer {} {endpoint} allowed-ips 10.7.0.0/24,fd00:7::/64",
            keys.public_text()
        ));
    }

    /// Seconds since 1970 of the newest handshake, 0 if there was none.
    pub(crate) fn handshake_at(&self) -> u64 {
        let text = self.namespace.run(&format!("wg show {} latest-handshakes", self.device));
        text.split_whitespace().nth(1).map_or(0, |seconds| seconds.parse().unwrap())
    }

    /// How many initiations it has received, by its own log.
    pub(crate) fn initiations_received(&self) -> usize {
        self.process.mentions("Received handshake initiation")
    }

    /// How many initiations it has sent, by its own log.
    pub(crate) fn initiations_sent(&self) -> usize {
        self.process.mentions("Sending handshake initiation")
    }

    /// Lets it sleep, as a phone in a pocket, or wakes it.
    pub(crate) fn sleep(&self, is_asleep: bool) {
        self.process.signal(if is_asleep { Signal::STOP } else { Signal::CONT });
    }

    /// Ends it as its operator would; the interface is gone after that.
    pub(crate) fn stop(mut self) {
        self.process.stop(Signal::TERM);
    }
}
