//! Claims about the metrics, read over a real socket by parsers: a naive one of the `OpenMetrics` 1.0 rules, and
//! Prometheus' own where it can be had.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod curl;
mod openmetrics;

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::argo;
use control::config::Metrics;
use control::desk::Desk;
use control::metrics;
use control::model::fleet::{Member, MemberState};
use control::model::{
    Book, Centre, Change, Fleet, HopNamed, Machine, Origin, Peer, PublicKey, RouteTo,
};
use control::register;
use control::terminate::counts::{Count, Counts, Refusal};
use control::terminate::watch::Watch;
use control::testing::{FakeDataplane, place_beneath};
use curl::Curl;
use openmetrics::{Exposition, parse};
use serde_json::json;
use shm::Place;
use shm::message::Event;

const KEY: &str = "6J4mvYbX1BXKCxhZUsl0FJkTQTNWHRGgrYUMuWUCmwM=";
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PATIENCE: Duration = Duration::from_secs(20);

struct Edge {
    curl: Curl,
    serving: tokio::task::JoinHandle<()>,
}

impl Edge {
    async fn start(
        desk: Desk,
        place: Place,
        registration: Option<Arc<register::Counters>>,
    ) -> Self {
        Self::of(desk, place, (registration, None)).await
    }

    async fn of(
        desk: Desk,
        place: Place,
        beside: (Option<Arc<register::Counters>>, Option<Watch>),
    ) -> Self {
        let config = Metrics { listen: "127.0.0.1:0".parse().unwrap() };
        let service = metrics::open(desk, place, beside, &config).await.unwrap();
        let curl = Curl::new(format!("http://{}", service.address()));
        Self { curl, serving: tokio::spawn(service.serve()) }
    }

    async fn text(&self) -> String {
        let answer = self.curl.send(&[], "/metrics").await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(MEDIA_TYPE)));
        answer.body
    }

    async fn read(&self) -> Exposition {
        let text = self.text().await;
        parse(&text).unwrap_or_else(|what| panic!("{what} in:\n{text}"))
    }

    async fn wait_for(&self, condition: impl Fn(&Exposition) -> bool) -> Exposition {
        let end = Instant::now() + PATIENCE;
        loop {
            let read = self.read().await;
            if condition(&read) {
                return read;
            }
            assert!(Instant::now() < end, "what was waited for did not come: {read:?}");
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn nowhere(root: &Path) -> Place {
    place_beneath(root).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_dataplane_they_say_so_and_count_what_control_has() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::detached(Book::default());
    let peers = [1, 2].map(|number| Change::AddPeer(Peer::new(PublicKey([number + 9; 32]))));
    desk.change(Origin::Cli, peers.into()).await.unwrap();
    let edge = Edge::start(desk, nowhere(root.path()), None).await;
    let read = edge.read().await;
    assert_eq!(read.value("millrace_attached", &[]), Some(0.0));
    assert_eq!(read.value("millrace_peers", &[("layer", "kept")]), Some(2.0));
    assert_eq!(read.value("millrace_peers", &[("layer", "declared")]), Some(0.0));
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(read.value("millrace_build_info", &version), Some(1.0));
    assert!(!read.has("millrace_heartbeat_age_seconds") && !read.has("millrace_drops_total"));
    assert_eq!(edge.curl.send(&[], "/").await.status, 404);
    assert_eq!(edge.curl.send(&["-X", "POST"], "/metrics").await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_terminated_are_counted_by_next_hop_while_somebody_answers() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("terminate.sock");
    let desk = Desk::detached(Book::default());
    let beside = (None, Some(Watch::new(socket.clone())));
    let edge = Edge::of(desk, nowhere(root.path()), beside).await;
    let read = edge.read().await;
    assert_eq!(read.value("millrace_terminate_up", &[]), Some(0.0));
    assert!(!read.has("millrace_terminate_open"));
    let counts = Counts::default();
    counts.add(Count::Opened, 7);
    counts.add(Count::Reset, 2);
    counts.add(Count::OctetsIn, 1000);
    counts.add(Count::Refused(Refusal::Tls), 3);
    let listener = UnixListener::bind(&socket).unwrap();
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut text = String::new();
        counts.read().write("partner", &mut text);
        stream.write_all(text.as_bytes()).unwrap();
    });
    let read = edge.read().await;
    service.join().unwrap();
    let partner = ("next_hop", "partner");
    for (name, labels, value) in [
        ("millrace_terminate_up", vec![], 1.0),
        ("millrace_terminate_open", vec![partner], 5.0),
        ("millrace_terminate_opened_total", vec![partner], 7.0),
        ("millrace_terminate_ended_total", vec![partner, ("how", "reset")], 2.0),
        ("millrace_terminate_octets_total", vec![partner, ("way", "in")], 1000.0),
        ("millrace_terminate_refused_total", vec![partner, ("why", "tls")], 3.0),
        ("millrace_terminate_refused_total", vec![partner, ("why", "silent")], 0.0),
    ] {
        assert_eq!(read.value(name, &labels), Some(value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dataplanes_counters_and_events_are_there_and_grow() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let place = place_beneath(root.path()).unwrap();
    let dataplane = FakeDataplane::start(&place).unwrap();
    let desk = Desk::forgetful(place.clone(), Book::default());
    let edge = Edge::start(desk.clone(), place, None).await;
    let parse_truncated = [("thread", "worker0"), ("reason", "parse_truncated")];
    let received = [("thread", "worker0")];
    let value = |read: &Exposition| {
        Some((
            read.value("millrace_drops_total", &parse_truncated)?,
            read.value("millrace_thread_received_total", &received)?,
        ))
    };
    let attached = |read: &Exposition| read.value("millrace_attached", &[]) == Some(1.0);
    let first = edge.wait_for(|read| attached(read) && value(read).is_some()).await;
    let (drops, frames) = value(&first).unwrap();
    edge.wait_for(|read| value(read).is_some_and(|(d, f)| d > drops && f > frames)).await;
    let transaction = first.value("millrace_last_transaction", &[]).unwrap();

    let peer = Peer::new(PublicKey([9; 32]));
    let applied = desk.change(Origin::Cli, vec![Change::AddPeer(peer)]).await.unwrap();
    let read = edge.read().await;
    let last = read.value("millrace_last_transaction", &[]).unwrap();
    assert!(
        last > transaction && last.to_string() == applied.transaction.to_string(),
        "{last} {applied:?}"
    );
    assert!(read.value("millrace_transactions_total", &[("result", "applied")]).unwrap() >= 1.0);
    // Its first heartbeat may come after its first answer.
    edge.wait_for(|read| read.has("millrace_heartbeat_age_seconds")).await;

    let (public_key, at) = (PublicKey([9; 32]), Duration::from_secs(7));
    let endpoint = "192.0.2.77:4242".parse().unwrap();
    for _ in 0..3 {
        dataplane.tell(Event::Handshake { public_key, endpoint, at });
    }
    dataplane.tell(Event::EndpointMoved { public_key, endpoint, at });
    dataplane.tell(Event::PeerExpired { public_key, at });
    let event = |read: &Exposition, kind| read.value("millrace_events_total", &[("event", kind)]);
    edge.wait_for(|read| {
        event(read, "handshake") == Some(3.0)
            && event(read, "endpoint_moved") == Some(1.0)
            && event(read, "peer_expired") == Some(1.0)
    })
    .await;
    // Nothing is about a single peer.
    let text = edge.text().await;
    for secret in ["192.0.2.77", "4242", &control::model::key::encode(&[9; 32])] {
        assert!(!text.contains(secret), "{secret}");
    }
    drop(dataplane);
    edge.wait_for(|read| !attached(read) && value(read).is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_is_there_as_it_is_declared_and_as_the_dataplane_sees_it() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let place = place_beneath(root.path()).unwrap();
    let _dataplane = FakeDataplane::start(&place).unwrap();
    let desk = Desk::forgetful(place.clone(), Book::default());
    let edge = Edge::start(desk.clone(), place, None).await;
    let (declared, dataplane) = ([("where", "declared")], [("where", "dataplane")]);
    let first =
        edge.wait_for(|read| read.value("millrace_fleet_generation", &dataplane).is_some()).await;
    assert_eq!(first.value("millrace_fleet_generation", &dataplane), Some(0.0));
    assert!(!first.has("millrace_fleet_members") && !first.has("millrace_fleet_held"));
    let member = |(server, state)| Member {
        server,
        weight: 100,
        state,
        v4: Some([192, 0, 2, server].into()),
        v6: None,
    };
    let draining = MemberState::Draining { deadline: None };
    let states = [MemberState::Active, draining, MemberState::Down, MemberState::Active];
    let fleet = |generation, states: [MemberState; 4]| {
        let members = (1..).zip(states).map(member).collect();
        let fleet = Fleet::new(generation, members, Vec::new(), Origin::Cli);
        vec![Change::PutFleet(Arc::new(fleet))]
    };
    desk.change(Origin::Cli, fleet(5, states)).await.unwrap();
    let at = |read: &Exposition, generation| {
        read.value("millrace_fleet_generation", &dataplane) == Some(generation)
    };
    let read = edge.wait_for(|read| at(read, 5.0)).await;
    assert_eq!(read.value("millrace_fleet_generation", &declared), Some(5.0));
    let count = |state| read.value("millrace_fleet_members", &[("state", state)]);
    assert_eq!(
        [count("active"), count("draining"), count("down")],
        [Some(2.0), Some(1.0), Some(1.0)]
    );
    assert!(!read.has("millrace_fleet_held"));
    assert!(edge.text().await.contains("millrace_fleet_digest_info{server=\"1\",digest=\""));
    let states = [draining, MemberState::Active, MemberState::Down, MemberState::Active];
    desk.change(Origin::Cli, fleet(6, states)).await.unwrap();
    let read = edge.wait_for(|read| at(read, 6.0)).await;
    assert_eq!(read.value("millrace_fleet_held", &[]), Some(7.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_is_counted_by_what_became_of_it_and_nothing_more_is_told() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::detached(Book::default());
    let text = format!(
        "listen = \"127.0.0.1:0\"\nipv4 = \"100.96.0.0/12\"\nipv6 = \"2001:db8:1::/48\"\n\
         host = \"edge.example.net\"\npublic_key = \"3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=\"\n{}",
        ""
    );
    let service = register::open(desk.clone(), toml::from_str(&text).unwrap()).await.unwrap();
    let client = Curl::new(format!("http://{}", service.address()));
    let edge = Edge::start(desk, nowhere(root.path()), Some(service.counters())).await;
    tokio::spawn(service.serve());
    let made = client.post("/reg", &json!({ "key": KEY })).await.json();
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    client.get(&format!("/reg/{id}"), token).await;
    client.get(&format!("/reg/{id}"), "wrong").await;
    client.post("/reg", &json!({ "key": KEY })).await;
    client.post("/reg", &json!({ "key": "" })).await;
    let text = edge.text().await;
    let read = parse(&text).unwrap();
    let counted = |operation, outcome| {
        let labels = [("operation", operation), ("outcome", outcome)];
        read.value("millrace_registration_requests_total", &labels)
    };
    assert_eq!(counted("register", "ok"), Some(1.0));
    assert_eq!(counted("register", "key_taken"), Some(1.0));
    assert_eq!(counted("register", "public_key"), Some(1.0));
    assert_eq!((counted("show", "ok"), counted("show", "token")), (Some(1.0), Some(1.0)));
    let address = made["config"]["interface"]["addresses"]["v4"].as_str().unwrap();
    let client_id = made["config"]["client_id"].as_str().unwrap();
    for secret in [KEY, id, token, address, client_id] {
        assert!(!text.contains(secret), "{secret}");
    }
}

/// Prometheus' own parser; says so where it is not installed (`pip install prometheus_client`).
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_same() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let place = place_beneath(root.path()).unwrap();
    let _dataplane = FakeDataplane::start(&place).unwrap();
    let edge = Edge::start(Desk::forgetful(place.clone(), Book::default()), place, None).await;
    edge.wait_for(|read| {
        read.has("millrace_drops_total") && read.has("millrace_heartbeat_age_seconds")
    })
    .await;
    let script = "import sys\n\
        try:\n    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
        except ImportError:\n    print('skipped'); sys.exit()\n\
        for family in parse(sys.stdin.read()):\n    \
            for sample in family.samples: print(sample.name, sorted(sample.labels.items()), sample.value)\n";
    let text = edge.text().await;
    let file = root.path().join("metrics");
    std::fs::write(&file, &text).unwrap();
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .unwrap();
    let (said, complaint) = (String::from_utf8(output.stdout).unwrap(), output.stderr);
    assert!(output.status.success(), "{}\n{text}", complaint.escape_ascii());
    if said.trim() == "skipped" {
        println!("skipped: python3 has no prometheus_client; pip install prometheus_client");
        return;
    }
    assert_eq!(said.lines().count(), parse(&text).unwrap().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn centres_and_what_is_led_to_them_are_told_by_name() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::detached(Book::default());
    let edge = Edge::start(desk.clone(), nowhere(root.path()), None).await;
    assert!(!edge.read().await.has("millrace_argo_centre_up"));
    let machine = Machine { address: [192, 0, 2, 7].into(), port: 443, weight: 1 };
    let centre = Centre {
        number: 7,
        name: "fra".into(),
        machines: [machine].into(),
        headroom: None,
        hop: 0,
        relay: 0,
        origin: Origin::Cli,
    };
    let choice = HopNamed::of_list(&"direct,fra".into(), Origin::Cli).unwrap();
    let (prefix, next_hop) = ("10.0.0.0/8".parse().unwrap(), "direct,fra".into());
    let route = RouteTo { prefix, next_hop, origin: Origin::Cli };
    let changes = [Change::PutCentre(centre), Change::PutNextHop(choice), Change::PutRoute(route)];
    desk.change(Origin::Cli, changes.into()).await.unwrap();
    argo::steward::begin(desk);
    let prefixes = |read: &Exposition| {
        read.value("millrace_argo_prefixes", &[("exit", "direct")]) == Some(1.0)
    };
    let read = edge.wait_for(prefixes).await;
    assert_eq!(read.value("millrace_argo_centre_up", &[("centre", "fra")]), Some(0.0));
    assert_eq!(read.value("millrace_argo_prefixes", &[("exit", "fra")]), Some(0.0));
    assert_eq!(read.value("millrace_argo_moves_total", &[("why", "failed")]), Some(0.0));
    assert!(!read.has("millrace_argo_centre_rtt_seconds"), "nothing was measured");
}
