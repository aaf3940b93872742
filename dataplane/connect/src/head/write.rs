//! Writing heads into the caller's octets.

use core::fmt::{self, Write};
use core::net::IpAddr;

use wire::NoRoom;

use super::{HOPS, Host, KEEPALIVE, SITE, Status, TCP_OPTIONS, Target, TcpOptions};

/// The answer that opens the tunnel. Every PoP writes the same one, so that a relay passes on as many octets as it takes.
pub const CONNECTED: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// Where to.
    pub target: Target<'a>,
    /// Seconds of silence after which the origin is to be probed.
    pub keepalive_secs: u16,
    /// Relays that the request may take; at most 9. Not said to proxies that are not ours.
    pub hops: Option<u8>,
    /// The site at which the connection shall leave.
    pub site: Option<u16>,
}

struct Text<'a> {
    octets: &'a mut [u8],
    len: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.octets.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

/// Writes a request and returns its length.
pub fn write_request(octets: &mut [u8], ask: &Ask<'_>) -> Result<usize, NoRoom> {
    let mut text = Text { octets, len: 0 };
    request(&mut text, ask).map_err(|_| NoRoom)?;
    Ok(text.len)
}

fn request(text: &mut Text<'_>, ask: &Ask<'_>) -> fmt::Result {
    let target = ask.target;
    write!(text, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n")?;
    write!(text, "{KEEPALIVE}: {}\r\nApplication: warp\r\n", ask.keepalive_secs)?;
    if let Some(site) = ask.site {
        write!(text, "{SITE}: {site}\r\n")?;
    }
    if let Some(hops) = ask.hops {
        write!(text, "{HOPS}: {}\r\n", hops.min(9))?;
    }
    text.write_str("\r\n")
}

/// Writes an answer that opens no tunnel, and returns its length.
pub fn write_answer(
    octets: &mut [u8],
    status: Status,
    hint: Option<TcpOptions>,
) -> Result<usize, NoRoom> {
    let mut text = Text { octets, len: 0 };
    answer(&mut text, status, hint).map_err(|_| NoRoom)?;
    Ok(text.len)
}

fn answer(text: &mut Text<'_>, status: Status, hint: Option<TcpOptions>) -> fmt::Result {
    let (code, reason) = status.words();
    write!(text, "HTTP/1.1 {code} {reason}\r\nConnection: close\r\nContent-Length: 0\r\n")?;
    if status == Status::MethodNotAllowed {
        // RFC 9110 15.5.6 wants the methods that are allowed.
        text.write_str("Allow: CONNECT\r\n")?;
    }
    if let Some(hint) = hint {
        write!(text, "{TCP_OPTIONS}: sack={} ws=", u8::from(hint.sack))?;
        match hint.window_scale {
            Some(shift) => write!(text, "{shift}")?,
            None => text.write_str("none")?,
        }
        write!(text, " mss={}\r\n", hint.mss)?;
    }
    text.write_str("\r\n")
}
