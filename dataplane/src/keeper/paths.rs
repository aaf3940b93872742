//! Other data centres are probed, one machine of each in turn, and control hears how far they are and what they say of each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use shm::events::Teller;
use shm::memory::Memory;
use shm::message::{Event, PATHS_PER_EVENT, Path};
use wireguard::time::Instant;

use super::Keeper;
use super::centres::Centres;
use crate::exchange::{Exchange, Order};
use crate::limits::{CENTRE_PROBE_INTERVAL, DETECTION_ROOM, MEASURED_MAX};
use crate::stages::egress::meter::{Answer, Ask, Rows};

/// The other data centres as probes find them.
#[derive(Debug)]
pub(super) struct Paths {
    tracked: BTreeMap<u16, Tracked>,
    rows: Arc<Rows>,
    due: Instant,
    /// The next question's number. It begins anywhere, so that no answer is to one from before this start.
    sequence: u32,
}

/// One of them.
#[derive(Debug)]
struct Tracked {
    /// Those that are asked.
    machines: Vec<SocketAddr>,
    next: usize,
    due: Instant,
    /// The question that waits for its answer.
    asked: Option<Ask>,
    /// With which of its rows the next answer begins.
    row: usize,
    rtt: Option<Duration>,
    /// Questions of which the last ones are known, newest first: whether each was lost.
    lost: u128,
    count: u32,
}

/// Questions of which losses are counted.
const WINDOW: u32 = 100;
/// Lost ones in a row that make one down.
const DOWN: u32 = 3;

impl Paths {
    pub(super) fn new(sequence: u32) -> Self {
        Self { tracked: BTreeMap::new(), rows: Arc::default(), due: Instant::NEVER, sequence }
    }

    pub(super) fn rows(&self) -> Arc<Rows> {
        Arc::clone(&self.rows)
    }

    /// These are the data centres from now on; only machines of which `is_asked` says so are asked.
    pub(super) fn follow(
        &mut self,
        centres: &Centres,
        is_asked: impl Fn(SocketAddr) -> bool,
        now: Instant,
    ) {
        let mut before = std::mem::take(&mut self.tracked);
        for centre in centres.values().filter(|centre| !centre.is_here) {
            let machines = centre.machines.iter().filter(|machine| machine.weight > 0);
            let machines = machines.map(|machine| SocketAddr::new(machine.address, machine.port));
            let machines: Vec<_> = machines.filter(|machine| is_asked(*machine)).collect();
            if machines.is_empty() {
                continue;
            }
            let former = before.remove(&centre.number);
            let mut tracked = former.unwrap_or_else(|| Tracked::new(centre.number, now));
            tracked.machines = machines;
            self.tracked.insert(centre.number, tracked);
        }
        self.line_up();
    }

    fn line_up(&mut self) {
        self.due = self.tracked.values().map(|tracked| tracked.due).min().unwrap_or(Instant::NEVER);
        self.rows.set(self.tracked.iter().filter_map(|(number, tracked)| tracked.path(*number)));
    }

    /// An answer; what control is told of it.
    fn hear(&mut self, answer: &Answer) -> Option<Event> {
        let tracked = self.tracked.get_mut(&answer.centre)?;
        let asked = tracked.asked.take_if(|asked| asked.sequence == answer.sequence)?;
        if answer.round_trip > CENTRE_PROBE_INTERVAL {
            tracked.note(None);
            return Some(probed(&asked, None));
        }
        tracked.note(Some(answer.round_trip));
        tracked.turn_over(asked.row, answer);
        Some(probed(&asked, Some(answer.round_trip)))
    }

    /// Asks those whose time has come; what control is told of their last questions.
    fn turn(&mut self, exchange: &Exchange, now: Instant, mut tell: impl FnMut(Event)) -> usize {
        if self.due > now {
            return 0;
        }
        let mut done = 0;
        for (number, tracked) in &mut self.tracked {
            if tracked.due > now {
                continue;
            }
            done += 1;
            if let Some(asked) = tracked.asked.take() {
                tracked.note(None);
                tell(probed(&asked, None));
            }
            self.sequence = self.sequence.wrapping_add(1);
            tracked.ask((*number, self.sequence), exchange, now);
        }
        self.line_up();
        done
    }
}

impl Tracked {
    /// First asked some time within the interval, so that not all are asked at once.
    fn new(number: u16, now: Instant) -> Self {
        let apart = CENTRE_PROBE_INTERVAL * u32::from(number % 64) / 64;
        let due = now + apart;
        let (machines, asked, rtt) = (Vec::new(), None, None);
        Self { machines, next: 0, due, asked, row: 0, rtt, lost: 0, count: 0 }
    }

    fn ask(&mut self, (centre, sequence): (u16, u32), exchange: &Exchange, now: Instant) {
        self.due = (self.due + CENTRE_PROBE_INTERVAL).max(now);
        self.next = (self.next + 1) % self.machines.len().max(1);
        let Some(machine) = self.machines.get(self.next).copied() else { return };
        let ask = Ask { centre, machine, sequence, row: self.row };
        // A question that no worker had room for says nothing.
        let worker = usize::from(centre) % exchange.workers().max(1);
        self.asked = exchange.mention(worker, Order::Measure(ask)).then_some(ask);
    }

    /// The next answer goes on behind this one, or begins again behind the last row.
    fn turn_over(&mut self, row: usize, answer: &Answer) {
        let is_full = answer.paths.iter().all(Option::is_some);
        self.row = if is_full { row + PATHS_PER_EVENT } else { 0 };
    }

    /// How a question went.
    fn note(&mut self, round_trip: Option<Duration>) {
        self.lost = self.lost << 1 | u128::from(round_trip.is_none());
        self.count = (self.count + 1).min(WINDOW);
        if let Some(time) = round_trip {
            // RFC 6298 2.3.
            self.rtt = Some(self.rtt.map_or(time, |rtt| rtt * 7 / 8 + time / 8));
        }
    }

    /// How it stands, once something is known.
    fn path(&self, to: u16) -> Option<Path> {
        let is_down = self.count >= DOWN && self.lost.trailing_ones() >= DOWN;
        let rtt = self.rtt.filter(|_| !is_down);
        let lost = (self.lost & ((1 << WINDOW) - 1)).count_ones();
        let lost = u8::try_from(lost).unwrap_or(u8::MAX);
        (is_down || rtt.is_some()).then_some(Path { to, rtt, lost })
    }
}

fn probed(asked: &Ask, answer: Option<Duration>) -> Event {
    Event::Probed { centre: asked.centre, machine: asked.machine.ip(), answer }
}

impl Keeper {
    /// Goes on with the probes of other data centres, and tells control; gives how much was done.
    pub(super) fn measure<M: Memory>(&mut self, events: &mut Teller<M>, now: Instant) -> usize {
        let mut done = 0;
        let mut tell = |event: Event| {
            // Not in the place of what cannot be told again: of probes there is another one soon.
            if events.room() > DETECTION_ROOM {
                events.tell(&event);
            }
        };
        while done < MEASURED_MAX
            && let Some(answer) = self.exchange.next_measured()
        {
            done += 1;
            let Some(event) = self.paths.hear(&answer) else { continue };
            tell(event);
            if answer.paths.first().is_some_and(Option::is_some) {
                tell(Event::Paths { from: answer.centre, paths: answer.paths });
            }
        }
        done + self.paths.turn(&self.exchange, now, tell)
    }
}
