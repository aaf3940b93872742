//! What the worker of a peer shall know of it, and whether that is what it knows.

use std::time::Duration;

use shm::message::Peer;
use shm::transaction::Obstacle;

use super::Setup;
use super::tables::{Scene, Tables, id_of, seconds};
use crate::registry;
use crate::site::Site;

pub(super) fn is_same(peer: &Peer, before: &registry::Peer) -> bool {
    let preshared = before.preshared_key.as_deref();
    peer.client_id == before.client_id
        && peer.endpoint == before.endpoint
        && seconds(peer.persistent_keepalive) == before.persistent_s
        && *peer.allowed_ips == *before.allowed_ips
        && preshared.map_or_else(|| peer.preshared_key.is_zero(), |key| *key == peer.preshared_key)
}

/// What a worker shall know of a peer from the start.
pub(super) fn setup_of(peer: &registry::Peer, site: &Site) -> Setup {
    Setup {
        // The plan has found a path.
        endpoint: peer.endpoint.and_then(|endpoint| site.path_to(endpoint)),
        persistent: Duration::from_secs(peer.persistent_s.into()),
        incarnation: peer.incarnation,
        client_id: peer.client_id,
        id: peer.id,
    }
}

/// What a peer's worker shall know.
pub(super) fn setup(peer: &Peer, scene: Scene<'_>, tables: &Tables) -> Result<Setup, Obstacle> {
    if peer.public_key.0 == *scene.identity.public() {
        return Err(Obstacle::OwnKey);
    }
    let path = |endpoint| scene.site.path_to(endpoint).ok_or(Obstacle::Unreachable);
    let before = scene.registry.by_key(&peer.public_key.0);
    // A client that has spoken is where it spoke from, until it is told to be elsewhere.
    let told_before = before.as_ref().and_then(|before| before.endpoint);
    Ok(Setup {
        endpoint: peer.endpoint.filter(|told| Some(*told) != told_before).map(path).transpose()?,
        persistent: peer.persistent_keepalive.unwrap_or_default(),
        incarnation: before.map_or(tables.incarnation, |before| before.incarnation),
        client_id: peer.client_id,
        id: id_of(peer),
    })
}
