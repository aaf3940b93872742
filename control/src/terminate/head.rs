//! Reading one head of HTTP from a connection: bounded, whoever writes it and however slowly.

use std::io;

use connect::head::{Answer, Wrong, parse_answer};
use connect::limits::{HEAD_LEN_MAX, INTERIMS_MAX};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What has come of a connection and is not dealt with yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    octets: Vec<u8>,
}

/// Why there is no head.
#[derive(Debug)]
pub(super) enum NoHead {
    /// It is none, or too long.
    Wrong(Wrong),
    /// The connection has ended before.
    Ended,
}

impl From<Wrong> for NoHead {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<io::Error> for NoHead {
    fn from(_: io::Error) -> Self {
        Self::Ended
    }
}

impl Inbox {
    /// What has come and was not consumed.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Forgets what was read of it.
    pub(super) fn consume(&mut self, len: usize) {
        self.octets.drain(..len.min(self.octets.len()));
    }

    /// Takes what comes next.
    pub(super) async fn more(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), NoHead> {
        let room = HEAD_LEN_MAX.saturating_sub(self.octets.len());
        if room == 0 {
            return Err(Wrong::Syntax.into());
        }
        let mut bounded = stream.take(room as u64);
        if bounded.read_buf(&mut self.octets).await? == 0 { Err(NoHead::Ended) } else { Ok(()) }
    }
}

/// Reads answers until the final one, and gives its status. What is behind it stays in the inbox.
pub(super) async fn final_status(
    inbox: &mut Inbox,
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<u16, NoHead> {
    let mut interims = 0;
    loop {
        match parse_answer(inbox.octets())? {
            None => inbox.more(stream).await?,
            Some(Answer::Interim { len }) if interims < INTERIMS_MAX => {
                interims += 1;
                inbox.consume(len);
            }
            Some(Answer::Interim { .. }) => return Err(Wrong::Syntax.into()),
            Some(Answer::Final { status, len, .. }) => {
                inbox.consume(len);
                return Ok(status);
            }
        }
    }
}
