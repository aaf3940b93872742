//! What clients are answered: the shape that WARP's clients read.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::config::Config;
use super::record::Registration;
use crate::model::{PublicKey, key};

/// Who the server is, for clients.
#[derive(Clone, Copy)]
pub(super) struct Server {
    pub(super) public_key: PublicKey,
    pub(super) port: Option<u16>,
}

/// The registration for its client. `enabled` unless an operator has removed the peer.
pub(super) fn registration(
    of: &Registration,
    config: &Config,
    server: Server,
    enabled: bool,
) -> Value {
    let told = &of.told;
    json!({
        "id": of.id.to_string(),
        "key": key::encode(&of.public_key.0),
        "key_type": "curve25519",
        "tunnel_type": "wireguard",
        "type": told.kind,
        "model": told.model,
        "name": told.name,
        "locale": told.locale,
        "tos": told.tos,
        "install_id": told.install_id,
        "fcm_token": "",
        "created": date(of.created),
        "updated": date(of.updated),
        "enabled": enabled,
        "warp_enabled": told.warp_enabled.unwrap_or(true),
        "waitlist_enabled": false,
        "place": 0,
        "account": account(of),
        "config": {
            "client_id": key::encode(&of.client_id().0),
            "interface": {
                "addresses": { "v4": of.ipv4.to_string(), "v6": of.ipv6.to_string() },
            },
            "peers": [{ "public_key": key::encode(&server.public_key.0), "endpoint": endpoint(config, server) }],
            "services": { "http_proxy": "" },
        },
        "policy": { "tunnel_protocol": "wireguard" },
    })
}

/// There are no accounts beside the registration itself; clients want to see one.
fn account(of: &Registration) -> Value {
    json!({
        "id": of.id.to_string(),
        "account_type": "free",
        "created": date(of.created),
        "updated": date(of.updated),
        "license": "",
        "warp_plus": false,
        "premium_data": 0,
        "quota": 0,
        "usage": 0,
        "ttl": null,
        "role": "child",
        "referral_count": 0,
        "referral_renewal_countdown": 0,
    })
}

fn endpoint(config: &Config, server: Server) -> Value {
    let ports = if config.ports.is_empty() {
        server.port.into_iter().collect()
    } else {
        config.ports.clone()
    };
    let port = ports.first().map(|port| format!(":{port}")).unwrap_or_default();
    json!({
        "host": format!("{}{port}", config.host),
        // Port 0: one of `ports`.
        "v4": config.endpoint_v4.map(|address| format!("{address}:0")).unwrap_or_default(),
        "v6": config.endpoint_v6.map(|address| format!("[{address}]:0")).unwrap_or_default(),
        "ports": ports,
    })
}

/// RFC 3339.
fn date(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}
