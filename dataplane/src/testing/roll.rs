//! A server's configuration with its peers in one text, as tests like to write it. The dataplane itself is told of
//! peers by control; here they become the transaction that control would send.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test's text is right, or the test is wrong"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::IpNet;
use serde::Deserialize;
use shm::message::{Item, Peer, PublicKey, Scope};
use shm::transaction::Transaction;
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use crate::config::Config;
use crate::keeper::{Keeper, Start};
use crate::site::Site;

/// A `[[peer]]` section.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(rename = "name")]
    _name: Option<String>,
    public_key: String,
    preshared_key: Option<String>,
    #[serde(default)]
    allowed_ips: Vec<IpNet>,
    endpoint: Option<SocketAddr>,
    #[serde(default)]
    persistent_keepalive: u64,
    client_id: Option<String>,
}

/// What a text says of the server itself, and its peers. Unless it names a capacity, there is room for these peers
/// and no more.
pub fn read(text: &str) -> (Config, Transaction) {
    let mut table: toml::Table = text.parse().expect("a test's text is TOML");
    let peers = table.remove("peer").map_or_else(Vec::new, |peers| {
        peers.try_into::<Vec<Section>>().expect("a test's peers are right")
    });
    let mut capacity = toml::Table::new();
    let room = i64::try_from(peers.len().max(1)).expect("a test has few peers");
    capacity.insert("peers".to_owned(), room.into());
    table.entry("capacity").or_insert_with(|| capacity.into());
    let text = table.to_string();
    let config = Config::parse(&text, Path::new("test.toml"));
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    (config, snapshot(peers.iter().map(Section::peer)))
}

/// The transaction that makes these all the peers there are.
pub fn snapshot(peers: impl IntoIterator<Item = Peer>) -> Transaction {
    let items: Vec<_> = peers.into_iter().map(|peer| Item::Peer(Box::new(peer))).collect();
    Transaction { id: 1, scope: Scope::Snapshot, count: items.len() as u64, items }
}

/// The transaction that makes these changes.
pub fn delta(items: Vec<Item>) -> Transaction {
    Transaction { id: 2, scope: Scope::Delta, count: items.len() as u64, items }
}

/// A keeper with the peers of such a text.
pub fn keeper(text: &str, site: impl FnOnce(&Config) -> Site, start: Start) -> (Config, Keeper) {
    let (config, peers) = read(text);
    let keeper = Keeper::new(&config, site(&config), start);
    let mut keeper = keeper.unwrap_or_else(|error| panic!("{error}"));
    keeper.load(peers).unwrap_or_else(|refused| panic!("{refused:?}"));
    (config, keeper)
}

impl Section {
    fn peer(&self) -> Peer {
        Peer {
            public_key: PublicKey(octets(&self.public_key)),
            preshared_key: self
                .preshared_key
                .as_deref()
                .map_or(Secret::zero(), |key| Secret::new(octets(key))),
            client_id: ClientId(self.client_id.as_deref().map_or([0; 3], octets)),
            endpoint: self.endpoint,
            persistent_keepalive: Some(Duration::from_secs(self.persistent_keepalive))
                .filter(|interval| !interval.is_zero()),
            allowed_ips: self.allowed_ips.clone(),
        }
    }
}

fn octets<const N: usize>(text: &str) -> [u8; N] {
    let octets = STANDARD.decode(text.trim()).expect("base64");
    octets.try_into().expect("a key of its length")
}
