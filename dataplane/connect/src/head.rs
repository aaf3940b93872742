//! The heads of HTTP/1.1 (RFC 9112) that a set-up reads and writes: a CONNECT request and its answers.
//!
//! Where a request goes is split at its last colon and read by nothing that knows URIs, as those have led others astray.

mod answer;
mod request;
mod write;

pub use answer::{Answer, TcpOptions, parse as parse_answer};
pub use request::{Host, Request, Target, parse as parse_request};
pub use write::{Ask, CONNECTED, write_answer, write_request};

use core::fmt;

/// How many relays a request may still take: like `Max-Forwards` (RFC 9110 7.6.2), which is defined for TRACE and OPTIONS
/// alone, so that others would neither honour nor keep it. It is always one digit, so that a relay changes no length.
pub(crate) const HOPS: &str = "Exit-Hops";
/// The site at which the connection shall leave, if the sender has chosen it.
pub(crate) const SITE: &str = "Exit-Site";
/// Seconds of silence after which the exit asks the origin whether it is still there.
pub(crate) const KEEPALIVE: &str = "Exit-Tcp-Keepalive-Duration";
/// What the origin understands of TCP, in an answer of 421.
pub(crate) const TCP_OPTIONS: &str = "Exit-Tcp-Options";

/// The status of an answer that is not 2xx.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The request is not one that we can read (400).
    BadRequest,
    /// The target is not for who asks, or is a name, or hops are used up (403).
    Forbidden,
    /// Another method than CONNECT (405).
    MethodNotAllowed,
    /// The request did not come whole in time (408).
    RequestTimeout,
    /// What was agreed in the SYN does not fit the origin; the answer has a hint (421).
    MisdirectedRequest,
    /// The origin itself refused, or what it said cannot be spliced (502). Whoever asked has no better way to it.
    BadGateway,
    /// It is not the origin's doing: no room or port here, no way on from here (503). Another way may be better.
    ServiceUnavailable,
    /// The origin, or who was to lead there, does not answer (504).
    GatewayTimeout,
}

impl Status {
    /// The number and the reason phrase.
    pub const fn words(self) -> (u16, &'static str) {
        match self {
            Self::BadRequest => (400, "Bad Request"),
            Self::Forbidden => (403, "Forbidden"),
            Self::MethodNotAllowed => (405, "Method Not Allowed"),
            Self::RequestTimeout => (408, "Request Timeout"),
            Self::MisdirectedRequest => (421, "Misdirected Request"),
            Self::BadGateway => (502, "Bad Gateway"),
            Self::ServiceUnavailable => (503, "Service Unavailable"),
            Self::GatewayTimeout => (504, "Gateway Timeout"),
        }
    }
}

/// Why a head is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// Not HTTP/1, or with octets that no head may have: a bare carriage return, zeros, folded lines.
    Syntax,
    /// More than 16 header lines.
    TooManyHeaders,
    /// Another method than CONNECT.
    Method,
    /// Not `host:port`: a path, a scheme, no port, a number in disguise.
    Target,
    /// None, or several, or another than the target.
    Host,
    /// Content that a CONNECT cannot have (RFC 9110 9.3.6): somebody else may take it for another request.
    Content,
    /// A header of ours with a value that makes no sense.
    Value,
    /// 101, which would change the protocol.
    Upgrade,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not a head of HTTP/1",
            Self::TooManyHeaders => "too many header lines",
            Self::Method => "another method than CONNECT",
            Self::Target => "the target is not host:port",
            Self::Host => "Host is missing, repeated, or not the target",
            Self::Content => "a CONNECT request has no content",
            Self::Value => "a header's value makes no sense",
            Self::Upgrade => "the protocol would change",
        })
    }
}

impl core::error::Error for Wrong {}

impl From<Wrong> for Status {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Method => Self::MethodNotAllowed,
            Wrong::Syntax
            | Wrong::TooManyHeaders
            | Wrong::Target
            | Wrong::Host
            | Wrong::Content
            | Wrong::Value
            | Wrong::Upgrade => Self::BadRequest,
        }
    }
}

impl From<httparse::Error> for Wrong {
    fn from(error: httparse::Error) -> Self {
        if error == httparse::Error::TooManyHeaders { Self::TooManyHeaders } else { Self::Syntax }
    }
}

/// A number of decimal digits and nothing else.
pub(crate) fn number<T: core::str::FromStr>(text: &[u8]) -> Option<T> {
    let is_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    core::str::from_utf8(text).ok().filter(|_| is_digits)?.parse().ok()
}
