//! What each request of the command line does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use super::message::{Answer, CountersShown, RouteShown, StatusShown};
use super::{Api, Lines, Request, read, show};
use crate::model::{Book, Cause, Change, Declaration, Origin, PublicKey, Refused, RouteTo, key};
use crate::source::{Directory, Follower, Source as _};

/// Entries that are looked up for one chunk of an answer.
const CHUNK: usize = 512;

/// Lines of a difference that are told.
const LINES_MAX: usize = 10_000;

/// Why an answer is none.
pub(super) enum Failure {
    Refused(Refused),
    Connection(io::Error),
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl Api {
    /// Puts the lines of an answer out; says whether what was asked for still waits for a dataplane.
    pub(super) async fn answer(
        &self,
        request: Request,
        lines: &mut Lines,
    ) -> Result<bool, Failure> {
        match request {
            Request::PeerAdd(text) => {
                let peer = read::peer(&text)?;
                self.change(move |_| Ok(vec![Change::AddPeer(peer)])).await
            }
            Request::PeerRemove { peer } => {
                self.change(move |book| Ok(vec![Change::RemovePeer(read::key_of(book, &peer)?)]))
                    .await
            }
            Request::PeerList => self.peer_list(lines).await,
            Request::PeerShow { peer } => self.peer_show(&peer, lines).await,
            Request::RouteAdd { prefix, next_hop } => {
                let prefix = read::prefix("prefix", &prefix)?;
                let next_hop: Arc<str> = next_hop.into();
                self.change(move |book| {
                    let choice = read::choice_of(book, &next_hop);
                    let route = RouteTo { prefix, next_hop, origin: Origin::Cli };
                    Ok(choice.into_iter().chain([Change::AddRoute(route)]).collect())
                })
                .await
            }
            Request::RouteRemove { prefix } => {
                let prefix = read::prefix("prefix", &prefix)?;
                self.change(move |_| Ok(vec![Change::RemoveRoute(prefix)])).await
            }
            Request::RouteLookup { address } => {
                let book = self.desk.book();
                let decision = book.lookup(address).ok_or_else(|| {
                    let what =
                        format!("no route leads to {address}; add one, or a peer that has it");
                    Refused::new(Cause::Unknown, what)
                })?;
                lines.put(&Answer::Route(show::decision(&book, &decision))).await?;
                Ok(false)
            }
            Request::RouteList => self.route_list(lines).await,
            Request::RouteLoad { file, replace } => self.route_load(file.into(), replace).await,
            Request::NextHopAdd(text) => {
                self.change(move |book| Ok(vec![Change::AddNextHop(read::next_hop(book, &text)?)]))
                    .await
            }
            Request::NextHopRemove { name } => {
                self.change(move |_| Ok(vec![Change::RemoveNextHop(name.into())])).await
            }
            Request::NextHopList => {
                let book = self.desk.book();
                for hop in book.next_hops() {
                    lines.put(&Answer::NextHop(show::next_hop(&book, hop))).await?;
                }
                Ok(false)
            }
            Request::Fleet { command } => self.fleet(command, lines).await,
            Request::Dos { command } => self.dos(command, lines).await,
            Request::Tenant { command } => self.tenant(command, lines).await,
            Request::Rules { command } => self.rules(command, lines).await,
            Request::TunnelList => self.tunnel_list(lines).await,
            Request::Argo { command } => self.argo(command, lines).await,
            Request::Status => self.show_status(lines).await,
            Request::Counters => self.show_counters(lines).await,
            Request::Check { directory } => self.difference(directory.into(), 0, lines).await,
            Request::Diff { directory } => {
                self.difference(directory.into(), LINES_MAX, lines).await
            }
            Request::Apply { directory } => self.apply(directory.into()).await,
        }
    }

    pub(super) async fn change(
        &self,
        decide: impl FnOnce(&Book) -> Result<Vec<Change>, Refused> + Send + 'static,
    ) -> Result<bool, Failure> {
        let edit = self.desk.edit(Origin::Cli, move |book| Ok((decide(book)?, ())));
        let (applied, ()) = edit.await?;
        Ok(applied.pending)
    }

    async fn peer_list(&self, lines: &mut Lines) -> Result<bool, Failure> {
        // Without an answer, what is known is shown.
        self.desk.survey().await;
        let book = self.desk.book();
        let mut last: Option<PublicKey> = None;
        loop {
            let peers: Vec<_> = book.peers_after(last.as_ref()).take(CHUNK).cloned().collect();
            let Some(end) = peers.last() else { return Ok(false) };
            last = Some(end.public_key);
            let keys = peers.iter().map(|peer| &peer.public_key);
            for (peer, live) in peers.iter().zip(self.desk.lives().of_all(keys)) {
                lines.put(&Answer::Peer(show::peer(&book, peer, live))).await?;
            }
        }
    }

    async fn peer_show(&self, peer: &str, lines: &mut Lines) -> Result<bool, Failure> {
        let book = self.desk.book();
        let key = read::key_of(&book, peer)?;
        self.desk.survey().await;
        if let Some(peer) = book.peer(&key) {
            let mut shown = show::peer(&book, peer, self.desk.lives().of(&key));
            let id = peer.client_id.0;
            shown.client_id = (id != [0; 3]).then(|| key::encode(&id));
            lines.put(&Answer::Peer(shown)).await?;
        }
        Ok(false)
    }

    async fn route_list(&self, lines: &mut Lines) -> Result<bool, Failure> {
        let book = self.desk.book();
        let mut last: Option<IpNet> = None;
        loop {
            let routes: Vec<_> = book
                .routes_after(last.as_ref())
                .take(CHUNK)
                .map(|(prefix, route)| (*prefix, *route))
                .collect();
            let Some((end, _)) = routes.last() else { return Ok(false) };
            last = Some(*end);
            for (prefix, route) in &routes {
                let next_hop = book.next_hop(route.next_hop).map(|hop| hop.name.to_string());
                let origin = book.place(route.origin);
                let shown = RouteShown { prefix: prefix.to_string(), next_hop, peer: None, origin };
                lines.put(&Answer::Route(shown)).await?;
            }
        }
    }

    async fn show_status(&self, lines: &mut Lines) -> Result<bool, Failure> {
        let mut shown = self.status();
        if let Some(watch) = &self.terminate {
            shown.terminated = Some(watch.line().await);
        }
        lines.put(&Answer::Status(Box::new(shown))).await?;
        Ok(false)
    }

    fn status(&self) -> StatusShown {
        let (status, book) = (self.desk.status(), self.desk.book());
        let mut shown = StatusShown {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.instance.clone(),
            attached: status.attached,
            trouble: status.trouble,
            left_out: status.left_out,
            source: self.source.as_ref().map(|(directory, _)| directory.display().to_string()),
            source_trouble: status.source_trouble,
            public_key: status.server.map(|server| key::encode(&server.public_key.0)),
            listen_port: status.server.map(|server| server.listen_port),
            peers_max: status.server.map(|server| server.peers_max),
            transaction: status.transaction,
            applied: status.applied,
            refused: status.refused,
            events_lost: status.lost,
            ..StatusShown::default()
        };
        shown.count(book.counts(), book.declared());
        shown
    }

    async fn show_counters(&self, lines: &mut Lines) -> Result<bool, Failure> {
        let table = self.counters.read().map_err(|what| Refused::new(Cause::Dataplane, what))?;
        let values = (0..table.blocks.len()).map(|block| table.block(block).to_vec()).collect();
        let shm::counters::Table { epoch, counters, blocks, .. } = table;
        let shown = CountersShown { epoch, counters, blocks, values };
        lines.put(&Answer::Counters(shown)).await?;
        Ok(false)
    }

    async fn difference(
        &self,
        directory: PathBuf,
        lines_max: usize,
        lines: &mut Lines,
    ) -> Result<bool, Failure> {
        let desk = self.desk.clone();
        let shown = blocking(move || {
            let declaration = declaration_of(&directory)?;
            let from = desk.book();
            let (to, difference) = desk.check_declaration(declaration)?;
            Ok(show::difference(&from, &to, &difference, lines_max))
        })
        .await?;
        lines.put(&Answer::Difference(shown)).await?;
        Ok(false)
    }

    /// The directory that is followed, and whoever follows it.
    pub(super) fn followed(&self) -> Result<&(PathBuf, Follower), Refused> {
        self.source.as_ref().ok_or_else(|| {
            let what = "control follows no directory; set `directory` in its configuration";
            Refused::new(Cause::Invalid, what)
        })
    }

    /// Makes what a directory declares the declared layer, by way of the directory that is followed.
    async fn apply(&self, directory: PathBuf) -> Result<bool, Failure> {
        let (own, follower) = self.followed()?;
        let own = own.clone();
        if std::fs::canonicalize(&directory).ok() == std::fs::canonicalize(&own).ok() {
            return Ok(follower.reread().await?.pending);
        }
        // In force before anything is copied: what the dataplane refuses shall not take the place of what it has. The
        // places of what is wrong are those of the new files.
        let from = directory.clone();
        let declaration = blocking(move || declaration_of(&from)).await?;
        let pending = self.desk.declare(declaration).await?.pending;
        blocking(move || crate::source::copy(&directory, &own)).await?;
        follower.reread().await?;
        Ok(pending)
    }
}

fn declaration_of(directory: &Path) -> Result<Declaration, Refused> {
    Directory::new(directory.to_owned()).read()
}

/// Runs what reads files or judges a million entries where it keeps no task waiting.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Refused::new(Cause::Ended, "control is ending; try again")))
}
