//! A registration, and how it is kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use wireguard::message::ClientId;
use wireguard::secret::Secret;

use super::ask::Told;
use super::token::Id;
use crate::desk::Record;
use crate::model::{Change, Origin, Peer, PublicKey, key};

/// What begins the keys of our records.
pub(super) const PREFIX: &[u8] = b"register/";

/// A registration. No derived `Debug`: there are secrets in it.
#[derive(Clone)]
pub(super) struct Registration {
    pub(super) id: Id,
    pub(super) token_hash: Secret,
    pub(super) public_key: PublicKey,
    pub(super) client_id: u32,
    pub(super) ipv4: Ipv4Addr,
    pub(super) ipv6: Ipv6Addr,
    /// Seconds since the Unix epoch.
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) told: Told,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Kept {
    token_hash: String,
    public_key: String,
    client_id: String,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    created: i64,
    updated: i64,
    #[serde(flatten)]
    told: Told,
}

impl Registration {
    /// Its client id as it stands in packets.
    pub(super) fn client_id(&self) -> ClientId {
        let [_, id @ ..] = self.client_id.to_be_bytes();
        ClientId(id)
    }

    /// Its peer, as it is made.
    pub(super) fn peer(&self) -> Peer {
        let addresses = [IpAddr::from(self.ipv4), IpAddr::from(self.ipv6)];
        Peer {
            client_id: self.client_id(),
            allowed_ips: addresses.map(IpNet::from).into(),
            origin: Origin::Registration,
            ..Peer::new(self.public_key)
        }
    }

    /// The change that keeps it.
    pub(super) fn record(&self) -> Change {
        let kept = Kept {
            token_hash: key::encode(self.token_hash.octets()),
            public_key: key::encode(&self.public_key.0),
            client_id: key::encode(&self.client_id().0),
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            created: self.created,
            updated: self.updated,
            told: self.told.clone(),
        };
        // Strings and numbers only: there is nothing that JSON could not say.
        let value = serde_json::to_vec(&kept).unwrap_or_default();
        Change::Record { key: record_key(self.id), value: Some(value.into()) }
    }

    /// The change that forgets it.
    pub(super) fn forget(&self) -> Change {
        Change::Record { key: record_key(self.id), value: None }
    }

    /// Reads what was kept; none when it is not one of ours.
    pub(super) fn read((name, value): &Record) -> Option<Self> {
        let id = Id(name.strip_prefix(PREFIX)?.try_into().ok()?);
        let kept: Kept = serde_json::from_slice(value).ok()?;
        let [one, two, three] = key::decode(&kept.client_id)?;
        Some(Self {
            id,
            token_hash: Secret::new(key::decode(&kept.token_hash)?),
            public_key: PublicKey(key::decode(&kept.public_key)?),
            client_id: u32::from_be_bytes([0, one, two, three]),
            ipv4: kept.ipv4,
            ipv6: kept.ipv6,
            created: kept.created,
            updated: kept.updated,
            told: kept.told,
        })
    }
}

fn record_key(id: Id) -> Box<[u8]> {
    [PREFIX, &id.0].concat().into()
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_kept_and_what_is_broken_is_not() {
        let registration = Registration {
            id: Id([3; 16]),
            token_hash: Secret::new([4; 32]),
            public_key: PublicKey([5; 32]),
            client_id: 0x01_0203,
            ipv4: Ipv4Addr::new(100, 96, 0, 1),
            ipv6: Ipv6Addr::LOCALHOST,
            created: 1_700_000_000,
            updated: 1_700_000_001,
            told: Told { name: "laptop".into(), ..Told::default() },
        };
        let Change::Record { key, value: Some(value) } = registration.record() else {
            panic!("no record")
        };
        let read = Registration::read(&(key.clone(), value.clone())).unwrap();
        assert!(read.id == registration.id && read.token_hash == registration.token_hash);
        assert_eq!(read.client_id(), ClientId([1, 2, 3]));
        assert_eq!((read.public_key, read.ipv4), (registration.public_key, registration.ipv4));
        assert_eq!(read.ipv6, registration.ipv6);
        assert_eq!((read.created, read.updated), (registration.created, registration.updated));
        assert_eq!(read.told, registration.told);
        for cut in 0..value.len() {
            assert!(Registration::read(&(key.clone(), value[..cut].into())).is_none());
        }
        assert!(Registration::read(&((*b"register/short").into(), value)).is_none());
    }
}
