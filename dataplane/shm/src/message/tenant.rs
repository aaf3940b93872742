//! Tenants: whose prefixes are protected, and how.

use ipnet::IpNet;
use zerocopy::transmute;

use super::address::{Prefix, put_all, read_all};
use super::choice::{Mode, SynGuard};
use super::command::{
    COMMAND_WORDS, Command, Item, TENANT, TENANT_PREFIXES, TENANT_REMOVE, TooMany,
};
use super::{Malformed, flag, reserved};
use crate::layout::{self, wire};
use crate::limits::TENANT_PREFIXES_MAX;

/// Prefixes in a tenant's first message, and in each that continues it.
const FIRST: usize = 8;
const MORE: usize = 9;

wire! {
    /// A tenant with the first of its prefixes; `more` says that a continuation follows.
    struct TenantWire {
        kind: u16,
        more: u8,
        count: u8,
        id: u32,
        syn_above: u32,
        out_of_state: u32,
        mode: u8,
        syn: u8,
        flows: u8,
        reserved: u8,
        prefixes: [Prefix; FIRST],
        rest: [u8; 12],
    }

    /// More prefixes of the tenant before.
    struct TenantPrefixesWire {
        kind: u16,
        more: u8,
        count: u8,
        id: u32,
        prefixes: [Prefix; MORE],
        rest: [u8; 6],
    }

    /// The end of a tenant.
    struct TenantRemoveWire {
        kind: u16,
        reserved: [u8; 2],
        id: u32,
        rest: [u8; 168],
    }
}

/// The shapes in this file, hashed.
pub(super) const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, TenantWire::SHAPE);
    let hash = layout::number(hash, TenantPrefixesWire::SHAPE);
    layout::number(hash, TenantRemoveWire::SHAPE)
};

/// An owner of prefixes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenant {
    /// By which control knows it.
    pub id: u32,
    /// What becomes of packets to it that shall be dropped.
    pub mode: Mode,
    /// How its servers are guarded against floods of SYNs.
    pub syn: SynGuard,
    /// From how many SYNs per second the guard acts; 0 is always.
    pub syn_above: u32,
    /// Whether packets of TCP are compared with connections.
    pub flows: bool,
    /// How many packets per second that belong to no connection go on.
    pub out_of_state: u32,
    /// Its prefixes, 1 to [`TENANT_PREFIXES_MAX`].
    pub prefixes: Vec<IpNet>,
}

impl Tenant {
    /// How many messages it takes.
    pub(super) fn message_count(&self) -> Result<usize, TooMany> {
        match self.prefixes.len() {
            count if count > TENANT_PREFIXES_MAX => Err(TooMany::Prefixes(count)),
            count => Ok(1 + count.saturating_sub(FIRST).div_ceil(MORE)),
        }
    }

    /// Appends its messages.
    pub(super) fn encode(&self, into: &mut Vec<[u64; COMMAND_WORDS]>) {
        let (first, rest) = self.prefixes.split_at_checked(FIRST).unwrap_or((&self.prefixes, &[]));
        let mut prefixes = Prefix::table();
        into.push(transmute!(TenantWire {
            kind: TENANT,
            more: u8::from(!rest.is_empty()),
            count: put_all(&mut prefixes, first),
            id: self.id,
            syn_above: self.syn_above,
            out_of_state: self.out_of_state,
            mode: self.mode.code(),
            syn: self.syn.code(),
            flows: u8::from(self.flows),
            reserved: 0,
            prefixes,
            rest: [0; 12],
        }));
        let mut left = rest.chunks(MORE);
        while let Some(some) = left.next() {
            let mut prefixes = Prefix::table();
            into.push(transmute!(TenantPrefixesWire {
                kind: TENANT_PREFIXES,
                more: u8::from(left.len() > 0),
                count: put_all(&mut prefixes, some),
                id: self.id,
                prefixes,
                rest: [0; 6],
            }));
        }
    }
}

impl TenantWire {
    /// The tenant, and whether it goes on.
    pub(super) fn read(&self) -> Result<Command, Malformed> {
        reserved(&[self.reserved])?;
        reserved(&self.rest)?;
        let tenant = Tenant {
            id: self.id,
            mode: Mode::read(self.mode)?,
            syn: SynGuard::read(self.syn)?,
            syn_above: self.syn_above,
            flows: flag(self.flows)?,
            out_of_state: self.out_of_state,
            prefixes: some(&self.prefixes, self.count)?,
        };
        Ok(Command::Item { item: Item::Tenant(Box::new(tenant)), more: flag(self.more)? })
    }
}

impl TenantPrefixesWire {
    /// The prefixes that continue a tenant.
    pub(super) fn read(&self) -> Result<Command, Malformed> {
        reserved(&self.rest)?;
        let prefixes = some(&self.prefixes, self.count)?;
        Ok(Command::Prefixes { tenant: self.id, prefixes, more: flag(self.more)? })
    }
}

impl TenantRemoveWire {
    /// The words of the end of a tenant.
    pub(super) fn encode(id: u32) -> [u64; COMMAND_WORDS] {
        transmute!(Self { kind: TENANT_REMOVE, reserved: [0; 2], id, rest: [0; 168] })
    }

    /// The tenant that ends.
    pub(super) fn read(&self) -> Result<Item, Malformed> {
        reserved(&self.reserved)?;
        reserved(&self.rest).map(|()| Item::TenantRemove(self.id))
    }
}

/// The prefixes of a table, of which there must be some.
fn some<const K: usize>(table: &[Prefix; K], count: u8) -> Result<Vec<IpNet>, Malformed> {
    if count == 0 { Err(Malformed::AddressCount(0)) } else { read_all(table, count) }
}
