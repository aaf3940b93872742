//! What of data centres lies between two books: each goes with its next hop.

use std::sync::Arc;

use shm::message::Item;

use super::Difference;
use crate::model::{Book, Centre, Hop};

impl Difference {
    pub(super) fn add_centre(&mut self, number: u16, (from, to): (&Book, &Book)) {
        let is_here = |book: &Book| book.here().is_some_and(|here| here.number == number);
        match (from.centres.get(&number), to.centres.get(&number)) {
            (Some(old), None) => self.centres_removed.push(Arc::clone(old)),
            (None, Some(new)) => self.centres.push((Arc::clone(new), is_here(to))),
            (Some(old), Some(new)) => {
                let is_same = old.hop == new.hop && is_here(from) == is_here(to);
                if old.hop != new.hop {
                    self.next_hops_removed.push(old.hop);
                }
                if !is_same || old.message(false) != new.message(false) {
                    self.centres.push((Arc::clone(new), is_here(to)));
                }
            }
            (None, None) => {}
        }
    }

    /// The centre at a place, or its next hop behind it.
    pub(super) fn item_of_centre(&self, place: usize) -> Option<Item> {
        let (centre, is_here) = self.centres.get(place / 2)?;
        Some(centre_item(centre, *is_here, place % 2 == 1))
    }

    /// The next hop at a place that goes, or its centre behind it.
    pub(super) fn item_of_centre_removed(&self, place: usize) -> Option<Item> {
        let centre = self.centres_removed.get(place / 2)?;
        let gone = [Item::NextHopRemove(centre.hop), Item::CentreRemove(centre.number)];
        gone.into_iter().nth(place % 2)
    }
}

/// A centre as the dataplane is told, or its next hop. What goes out by this data centre goes straight.
pub(crate) fn centre_item(centre: &Centre, is_here: bool, is_hop: bool) -> Item {
    if !is_hop {
        return Item::Centre(Box::new(centre.message(is_here)));
    }
    let via = Hop::Via { centre: centre.number.into(), remote: None };
    Item::NextHop { id: centre.hop, hop: if is_here { Hop::Direct } else { via } }
}
