//! Reading a request: where it goes, and what else it asks for.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{HOPS, KEEPALIVE, SITE, Wrong, number};
use crate::limits::{HEADERS_MAX, KEEPALIVE_SECS};

/// Octets of a name at most (RFC 1035 2.3.4, as text).
const NAME_LEN_MAX: usize = 253;

/// The host of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host<'a> {
    /// An address; one of IPv4 that is written as one of IPv6 is given as what it is.
    Address(IpAddr),
    /// A name of letters, digits, hyphens and dots, never something that a resolver takes for a number.
    Name(&'a str),
}

/// Where a connection shall go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target<'a> {
    /// The host.
    pub host: Host<'a>,
    /// Never 0.
    pub port: u16,
}

impl<'a> Target<'a> {
    /// Splits `host:port` at the last colon (RFC 9112 3.2.3); the port is mandatory.
    pub fn parse(text: &'a str) -> Result<Self, Wrong> {
        let (host, port) = text.rsplit_once(':').ok_or(Wrong::Target)?;
        let port = number(port.as_bytes()).filter(|port| *port != 0).ok_or(Wrong::Target)?;
        Ok(Self { host: Host::parse(host)?, port })
    }
}

impl<'a> Host<'a> {
    fn parse(text: &'a str) -> Result<Self, Wrong> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(Wrong::Target)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| Wrong::Target)?;
            return Ok(Self::Address(IpAddr::V6(address).to_canonical()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Address(address.into()));
        }
        if is_name(text) { Ok(Self::Name(text)) } else { Err(Wrong::Target) }
    }
}

/// Whether it is a name for every resolver: `127.1`, `0x7f000001` and `2130706433` are addresses for some.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let octets = label.as_bytes();
        matches!(octets.len(), 1..=63)
            && octets.iter().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(octet))
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|octet| octet.is_ascii_digit())
        || last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    name.len() <= NAME_LEN_MAX && name.split('.').all(is_label) && !is_number
}

/// A request that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Where to.
    pub target: Target<'a>,
    /// Whether it names the host in a header, as everybody must (RFC 9112 3.2); our own PoPs need not.
    pub has_host: bool,
    /// Seconds of silence after which the origin is to be probed, within [`KEEPALIVE_SECS`].
    pub keepalive_secs: Option<u16>,
    /// Relays that the request may still take.
    pub hops: Option<u8>,
    /// The site at which the connection shall leave.
    pub site: Option<u16>,
    /// Octets of the head.
    pub len: usize,
}

/// Reads a request; `None` while it is not whole.
pub fn parse(octets: &[u8]) -> Result<Option<Request<'_>>, Wrong> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let parsed = head.parse(octets)?;
    // The method is judged as soon as it is there: whoever speaks something else need not go on.
    if head.method.is_some_and(|method| method != "CONNECT") {
        return Err(Wrong::Method);
    }
    let httparse::Status::Complete(len) = parsed else { return Ok(None) };
    let authority = head.path.ok_or(Wrong::Target)?;
    let target = Target::parse(authority)?;
    let mut request =
        Request { target, has_host: false, keepalive_secs: None, hops: None, site: None, len };
    for header in &*head.headers {
        request.read(authority, header)?;
    }
    Ok(Some(request))
}

impl Request<'_> {
    fn read(&mut self, authority: &str, header: &httparse::Header<'_>) -> Result<(), Wrong> {
        let value = header.value;
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("Host") {
            if self.has_host || !is_same_host(authority, value) {
                return Err(Wrong::Host);
            }
            self.has_host = true;
        } else if is("Transfer-Encoding") || is("Content-Length") && value != b"0" {
            return Err(Wrong::Content);
        } else if is(KEEPALIVE) {
            let secs = once(self.keepalive_secs, number(value).filter(|secs: &u16| *secs != 0))?;
            self.keepalive_secs = Some(secs.clamp(*KEEPALIVE_SECS.start(), *KEEPALIVE_SECS.end()));
        } else if is(HOPS) {
            self.hops = Some(once(self.hops, number(value).filter(|hops: &u8| *hops < 10))?);
        } else if is(SITE) {
            self.site = Some(once(self.site, number(value))?);
        }
        Ok(())
    }
}

/// A header that may stand there once, and must have a value then.
fn once<T: Copy>(before: Option<T>, value: Option<T>) -> Result<T, Wrong> {
    value.filter(|_| before.is_none()).ok_or(Wrong::Value)
}

/// Whether the header names the target (RFC 9112 3.2.3); some leave the port out.
fn is_same_host(authority: &str, value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    value.eq_ignore_ascii_case(authority.as_bytes()) || value.eq_ignore_ascii_case(host.as_bytes())
}
