//! Registration over HTTP: a client shows its public key and gets a client id, inner addresses and the server's key
//! and endpoints, in the shape that WARP's clients read.
//!
//! The way of a request: a slot for its connection ([`crate::http`]), the limits of its source ([`limiter`]), its
//! body, its fields, whether its key is one and is free, the limits of changes, and only then the desk, which makes
//! the peer and keeps the registration in one transaction.

mod answer;
mod ask;
mod config;
mod counters;
mod fault;
mod limiter;
mod numbers;
mod paths;
mod pool;
mod record;
mod registrar;
mod shuffle;
mod token;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;

pub use config::Config;
pub use counters::Counters;

use crate::desk::Desk;
use crate::http::{Error, Server};
use limiter::{Limiter, Rates};
use registrar::Registrar;

/// Registration, ready to be served.
#[derive(Debug)]
pub struct Service {
    server: Server,
    address: SocketAddr,
    router: Router,
    counters: Arc<Counters>,
}

/// Reads the registrations that were kept, and listens. The desk has its book by now.
pub async fn open(desk: Desk, config: Config) -> Result<Service, Error> {
    config.check().map_err(|what| Error(format!("[register] {what}")))?;
    let server = Server::bind(config.listen, config.tls.as_ref()).await?;
    let address = server.address().map_err(|error| Error(format!("[register] listen: {error}")))?;
    if config.tls.is_none() && !address.ip().is_loopback() {
        log::warn!(
            "registration at {address} is served without TLS: whoever is on the way reads tokens; set [register.tls]"
        );
    }
    let (requests, changes) = (config.request_rates(), config.change_rates());
    let counters = Arc::<Counters>::default();
    let router = paths::router(paths::Service {
        registrar: Registrar::open(desk, config).await?,
        counters: Arc::clone(&counters),
        started: Instant::now(),
        requests: limiter(requests)?,
        changes: limiter(changes)?,
    });
    Ok(Service { server, address, router, counters })
}

fn limiter(rates: Rates) -> Result<Mutex<Limiter>, Error> {
    let key = token::random();
    let key = key.map_err(|_| Error("the system gives no random octets".to_owned()))?;
    Ok(Mutex::new(Limiter::new(rates, &key)))
}

impl Service {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What becomes of requests, for metrics.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Serves until it is dropped.
    pub async fn serve(self) {
        self.server.run(self.router).await;
    }
}
