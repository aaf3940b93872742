//! What the dataplane shall know: peers, next hops, routes, the fleet, rules and tenants, as one book.
//!
//! Two layers are one book: what sources declare, and what was made at run time and is kept. Each thing knows its
//! [`Origin`]. A book is a value: a clone costs nothing and stays as it is.

mod apply;
mod aside;
mod book;
pub mod centre;
mod declaration;
mod difference;
pub mod dos;
pub mod fleet;
pub mod key;
mod lookup;
mod refused;
mod thing;
mod tree;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::argo::Led;
use dos::Prefixes;
use ipnet::IpNet;
pub use shm::message::{NextHop as Hop, PublicKey};
use wireguard::message::ClientId;
use wireguard::secret::Secret;

pub use apply::Limits;
pub(crate) use apply::unknown;
pub use aside::Aside;
pub use book::{Book, Counts, LOCAL, REJECT};
pub use centre::{Centre, DIRECT, Machine};
pub(crate) use declaration::BY_SOURCE;
pub use declaration::Declaration;
pub use difference::{Difference, Listing, Touched};
pub(crate) use difference::{centre_item, peer_message};
pub use dos::{Detect, Firewall, Rule, Tenant, Tunnel};
pub use fleet::Fleet;
pub use lookup::Decision;
pub use refused::{Cause, Refused};
pub use thing::Thing;
pub use tree::{Iter, Tree};

/// Who has put something into the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A source declares it, at this place.
    Declared(Place),
    /// The command line, at run time.
    Cli,
    /// `WireGuard`'s own tools, at run time.
    Uapi,
    /// Registration over HTTP.
    Registration,
    /// Detection of what is heavy in the traffic.
    Detection,
}

impl Origin {
    /// Whether a source declares it; else it was made at run time and is kept.
    pub fn is_declared(self) -> bool {
        matches!(self, Self::Declared(_))
    }
}

/// A line of a source's file. [`Book::place`] writes it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which of the [`Book::files`].
    pub file: u16,
    /// The line, from 1; 0 when it is about the file as a whole.
    pub line: u32,
}

/// A client.
#[derive(Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its public key, by which it is known.
    pub public_key: PublicKey,
    /// The name that people call it by; unique.
    pub name: Option<Arc<str>>,
    /// The preshared key, if there is one; never zeros.
    pub preshared_key: Option<Box<Secret>>,
    /// Its client id; zeros when it has none; else unique.
    pub client_id: ClientId,
    /// Where it is reached before it has spoken.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between unasked keepalives; 0 for none.
    pub persistent_keepalive: u16,
    /// Its inner prefixes, without host bits, each held by no one else.
    pub allowed_ips: Box<[IpNet]>,
    /// Who has put it into the book. What makes a [`Change`] at run time need not care: the desk sets it.
    pub origin: Origin,
}

impl Peer {
    /// A peer with nothing but its key.
    pub fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            name: None,
            preshared_key: None,
            client_id: ClientId::ZERO,
            endpoint: None,
            persistent_keepalive: 0,
            allowed_ips: Box::default(),
            origin: Origin::Cli,
        }
    }

    /// What to call it in messages: its name, or the beginning of its key.
    pub fn title(&self) -> String {
        self.name.as_deref().map_or_else(|| key::title(&self.public_key), str::to_owned)
    }

    /// Whether it says the same, whoever says it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.name == other.name && self.is_same_to_dataplane(other)
    }

    /// Whether the dataplane would see no difference.
    pub fn is_same_to_dataplane(&self, other: &Self) -> bool {
        self.public_key == other.public_key
            && self.preshared_key == other.preshared_key
            && self.client_id == other.client_id
            && self.endpoint == other.endpoint
            && self.persistent_keepalive == other.persistent_keepalive
            && self.allowed_ips == other.allowed_ips
    }
}

impl fmt::Debug for Peer {
    /// Neither keys nor the client id nor addresses: this may end in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where routes lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHop {
    /// By which routes name it in sources and commands.
    pub name: Arc<str>,
    /// By which routes name it in the book; given by the book, and never changed while the name is there.
    pub id: u32,
    /// What it is; with several exits, the one that is taken when nothing is known of them.
    pub hop: Hop,
    /// The numbers of the centres by which packets may go out, 0 for straight; none when it is no choice of those.
    pub exits: Arc<[u16]>,
    /// Who has put it into the book.
    pub origin: Origin,
}

/// A prefix that leads somewhere else than to the peer that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The [`NextHop::id`].
    pub next_hop: u32,
    /// The centre to which Argo leads it of those that its next hop names; 0 for the one that is taken without Argo.
    pub exit: u16,
    /// Who has put it into the book.
    pub origin: Origin,
}

/// One change of the book. Those of one call are judged together: it does not matter in which order an address moves
/// from one peer to another.
#[derive(Clone, Debug)]
pub enum Change {
    /// A peer that must not be there yet.
    AddPeer(Peer),
    /// A peer, new or in the place of the one with its key.
    PutPeer(Peer),
    /// A peer that must be there, no more.
    RemovePeer(PublicKey),
    /// A route that must not be there yet.
    AddRoute(RouteTo),
    /// A route, new or in the place of the one with its prefix.
    PutRoute(RouteTo),
    /// A route that must be there, no more.
    RemoveRoute(IpNet),
    /// A next hop that must not be there yet.
    AddNextHop(HopNamed),
    /// A next hop, new or in the place of the one with its name.
    PutNextHop(HopNamed),
    /// A next hop that must be there and that no route uses, no more.
    RemoveNextHop(Arc<str>),
    /// The fleet, new or in the place of the one there is.
    PutFleet(Arc<Fleet>),
    /// No fleet any more.
    RemoveFleet,
    /// A rule that must not be there yet.
    AddRule(Rule),
    /// A rule, new or in the place of the one with its name. Of an id that it bears it is known to be the dataplane's.
    PutRule(Rule),
    /// A rule that must be there, no more.
    RemoveRule(Arc<str>),
    /// A rule whose time is over, whoever has put it into the book, no more. One that is not there is no mistake.
    ExpireRule {
        /// Its id.
        id: u32,
        /// What time it is, in seconds of Unix time.
        now: u64,
    },
    /// Prefixes into a list that must be there, or out of it.
    ListPrefixes {
        /// The name of the list.
        list: Arc<str>,
        /// What comes.
        add: Prefixes,
        /// What goes; each must be there.
        remove: Prefixes,
    },
    /// A tenant that must not be there yet.
    AddTenant(Tenant),
    /// A tenant, new or in the place of the one with its name. Of ids that it and its tunnels bear it is known to be the
    /// dataplane's.
    PutTenant(Tenant),
    /// Other rules for a tenant that must be there, or none.
    SetRules {
        /// Its name.
        tenant: Arc<str>,
        /// Its rules.
        rules: Option<Firewall>,
    },
    /// A tenant that must be there and that no rule reaches, no more.
    RemoveTenant(Arc<str>),
    /// A data centre, new or in the place of the one with its name.
    PutCentre(Centre),
    /// A data centre that must be there and that no next hop names, no more.
    RemoveCentre(Arc<str>),
    /// Routes go by other exits of those that they name.
    Lead(Arc<[Led]>),
    /// Centres are reached through others: their numbers, and those of the relays, 0 for none.
    Relay(Arc<[(u16, u16)]>),
    /// When detection makes rules, or that it makes none.
    PutDetect(Option<Detect>),
    /// Something of the caller's own that is kept with the rest, in the same moment, and is no part of the book:
    /// [`Desk::records`](crate::desk::Desk::records) reads it back, also after a restart.
    Record {
        /// Its key. Begin it with the caller's name and a slash.
        key: Box<[u8]>,
        /// Its value; none removes it.
        value: Option<Box<[u8]>>,
    },
}

/// A route as it is asked for.
#[derive(Clone, Debug)]
pub struct RouteTo {
    /// To where.
    pub prefix: IpNet,
    /// The name of its next hop.
    pub next_hop: Arc<str>,
    /// As with [`Peer::origin`].
    pub origin: Origin,
}

/// A next hop as it is asked for.
#[derive(Clone, Debug)]
pub struct HopNamed {
    /// Its name.
    pub name: Arc<str>,
    /// What it is; with exits, the book says it.
    pub hop: Hop,
    /// The names of the exits among which Argo chooses, in order.
    pub exits: Box<[Arc<str>]>,
    /// As with [`Peer::origin`].
    pub origin: Origin,
}

impl HopNamed {
    /// A next hop that is no choice.
    pub fn new(name: impl Into<Arc<str>>, hop: Hop, origin: Origin) -> Self {
        Self { name: name.into(), hop, exits: Box::default(), origin }
    }

    /// A choice of exits.
    pub fn of_exits(name: impl Into<Arc<str>>, exits: Box<[Arc<str>]>, origin: Origin) -> Self {
        Self { exits, ..Self::new(name, Hop::Direct, origin) }
    }

    /// The choice of exits that a list with commas says, as routes may name it in the place of a next hop.
    pub fn of_list(list: &Arc<str>, origin: Origin) -> Option<Self> {
        let exits = list.contains(',').then(|| list.split(',').map(Into::into).collect());
        exits.map(|exits| Self::of_exits(Arc::clone(list), exits, origin))
    }

    /// Whether its name is a list of as many exits: these may have had other names when it was made.
    pub fn has_list_name(&self) -> bool {
        let parts = || self.name.split(',');
        self.exits.len() > 1
            && parts().count() == self.exits.len()
            && parts().all(|part| part.len() <= centre::CENTRE_NAME_LEN_MAX)
    }

    /// Whether its name is the list of its exits.
    pub fn is_list(&self) -> bool {
        !self.exits.is_empty() && self.name.split(',').eq(self.exits.iter().map(|exit| &**exit))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
