//! Registrations: made, shown, changed and removed, each together with its peer in the book.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use wireguard::secret::Secret;

use super::answer::{self, Server};
use super::ask::{Alter, Register};
use super::config::Config;
use super::fault::Fault;
use super::pool::{Given, Pool};
use super::record::{PREFIX, Registration, now};
use super::token::{Id, Token, random};
use crate::desk::Desk;
use crate::http::Error;
use crate::model::{Book, Cause, Change, Origin, PublicKey, Refused};

/// The registrations and what they are made of.
pub(super) struct Registrar {
    desk: Desk,
    config: Config,
    state: Mutex<State>,
}

struct State {
    registrations: HashMap<Id, Arc<Registration>>,
    /// Those that are being changed.
    busy: HashSet<Id>,
    pool: Pool,
}

impl Registrar {
    /// With the registrations that were kept.
    pub(super) async fn open(desk: Desk, config: Config) -> Result<Arc<Self>, Error> {
        let key = random().map_err(|_| Error("the system gives no random octets".to_owned()))?;
        let mut pool = Pool::new(config.ipv4, config.ipv6, &key);
        let mut registrations = HashMap::new();
        let records = desk.records(PREFIX).await;
        let records = records.map_err(|refused| {
            Error(format!("registrations that were kept cannot be read: {refused}"))
        })?;
        let mut broken = 0;
        for record in &records {
            match Registration::read(record) {
                Some(read) if pool.take(read.client_id, read.ipv4) => {
                    registrations.insert(read.id, Arc::new(read));
                }
                _ => broken += 1,
            }
        }
        if broken > 0 {
            log::warn!("{broken} registrations cannot be read and are left alone");
        }
        log::info!("{} registrations", registrations.len());
        let state = Mutex::new(State { registrations, busy: HashSet::new(), pool });
        Ok(Arc::new(Self { desk, config, state }))
    }

    /// What is known without any work for the desk: whether there is a server to register with, and nobody has the
    /// key.
    pub(super) fn check_key(&self, key: &PublicKey) -> Result<(), Fault> {
        if self.server()?.public_key == *key {
            return Err(Fault::Key);
        }
        if self.desk.book().peer(key).is_some() { Err(Fault::KeyTaken) } else { Ok(()) }
    }

    /// The registration of an id, for whoever shows its token.
    pub(super) fn find(&self, id: &str, token: Option<&Token>) -> Result<Arc<Registration>, Fault> {
        let token = token.ok_or(Fault::Token)?;
        let id = Id::parse(id).ok_or(Fault::Unknown)?;
        let found = self.state().registrations.get(&id).cloned().ok_or(Fault::Unknown)?;
        if found.token_hash == token.hash() { Ok(found) } else { Err(Fault::Token) }
    }

    /// The registration as its client sees it.
    pub(super) fn show(&self, registration: &Registration) -> Result<Value, Fault> {
        let enabled = has_peer(&self.desk.book(), registration);
        Ok(answer::registration(registration, &self.config, self.server()?, enabled))
    }

    /// Makes a registration. When the answer is there, its peer is in force. Whoever goes away meanwhile has never
    /// learnt the token, so the registration is undone.
    pub(super) async fn register(self: &Arc<Self>, asked: Register) -> Result<Value, Fault> {
        let (id, token) = (Id::random()?, Token::random()?);
        let fcm_token = asked.fcm_token.clone();
        let (tell, told) = oneshot::channel();
        let (registrar, hash) = (Arc::clone(self), token.hash());
        tokio::spawn(async move {
            let made = registrar.make(id, hash, asked).await;
            if let Err(Ok(unwanted)) = tell.send(made) {
                // If that fails, too, it is as if the client had forgotten its token.
                let _ = registrar.remove(unwanted).await;
            }
        });
        let made = told.await.unwrap_or(Err(Fault::Unavailable))?;
        let mut value = self.show(&made)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("token".to_owned(), json!(token.text()));
            object.insert("fcm_token".to_owned(), json!(fcm_token));
        }
        Ok(value)
    }

    async fn make(
        self: &Arc<Self>,
        id: Id,
        token_hash: Secret,
        asked: Register,
    ) -> Result<Arc<Registration>, Fault> {
        let registrar = Arc::clone(self);
        let decide = move |book: &Book| {
            let lease = Lease::take(registrar, book)?;
            let Given { client_id, ipv4, ipv6 } = lease.given;
            let (public_key, told, created) = (asked.public_key, asked.told, now());
            let made = Registration {
                id,
                token_hash,
                public_key,
                client_id,
                ipv4,
                ipv6,
                created,
                updated: created,
                told,
            };
            Ok((vec![Change::AddPeer(made.peer()), made.record()], (lease, made)))
        };
        let (_, (lease, made)) =
            self.desk.edit(Origin::Registration, decide).await.map_err(|refused| {
                if refused.cause == Cause::Conflict { Fault::KeyTaken } else { refused.into() }
            })?;
        lease.keep();
        let made = Arc::new(made);
        self.state().registrations.insert(id, Arc::clone(&made));
        Ok(made)
    }

    /// Changes a registration: another key takes the place of the one before in one transaction, and everything else
    /// of the peer stays as it is.
    pub(super) async fn alter(
        self: &Arc<Self>,
        of: Arc<Registration>,
        asked: Alter,
    ) -> Result<Value, Fault> {
        let busy = Busy::claim(self, &of)?;
        let registrar = Arc::clone(self);
        // A client that goes away does not stop it half way.
        let altered = tokio::spawn(async move {
            let altered = Arc::new(altered(&busy.of, asked));
            let (old, new) = (Arc::clone(&busy.of), Arc::clone(&altered));
            let decide = move |book: &Book| Ok((rotation(book, &old, &new)?, ()));
            registrar.desk.edit(Origin::Registration, decide).await?;
            registrar.state().registrations.insert(altered.id, Arc::clone(&altered));
            Ok::<_, Fault>(altered)
        });
        self.show(&*altered.await.unwrap_or(Err(Fault::Unavailable))?)
    }

    /// Removes a registration and its peer.
    pub(super) async fn remove(self: &Arc<Self>, of: Arc<Registration>) -> Result<(), Fault> {
        let busy = Busy::claim(self, &of)?;
        let registrar = Arc::clone(self);
        let removed = tokio::spawn(async move {
            let old = Arc::clone(&busy.of);
            let decide = move |book: &Book| {
                let remove = has_peer(book, &old).then(|| Change::RemovePeer(old.public_key));
                Ok((remove.into_iter().chain([old.forget()]).collect(), ()))
            };
            registrar.desk.edit(Origin::Registration, decide).await?;
            let mut state = registrar.state();
            state.registrations.remove(&busy.of.id);
            state.pool.give_back(busy.of.client_id, busy.of.ipv4);
            // Its end takes the lock, too.
            drop(state);
            drop(busy);
            Ok(())
        });
        removed.await.unwrap_or(Err(Fault::Unavailable))
    }

    /// Who the server is: what the dataplane says, or the configuration as long as none was heard.
    fn server(&self) -> Result<Server, Fault> {
        let heard = self.desk.status().server;
        let heard =
            heard.map(|it| Server { public_key: it.public_key, port: Some(it.listen_port) });
        let configured = || Some(Server { public_key: self.config.own_key()?, port: None });
        heard.or_else(configured).ok_or(Fault::Unavailable)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is half written between two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_peer(book: &Book, of: &Registration) -> bool {
    book.peer(&of.public_key).is_some_and(|peer| peer.client_id == of.client_id())
}

fn altered(of: &Registration, asked: Alter) -> Registration {
    let mut altered = of.clone();
    altered.updated = now();
    altered.public_key = asked.public_key.unwrap_or(of.public_key);
    if let Some(name) = asked.name {
        altered.told.name = name;
    }
    altered.told.warp_enabled = asked.warp_enabled.or(of.told.warp_enabled);
    altered
}

/// The changes that make one registration of another.
fn rotation(book: &Book, old: &Registration, new: &Registration) -> Result<Vec<Change>, Refused> {
    let mut changes = vec![new.record()];
    if !has_peer(book, old) {
        // An operator wants no such peer: a new key does not bring it back.
        return Err(Refused::new(Cause::Unknown, "the registration has no peer"));
    }
    if let Some(peer) = book.peer(&old.public_key)
        && old.public_key != new.public_key
    {
        let mut peer = (**peer).clone();
        peer.public_key = new.public_key;
        changes.extend([Change::RemovePeer(old.public_key), Change::AddPeer(peer)]);
    }
    Ok(changes)
}

/// What is given from the pool, and goes back unless it is kept.
struct Lease {
    registrar: Arc<Registrar>,
    given: Given,
    kept: bool,
}

impl Lease {
    fn take(registrar: Arc<Registrar>, book: &Book) -> Result<Self, Refused> {
        let given = registrar.state().pool.give(book);
        let Some(given) = given else {
            let what = "no addresses or client ids are left; enlarge the pools of [register]";
            return Err(Refused::new(Cause::Full, what));
        };
        Ok(Self { registrar, given, kept: false })
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.kept {
            self.registrar.state().pool.give_back(self.given.client_id, self.given.ipv4);
        }
    }
}

/// A registration that nobody else changes as long as this is held.
struct Busy {
    registrar: Arc<Registrar>,
    of: Arc<Registration>,
}

impl Busy {
    fn claim(registrar: &Arc<Registrar>, of: &Arc<Registration>) -> Result<Self, Fault> {
        let mut state = registrar.state();
        // Somebody may have changed it between its finding and now.
        let is_current = state.registrations.get(&of.id).is_some_and(|it| Arc::ptr_eq(it, of));
        if !is_current || !state.busy.insert(of.id) {
            return Err(Fault::Conflict);
        }
        Ok(Self { registrar: Arc::clone(registrar), of: Arc::clone(of) })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.registrar.state().busy.remove(&self.of.id);
    }
}
