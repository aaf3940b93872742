//! One connection: a request, its answer, and so on until it is closed or says nothing for too long.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;
use wireguard::secret::Secret;
use zeroize::Zeroizing;

use super::lines::{LINE_LEN_MAX, Line, Lines};
use super::set::Set;
use super::wrong::Wrong;
use super::{Bounds, own, plan, show};
use crate::desk::Desk;
use crate::model::Origin;

/// Octets of an answer that are written at a time.
const PAGE_LEN: usize = 256 * 1024;

// A page with room made for a peer never grows.
const _: () = assert!(show::PEER_LEN_MAX <= PAGE_LEN);

/// Peers of an answer whose state is looked up at a time.
const PEERS_AT_A_TIME: usize = 512;

/// What all connections have in common.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) desk: Desk,
    pub(super) private_key: Option<Arc<Secret>>,
    pub(super) bounds: Bounds,
    /// Octets of the requests that are being read or granted, of all connections together.
    pub(super) held: Arc<AtomicUsize>,
}

pub(super) struct Conversation {
    common: Common,
    lines: Lines<OwnedReadHalf>,
    to: OwnedWriteHalf,
}

impl Conversation {
    pub(super) fn new(common: Common, stream: UnixStream) -> Self {
        let (from, to) = stream.into_split();
        let lines = Lines::new(from, common.bounds.idle);
        Self { common, lines, to }
    }

    /// Answers requests until there are no more.
    pub(super) async fn run(mut self) -> Result<()> {
        let request_max = self.common.bounds.request;
        loop {
            let late = |_| Error::new(ErrorKind::TimedOut, "a request took too long");
            if !timeout(request_max, self.request()).await.map_err(late)?? {
                return Ok(());
            }
        }
    }

    /// Answers one request; false when there is none any more.
    async fn request(&mut self) -> Result<bool> {
        enum Kind {
            Get,
            Set,
            Unknown,
        }
        let kind = match self.lines.next().await? {
            Line::End => return Ok(false),
            Line::Text(b"get=1") => Kind::Get,
            Line::Text(b"set=1") => Kind::Set,
            Line::Text(b"") => return self.answer(Err(unknown())).await.map(|()| true),
            Line::Text(_) | Line::TooLong => Kind::Unknown,
        };
        match kind {
            Kind::Get => self.get().await?,
            Kind::Set => {
                let granted = self.set().await?;
                self.answer(granted).await?;
            }
            Kind::Unknown => {
                self.skip().await?;
                self.answer(Err(unknown())).await?;
            }
        }
        Ok(true)
    }

    async fn answer(&mut self, granted: std::result::Result<(), Wrong>) -> Result<()> {
        let answer = match granted {
            Ok(()) => "errno=0\n\n".to_owned(),
            Err(wrong) => {
                log::warn!("wg: refused: {}", wrong.what);
                wrong.answer()
            }
        };
        self.to.write_all(answer.as_bytes()).await
    }

    /// Reads on to the end of the request; how many lines there were.
    async fn skip(&mut self) -> Result<usize> {
        let mut count = 0;
        loop {
            match self.lines.next().await? {
                Line::End => return Err(cut()),
                Line::Text(b"") => return Ok(count),
                Line::Text(_) | Line::TooLong => count += 1,
            }
        }
    }

    async fn get(&mut self) -> Result<()> {
        if self.skip().await? > 0 {
            let what = "get=1 is all that is said before the empty line";
            return self.answer(Err(Wrong::grammar(what))).await;
        }
        let desk = &self.common.desk;
        desk.survey().await;
        let server = desk.status().server;
        let private_key = own::shown_key(self.common.private_key.as_deref(), server.as_ref());
        let mut page = Page::new(&mut self.to);
        show::server(&mut page.text, private_key, server.map(|server| server.listen_port));
        // The book is a value: what is shown is of one moment, however long it takes.
        let book = desk.book();
        let mut peers = book.peers_after(None);
        loop {
            let some: Vec<_> = peers.by_ref().take(PEERS_AT_A_TIME).collect();
            if some.is_empty() {
                break;
            }
            let lives = desk.lives().of_all(some.iter().map(|peer| &peer.public_key));
            for (peer, live) in some.into_iter().zip(lives) {
                page.make_room(show::PEER_LEN_MAX).await?;
                show::peer(&mut page.text, peer, live);
            }
        }
        page.make_room(LINE_LEN_MAX).await?;
        page.text.extend_from_slice(b"errno=0\n\n");
        page.flush().await
    }

    /// Reads a request to its end and asks the desk for the whole of it. What is wrong is told behind the end: `wg`
    /// listens no earlier.
    async fn set(&mut self) -> Result<std::result::Result<(), Wrong>> {
        let mut held = Held { all: &self.common.held, own: 0 };
        let mut set = Ok(Set::default());
        // The first was the one that said what kind of request it is.
        let mut number = 1;
        loop {
            number += 1;
            let line = match self.lines.next().await? {
                Line::End => return Err(cut()),
                Line::Text(b"") => break,
                Line::Text(line) => Some(line),
                Line::TooLong => None,
            };
            if let Ok(so_far) = &mut set
                && let Err(wrong) = take(so_far, line, &mut held, self.common.bounds.requests_len)
            {
                let what = format!("line {number} {}", wrong.what);
                set = Err(Wrong { what, ..wrong });
            }
        }
        Ok(match set {
            Ok(set) => self.grant(set).await,
            Err(wrong) => Err(wrong),
        })
    }

    async fn grant(&self, set: Set) -> std::result::Result<(), Wrong> {
        let Common { desk, private_key, .. } = &self.common;
        own::check(&set, private_key.as_deref(), desk.status().server.as_ref())?;
        let own = desk.limits().own;
        let decide = move |book: &_| {
            let changes = plan::changes(set, book, own)?;
            let count = changes.len();
            Ok((changes, count))
        };
        let (applied, count) = desk.edit(Origin::Uapi, decide).await?;
        if count > 0 {
            let when = if applied.pending { "when a dataplane comes" } else { "now" };
            log::info!("wg: changed {count} peers, in force {when}");
        }
        Ok(())
    }
}

/// Takes a line of a request, if all requests together are not too large with it.
fn take(
    set: &mut Set,
    line: Option<&[u8]>,
    held: &mut Held<'_>,
    len_max: usize,
) -> std::result::Result<(), Wrong> {
    let too_long = || Wrong::grammar(format!("has more than {LINE_LEN_MAX} octets; shorten it"));
    let line = line.ok_or_else(too_long)?;
    if !held.add(line.len(), len_max) {
        let what = format!("is one too many: requests take {len_max} octets; split this one");
        return Err(Wrong::new(Errno::TOOBIG, what));
    }
    set.line(line)
}

/// A request's share of what all requests may take; given back in the end.
struct Held<'a> {
    all: &'a AtomicUsize,
    own: usize,
}

impl Held<'_> {
    fn add(&mut self, len: usize, len_max: usize) -> bool {
        self.own += len;
        // Nothing else is to be seen by who sees this number.
        self.all.fetch_add(len, Ordering::Relaxed) + len <= len_max
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.own, Ordering::Relaxed);
    }
}

/// A part of an answer. It has its size from the beginning, so that no copy of a key stays behind when it grows.
struct Page<'a, W> {
    to: &'a mut W,
    text: Zeroizing<Vec<u8>>,
}

impl<'a, W: AsyncWrite + Unpin> Page<'a, W> {
    fn new(to: &'a mut W) -> Self {
        Self { to, text: Zeroizing::new(Vec::with_capacity(PAGE_LEN)) }
    }

    async fn make_room(&mut self, len: usize) -> Result<()> {
        if self.text.len() + len > PAGE_LEN { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<()> {
        self.to.write_all(&self.text).await?;
        self.text.clear();
        Ok(())
    }
}

fn unknown() -> Wrong {
    Wrong::grammar("a request begins with get=1 or set=1")
}

fn cut() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "the connection ended within a request")
}
