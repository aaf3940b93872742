//! Who a client is: keys from the seed and its number, so that a server can be configured before the clients run.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wireguard::noise::{self, Identity, PeerKeys};
use wireguard::secret::Secret;
use wireguard::time::Instant;
use wireguard::tunnel::Config;

use super::member::Tunnel;
use super::plan::{Family, Plan};

/// The private key and the pre-shared key of client `number`. The latter is zero unless the plan wants them.
pub fn keys(plan: &Plan, number: u32) -> (Secret, Secret) {
    let mut rng = ChaCha20Rng::seed_from_u64(plan.seed);
    // Stream 0 is the swarm's own randomness.
    rng.set_stream(u64::from(number) + 1);
    let (mut private, mut preshared) = (Secret::zero(), Secret::zero());
    rng.fill_bytes(private.octets_mut());
    if plan.preshared {
        rng.fill_bytes(preshared.octets_mut());
    }
    (private, preshared)
}

/// The client as a `[[peer]]` section, as the server's control reads it.
pub fn peer_text(plan: &Plan, number: u32) -> String {
    let (private, preshared) = keys(plan, number);
    let public = STANDARD.encode(noise::public(&private));
    let [v4, v6] = [Family::V4, Family::V6].map(|family| plan.inner(number, family));
    let mut text = format!(
        "[[peer]]\nname = \"pktgen-{number}\"\npublic_key = \"{public}\"\n\
         allowed_ips = [\"{v4}/32\", \"{v6}/128\"]\n"
    );
    if plan.preshared {
        // Writing to a string does not fail.
        let _ = writeln!(text, "preshared_key = \"{}\"", STANDARD.encode(preshared.octets()));
    }
    if let Some(id) = plan.client_id(number) {
        let _ = writeln!(text, "client_id = \"{}\"", STANDARD.encode(id.0));
    }
    text
}

/// The client's protocol machine; none when the server's public key is one that nobody can have.
pub(super) fn tunnel(plan: &Plan, number: u32, now: Instant) -> Option<Tunnel> {
    let (private, preshared) = keys(plan, number);
    let identity = Identity::new(private);
    let peer = PeerKeys::new(&identity, plan.server_public, preshared).ok()?;
    let config = Config {
        identity: Arc::new(identity),
        peer,
        endpoint: plan.server(number),
        client_id: plan.client_id(number),
        persistent: plan.keepalive,
        index_base: number << 8,
        mtu: plan.mtu,
    };
    Some(Tunnel::new(config, now))
}
