//! Stage 7, egress: dresses an inner packet for its next hop.

pub mod client;
pub mod local;
pub mod probe;

use crate::burst::Burst;
use crate::fate::{DropReason, Fate};
use crate::frame::Kind;
use crate::site::Site;
use crate::stages::route::NextHop;

/// One match on the next hop. Packets to clients are only measured here; `wireguard::seal` does the rest.
pub fn dress(burst: &mut Burst<'_>, site: &Site) {
    burst.pass(|frame| match (frame.note.kind, frame.note.next_hop) {
        (Kind::Inner, NextHop::Local) => local::deliver(frame, site),
        (Kind::Inner, NextHop::None) => Err(Fate::Drop(DropReason::RouteNone)),
        (Kind::Datagram, _) => client::encap(frame, site, client::HANDSHAKE_TOS),
        _ => Ok(()),
    });
}
