//! Links between server and clients: what they do to packets, and what they cannot be the reason of.

use std::net::SocketAddr;
use std::time::Duration;

use dataplane::fate::DropReason;
use dataplane::testing::server::Place;
use wireguard::time::Instant;

/// What a link does; rates in permille.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) loss: u64,
    pub(crate) duplicate: u64,
    pub(crate) delay: Duration,
    pub(crate) spread: Duration,
}

/// A link without a fault, 20 ms each way.
pub(crate) const GOOD: Link =
    Link { loss: 0, duplicate: 0, delay: Duration::from_millis(20), spread: Duration::ZERO };

/// Something on its way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flight {
    pub(crate) at: Instant,
    pub(crate) order: u64,
    pub(crate) cargo: Cargo,
}

/// A frame to the server, or a datagram with its source and destination.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cargo {
    ToServer(Place, Vec<u8>),
    ToClient(SocketAddr, SocketAddr, Vec<u8>),
}

/// What no link and no mishap here can be the reason of.
pub(crate) const NEVER: &[DropReason] = &[
    DropReason::ParseSegmented,
    DropReason::ParseTruncated,
    DropReason::ParseForeignStation,
    DropReason::ParseVlan,
    DropReason::ParseNeighbourMessage,
    DropReason::ParseIpVersion,
    DropReason::ParseIpHeaderLength,
    DropReason::ParseIpTotalLength,
    DropReason::ParseIpChecksum,
    DropReason::ParseIpExtension,
    DropReason::ParseIpSource,
    DropReason::ParseForeignAddress,
    DropReason::ParseFragment,
    DropReason::ParseUdpLength,
    DropReason::ParseUdpChecksum,
    DropReason::ParseNoKernel,
    DropReason::DosMessage,
    DropReason::DosMac1,
    DropReason::WireguardInner,
    DropReason::WireguardSource,
    DropReason::WireguardEcn,
    DropReason::RouteNone,
    DropReason::RouteHopLimit,
    DropReason::RouteDestination,
    DropReason::EgressTooBig,
    DropReason::EgressLoop,
    DropReason::EgressNoLocal,
    DropReason::SealExhausted,
    DropReason::LinkNoRoute,
    DropReason::LinkTableFull,
    DropReason::HandshakeFull,
    DropReason::HandshakeUnknownPeer,
    DropReason::HandshakeNoIndex,
    DropReason::TransmitFull,
    DropReason::KernelFull,
    DropReason::HandOverFull,
    DropReason::Stopped,
];
