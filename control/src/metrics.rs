//! Metrics as `OpenMetrics` text over HTTP: what the dataplane counts, what control counts, how they stand.
//!
//! Nothing here is about a single peer: no label is a key, an id or an address, but for what an operator calls a rule,
//! a tenant or a tunnel.

mod argo;
mod dos;
mod fleet;
mod page;
mod tenant;
mod terminate;
mod text;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use shm::Place;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::config::Metrics;
use crate::counters::Counters;
use crate::desk::{Desk, Notice};
use crate::http::{Error, Server};
use crate::register;
use crate::terminate::watch::Watch;
use text::{Kind, Text};

/// What the answer says that it is (`OpenMetrics` 1.0, "Protocol Negotiation").
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Events, counted as they come.
#[derive(Debug, Default)]
struct Events {
    handshakes: AtomicU64,
    moves: AtomicU64,
    expiries: AtomicU64,
    attachments: AtomicU64,
    missed: AtomicU64,
}

struct Sources {
    desk: Desk,
    counters: Counters,
    registration: Option<Arc<register::Counters>>,
    watch: Option<Watch>,
    events: Events,
}

/// Metrics, ready to be served.
#[derive(Debug)]
pub struct Service {
    server: Server,
    address: SocketAddr,
    router: Router,
}

/// Listens, and counts events from now on. `place` is where the dataplane's counters are; `registration` what
/// [`register::Service::counters`] gives, `watch` where the service for connections that are terminated is.
pub async fn open(
    desk: Desk,
    place: Place,
    (registration, watch): (Option<Arc<register::Counters>>, Option<Watch>),
    config: &Metrics,
) -> Result<Service, Error> {
    let server = Server::bind(config.listen, None).await?;
    let address = server.address().map_err(|error| Error(format!("[metrics] listen: {error}")))?;
    let notices = desk.subscribe();
    let counters = Counters::new(place);
    let events = Events::default();
    let sources = Arc::new(Sources { desk, counters, registration, watch, events });
    tokio::spawn(count(notices, Arc::clone(&sources)));
    let router = Router::new().route("/metrics", get(metrics)).with_state(sources);
    Ok(Service { server, address, router })
}

impl Service {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped.
    pub async fn serve(self) {
        self.server.run(self.router).await;
    }
}

async fn count(mut notices: Receiver<Notice>, sources: Arc<Sources>) {
    let events = &sources.events;
    loop {
        let (counter, count) = match notices.recv().await {
            Ok(Notice::Handshake(..)) => (&events.handshakes, 1),
            Ok(Notice::EndpointMoved(..)) => (&events.moves, 1),
            Ok(Notice::PeerExpired(_)) => (&events.expiries, 1),
            Ok(Notice::Attached) => (&events.attachments, 1),
            // The desk's status has these.
            Ok(Notice::Detached | Notice::Changed | Notice::Swept | Notice::Lost(_)) => continue,
            Err(RecvError::Lagged(missed)) => (&events.missed, missed),
            Err(RecvError::Closed) => return,
        };
        counter.fetch_add(count, Ordering::Relaxed);
    }
}

async fn metrics(State(sources): State<Arc<Sources>>) -> Response {
    let terminated = match &sources.watch {
        Some(watch) => Some(watch.read().await),
        None => None,
    };
    // It reads files and walks tables: not on a thread that others wait for.
    match tokio::task::spawn_blocking(move || sources.text(terminated)).await {
        Ok(text) => ([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

impl Sources {
    fn text(&self, terminated: Option<terminate::Readings>) -> String {
        let mut text = Text::default();
        text.family("millrace_build", Kind::Info, "What runs here.");
        text.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        self.standing(&mut text);
        self.book(&mut text);
        fleet::write(&mut text, &self.desk);
        dos::write(&mut text, &self.desk);
        tenant::write(&mut text, &self.desk);
        argo::write(&mut text, &self.desk);
        self.events(&mut text);
        self.registration(&mut text);
        if let Some(readings) = terminated {
            terminate::write(&mut text, &readings);
        }
        // A dataplane that is not there, or is about to be, has no counters to show.
        if let Ok(table) = self.counters.read() {
            page::write(&mut text, &table);
        }
        text.end()
    }

    fn standing(&self, text: &mut Text) {
        let status = self.desk.status();
        text.family("millrace_attached", Kind::Gauge, "Whether a dataplane is attached.");
        text.sample(&[], u64::from(status.attached));
        text.family(
            "millrace_source_good",
            Kind::Gauge,
            "Whether the declared layer is what its source says now.",
        );
        text.sample(&[], u64::from(status.source_trouble.is_none()));
        text.family(
            "millrace_left_out",
            Kind::Gauge,
            "Things of the book that the dataplane refuses and is not told.",
        );
        text.sample(&[], status.left_out as u64);
        text.family(
            "millrace_last_transaction",
            Kind::Gauge,
            "The last transaction that the dataplane has put in force.",
        );
        text.sample(&[], status.transaction);
        if let Some(heard) = status.heard {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            text.unit_family(
                "millrace_heartbeat_age_seconds",
                "seconds",
                "How long ago the dataplane was last heard.",
            );
            text.seconds(&[], now.saturating_sub(heard));
        }
        text.family("millrace_transactions", Kind::Counter, "Transactions by what became of them.");
        text.sample(&[("result", "applied")], status.applied);
        text.sample(&[("result", "refused")], status.refused);
        text.family(
            "millrace_events_lost",
            Kind::Counter,
            "Events that the dataplane could not tell, because control read too slowly.",
        );
        text.sample(&[], status.lost);
    }

    fn book(&self, text: &mut Text) {
        let book = self.desk.book();
        let (all, declared) = (book.counts(), book.declared());
        let layers = [
            ("millrace_peers", "Peers of the book.", all.peers, declared.peers),
            ("millrace_routes", "Routes of the book.", all.routes, declared.routes),
            ("millrace_next_hops", "Next hops of the book.", all.next_hops, declared.next_hops),
        ];
        for (name, help, all, declared) in layers {
            text.family(name, Kind::Gauge, help);
            text.sample(&[("layer", "declared")], declared as u64);
            text.sample(&[("layer", "kept")], all.saturating_sub(declared) as u64);
        }
    }

    fn events(&self, text: &mut Text) {
        let Events { handshakes, moves, expiries, attachments, missed } = &self.events;
        text.family("millrace_events", Kind::Counter, "What the dataplane has told, by kind.");
        for (event, counter) in [
            ("handshake", handshakes),
            ("endpoint_moved", moves),
            ("peer_expired", expiries),
            ("attached", attachments),
        ] {
            text.sample(&[("event", event)], counter.load(Ordering::Relaxed));
        }
        text.family(
            "millrace_events_uncounted",
            Kind::Counter,
            "Events that millrace_events misses, because they came faster than they were counted.",
        );
        text.sample(&[], missed.load(Ordering::Relaxed));
    }

    fn registration(&self, text: &mut Text) {
        let Some(counters) = &self.registration else { return };
        text.family(
            "millrace_registration_requests",
            Kind::Counter,
            "Requests for registration, by what was asked and what became of it.",
        );
        for (operation, outcome, count) in counters.all() {
            text.sample(&[("operation", operation), ("outcome", outcome)], count);
        }
    }
}

/// How times are written that are short.
fn microseconds(duration: Duration) -> String {
    format!("{}.{:06}", duration.as_secs(), duration.subsec_micros())
}

/// How the age of the last heartbeat is written: with milliseconds.
fn seconds(duration: Duration) -> String {
    format!("{}.{:03}", duration.as_secs(), duration.subsec_millis())
}
