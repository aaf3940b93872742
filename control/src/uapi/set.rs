//! A `set` request, read line by line: a pure function of its lines.
//!
//! First come the lines about the interface, then sections, each of which begins with a peer's public key. What the
//! request means for the book is for [`plan`](super::plan) to say.

use std::net::SocketAddr;
use std::str::FromStr;

use ipnet::IpNet;
use wireguard::secret::Secret;

use super::hex;
use super::wrong::Wrong;
use crate::model::PublicKey;

/// What a request asks for.
#[derive(Debug, Default)]
pub(super) struct Set {
    /// The server's private key; zeros for none.
    pub(super) private_key: Option<Secret>,
    /// Where the server shall listen; 0 for anywhere.
    pub(super) listen_port: Option<u16>,
    /// The mark of packets that the server sends; 0 for none.
    pub(super) fwmark: Option<u32>,
    /// Whether all peers go before those of the request come.
    pub(super) replace_peers: bool,
    /// What it says of peers, in its order.
    pub(super) sections: Vec<Section>,
}

/// What a request says of one peer.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) public_key: PublicKey,
    /// Whether the peer goes; the rest of the section then means nothing.
    pub(super) remove: bool,
    /// Whether the section means nothing when there is no such peer.
    pub(super) update_only: bool,
    /// The preshared key; zeros for none. Boxed, so that growing lists leave no copies behind.
    pub(super) preshared_key: Option<Box<Secret>>,
    pub(super) endpoint: Option<SocketAddr>,
    pub(super) persistent_keepalive: Option<u16>,
    /// Whether the peer's prefixes go before those of the section come.
    pub(super) replace_allowed_ips: bool,
    pub(super) allowed_ips: Vec<AllowedIp>,
}

/// What becomes of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AllowedIp {
    /// The peer gets it, whoever has it now.
    Give(IpNet),
    /// The peer has it no more, if it has it now.
    Take(IpNet),
}

impl Set {
    /// Takes the next line, without its end. After a refusal the request is worth nothing.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), Wrong> {
        let text = std::str::from_utf8(line)
            .map_err(|_| Wrong::grammar("is no text; write key=value in UTF-8"))?;
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Wrong::grammar("has no equals sign; write key=value"))?;
        if key == "public_key" {
            self.sections.push(Section::new(value)?);
            return Ok(());
        }
        match self.sections.last_mut() {
            Some(section) => section.line(key, value),
            None => self.interface_line(key, value),
        }
    }

    fn interface_line(&mut self, key: &str, value: &str) -> Result<(), Wrong> {
        match key {
            "private_key" => self.private_key = Some(secret(key, value)?),
            "listen_port" => self.listen_port = Some(number(key, value)?),
            "fwmark" => self.fwmark = Some(number(key, value)?),
            "replace_peers" => self.replace_peers = yes(key, value)?,
            _ => return Err(unknown(key, "before the first peer")),
        }
        Ok(())
    }
}

impl Section {
    fn new(public_key: &str) -> Result<Self, Wrong> {
        let public_key = PublicKey(*secret("public_key", public_key)?.octets());
        Ok(Self {
            public_key,
            remove: false,
            update_only: false,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            replace_allowed_ips: false,
            allowed_ips: Vec::new(),
        })
    }

    fn line(&mut self, key: &str, value: &str) -> Result<(), Wrong> {
        match key {
            "remove" => self.remove = yes(key, value)?,
            "update_only" => self.update_only = yes(key, value)?,
            "preshared_key" => self.preshared_key = Some(Box::new(secret(key, value)?)),
            "endpoint" => self.endpoint = Some(endpoint(value)?),
            "persistent_keepalive_interval" => {
                self.persistent_keepalive = Some(number(key, value)?);
            }
            "replace_allowed_ips" => {
                self.replace_allowed_ips = yes(key, value)?;
                self.allowed_ips.clear();
            }
            "allowed_ip" => self.allowed_ips.push(AllowedIp::parse(value)?),
            "protocol_version" if value == "1" => {}
            "protocol_version" => {
                return Err(Wrong::meaning("names a protocol_version that is not 1; leave it out"));
            }
            _ => return Err(unknown(key, "of a peer")),
        }
        Ok(())
    }
}

impl AllowedIp {
    fn parse(value: &str) -> Result<Self, Wrong> {
        let (net, way): (&str, fn(IpNet) -> Self) = match value.strip_prefix('-') {
            Some(net) => (net, Self::Take),
            None => (value, Self::Give),
        };
        // Bits behind the prefix mean nothing, as everywhere in WireGuard.
        net.parse().map(|net: IpNet| way(net.trunc())).map_err(|_| {
            Wrong::meaning("is no prefix; write allowed_ip as an address, a slash and a length")
        })
    }
}

fn secret(key: &str, value: &str) -> Result<Secret, Wrong> {
    hex::key(value).ok_or_else(|| Wrong::meaning(format!("{key} is not 64 digits of base 16")))
}

fn number<T: FromStr>(key: &str, value: &str) -> Result<T, Wrong> {
    let digits = value.bytes().all(|letter| letter.is_ascii_digit());
    let number = digits.then(|| value.parse().ok()).flatten();
    number.ok_or_else(|| Wrong::meaning(format!("{key} is no number, or one that is too large")))
}

fn yes(key: &str, value: &str) -> Result<bool, Wrong> {
    let wrong = || Wrong::meaning(format!("{key} can only be true; else leave it out"));
    (value == "true").then_some(true).ok_or_else(wrong)
}

fn endpoint(value: &str) -> Result<SocketAddr, Wrong> {
    let wrong = || Wrong::meaning("endpoint is not address:port or [address]:port");
    let endpoint: SocketAddr = value.parse().map_err(|_| wrong())?;
    match endpoint {
        // A link of this host means nothing to the dataplane, which has its own ports.
        SocketAddr::V6(address) if address.scope_id() != 0 => Err(wrong()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => Ok(endpoint),
    }
}

fn unknown(key: &str, where_to: &str) -> Wrong {
    // What does not look like a key of the protocol is not repeated: a secret in base64 ends with an equals sign too.
    let is_word = key.len() <= 40 && key.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    let shown = if is_word { key } else { "something" };
    Wrong::meaning(format!("has {shown}, which is no key {where_to}; leave it out"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::io::Errno;

    use super::*;

    fn read(text: &str) -> Result<Set, Wrong> {
        let mut set = Set::default();
        text.lines().try_for_each(|line| set.line(line.as_bytes()))?;
        Ok(set)
    }

    fn public_key(number: u8) -> String {
        format!("public_key={}\n", format!("{number:02x}").repeat(32))
    }

    #[test]
    fn everything_that_may_be_said_is_understood() {
        let set = read(&format!(
            "private_key={zeros}\nlisten_port=51820\nfwmark=4294967295\nreplace_peers=true\n\
             {one}update_only=true\npreshared_key={zeros}\nendpoint=[2001:db8::1]:7\n\
             persistent_keepalive_interval=65535\nreplace_allowed_ips=true\nallowed_ip=10.1.2.3/8\n\
             allowed_ip=-::1/128\nprotocol_version=1\n{two}remove=true\n",
            zeros = "00".repeat(32),
            one = public_key(1),
            two = public_key(2),
        ))
        .unwrap();
        assert!(set.private_key.unwrap().is_zero() && set.replace_peers);
        assert_eq!((set.listen_port, set.fwmark), (Some(51820), Some(u32::MAX)));
        let [one, two] = set.sections.as_slice() else { panic!() };
        assert_eq!((one.public_key, two.public_key), (PublicKey([1; 32]), PublicKey([2; 32])));
        assert!(one.update_only && one.replace_allowed_ips && !one.remove && two.remove);
        assert!(one.preshared_key.as_ref().unwrap().is_zero() && two.preshared_key.is_none());
        assert_eq!(one.endpoint, Some("[2001:db8::1]:7".parse().unwrap()));
        assert_eq!(one.persistent_keepalive, Some(65535));
        let wanted = [
            AllowedIp::Give("10.0.0.0/8".parse().unwrap()),
            AllowedIp::Take("::1/128".parse().unwrap()),
        ];
        assert_eq!(one.allowed_ips, wanted);
    }

    #[test]
    fn what_is_not_of_the_protocol_is_refused_with_its_number_and_without_its_value() {
        let secret = "5ec2e7".repeat(10);
        let peer = public_key(1);
        let cases = [
            ("secret".to_owned(), Errno::PROTO),
            (format!("private_key={secret}"), Errno::INVAL),
            (format!("public_key={secret}"), Errno::INVAL),
            (format!("{peer}preshared_key={secret}"), Errno::INVAL),
            (format!("{peer}private_key={}", "11".repeat(32)), Errno::INVAL),
            (format!("{peer}listen_port=1"), Errno::INVAL),
            ("listen_port=65536".to_owned(), Errno::INVAL),
            ("listen_port=+5".to_owned(), Errno::INVAL),
            ("listen_port=".to_owned(), Errno::INVAL),
            ("fwmark=4294967296".to_owned(), Errno::INVAL),
            ("replace_peers=false".to_owned(), Errno::INVAL),
            ("endpoint=10.0.0.1:1".to_owned(), Errno::INVAL),
            (format!("{peer}endpoint=host:1"), Errno::INVAL),
            (format!("{peer}endpoint=[fe80::1%2]:1"), Errno::INVAL),
            (format!("{peer}allowed_ip=10.0.0.1"), Errno::INVAL),
            (format!("{peer}allowed_ip=10.0.0.1/33"), Errno::INVAL),
            (format!("{peer}persistent_keepalive_interval=off"), Errno::INVAL),
            (format!("{peer}protocol_version=2"), Errno::INVAL),
            (format!("{peer}rx_bytes=0"), Errno::INVAL),
            (format!("{secret}="), Errno::INVAL),
            (format!("{peer}{secret}="), Errno::INVAL),
        ];
        for (text, errno) in cases {
            let wrong = read(&text).unwrap_err();
            assert_eq!(wrong.errno, errno, "{text}");
            assert!(!wrong.what.contains(&secret), "{}", wrong.what);
        }
        assert_eq!(Set::default().line(b"\xff=1").unwrap_err().errno, Errno::PROTO);
    }

    /// Lines that are nearly right, so that arbitrary ones get beyond the first comparison.
    fn nearly_a_line() -> impl Strategy<Value = Vec<u8>> {
        let keys = prop::sample::select(vec![
            "private_key",
            "listen_port",
            "fwmark",
            "replace_peers",
            "public_key",
            "remove",
            "update_only",
            "preshared_key",
            "endpoint",
            "persistent_keepalive_interval",
            "replace_allowed_ips",
            "allowed_ip",
            "protocol_version",
            "errno",
            "",
        ]);
        let values = prop_oneof![
            "true|1|0|65535|-?[0-9.]{1,15}/[0-9]{1,3}|-?[0-9a-f:]{2,20}/[0-9]{1,3}",
            "[0-9a-f]{64}",
            r"\[[0-9a-f:%]{2,12}\]:[0-9]{1,5}",
            any::<String>(),
        ];
        prop_oneof![
            4 => (keys, values).prop_map(|(key, value)| format!("{key}={value}").into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 0..200),
        ]
    }

    proptest! {
        #[test]
        fn no_line_does_more_than_be_refused(
            lines in prop::collection::vec(nearly_a_line(), 0..40),
        ) {
            let mut set = Set::default();
            for line in &lines {
                let sections = set.sections.len();
                if set.line(line).is_err() {
                    prop_assert_eq!(set.sections.len(), sections);
                }
                prop_assert!(set.sections.len() <= sections + 1);
            }
        }
    }
}
