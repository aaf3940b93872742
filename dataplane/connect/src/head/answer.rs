//! Reading an answer: only how it ends matters, and how long it is.

use super::{TCP_OPTIONS, Wrong, number};
use crate::limits::{HEADERS_MAX, WINDOW_SCALE_MAX};

/// What an origin understands of TCP: the hint that comes with 421, to be kept by destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpOptions {
    /// Selective acknowledgments, unless it is known to lack them.
    pub sack: bool,
    /// Its shift of windows, 0 when it was not asked; `None` when it knows no window scale.
    pub window_scale: Option<u8>,
    /// What it takes in one segment.
    pub mss: u16,
}

/// An answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 1xx: another one follows.
    Interim {
        /// Octets of the head.
        len: usize,
    },
    /// The last one.
    Final {
        /// The status code; 2xx opens the tunnel.
        status: u16,
        /// Octets of the head.
        len: usize,
        /// What the origin understands, if the answer says so.
        hint: Option<TcpOptions>,
    },
}

/// Reads one head; `None` while it is not whole. What it says of content means nothing (RFC 9110 9.3.6).
pub fn parse(octets: &[u8]) -> Result<Option<Answer>, Wrong> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(len) = head.parse(octets)? else { return Ok(None) };
    match head.code.ok_or(Wrong::Syntax)? {
        101 => Err(Wrong::Upgrade),
        100..200 => Ok(Some(Answer::Interim { len })),
        status @ 200..600 => {
            let hint =
                head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(TCP_OPTIONS));
            let hint = hint.and_then(|header| read(header.value));
            Ok(Some(Answer::Final { status, len, hint }))
        }
        _ => Err(Wrong::Syntax),
    }
}

/// Reads `sack=0 ws=7 mss=1400`; all three, or nothing.
fn read(value: &[u8]) -> Option<TcpOptions> {
    let (mut sack, mut window_scale, mut mss) = (None, None, None);
    for word in value.split(|octet| *octet == b' ').filter(|word| !word.is_empty()) {
        if let Some(value) = word.strip_prefix(b"sack=") {
            sack = number::<u8>(value).filter(|sack| *sack < 2);
        } else if let Some(value) = word.strip_prefix(b"ws=") {
            window_scale = match value {
                b"none" => Some(None),
                _ => Some(Some(number::<u8>(value).filter(|shift| *shift <= WINDOW_SCALE_MAX)?)),
            };
        } else if let Some(value) = word.strip_prefix(b"mss=") {
            mss = number::<u16>(value).filter(|mss| *mss >= 64);
        }
    }
    Some(TcpOptions { sack: sack? == 1, window_scale: window_scale?, mss: mss? })
}
