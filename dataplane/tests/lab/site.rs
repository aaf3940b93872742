//! The usual site: a server and a client namespace joined by one cable, with outer addresses on the client's end.

use super::dataplane::{Config, Peer, Port};
use super::keys::Keys;
use super::namespace::{Namespace, cable};
use super::traffic::{ping, transfer};
use super::wireguard_go::WireguardGo;

const MEGABYTES: usize = 1_000_000;

/// The server's outer addresses with the port of its tunnels.
pub(crate) const SERVER_V4: &str = "192.0.2.1:51820";
pub(crate) const SERVER_V6: &str = "[2001:db8::1]:51820";

/// Two namespaces: the dataplane's end of the cable is `outer`, the client's is `eth0` with `.2` and `::2`.
pub(crate) struct Site {
    pub(crate) server: Namespace,
    pub(crate) client: Namespace,
    pub(crate) server_keys: Keys,
    pub(crate) client_keys: Keys,
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self::without_cable();
        cable((&site.server, "outer"), (&site.client, "eth0"));
        // The dataplane owns the outer addresses: the kernel behind the same cable must keep silent.
        site.server.run("sysctl -qw net.ipv6.conf.outer.disable_ipv6=1");
        site.address();
        site
    }

    /// Without the cable, for devices that bring their own.
    pub(crate) fn without_cable() -> Self {
        Self {
            server: Namespace::new(),
            client: Namespace::new(),
            server_keys: Keys::new(),
            client_keys: Keys::new(),
        }
    }

    /// Gives the client's end its outer addresses.
    pub(crate) fn address(&self) {
        self.client.run("ip addr add 192.0.2.2/24 dev eth0");
        self.client.run("ip addr add 2001:db8::2/64 dev eth0 nodad");
        self.client.run("ip link set eth0 up");
    }

    /// The configuration with the one client of the site, which makes the first move.
    pub(crate) fn config(&self, device: &str) -> Config {
        let peer = Peer::new(&self.client_keys, 2);
        Config::new(&self.server_keys, Port::wan(device), vec![peer])
    }

    /// The site's client as wireguard-go, told where the server is.
    pub(crate) fn client(&self, endpoint: &str) -> WireguardGo<'_> {
        let client = WireguardGo::start(&self.client, "wg0", &self.client_keys, 2);
        client.peer(&self.server_keys, Some(endpoint));
        client
    }

    /// The traffic that every device has to carry: pings and TCP, both inner families, over both outer ones.
    pub(crate) fn serves(&self) {
        for endpoint in [SERVER_V4, SERVER_V6] {
            let client = self.client(endpoint);
            ping(&self.client, "10.7.0.1", 20);
            ping(&self.client, "fd00:7::1", 20);
            ping(&self.server, "10.7.0.2", 5);
            for address in ["10.7.0.1", "fd00:7::1"] {
                let rate = transfer(&self.client, &self.server, address, 4 * MEGABYTES);
                println!("{address} through {endpoint}: {rate} Mbit/s");
            }
            client.stop();
        }
    }
}
