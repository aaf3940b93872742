//! Claims about registration over real sockets, with curl as the client.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where it fails"
)]

mod curl;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::desk::Desk;
use control::http::Identity;
use control::model::{Book, Change, Origin, PublicKey};
use control::register::{self, Config};
use curl::{Answer, Curl};
use serde_json::{Value, json};
use wireguard::message::ClientId;

const SERVER_KEY: &str = "6J4mvYbX1BXKCxhZUsl0FJkTQTNWHRGgrYUMuWUCmwM=";

fn config() -> Config {
    Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        ipv4: "100.96.0.0/12".parse().unwrap(),
        ipv6: "2001:db8:1::/48".parse().unwrap(),
        host: "edge.example.net".into(),
        endpoint_v4: Some(Ipv4Addr::new(192, 0, 2, 1)),
        endpoint_v6: Some("2001:db8::1".parse().unwrap()),
        ports: vec![2408, 500],
        public_key: Some(SERVER_KEY.into()),
        source_per_minute: 1_000_000,
        neighbourhood_per_minute: 1_000_000,
        per_second: 1_000_000,
    }
}

/// Registration on loopback, and a client of it.
struct Edge {
    desk: Desk,
    curl: Curl,
    counters: Arc<register::Counters>,
    serving: tokio::task::JoinHandle<()>,
}

impl Edge {
    async fn start(config: Config) -> Self {
        Self::over(Desk::detached(Book::default()), config).await
    }

    async fn over(desk: Desk, config: Config) -> Self {
        let service = register::open(desk.clone(), config).await.unwrap();
        let curl = Curl::new(format!("http://{}", service.address()));
        let counters = service.counters();
        Self { desk, curl, counters, serving: tokio::spawn(service.serve()) }
    }

    async fn register(&self, number: u32) -> Value {
        let answer = self.curl.post("/reg", &json!({ "key": key(number) })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    fn peer(&self, number: u32) -> Option<Arc<control::model::Peer>> {
        self.desk.book().peer(&public_key(number)).cloned()
    }

    fn counted(&self, operation: &str, outcome: &str) -> u64 {
        let found = self.counters.all().find(|(o, c, _)| (*o, *c) == (operation, outcome));
        found.unwrap().2
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn public_key(number: u32) -> PublicKey {
    let mut octets = [9; 32];
    octets[..4].copy_from_slice(&number.to_le_bytes());
    PublicKey(octets)
}

fn key(number: u32) -> String {
    STANDARD.encode(public_key(number).0)
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{pointer}: {value}"))
        .to_owned()
}

fn code(answer: &Answer) -> (u16, u64) {
    let body = answer.json();
    assert_eq!(body["success"], false, "{body}");
    assert!(body["errors"][0]["message"].is_string(), "{body}");
    (answer.status, body["errors"][0]["code"].as_u64().unwrap())
}

fn path_and_token(registration: &Value) -> (String, String) {
    (format!("/reg/{}", text(registration, "/id")), text(registration, "/token"))
}

fn client_id(registration: &Value) -> ClientId {
    let octets = STANDARD.decode(text(registration, "/config/client_id")).unwrap();
    ClientId(octets.try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_what_warps_clients_read_and_its_peer_is_there() {
    let edge = Edge::start(config()).await;
    let body = json!({
        "key": key(1), "install_id": "", "fcm_token": "pushed", "tos": "2026-01-01T00:00:00.000Z",
        "model": "PC", "type": "Android", "locale": "en_US", "name": "laptop", "warp_enabled": true,
        "key_type": "curve25519", "tunnel_type": "wireguard", "serial_number": "x", "os_version": "1",
    });
    let answer = edge.curl.post("/v0a4471/reg", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let made = answer.json();
    for field in ["key", "tos", "model", "type", "locale", "name", "fcm_token", "install_id"] {
        assert_eq!(made[field], body[field], "{field}");
    }
    assert_eq!(made["enabled"], true);
    assert_eq!((text(&made, "/token").len(), text(&made, "/id").len()), (64, 36));
    let id = client_id(&made);
    assert_ne!(id, ClientId::ZERO);
    let (ipv4, ipv6) = (
        text(&made, "/config/interface/addresses/v4"),
        text(&made, "/config/interface/addresses/v6"),
    );
    let ipv6: std::net::Ipv6Addr = ipv6.parse().unwrap();
    assert_eq!(ipv6.octets()[13..], id.0);
    let server = &made["config"]["peers"][0];
    let endpoint = json!({
        "host": "edge.example.net:2408", "v4": "192.0.2.1:0", "v6": "[2001:db8::1]:0", "ports": [2408, 500],
    });
    assert_eq!((&server["public_key"], &server["endpoint"]), (&json!(SERVER_KEY), &endpoint));
    assert_eq!(text(&made, "/policy/tunnel_protocol"), "wireguard");

    let peer = edge.peer(1).unwrap();
    assert_eq!(peer.client_id, id);
    assert_eq!(peer.origin, Origin::Registration);
    let held: Vec<String> = peer.allowed_ips.iter().map(ToString::to_string).collect();
    assert_eq!(held, [format!("{ipv4}/32"), format!("{ipv6}/128")]);

    let (path, token) = path_and_token(&made);
    for path in [path.clone(), format!("/v0a737{path}")] {
        let shown = edge.curl.get(&path, &token).await;
        assert_eq!(shown.status, 200);
        let mut expected = made.clone();
        expected.as_object_mut().unwrap().remove("token");
        expected["fcm_token"] = json!("");
        assert_eq!(shown.json(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_takes_the_place_of_the_old_and_all_else_stays() {
    let edge = Edge::start(config()).await;
    let made = edge.register(1).await;
    let (path, token) = path_and_token(&made);
    let rotated = edge.curl.patch(&path, &token, &json!({ "key": key(2), "name": "new" })).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let rotated = rotated.json();
    assert_eq!(rotated["config"], made["config"]);
    assert_eq!((text(&rotated, "/key"), text(&rotated, "/name")), (key(2), "new".into()));
    assert!(edge.peer(1).is_none());
    assert_eq!(edge.peer(2).unwrap().client_id, client_id(&made));
    assert_eq!(edge.peer(2).unwrap().allowed_ips.len(), 2);

    // The name alone, and the same key again, change no peer.
    for body in [json!({ "name": "newer" }), json!({ "key": key(2) }), json!({})] {
        let altered = edge.curl.patch(&path, &token, &body).await;
        assert_eq!((altered.status, text(&altered.json(), "/key")), (200, key(2)));
    }
    edge.register(3).await;
    let refused = edge.curl.patch(&path, &token, &json!({ "key": key(3) })).await;
    assert_eq!(code(&refused), (409, 1002));
    let weak = edge.curl.patch(&path, &token, &json!({ "key": STANDARD.encode([0; 32]) })).await;
    assert_eq!(code(&weak), (400, 1001));
    assert_eq!(edge.peer(2).unwrap().client_id, client_id(&made));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_that_is_removed_leaves_nothing() {
    let edge = Edge::start(Config { ipv4: "192.0.2.0/30".parse().unwrap(), ..config() }).await;
    let made = [edge.register(1).await, edge.register(2).await];
    let full = edge.curl.post("/reg", &json!({ "key": key(3) })).await;
    assert_eq!(code(&full), (503, 1011));
    assert!(full.header("retry-after").is_some());
    assert!(edge.peer(3).is_none());
    let (path, token) = path_and_token(&made[0]);
    assert_eq!(edge.curl.delete(&path, &token).await.status, 204);
    assert!(edge.peer(1).is_none());
    for answer in [edge.curl.get(&path, &token).await, edge.curl.delete(&path, &token).await] {
        assert_eq!(code(&answer), (404, 1004));
    }
    assert_eq!(edge.desk.records(b"register/").await.unwrap().len(), 1);
    // Its address is free, its key, too; its client id is not used again so soon.
    let again = edge.register(1).await;
    let address = "/config/interface/addresses/v4";
    assert_eq!(text(&again, address), text(&made[0], address));
    assert_ne!(client_id(&again), client_id(&made[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_survive_a_restart_with_their_tokens() {
    let edge = Edge::start(config()).await;
    let (one, two) = (edge.register(1).await, edge.register(2).await);
    let desk = edge.desk.clone();
    drop(edge);
    let edge = Edge::over(desk, config()).await;
    let (path, token) = path_and_token(&one);
    let shown = edge.curl.get(&path, &token).await;
    assert_eq!((shown.status, &shown.json()["config"]), (200, &one["config"]));
    // What was given before is not given again.
    let three = edge.register(3).await;
    let address = "/config/interface/addresses/v4";
    assert!([&one, &two].iter().all(|it| text(it, address) != text(&three, address)));
    assert_eq!(edge.curl.delete(&path, &token).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_but_its_own_opens_a_registration() {
    let edge = Edge::start(config()).await;
    let (one, two) = (edge.register(1).await, edge.register(2).await);
    let (path, token) = path_and_token(&one);
    let (_, other) = path_and_token(&two);
    let mut off_by_one = token.clone();
    off_by_one.replace_range(63.., if token.ends_with('0') { "1" } else { "0" });
    for wrong in [&*other, &off_by_one, "", "x"] {
        let answers = [
            edge.curl.get(&path, wrong).await,
            edge.curl.patch(&path, wrong, &json!({ "name": "x" })).await,
            edge.curl.delete(&path, wrong).await,
        ];
        for answer in answers {
            assert_eq!(code(&answer), (401, 1003));
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(code(&edge.curl.send(&["-X", "GET"], &path).await), (401, 1003));
    let unknown = "/reg/00000000-0000-4000-8000-000000000000";
    assert_eq!(code(&edge.curl.get(unknown, &token).await), (404, 1004));
    assert_eq!(edge.curl.get(&path, &token).await.status, 200);
    // What is kept does not tell the token.
    for (_, value) in edge.desk.records(b"register/").await.unwrap() {
        let kept = String::from_utf8(value.into()).unwrap();
        assert!(!kept.contains(&token) && !kept.contains(&other), "{kept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_has_its_status_and_code() {
    let edge = Edge::start(config()).await;
    edge.register(1).await;
    let bodies = [("{", 1000), ("{}", 1001), (r#"{"key":"AAAA"}"#, 1001)];
    for (body, expected) in bodies {
        let options = ["-H", "Content-Type: application/json", "-d", body];
        assert_eq!(code(&edge.curl.send(&options, "/reg").await), (400, expected));
    }
    let own = edge.curl.post("/reg", &json!({ "key": SERVER_KEY })).await;
    assert_eq!(code(&own), (400, 1001));
    let taken = edge.curl.post("/reg", &json!({ "key": key(1) })).await;
    assert_eq!(code(&taken), (409, 1002));
    let form = edge.curl.send(&["-d", "key=x"], "/reg").await;
    assert_eq!(code(&form), (415, 1009));
    let long = json!({ "key": key(2), "x": "x".repeat(9000) });
    assert_eq!(code(&edge.curl.post("/reg", &long).await), (413, 1008));
    let chunked = edge.curl.post_chunked("/reg", &long).await;
    assert_eq!(code(&chunked), (413, 1008));
    assert_eq!(code(&edge.curl.send(&["-X", "PUT"], "/reg").await), (405, 1005));
    assert_eq!(code(&edge.curl.send(&[], "/client_config").await), (404, 1004));
    let heads: Vec<String> = (0..100).map(|n| format!("X-{n}: y")).collect();
    let heads: Vec<&str> = heads.iter().flat_map(|head| ["-H", head]).collect();
    assert_eq!(edge.curl.send(&heads, "/reg").await.status, 431);
    let long = format!("X: {}", "y".repeat(20_000));
    assert_eq!(edge.curl.send(&["-H", &long], "/reg").await.status, 431);
    assert!(edge.peer(2).is_none());
    assert_eq!(edge.counted("register", "ok"), 1);
    assert_eq!(edge.counted("register", "public_key"), 3);
    assert_eq!(edge.counted("register", "too_large"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_asks_too_often_is_told_when_to_come_again() {
    let edge = Edge::start(Config { source_per_minute: 3, ..config() }).await;
    for number in 0..3 {
        edge.register(number).await;
    }
    let often = edge.curl.post("/reg", &json!({ "key": key(9) })).await;
    assert_eq!(code(&often), (429, 1010));
    let later: u64 = often.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=21).contains(&later), "{later}");
    assert!(edge.peer(9).is_none());
    // Requests of any kind have a limit of their own, which stops even those without a key.
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) {
        assert!(statuses.len() < 40, "{statuses:?}");
        statuses.push(edge.curl.post("/reg", &json!({})).await.status);
    }
    assert!(statuses.len() > 20, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_an_operator_removes_stays_removed() {
    let edge = Edge::start(config()).await;
    let made = edge.register(1).await;
    let (path, token) = path_and_token(&made);
    edge.desk.change(Origin::Cli, vec![Change::RemovePeer(public_key(1))]).await.unwrap();
    assert_eq!(edge.curl.get(&path, &token).await.json()["enabled"], false);
    let back = edge.curl.patch(&path, &token, &json!({ "key": key(2) })).await;
    assert_eq!(code(&back), (409, 1007));
    assert!(edge.peer(2).is_none());
    assert_eq!(edge.curl.delete(&path, &token).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_key_nobody_registers() {
    let edge = Edge::start(Config { public_key: None, ..config() }).await;
    let answer = edge.curl.post("/reg", &json!({ "key": key(1) })).await;
    assert_eq!(code(&answer), (503, 1011));
    assert!(edge.peer(1).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_at_the_same_time_from_many_is_registered_once() {
    let edge = Arc::new(Edge::start(config()).await);
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let edge = Arc::clone(&edge);
            tokio::spawn(
                async move { edge.curl.post("/reg", &json!({ "key": key(1) })).await.status },
            )
        })
        .collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    statuses.sort_unstable();
    assert_eq!(statuses[0], 200);
    assert!(statuses[1..].iter().all(|status| *status == 409), "{statuses:?}");
    assert_eq!(edge.desk.records(b"register/").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_makes_it_tls_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, text: String| -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let tls = Identity {
        certificate: file("certificate.pem", certified.cert.pem()),
        private_key: file("key.pem", certified.signing_key.serialize_pem()),
    };
    let service = register::open(
        Desk::detached(Book::default()),
        Config { tls: Some(tls.clone()), ..config() },
    )
    .await
    .unwrap();
    let port = service.address().port();
    tokio::spawn(service.serve());
    let curl = Curl::new(format!("https://localhost:{port}"));
    let trusted = tls.certificate.to_str().unwrap();
    for (number, version) in [(1, &["--tlsv1.3"][..]), (2, &["--tls-max", "1.2"])] {
        let body = json!({ "key": key(number) }).to_string();
        let options =
            ["--cacert", trusted, "-4", "-H", "Content-Type: application/json", "-d", &body];
        let answer = curl.send(&[&options, version].concat(), "/reg").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let plain = Curl::new(format!("http://localhost:{port}"));
    assert_eq!(plain.send(&["-4"], "/reg").await.status, 0);

    let (certificate, key) = (tls.certificate, tls.private_key);
    for (certificate, private_key) in [(key.clone(), key), (certificate.clone(), certificate)] {
        let config = Config { tls: Some(Identity { certificate, private_key }), ..config() };
        let said = register::open(Desk::detached(Book::default()), config).await.unwrap_err();
        assert!(said.to_string().contains(".pem: no "), "{said}");
    }
}
