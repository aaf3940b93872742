//! The router before a fleet: it spreads what goes to the anycast addresses over the servers by the hash of addresses
//! and ports, as routers do, and knows nothing of sessions.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::lab::namespace::{Namespace, cable};

/// The servers' common addresses, with the port of their tunnels.
pub(crate) const ANYCAST_V4: &str = "192.0.2.1:51820";
pub(crate) const ANYCAST_V6: &str = "[2001:db8::1]:51820";

/// Frames between servers are longer than those of clients, by the headers that a forwarded packet gets.
const MTU: u32 = 1700;

/// A subnet at the router, by its number: `198.18.N.0/24` and `2001:db8:18:N::/64`. The router has `.254` and `::fe`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subnet(pub(crate) u8);

impl Subnet {
    /// Host `host` without the length of the prefix.
    pub(crate) fn v4(self, host: u8) -> String {
        format!("198.18.{}.{host}", self.0)
    }

    /// The same of IPv6.
    pub(crate) fn v6(self, host: u8) -> String {
        format!("2001:db8:18:{}::{host:x}", self.0)
    }

    /// The router's addresses.
    pub(crate) fn gateways(self) -> [String; 2] {
        [self.v4(254), self.v6(254)]
    }
}

/// The namespace between servers and clients.
pub(crate) struct Router {
    pub(crate) namespace: Namespace,
    seed: AtomicU32,
}

impl Router {
    pub(crate) fn new() -> Self {
        let namespace = Namespace::new();
        let settings = "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.send_redirects=0 \
            net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1";
        namespace.run(&format!("sysctl -qw {settings}"));
        Self { namespace, seed: AtomicU32::new(1) }
    }

    /// Lays a cable to `end` of a namespace, and gives the router its addresses in that subnet.
    pub(crate) fn attach(&self, namespace: &Namespace, end: &str, subnet: Subnet) {
        let port = port(subnet);
        cable((&self.namespace, &port), (namespace, end));
        self.namespace.run(&format!("ip link set {port} mtu {MTU}"));
        namespace.run(&format!("ip link set {end} mtu {MTU}"));
        let [v4, v6] = subnet.gateways();
        self.namespace.run(&format!("ip addr add {v4}/24 dev {port}"));
        self.namespace.run(&format!("ip addr add {v6}/64 dev {port} nodad"));
    }

    /// Gives the kernel behind `end` addresses of host `host`, and the way to everything else.
    pub(crate) fn address(namespace: &Namespace, end: &str, subnet: Subnet, host: u8) {
        namespace.run(&format!("ip link set {end} mtu 1500"));
        namespace.run(&format!("ip addr add {}/24 dev {end}", subnet.v4(host)));
        namespace.run(&format!("ip addr add {}/64 dev {end} nodad", subnet.v6(host)));
        for gateway in subnet.gateways() {
            namespace.run(&format!("ip route add default via {gateway}"));
        }
    }

    /// Spreads the anycast addresses over host 1 of these subnets, all flows anew.
    pub(crate) fn spread(&self, servers: &[Subnet]) {
        for (offset, family) in [(0, 4), (100, 6)] {
            let mut group = Vec::new();
            for subnet in servers {
                let id = offset + u32::from(subnet.0);
                let via = if family == 4 { subnet.v4(1) } else { subnet.v6(1) };
                self.namespace
                    .run(&format!("ip nexthop replace id {id} via {via} dev {}", port(*subnet)));
                group.push(id.to_string());
            }
            let id = offset + 99;
            self.namespace.run(&format!("ip nexthop replace id {id} group {}", group.join("/")));
        }
        self.namespace.run("ip route replace 192.0.2.1/32 nhid 99");
        self.namespace.run("ip route replace 2001:db8::1/128 nhid 199");
    }

    /// Spreads the same servers differently: every flow may land elsewhere from now on.
    pub(crate) fn shuffle(&self) {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        self.namespace.run(&format!("sysctl -qw net.ipv4.fib_multipath_hash_seed={seed}"));
    }
}

/// The router's interface to a subnet.
fn port(subnet: Subnet) -> String {
    format!("to{}", subnet.0)
}
