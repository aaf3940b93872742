//! The fleet: servers behind one anycast address, each a load balancer for all (D6). Which of them owns a client id,
//! who owned it before, and who holds it because a session of it lives there.

mod holdings;
pub(crate) mod keys;
pub(crate) mod logarithm;
mod shared;
pub(crate) mod sip;
mod table;
mod view;
mod walk;

use std::sync::Arc;

use wireguard::message::ClientId;
use wireguard::time::Instant;

pub use holdings::{COUNT_STEP, Holdings};
pub use keys::{Keys, id_of_key};
pub use shared::Shared;
pub use table::{ROWS, Table, row};
pub use view::{Reach, Tables, View};
pub use walk::{Passage, Verdict};

/// What a server knows of the others.
#[derive(Clone, Debug)]
pub enum Membership {
    /// It serves alone: everything is its own.
    Alone,
    /// It is of a fleet, but was not told yet of which servers.
    Untold,
    /// Its view of the fleet.
    Told(Arc<View>),
}

/// The fleet as one thread knows it; a clone costs two references.
#[derive(Clone, Debug)]
pub struct Fleet {
    /// Who is there.
    pub membership: Membership,
    /// What this server holds, written by its workers.
    pub holdings: Arc<Holdings>,
}

impl Fleet {
    /// A server without a fleet.
    pub fn alone() -> Self {
        Self { membership: Membership::Alone, holdings: Arc::default() }
    }

    /// The view, when there is one.
    #[inline]
    pub const fn view(&self) -> Option<&Arc<View>> {
        match &self.membership {
            Membership::Told(view) => Some(view),
            Membership::Alone | Membership::Untold => None,
        }
    }

    /// Where a packet of this client goes; `came` is how another server has passed it on.
    pub fn walk(&self, id: ClientId, came: Option<Passage>, now: Instant) -> Verdict {
        match &self.membership {
            Membership::Alone => Verdict::Mine,
            Membership::Untold => Verdict::Untold,
            Membership::Told(view) => view.walk(id, came, || self.holdings.is_held(id, now)),
        }
    }

    /// Whether this server may call a client by itself: one that is here, or that can be nowhere else. Every server
    /// knows every peer, and if all called they would take its session from each other.
    pub fn may_call(&self, id: ClientId, now: Instant) -> bool {
        match &self.membership {
            Membership::Alone => true,
            Membership::Untold => false,
            Membership::Told(view) => self.holdings.is_held(id, now) || view.is_sole_owner(id),
        }
    }
}
