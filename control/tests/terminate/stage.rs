//! A service with one next hop, which is the test's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::terminate::config::{Config, NextHop, Times, Tls};
use control::terminate::counts::{Count, Reading};
use control::terminate::service::Service;
use control::terminate::watch::Watch;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// What the dataplane asks.
pub(crate) const REQUEST: &str = "CONNECT 198.51.100.9:80 HTTP/1.1\r\nHost: 198.51.100.9:80\r\n\
    Exit-Tcp-Keepalive-Duration: 30\r\nApplication: warp\r\n\r\n";
pub(crate) const OPEN: &str = "HTTP/1.1 200 OK\r\n\r\n";

/// A service, and where its next hop listens.
pub(crate) struct Stage {
    pub(crate) next_hop: TcpListener,
    /// Who speaks TLS there.
    pub(crate) acceptor: TlsAcceptor,
    address: SocketAddr,
    watch: Watch,
    serving: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

/// What differs between tests.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Whether the next hop speaks TLS, and as whom it is expected.
    pub(crate) tls: Option<&'static str>,
    pub(crate) from: &'static str,
    pub(crate) connections: usize,
    pub(crate) times: Times,
}

impl Default for Plan {
    fn default() -> Self {
        Self { tls: None, from: "127.0.0.0/8", connections: 64, times: Times::default() }
    }
}

/// Both ends of TLS with a certificate for `proxy.example`.
fn ends_of_tls(expected: &'static str) -> (TlsAcceptor, Tls) {
    let certified = rcgen::generate_simple_self_signed(["proxy.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = || Arc::new(default_provider());
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(expected).unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    (TlsAcceptor::from(Arc::new(server)), Tls { connector, name })
}

impl Stage {
    pub(crate) async fn new(plan: Plan) -> Self {
        let next_hop = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let socket: PathBuf = directory.path().join("counts.sock");
        let (acceptor, tls) = ends_of_tls(plan.tls.unwrap_or("proxy.example"));
        let service = Service::open(Config {
            interface: "lo".to_owned(),
            addresses: vec!["127.0.0.1".parse().unwrap()],
            from: vec![plan.from.parse().unwrap()],
            threads: 1,
            connections: plan.connections,
            socket: socket.clone(),
            next_hops: vec![NextHop {
                name: "proxy".to_owned(),
                port: 0,
                address: next_hop.local_addr().unwrap(),
                tls: plan.tls.map(|_| tls),
            }],
            times: plan.times,
        });
        let service = service.unwrap();
        let address = service.addresses()[0];
        let serving = tokio::spawn(service.run());
        Self {
            next_hop,
            acceptor,
            address,
            watch: Watch::new(socket),
            serving,
            _directory: directory,
        }
    }

    /// A client that has asked, as the dataplane does for it.
    pub(crate) async fn ask(&self, request: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// The next hop's end of the next connection.
    pub(crate) async fn accept(&self) -> TcpStream {
        soon(self.next_hop.accept()).await.unwrap().0
    }

    /// An open connection, both ends.
    pub(crate) async fn open(&self) -> (TcpStream, TcpStream) {
        let mut client = self.ask(REQUEST).await;
        let mut far = self.accept().await;
        assert_eq!(head(&mut far).await, REQUEST, "as it was asked, in these words");
        far.write_all(OPEN.as_bytes()).await.unwrap();
        assert_eq!(head(&mut client).await, OPEN);
        (client, far)
    }

    pub(crate) async fn counts(&self) -> Reading {
        let read = self.watch.read().await.unwrap();
        assert_eq!((read.len(), read[0].0.as_str()), (1, "proxy"));
        read[0].1
    }

    /// Waits until so many of these have been counted, and nothing else is counted that is not told here.
    pub(crate) async fn counted(&self, count: Count, number: u64) -> Reading {
        let begin = Instant::now();
        loop {
            let counts = self.counts().await;
            if counts.of(count) == number {
                return counts;
            }
            assert!(begin.elapsed() < PATIENCE, "{count:?} {number}: {counts:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap()
}

/// A head, and not an octet behind it.
pub(crate) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match soon(stream.read_u8()).await {
            Ok(octet) => head.push(octet),
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    String::from_utf8(head).unwrap()
}

/// All that is said until the end, or how it was cut off.
pub(crate) async fn hear_out(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Vec<u8>, std::io::ErrorKind> {
    let mut heard = Vec::new();
    soon(stream.read_to_end(&mut heard)).await.map(|_| heard).map_err(|error| error.kind())
}

/// Many octets that are not all alike.
pub(crate) fn words() -> Vec<u8> {
    (0_u32..300_000).flat_map(|word| word.wrapping_mul(0x9e37_79b9).to_be_bytes()).collect()
}
