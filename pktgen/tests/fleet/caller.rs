//! A client that sends its id, as boringtun with the id written into the reserved octets: it pings without a pause, goes
//! on from another port and with another session again and again, and notes who has answered, and when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::site::Server;
use crate::lab::boringtun::BoringTun;
use crate::lab::icmp::{self, Family};
use crate::lab::keys::Keys;
use crate::lab::namespace::Namespace;

/// From one ping to the next.
const PAUSE: Duration = Duration::from_millis(25);
/// A ping that is not answered by then is lost.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many pings from one port.
const PINGS_PER_PORT: u16 = 40;
/// So many in one session, which then is renewed as if it were old.
const PINGS_PER_SESSION: u16 = 50;

/// What has become of one ping.
#[derive(Clone, Copy, Debug)]
struct Ping {
    sent: Instant,
    answered: Option<Answer>,
}

/// Who has answered, and when.
#[derive(Clone, Copy, Debug)]
struct Answer {
    at: Instant,
    server: u8,
}

type Pings = Arc<Mutex<Vec<Ping>>>;

/// Where a caller stands, and whom it calls.
pub(crate) struct Way<'a> {
    pub(crate) place: &'a Arc<Namespace>,
    pub(crate) address: String,
    pub(crate) server_keys: &'a Keys,
    pub(crate) server: &'a str,
}

/// A caller in a thread of its own.
pub(crate) struct Caller {
    begin: Instant,
    pings: Pings,
    is_done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Caller {
    /// The id of inner host `host`, as control writes it: base64 of its three octets.
    pub(crate) fn id(host: u8) -> [u8; 3] {
        [0x77, 0x05, host]
    }

    /// Connects as inner host `host`, and begins.
    pub(crate) fn start(way: &Way<'_>, keys: &Keys, host: u8) -> Self {
        let begin = Instant::now();
        let first_port = 20_000 + 100 * u16::from(host);
        let local =
            move |address: &str, port: u16| format!("{address}:{}", first_port + port % 100);
        let to = (way.server_keys, way.server);
        let peer = BoringTun::new(way.place, (keys, host), &local(&way.address, 0), to);
        let mut peer = peer.with_id(Self::id(host));
        peer.connect();
        let (pings, is_done) = (Pings::default(), Arc::<AtomicBool>::default());
        let (own, end) = (Arc::clone(&pings), Arc::clone(&is_done));
        let (place, address) = (Arc::clone(way.place), way.address.clone());
        let thread = std::thread::spawn(move || {
            for number in (0..).take_while(|_| !end.load(Ordering::Relaxed)) {
                // What is on its way would be lost to the former port.
                if number % PINGS_PER_PORT == PINGS_PER_PORT - 1 && !is_waiting(&own) {
                    peer.rebind(&place, &local(&address, 1 + number / PINGS_PER_PORT));
                }
                if number % PINGS_PER_SESSION == PINGS_PER_SESSION - 1 {
                    peer.initiate();
                }
                ping(&mut peer, (host, number), &own);
            }
        });
        Self { begin, pings, is_done, thread: Some(thread) }
    }

    fn pings(&self) -> Vec<Ping> {
        self.pings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whoever has answered last.
    pub(crate) fn server(&self) -> Option<u8> {
        Some(self.pings().iter().rev().find_map(|ping| ping.answered)?.server)
    }

    /// How many pings since then were not answered, of those that could have been by now.
    pub(crate) fn lost_since(&self, moment: Instant) -> usize {
        let is_over = |ping: &Ping| ping.sent > moment && ping.sent.elapsed() > PATIENCE;
        let is_lost = |ping: &&Ping| ping.answered.is_none() && is_over(ping);
        self.pings().iter().filter(is_lost).count()
    }

    /// When it has begun.
    pub(crate) fn begin(&self) -> Instant {
        self.begin
    }

    /// Everybody who has answered, in order, each once in a row.
    pub(crate) fn servers(&self) -> Vec<u8> {
        let pings = self.pings();
        let mut servers: Vec<_> =
            pings.iter().filter_map(|ping| Some(ping.answered?.server)).collect();
        servers.dedup();
        servers
    }

    /// The first answer of another server than this one since then.
    pub(crate) fn left(&self, server: u8, since: Instant) -> Option<Instant> {
        let pings = self.pings();
        let mut answers = pings.iter().filter_map(|ping| ping.answered);
        Some(answers.find(|answer| answer.server != server && answer.at > since)?.at)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a caller has stopped");
        }
    }
}

/// Whether an answer to one of the newest pings has yet to come.
fn is_waiting(pings: &Pings) -> bool {
    let pings = pings.lock().unwrap_or_else(PoisonError::into_inner);
    pings.iter().rev().take(PINGS_PER_PORT.into()).any(|ping| ping.answered.is_none())
}

/// Sends one echo request, by turns of both families, and listens until it is time for the next one.
fn ping(peer: &mut BoringTun, (host, number): (u8, u16), pings: &Pings) {
    let family = if number.is_multiple_of(2) { Family::V4 } else { Family::V6 };
    let sent = Instant::now();
    pings.lock().unwrap_or_else(PoisonError::into_inner).push(Ping { sent, answered: None });
    peer.send(&icmp::request(family, (host, 1), number, b"still there?"));
    while sent.elapsed() < PAUSE {
        let Some(packet) = peer.turn() else { continue };
        let Some((number, _)) = icmp::answer(&packet) else { continue };
        let limit = if packet[0] >> 4 == 4 { packet[8] } else { packet[7] };
        let answer = Answer { at: Instant::now(), server: Server::of_hop_limit(limit) };
        let mut pings = pings.lock().unwrap_or_else(PoisonError::into_inner);
        pings[usize::from(number)].answered = Some(answer);
    }
}
