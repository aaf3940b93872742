//! A server in memory with its control, and clients that it may not know.

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
pub(super) struct Stage {
    pub(super) scene: Scene,
    pub(super) regions: Regions,
    pub(super) control: Control,
    pub(super) next_id: u64,
    /// The ring in the hands of one who does not care for its rules.
    raw: Option<Producer<Private, COMMAND_WORDS>>,
}

impl Stage {
    /// With room for so many peers and so many workers.
    pub(super) fn new(peers_max: u32, workers: usize) -> Self {
        let plan = Plan { peers_max: Some(peers_max), workers, ..Plan::new(0) };
        Self::with(&plan, Options::default())
    }

    pub(super) fn with(plan: &Plan, options: Options) -> Self {
        let mut scene = Scene::new(plan, options);
        let regions = scene.server.open_border();
        let mut control = regions.attach();
        scene.settle();
        assert!(matches!(control.hear().first(), Some(Event::Server { .. })));
        Self { scene, regions, control, next_id: 0, raw: None }
    }

    /// Adds clients with their numbers in order, which nobody knows yet.
    pub(super) fn join(&mut self, count: usize) {
        for at in 0..count {
            self.scene.join(at % 2 == 1, ClientOptions::default());
        }
    }

    /// Lets every client call.
    pub(super) fn connect(&mut self) {
        for at in 0..self.scene.clients.len() {
            self.scene.send(at, &[]);
        }
    }

    /// What becomes of a transaction.
    pub(super) fn tell(&mut self, scope: Scope, items: &[Item]) -> Event {
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
    pub(super) fn push(&mut self, messages: &[[u64; COMMAND_WORDS]]) {
        if self.raw.is_none() {
            let ring = Producer::attach(Arc::clone(&self.regions.commands), control::geometry());
            self.raw = Some(ring.unwrap());
        }
        let ring = self.raw.as_mut().unwrap();
        assert_eq!(ring.push_batch(messages), Ok(messages.len()));
    }

    /// Makes changes that must be possible.
    pub(super) fn change(&mut self, items: &[Item]) {
        let outcome = self.tell(Scope::Delta, items);
        assert!(matches!(outcome, Event::Applied { .. }), "{outcome:?}");
    }

    /// Every packet is in exactly one count.
    pub(super) fn is_whole(&self) {
        let totals = self.scene.server.totals();
        assert_eq!(totals.unaccounted(), 0, "{totals}");
        assert_eq!(self.scene.server.buffers_held() as u64, totals.held);
    }
}

/// The first clients, whose keys are costly to derive.
static CLIENTS: LazyLock<Vec<Peer>> = LazyLock::new(|| (0..16).map(site::peer).collect());

pub(super) fn client(number: u32) -> &'static Peer {
    &CLIENTS[number as usize]
}

pub(super) fn peer(number: u32) -> Item {
    Item::Peer(Box::new(client(number).clone()))
}

pub(super) fn key(number: u32) -> PublicKey {
    client(number).public_key
}
