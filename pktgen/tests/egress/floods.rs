//! Floods of connections that are never completed, from a client and from another data centre: both are held to their share,
//! and nobody else notices.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::lab::dataplane::Dataplane;
use crate::lab::namespace::Namespace;
use crate::lab::{alone, attach, until};
use crate::site::{Client, NAT, POP, POP_NAT, POP_PORT, Site, lost};
use crate::through::{end, settle};
use crate::{load_side_by_side, served};

/// Where nobody ever answers.
const SILENT: &str = "203.0.113.99";
/// A data centre whose machine floods.
const FLOODER: &str = "11.1.0.5";
/// More than anybody's share.
const SYNS: u32 = 5000;
/// What a worker has room for, as the operator's page says, and what of it one client and one data centre may have.
const SETUPS: u64 = 4096;
const SETUPS_PER_CLIENT: u64 = 256;
const SETUPS_PER_POP: u64 = SETUPS / 2 + 1;
/// Connections of who works that are young at one time.
const WORK: u64 = 8;

/// A client's kernel that begins connections and forgets them, until it is told to stop.
struct Forgetful {
    is_done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forgetful {
    fn start(client: &Client<'_>) -> Self {
        let is_done = Arc::<AtomicBool>::default();
        let end = Arc::clone(&is_done);
        let thread = client.place.thread(move || {
            for port in (1..=u16::MAX).cycle().take_while(|_| !end.load(Ordering::Relaxed)) {
                let to = SocketAddr::new(SILENT.parse().unwrap(), port);
                assert!(TcpStream::connect_timeout(&to, Duration::from_millis(1)).is_err());
            }
        });
        Self { is_done, thread: Some(thread) }
    }

    fn stop(mut self) {
        self.is_done.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for Forgetful {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
    }
}

/// The place of a machine that sends what it likes: its kernel must keep silent about what comes back.
fn flooder(site: &Site) -> (Namespace, String) {
    let place = Namespace::new();
    attach((&site.hub, "flooder"), (&place, "eth0"));
    place.run(&format!("ip addr add {FLOODER}/24 dev eth0"));
    let mut mac = None;
    until("the flooded one's link address is known", 30, || {
        place.attempt(&format!("ping -n -q -c 1 -W 1 {POP}"));
        let told = place.run(&format!("ip neigh show {POP}"));
        mac =
            told.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).map(str::to_owned);
        mac.is_some()
    });
    place.run(&format!("ip route add blackhole {POP}/32"));
    (place, mac.unwrap())
}

/// Floods the data centre, with this in each SYN.
fn flood((place, mac): &(Namespace, String), payload: &str) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/egress/flood.py");
    let mut command = place.command("/usr/bin/python3");
    let (port, count) = (POP_PORT.to_string(), SYNS.to_string());
    command.arg(script).args(["eth0", mac, FLOODER, POP, &port, &count, payload]).spawn().unwrap()
}

/// A server, another data centre that also serves the flooder, and a way to where nobody answers.
fn serve(site: &Site) -> [Dataplane; 2] {
    site.internet.run(&format!("ip route add blackhole {SILENT}/32"));
    site.internet.run("sysctl -qw net.ipv4.ip_forward=1");
    let section = format!("[connect]\nport = {POP_PORT}\nfrom = [\"{NAT}\", \"{FLOODER}\"]\n");
    let pop = Site::serve_pop_at((&site.pop, POP, POP_NAT), &section);
    let route = format!("[[route]]\nprefix = \"{SILENT}/32\"\nnext_hop = \"via-fra\"\n");
    [site.serve_routes_via_pop(true, &route), pop]
}

/// What floods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flood {
    /// SYNs, whose sender does not answer.
    Bare,
    /// SYNs with a request, whose target does not answer.
    Borne,
}

/// Who takes part: a client that works, one that forgets what it begins, and the machine that floods.
struct Cast<'a> {
    honest: Client<'a>,
    forgetful: Client<'a>,
    flooder: (Namespace, String),
}

impl<'a> Cast<'a> {
    fn new(site: &'a Site) -> Self {
        let [honest, forgetful] = [0, 1].map(|number| site.client(number));
        Self { honest, forgetful, flooder: flooder(site) }
    }

    /// Lets the client work while both floods last.
    fn work_under_floods(&self, [server, pop]: &[Dataplane; 2], kind: Flood) {
        let refused = || [server, pop].map(|dataplane| lost(dataplane, "egress_connect_full"));
        let before = refused();
        let forgetting = Forgetful::start(&self.forgetful);
        until("the client has more than its share", 20, || refused()[0] > before[0]);
        let request = format!("CONNECT {SILENT}:80 HTTP/1.1\\r\\nHost: {SILENT}:80\\r\\n\\r\\n");
        let payload = if kind == Flood::Borne { request.as_str() } else { "" };
        let mut flood = flood(&self.flooder, payload);
        load_side_by_side(&[&self.honest]);
        assert!(flood.wait().unwrap().success(), "{kind:?}");
        let opening = [server, pop].map(|dataplane| dataplane.counter("connects_opening"));
        load_side_by_side(&[&self.honest]);
        assert!(refused()[1] > before[1], "{kind:?}: more than a data centre's share");
        forgetting.stop();
        // What has just been opened for who works is among them, too.
        let (least, most) = (SETUPS_PER_POP, SETUPS_PER_POP + SETUPS_PER_CLIENT);
        println!("{kind:?}: opening at the height of the flood {opening:?}");
        assert!((1..=SETUPS_PER_CLIENT + WORK).contains(&opening[0]), "{kind:?}: {opening:?}");
        assert!((least..=most + WORK).contains(&opening[1]), "{kind:?}: {opening:?}");
    }
}

#[test]
fn floods_of_half_open_connections_harm_nobody_but_who_floods() {
    let _machine = alone();
    let site = Site::new();
    let _web = site.web();
    let both = serve(&site);
    Cast::new(&site).work_under_floods(&both, Flood::Borne);
    let opened = served(&site).len() as u64;
    for dataplane in both {
        assert_eq!(dataplane.stop()["connects_opened"], opened);
    }
}

#[test]
#[ignore = "it takes minutes: scripts/test --slow"]
fn nothing_is_left_of_floods_when_they_are_over() {
    let _machine = alone();
    let site = Site::new();
    let _web = site.web();
    let both = serve(&site);
    let buffers = both.each_ref().map(|dataplane| dataplane.counter("buffers_in_use"));
    let cast = Cast::new(&site);
    for kind in [Flood::Bare, Flood::Borne] {
        cast.work_under_floods(&both, kind);
        both.iter().for_each(settle);
    }
    drop(cast);
    // What was closed rests for four minutes (RFC 5382 REQ-5).
    until("no flow is left", 300, || both.iter().all(|dataplane| dataplane.counter("flows") == 0));
    let after = both.each_ref().map(|dataplane| dataplane.counter("buffers_in_use"));
    assert_eq!(after, buffers, "what the devices' rings hold, and no more");
    for dataplane in both {
        end(dataplane);
    }
}
