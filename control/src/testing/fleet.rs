//! The fleet as the dataplane for tests sees it: this server is number 1.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use shm::events::Teller;
use shm::mapping::Mapping;
use shm::message::{Event, Fleet, Item, Member, MemberState};
use shm::transaction::{Obstacle, Transaction};

use super::{Orders, Tables};
use crate::model::fleet::is_newer;

/// The number of this server.
const SERVER: u8 = 1;

/// What it holds while it drains.
const HELD: u64 = 7;

/// Why the fleet of a transaction is not taken.
pub(super) fn obstacle(
    transaction: &Transaction,
    tables: &Tables,
    alone: bool,
) -> Option<Obstacle> {
    transaction.items.iter().find_map(|item| match item {
        Item::Fleet(_) if alone => Some(Obstacle::NoFleet),
        Item::Fleet(fleet) => wrong(fleet, tables.fleet.as_ref()),
        Item::FleetRemove if tables.fleet.is_none() => Some(Obstacle::NotThere),
        Item::FleetRemove
        | Item::Peer(_)
        | Item::PeerRemove(_)
        | Item::Route { .. }
        | Item::RouteRemove(_)
        | Item::NextHop { .. }
        | Item::NextHopRemove(_)
        | Item::Centre(_)
        | Item::Machines { .. }
        | Item::CentreRemove(_)
        | Item::Tenant(_)
        | Item::TenantRemove(_)
        | Item::Rule(_)
        | Item::RuleRemove(_)
        | Item::Listed { .. }
        | Item::Unlisted { .. }
        | Item::Tunnel(_)
        | Item::TunnelRemove(_)
        | Item::Ruleset(_)
        | Item::RulesetText { .. } => None,
    })
}

fn wrong(fleet: &Fleet, old: Option<&Fleet>) -> Option<Obstacle> {
    let takes = |member: &Member| member.state == MemberState::Active && member.weight > 0;
    let changed = old.filter(|old| old.members != fleet.members);
    if !fleet.members.iter().any(takes) {
        Some(Obstacle::Members)
    } else if own(fleet).is_none() {
        Some(Obstacle::NotAMember)
    } else if changed.is_some_and(|old| !is_newer(fleet.generation, old.generation)) {
        Some(Obstacle::Generation)
    } else {
        None
    }
}

fn own(fleet: &Fleet) -> Option<&Member> {
    fleet.members.iter().find(|member| member.server == SERVER)
}

/// Says how the fleet is seen; nothing where there is none to be in.
pub(super) fn tell(tables: &Mutex<Tables>, orders: &Orders, teller: &mut Teller<Arc<Mapping>>) {
    if orders.alone.load(Ordering::Relaxed) {
        return;
    }
    let tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut generation, mut digest, mut held) = (0, 0, u64::MAX);
    if let Some(fleet) = &tables.fleet {
        let mut hasher = DefaultHasher::new();
        fleet.members.hash(&mut hasher);
        (generation, digest) = (fleet.generation, hasher.finish() | 1);
        let drains = |own: &Member| matches!(own.state, MemberState::Draining { .. });
        held = if own(fleet).is_some_and(drains) { HELD } else { held };
    }
    teller.tell(&Event::Fleet { server: SERVER, generation, digest, held });
}
