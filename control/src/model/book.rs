//! The book: everything the dataplane shall know, and the ways to find something in it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::tree::Tree;
use super::{
    Centre, Detect, Fleet, Hop, NextHop, Origin, Peer, Place, PublicKey, Route, Rule, Tenant,
    Tunnel,
};

/// The id of the next hop `reject`, which is always there.
pub const REJECT: u32 = 0;

/// The id of the next hop `local`, which is always there.
pub const LOCAL: u32 = 1;

/// The first id of a next hop that is made.
const FIRST_ID: u32 = 2;

/// Everything the dataplane shall know. A clone costs nothing and stays as it is.
///
/// Lists are read in the order of their keys, in parts: `book.peers_after(Some(&last)).take(1000)`.
#[derive(Clone, Debug)]
pub struct Book {
    pub(super) peers: Tree<PublicKey, Arc<Peer>>,
    pub(super) names: Tree<Arc<str>, PublicKey>,
    pub(super) client_ids: Tree<[u8; 3], PublicKey>,
    pub(super) allowed: Tree<IpNet, PublicKey>,
    pub(super) routes: Tree<IpNet, Route>,
    pub(super) hops: Tree<u32, Arc<NextHop>>,
    pub(super) hop_names: Tree<Arc<str>, u32>,
    /// How many routes name a next hop.
    pub(super) uses: Tree<u32, u32>,
    /// Which next hops lead to a peer.
    pub(super) hops_to: Tree<(PublicKey, u32), ()>,
    pub(super) centres: Tree<u16, Arc<Centre>>,
    pub(super) centre_names: Tree<Arc<str>, u16>,
    /// Whose each next hop is that a centre has.
    pub(super) centre_hops: Tree<u32, u16>,
    /// The name of this data centre.
    pub(super) here: Option<Arc<str>>,
    /// Counted up when Argo has something else to choose among.
    pub(super) argo_revision: u64,
    pub(super) fleet: Option<Arc<Fleet>>,
    pub(super) rules: Tree<u32, Arc<Rule>>,
    pub(super) rule_names: Tree<Arc<str>, u32>,
    /// When rules expire, the next first.
    pub(super) expiries: Tree<(u64, u32), ()>,
    /// Prefixes on all lists together.
    pub(super) listed: usize,
    pub(super) tenants: Tree<u32, Arc<Tenant>>,
    pub(super) tenant_names: Tree<Arc<str>, u32>,
    pub(super) tenant_prefixes: Tree<IpNet, u32>,
    /// Whose each tunnel is.
    pub(super) tunnels: Tree<u32, u32>,
    pub(super) tunnel_names: Tree<Arc<str>, u32>,
    /// Tunnels by remote and local address and key.
    pub(super) tunnel_ends: Tree<(IpAddr, IpAddr, Option<u32>), u32>,
    /// Which tenants' rules name a set.
    pub(super) set_users: Tree<(Arc<str>, u32), ()>,
    /// Octets of all tenants' rules together, as they are told.
    pub(super) rules_len: usize,
    pub(super) detect: Option<Detect>,
    pub(super) rule_id_last: u32,
    pub(super) tenant_id_last: u32,
    pub(super) tunnel_id_last: u32,
    pub(super) declared: Counts,
    /// Messages of a snapshot.
    pub(super) messages: u64,
    pub(super) files: Arc<Vec<Arc<str>>>,
    pub(super) id_last: u32,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Peers.
    pub peers: usize,
    /// Routes, without the prefixes that peers hold.
    pub routes: usize,
    /// Next hops, with `local` and `reject`.
    pub next_hops: usize,
    /// Rules.
    pub rules: usize,
    /// Tenants.
    pub tenants: usize,
    /// Their tunnels.
    pub tunnels: usize,
}

impl Default for Book {
    /// The book that says nothing yet.
    fn default() -> Self {
        let mut book = Self {
            peers: Tree::default(),
            names: Tree::default(),
            client_ids: Tree::default(),
            allowed: Tree::default(),
            routes: Tree::default(),
            hops: Tree::default(),
            hop_names: Tree::default(),
            uses: Tree::default(),
            hops_to: Tree::default(),
            centres: Tree::default(),
            centre_names: Tree::default(),
            centre_hops: Tree::default(),
            here: None,
            argo_revision: 0,
            fleet: None,
            rules: Tree::default(),
            rule_names: Tree::default(),
            expiries: Tree::default(),
            listed: 0,
            tenants: Tree::default(),
            tenant_names: Tree::default(),
            tenant_prefixes: Tree::default(),
            tunnels: Tree::default(),
            tunnel_names: Tree::default(),
            tunnel_ends: Tree::default(),
            set_users: Tree::default(),
            rules_len: 0,
            detect: None,
            rule_id_last: 0,
            tenant_id_last: 0,
            tunnel_id_last: 0,
            declared: Counts::default(),
            messages: 0,
            files: Arc::default(),
            id_last: FIRST_ID - 1,
        };
        for (id, name, hop) in [(REJECT, "reject", Hop::Reject), (LOCAL, "local", Hop::Local)] {
            let name: Arc<str> = name.into();
            book.hop_names.insert(Arc::clone(&name), id);
            book.hops.insert(
                id,
                Arc::new(NextHop { name, id, hop, exits: Arc::default(), origin: Origin::Cli }),
            );
            book.messages += 1;
        }
        book
    }
}

impl Book {
    /// How much there is.
    pub fn counts(&self) -> Counts {
        Counts {
            peers: self.peers.len(),
            routes: self.routes.len(),
            next_hops: self.hops.len(),
            rules: self.rules.len(),
            tenants: self.tenants.len(),
            tunnels: self.tunnels.len(),
        }
    }

    /// How much of it sources declare.
    pub fn declared(&self) -> Counts {
        self.declared
    }

    /// How many messages a snapshot of it takes in the commands ring, without beginning and commit.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// A peer by its key.
    pub fn peer(&self, key: &PublicKey) -> Option<&Arc<Peer>> {
        self.peers.get(key)
    }

    /// A peer by its name.
    pub fn peer_named(&self, name: &str) -> Option<&Arc<Peer>> {
        self.peers.get(self.names.get(name)?)
    }

    /// A peer by its client id, which is not zeros.
    pub fn peer_with_client_id(&self, id: [u8; 3]) -> Option<&Arc<Peer>> {
        self.peers.get(self.client_ids.get(&id)?)
    }

    /// The peer that holds exactly this prefix.
    pub fn holder(&self, prefix: &IpNet) -> Option<&Arc<Peer>> {
        self.peers.get(self.allowed.get(prefix)?)
    }

    /// The peer that holds exactly this address as a single one.
    pub fn holder_of(&self, address: IpAddr) -> Option<&Arc<Peer>> {
        self.holder(&IpNet::from(address))
    }

    /// Peers in the order of their keys, from the first behind `after` on.
    pub fn peers_after(&self, after: Option<&PublicKey>) -> impl Iterator<Item = &Arc<Peer>> {
        after.map_or_else(|| self.peers.iter(), |key| self.peers.after(key)).map(|(_, peer)| peer)
    }

    /// Prefixes that peers hold, in order, from the first behind `after` on: a pool of addresses finds its free ones
    /// between them.
    pub fn allowed_after(
        &self,
        after: Option<&IpNet>,
    ) -> impl Iterator<Item = (&IpNet, &PublicKey)> {
        after.map_or_else(|| self.allowed.iter(), |prefix| self.allowed.after(prefix))
    }

    /// The route of exactly this prefix.
    pub fn route(&self, prefix: &IpNet) -> Option<&Route> {
        self.routes.get(prefix)
    }

    /// Routes in the order of their prefixes (IPv4 first), from the first behind `after` on.
    pub fn routes_after(&self, after: Option<&IpNet>) -> impl Iterator<Item = (&IpNet, &Route)> {
        after.map_or_else(|| self.routes.iter(), |prefix| self.routes.after(prefix))
    }

    /// A next hop by its id.
    pub fn next_hop(&self, id: u32) -> Option<&Arc<NextHop>> {
        self.hops.get(&id)
    }

    /// A next hop by its name.
    pub fn next_hop_named(&self, name: &str) -> Option<&Arc<NextHop>> {
        self.hops.get(self.hop_names.get(name)?)
    }

    /// All next hops in the order of their ids; there are few.
    pub fn next_hops(&self) -> impl Iterator<Item = &Arc<NextHop>> {
        self.hops.iter().map(|(_, hop)| hop)
    }

    /// The fleet, if there is one.
    pub fn fleet(&self) -> Option<&Arc<Fleet>> {
        self.fleet.as_ref()
    }

    /// A rule by its id.
    pub fn rule(&self, id: u32) -> Option<&Arc<Rule>> {
        self.rules.get(&id)
    }

    /// A rule by its name.
    pub fn rule_named(&self, name: &str) -> Option<&Arc<Rule>> {
        self.rules.get(self.rule_names.get(name)?)
    }

    /// Rules in the order of their ids, from the first behind `after` on.
    pub fn rules_after(&self, after: u32) -> impl Iterator<Item = &Arc<Rule>> {
        self.rules.after(&after).map(|(_, rule)| rule)
    }

    /// Rules whose time is over, in seconds of Unix time, the earliest first.
    pub fn expired(&self, now: u64) -> impl Iterator<Item = &Arc<Rule>> {
        let expired = self.expiries.iter().take_while(move |((at, _), ())| *at <= now);
        expired.filter_map(|((_, id), ())| self.rules.get(id))
    }

    /// Prefixes on all lists together.
    pub fn listed(&self) -> usize {
        self.listed
    }

    /// A tenant by its id.
    pub fn tenant(&self, id: u32) -> Option<&Arc<Tenant>> {
        self.tenants.get(&id)
    }

    /// A tenant by its name.
    pub fn tenant_named(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(self.tenant_names.get(name)?)
    }

    /// Tenants in the order of their ids, from the first behind `after` on.
    pub fn tenants_after(&self, after: u32) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.after(&after).map(|(_, tenant)| tenant)
    }

    /// A tunnel by its id, and whose it is.
    pub fn tunnel(&self, id: u32) -> Option<(&Arc<Tenant>, &Tunnel)> {
        let tenant = self.tenants.get(self.tunnels.get(&id)?)?;
        Some((tenant, tenant.tunnels.iter().find(|tunnel| tunnel.id == id)?))
    }

    /// A tunnel by its name, likewise.
    pub fn tunnel_named(&self, name: &str) -> Option<(&Arc<Tenant>, &Tunnel)> {
        self.tunnel(*self.tunnel_names.get(name)?)
    }

    /// The ids of tenants whose rules name a set.
    pub fn users_of(&self, set: &str) -> impl Iterator<Item = u32> {
        let set: Arc<str> = set.into();
        // No tenant has the id 0.
        let users = self.set_users.after(&(Arc::clone(&set), 0)).map(|(key, ())| key);
        users.take_while(move |(name, _)| *name == set).map(|(_, tenant)| *tenant)
    }

    /// When detection makes rules; none when it makes none.
    pub fn detect(&self) -> Option<&Detect> {
        self.detect.as_ref()
    }

    /// The last id that a rule was given. None is given again.
    pub(crate) fn rule_id_last(&self) -> u32 {
        self.rule_id_last
    }

    /// Gives no rule this id or a smaller one any more.
    pub(crate) fn skip_rule_ids(&mut self, last: u32) {
        self.rule_id_last = self.rule_id_last.max(last);
    }

    /// The last id that a tenant was given. None is given again.
    pub(crate) fn tenant_id_last(&self) -> u32 {
        self.tenant_id_last
    }

    /// Gives no tenant this id or a smaller one any more.
    pub(crate) fn skip_tenant_ids(&mut self, last: u32) {
        self.tenant_id_last = self.tenant_id_last.max(last);
    }

    /// The last id that a tunnel was given. None is given again.
    pub(crate) fn tunnel_id_last(&self) -> u32 {
        self.tunnel_id_last
    }

    /// Gives no tunnel this id or a smaller one any more.
    pub(crate) fn skip_tunnel_ids(&mut self, last: u32) {
        self.tunnel_id_last = self.tunnel_id_last.max(last);
    }

    /// How many routes name a next hop.
    pub fn uses(&self, id: u32) -> u32 {
        self.uses.get(&id).copied().unwrap_or(0)
    }

    /// The files of sources that a [`Place`] may name.
    pub fn files(&self) -> &[Arc<str>] {
        &self.files
    }

    /// The number of a file, for a [`Place`]; a new one if need be. None when there are too many.
    pub fn file(&mut self, name: &str) -> Option<u16> {
        let found = self.files.iter().position(|file| **file == *name);
        let at = found.unwrap_or_else(|| {
            Arc::make_mut(&mut self.files).push(name.into());
            self.files.len() - 1
        });
        u16::try_from(at).ok()
    }

    /// Where something comes from, in words: `peers.toml:12`, or who made it at run time.
    pub fn place(&self, origin: Origin) -> String {
        match origin {
            Origin::Declared(Place { file, line }) => {
                let file = self.files.get(usize::from(file)).map_or("a source", |file| &**file);
                if line == 0 { file.to_owned() } else { format!("{file}:{line}") }
            }
            Origin::Cli => "made with `millrace`".to_owned(),
            Origin::Uapi => "made with `wg`".to_owned(),
            Origin::Registration => "registered".to_owned(),
            Origin::Detection => "made by detection".to_owned(),
        }
    }

    /// An id for a new rule: the dataplane may still count under those of rules that are gone.
    pub(super) fn next_rule_id(&mut self) -> u32 {
        next_free(&mut self.rule_id_last, 1, |id| self.rules.contains(id))
    }

    /// An id for a new tenant.
    pub(super) fn next_tenant_id(&mut self) -> u32 {
        next_free(&mut self.tenant_id_last, 1, |id| self.tenants.contains(id))
    }

    /// An id for a new tunnel: what the dataplane tells of those that are gone may still be on its way.
    pub(super) fn next_tunnel_id(&mut self) -> u32 {
        next_free(&mut self.tunnel_id_last, 1, |id| self.tunnels.contains(id))
    }

    /// An id for a new next hop.
    pub(super) fn next_id(&mut self) -> u32 {
        next_free(&mut self.id_last, FIRST_ID, |id| {
            self.hops.contains(id) || self.centre_hops.contains(id)
        })
    }
}

/// The next id behind the last one that is not taken; behind the greatest comes the first.
fn next_free(last: &mut u32, first: u32, is_taken: impl Fn(&u32) -> bool) -> u32 {
    loop {
        *last = last.checked_add(1).unwrap_or(first);
        if !is_taken(last) {
            return *last;
        }
    }
}
