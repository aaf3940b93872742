//! WireGuard messages from strangers: what claims to be a message fits its layout, nothing that a
//! stranger made up is admitted, and the client id is taken without a trace.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use std::time::Duration;
use wireguard::cookie::{Jar, Secrets};
use wireguard::message::{self, ClientId, CookieReply, DataHeader, Initiation, Kind, Response};
use wireguard::noise::{Identity, PeerKeys, Pending, identify, initiate};
use wireguard::secret::Secret;
use wireguard::time::{Instant, Tai64n};
use zerocopy::FromBytes;

struct Known {
    identity: Identity,
    peer: PeerKeys,
    pending: Pending,
    secrets: Secrets,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let identity = Identity::new(Secret::new([1; 32]));
    let other = Identity::new(Secret::new([2; 32]));
    let peer = PeerKeys::new(&identity, *other.public(), Secret::zero()).unwrap();
    let (_, pending) =
        initiate(&identity, &peer, 0, Tai64n([0; 12]), Secret::new([3; 32])).unwrap();
    let secrets = Secrets::new(Secret::new([4; 32]), Duration::from_secs(1_700_000_000));
    Known { identity, peer, pending, secrets }
});

fuzz_target!(|octets: &[u8]| {
    let mut octets = octets.to_vec();
    let kind = message::kind(&octets);
    if let Some(len) = message::inner_len(&octets) {
        assert!(len <= octets.len());
    }
    let id = message::take_client_id(&mut octets);
    assert_eq!(message::kind(&octets), kind, "the id plays no part");
    assert_eq!(message::take_client_id(&mut octets), ClientId::ZERO);
    let checker = KNOWN.identity.checker();
    let source = "192.0.2.1:1".parse().unwrap();
    assert!(!checker.mac2_valid(&octets, &KNOWN.secrets, source));
    match kind {
        Ok(Kind::Initiation) => {
            let read = Initiation::ref_from_bytes(&octets).unwrap();
            assert!(identify(&KNOWN.identity, read).is_err());
            assert!(checker.reply(&octets, &KNOWN.secrets, source, [0; 24]).is_ok());
        }
        Ok(Kind::Response) => {
            let read = Response::ref_from_bytes(&octets).unwrap();
            assert!(KNOWN.pending.complete(&KNOWN.identity, &KNOWN.peer, read).is_err());
        }
        Ok(Kind::CookieReply) => {
            let read = CookieReply::ref_from_bytes(&octets).unwrap();
            let mut jar = Jar::new();
            jar.stamp(KNOWN.peer.checker(), &mut [0; 92], Instant::ZERO);
            assert!(jar.receive(KNOWN.peer.checker(), read, Instant::ZERO).is_err());
        }
        Ok(Kind::Data) => assert!(DataHeader::ref_from_prefix(&octets).is_ok()),
        Err(_) => {}
    }
    message::put_client_id(&mut octets, id);
});
