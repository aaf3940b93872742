//! Debian's own `wg` on a desk with a dataplane of real shared memory. Needs root, because `wg` looks for sockets in
//! `/var/run/wireguard` only, and says so where it is left out.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::config::Wireguard;
use control::desk::Desk;
use control::keep::Keep;
use control::model::{Book, Change, Declaration, Origin, Peer, Place, PublicKey, RouteTo};
use control::testing::{FakeDataplane, place_beneath};
use control::uapi;
use shm::attach::Sizes;
use tempfile::TempDir;
use tokio::task::JoinSet;
use wireguard::secret::Secret;

const PATIENCE: Duration = Duration::from_mins(1);

const DIRECTORY: &str = "/var/run/wireguard";

/// Peers of the test of size; fewer where it tells no times.
const MANY: u32 = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

fn key(number: u32) -> PublicKey {
    let mut octets = [7; 32];
    octets[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    PublicKey(octets)
}

fn base64_of(number: u32) -> String {
    STANDARD.encode(key(number).0)
}

fn peer(number: u32) -> Peer {
    let address = (0x0a00_0000 + number).to_be_bytes();
    let allowed_ips = [ipnet::IpNet::from(std::net::IpAddr::from(address))].into();
    Peer { allowed_ips, ..Peer::new(key(number)) }
}

/// A desk with a dataplane, served to `wg` under a name of its own.
struct Scene {
    root: TempDir,
    interface: String,
    desk: Desk,
    dataplane: FakeDataplane,
    tasks: JoinSet<()>,
}

impl Scene {
    async fn new() -> Option<Self> {
        if let Some(why) = why_not() {
            eprintln!("SKIPPED: {why}; nothing of `wg` on millrace was tested here");
            return None;
        }
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let place = place_beneath(root.path()).unwrap();
        // A ring that takes the whole answer to a survey: this dataplane does not wait for room.
        let sizes = Sizes { event_slots: 1 << 18, ..Sizes::default() };
        let dataplane = FakeDataplane::start_with(&place, sizes).unwrap();
        let keep = Keep::open(&root.path().join("state")).unwrap();
        let desk = Desk::open(place, keep).unwrap();
        let (interface, tasks) = (interface(), JoinSet::new());
        let mut scene = Self { root, interface, desk, dataplane, tasks };
        scene.wait(|scene| scene.desk.status().server.is_some() && scene.is_in_step()).await;
        let listener = uapi::listen(&config(&scene.interface, None)).unwrap();
        scene.tasks.spawn(listener.serve(scene.desk.clone()));
        Some(scene)
    }

    async fn wait(&self, condition: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < end, "what was waited for did not come");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whether the dataplane has the book.
    fn is_in_step(&self) -> bool {
        let tables = self.dataplane.tables();
        tables.snapshots > 0 && tables.agree_with(&self.desk.book())
    }

    /// Runs `wg COMMAND INTERFACE MORE`.
    fn run(&self, command: &str, more: &[&str]) -> Output {
        Command::new("wg").arg(command).arg(&self.interface).args(more).output().unwrap()
    }

    /// What that prints, when it succeeds.
    fn wg(&self, command: &str, more: &[&str]) -> String {
        let output = self.run(command, more);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "wg {command} {more:?}: {complaint}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complains of, when it fails.
    fn complaint(&self, command: &str, more: &[&str]) -> String {
        let output = self.run(command, more);
        assert!(!output.status.success(), "wg {command} {more:?} succeeded");
        String::from_utf8(output.stderr).unwrap()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.root.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn add(&self, peers: impl IntoIterator<Item = Peer>) {
        let changes = peers.into_iter().map(Change::AddPeer).collect();
        self.desk.change(Origin::Cli, changes).await.unwrap();
    }

    fn nets_of(&self, number: u32) -> Option<Vec<String>> {
        let book = self.desk.book();
        let peer = book.peer(&key(number))?;
        Some(peer.allowed_ips.iter().map(ToString::to_string).collect())
    }
}

fn why_not() -> Option<String> {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if !is_root {
        return Some("this is not root".to_owned());
    }
    let version = Command::new("wg").arg("--version").output();
    version
        .err()
        .map(|error| format!("wg cannot be run ({error}); apt-get install wireguard-tools"))
}

fn interface() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("mr{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn config(interface: &str, private_key_file: Option<&Path>) -> Wireguard {
    Wireguard {
        interface: interface.to_owned(),
        directory: DIRECTORY.into(),
        private_key_file: private_key_file.map(PathBuf::from),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wg_show_tells_what_the_book_and_the_dataplane_know() {
    let Some(scene) = Scene::new().await else { return };
    let mut known = peer(1);
    known.preshared_key = Some(Box::new(Secret::new([5; 32])));
    known.persistent_keepalive = 25;
    let more = "2001:db8::/64".parse().unwrap();
    known.allowed_ips = [known.allowed_ips[0], more].into();
    scene.add([known]).await;
    let (key, secret) = (base64_of(1), STANDARD.encode([5; 32]));
    let of_peer = |rest: &str| format!("{key}\t{rest}\n");
    let cases = [
        ("peers", format!("{key}\n")),
        ("preshared-keys", of_peer(&secret)),
        ("endpoints", of_peer("192.0.2.1:1000")),
        ("allowed-ips", of_peer("10.0.0.1/32 2001:db8::/64")),
        ("latest-handshakes", of_peer("7")),
        ("transfer", of_peer("100\t200")),
        ("persistent-keepalive", of_peer("25")),
        ("listen-port", "51820\n".to_owned()),
        ("fwmark", "off\n".to_owned()),
        ("public-key", "(none)\n".to_owned()),
        (
            "dump",
            "(none)\t(none)\t51820\toff\n".to_owned()
                + &of_peer(&format!(
                    "{secret}\t192.0.2.1:1000\t10.0.0.1/32,2001:db8::/64\t7\t100\t200\t25"
                )),
        ),
    ];
    for (what, wanted) in cases {
        assert_eq!(scene.wg("show", &[what]), wanted, "wg show {what}");
    }
    let said = scene.wg("show", &[]);
    assert!(said.contains("transfer: 100 B received, 200 B sent"), "{said}");
    let listed = Command::new("wg").args(["show", "interfaces"]).output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed.split_whitespace().any(|name| name == scene.interface), "{listed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wg_set_adds_changes_moves_and_removes_peers_in_the_dataplane() {
    let Some(scene) = Scene::new().await else { return };
    let (one, two) = (base64_of(1), base64_of(2));
    let secret = scene.file("psk", &STANDARD.encode([5; 32]));
    let all = ["peer", &one, "preshared-key", &secret, "endpoint", "[2001:db8::7]:7"];
    let rest = ["persistent-keepalive", "25", "allowed-ips", "10.0.0.1/32,10.0.0.2/32"];
    scene.wg("set", &[&all[..], &rest[..]].concat());
    assert!(scene.is_in_step());
    let book = scene.desk.book();
    let peer = book.peer(&key(1)).unwrap();
    assert_eq!(peer.preshared_key.as_deref(), Some(&Secret::new([5; 32])));
    assert_eq!(peer.endpoint, Some("[2001:db8::7]:7".parse().unwrap()));
    assert_eq!((peer.persistent_keepalive, peer.origin), (25, Origin::Uapi));
    assert_eq!(scene.nets_of(1).unwrap(), ["10.0.0.1/32", "10.0.0.2/32"]);

    scene.wg("set", &["peer", &two, "allowed-ips", "10.0.0.2/32"]);
    assert_eq!(scene.nets_of(1).unwrap(), ["10.0.0.1/32"]);
    assert_eq!(scene.nets_of(2).unwrap(), ["10.0.0.2/32"]);
    let off = ["peer", &one, "preshared-key", "/dev/null", "persistent-keepalive", "off"];
    scene.wg("set", &off);
    let book = scene.desk.book();
    let peer = book.peer(&key(1)).unwrap();
    assert!(peer.preshared_key.is_none() && peer.persistent_keepalive == 0);
    scene.wg("set", &["peer", &one, "remove", "peer", &two, "allowed-ips", ""]);
    assert_eq!((scene.nets_of(1), scene.nets_of(2)), (None, Some(vec![])));
    assert!(scene.is_in_step());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wg_showconf_gives_wg_setconf_addconf_and_syncconf_take() {
    let Some(scene) = Scene::new().await else { return };
    scene.add((1..=50).map(peer)).await;
    // One that changes nearly everything is said as a snapshot.
    let changes = || {
        let tables = scene.dataplane.tables();
        tables.deltas + tables.snapshots
    };
    let shown = scene.wg("showconf", &[]);
    assert!(shown.starts_with("[Interface]\nListenPort = 51820\n"), "{shown}");
    // The endpoints that peers were heard at become those that the book has, and that is all.
    let full = scene.file("full.conf", &shown);
    scene.wg("setconf", &[&full]);
    let before = changes();
    for command in ["setconf", "addconf", "syncconf"] {
        scene.wg(command, &[&full]);
        assert_eq!((changes(), scene.desk.book().counts().peers), (before, 50), "{command}");
    }

    let section = |number: u32| {
        format!("[Peer]\nPublicKey = {}\nAllowedIPs = 10.9.0.{number}/32\n", base64_of(number))
    };
    let part = scene.file("part.conf", &(section(50) + &section(51)));
    scene.wg("addconf", &[&part]);
    assert_eq!(scene.desk.book().counts().peers, 51);
    assert_eq!(scene.nets_of(50).unwrap(), ["10.9.0.50/32"]);
    assert_eq!(scene.nets_of(49).unwrap(), ["10.0.0.49/32"]);
    scene.wg("syncconf", &[&full]);
    assert_eq!((scene.desk.book().counts().peers, scene.nets_of(51)), (50, None));
    assert_eq!(scene.nets_of(50).unwrap(), ["10.0.0.50/32"]);
    scene.wg("setconf", &[&part]);
    assert_eq!(scene.desk.book().counts().peers, 2);
    assert_eq!(scene.nets_of(50).unwrap(), ["10.9.0.50/32"]);
    // Each was one change for the dataplane.
    assert_eq!(changes(), before + 3);
    assert!(scene.is_in_step());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_has_its_number_and_changes_nothing() {
    let Some(scene) = Scene::new().await else { return };
    let origin = Origin::Declared(Place { file: 0, line: 3 });
    let declaration = Declaration {
        files: vec!["peers.toml".to_owned()],
        peers: vec![Peer { origin, ..peer(1) }],
        ..Declaration::default()
    };
    scene.desk.declare(declaration).await.unwrap();
    let prefix = "10.8.0.0/16".parse().unwrap();
    let route = RouteTo { prefix, next_hop: "local".into(), origin: Origin::Cli };
    scene.desk.change(Origin::Cli, vec![Change::AddRoute(route)]).await.unwrap();
    let hated = base64_of(66);
    scene.dataplane.hate(key(66));
    let (one, two) = (base64_of(1), base64_of(2));
    let other_key = scene.file("private_key", &STANDARD.encode([9; 32]));
    let empty = scene.file("empty.conf", "[Interface]\n");
    let zero = STANDARD.encode([0; 32]);
    let with_peer = |more: &[&'static str]| -> Vec<String> {
        let more = more.iter().map(|word| (*word).to_owned());
        more.chain(["peer".to_owned(), two.clone()]).collect()
    };
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let cases: [(&str, Vec<String>, &str); 9] = [
        ("set", with_peer(&["listen-port", "1"]), "Operation not supported"),
        ("set", with_peer(&["fwmark", "1"]), "Operation not supported"),
        ("set", strings(&["private-key", &other_key, "peer", &two]), "Operation not supported"),
        ("set", strings(&["peer", &two, "peer", &one, "remove"]), "Operation not permitted"),
        ("set", strings(&["peer", &two, "allowed-ips", "10.0.0.1/32"]), "Operation not permitted"),
        ("setconf", strings(&[&empty]), "Operation not permitted"),
        ("set", strings(&["peer", &two, "allowed-ips", "10.8.0.0/16"]), "File exists"),
        ("set", strings(&["peer", &two, "peer", &zero]), "Invalid argument"),
        ("set", strings(&["peer", &two, "peer", &hated]), "Input/output error"),
    ];
    for (command, words, wanted) in cases {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = scene.complaint(command, &words);
        assert_eq!(said, format!("Unable to modify interface: {wanted}\n"), "{words:?}");
        assert_eq!(scene.desk.book().counts().peers, 1, "{words:?}");
        assert_eq!(scene.nets_of(1).unwrap(), ["10.0.0.1/32"]);
    }
    scene.wg("set", &["listen-port", "51820", "fwmark", "0", "peer", &two]);
    assert_eq!(scene.desk.book().counts().peers, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wg_shows_the_servers_public_key_where_control_knows_the_private_one() {
    let Some(scene) = Scene::new().await else { return };
    let text = STANDARD.encode([3; 32]);
    let file = scene.file("private_key", &text);
    let name = interface();
    let listener = uapi::listen(&config(&name, Some(Path::new(&file)))).unwrap();
    let mut tasks = JoinSet::new();
    // One that has not heard of a dataplane yet.
    tasks.spawn(listener.serve(Desk::detached(Book::default())));
    let run = |arguments: &[&str]| {
        let output = Command::new("wg").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let public = STANDARD.encode(wireguard::noise::public(&Secret::new([3; 32])));
    assert_eq!(run(&["show", &name, "public-key"]), public + "\n");
    assert!(run(&["showconf", &name]).contains(&format!("PrivateKey = {text}\n")));
    run(&["set", &name, "private-key", &file]);
    tasks.shutdown().await;
    assert!(!Path::new(DIRECTORY).join(format!("{name}.sock")).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_peers_are_synchronised_in_one_change_and_shown_in_a_second() {
    let Some(scene) = Scene::new().await else { return };
    let mut text = String::new();
    for number in 1..=MANY {
        let peer = peer(number);
        let (key, net) = (base64_of(number), peer.allowed_ips[0]);
        writeln!(text, "[Peer]\nPublicKey = {key}\nAllowedIPs = {net}").unwrap();
    }
    let file = scene.file("many.conf", &text);
    // The quickest of some, because others work on this machine too.
    let timed = |command: &str, more: &[&str], times: usize| {
        let run = || {
            let begin = Instant::now();
            let said = scene.wg(command, more);
            (begin.elapsed(), said)
        };
        let (took, said) = (0..times).map(|_| run()).min().unwrap();
        println!("wg {command} {:?} of {MANY} peers: {took:?}", more.last());
        (said, took)
    };
    let sync = timed("syncconf", &[&file], 1).1;
    assert_eq!(scene.dataplane.tables().deltas, 1);
    assert!(scene.is_in_step());
    let again = timed("syncconf", &[&file], 3).1;
    let (dump, shown) = timed("show", &["dump"], 5);
    assert_eq!(dump.lines().count(), MANY as usize + 1);
    assert!(dump.lines().skip(1).all(|line| line.contains("\t192.0.2.1:1000\t10.")));
    let pretty = timed("show", &[], 5).1;
    // Numbers of builds without optimisation say nothing.
    if !cfg!(debug_assertions) {
        assert!(shown.max(pretty) < Duration::from_secs(1), "wg show: {shown:?}, {pretty:?}");
        assert!(sync.max(again) < Duration::from_secs(5), "wg syncconf: {sync:?}, {again:?}");
    }
}
