//! Paths and methods: what a request asks for, in the order in which its checks get dearer.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Extension, FromRequest as _, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use serde_json::Value;
use tokio::time::timeout;

use super::ask::{Alter, BODY_LEN_MAX, Register};
use super::counters::{Counters, Operation};
use super::fault::Fault;
use super::limiter::Limiter;
use super::registrar::Registrar;
use super::token::Token;
use crate::http::Source;

/// For a body to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// For the desk and the dataplane. What takes longer goes on unseen, but for a new registration, which is undone.
const CHANGE_TIME_MAX: Duration = Duration::from_secs(10);

/// Digits of a version of the API.
const BUILD_LEN_MAX: usize = 8;

/// What requests are served with.
pub(super) struct Service {
    pub(super) registrar: Arc<Registrar>,
    pub(super) counters: Arc<Counters>,
    pub(super) started: Instant,
    /// Limits of requests of any kind.
    pub(super) requests: Mutex<Limiter>,
    /// Limits of those that change something.
    pub(super) changes: Mutex<Limiter>,
}

/// All paths.
pub(super) fn router(service: Service) -> Router {
    Router::new()
        .fallback(serve)
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .with_state(Arc::new(service))
}

async fn serve(
    State(service): State<Arc<Service>>,
    Extension(Source(source)): Extension<Source>,
    request: Request,
) -> Response {
    let target = target(request.uri().path());
    let (operation, answer) = match (request.method().clone(), target) {
        (_, Target::Nothing) => (Operation::Other, Err(Fault::Unknown)),
        (Method::POST, Target::All) => {
            (Operation::Register, service.register(source, request).await)
        }
        (Method::GET, Target::One(id)) => {
            (Operation::Show, service.show(source, &id, request.headers()))
        }
        (Method::PATCH, Target::One(id)) => {
            (Operation::Alter, service.alter(source, &id, request).await)
        }
        (Method::DELETE, Target::One(id)) => {
            (Operation::Remove, service.remove(source, &id, request.headers().clone()).await)
        }
        _ => (Operation::Other, Err(Fault::Method)),
    };
    service.counters.count(operation, &answer);
    let mut response = match answer {
        Ok(Value::Null) => StatusCode::NO_CONTENT.into_response(),
        Ok(value) => Json(value).into_response(),
        Err(fault) => fault.into_response(),
    };
    // Tokens and keys are for the client alone.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// `/reg`.
    All,
    /// `/reg/{id}`.
    One(String),
    Nothing,
}

/// Reads a path, alone or behind a version such as `/v0a4471`.
fn target(path: &str) -> Target {
    let path = path.strip_prefix('/').unwrap_or_default();
    let path = match path.strip_prefix("v0a").and_then(|rest| rest.split_once('/')) {
        Some((build, rest)) if is_build(build) => rest,
        Some(_) => return Target::Nothing,
        None => path,
    };
    match path.split_once('/') {
        None if path == "reg" => Target::All,
        Some(("reg", id)) if !id.is_empty() && !id.contains('/') => Target::One(id.to_owned()),
        None | Some(_) => Target::Nothing,
    }
}

fn is_build(text: &str) -> bool {
    (1..=BUILD_LEN_MAX).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit())
}

impl Service {
    async fn register(&self, source: IpAddr, request: Request) -> Result<Value, Fault> {
        self.admit(&self.requests, source)?;
        let asked = Register::parse(&body(request).await?)?;
        self.registrar.check_key(&asked.public_key)?;
        self.admit(&self.changes, source)?;
        in_time(self.registrar.register(asked)).await
    }

    fn show(&self, source: IpAddr, id: &str, headers: &HeaderMap) -> Result<Value, Fault> {
        self.admit(&self.requests, source)?;
        let found = self.registrar.find(id, token(headers).as_ref())?;
        self.registrar.show(&found)
    }

    async fn alter(&self, source: IpAddr, id: &str, request: Request) -> Result<Value, Fault> {
        self.admit(&self.requests, source)?;
        let found = self.registrar.find(id, token(request.headers()).as_ref())?;
        let asked = Alter::parse(&body(request).await?)?;
        if let Some(key) = &asked.public_key
            && *key != found.public_key
        {
            self.registrar.check_key(key)?;
        }
        self.admit(&self.changes, source)?;
        in_time(self.registrar.alter(found, asked)).await
    }

    async fn remove(&self, source: IpAddr, id: &str, headers: HeaderMap) -> Result<Value, Fault> {
        self.admit(&self.requests, source)?;
        let found = self.registrar.find(id, token(&headers).as_ref())?;
        self.admit(&self.changes, source)?;
        in_time(self.registrar.remove(found)).await.map(|()| Value::Null)
    }

    fn admit(&self, limiter: &Mutex<Limiter>, source: IpAddr) -> Result<(), Fault> {
        let mut limiter = limiter.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that it does not go back.
        limiter.admit(source, self.started.elapsed()).map_err(Fault::Often)
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    timeout(CHANGE_TIME_MAX, work).await.unwrap_or(Err(Fault::Unavailable))
}

fn token(headers: &HeaderMap) -> Option<Token> {
    Token::from_header(headers.get(header::AUTHORIZATION)?.as_bytes())
}

/// The body of a request that says that it is JSON.
async fn body(request: Request) -> Result<Bytes, Fault> {
    let kind = request.headers().get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let kind = kind.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
    if !kind.eq_ignore_ascii_case(b"application/json") {
        return Err(Fault::MediaType);
    }
    match timeout(BODY_TIME_MAX, Bytes::from_request(request, &())).await {
        Err(_) => Err(Fault::Slow),
        Ok(Ok(octets)) => Ok(octets),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Fault::Large)
        }
        Ok(Err(_)) => Err(Fault::Malformed("The body breaks off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_the_same_with_and_without_a_version() {
        for prefix in ["", "/v0a737", "/v0a4471"] {
            assert_eq!(target(&format!("{prefix}/reg")), Target::All);
            assert_eq!(target(&format!("{prefix}/reg/some-id")), Target::One("some-id".into()));
        }
        let bad = [
            "",
            "/",
            "/reg/",
            "/reg/a/b",
            "/regs",
            "/v0a/reg",
            "/v0a1x/reg",
            "/v0a123456789/reg",
            "/v1/reg",
            "/v0a1/v0a1/reg",
            "reg",
            "//reg",
        ];
        for path in bad {
            assert_eq!(target(path), Target::Nothing, "{path}");
        }
    }
}
