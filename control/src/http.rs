//! HTTP/1.1 for strangers: a listener with or without TLS whose connections, headers and times are bounded.
//!
//! What a path means is the router's; here is who may connect, and for how long.

mod slots;
mod tls;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

pub use slots::prefix;
use slots::{Slot, Slots};
pub use tls::Identity;

/// Octets of a request's line and headers together; more is answered with 431.
const HEAD_LEN_MAX: usize = 16 * 1024;

/// Header lines of a request; more is answered with 431.
const HEADERS_MAX: usize = 64;

/// For a TLS handshake, and for a whole request head to arrive, also on a connection that was used before. A client
/// on a bad radio link needs seconds; one that needs longer gives up itself.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// After this a connection takes no further request: whoever holds slots must come again for them.
const CONNECTION_AGE_MAX: Duration = Duration::from_mins(1);

/// For the request that is under way then.
const LAST_REQUEST_TIME: Duration = Duration::from_secs(15);

/// Until connections are accepted again after the system has had no descriptor or memory for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Who sent a request: an extension of each that a router gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(pub IpAddr);

/// What keeps a server from starting, and what to do about it.
#[derive(Debug)]
pub struct Error(pub(crate) String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A listener.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    slots: Arc<Slots>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens at an address, with TLS when there is an identity to show.
    pub async fn bind(listen: SocketAddr, identity: Option<&Identity>) -> Result<Self, Error> {
        let tls = identity.map(Identity::acceptor).transpose()?;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            Error(format!("{listen} cannot be listened at ({error}); choose another `listen`"))
        })?;
        Ok(Self { listener, tls, slots: Arc::default() })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests until it is dropped; connections end by themselves then.
    pub async fn run(self, router: Router) {
        loop {
            match self.listener.accept().await {
                // Who finds no slot is closed at once: that costs us the least.
                Ok((stream, from)) => {
                    if let Some(slot) = Slots::take(&self.slots, from.ip()) {
                        let connection = Connection {
                            source: Source(from.ip().to_canonical()),
                            router: TowerToHyperService::new(router.clone()),
                            slot,
                        };
                        tokio::spawn(connection.serve(stream, self.tls.clone()));
                    }
                }
                Err(error) => {
                    log::warn!("a connection cannot be accepted ({error}); trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

struct Connection {
    source: Source,
    router: TowerToHyperService<Router>,
    slot: Slot,
}

impl Connection {
    async fn serve(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // Answers are small and written at once.
        drop(stream.set_nodelay(true));
        match tls {
            None => self.talk(stream).await,
            Some(tls) => {
                // Those who cannot do TLS are no news: port scanners are among them.
                if let Ok(Ok(stream)) = timeout(HEAD_TIME_MAX, tls.accept(stream)).await {
                    self.talk(stream).await;
                }
            }
        }
    }

    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { source, router, slot } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(source);
            let answer = router.call(request);
            async move { answer.await.map(|answer: Response<axum::body::Body>| answer) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .max_buf_size(HEAD_LEN_MAX)
            .max_headers(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // How a connection ends is its client's business; every request was answered or given up by its handler.
        if timeout(CONNECTION_AGE_MAX, connection.as_mut()).await.is_err() {
            connection.as_mut().graceful_shutdown();
            drop(timeout(LAST_REQUEST_TIME, connection).await);
        }
        drop(slot);
    }
}
