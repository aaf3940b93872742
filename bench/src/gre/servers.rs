//! Servers with one tenant behind four tunnels: what control has told them.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::keeper::Keeper;
use ipnet::Ipv4Net;
use shm::limits::RULESET_TEXT_PER_ITEM_MAX;
use shm::message::{DontFragment, Item, Mode, NextHop, Scope, SynGuard, Tenant, Tunnel};
use shm::transaction::Transaction;
use wireguard::secret::Secret;

use crate::Failure;
use crate::rules::rulesets::{Five, Kind, net};
use crate::service::client::SERVER;
use crate::service::server;

/// The tenant, whose prefix is the one of `rules` with this number.
pub(crate) const TENANT: u32 = 0;
pub(crate) const ID: u32 = 9;

/// What its rules are like, when it has some.
pub(crate) const KIND: Kind = Kind::Services;

/// The far ends of its tunnels, at addresses that routers on the Internet may have.
pub(crate) const ROUTERS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(11, 19, 0, 1),
    Ipv4Addr::new(11, 19, 0, 2),
    Ipv4Addr::new(11, 19, 0, 3),
    Ipv4Addr::new(11, 19, 0, 4),
];

/// The tables of a server whose tenant has so many rules; with none everything is accepted.
pub(crate) fn keeper(rules: u32) -> Result<Keeper, Failure> {
    let mut items = tenant_and_tunnels()?;
    if rules > 0 {
        items.push(Item::Ruleset(ID));
        items.extend(text(rules));
    }
    items.push(Item::NextHop { id: 1, hop: NextHop::Direct });
    items.push(Item::Route { prefix: Ipv4Net::default().into(), next_hop: 1 });
    let (scope, count) = (Scope::Snapshot, items.len() as u64);
    let told = Transaction { id: 1, scope, count, items };
    server::keeper(&server::config(Secret::new([7; 32]), 1)?, told)
}

/// The tenant, and a tunnel to each of its routers.
pub(crate) fn tenant_and_tunnels() -> Result<Vec<Item>, Failure> {
    let tunnels = (1..).zip(ROUTERS).map(|(id, router)| tunnel((id, ID), router));
    Ok(std::iter::once(tenant()?).chain(tunnels).collect())
}

fn tenant() -> Result<Item, Failure> {
    tenant_of(ID, TENANT)
}

/// A tenant without rules, whose prefix is the one of `rules` with this number.
pub(crate) fn tenant_of(id: u32, number: u32) -> Result<Item, Failure> {
    let prefix = Ipv4Net::new(Ipv4Addr::from_bits(net(number)), 16)?;
    Ok(Item::Tenant(Box::new(Tenant {
        id,
        mode: Mode::Enforce,
        syn: SynGuard::Off,
        syn_above: 0,
        flows: false,
        out_of_state: 0,
        prefixes: vec![prefix.into()],
    })))
}

/// A tunnel of a tenant's, both by their ids.
pub(crate) fn tunnel((id, tenant): (u32, u32), router: Ipv4Addr) -> Item {
    Item::Tunnel(Box::new(Tunnel {
        id,
        tenant,
        local: IpAddr::V4(SERVER),
        remote: router.into(),
        key: None,
        checksum: false,
        mtu: 0,
        dont_fragment: DontFragment::Honour,
        priority: 0,
        weight: 1,
        probe: None,
    }))
}

/// The rules' text, in pieces.
pub(crate) fn text(rules: u32) -> Vec<Item> {
    let all: Vec<Five> = (0..rules).map(|place| KIND.rule(TENANT, (place, rules))).collect();
    let text = KIND.ruleset(&all).to_string();
    let pieces = text.as_bytes().chunks(RULESET_TEXT_PER_ITEM_MAX);
    pieces.map(|text| Item::RulesetText { tenant: ID, text: text.into() }).collect()
}
