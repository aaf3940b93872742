//! The border to control: peers and routes change while packets flow, whole or not at all, and whatever control does
//! harms nobody else.

#[cfg(test)]
#[path = "control/changes.rs"]
mod changes;
#[cfg(test)]
#[path = "control/hostile.rs"]
mod hostile;
#[cfg(test)]
#[path = "control/refusals.rs"]
mod refusals;
#[cfg(test)]
#[path = "control/surveys.rs"]
mod surveys;

use std::sync::{Arc, LazyLock};

use dataplane::testing::client::Options as ClientOptions;
use dataplane::testing::control::{self, Control, Private, Regions};
use dataplane::testing::scene::Scene;
use dataplane::testing::server::Options;
use dataplane::testing::site::{self, Plan};
use shm::message::{COMMAND_WORDS, Event, Item, Peer, PublicKey, Scope};
use shm::ring::Producer;
use shm::transaction::{WriteError, Writer};

/// A server that knows nobody, and its control.
struct Stage {
    scene: Scene,
    regions: Regions,
    control: Control,
    next_id: u64,
    /// The ring in the hands of one who does not care for its rules.
    raw: Option<Producer<Private, COMMAND_WORDS>>,
}

impl Stage {
    /// With room for so many peers and so many workers.
    fn new(peers_max: u32, workers: usize) -> Self {
        let plan = Plan { peers_max: Some(peers_max), workers, ..Plan::new(0) };
        Self::with(&plan, Options::default())
    }

    fn with(plan: &Plan, options: Options) -> Self {
        let mut scene = Scene::new(plan, options);
        let regions = scene.server.open_border();
        let mut control = regions.attach();
        scene.settle();
        assert!(matches!(control.hear().first(), Some(Event::Server { .. })));
        Self { scene, regions, control, next_id: 0, raw: None }
    }

    /// Adds clients with their numbers in order, which nobody knows yet.
    fn join(&mut self, count: usize) {
        for at in 0..count {
            self.scene.join(at % 2 == 1, ClientOptions::default());
        }
    }

    /// Lets every client call.
    fn connect(&mut self) {
        for at in 0..self.scene.clients.len() {
            self.scene.send(at, &[]);
        }
    }

    /// What becomes of a transaction.
    fn tell(&mut self, scope: Scope, items: &[Item]) -> Event {
        let id = self.write(scope, items);
        self.scene.settle();
        let of_it = |event: &Event| match event {
            Event::Applied { id: of, .. } | Event::Refused { id: of, .. } => *of == id,
            _ => false,
        };
        let events = self.control.hear();
        let mut outcomes = events.into_iter().filter(of_it);
        let outcome = outcomes.next().expect("a transaction has an outcome");
        assert_eq!(outcomes.next(), None, "and no other");
        outcome
    }

    /// Writes a transaction of any length.
    fn write(&mut self, scope: Scope, items: &[Item]) -> u64 {
        self.next_id += 1;
        let Self { scene, control, next_id: id, .. } = self;
        let mut write = |say: &mut dyn FnMut(&mut Writer<Private>) -> Result<(), WriteError>| {
            while let Err(error) = say(&mut control.writer) {
                assert_eq!(error, WriteError::Full);
                let now = scene.now;
                scene.server.turn(now);
            }
        };
        write(&mut |writer| writer.begin(*id, scope));
        for item in items {
            write(&mut |writer| writer.item(item));
        }
        write(&mut Writer::commit);
        *id
    }

    /// Puts messages into the ring as they are, in an epoch of their own.
    fn push(&mut self, messages: &[[u64; COMMAND_WORDS]]) {
        if self.raw.is_none() {
            let ring = Producer::attach(Arc::clone(&self.regions.commands), control::geometry());
            self.raw = Some(ring.unwrap());
        }
        let ring = self.raw.as_mut().unwrap();
        assert_eq!(ring.push_batch(messages), Ok(messages.len()));
    }

    /// Makes changes that must be possible.
    fn change(&mut self, items: &[Item]) {
        let outcome = self.tell(Scope::Delta, items);
        assert!(matches!(outcome, Event::Applied { .. }), "{outcome:?}");
    }

    /// Every packet is in exactly one count.
    fn is_whole(&self) {
        let totals = self.scene.server.totals();
        assert_eq!(totals.unaccounted(), 0, "{totals}");
        assert_eq!(self.scene.server.buffers_held() as u64, totals.held);
    }
}

/// The first clients, whose keys are costly to derive.
static CLIENTS: LazyLock<Vec<Peer>> = LazyLock::new(|| (0..16).map(site::peer).collect());

fn client(number: u32) -> &'static Peer {
    &CLIENTS[number as usize]
}

fn peer(number: u32) -> Item {
    Item::Peer(Box::new(client(number).clone()))
}

fn key(number: u32) -> PublicKey {
    client(number).public_key
}
