//! Items in the order in which they are sent, made one by one: a snapshot of a million peers is never there twice.

use std::sync::Arc;
use std::vec::IntoIter;

use ipnet::IpNet;
use shm::message::Item;

use crate::model::{Book, Difference, PublicKey, centre_item, peer_message};

/// Entries that are taken from the book at a time.
const PART_LEN: usize = 512;

/// What a transaction says.
pub(crate) struct Feed {
    source: Source,
    /// Items that come next.
    part: IntoIter<Item>,
    /// The one that found no room.
    back: Option<Item>,
    end: bool,
}

enum Source {
    Peers(Book, Option<PublicKey>),
    Centres(Book),
    NextHops(Book),
    Routes(Book, Option<IpNet>),
    Tenants(Book, u32),
    Tunnels(Book, u32),
    Rules(Book, u32),
    /// The list with the greater id, from this item on.
    Listed(Book, u32, usize),
    /// The rules of the tenant with the greater id, from this item on.
    Rulesets(Book, u32, usize),
    Fleet(Book),
    Delta(Arc<Difference>, usize),
    End,
}

impl Feed {
    /// All that is in a book.
    pub(crate) fn snapshot(book: Book) -> Self {
        Self::of(Source::Peers(book, None))
    }

    /// Changes.
    pub(crate) fn delta(difference: Arc<Difference>) -> Self {
        Self::of(Source::Delta(difference, 0))
    }

    fn of(source: Source) -> Self {
        Self { source, part: Vec::new().into_iter(), back: None, end: false }
    }

    /// The next item; none at the end.
    pub(crate) fn next(&mut self) -> Option<Item> {
        if let Some(item) = self.back.take() {
            return Some(item);
        }
        loop {
            if let Some(item) = self.part.next() {
                return Some(item);
            }
            if matches!(self.source, Source::End) {
                self.end = true;
                return None;
            }
            self.part = self.source.part().into_iter();
        }
    }

    /// Takes an item back that found no room.
    pub(crate) fn put_back(&mut self, item: Item) {
        self.back = Some(item);
    }

    /// Whether [`Feed::next`] has given none.
    pub(crate) fn is_at_end(&self) -> bool {
        self.end
    }
}

impl Source {
    /// The next items; steps on to what follows when there are no more of a kind.
    fn part(&mut self) -> Vec<Item> {
        match self {
            Self::Peers(book, last) => {
                let peers: Vec<_> =
                    book.peers_after(last.as_ref()).take(PART_LEN).cloned().collect();
                match peers.last() {
                    Some(peer) => *last = Some(peer.public_key),
                    None => *self = Self::Centres(std::mem::take(book)),
                }
                peers.iter().map(|peer| Item::Peer(Box::new(peer_message(peer)))).collect()
            }
            Self::Centres(book) => {
                let here = book.here().map(|here| here.number);
                let items = book.centres().flat_map(|centre| {
                    let is_here = here == Some(centre.number);
                    [false, true].map(|is_hop| centre_item(centre, is_here, is_hop))
                });
                let items = items.collect();
                *self = Self::NextHops(std::mem::take(book));
                items
            }
            Self::NextHops(book) => {
                let hops = book.next_hops().map(|hop| Item::NextHop { id: hop.id, hop: hop.hop });
                let hops = hops.collect();
                *self = Self::Routes(std::mem::take(book), None);
                hops
            }
            Self::Routes(book, last) => {
                let routes = book.routes_after(last.as_ref()).take(PART_LEN);
                let items: Vec<Item> = routes
                    .map(|(prefix, route)| Item::Route {
                        prefix: *prefix,
                        next_hop: book.told_hop(route),
                    })
                    .collect();
                match items.last() {
                    Some(Item::Route { prefix, .. }) => *last = Some(*prefix),
                    _ => *self = Self::Tenants(std::mem::take(book), 0),
                }
                items
            }
            Self::Tenants(..)
            | Self::Tunnels(..)
            | Self::Rules(..)
            | Self::Listed(..)
            | Self::Rulesets(..) => self.part_of_filter(),
            Self::Fleet(book) => {
                let fleet = book.fleet().map(|fleet| Item::Fleet(Box::new(fleet.message())));
                *self = Self::End;
                fleet.into_iter().collect()
            }
            Self::Delta(difference, at) => {
                let items: Vec<Item> =
                    (*at..).map_while(|at| difference.item(at)).take(PART_LEN).collect();
                *at += items.len();
                if items.is_empty() {
                    *self = Self::End;
                }
                items
            }
            Self::End => Vec::new(),
        }
    }

    /// The same of what belongs to the filter.
    fn part_of_filter(&mut self) -> Vec<Item> {
        match self {
            Self::Tenants(book, last) => {
                let tenants: Vec<_> = book.tenants_after(*last).take(PART_LEN).cloned().collect();
                match tenants.last() {
                    Some(tenant) => *last = tenant.id,
                    None => *self = Self::Tunnels(std::mem::take(book), 0),
                }
                tenants.iter().map(|tenant| Item::Tenant(Box::new(tenant.message()))).collect()
            }
            Self::Tunnels(book, last) => {
                // Of one tenant at a time: it has few, or few have any.
                let next = book.tenants_after(*last).find(|tenant| !tenant.tunnels.is_empty());
                let Some(tenant) = next.cloned() else {
                    *self = Self::Rules(std::mem::take(book), 0);
                    return Vec::new();
                };
                *last = tenant.id;
                let messages = tenant.tunnels.iter().map(|tunnel| tunnel.message(tenant.id));
                messages.map(|tunnel| Item::Tunnel(Box::new(tunnel))).collect()
            }
            Self::Rules(book, last) => {
                let rules: Vec<_> = book.rules_after(*last).take(PART_LEN).cloned().collect();
                let messages = rules.iter().filter_map(|rule| rule.message(book));
                let items = messages.map(|rule| Item::Rule(Box::new(rule))).collect();
                match rules.last() {
                    Some(rule) => *last = rule.id,
                    None => *self = Self::Listed(std::mem::take(book), 0, 0),
                }
                items
            }
            Self::Listed(book, after, number) => {
                let mut lists = book.rules_after(*after).filter(|rule| rule.prefixes().is_some());
                let Some(rule) = lists.next().map(|rule| rule.id) else {
                    drop(lists);
                    *self = Self::Rulesets(std::mem::take(book), 0, 0);
                    return Vec::new();
                };
                let prefixes = book.rule(rule).and_then(|rule| rule.prefixes()?.item(*number));
                let item = prefixes.map(|run| Item::Listed { rule, prefixes: run.to_vec() });
                (*after, *number) = if item.is_some() { (*after, *number + 1) } else { (rule, 0) };
                item.into_iter().collect()
            }
            Self::Rulesets(book, after, number) => {
                let told = book.tenants_after(*after).find_map(|tenant| tenant.told());
                let Some(told) = told else {
                    *self = Self::Fleet(std::mem::take(book));
                    return Vec::new();
                };
                let item = told.item(*number);
                let next = if item.is_some() { (*after, *number + 1) } else { (told.tenant, 0) };
                (*after, *number) = next;
                item.into_iter().collect()
            }
            Self::Peers(..)
            | Self::Centres(_)
            | Self::NextHops(_)
            | Self::Routes(..)
            | Self::Fleet(_)
            | Self::Delta(..)
            | Self::End => Vec::new(),
        }
    }
}
