//! The other leg: a next hop that is asked to connect further.

use std::io;

use connect::head::{Ask, write_request};
use connect::limits::REQUEST_LEN_MAX;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::config::{NextHop, Times};
use super::counts::Refusal;
use super::head::{Inbox, NoHead, final_status};
use super::session::{No, SILENT_SECS, keep_alive};

/// A next hop that has connected.
#[derive(Debug)]
pub(super) enum Far {
    /// In the clear.
    Plain(TcpStream),
    /// Over TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Far {
    /// The connection below.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// Asks a next hop, and gives the connection with what it has said behind its answer.
pub(super) async fn dial(
    next_hop: &NextHop,
    ask: &Ask<'_>,
    times: &Times,
) -> Result<(Far, Inbox), No> {
    let mut far = reach(next_hop, times).await?;
    let answered = async {
        match &mut far {
            Far::Plain(stream) => request(stream, ask).await,
            Far::Tls(stream) => request(stream.as_mut(), ask).await,
        }
    };
    let inbox = match timeout(times.answer, answered).await {
        Ok(answered) => answered?,
        Err(_) => return Err(No::of(Refusal::AnswerLate)),
    };
    Ok((far, inbox))
}

async fn reach(next_hop: &NextHop, times: &Times) -> Result<Far, No> {
    let silent = |_| No::of(Refusal::Silent);
    let reached = timeout(times.reach, TcpStream::connect(next_hop.address)).await;
    let socket = reached.map_err(silent)?.map_err(|error| {
        log::debug!("{next_hop:?} cannot be reached: {error}");
        let is_silent = error.kind() == io::ErrorKind::TimedOut;
        No::of(if is_silent { Refusal::Silent } else { Refusal::Unreachable })
    })?;
    keep_alive(&socket, SILENT_SECS);
    let Some(tls) = &next_hop.tls else { return Ok(Far::Plain(socket)) };
    let shaken = timeout(times.reach, tls.connector.connect(tls.name.clone(), socket)).await;
    let stream = shaken.map_err(silent)?.map_err(|error| {
        log::debug!("{next_hop:?} speaks no TLS with us: {error}");
        No::of(Refusal::Tls)
    })?;
    Ok(Far::Tls(Box::new(stream)))
}

async fn request(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ask: &Ask<'_>,
) -> Result<Inbox, No> {
    let wrong = No::of(Refusal::AnswerWrong);
    let mut octets = [0; REQUEST_LEN_MAX];
    let len = write_request(&mut octets, ask).map_err(|_| No::of(Refusal::RequestWrong))?;
    let request = octets.get(..len).unwrap_or_default();
    let sent = async {
        stream.write_all(request).await?;
        stream.flush().await
    };
    sent.await.map_err(|_| wrong)?;
    let mut inbox = Inbox::default();
    match final_status(&mut inbox, stream).await {
        Ok(200..300) => Ok(inbox),
        Ok(status) => Err(No::denied(status)),
        Err(NoHead::Wrong(_) | NoHead::Ended) => Err(wrong),
    }
}
