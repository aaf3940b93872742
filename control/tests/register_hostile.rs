//! Clients that send anything, slowly, or from many connections.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use control::desk::Desk;
use control::model::Book;
use control::register::{self, Config};

/// A client that was left alone must have heard by then.
const PATIENCE: Duration = Duration::from_secs(30);

const KEY: &str = "6J4mvYbX1BXKCxhZUsl0FJkTQTNWHRGgrYUMuWUCmwM=";
const SERVER_KEY: &str = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=";

async fn serve() -> SocketAddr {
    let text = format!(
        r#"
        listen = "0.0.0.0:0"
        ipv4 = "100.96.0.0/12"
        ipv6 = "2001:db8:1::/48"
        host = "edge.example.net"
        public_key = "{SERVER_KEY}"
        source_per_minute = 100_000_000
        neighbourhood_per_minute = 100_000_000
        per_second = 1_000_000
        "#
    );
    let config: Config = toml::from_str(&text).unwrap();
    let service = register::open(Desk::detached(Book::default()), config).await.unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], service.address().port()));
    tokio::spawn(service.serve());
    address
}

/// What comes back for octets until the server closes.
fn exchange(address: SocketAddr, octets: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The server may have answered and closed before it has read all.
    drop(stream.write_all(octets));
    drop(stream.shutdown(std::net::Shutdown::Write));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    answer
}

fn status(answer: &[u8]) -> Option<u16> {
    let head = std::str::from_utf8(answer.get(..12)?).ok()?;
    ["HTTP/1.1 ", "HTTP/1.0 "].iter().find_map(|version| head.strip_prefix(version))?.parse().ok()
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The multiplicative congruential generator of the test's seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % bound
    }
}

fn mangle(random: &mut Random, octets: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        let at = random.below(octets.len().max(1));
        let octet = u8::try_from(random.below(256)).unwrap();
        match random.below(5) {
            0 => octets.truncate(at),
            1 => octets.insert(at.min(octets.len()), octet),
            2 => octets.extend_from_within(at.min(octets.len())..),
            _ => {
                if let Some(place) = octets.get_mut(at) {
                    *place = octet;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_sent_is_the_servers_fault() {
    const SEED: u64 = 0x7265_6769;
    let address = serve().await;
    let body =
        format!(r#"{{"key":"{KEY}","name":"a","tos":"b","warp_enabled":true,"x":[1,{{}}]}}"#);
    let answers = tokio::task::spawn_blocking(move || {
        let mut random = Random(SEED);
        let mut counts = [0; 6];
        for round in 0..1500 {
            let mut octets = body.clone().into_bytes();
            let request = if round % 3 == 0 {
                let mut request = post("/v0a1/reg", &octets);
                mangle(&mut random, &mut request);
                request
            } else {
                mangle(&mut random, &mut octets);
                post("/reg", &octets)
            };
            let answer = exchange(address, &request);
            // Nothing comes back where the head never ends or makes no sense.
            let status = status(&answer).unwrap_or(0);
            assert!(
                status < 500,
                "seed {SEED:#x} round {round}: {status} for {}",
                request.escape_ascii()
            );
            counts[usize::from(status / 100)] += 1;
        }
        counts
    })
    .await
    .unwrap();
    // The mangling leaves some whole and breaks most.
    assert!(answers[2] > 0 && answers[4] > 500, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_only_half_is_not_waited_for() {
    let address = serve().await;
    let half = post("/reg", format!(r#"{{"key":"{KEY}"}}"#).as_bytes());
    let cases = [(0, None), (30, None), (half.len() - 1, Some(408))];
    let waits = cases.map(|(len, expected)| {
        let part = half[..len].to_vec();
        tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&part).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            (status(&answer), expected, began.elapsed())
        })
    });
    for wait in waits {
        let (status, expected, took) = wait.await.unwrap();
        assert!(status == expected || status == Some(408), "{status:?} after {took:?}");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_source_with_all_its_connections_leaves_room_for_others() {
    let address = serve().await;
    let held = tokio::task::spawn_blocking(move || {
        (0..80).map(|_| TcpStream::connect(address).unwrap()).collect::<Vec<_>>()
    })
    .await
    .unwrap();
    let (mut closed, mut buffer) = (0, [0; 1]);
    for stream in &held {
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        // Those that have a slot stay open and say nothing.
        if (&mut &*stream).read(&mut buffer).is_ok_and(|len| len == 0) {
            closed += 1;
        }
    }
    assert_eq!(closed, 80 - 64);
    // Every address of 127.0.0.0/8 is this machine, and a source of its own.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = other.connect(address).await.unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = stream;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&post("/reg", format!(r#"{{"key":"{KEY}"}}"#).as_bytes())).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    })
    .await
    .unwrap();
    assert_eq!(status(&answer), Some(200));
    drop(held);
}
