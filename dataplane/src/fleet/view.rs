//! One server's view of the fleet: members and the ways to them, the owner table, and who owned each row before.
//! Built aside by the keeper, read-only afterwards.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use shm::message::{self, Member, MemberState};
use shm::transaction::Obstacle;
use wireguard::message::ClientId;

use super::keys::Keys;
use super::table::{ROWS, Table, row};
use crate::frame::Endpoint;
use crate::packet::Address;
use crate::site::Site;

/// The view.
#[derive(Debug)]
pub struct View {
    own: u8,
    generation: u16,
    keys: Arc<Keys>,
    digest: u64,
    table: Arc<Table>,
    before: Before,
    /// The way to each server, by number.
    paths: Box<[Option<Endpoint>]>,
    /// Whether a server is or was a member, by number.
    known: Box<[bool]>,
    /// Which member has an address.
    senders: crate::table::Table<u128, u8>,
    /// This server's own addresses among the members.
    addresses: Vec<Address>,
    mtu: usize,
    /// This server's own.
    state: MemberState,
}

/// What can be known of the server that an index names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is there.
    Alive,
    /// It was there; its sessions are lost.
    Dead,
    /// There is no such server.
    Unknown,
}

/// The owner tables that were built last: those of the past stay the same.
#[derive(Debug, Default)]
pub struct Tables(HashMap<Vec<(u8, u16)>, Arc<Table>>);

impl Tables {
    /// The table of these members and weights, in any order.
    pub fn owners(&mut self, key: [u8; 16], weights: &[(u8, u16)]) -> Option<Arc<Table>> {
        let weights = sorted(weights.to_vec());
        if let Some(table) = self.0.get(&weights) {
            return Some(Arc::clone(table));
        }
        let table = Arc::new(Table::build(key, &weights)?);
        self.0.insert(weights, Arc::clone(&table));
        Some(table)
    }

    /// Forgets the tables of memberships that are neither the present one nor remembered.
    fn forget_others(&mut self, told: &message::Fleet) {
        let past = told.past.iter().map(|past| sorted(past.weights.clone()));
        let needed: Vec<_> = past.chain([sorted(weights(told))]).collect();
        self.0.retain(|weights, _| needed.contains(weights));
    }
}

fn sorted(mut weights: Vec<(u8, u16)>) -> Vec<(u8, u16)> {
    weights.sort_unstable();
    weights
}

/// The members that take new clients.
fn weights(told: &message::Fleet) -> Vec<(u8, u16)> {
    let active = told.members.iter().filter(|member| member.state == MemberState::Active);
    active.map(|member| (member.server, member.weight)).collect()
}

/// For each row those who owned it before, most recent first, each once; only those that can be asked.
#[derive(Debug)]
struct Before {
    starts: Box<[u32]>,
    servers: Box<[u8]>,
}

impl Before {
    fn new(table: &Table, past: &[Arc<Table>], is_alive: impl Fn(u8) -> bool) -> Self {
        let mut starts = Vec::with_capacity(ROWS + 1);
        let mut servers = Vec::new();
        for row in 0..ROWS {
            let start = servers.len();
            starts.push(u32::try_from(start).unwrap_or(u32::MAX));
            for table_then in past {
                let server = table_then.owner(row);
                let is_listed = servers.get(start..).is_some_and(|row| row.contains(&server));
                if server != table.owner(row) && !is_listed && is_alive(server) {
                    servers.push(server);
                }
            }
        }
        starts.push(u32::try_from(servers.len()).unwrap_or(u32::MAX));
        Self { starts: starts.into_boxed_slice(), servers: servers.into_boxed_slice() }
    }

    fn of(&self, row: usize) -> &[u8] {
        let at = |row: usize| self.starts.get(row).map_or(0, |start| *start as usize);
        self.servers.get(at(row)..at(row + 1)).unwrap_or_default()
    }
}

impl View {
    /// The view of server `own`, whose way to the others is at most `mtu` octets wide; or what is wrong with what was told.
    fn new(
        told: &message::Fleet,
        (own, mtu): (u8, usize),
        keys: &Arc<Keys>,
        site: &Site,
        tables: &mut Tables,
    ) -> Result<Self, Obstacle> {
        let me = told.members.iter().find(|member| member.server == own);
        let me = me.ok_or(Obstacle::NotAMember)?;
        // What may be refused comes before what is built and kept.
        let (senders, paths) = ways(told, me, site)?;
        let table = tables.owners(keys.table, &weights(told)).ok_or(Obstacle::Members)?;
        let past: Vec<_> =
            told.past.iter().filter_map(|past| tables.owners(keys.table, &past.weights)).collect();
        let alive = |server: u8| {
            let members = told.members.iter();
            members.filter(|member| member.state != MemberState::Down).any(|m| m.server == server)
        };
        let before = Before::new(&table, &past, alive);
        let was = told.past.iter().flat_map(|past| past.weights.iter().map(|(server, _)| *server));
        let mut known = vec![false; SERVERS];
        for server in was.chain(told.members.iter().map(|member| member.server)) {
            if let Some(place) = known.get_mut(usize::from(server)) {
                *place = true;
            }
        }
        Ok(Self {
            own,
            generation: told.generation,
            keys: Arc::clone(keys),
            digest: table.digest(),
            table,
            before,
            paths,
            known: known.into_boxed_slice(),
            senders,
            addresses: addresses(me).map(Address::from).collect(),
            mtu,
            state: me.state,
        })
    }

    /// This server's number.
    pub const fn own(&self) -> u8 {
        self.own
    }

    /// The number of this membership.
    pub const fn generation(&self) -> u16 {
        self.generation
    }

    /// By how much a generation is ahead of ours; numbers go round (RFC 1982).
    #[inline]
    pub const fn distance(&self, generation: u16) -> i16 {
        generation.wrapping_sub(self.generation).cast_signed()
    }

    /// The row of a client.
    #[inline]
    pub fn row(&self, id: ClientId) -> usize {
        row(self.keys.row, id)
    }

    /// Who owns a row.
    #[inline]
    pub fn owner(&self, row: usize) -> u8 {
        self.table.owner(row)
    }

    /// Who may hold something of a row beside its owner, and may also be asked. When this server has an older view than
    /// who made it the owner, that includes the owner that it knows.
    pub fn before(&self, row: usize) -> impl Iterator<Item = u8> + '_ {
        std::iter::once(self.owner(row)).chain(self.before.of(row).iter().copied())
    }

    /// Whether a client can be nowhere but here.
    pub fn is_sole_owner(&self, id: ClientId) -> bool {
        let row = self.row(id);
        self.owner(row) == self.own && self.before.of(row).is_empty()
    }

    /// What is known of a server.
    #[inline]
    pub fn reach(&self, server: u16) -> Reach {
        let at = usize::from(server);
        if self.paths.get(at).is_some_and(Option::is_some) {
            Reach::Alive
        } else if self.known.get(at).copied().unwrap_or(false) {
            Reach::Dead
        } else {
            Reach::Unknown
        }
    }

    /// The way to a server; none to one that is down, nor to this one.
    #[inline]
    pub fn path(&self, server: u8) -> Option<&Endpoint> {
        self.paths.get(usize::from(server)).and_then(Option::as_ref)
    }

    /// The member with an address.
    #[inline]
    pub fn member_at(&self, address: Address) -> Option<u8> {
        self.senders.get(address.bits())
    }

    /// Whether other servers reach this one by an address.
    #[inline]
    pub fn is_own_address(&self, address: Address) -> bool {
        self.addresses.contains(&address)
    }

    /// The proof of a packet between two servers, see [`Keys::proof`].
    #[inline]
    pub fn proof(&self, key: u32, servers: (u8, u8), carried: &[u8]) -> u32 {
        self.keys.proof(key, servers, carried)
    }

    /// The largest IP packet on the way between servers.
    pub const fn mtu(&self) -> usize {
        self.mtu
    }

    /// A number that is the same on two servers with the same owner table.
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether this server is to be emptied.
    pub const fn is_draining(&self) -> bool {
        matches!(self.state, MemberState::Draining { .. })
    }

    /// Whether this server is thought to be gone, and its sessions with it.
    pub const fn is_down(&self) -> bool {
        matches!(self.state, MemberState::Down)
    }

    /// When this server gives up what it still holds, since the epoch.
    pub const fn deadline(&self) -> Option<Duration> {
        match self.state {
            MemberState::Draining { deadline } => deadline,
            MemberState::Active | MemberState::Down => None,
        }
    }
}

/// Servers that the receiver index tells apart.
const SERVERS: usize = 256;

fn addresses(member: &Member) -> impl Iterator<Item = IpAddr> {
    member.v4.map(IpAddr::from).into_iter().chain(member.v6.map(IpAddr::from))
}

type Ways = (crate::table::Table<u128, u8>, Box<[Option<Endpoint>]>);

/// Who has which address, and the way from this server to each other one that is up.
fn ways(told: &message::Fleet, me: &Member, site: &Site) -> Result<Ways, Obstacle> {
    if !addresses(me).all(|address| site.owns(address.into())) {
        return Err(Obstacle::MemberAddress);
    }
    // Addresses are the operator's, so the hash needs no secret.
    let mut senders = crate::table::Table::new(2 * SERVERS, 0);
    let mut paths = vec![None; SERVERS];
    let mut numbers = HashSet::new();
    for member in &told.members {
        if !numbers.insert(member.server) {
            return Err(Obstacle::Members);
        }
        for address in addresses(member) {
            let taken = senders.insert(Address::from(address).bits(), member.server);
            if !matches!(taken, Ok(None)) {
                return Err(Obstacle::Members);
            }
        }
        let Some(place) = paths.get_mut(usize::from(member.server)) else { continue };
        if member.server == me.server || member.state == MemberState::Down {
            continue;
        }
        *place = Some(way(me, member, site).ok_or(Obstacle::MemberAddress)?);
    }
    Ok((senders, paths.into_boxed_slice()))
}

/// The way to a member: by IPv4 if both have it.
fn way(me: &Member, member: &Member, site: &Site) -> Option<Endpoint> {
    let v4 = me.v4.zip(member.v4).map(|(own, other)| (IpAddr::from(own), IpAddr::from(other)));
    let v6 = me.v6.zip(member.v6).map(|(own, other)| (IpAddr::from(own), IpAddr::from(other)));
    let (own, other) = v4.or(v6)?;
    let path = site.path_to((other, wire::fleet::PORT).into())?;
    Some(Endpoint { local: own.into(), ..path })
}

impl Tables {
    /// The view, see [`View::new`]; tables that it does not need any more are forgotten.
    pub fn view(
        &mut self,
        told: &message::Fleet,
        own: (u8, usize),
        keys: &Arc<Keys>,
        site: &Site,
    ) -> Result<View, Obstacle> {
        let view = View::new(told, own, keys, site, self)?;
        self.forget_others(told);
        Ok(view)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;

    use shm::message::{Fleet, Past};
    use wireguard::secret::Secret;

    use super::*;
    use crate::config::Config;

    const OWN: u8 = 1;
    const ACTIVE: MemberState = MemberState::Active;

    fn site() -> Site {
        let text = "private_key = \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"\nlisten_port = 51820\n\
                    workers = [0]\n[[port]]\nname = \"wan\"\ndevice = \"memory0\"\n\
                    addresses = [\"10.0.0.1/24\", \"10.0.0.11/24\"]";
        let config = Config::parse(text, Path::new("test.toml")).unwrap();
        Site::new(&config, &[[2, 0, 0, 0, 0, 1]], None)
    }

    fn member(server: u8, address: u8, state: MemberState) -> Member {
        let v4 = Some(Ipv4Addr::new(10, 0, 0, address));
        Member { server, weight: 1, state, v4, v6: None }
    }

    fn told(members: Vec<Member>) -> Fleet {
        Fleet { generation: 2, members, past: Vec::new() }
    }

    fn view(told: &Fleet, tables: &mut Tables) -> Result<View, Obstacle> {
        let keys = Arc::new(Keys::new(&Secret::new([7; 32]), None));
        tables.view(told, (OWN, 1500), &keys, &site())
    }

    #[test]
    fn no_two_members_have_one_number_or_one_address_whatever_their_states() {
        let own = member(OWN, 1, ACTIVE);
        for others in [
            vec![member(OWN, 11, ACTIVE)],
            vec![member(2, 2, ACTIVE), member(2, 3, MemberState::Down)],
            vec![member(2, 2, MemberState::Down), member(2, 3, ACTIVE)],
            vec![member(2, 2, ACTIVE), member(3, 2, MemberState::Down)],
            vec![member(2, 1, ACTIVE)],
        ] {
            let told = told([vec![own], others].concat());
            let refused = view(&told, &mut Tables::default()).err();
            assert_eq!(refused, Some(Obstacle::Members), "{told:?}");
        }
    }

    #[test]
    fn a_membership_that_is_refused_leaves_no_table_behind() {
        let mut tables = Tables::default();
        let past = Past { generation: 1, weights: vec![(OWN, 9)] };
        let good = Fleet { past: vec![past], ..told(vec![member(OWN, 1, ACTIVE)]) };
        assert!(view(&good, &mut tables).is_ok());
        assert_eq!(tables.0.len(), 2);
        let far = Member { v4: Some(Ipv4Addr::new(192, 0, 2, 1)), ..member(2, 2, ACTIVE) };
        for weight in 2..10 {
            let near = Member { weight, ..member(OWN, 1, ACTIVE) };
            let refused = view(&told(vec![near, far]), &mut tables).err();
            assert_eq!(refused, Some(Obstacle::MemberAddress));
        }
        assert_eq!(tables.0.len(), 2);
    }
}
