//! Registration with a dataplane of real shared memory behind it and a state file beneath it.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod curl;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use control::desk::Desk;
use control::keep::Keep;
use control::model::PublicKey;
use control::register::{self, Config};
use control::testing::{FakeDataplane, place_beneath};
use curl::Curl;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

fn config(pool: &str) -> Config {
    let text = r#"
        listen = "127.0.0.1:0"
        ipv6 = "2001:db8:1::/48"
        host = "edge.example.net"
        source_per_minute = 100_000_000
        neighbourhood_per_minute = 100_000_000
        per_second = 1_000_000
    "#;
    toml::from_str(&format!("{text}\nipv4 = \"{pool}\"")).unwrap()
}

fn public_key(number: u32) -> PublicKey {
    let mut octets = [9; 32];
    octets[..4].copy_from_slice(&number.to_le_bytes());
    PublicKey(octets)
}

fn body(number: u32) -> Value {
    json!({ "key": STANDARD.encode(public_key(number).0) })
}

/// Control without its other parts.
struct Edge {
    desk: Desk,
    curl: Curl,
    serving: tokio::task::JoinHandle<()>,
}

impl Edge {
    async fn start(root: &Path) -> Self {
        Self::start_with(root, "100.96.0.0/12").await
    }

    async fn start_with(root: &Path, pool: &str) -> Self {
        let end = Instant::now() + PATIENCE;
        // The lock of one that has just ended falls a moment later.
        let keep = loop {
            match Keep::open(&root.join("state")) {
                Ok(keep) => break keep,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let desk = Desk::open(place_beneath(root).unwrap(), keep).unwrap();
        let service = register::open(desk.clone(), config(pool)).await.unwrap();
        let curl = Curl::new(format!("http://{}", service.address()));
        let serving = tokio::spawn(service.serve());
        let edge = Self { desk, curl, serving };
        edge.wait_for(|edge| edge.desk.status().server.is_some()).await;
        edge
    }

    async fn wait_for(&self, condition: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < end, "what was waited for did not come");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn has_peer(&self, number: u32) -> bool {
        self.desk.book().peer(&public_key(number)).is_some()
    }

    async fn end(self) {
        self.serving.abort();
        // Nobody serves any more when it has ended: the desk's last handle falls with it.
        assert!(self.serving.await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dataplane_has_the_peer_when_the_answer_is_there_and_after_every_restart() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let dataplane = FakeDataplane::start(&place_beneath(root.path()).unwrap()).unwrap();
    let edge = Edge::start(root.path()).await;
    let mut made = Vec::new();
    for number in 0..20 {
        let answer = edge.curl.post("/reg", &body(number)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let tables = dataplane.tables();
        assert_eq!(tables.peers[&public_key(number)].allowed_ips.len(), 2);
        made.push(answer.json());
    }
    // Who the server is, the dataplane has said.
    let server = &made[0]["config"]["peers"][0];
    assert_eq!(server["public_key"], STANDARD.encode([0xee; 32]));
    assert_eq!(server["endpoint"]["host"], "edge.example.net:51820");
    assert_eq!(server["endpoint"]["ports"], json!([51820]));

    let path = format!("/reg/{}", made[3]["id"].as_str().unwrap());
    let token = made[3]["token"].as_str().unwrap();
    let rotated = edge.curl.patch(&path, token, &body(100)).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let tables = dataplane.tables();
    assert!(!tables.peers.contains_key(&public_key(3)));
    assert!(tables.peers.contains_key(&public_key(100)));

    edge.end().await;
    drop(dataplane);
    let dataplane = FakeDataplane::start(&place_beneath(root.path()).unwrap()).unwrap();
    let edge = Edge::start(root.path()).await;
    assert!(dataplane.wait_for(|tables| tables.peers.len() == 20));
    let shown = edge.curl.get(&path, token).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    assert_eq!(shown.json()["config"], made[3]["config"]);
    assert_eq!(edge.curl.delete(&path, token).await.status, 204);
    assert_eq!(dataplane.tables().peers.len(), 19);
    edge.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dataplane_refuses_is_not_registered_and_costs_nothing() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let dataplane = FakeDataplane::start(&place_beneath(root.path()).unwrap()).unwrap();
    let edge = Edge::start_with(root.path(), "192.0.2.0/30").await;
    dataplane.hate(public_key(1));
    for _ in 0..3 {
        let refused = edge.curl.post("/reg", &body(1)).await;
        assert_eq!((refused.status, &refused.json()["errors"][0]["code"]), (503, &json!(1011)));
    }
    assert!(!edge.has_peer(1));
    assert!(edge.desk.records(b"register/").await.unwrap().is_empty());
    // Both addresses of the pool are free.
    for number in [2, 3] {
        assert_eq!(edge.curl.post("/reg", &body(number)).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_before_its_answer_leaves_no_registration() {
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    let dataplane = FakeDataplane::start(&place_beneath(root.path()).unwrap()).unwrap();
    let edge = Edge::start(root.path()).await;
    dataplane.stall(true);
    let given_up = edge
        .curl
        .run(
            &["--max-time", "0.3", "-H", "Content-Type: application/json", "--data-binary", "@-"],
            "/reg",
            body(1).to_string().as_bytes(),
        )
        .await;
    assert_eq!(given_up.status, 0);
    dataplane.stall(false);
    // It was made, and then undone.
    assert!(dataplane.wait_for(|tables| tables.transaction > 1 && tables.deltas >= 2));
    assert!(dataplane.wait_for(|tables| tables.peers.is_empty()));
    edge.wait_for(|edge| !edge.has_peer(1)).await;
    assert_eq!(edge.curl.post("/reg", &body(1)).await.status, 200);
}

/// How many clients register at once, and how many each.
const CLIENTS: u32 = 32;
const EACH: u32 = if cfg!(debug_assertions) { 20 } else { 200 };

/// Prints how many registrations a second there are, each on disk and in the dataplane before its answer.
#[tokio::test(flavor = "multi_thread")]
async fn many_clients_register_at_once() {
    let state = tempfile::tempdir().unwrap();
    let dataplane = FakeDataplane::start(&place_beneath(state.path()).unwrap()).unwrap();
    let edge = Arc::new(Edge::start(state.path()).await);
    let address = edge.curl.base().strip_prefix("http://").unwrap().to_owned();
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            tokio::spawn(register_many(address.clone(), client * EACH..(client + 1) * EACH))
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let took = began.elapsed();
    let count = CLIENTS * EACH;
    println!(
        "{count} registrations by {CLIENTS} clients in {took:.2?}: {:.0}/s",
        f64::from(count) / took.as_secs_f64()
    );
    assert_eq!(dataplane.tables().peers.len(), count as usize);
    assert_eq!(edge.desk.records(b"register/").await.unwrap().len(), count as usize);
}

async fn register_many(address: String, numbers: std::ops::Range<u32>) {
    let stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for number in numbers {
        let request = Request::post("/reg")
            .header("host", &address)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body(number).to_string())))
            .unwrap();
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(head.status, 200, "{body:?}");
    }
}
