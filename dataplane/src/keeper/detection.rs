//! Detection: who is heavy, asked of the workers' sketches in rounds and told to control as far as there is room.

use std::time::Duration;

use shm::events::Teller;
use shm::memory::Memory;
use shm::message::Event;
use wireguard::time::Instant;

use super::Keeper;
use crate::exchange::Order;
use crate::limits::{DETECTION_ROOM, SKETCH_INTERVAL};
use crate::stages::dos::sketch::{Heavies, Hitter, Rate, Sheet, Tally};

/// Rounds of heavy hitters: sheets go to all workers, and when all are back they are counted.
#[derive(Debug)]
pub(super) struct Detection {
    /// Sheets for the next round.
    home: Vec<(usize, Box<Sheet>)>,
    /// Sheets that workers shall get in this one.
    ready: Vec<(usize, Box<Sheet>)>,
    /// Sheets that workers have.
    out: usize,
    tally: Tally,
    due_at: Instant,
    /// Rounds that were told of or could have been.
    round: u64,
    /// What control is to be told of the last one.
    untold: Vec<Event>,
}

impl Detection {
    /// With a sheet for each worker, beside the one that it begins with.
    pub(super) fn new(workers: usize) -> Self {
        Self {
            home: (0..workers).map(|worker| (worker, Box::default())).collect(),
            ready: Vec::with_capacity(workers),
            out: 0,
            tally: Tally::new(workers),
            due_at: Instant::ZERO,
            round: 0,
            untold: Vec::new(),
        }
    }

    /// Goes on; gives how much was done.
    pub(super) fn turn<M: Memory>(
        &mut self,
        keeper: &Keeper,
        events: &mut Teller<M>,
        now: Instant,
    ) -> usize {
        let mut done = self.tell(events);
        if !self.is_under_way() && now >= self.due_at {
            std::mem::swap(&mut self.home, &mut self.ready);
        }
        done += self.hand_out(keeper);
        while let Some((worker, sheet)) = keeper.exchange.next_sketch() {
            done += 1;
            self.out = self.out.saturating_sub(1);
            self.tally.add(&sheet);
            self.home.push((worker, sheet));
            if !self.is_under_way() {
                self.finish(keeper, now);
            }
        }
        done
    }

    fn is_under_way(&self) -> bool {
        self.out > 0 || !self.ready.is_empty()
    }

    fn hand_out(&mut self, keeper: &Keeper) -> usize {
        let mut done = 0;
        for (worker, sheet) in std::mem::take(&mut self.ready) {
            if let Some(Order::Sketch(sheet)) =
                keeper.exchange.order_or(worker, Order::Sketch(sheet))
            {
                self.ready.push((worker, sheet));
            } else {
                self.out += 1;
                done += 1;
            }
        }
        done
    }

    /// All sheets are back. The next round begins an interval from now, so that no worker's part of it is shorter. What
    /// control had no room for is old by now.
    fn finish(&mut self, keeper: &Keeper, now: Instant) {
        self.due_at = now + SKETCH_INTERVAL;
        let heavies = self.tally.finish();
        self.untold.clear();
        if heavies.iter().next().is_some() {
            self.round += 1;
            self.untold = events(&heavies, keeper.wall.unix(now), self.round);
        }
    }

    /// A round is told whole or not at all, and never in the place of something that cannot be told again.
    fn tell<M: Memory>(&mut self, events: &mut Teller<M>) -> usize {
        if self.untold.is_empty() || events.room() < self.untold.len() + DETECTION_ROOM {
            return 0;
        }
        for event in &self.untold {
            events.tell(event);
        }
        let told = self.untold.len();
        self.untold.clear();
        told
    }
}

/// What control is told of a round.
fn events(heavies: &Heavies, at: Duration, round: u64) -> Vec<Event> {
    let heavy = |hitter: &Hitter| {
        let Rate { packets, octets, dropped } = hitter.rate;
        Event::Heavy { at, packets, octets, dropped, what: hitter.what }
    };
    heavies.iter().map(heavy).chain([Event::Swept { at, round }]).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use shm::events::Listener;
    use shm::memory::private;
    use shm::message::Heavy;
    use shm::ring::{Consumer, Producer};

    use super::*;
    use crate::limits::SURVEY_ROWS;
    use crate::packet::Ip;
    use crate::stages::dos::sketch::{Sample, Sketch};
    use crate::testing::control::{Private, geometry};
    use crate::testing::server::Server;
    use crate::testing::site::Plan;

    /// A keeper with workers that do nothing but sketch, and a control that hears.
    struct Scene {
        keeper: Keeper,
        detection: Detection,
        sketches: Vec<Sketch>,
        teller: Teller<Private>,
        listener: Listener<Private>,
        now: Instant,
    }

    impl Scene {
        fn new(workers: usize) -> Self {
            let server = Server::new(&Plan { workers, ..Plan::new(1) }.text(), 1);
            let memory = private(geometry::<{ shm::message::EVENT_WORDS }>().words());
            let producer = Producer::attach(Arc::clone(&memory), geometry()).unwrap();
            let now = Instant(5_000_000_000);
            Self {
                keeper: server.keeper,
                detection: Detection::new(workers),
                sketches: (0..workers).map(|seed| Sketch::new(seed as u64, now)).collect(),
                teller: Teller::new(producer),
                listener: Listener::new(Consumer::attach(memory, geometry()).unwrap()),
                now,
            }
        }

        /// So many packets come from this source to a worker.
        fn come(&mut self, worker: usize, last: u8, count: usize) {
            let source = Ipv4Addr::new(192, 0, 2, last).into();
            let sample = Sample::new(source, &Ip { len: 100, protocol: 1, ..Ip::NONE }, &[]);
            self.sketches[worker].look(count, |_| Some(sample));
        }

        fn turn(&mut self) -> usize {
            self.detection.turn(&self.keeper, &mut self.teller, self.now)
        }

        /// This worker obeys; tells how many sheets it was given.
        fn obey(&mut self, worker: usize) -> usize {
            let exchange = self.keeper.exchange();
            let mut sheets = 0;
            while let Some(order) = exchange.next_order(worker) {
                if let Order::Sketch(empty) = order {
                    exchange.sketched(worker, self.sketches[worker].turn_in(empty, self.now));
                    sheets += 1;
                }
            }
            sheets
        }

        fn hear(&mut self) -> Vec<Event> {
            let mut events = Vec::new();
            while self.listener.hear(64, |event| events.push(event.unwrap())) != Ok(0) {}
            events
        }

        /// A whole round of all workers, an interval later.
        fn round(&mut self) {
            self.now = self.now + SKETCH_INTERVAL;
            self.turn();
            for worker in 0..self.sketches.len() {
                self.obey(worker);
            }
            self.turn();
            self.turn();
        }
    }

    #[test]
    fn tells_a_round_whole_when_every_worker_has_turned_in_its_sheet() {
        let mut scene = Scene::new(2);
        scene.round();
        assert!(scene.hear().is_empty(), "without packets there is nothing to tell");
        scene.come(0, 1, 1_000);
        scene.come(1, 1, 500);
        scene.now = scene.now + SKETCH_INTERVAL;
        scene.turn();
        assert_eq!(scene.obey(1), 1);
        scene.turn();
        assert!(scene.turn() == 0 && scene.hear().is_empty(), "one sheet is still out");
        assert_eq!((scene.obey(0), scene.obey(1)), (1, 0), "each has one");
        scene.turn();
        scene.turn();
        let events = scene.hear();
        let at = scene.keeper.wall.unix(scene.now);
        let what = Heavy::Source("192.0.2.1/32".parse().unwrap());
        let heavy = Event::Heavy { at, packets: 7_500, octets: 750_000, dropped: 0, what };
        assert_eq!(events.first(), Some(&heavy));
        assert_eq!(events.last(), Some(&Event::Swept { at, round: 1 }));
    }

    #[test]
    fn a_round_is_as_long_as_it_shall_be_however_late_a_worker_was() {
        let mut scene = Scene::new(2);
        scene.round();
        scene.turn();
        assert_eq!(scene.obey(0), 0, "no sheet before the interval is over");
        scene.now = scene.now + SKETCH_INTERVAL;
        scene.turn();
        scene.obey(0);
        scene.now = scene.now + SKETCH_INTERVAL;
        scene.obey(1);
        scene.turn();
        scene.turn();
        assert_eq!((scene.obey(0), scene.obey(1)), (0, 0), "the late one gets its whole time");
        scene.now = scene.now + SKETCH_INTERVAL;
        scene.turn();
        assert_eq!((scene.obey(0), scene.obey(1)), (1, 1));
    }

    #[test]
    fn a_control_that_does_not_hear_loses_rounds_and_nothing_else() {
        let mut scene = Scene::new(1);
        let other = Event::Applied { id: 1, count: 0 };
        while scene.teller.room() > SURVEY_ROWS / 8 {
            scene.teller.tell(&other);
        }
        for _ in 0..5 {
            scene.come(0, 1, 1_000);
            scene.round();
        }
        assert_eq!(scene.teller.lost(), 0);
        assert!(scene.hear().iter().all(|event| *event == other), "there was no room");
        scene.turn();
        let events = scene.hear();
        assert!(matches!(events.last(), Some(Event::Swept { round: 5, .. })), "{events:?}");
        let swept = events.iter().filter(|event| matches!(event, Event::Swept { .. })).count();
        assert_eq!(swept, 1, "the last one alone");
    }

    #[test]
    fn gets_through_while_a_survey_takes_all_the_room_that_it_may() {
        let mut scene = Scene::new(1);
        let of_survey = Event::Surveyed { id: 1 };
        let mut rounds = 0;
        for _ in 0..50 {
            (0..20).for_each(|last| scene.come(0, last, 100));
            scene.round();
            // Control takes a few at a time, and the survey fills whatever it finds above its own limit.
            for _ in 0..40 {
                let mut swept = 0;
                let mut each = |event: Result<Event, _>| {
                    swept += usize::from(matches!(event, Ok(Event::Swept { .. })));
                };
                scene.listener.hear(8, &mut each).unwrap();
                rounds += swept;
                scene.turn();
                while scene.teller.room() > SURVEY_ROWS + 1 {
                    scene.teller.tell(&of_survey);
                }
            }
        }
        assert!(rounds > 40, "{rounds} of 50 rounds were heard");
        assert_eq!(scene.teller.lost(), 0);
    }
}
