//! From the texts of a request to what they mean, each refused with its field.

use std::net::IpAddr;

use ipnet::IpNet;
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::message::{HopText, PeerText};
use crate::model::{Book, Cause, Hop, HopNamed, Origin, Peer, PublicKey, Refused, key, unknown};

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
        "via" => Hop::Via { centre: text.centre.ok_or_else(|| need("centre"))?, remote: remote()? },
        other => {
            let what =
                format!("\"{other}\" is none; take local, reject, client, gre, direct or via");
            return Err(invalid("kind", what));
        }
    };
    Ok(HopNamed { name: text.name.as_str().into(), hop, origin: Origin::Cli })
}
