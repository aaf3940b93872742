//! Keys as the configuration writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Reads base64 of exactly `N` octets, the form in which WireGuard's tools write keys.
pub(super) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let octets = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
    octets.as_slice().try_into().ok()
}
