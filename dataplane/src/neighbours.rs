//! The neighbours of our ports: which link address an on-link host or a gateway has (RFC 826, RFC 4861 7.3).

use arrayvec::ArrayVec;
use wireguard::time::Instant;
use wireguard::wheel::Wheel;

use crate::limits::{
    NEIGHBOUR_ATTEMPTS_MAX, NEIGHBOUR_LIFETIME, NEIGHBOUR_REFRESH, NEIGHBOUR_RETRY, NEIGHBOURS_MAX,
    NEWS_PER_TURN, OWN_PER_TURN, TIMERS_PER_TURN,
};
use crate::packet::Address;
use crate::table::{Key, Table};

/// An Ethernet address.
pub type LinkAddress = [u8; 6];

/// A neighbour's row in the table.
pub type NeighbourId = u32;

/// A neighbour's name: the port and its address there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The port.
    pub port: u8,
    /// The IP address.
    pub address: Address,
}

impl Key for Name {
    fn hash(self, seed: u64) -> u64 {
        self.address.bits().hash(seed ^ u64::from(self.port) << 56)
    }
}

/// What the table knows about a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Its link address.
    At(LinkAddress),
    /// It has been asked; frames wait under this id.
    Asked(NeighbourId),
    /// There is no row left.
    Full,
}

/// What a neighbour has said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its link address.
    pub link: LinkAddress,
    /// The message may replace another link address (RFC 4861 4.4, the override flag).
    pub moves: bool,
    /// The message asks for an address of ours.
    pub asks_us: bool,
}

/// What a timer made of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone(
    /// Frames that wait under this id will not be sent.
    pub NeighbourId,
);

#[derive(Clone, Copy, Debug)]
struct Row {
    name: Name,
    link: Option<LinkAddress>,
    confirmed: Instant,
    attempts: u8,
    used: bool,
}

/// The neighbour table of one worker.
#[derive(Debug)]
pub struct Neighbours {
    names: Table<Name, NeighbourId>,
    rows: Vec<Option<Row>>,
    free: Vec<NeighbourId>,
    wheel: Wheel,
    questions: ArrayVec<Name, OWN_PER_TURN>,
    news: ArrayVec<(Name, Heard), NEWS_PER_TURN>,
    resolved: Vec<NeighbourId>,
    /// Most packets of a burst go to the same next hop.
    last: Option<(Name, LinkAddress)>,
}

impl Neighbours {
    /// An empty table.
    pub fn new(seed: u64, now: Instant) -> Self {
        let count = u32::try_from(NEIGHBOURS_MAX).unwrap_or(u32::MAX);
        Self {
            names: Table::new(NEIGHBOURS_MAX, seed),
            rows: vec![None; NEIGHBOURS_MAX],
            free: (0..count).rev().collect(),
            wheel: Wheel::new(NEIGHBOURS_MAX, now),
            questions: ArrayVec::new(),
            news: ArrayVec::new(),
            resolved: Vec::with_capacity(NEIGHBOURS_MAX),
            last: None,
        }
    }

    /// The link address of a next hop; asks for it when it is not known.
    #[inline]
    pub fn lookup(&mut self, name: Name, now: Instant) -> Known {
        match self.last {
            Some((last, link)) if last == name => Known::At(link),
            _ => self.lookup_row(name, now),
        }
    }

    fn lookup_row(&mut self, name: Name, now: Instant) -> Known {
        let Some(id) = self.names.get(name).or_else(|| self.ask(name, now)) else {
            return Known::Full;
        };
        let Some(row) = self.row(id) else { return Known::Full };
        row.used = true;
        let Some(link) = row.link else { return Known::Asked(id) };
        self.last = Some((name, link));
        Known::At(link)
    }

    fn row(&mut self, id: NeighbourId) -> Option<&mut Row> {
        self.rows.get_mut(id as usize)?.as_mut()
    }

    /// Makes a row and asks the first question.
    fn ask(&mut self, name: Name, now: Instant) -> Option<NeighbourId> {
        let id = self.insert(name, None, now)?;
        self.question(name);
        self.wheel.schedule(id, now + NEIGHBOUR_RETRY);
        Some(id)
    }

    fn insert(
        &mut self,
        name: Name,
        link: Option<LinkAddress>,
        now: Instant,
    ) -> Option<NeighbourId> {
        let id = self.free.pop()?;
        let attempts = u8::from(link.is_none());
        let row = Row { name, link, confirmed: now, attempts, used: false };
        *self.rows.get_mut(id as usize)? = Some(row);
        // As many names as rows, so the table has room when a row was free.
        self.names.insert(name, id).ok()?;
        Some(id)
    }

    /// A full list loses the question; the retry timer asks again.
    fn question(&mut self, name: Name) {
        let _ = self.questions.try_push(name);
    }

    /// As [`Self::learn`], and the other workers shall hear of it. A turn that brings more news than it can
    /// tell loses the rest; workers that need to know ask for themselves.
    pub fn tell(&mut self, name: Name, heard: Heard, now: Instant) {
        self.learn(name, heard, now);
        let _ = self.news.try_push((name, heard));
    }

    /// Something learned here that the other workers shall hear.
    pub fn next_news(&mut self) -> Option<(Name, Heard)> {
        self.news.pop()
    }

    /// A neighbour that has become known, or has moved, so that what waits for it can go.
    pub fn next_resolved(&mut self) -> Option<NeighbourId> {
        self.resolved.pop()
    }

    /// Takes what a neighbour has said. Answers to nothing are not believed; who asks us is about to talk to
    /// us, but strangers may fill half of the table at most.
    pub fn learn(&mut self, name: Name, heard: Heard, now: Instant) {
        let Some(id) = self.names.get(name) else {
            if heard.asks_us
                && self.free.len() > NEIGHBOURS_MAX / 2
                && let Some(id) = self.insert(name, Some(heard.link), now)
            {
                self.wheel.schedule(id, now + NEIGHBOUR_REFRESH);
            }
            return;
        };
        let Some(row) = self.row(id) else { return };
        let changed = row.link != Some(heard.link);
        if changed && row.link.is_some() && !heard.moves {
            return;
        }
        row.link = Some(heard.link);
        row.confirmed = now;
        row.attempts = 0;
        self.wheel.schedule(id, now + NEIGHBOUR_REFRESH);
        if changed {
            self.last = None;
            // One place for every row; a row that changes twice in a turn may go without, as nothing has
            // begun to wait for it in between.
            if self.resolved.len() < NEIGHBOURS_MAX {
                self.resolved.push(id);
            }
        }
    }

    /// Link address under an id, when it is known.
    pub fn link_of(&mut self, id: NeighbourId) -> Option<(Name, LinkAddress)> {
        let row = self.row(id)?;
        Some((row.name, row.link?))
    }

    /// Serves due timers: repeats questions, refreshes what is in use, forgets what is gone.
    pub fn tick(&mut self, now: Instant, gone: &mut ArrayVec<Gone, TIMERS_PER_TURN>) {
        let mut due = ArrayVec::<NeighbourId, TIMERS_PER_TURN>::new();
        self.wheel.expire(now, TIMERS_PER_TURN, |id| due.push(id));
        for id in due {
            // Whatever is in use shows itself again at the next lookup.
            self.last = None;
            if let Some(next) = self.advance(id, now) {
                self.wheel.schedule(id, next);
            } else {
                self.remove(id);
                gone.push(Gone(id));
            }
        }
    }

    /// When the row's timer shall run again; none when the neighbour is gone.
    fn advance(&mut self, id: NeighbourId, now: Instant) -> Option<Instant> {
        let row = self.row(id)?;
        let age = now.since(row.confirmed);
        let silent = row.attempts >= NEIGHBOUR_ATTEMPTS_MAX;
        if row.link.is_none() && silent || age >= NEIGHBOUR_LIFETIME {
            return None;
        }
        let idle = row.link.is_some() && !row.used && row.attempts == 0;
        row.used = false;
        if idle {
            return Some(now + NEIGHBOUR_REFRESH);
        }
        row.attempts = row.attempts.saturating_add(1);
        let name = row.name;
        self.question(name);
        Some(now + NEIGHBOUR_RETRY)
    }

    fn remove(&mut self, id: NeighbourId) {
        if let Some(row) = self.rows.get_mut(id as usize).and_then(Option::take) {
            self.names.remove(row.name);
            self.free.push(id);
        }
    }

    /// A question to be sent now.
    pub fn next_question(&mut self) -> Option<Name> {
        self.questions.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    const LINK: LinkAddress = [2, 0, 0, 0, 0, 1];

    fn name(last: u8) -> Name {
        Name { port: 0, address: Ipv4Addr::from([192, 0, 2, last]).into() }
    }

    fn table() -> (Neighbours, Instant) {
        let now = Instant(1_000_000_000);
        (Neighbours::new(1, now), now)
    }

    fn questions(table: &mut Neighbours) -> usize {
        std::iter::from_fn(|| table.next_question()).count()
    }

    const ANSWER: Heard = Heard { link: LINK, moves: true, asks_us: false };

    /// Runs the timers up to a moment; gives how often it asked and what was given up.
    fn run(table: &mut Neighbours, from: Instant, time: Duration) -> (usize, Vec<Gone>) {
        let (mut asked, mut gone) = (0, Vec::new());
        let mut now = from;
        while now < from + time {
            now = now + Duration::from_millis(100);
            let mut lost = ArrayVec::new();
            table.tick(now, &mut lost);
            gone.extend(lost);
            asked += questions(table);
        }
        (asked, gone)
    }

    #[test]
    fn asks_three_times_then_gives_up() {
        let (mut table, now) = table();
        let Known::Asked(id) = table.lookup(name(1), now) else { panic!("unknown neighbour") };
        assert_eq!(table.lookup(name(1), now), Known::Asked(id));
        assert_eq!(questions(&mut table), 1);
        let (asked, gone) = run(&mut table, now, Duration::from_secs(10));
        assert_eq!((asked, gone), (2, vec![Gone(id)]));
    }

    #[test]
    fn an_answer_makes_it_known_and_a_refresh_keeps_it_so() {
        let (mut table, now) = table();
        let Known::Asked(id) = table.lookup(name(1), now) else { panic!("unknown neighbour") };
        table.learn(name(1), ANSWER, now);
        assert_eq!(table.next_resolved(), Some(id));
        assert_eq!(table.lookup(name(1), now), Known::At(LINK));
        table.learn(name(1), ANSWER, now);
        assert_eq!(table.next_resolved(), None, "nothing new");
        questions(&mut table);
        let (asked, gone) = run(&mut table, now, NEIGHBOUR_REFRESH + Duration::from_millis(500));
        assert_eq!((asked, gone), (1, vec![]), "asked once when it was in use");
        table.learn(name(1), Heard { link: [9; 6], moves: false, asks_us: false }, now);
        assert_eq!(table.lookup(name(1), now), Known::At(LINK), "no override, no move");
        table.learn(name(1), Heard { link: [9; 6], ..ANSWER }, now);
        assert_eq!(table.next_resolved(), Some(id));
        assert_eq!(table.lookup(name(1), now), Known::At([9; 6]));
    }

    #[test]
    fn a_neighbour_that_falls_silent_is_forgotten() {
        let (mut table, now) = table();
        table.lookup(name(1), now);
        table.learn(name(1), ANSWER, now);
        table.lookup(name(1), now);
        let (_, gone) = run(&mut table, now, NEIGHBOUR_LIFETIME + Duration::from_secs(5));
        assert_eq!(gone.len(), 1);
        assert!(matches!(table.lookup(name(1), now), Known::Asked(_)));
    }

    #[test]
    fn unasked_answers_are_not_believed_and_strangers_cannot_fill_the_table() {
        let (mut table, now) = table();
        table.learn(name(1), ANSWER, now);
        assert!(table.names.is_empty());
        for number in 0..u32::try_from(NEIGHBOURS_MAX).unwrap() {
            let stranger = Name { port: 0, address: Ipv4Addr::from(10 << 24 | number).into() };
            table.learn(stranger, Heard { asks_us: true, ..ANSWER }, now);
        }
        assert!(matches!(table.lookup(name(1), now), Known::Asked(_)), "still room for our own");
        assert_eq!(table.free.len(), NEIGHBOURS_MAX / 2 - 1);
    }

    #[test]
    fn full_is_an_answer() {
        let (mut table, now) = table();
        for number in 0..u32::try_from(NEIGHBOURS_MAX).unwrap() {
            let host = Name { port: 0, address: Ipv4Addr::from(10 << 24 | number).into() };
            assert!(matches!(table.lookup(host, now), Known::Asked(_)));
        }
        assert_eq!(table.lookup(name(1), now), Known::Full);
    }
}
