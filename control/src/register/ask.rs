//! What clients send: the body of a request, checked field by field.

use serde::{Deserialize, Deserializer, Serialize};

use super::fault::Fault;
use crate::model::{PublicKey, key};

/// Longest body; those of WARP's clients have some hundred octets.
pub(super) const BODY_LEN_MAX: usize = 8 * 1024;

/// Longest text in a field, octets.
const TEXT_LEN_MAX: usize = 128;

/// Longest text in `fcm_token`, `serial_number` and others that are not kept.
const PASSING_LEN_MAX: usize = 1024;

/// What a client tells of itself that is kept and told back.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Told {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) install_id: Box<str>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) tos: Box<str>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) model: Box<str>,
    #[serde(default, deserialize_with = "or_default", rename = "type")]
    pub(super) kind: Box<str>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) locale: Box<str>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) name: Box<str>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) warp_enabled: Option<bool>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    key_type: Option<String>,
    #[serde(default)]
    tunnel_type: Option<String>,
    #[serde(default)]
    fcm_token: Option<String>,
    #[serde(default)]
    serial_number: Option<String>,
    #[serde(default)]
    os_version: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    name: Option<Box<str>>,
}

/// `null` is what some clients send for what they have not.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// A request for a registration.
pub(super) struct Register {
    pub(super) public_key: PublicKey,
    pub(super) told: Told,
    /// Told back once and not kept: it lets others send messages to the client.
    pub(super) fcm_token: String,
}

/// A request for a change of one.
pub(super) struct Alter {
    pub(super) public_key: Option<PublicKey>,
    pub(super) name: Option<Box<str>>,
    pub(super) warp_enabled: Option<bool>,
}

impl Register {
    pub(super) fn parse(octets: &[u8]) -> Result<Self, Fault> {
        let (body, told) = read(octets)?;
        let public_key = body.public_key()?.ok_or(Fault::Key)?;
        Ok(Self { public_key, told, fcm_token: body.fcm_token.unwrap_or_default() })
    }
}

impl Alter {
    pub(super) fn parse(octets: &[u8]) -> Result<Self, Fault> {
        let (body, told) = read(octets)?;
        let public_key = body.public_key()?;
        Ok(Self { public_key, name: body.name, warp_enabled: told.warp_enabled })
    }
}

fn read(octets: &[u8]) -> Result<(Body, Told), Fault> {
    // Other JSON than an object would be taken as a list of fields.
    if octets.iter().find(|octet| !octet.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Fault::Malformed("The body must be a JSON object"));
    }
    let malformed = |_| Fault::Malformed("The body must be a JSON object of texts and booleans");
    let body: Body = serde_json::from_slice(octets).map_err(malformed)?;
    let told: Told = serde_json::from_slice(octets).map_err(malformed)?;
    let kept = [&told.install_id, &told.tos, &told.model, &told.kind, &told.locale, &told.name];
    if kept.iter().any(|text| text.len() > TEXT_LEN_MAX) {
        let what = "install_id, tos, model, type, locale and name may have 128 octets each";
        return Err(Fault::Malformed(what));
    }
    let passing = [&body.fcm_token, &body.serial_number, &body.os_version];
    if passing.iter().any(|text| text.as_ref().is_some_and(|text| text.len() > PASSING_LEN_MAX)) {
        let what = "fcm_token, serial_number and os_version may have 1024 octets each";
        return Err(Fault::Malformed(what));
    }
    let is = |field: &Option<String>, only: &str| {
        field.as_deref().is_none_or(|text| text.is_empty() || text == only)
    };
    if !is(&body.key_type, "curve25519") {
        return Err(Fault::Malformed("key_type must be curve25519"));
    }
    if !is(&body.tunnel_type, "wireguard") {
        return Err(Fault::Malformed("tunnel_type must be wireguard"));
    }
    Ok((body, told))
}

impl Body {
    /// The key, if there is one; weak ones are none.
    fn public_key(&self) -> Result<Option<PublicKey>, Fault> {
        let Some(text) = &self.key else { return Ok(None) };
        let key = PublicKey(key::decode(text).ok_or(Fault::Key)?);
        if key::is_weak(&key) { Err(Fault::Key) } else { Ok(Some(key)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "6J4mvYbX1BXKCxhZUsl0FJkTQTNWHRGgrYUMuWUCmwM=";

    fn fault(body: &str) -> Option<Fault> {
        Register::parse(body.as_bytes()).err()
    }

    #[test]
    fn takes_what_clients_send() {
        let body = format!(
            r#"{{"key":"{KEY}","install_id":"","fcm_token":"f","tos":"2026-01-01T00:00:00.000Z",
                "model":"PC","type":"Android","locale":"en_US","serial_number":null,"name":null,
                "key_type":"curve25519","tunnel_type":"wireguard","unheard_of":[{{}}]}}"#
        );
        let asked = Register::parse(body.as_bytes()).unwrap_or_else(|fault| panic!("{fault:?}"));
        assert_eq!(
            (&*asked.told.model, &*asked.told.kind, &*asked.told.name),
            ("PC", "Android", "")
        );
        assert_eq!(key::encode(&asked.public_key.0), KEY);
        assert_eq!(asked.fcm_token, "f");
    }

    #[test]
    fn keys_that_no_peer_can_have_are_refused_as_such() {
        let mut one = [0; 32];
        one[0] = 1;
        for octets in [&[0; 32][..], &one, &[0xff; 31], &[7; 33], &[]] {
            let body = format!(r#"{{"key":"{}"}}"#, key::encode(octets));
            assert_eq!(fault(&body), Some(Fault::Key), "{body}");
        }
        assert_eq!(fault("{}"), Some(Fault::Key));
        assert_eq!(fault(r#"{"key":null}"#), Some(Fault::Key));
        assert_eq!(fault(&format!(r#"{{"key":"{}"}}"#, "A".repeat(4000))), Some(Fault::Key));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = "x".repeat(129);
        let bad = [
            String::new(),
            "[]".into(),
            format!(r#"["{KEY}"]"#),
            format!(r#"{{"key":"{KEY}""#),
            format!(r#"{{"key":"{KEY}"}} x"#),
            format!(r#"{{"key":"{KEY}","key":"{KEY}"}}"#),
            format!(r#"{{"key":"{KEY}","name":7}}"#),
            format!(r#"{{"key":"{KEY}","name":"{long}"}}"#),
            format!(r#"{{"key":"{KEY}","fcm_token":"{}"}}"#, "x".repeat(1025)),
            format!(r#"{{"key":"{KEY}","key_type":"secp256r1"}}"#),
            format!(r#"{{"key":"{KEY}","tunnel_type":"masque"}}"#),
            format!(r#"{{"key":"{KEY}","x":{}}}"#, "[".repeat(4000)),
        ];
        for body in bad {
            assert!(matches!(fault(&body), Some(Fault::Malformed(_))), "{body}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(Register::parse(&octets));
            drop(Alter::parse(&octets));
        }

        #[test]
        fn no_flipped_octet_makes_it_panic(at in 0_usize..80, to in any::<u8>()) {
            let mut body = format!(r#"{{"key":"{KEY}","name":"a name","warp_enabled":true}}"#).into_bytes();
            if let Some(octet) = body.get_mut(at) {
                *octet = to;
            }
            drop(Register::parse(&body));
        }
    }
}
