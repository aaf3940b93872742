//! Visitors of the tenant: datagrams with numbers from kernel sockets, and the service that notes which have come.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::site::SERVICE;
use crate::lab::namespace::Namespace;
use crate::lab::{bound, until};

/// Time between two looks at the stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// The tenant's service.
pub(crate) struct Service {
    seen: Arc<Mutex<BTreeSet<(String, u64)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    pub(crate) fn start(place: &Namespace) -> Self {
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (noted, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let socket = bound(place, SERVICE.parse().unwrap());
        let thread = std::thread::spawn(move || note(&socket, &noted, &stopped));
        Self { seen, stop, thread: Some(thread) }
    }

    /// How many different datagrams have come from this address.
    pub(crate) fn count(&self, from: &str) -> u64 {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|(source, _)| source == from).count() as u64
    }

    /// Runs of numbers below `sent` from this address that have not come, each by its first and the one behind its last.
    pub(crate) fn gaps(&self, from: &str, sent: u64) -> Vec<(u64, u64)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = seen.iter().filter(|(source, _)| source == from).map(|(_, number)| *number);
        let mut next = 0;
        let pairs = numbers.chain([sent]).map(|number| {
            let first = std::mem::replace(&mut next, number + 1);
            (first, number)
        });
        pairs.filter(|(first, number)| number > first).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn note(socket: &UdpSocket, seen: &Mutex<BTreeSet<(String, u64)>>, stop: &AtomicBool) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut number = [0; 8];
    while !stop.load(Ordering::Relaxed) {
        // Neither a time-out nor what another kernel says of a spoofed source is an end.
        let Ok((8, from)) = socket.recv_from(&mut number) else { continue };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert((from.ip().to_string(), u64::from_le_bytes(number)));
    }
}

/// Somebody who sends datagrams to the service, at a rate, until it is ended.
pub(crate) struct Visit {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    /// When the first one went out, since the Unix epoch.
    pub(crate) since: Duration,
}

impl Visit {
    /// So many datagrams every ten milliseconds, numbered from `first` on.
    pub(crate) fn start(place: &Namespace, each: u64, first: u64) -> Self {
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let thread = place.thread(move || visit((each, first), &count, &stopped));
        until("the visit begins", 30, || sent.load(Ordering::Relaxed) > 0);
        Self { sent, stop, thread, since }
    }

    /// How many it has sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it; how many it has sent.
    pub(crate) fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

fn visit((each, first): (u64, u64), sent: &AtomicU64, stop: &AtomicBool) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(SERVICE).unwrap();
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..each {
            let number = sent.load(Ordering::Relaxed);
            socket.send(&(first + number).to_le_bytes()).unwrap();
            sent.store(number + 1, Ordering::Relaxed);
        }
        due += Duration::from_millis(10);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
