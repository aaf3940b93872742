//! A client as everybody has it, Debian's wireguard-go: it sends no id unless it has a badge, changes its address and port,
//! renews its session, and carries TCP streams meanwhile.

use std::sync::atomic::{AtomicU16, Ordering};

use super::badge::Badge;
use super::outside;
use super::router::Subnet;
use super::site::Site;
use super::stream::Stream;
use crate::lab::keys::Keys;
use crate::lab::namespace::Namespace;
use crate::lab::process::Process;
use crate::lab::traffic::answers;
use crate::lab::wireguard_go::WireguardGo;

/// The service's inner addresses.
const INNER: [&str; 2] = ["10.7.0.1", "fd00:7::1"];

const FIRST_PORT: u16 = 40_000;
/// Addresses that a client goes through, and then again.
const HOSTS: u16 = 200;

/// A client, its place, and what it carries.
pub(crate) struct Stock<'a> {
    pub(crate) place: &'a Namespace,
    subnet: Subnet,
    badge: Option<Badge<'a>>,
    wireguard: WireguardGo<'a>,
    server: (Keys, String),
    ports: AtomicU16,
    hosts: AtomicU16,
    /// Without it the server would not hear of a move while a stream waits for what comes back.
    _voice: Process,
    pub(crate) streams: Vec<Stream>,
}

impl<'a> Stock<'a> {
    /// Where a client of this kind stands.
    pub(crate) fn place(site: &Site, subnet: Subnet) -> Namespace {
        let place = site.place(subnet);
        // The way to the router stays when the first address goes; what is lost is sent again soon, and for long.
        place.run("sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1");
        place.run("sysctl -qw net.ipv4.tcp_retries2=250");
        // Kernels before 6.15 have no such limit, and take longer.
        place.attempt("sysctl -qw net.ipv4.tcp_rto_max_ms=1000");
        place
    }

    /// Connects as inner host `host` to `server`, with a stream over each inner family.
    pub(crate) fn connect(
        place: &'a Namespace,
        subnet: Subnet,
        (own, host): (&Keys, u8),
        (keys, server): (&Keys, &str),
    ) -> Self {
        let wireguard = WireguardGo::start(place, "wg0", own, host);
        let mut stock = Self::begin((place, subnet), wireguard, (keys, server), None);
        stock.streams = stock.open();
        stock
    }

    /// The same with this id and without streams.
    pub(crate) fn connect_as(
        id: Option<[u8; 3]>,
        (place, subnet): (&'a Namespace, Subnet),
        (own, host): (&Keys, u8),
        (keys, server): (&Keys, &str),
    ) -> Self {
        let wireguard = WireguardGo::start(place, "wg0", own, host);
        let badge = id.map(|id| Badge::new(place, id, server));
        Self::begin((place, subnet), wireguard, (keys, server), badge)
    }

    fn begin(
        (place, subnet): (&'a Namespace, Subnet),
        wireguard: WireguardGo<'a>,
        (keys, server): (&Keys, &str),
        badge: Option<Badge<'a>>,
    ) -> Self {
        wireguard.set(&format!("listen-port {FIRST_PORT}"));
        place.run(&format!("ip route add {} dev wg0", outside::PREFIX));
        let (ports, hosts) = (AtomicU16::new(FIRST_PORT), AtomicU16::new(0));
        let server =
            badge.as_ref().map_or_else(|| server.to_owned(), |badge| badge.address().to_string());
        let server = (keys.clone(), server);
        call(&wireguard, &server);
        let mut voice = place.command("ping");
        voice.args(["-n", "-q", "-i", "0.1", "10.7.0.1"]);
        let voice = Process::start("ping", voice);
        let streams = Vec::new();
        Self { place, subnet, badge, server, wireguard, ports, hosts, _voice: voice, streams }
    }

    /// Forgets its session and begins another one, as a laptop that has slept for a while.
    pub(crate) fn renew(&self) {
        self.wireguard.set(&format!("peer {} remove", self.server.0.public_text()));
        call(&self.wireguard, &self.server);
    }

    /// Sleeps, and neither sends nor hears anything, or wakes.
    pub(crate) fn sleep(&self, is_asleep: bool) {
        self.wireguard.sleep(is_asleep);
    }

    /// How many initiations it has sent.
    pub(crate) fn initiations(&self) -> usize {
        self.wireguard.initiations_sent()
    }

    /// New streams beside its first ones.
    pub(crate) fn open(&self) -> Vec<Stream> {
        INNER.map(|address| Stream::open(self.place, address)).into()
    }

    /// Goes on from another port, as behind a NAT that has forgotten it.
    pub(crate) fn rebind(&self) {
        if let Some(badge) = &self.badge {
            badge.rebind();
            return;
        }
        let port = self.ports.fetch_add(1, Ordering::Relaxed) + 1;
        self.wireguard.set(&format!("listen-port {port}"));
    }

    /// Goes on from another address of both families, and another port.
    pub(crate) fn roam(&self) {
        let moves = self.hosts.fetch_add(1, Ordering::Relaxed);
        let host = |moves: u16| u8::try_from(1 + moves % HOSTS).unwrap();
        let is = |host: u8| {
            [format!("{}/24", self.subnet.v4(host)), format!("{}/64", self.subnet.v6(host))]
        };
        for (old, new) in is(host(moves)).iter().zip(&is(host(moves + 1))) {
            let option = if new.contains(':') { "nodad" } else { "" };
            self.place.run(&format!("ip addr add {new} dev eth0 {option}"));
            self.place.run(&format!("ip addr del {old} dev eth0"));
        }
        // wireguard-go clings to the source that it had until its socket is another.
        self.rebind();
    }

    /// Whoever serves all of its streams.
    pub(crate) fn server(&self) -> u8 {
        let server = self.streams[0].server;
        assert!(
            self.streams.iter().all(|stream| stream.server == server),
            "one client, one server"
        );
        server
    }

    /// Whether anybody answers.
    pub(crate) fn is_served(&self) -> bool {
        answers(self.place, "10.7.0.1")
    }
}

/// Sends all that is inner, and all that is outside, to this server.
fn call(wireguard: &WireguardGo<'_>, (keys, endpoint): &(Keys, String)) {
    let (key, outside) = (keys.public_text(), outside::PREFIX);
    wireguard.set(&format!(
        "peer {key} endpoint {endpoint} allowed-ips 10.7.0.0/24,fd00:7::/64,{outside}"
    ));
}
