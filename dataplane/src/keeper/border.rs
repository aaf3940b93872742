//! The keeper's side of the border to control: transactions come in, events and counters go out.

use shm::counters::{Block, LayoutError, Page};
use shm::events::Teller;
use shm::memory::Memory;
use shm::message::{COMMAND_WORDS, EVENT_WORDS, Event, PublicKey};
use shm::ring::{Consumer, Producer};
use shm::transaction::{Reader, Reason, Received, Transaction};
use wireguard::time::Instant;

use super::Keeper;
use super::detection::Detection;
use super::survey::Surveys;
use super::tables::Refused;
use crate::counters::Counters;
use crate::exchange::News;
use crate::limiter::Limiter;
use crate::limits::{
    COMMANDS_PER_TURN, COMPLAINTS_BURST, COMPLAINTS_PER_SECOND, COUNTERS_INTERVAL, EXPIRY_INTERVAL,
    HEARTBEAT_INTERVAL, NEWS_PER_TURN_KEEPER,
};

/// The keeper's own counters, which stand behind those of the other threads.
const OWN: [&str; 6] =
    ["transactions", "transactions_refused", "peers", "routes", "news", "events_lost"];

/// The border to control, over memory of any kind.
#[derive(Debug)]
pub struct Border<M> {
    commands: Reader<M>,
    events: Teller<M>,
    /// One for each worker and handshake thread, and the keeper's own.
    blocks: Vec<Block<M>>,
    /// Which control was told who we are.
    greeted: u64,
    /// The transaction under way.
    begun: Option<Begun>,
    /// The number of the last one in force.
    applied: u64,
    surveys: Surveys,
    detection: Detection,
    /// What control was told last of the fleet.
    fleet_told: Option<Event>,
    heartbeat_at: Instant,
    counters_at: Instant,
    expiry_at: Instant,
    transactions: u64,
    news: u64,
    /// A control that raves shall not fill the log; it is counted all the same.
    complaints: Limiter,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    id: u64,
    count: u64,
}

impl<M: Memory + Clone> Border<M> {
    /// Over these rings and this page, of which it lays out the counters of so many workers and handshake threads.
    pub fn new(
        (commands, events): (Consumer<M, COMMAND_WORDS>, Producer<M, EVENT_WORDS>),
        page: &mut Page<M>,
        (workers, threads): (usize, usize),
    ) -> Result<Self, LayoutError> {
        let names: Vec<String> =
            Counters::names().map(std::borrow::Cow::into_owned).chain(own_names()).collect();
        let blocks: Vec<String> = (0..workers)
            .map(|worker| format!("worker{worker}"))
            .chain((0..threads).map(|thread| format!("handshake{thread}")))
            .chain(["keeper".to_owned()])
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
        Ok(Self {
            commands: Reader::new(commands, shm::limits::ITEMS_MAX),
            events: Teller::new(events),
            blocks: page.lay_out(&names, &blocks)?,
            greeted: 0,
            begun: None,
            applied: 0,
            surveys: Surveys::default(),
            detection: Detection::new(workers),
            fleet_told: None,
            heartbeat_at: Instant::ZERO,
            counters_at: Instant::ZERO,
            expiry_at: Instant::ZERO,
            transactions: 0,
            news: 0,
            complaints: Limiter::new(COMPLAINTS_PER_SECOND, COMPLAINTS_BURST),
        })
    }

    /// One round of the keeper's thread; gives how much was done. `now` does not go back.
    pub fn turn(&mut self, keeper: &mut Keeper, now: Instant) -> usize {
        self.greet(keeper);
        let mut done = self.tell_news(keeper);
        done += usize::from(self.go_on(keeper));
        if keeper.is_idle() {
            done += self.take_command(keeper, now);
        }
        if now >= self.expiry_at {
            self.expiry_at = now + EXPIRY_INTERVAL;
            done += usize::from(keeper.expire(now));
        }
        done += keeper.counts.tell(&mut self.events, now);
        done += keeper.seen.tell(&mut self.events, now);
        done += keeper.probe(now);
        done += keeper.tell_tunnels(&mut self.events);
        done += keeper.tell_dials(&mut self.events);
        done += keeper.measure(&mut self.events, now);
        done += self.detection.turn(keeper, &mut self.events, now);
        done += self.surveys.turn(keeper, &mut self.events);
        self.tell_fleet(keeper, now);
        if now >= self.heartbeat_at {
            self.heartbeat_at = now + HEARTBEAT_INTERVAL;
            self.beat(keeper, now);
        }
        if now >= self.counters_at {
            self.counters_at = now + COUNTERS_INTERVAL;
            self.publish_counters(keeper);
        }
        done
    }

    /// A new control learns who we are and what we know.
    fn greet(&mut self, keeper: &mut Keeper) {
        let control = self.events.ring().consumer_epoch();
        if control == self.greeted {
            return;
        }
        self.greeted = control;
        self.surveys.abandon();
        self.events.tell(&Event::Server {
            public_key: PublicKey(*keeper.directory.identity.public()),
            listen_port: keeper.site.listen_port,
            peers_max: keeper.peers_max,
        });
        keeper.counts.forget();
        keeper.seen.forget();
        keeper.tell_tunnels_anew();
        self.fleet_told = None;
        self.heartbeat_at = Instant::ZERO;
    }

    /// Control hears how this server sees the fleet, whenever that is something new.
    fn tell_fleet(&mut self, keeper: &mut Keeper, now: Instant) {
        let seen = keeper.fleet_turn(now);
        // Lost, it would not be told again before it changes.
        if let Some(event) = seen.filter(|_| seen != self.fleet_told && self.events.room() > 0) {
            self.events.tell(&event);
            self.fleet_told = seen;
        }
    }

    fn beat(&mut self, keeper: &Keeper, now: Instant) {
        let at = keeper.wall.unix(now);
        self.events.tell(&Event::Heartbeat { at, transaction: self.applied });
    }

    fn go_on(&mut self, keeper: &mut Keeper) -> bool {
        if !keeper.turn() {
            return false;
        }
        let Some(Begun { id, count }) = self.begun.take() else { return true };
        self.applied = id;
        self.transactions += 1;
        self.events.tell(&Event::Applied { id, count });
        true
    }

    fn take_command(&mut self, keeper: &mut Keeper, now: Instant) -> usize {
        match self.commands.poll(COMMANDS_PER_TURN) {
            None => return usize::from(self.commands.has_read()),
            Some(Received::Transaction(transaction)) => self.begin(keeper, transaction, now),
            Some(Received::Refused(refusal)) => {
                self.complain(now, format_args!("{refusal}"));
                self.events.tell(&Event::Refused {
                    id: refusal.id,
                    reason: refusal.reason,
                    item: refusal.item,
                    detail: refusal.malformed.map_or(0, shm::message::Malformed::code),
                });
            }
            Some(Received::Survey(id)) => self.surveys.ask(id),
            Some(Received::Corrupt(corrupt)) => {
                let what = format_args!(
                    "the commands ring is corrupt ({corrupt}); control has to attach again"
                );
                self.complain(now, what);
                self.events.tell(&Event::Desynchronised);
            }
        }
        1
    }

    fn begin(&mut self, keeper: &mut Keeper, transaction: Transaction, now: Instant) {
        let (id, count) = (transaction.id, transaction.count);
        match keeper.begin(transaction, now) {
            Ok(()) => self.begun = Some(Begun { id, count }),
            Err(Refused { item, obstacle }) => {
                let reason = Reason::Unbuildable;
                let what = format_args!("transaction {id} is refused at item {item}: {obstacle}");
                self.complain(now, what);
                self.commands.count_refusal(reason);
                self.events.tell(&Event::Refused { id, reason, item, detail: obstacle.code() });
            }
        }
    }

    fn complain(&mut self, now: Instant, what: std::fmt::Arguments<'_>) {
        if self.complaints.take(now) {
            log::warn!("{what}");
        }
    }

    fn tell_news(&mut self, keeper: &Keeper) -> usize {
        for done in 0..NEWS_PER_TURN_KEEPER {
            let Some(news) = keeper.exchange.next_news() else { return done };
            self.news += 1;
            if let Some(event) = event(&news, keeper) {
                self.events.tell(&event);
            }
        }
        NEWS_PER_TURN_KEEPER
    }

    fn publish_counters(&self, keeper: &Keeper) {
        for (block, counters) in self.blocks.iter().zip(keeper.counters()) {
            block.set_all(counters.values());
        }
        let Some(own) = self.blocks.last() else { return };
        let refusals = self.commands.refusals();
        let values = [
            self.transactions,
            refusals.total(),
            keeper.directory.registry.len() as u64,
            keeper.tables.rib.len() as u64,
            self.news,
            self.events.lost(),
        ];
        let reasons = Reason::ALL.iter().map(|reason| refusals.count(*reason));
        for (at, value) in (Counters::names().count()..).zip(values.into_iter().chain(reasons)) {
            own.set(at, value);
        }
    }
}

fn own_names() -> impl Iterator<Item = String> {
    let reasons = Reason::ALL.iter().map(|reason| format!("refused.{}", reason.name()));
    OWN.iter().map(|name| (*name).to_owned()).chain(reasons)
}

/// What control is told of it; nothing of a peer that is no more.
fn event(news: &News, keeper: &Keeper) -> Option<Event> {
    let key = |id| keeper.directory.registry.by_id(id).map(|peer| PublicKey(peer.public_key));
    let unix = |at| keeper.wall.unix(at);
    Some(match *news {
        News::Handshake(id, endpoint, at) => Event::Handshake {
            public_key: key(id)?,
            endpoint: endpoint.remote_socket(),
            at: unix(at),
        },
        News::Moved(id, endpoint, at) => Event::EndpointMoved {
            public_key: key(id)?,
            endpoint: endpoint.remote_socket(),
            at: unix(at),
        },
        News::Expired(id, at) => Event::PeerExpired { public_key: key(id)?, at: unix(at) },
    })
}
