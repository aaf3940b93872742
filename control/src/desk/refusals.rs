//! What the dataplane refuses: one change of many, or one thing of the whole book. The others go on without it.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use shm::transaction::Obstacle;

use super::batch::{Batch, Edit};
use super::flight::{Flight, Refusal};
use super::owner::{Owner, Request};
use crate::model::{Book, Cause, Hop, Refused, Thing};

/// For so long one thing after the other is left out before there is a pause: each costs the dataplane a whole book.
const TRIES: Duration = Duration::from_secs(2);

impl Owner {
    pub(super) fn refused(&mut self, id: u64, refusal: Refusal, now: Instant) {
        let Some(flight) = self.flight.take_if(|flight| flight.id == id) else { return };
        if let Some(link) = &mut self.link {
            link.settle();
        }
        self.status(|status| status.refused += 1);
        let thing = refusal.thing(&flight.sent);
        let Flight { batch, aside, .. } = flight;
        if let Some(batch) = batch {
            self.part(*batch, thing, &refusal, now);
        } else {
            self.aside = aside;
            self.leave_out(thing, &refusal, now);
        }
    }

    /// The dataplane does not take the book: all but what it refuses is given to it.
    fn leave_out(&mut self, thing: Option<Thing>, refusal: &Refusal, now: Instant) {
        let (book, why) = (self.shared.book(), refusal.why());
        let may_go = thing != Some(Thing::Fleet) || !self.keeps_fleet(refusal);
        if let Some(thing) = thing.filter(|_| may_go && now.duration_since(self.tried) < TRIES) {
            let title = title(&book, &thing);
            log::error!("{title} is left out, for the dataplane refuses it: {why}");
            let alike = self.alike(&book, thing, refusal.obstacle());
            self.aside.put(thing, alike, &why.into());
            self.snapshot(now);
            return;
        }
        let what = thing.map_or_else(String::new, |thing| format!("{}: ", title(&book, &thing)));
        let trouble = format!("the dataplane does not take the book: {what}{why}");
        log::error!("{trouble}");
        self.status(|status| status.trouble = Some(trouble));
        self.refused = Some(now);
    }

    /// Other things that the dataplane will refuse for the same reason.
    fn alike(&self, book: &Book, thing: Thing, obstacle: Option<Obstacle>) -> Vec<Thing> {
        match (thing, obstacle) {
            (Thing::Peer(key), Some(Obstacle::TooManyPeers)) => {
                let told = self.aside.without(book).counts().peers;
                let more = told.saturating_sub(self.limits().peers_max).saturating_sub(1);
                let behind = book.peers_after(Some(&key)).take(more);
                behind.map(|peer| Thing::Peer(peer.public_key)).collect()
            }
            (Thing::NextHop(id), Some(Obstacle::NoEgress)) => {
                let Some(one) = book.next_hop(id) else { return Vec::new() };
                // To a machine by itself there may be no way where there is one by its centre.
                let kind = |hop: &Hop| {
                    let is_alone = matches!(hop, Hop::Via { remote: Some(_), .. });
                    (std::mem::discriminant(hop), is_alone)
                };
                let alike = book.next_hops().filter(|hop| kind(&hop.hop) == kind(&one.hop));
                alike.map(|hop| Thing::NextHop(hop.id)).collect()
            }
            (Thing::Centre(_), Some(Obstacle::NoEgress)) => {
                book.centres().map(|centre| Thing::Centre(centre.number)).collect()
            }
            (Thing::Route(_), Some(Obstacle::NoLocal)) => {
                let is_local = |id| book.next_hop(id).is_some_and(|hop| hop.hop == Hop::Local);
                let alike = book.routes_after(None).filter(|(_, route)| is_local(route.next_hop));
                alike.map(|(prefix, _)| Thing::Route(*prefix)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The dataplane has refused a batch: alone, its only change is refused; else the one that is to blame gets its own
    /// try, and then the others.
    fn part(&mut self, mut batch: Batch, thing: Option<Thing>, refusal: &Refusal, now: Instant) {
        if batch.edits.len() == 1 && thing == Some(Thing::Fleet) && self.has_no_fleet() {
            let (place, why) = (title(&batch.book, &Thing::Fleet), refusal.why());
            log::error!("{place} is left out, for the dataplane refuses it: {why}");
            batch.fleet_refused = Some(why.into());
            self.send(batch, now);
            return;
        }
        let Batch { book, mut edits, .. } = batch;
        if edits.len() > 1 {
            let blamed = |edit: &Edit| {
                thing.is_some_and(|thing| {
                    edit.changes.iter().any(|change| change.is_about(&thing, &book))
                })
            };
            edits.sort_by_key(|edit| !blamed(edit));
            // From the last to the first, because each goes before the others.
            for edit in edits.into_iter().rev() {
                self.waiting.push_front(edit.again());
            }
            self.fly_first(now);
            return;
        }
        if let Some(edit) = edits.pop() {
            drop(edit.answer.send(Err(told(&book, thing, refusal))));
        }
        self.fly_first(now);
    }

    /// Whether the dataplane serves without a fleet. Then one that it refuses is left out; else the one that it has is
    /// better than none, and the change is refused.
    fn has_no_fleet(&self) -> bool {
        self.aside.without(&self.shared.book()).fleet().is_none()
    }

    /// Whether the dataplane serves with another fleet than that of the book, or is about to say so. To leave out the
    /// fleet of a snapshot would take that one away, and with it the way of every packet between servers.
    fn keeps_fleet(&mut self, refusal: &Refusal) -> bool {
        let seen = self.shared.status.read().unwrap_or_else(PoisonError::into_inner).fleet;
        let is_in_one = refusal.obstacle().is_some_and(|obstacle| obstacle != Obstacle::NoFleet);
        // It says next how it sees its fleet; then it is given the book again.
        self.changed |= seen.is_none() && is_in_one;
        seen.map_or(is_in_one, |seen| seen.generation != 0)
    }

    /// Sends what waits one by one, for the batch that it was in was refused.
    fn fly_first(&mut self, now: Instant) {
        let Some(Request::Edit { origin, decide, answer }) = self.waiting.pop_front() else {
            return;
        };
        let mut batch = Batch::new(self.shared.book());
        batch.add(origin, decide, answer, &self.limits());
        self.send(batch, now);
    }
}

/// A thing with its place.
fn title(book: &Book, thing: &Thing) -> String {
    match book.declared_at(thing) {
        Some(place) => format!("{place}: {}", book.title(thing)),
        None => book.title(thing),
    }
}

/// What whoever asked for the change hears.
fn told(book: &Book, thing: Option<Thing>, refusal: &Refusal) -> Refused {
    let what = thing.map_or_else(|| "it".to_owned(), |thing| book.title(&thing));
    let refused =
        Refused::new(Cause::Dataplane, format!("the dataplane refuses {what}: {}", refusal.why()));
    match thing.and_then(|thing| book.declared_at(&thing)) {
        Some(place) => refused.at(place),
        None => refused,
    }
}
