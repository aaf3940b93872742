//! Tunnels: over which a tenant's packets reach its router, and how they stand.

mod told;

use std::net::IpAddr;
use std::time::Duration;

use zerocopy::{IntoBytes, transmute};

pub(super) use told::{TunnelCountWire, TunnelStateWire};

use super::address::Address;
use super::choice::{DontFragment, ProbeStyle};
use super::command::{COMMAND_WORDS, Item, TUNNEL, TUNNEL_REMOVE};
use super::{Malformed, flag, reserved};
use crate::layout::{self, wire};
use crate::limits::{
    PROBE_INTERVAL_MAX_MS, PROBE_INTERVAL_MIN_MS, TUNNEL_MTU_MAX, TUNNEL_MTU_MIN, TUNNEL_WEIGHT_MAX,
};

wire! {
    /// A tunnel.
    struct TunnelWire {
        kind: u16,
        dont_fragment: u8,
        /// 0 when it is not probed.
        probe: u8,
        id: u32,
        tenant: u32,
        key: u32,
        interval_ms: u32,
        mtu: u16,
        priority: u16,
        weight: u16,
        has_key: u8,
        checksum: u8,
        local: Address,
        remote: Address,
        probe_local: Address,
        probe_remote: Address,
        rest: [u8; 80],
    }

    /// The end of a tunnel.
    struct TunnelRemoveWire {
        kind: u16,
        reserved: [u8; 2],
        id: u32,
        rest: [u8; 168],
    }
}

/// The shapes of tunnels and of what is told of them, hashed.
pub(super) const SHAPE: u64 = {
    let hash = layout::number(layout::EMPTY, TunnelWire::SHAPE);
    let hash = layout::number(hash, TunnelRemoveWire::SHAPE);
    let hash = layout::number(hash, TunnelStateWire::SHAPE);
    layout::number(hash, TunnelCountWire::SHAPE)
};

/// A GRE tunnel (RFC 2784, RFC 2890) to a router of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// By which control knows it.
    pub id: u32,
    /// The tenant.
    pub tenant: u32,
    /// Our end.
    pub local: IpAddr,
    /// The other end, of the same family.
    pub remote: IpAddr,
    /// The key, when the tunnel has one.
    pub key: Option<u32>,
    /// Whether checksums are sent.
    pub checksum: bool,
    /// The largest inner packet, [`TUNNEL_MTU_MIN`] to [`TUNNEL_MTU_MAX`] octets; 0 for what the port leaves.
    pub mtu: u16,
    /// What is done where a packet may not be fragmented.
    pub dont_fragment: DontFragment,
    /// Those with the lowest are used, as long as one of them is not down.
    pub priority: u16,
    /// Its share among those, 1 to [`TUNNEL_WEIGHT_MAX`].
    pub weight: u16,
    /// How it is probed, when it is.
    pub probe: Option<Probe>,
}

/// How a tunnel is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// What is sent.
    pub style: ProbeStyle,
    /// Our address inside the tunnel.
    pub local: IpAddr,
    /// That of the other end, of the same family.
    pub remote: IpAddr,
    /// The time between two, in whole milliseconds.
    pub interval: Duration,
}

impl Tunnel {
    /// Its message.
    pub(super) fn encode(&self) -> [u64; COMMAND_WORDS] {
        transmute!(TunnelWire::from(self))
    }
}

impl From<&Tunnel> for TunnelWire {
    fn from(tunnel: &Tunnel) -> Self {
        let probe = tunnel.probe.as_ref();
        let inside = |address: fn(&Probe) -> IpAddr| {
            probe.map_or(Address::NONE, |probe| address(probe).into())
        };
        Self {
            kind: TUNNEL,
            dont_fragment: tunnel.dont_fragment.code(),
            probe: probe.map_or(0, |probe| probe.style.code()),
            id: tunnel.id,
            tenant: tunnel.tenant,
            key: tunnel.key.unwrap_or(0),
            interval_ms: probe.map_or(0, |probe| milliseconds(probe.interval)),
            mtu: tunnel.mtu,
            priority: tunnel.priority,
            weight: tunnel.weight,
            has_key: u8::from(tunnel.key.is_some()),
            checksum: u8::from(tunnel.checksum),
            local: tunnel.local.into(),
            remote: tunnel.remote.into(),
            probe_local: inside(|probe| probe.local),
            probe_remote: inside(|probe| probe.remote),
            rest: [0; 80],
        }
    }
}

impl TunnelWire {
    /// The tunnel.
    pub(super) fn read(&self) -> Result<Item, Malformed> {
        let (local, remote) = ends(&self.local, &self.remote)?;
        let tunnel = Tunnel {
            id: self.id,
            tenant: self.tenant,
            local,
            remote,
            key: flag(self.has_key)?.then_some(self.key),
            checksum: flag(self.checksum)?,
            mtu: mtu(self.mtu)?,
            dont_fragment: DontFragment::read(self.dont_fragment)?,
            priority: self.priority,
            weight: weight(self.weight)?,
            probe: self.probe()?,
        };
        // A key, or a probe, that is not there leaves fields without a meaning. Writing it again and comparing says that
        // they are zero without naming each.
        let again = Self::from(&tunnel);
        if again.as_bytes() == self.as_bytes() {
            Ok(Item::Tunnel(Box::new(tunnel)))
        } else {
            Err(Malformed::Reserved)
        }
    }

    fn probe(&self) -> Result<Option<Probe>, Malformed> {
        if self.probe == 0 {
            return Ok(None);
        }
        let style = ProbeStyle::read(self.probe)?;
        let (local, remote) = ends(&self.probe_local, &self.probe_remote)?;
        let ms = u64::from(self.interval_ms);
        if !(PROBE_INTERVAL_MIN_MS..=PROBE_INTERVAL_MAX_MS).contains(&ms) {
            return Err(Malformed::Interval(self.interval_ms));
        }
        Ok(Some(Probe { style, local, remote, interval: Duration::from_millis(ms) }))
    }
}

impl TunnelRemoveWire {
    /// The words of the end of a tunnel.
    pub(super) fn encode(id: u32) -> [u64; COMMAND_WORDS] {
        transmute!(Self { kind: TUNNEL_REMOVE, reserved: [0; 2], id, rest: [0; 168] })
    }

    /// The tunnel that ends.
    pub(super) fn read(&self) -> Result<Item, Malformed> {
        reserved(&self.reserved)?;
        reserved(&self.rest).map(|()| Item::TunnelRemove(self.id))
    }
}

/// Both ends, which must be there and of one family.
fn ends(local: &Address, remote: &Address) -> Result<(IpAddr, IpAddr), Malformed> {
    let (local, remote) = (local.required()?, remote.required()?);
    let is_one = local.is_ipv4() == remote.is_ipv4();
    is_one.then_some((local, remote)).ok_or(Malformed::Families)
}

fn mtu(mtu: u16) -> Result<u16, Malformed> {
    match mtu {
        0 | TUNNEL_MTU_MIN..=TUNNEL_MTU_MAX => Ok(mtu),
        other => Err(Malformed::Mtu(other)),
    }
}

fn weight(weight: u16) -> Result<u16, Malformed> {
    match weight {
        1..=TUNNEL_WEIGHT_MAX => Ok(weight),
        other => Err(Malformed::Weight(other)),
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
