//! A client that moves, and what it has open to the outside: streams that its server translates and splices, and a flow of
//! datagrams.

use std::time::Duration;

use super::datagrams::Datagrams;
use super::outside::{SPLICED, STRAIGHT};
use super::stock::Stock;
use super::stream::Stream;
use crate::lab::until;

/// What a stream or a flow has to carry to be believed.
const OCTETS: u64 = 30_000;
const ANSWERS: u64 = 3;

/// What is open of one client.
pub(crate) struct Traveller<'a> {
    stock: &'a Stock<'a>,
    straight: Stream,
    spliced: [Stream; 2],
    datagrams: Datagrams,
}

impl<'a> Traveller<'a> {
    /// Opens all of it.
    pub(crate) fn begin(stock: &'a Stock<'a>) -> Self {
        let straight = Stream::open(stock.place, STRAIGHT);
        let spliced = SPLICED.map(|address| Stream::open(stock.place, address));
        let datagrams = Datagrams::open(stock.place, STRAIGHT);
        let [proxied, through] = spliced.each_ref().map(|stream| stream.server);
        assert!(straight.server != proxied && proxied != through, "ways of their own");
        Self { stock, straight, spliced, datagrams }
    }

    /// Opens all of it anew: its server is no more.
    pub(crate) fn begin_again(&mut self) {
        *self = Self::begin(self.stock);
    }

    /// Its server, whose address the origin sees.
    pub(crate) fn server(&self) -> u8 {
        self.straight.server
    }

    fn streams(&self) -> impl Iterator<Item = &Stream> {
        std::iter::once(&self.straight).chain(&self.spliced)
    }

    fn stands(&self) -> Stand {
        let octets = self.streams().map(Stream::octets).collect();
        Stand { octets, answers: self.datagrams.answers() }
    }

    /// Whether everything has gone on since then; nothing may have ended, or be seen by another address.
    fn went_on(&self, since: &Stand, about: &str) -> bool {
        for stream in self.streams() {
            assert_eq!(stream.end(), None, "{about}: a stream by way of {}", stream.server);
        }
        let outside = self.datagrams.outside();
        assert_eq!(outside.len(), 1, "{about}: one mapping for all datagrams: {outside:?}");
        let is_more = |(stream, before): (&Stream, &u64)| stream.octets() > before + OCTETS;
        self.streams().zip(&since.octets).all(is_more)
            && self.datagrams.answers() > since.answers + ANSWERS
    }

    /// How all of its streams have ended, once they have.
    fn ends(&self) -> Option<Vec<String>> {
        self.streams().map(Stream::end).collect()
    }
}

/// How far somebody has come.
struct Stand {
    octets: Vec<u64>,
    answers: u64,
}

/// Waits until everything of all of them has gone on; gives the longest time that octets took there and back meanwhile.
pub(crate) fn all_go_on<'a, 'b: 'a>(
    travellers: impl IntoIterator<Item = &'a Traveller<'b>>,
    about: &str,
) -> Duration {
    let all: Vec<_> = travellers.into_iter().map(|each| (each, each.stands())).collect();
    until(&format!("{about}: everything goes on"), 60, || {
        all.iter().all(|(traveller, since)| traveller.went_on(since, about))
    });
    let streams = all.iter().flat_map(|(traveller, _)| traveller.streams());
    Duration::from_millis(streams.map(Stream::longest_round_ms).max().unwrap_or(0))
}

/// Waits until all streams of those have ended whose server was killed: whoever serves them now resets what it does not know.
pub(crate) fn all_are_reset(orphans: &[&Traveller<'_>], about: &str) {
    until(&format!("{about}: all streams of a dead server end"), 40, || {
        orphans.iter().all(|orphan| orphan.ends().is_some())
    });
    for end in orphans.iter().filter_map(|orphan| orphan.ends()).flatten() {
        assert!(end.contains("reset"), "{about}: {end}");
    }
}
