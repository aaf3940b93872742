//! From the texts of a request to what they mean, each refused with its field.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::message::{HopText, PeerText};
use crate::model::{
    Book, Cause, Change, Hop, HopNamed, Origin, Peer, PublicKey, Refused, key, unknown,
};

fn invalid(field: &str, what: impl Into<String>) -> Refused {
    Refused::new(Cause::Invalid, what).at(field)
}

pub(super) fn peer(text: &PeerText) -> Result<Peer, Refused> {
    let public_key = key::decode(&text.public_key).ok_or_else(|| {
        invalid("public_key", "is not base64 of 32 octets; `wg pubkey` prints such")
    })?;
    let preshared_key = match &text.preshared_key {
        Some(text) => Some(key::decode(&text.0).ok_or_else(|| {
            invalid("preshared_key", "is not base64 of 32 octets; `wg genpsk` makes such")
        })?),
        None => None,
    };
    let client_id = match &text.client_id {
        Some(id) => key::decode(id)
            .ok_or_else(|| invalid("client_id", "is not base64 of 3 octets; four letters are"))?,
        None => [0; 3],
    };
    let nets: Result<Vec<IpNet>, Refused> =
        text.allowed_ips.iter().map(|net| prefix("allowed_ips", net)).collect();
    Ok(Peer {
        public_key: PublicKey(public_key),
        name: text.name.as_deref().map(Into::into),
        preshared_key: preshared_key.map(|octets| Box::new(Secret::new(octets))),
        client_id: ClientId(client_id),
        endpoint: text.endpoint,
        persistent_keepalive: text.persistent_keepalive,
        allowed_ips: nets?.into(),
        origin: Origin::Cli,
    })
}

/// A prefix, or an address alone.
pub(super) fn prefix(field: &str, text: &str) -> Result<IpNet, Refused> {
    let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    net.map_err(|_| {
        invalid(field, format!("\"{text}\" is no IP address or prefix such as 10.7.0.2/32"))
    })
}

/// A peer by its key or its name.
pub(super) fn key_of(book: &Book, text: &str) -> Result<PublicKey, Refused> {
    let by_key = key::decode(text).map(PublicKey).filter(|key| book.peer(key).is_some());
    let by_name = || book.peer_named(text).map(|peer| peer.public_key);
    by_key.or_else(by_name).ok_or_else(|| unknown("peer", "peer", text))
}

pub(super) fn next_hop(book: &Book, text: &HopText) -> Result<HopNamed, Refused> {
    let kind = text.kind.as_str();
    let need = |field: &str| invalid(field, format!("a next hop of kind {kind} needs it"));
    let remote = || text.remote.ok_or_else(|| need("remote"));
    let hop = match kind {
        "local" => Hop::Local,
        "reject" => Hop::Reject,
        "direct" => Hop::Direct,
        "client" => {
            let peer = text.peer.as_deref().ok_or_else(|| need("peer"))?;
            Hop::Client(key_of(book, peer)?)
        }
        "gre" => Hop::Gre {
            local: text.local.ok_or_else(|| need("local"))?,
            remote: remote()?,
            key: text.key,
            checksum: text.checksum,
        },
        "via" => {
            let centre = text.centre.as_deref().ok_or_else(|| need("centre"))?;
            let Some(remote) = text.remote else {
                let exits = Box::new([centre.into()]);
                return Ok(HopNamed::of_exits(text.name.as_str(), exits, Origin::Cli));
            };
            let number = centre.parse();
            let named = || book.centre_named(centre).map(|centre| centre.number.into());
            let centre = number.ok().or_else(named).ok_or_else(|| {
                invalid("centre", format!("there is no centre {centre}; declare it"))
            })?;
            Hop::Via { centre, remote: Some(remote) }
        }
        "argo" => {
            if text.exits.is_empty() {
                return Err(need("exits"));
            }
            let exits = text.exits.iter().map(|exit| exit.as_str().into()).collect();
            return Ok(HopNamed::of_exits(text.name.as_str(), exits, Origin::Cli));
        }
        other => {
            let what = format!(
                "\"{other}\" is none; take local, reject, client, gre, direct, via or argo"
            );
            return Err(invalid("kind", what));
        }
    };
    Ok(HopNamed::new(text.name.as_str(), hop, Origin::Cli))
}

/// The change that makes the choice that a route names, when it names exits and no next hop that is there.
pub(super) fn choice_of(book: &Book, next_hop: &Arc<str>) -> Option<Change> {
    let is_there = book.next_hop_named(next_hop).is_some();
    HopNamed::of_list(next_hop, Origin::Cli).filter(|_| !is_there).map(Change::AddNextHop)
}
