//! What `get` answers: the server, then each peer.

use std::io::Write as _;

use shm::limits::ADDRESSES_PER_PEER_MAX;
use wireguard::secret::Secret;

use super::hex;
use crate::live::Live;
use crate::model::Peer;

/// Octets that a peer takes at most: ten lines, the longest of which are keys, and one for each prefix.
pub(super) const PEER_LEN_MAX: usize = 10 * 96 + ADDRESSES_PER_PEER_MAX * 64;

/// Writes the lines of the server. Without its private key `wg` does not show a public one either: it computes it.
pub(super) fn server(into: &mut Vec<u8>, private_key: Option<&Secret>, listen_port: Option<u16>) {
    if let Some(key) = private_key {
        hex_line(into, "private_key=", key.octets());
    }
    if let Some(port) = listen_port {
        line(into, format_args!("listen_port={port}"));
    }
}

/// Writes the lines of a peer. It is where it was heard last, else where the book has it.
pub(super) fn peer(into: &mut Vec<u8>, peer: &Peer, live: Option<Live>) {
    let live = live.unwrap_or_default();
    hex_line(into, "public_key=", &peer.public_key.0);
    if let Some(key) = &peer.preshared_key {
        hex_line(into, "preshared_key=", key.octets());
    }
    line(into, format_args!("protocol_version=1"));
    if let Some(endpoint) = live.endpoint.or(peer.endpoint) {
        line(into, format_args!("endpoint={endpoint}"));
    }
    line(into, format_args!("last_handshake_time_sec={}", live.handshake.as_secs()));
    line(into, format_args!("last_handshake_time_nsec={}", live.handshake.subsec_nanos()));
    line(into, format_args!("tx_bytes={}", live.sent));
    line(into, format_args!("rx_bytes={}", live.received));
    line(into, format_args!("persistent_keepalive_interval={}", peer.persistent_keepalive));
    for net in &peer.allowed_ips {
        line(into, format_args!("allowed_ip={net}"));
    }
}

fn hex_line(into: &mut Vec<u8>, name: &str, key: &[u8; 32]) {
    into.extend_from_slice(name.as_bytes());
    hex::write(into, key);
    into.push(b'\n');
}

fn line(into: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    drop(into.write_fmt(text));
    into.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::PublicKey;

    #[test]
    fn the_longest_peer_takes_no_more_than_is_set_aside_for_it() {
        let mut longest = Peer::new(PublicKey([0xff; 32]));
        longest.preshared_key = Some(Box::new(Secret::new([0xff; 32])));
        longest.persistent_keepalive = u16::MAX;
        let net = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128".parse().unwrap();
        longest.allowed_ips = vec![net; ADDRESSES_PER_PEER_MAX].into();
        let live = Live {
            endpoint: Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap()),
            handshake: Duration::MAX,
            received: u64::MAX,
            sent: u64::MAX,
        };
        let mut text = Vec::new();
        peer(&mut text, &longest, Some(live));
        assert!(text.len() > PEER_LEN_MAX / 2 && text.len() <= PEER_LEN_MAX, "{}", text.len());
    }

    #[test]
    fn a_peer_is_where_it_was_heard_last_and_else_where_the_book_has_it() {
        let mut one = Peer::new(PublicKey([1; 32]));
        one.endpoint = Some("192.0.2.1:1".parse().unwrap());
        let said = |live| {
            let mut text = Vec::new();
            peer(&mut text, &one, live);
            String::from_utf8(text).unwrap()
        };
        assert!(said(None).contains("\nendpoint=192.0.2.1:1\n"));
        let live = Live { endpoint: Some("192.0.2.9:9".parse().unwrap()), ..Live::default() };
        assert!(said(Some(live)).contains("\nendpoint=192.0.2.9:9\n"));
    }
}
