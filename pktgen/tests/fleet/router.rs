//! The router before a fleet: it spreads what goes to the anycast addresses over the servers by the hash of addresses
//! and ports, as routers do, and knows nothing of sessions.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::lab::namespace::{Namespace, cable};

/// The servers' common addresses, with the port of their tunnels.
pub(crate) const ANYCAST_V4: &str = "192.0.2.1:51820";
pub(crate) const ANYCAST_V6: &str = "[2001:db8::1]:51820";

/// Frames between servers are longer than those of clients, by the headers that a forwarded packet gets.
const MTU: u32 = 1700;

/// Numbers of the kernel's next hops: a server's is its own, the group has this one; those of IPv6 lie higher.
const GROUP: u32 = 999;
const V6: u32 = 1000;

/// Why no router like this one can be had here, if so.
pub(crate) fn why_not() -> Option<&'static str> {
    let policy = std::path::Path::new("/proc/sys/net/ipv4/fib_multipath_hash_policy");
    (!policy.exists())
        .then_some("this kernel routes to one next hop only (CONFIG_IP_ROUTE_MULTIPATH)")
}

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

    /// Whether an address is of this subnet.
    pub(crate) fn holds(self, address: IpAddr) -> bool {
        let prefix = if address.is_ipv4() { self.v4(0) } else { self.v6(0) };
        address.to_string().starts_with(prefix.trim_end_matches('0').trim_end_matches("::"))
    }

    /// The router's addresses.
    pub(crate) fn gateways(self) -> [String; 2] {
        [self.v4(254), self.v6(254)]
    }
}

/// The namespace between servers and clients.
pub(crate) struct Router {
    pub(crate) namespace: Namespace,
    servers: Mutex<Vec<Subnet>>,
    shuffles: AtomicUsize,
}

impl Router {
    pub(crate) fn new() -> Self {
        let namespace = Namespace::new();
        let settings = "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.send_redirects=0 \
            net.ipv4.fib_multipath_hash_policy=1 net.ipv6.fib_multipath_hash_policy=1";
        namespace.run(&format!("sysctl -qw {settings}"));
        Self { namespace, servers: Mutex::default(), shuffles: AtomicUsize::new(0) }
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

    /// Spreads the anycast addresses over host 1 of these subnets.
    pub(crate) fn spread(&self, servers: &[Subnet]) {
        for server in servers {
            let port = port(*server);
            for (id, via) in
                [(u32::from(server.0), server.v4(1)), (V6 + u32::from(server.0), server.v6(1))]
            {
                self.namespace.run(&format!("ip nexthop replace id {id} via {via} dev {port}"));
            }
        }
        *self.servers.lock().unwrap_or_else(PoisonError::into_inner) = servers.to_vec();
        self.shuffle();
        self.namespace.run(&format!("ip route replace 192.0.2.1/32 nhid {GROUP}"));
        self.namespace.run(&format!("ip route replace 2001:db8::1/128 nhid {}", V6 + GROUP));
    }

    /// Spreads them over the same servers differently: in another order, with other weights.
    pub(crate) fn shuffle(&self) {
        let count = self.shuffles.fetch_add(1, Ordering::Relaxed);
        // Held while the router is told, so that nobody's older word is the last one.
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let shuffled = (0..servers.len()).map(|at| {
            let weight = 1 + (count + at * 5) % 4;
            (u32::from(servers[(at + count) % servers.len()].0), weight)
        });
        let shuffled: Vec<_> = shuffled.collect();
        for offset in [0, V6] {
            let group = shuffled.iter().map(|(id, weight)| format!("{},{weight}", offset + id));
            let group: Vec<_> = group.collect();
            let group = group.join("/");
            self.namespace.run(&format!("ip nexthop replace id {} group {group}", offset + GROUP));
        }
    }
}

/// The router's interface to a subnet.
fn port(subnet: Subnet) -> String {
    format!("to{}", subnet.0)
}
