//! The steward: has the clock, takes in what was measured, and makes what the table chooses changes of the book.

use std::sync::Arc;
use std::time::Duration;

use shm::message::Event;
use tokio::time::{MissedTickBehavior, interval};

use super::rows::{Group, Seed};
use super::ticks::unix_now;
use super::{Centre, Changes, Led, Subject, Table};
use crate::desk::Desk;
use crate::model::{Book, Change, Origin};

/// From one look at what was measured to the next: what has failed is left within it.
const TICK: Duration = Duration::from_millis(250);

/// Seconds of a round.
pub const ROUND_S: u32 = 10;

/// Rounds after which what was known counts half.
const AGE_ROUNDS: u32 = 30;

/// Seconds between two looks at a book that changes all the time: each goes through all routes.
const FOLLOW_S: u32 = 2;

/// Begins; goes on until control ends.
pub fn begin(desk: Desk) {
    tokio::spawn(Steward::new(desk).run());
}

struct Steward {
    desk: Desk,
    /// What of the book was looked at last, and when.
    revision: Option<u64>,
    followed: u32,
    /// When the last round ended, and how many did.
    round: u32,
    rounds: u32,
}

impl Steward {
    fn new(desk: Desk) -> Self {
        Self { desk, revision: None, followed: 0, round: unix_now(), rounds: 0 }
    }

    async fn run(mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // It walks through a million prefixes.
            let turned = tokio::task::spawn_blocking(move || {
                let changes = self.turn(unix_now());
                (self, changes)
            });
            let Ok((steward, changes)) = turned.await else { return };
            self = steward;
            self.act(changes).await;
        }
    }

    /// What there is to be changed now.
    fn turn(&mut self, now: u32) -> Changes {
        let mut changes = Changes { led: self.follow(now), relays: Vec::new() };
        let argo = self.desk.argo();
        let events = argo.take();
        let ends = now.saturating_sub(self.round) >= ROUND_S;
        if events.is_empty() && !ends {
            return changes;
        }
        let more = argo.write(|table| {
            for event in &events {
                take_in(table, event, now);
            }
            if ends {
                if (self.rounds + 1).is_multiple_of(AGE_ROUNDS) {
                    table.age();
                }
                table.round(now)
            } else if table.is_urgent() {
                table.leave_failed(now)
            } else {
                Changes::default()
            }
        });
        if ends {
            (self.round, self.rounds) = (now, self.rounds.wrapping_add(1));
        }
        changes.led.extend(more.led);
        changes.relays.extend(more.relays);
        changes
    }

    /// Follows the book when it has other prefixes, exits or centres than before.
    fn follow(&mut self, now: u32) -> Vec<Led> {
        let book = self.desk.book();
        let revision = Some(book.argo_revision());
        if revision == self.revision || now.saturating_sub(self.followed) < FOLLOW_S {
            return Vec::new();
        }
        (self.revision, self.followed) = (revision, now);
        let subject = subject(&book);
        self.desk.argo().write(|table| table.follow(subject))
    }

    async fn act(&mut self, changes: Changes) {
        if changes.is_empty() {
            return;
        }
        let Changes { led, relays } = changes;
        let (moved, relayed) = (led.len(), relays.len());
        let changes = [Change::Relay(relays.into()), Change::Lead(led.into())];
        match self.desk.change(Origin::Cli, changes.into()).await {
            Ok(_) => log::info!("argo leads {moved} prefixes and reaches {relayed} centres anew"),
            Err(refused) => {
                log::warn!("what argo has chosen is refused: {refused}");
                // The table and the book are compared again, not at once.
                (self.revision, self.followed) = (None, unix_now().saturating_add(ROUND_S));
            }
        }
    }
}

/// Takes in one event.
fn take_in(table: &mut Table, event: &Event, now: u32) {
    match event {
        Event::Dials(dials) => dials.iter().flatten().for_each(|dial| table.dial(dial, now)),
        Event::Probed { centre, answer, .. } => table.probe(*centre, *answer, now),
        Event::Paths { from, paths } => {
            paths.iter().flatten().for_each(|path| table.tell(*from, *path, now));
        }
        Event::Applied { .. }
        | Event::Refused { .. }
        | Event::Desynchronised
        | Event::Heartbeat { .. }
        | Event::Lost(_)
        | Event::Handshake { .. }
        | Event::EndpointMoved { .. }
        | Event::PeerExpired { .. }
        | Event::PeerState { .. }
        | Event::Surveyed { .. }
        | Event::Server { .. }
        | Event::Fleet { .. }
        | Event::RuleCount { .. }
        | Event::Heavy { .. }
        | Event::Swept { .. }
        | Event::Tunnel { .. }
        | Event::TunnelCount { .. }
        | Event::TenantCount { .. } => {}
    }
}

/// What of a book concerns the table.
pub fn subject(book: &Book) -> Subject {
    let centres = book.centres().map(|centre| Centre {
        number: centre.number,
        headroom: centre.headroom,
        relay: centre.relay,
    });
    let choices = book.next_hops().filter(|hop| hop.exits.len() > 1);
    let groups: Vec<Group> =
        choices.map(|hop| Group::new(hop.id, Arc::clone(&hop.exits))).collect();
    // They stand in the order of their ids.
    let place = |id: u32| groups.binary_search_by_key(&id, |group| group.hop).ok();
    let seeds = book.routes_after(None).filter_map(|(prefix, route)| {
        let place = place(route.next_hop)?;
        let group = groups.get(place)?;
        let choice = if route.exit == 0 { None } else { group.lane(route.exit) };
        let choice = choice.unwrap_or(group.default);
        Some(Seed { prefix: *prefix, group: u16::try_from(place).ok()?, choice })
    });
    Subject {
        here: book.here().map_or(0, |here| here.number),
        centres: centres.collect(),
        seeds: seeds.collect(),
        groups,
    }
}
