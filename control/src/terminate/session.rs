//! One connection: what the dataplane asks for, whom we ask in turn, and what both are told.

use std::time::Duration;

use connect::head::{Ask, CONNECTED, Request, Status, Target, parse_request, write_answer};
use connect::limits::ANSWER_LEN_MAX;
use rustix::net::sockopt;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::carry::{carry, reset};
use super::config::{NextHop, Times};
use super::counts::{Count, Counts, Refusal};
use super::dial::{Far, dial};
use super::head::{Inbox, NoHead};

/// Seconds of silence after which an exit is to ask the origin whether it is there, unless the request says others.
const KEEPALIVE_SECS: u16 = 15;

/// Seconds of silence after which we ask the next hop whether it is there.
pub(super) const SILENT_SECS: u32 = 60;

/// And the client: rarely, as radios are woken by it. The dataplane forgets a silent connection after two hours.
const CLIENT_SILENT_SECS: u32 = 1800;

/// Seconds between such questions, and how many are asked.
const ASK_AGAIN_SECS: u32 = 15;
const ASKED_MAX: u32 = 4;

/// Why a connection is not opened, and what who asked is told: without a status, a reset, so that another machine is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct No {
    pub(super) why: Refusal,
    pub(super) status: Option<Status>,
}

impl No {
    pub(super) const fn of(why: Refusal) -> Self {
        let status = match why {
            Refusal::RequestLate => Some(Status::RequestTimeout),
            Refusal::RequestWrong | Refusal::RequestEarly => Some(Status::BadRequest),
            Refusal::AnswerLate => Some(Status::GatewayTimeout),
            Refusal::Denied => Some(Status::BadGateway),
            Refusal::Source
            | Refusal::Full
            | Refusal::ClientGone
            | Refusal::Unreachable
            | Refusal::Silent
            | Refusal::Tls
            | Refusal::AnswerWrong => None,
        };
        Self { why, status }
    }

    /// The next hop's word, as far as it is one that means the same from us.
    pub(super) const fn denied(status: u16) -> Self {
        let status = match status {
            403 => Status::Forbidden,
            503 => Status::ServiceUnavailable,
            504 => Status::GatewayTimeout,
            _ => Status::BadGateway,
        };
        Self { why: Refusal::Denied, status: Some(status) }
    }
}

/// Sees whether who is there lives, after so long a silence.
pub(super) fn keep_alive(socket: &TcpStream, silent_secs: u32) {
    // What a kernel does not know of these it does without; small segments are to go at once, as they came.
    drop(socket.set_nodelay(true));
    let seconds = |count: u32| Duration::from_secs(count.into());
    let _ = sockopt::set_tcp_keepidle(socket, seconds(silent_secs));
    let _ = sockopt::set_tcp_keepintvl(socket, seconds(ASK_AGAIN_SECS));
    let _ = sockopt::set_tcp_keepcnt(socket, ASKED_MAX);
    let _ = sockopt::set_socket_keepalive(socket, true);
}

/// Serves a connection from its first word to its end.
pub(super) async fn serve(
    mut near: TcpStream,
    (next_hop, times): (&NextHop, &Times),
    counts: &Counts,
) {
    keep_alive(&near, CLIENT_SILENT_SECS);
    match open(&mut near, next_hop, times).await {
        Ok((mut far, inbox)) => {
            counts.add(Count::Opened, 1);
            let ended = carried(&mut near, (&mut far, inbox), (counts, times.idle)).await;
            counts.add(ended, 1);
        }
        Err(no) => {
            counts.add(Count::Refused(no.why), 1);
            refuse(near, no).await;
        }
    }
}

/// An open connection to its end.
async fn carried(
    near: &mut TcpStream,
    (far, inbox): (&mut Far, Inbox),
    (counts, idle): (&Counts, Duration),
) -> Count {
    if begin(near, inbox.octets()).await.is_err() {
        reset(far.socket());
        return Count::Reset;
    }
    counts.add(Count::OctetsIn, inbox.octets().len() as u64);
    drop(inbox);
    carry(near, far, (counts, idle)).await
}

/// Tells who asked that it is connected, and what the other end has said so far.
async fn begin(near: &mut (impl AsyncWrite + Unpin), said: &[u8]) -> std::io::Result<()> {
    near.write_all(&[CONNECTED, said].concat()).await
}

async fn refuse(mut near: TcpStream, no: No) {
    let mut octets = [0; ANSWER_LEN_MAX];
    let written = no.status.map(|status| write_answer(&mut octets, status, None));
    let Some(Ok(len)) = written else { return reset(&near) };
    // It fits an empty socket, and who does not read it is not waited for.
    if near.write_all(octets.get(..len).unwrap_or_default()).await.is_ok() {
        drop(near.shutdown().await);
    }
}

/// Reads the request and asks the next hop, as long as who asked is there.
async fn open(near: &mut TcpStream, next_hop: &NextHop, times: &Times) -> Result<(Far, Inbox), No> {
    let mut inbox = Inbox::default();
    let len = match timeout(times.request, request_len(&mut inbox, near)).await {
        Ok(Ok(len)) => len,
        Ok(Err(NoHead::Wrong(wrong))) => {
            return Err(No { status: Some(wrong.into()), ..No::of(Refusal::RequestWrong) });
        }
        Ok(Err(NoHead::Ended)) => return Err(No::of(Refusal::ClientGone)),
        Err(_) => return Err(No::of(Refusal::RequestLate)),
    };
    let early = inbox.octets().len() > len;
    let request = parse_request(inbox.octets()).ok().flatten();
    let request = request.ok_or(No::of(Refusal::RequestWrong))?;
    if early {
        return Err(No::of(Refusal::RequestEarly));
    }
    let ask = ask(&request);
    tokio::select! {
        dialled = dial(next_hop, &ask, times) => dialled,
        why = interrupted(near) => Err(No::of(why)),
    }
}

/// What the next hop is asked; nothing of it is somebody's text but the target, which was read and is written anew.
fn ask<'a>(request: &Request<'a>) -> Ask<'a> {
    let Request { target: Target { host, port }, keepalive_secs, .. } = *request;
    Ask {
        target: Target { host, port },
        keepalive_secs: keepalive_secs.unwrap_or(KEEPALIVE_SECS),
        hops: None,
        site: None,
    }
}

/// Octets of the request's head, once it is whole and one that is served.
async fn request_len(inbox: &mut Inbox, near: &mut TcpStream) -> Result<usize, NoHead> {
    loop {
        if let Some(request) = parse_request(inbox.octets())? {
            return Ok(request.len);
        }
        inbox.more(near).await?;
    }
}

/// Waits until who asked goes away, or says something before it was answered.
async fn interrupted(near: &TcpStream) -> Refusal {
    match near.peek(&mut [0]).await {
        Ok(1..) => Refusal::RequestEarly,
        Ok(0) | Err(_) => Refusal::ClientGone,
    }
}
