//! What is asked after each change of a fleet: do all flows go on, and where.

use std::time::{Duration, Instant};

use super::caller::Caller;
use super::stock::Stock;
use super::stream::Stream;
use crate::lab::until;

/// Octets that a stream has to carry to be believed.
const OCTETS: u64 = 300_000;

/// Waits until each of these streams has carried as much again.
pub(crate) fn go_on<'a>(streams: impl IntoIterator<Item = &'a Stream>) {
    let before: Vec<_> = streams.into_iter().map(|stream| (stream, stream.octets())).collect();
    until("every stream goes on", 30, || {
        before.iter().all(|(stream, before)| {
            assert_eq!(stream.end(), None, "a stream of server {}", stream.server);
            stream.octets() > before + OCTETS
        })
    });
}

/// Every ping that could have been answered was.
pub(crate) fn nothing_is_lost(caller: &Caller) {
    let lost = caller.lost_since(caller.begin());
    assert_eq!(lost, 0, "pings lost by a caller that was answered by {:?}", caller.servers());
}

/// Whether anything comes back within a second and a half.
pub(crate) fn went_on(streams: &[Stream]) -> bool {
    let octets = || streams.iter().map(Stream::octets).sum::<u64>();
    let (before, begin) = (octets(), Instant::now());
    while octets() == before && begin.elapsed() < Duration::from_millis(1500) {
        std::thread::sleep(Duration::from_millis(10));
    }
    octets() > before
}

/// Clients without an id, and the time.
pub(crate) struct Watch<'a> {
    begin: Instant,
    stocks: &'a [Stock<'a>],
}

impl<'a> Watch<'a> {
    pub(crate) fn new(stocks: &'a [Stock<'a>]) -> Self {
        Self { begin: Instant::now(), stocks }
    }

    pub(crate) fn say(&self, what: &str) {
        println!("{:6.2} s: {what}", self.begin.elapsed().as_secs_f64());
    }

    /// Every stream goes on where it was; no ping of these callers is lost, none answered by another server than their
    /// first.
    pub(crate) fn all_go_on(&self, what: &str, crowds: &[&[Caller]]) {
        let streams = || self.stocks.iter().flat_map(|stock| &stock.streams);
        go_on(streams());
        let rounds: Vec<_> = streams().map(Stream::longest_round_ms).collect();
        self.say(&format!("{what}; longest rounds of the streams {rounds:?} ms"));
        for caller in crowds.iter().copied().flatten() {
            nothing_is_lost(caller);
            assert_eq!(caller.servers().len(), 1, "{what}: answers by {:?}", caller.servers());
        }
    }
}
