//! Why a request is not served: the status, code and sentence that the client gets.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::model::{Cause, Refused};

/// A request that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The body or a field of it; says which.
    Malformed(&'static str),
    /// The public key is none, or none that a peer can have.
    Key,
    /// Somebody has that public key.
    KeyTaken,
    /// No token, or not that of the registration.
    Token,
    /// No such registration or path.
    Unknown,
    /// No such method on this path.
    Method,
    /// The body did not arrive in time.
    Slow,
    /// The registration is being changed by another request, or an operator has removed its peer.
    Conflict,
    /// The body is too long.
    Large,
    /// The body is not said to be JSON.
    MediaType,
    /// Too many requests; says when to try again.
    Often(Duration),
    /// No addresses are left, or the server cannot take it now.
    Unavailable,
}

/// Seconds after which a client may try again when we do not know better.
const LATER: u64 = 10;

impl Fault {
    /// Names for metrics, in the order of [`Fault::number`].
    pub(super) const NAMES: [&str; 12] = [
        "malformed",
        "public_key",
        "key_taken",
        "token",
        "unknown",
        "method",
        "slow",
        "conflict",
        "too_large",
        "media_type",
        "too_often",
        "unavailable",
    ];

    /// Its place in [`Fault::NAMES`].
    pub(super) fn number(self) -> usize {
        match self {
            Self::Malformed(_) => 0,
            Self::Key => 1,
            Self::KeyTaken => 2,
            Self::Token => 3,
            Self::Unknown => 4,
            Self::Method => 5,
            Self::Slow => 6,
            Self::Conflict => 7,
            Self::Large => 8,
            Self::MediaType => 9,
            Self::Often(_) => 10,
            Self::Unavailable => 11,
        }
    }

    /// Status, code and sentence. 1001 is what WARP's clients know; the others are ours.
    fn answer(self) -> (StatusCode, u16, &'static str) {
        match self {
            Self::Malformed(what) => (StatusCode::BAD_REQUEST, 1000, what),
            Self::Key => (
                StatusCode::BAD_REQUEST,
                1001,
                "Invalid public key: key must be base64 of an X25519 public key, 32 octets",
            ),
            Self::KeyTaken => (
                StatusCode::CONFLICT,
                1002,
                "The public key is registered already; make a new key pair",
            ),
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                1003,
                "Send the token of the registration in `Authorization: Bearer`",
            ),
            Self::Unknown => (StatusCode::NOT_FOUND, 1004, "There is no such registration or path"),
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, 1005, "There is no such method on this path")
            }
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, 1006, "The body did not arrive in time"),
            Self::Conflict => (
                StatusCode::CONFLICT,
                1007,
                "The registration is disabled or is being changed; try again or register anew",
            ),
            Self::Large => (StatusCode::PAYLOAD_TOO_LARGE, 1008, "The body is too long"),
            Self::MediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, 1009, "Send `Content-Type: application/json`")
            }
            Self::Often(_) => (StatusCode::TOO_MANY_REQUESTS, 1010, "Too many requests"),
            Self::Unavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, 1011, "The server has no room now; try later")
            }
        }
    }
}

impl From<Refused> for Fault {
    /// Keys, ids and addresses were checked before the book was asked, so what it refuses of them has changed
    /// meanwhile. Its words name keys and peers, which are nobody's business here.
    fn from(refused: Refused) -> Self {
        match refused.cause {
            Cause::Invalid => Self::Key,
            Cause::Conflict | Cause::Declared | Cause::Unknown => Self::Conflict,
            Cause::Full | Cause::Dataplane | Cause::Disk | Cause::Ended => Self::Unavailable,
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, code, message) = self.answer();
        let body = json!({ "success": false, "errors": [{ "code": code, "message": message }] });
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Self::Often(wait) = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
        }
        if self == Self::Unavailable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(LATER));
        }
        if self == Self::Token {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
