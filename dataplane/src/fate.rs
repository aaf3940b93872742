//! What becomes of a frame: one [`Fate`] each, and one [`DropReason`] for every way to lose it.

use crate::neighbours::NeighbourId;

/// The end of a frame's way through the stages; the worker acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No stage has decided yet.
    Undecided,
    /// Leave by this port; the link header is written.
    Transmit(u8),
    /// To the kernel's face of this port, as it came (an Ethernet frame without tag).
    Kernel(u8),
    /// To the kernel as an inner packet.
    Local,
    /// To another worker, with the entry that it shall take there.
    HandOver(u8),
    /// A handshake message that has passed its first checks: to the handshake threads.
    Handshake,
    /// Kept until a session, a neighbour or the rest of its datagram is there.
    Hold(Waiting),
    /// Too long for its tunnel: it goes on in pieces that fit.
    Split(Split),
    /// Too long for its way on: it comes in again, by its own entry, in pieces of at most so many octets.
    Cut(u16),
    /// Too long for the client with this number on the server, or for this machine ([`MACHINE`]): it goes there in pieces that fit.
    Pieces(u32),
    /// Its purpose is fulfilled (a keepalive, an answered or learned neighbour message).
    Consumed,
    /// Lost, and counted under this name.
    Drop(DropReason),
}

impl Fate {
    /// In pieces of at most so many octets.
    pub fn cut(room: usize) -> Self {
        Self::Cut(u16::try_from(room).unwrap_or(u16::MAX))
    }
}

/// The number of this machine among its clients.
pub const MACHINE: u32 = u32::MAX;

/// How an IPv4 packet goes on in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Octets of the longest piece.
    pub mtu: u16,
    /// The number of the tunnel that each takes.
    pub tunnel: u16,
}

/// What a held frame waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Waiting {
    /// A session with this peer (number on its own worker).
    Peer(u32),
    /// The link address of this neighbour.
    Neighbour(NeighbourId),
    /// The other fragments of this datagram (an id of the worker's
    /// [`Fragments`](crate::stages::tenant::fragments::Fragments)).
    Datagram(u32),
    /// The first fragment of this datagram, by which the others are translated (an id of the worker's
    /// [`Translator`](crate::stages::egress::nat::Translator)).
    First(u32),
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a frame was lost, in the order of the stages. `dataplane/README.md` tells the operator what
        /// to do about each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DropReason { $($(#[doc = $doc])+ $variant,)+ }

        impl DropReason {
            /// Every reason, in stage order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The counter's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

reasons! {
    /// The frame lies in several buffers; the device was set up for larger frames than the pool.
    ParseSegmented = "parse_segmented",
    /// Ends before its headers do.
    ParseTruncated = "parse_truncated",
    /// Addressed to another station's link address.
    ParseForeignStation = "parse_foreign_station",
    /// Tagged when the port has no VLAN, untagged or wrongly tagged when it has one.
    ParseVlan = "parse_vlan",
    /// An ARP or neighbour-discovery message that breaks its RFC.
    ParseNeighbourMessage = "parse_neighbour_message",
    /// The version field does not match the Ethernet type.
    ParseIpVersion = "parse_ip_version",
    /// The header length is below the minimum or past the packet.
    ParseIpHeaderLength = "parse_ip_header_length",
    /// The total length is below the header's or past the frame.
    ParseIpTotalLength = "parse_ip_total_length",
    /// The IPv4 header checksum is wrong.
    ParseIpChecksum = "parse_ip_checksum",
    /// Too many, too long, misplaced or deprecated IPv6 extension headers.
    ParseIpExtension = "parse_ip_extension",
    /// A source that no packet may come from (multicast, loopback, unspecified, our own), or an IPv4-mapped
    /// address in an IPv6 header.
    ParseIpSource = "parse_ip_source",
    /// To an address that is not ours.
    ParseForeignAddress = "parse_foreign_address",
    /// A fragment of a UDP datagram: its port cannot be known.
    ParseFragment = "parse_fragment",
    /// The UDP length is below 8, or not that of the packet.
    ParseUdpLength = "parse_udp_length",
    /// The UDP checksum is wrong, or missing over IPv6.
    ParseUdpChecksum = "parse_udp_checksum",
    /// For the kernel, but the port has no `kernel` interface.
    ParseNoKernel = "parse_no_kernel",
    /// A fragment that nobody honest makes: empty, without the header that says what it is of, over that header, or of a SYN.
    DosFragment = "dos_fragment",
    /// An upper header that cannot be: cut off, of an impossible length, or without a port.
    DosTransport = "dos_transport",
    /// TCP flags that no connection has.
    DosFlags = "dos_flags",
    /// From the address that it goes to.
    DosLand = "dos_land",
    /// From an address that nobody on the Internet has.
    DosBogon = "dos_bogon",
    /// From the port of a service that is used to reflect floods.
    DosReflection = "dos_reflection",
    /// Its source is on a block list.
    DosBlocked = "dos_blocked",
    /// It looks as a signature says.
    DosSignature = "dos_signature",
    /// Its source sends more than a limit allows.
    DosSourceLimit = "dos_source_limit",
    /// A SYN to a tenant, from a source that has not proven itself yet; a client repeats it.
    DosSyn = "dos_syn",
    /// A segment to a tenant that belongs to no flow, beyond what the tenant allows of those.
    DosState = "dos_state",
    /// Its destination gets more than a limit allows.
    DosDestinationLimit = "dos_destination_limit",
    /// More of its class than a budget allows.
    DosBudget = "dos_budget",
    /// To the WireGuard port, but no WireGuard message: unknown type or wrong length.
    DosMessage = "dos_message",
    /// The first MAC is not made with our public key.
    DosMac1 = "dos_mac1",
    /// Under load: this source, or this answer, comes too often.
    DosHandshakeLimit = "dos_handshake_limit",
    /// Under load: what strangers may take of the handshake threads, or of cookies, is used up.
    DosHandshakeBudget = "dos_handshake_budget",
    /// Sealed for a server that the fleet does not have.
    SteerForeignServer = "steer_foreign_server",
    /// Sealed for a worker that this server does not have.
    SteerForeignWorker = "steer_foreign_worker",
    /// For whichever server has this client, while control has not told which there are.
    SteerUntold = "steer_untold",
    /// Sealed for a session that has ended with its server.
    SteerDeadSession = "steer_dead_session",
    /// Passed on to us by another server, but not ours; nothing is passed on by its index twice.
    SteerMisdirected = "steer_misdirected",
    /// Passed on by more servers than any view of the fleet explains.
    SteerHops = "steer_hops",
    /// Passed on under a membership that is nowhere near ours.
    SteerGeneration = "steer_generation",
    /// To the fleet's port, but not from a member, or without a member's proof.
    SteerOutsider = "steer_outsider",
    /// From a member, but with a header that means nothing.
    SteerHeader = "steer_header",
    /// Does not fit the way to the server that has its client.
    SteerTooBig = "steer_too_big",
    /// No session has this receiver index.
    WireguardUnknownIndex = "wireguard_unknown_index",
    /// The session is past its 180 seconds or its messages.
    WireguardExpired = "wireguard_expired",
    /// The counter was seen before or lies behind the window.
    WireguardReplay = "wireguard_replay",
    /// The tag does not fit: forged or damaged.
    WireguardTag = "wireguard_tag",
    /// The opened packet is no IP packet, or its length lies.
    WireguardInner = "wireguard_inner",
    /// The opened packet's source does not belong to this peer.
    WireguardSource = "wireguard_source",
    /// The outer path says congestion where the inner packet cannot carry it (RFC 6040).
    WireguardEcn = "wireguard_ecn",
    /// A fragment of a datagram that cannot be (its fragments overlap, or do not add up), or one that came twice.
    TenantFragment = "tenant_fragment",
    /// A fragment to a tenant whose datagram was not complete in time.
    TenantFragmentLost = "tenant_fragment_lost",
    /// Too many datagrams to tenants, or to this one, or too many of their fragments, wait already.
    TenantFragmentsFull = "tenant_fragments_full",
    /// A rule of its tenant drops it.
    TenantRule = "tenant_rule",
    /// No rule of its tenant accepts it, and the tenant's policy is to drop.
    TenantPolicy = "tenant_policy",
    /// No route to the inner destination.
    RouteNone = "route_none",
    /// A route that leads nowhere by somebody's will.
    RouteRejected = "route_rejected",
    /// The hop limit is used up.
    RouteHopLimit = "route_hop_limit",
    /// An inner destination that is not forwarded (multicast, broadcast, loopback, unspecified).
    RouteDestination = "route_destination",
    /// From a tunnel: a GRE header that cannot be or whose checksum is wrong, or a fragment of an outer packet.
    EgressGreHeader = "egress_gre_header",
    /// No tunnel has these addresses and this key.
    EgressGreTunnel = "egress_gre_tunnel",
    /// Neither IPv4 nor IPv6 inside, or not what the header says, or broken.
    EgressGrePayload = "egress_gre_payload",
    /// The inner packet's source is not the tenant's that has the tunnel.
    EgressGreSource = "egress_gre_source",
    /// GRE to this server inside GRE.
    EgressGreRecursion = "egress_gre_recursion",
    /// The outer path says congestion where the inner packet cannot carry it (RFC 6040).
    EgressGreEcn = "egress_gre_ecn",
    /// To or from the Internet by a translated address, and the upper header is cut short.
    EgressNatHeader = "egress_nat_header",
    /// Neither TCP, UDP nor ICMP that can be translated.
    EgressNatProtocol = "egress_nat_protocol",
    /// A client's TCP segment that begins nothing and belongs to nothing.
    EgressNatState = "egress_nat_state",
    /// From the Internet to an address and port that no client has.
    EgressNatUnknown = "egress_nat_unknown",
    /// From the Internet to a client's port, from an address that the client has sent nothing to.
    EgressNatFiltered = "egress_nat_filtered",
    /// An ICMP error about no packet of a flow.
    EgressNatError = "egress_nat_error",
    /// A later fragment before its first, or one of too many datagrams in pieces.
    EgressNatFragment = "egress_nat_fragment",
    /// The client has as many flows, ports or half-open connections as one may have.
    EgressNatClient = "egress_nat_client",
    /// The table of flows is full.
    EgressNatFull = "egress_nat_full",
    /// All ports of the client's outer address are in use or at rest.
    EgressNatPorts = "egress_nat_ports",
    /// An IPv6 address that has no other under the prefix by which the Internet knows it.
    EgressNatPrefix = "egress_nat_prefix",
    /// A segment of a connection that is being opened by CONNECT, too early, again, or out of order.
    EgressConnectUntimely = "egress_connect_untimely",
    /// A segment that a connection being opened by CONNECT cannot have.
    EgressConnectSegment = "egress_connect_segment",
    /// No room for another connection to be opened by CONNECT, for this client or at all, or for what it says early.
    EgressConnectFull = "egress_connect_full",
    /// No machine of the data centre takes CONNECT requests of this family.
    EgressConnectRoute = "egress_connect_route",
    /// Options of TCP that no splice can carry, or a SYN that asks for nothing.
    EgressConnectRefused = "egress_connect_refused",
    /// To the CONNECT port from somebody who may not ask.
    EgressConnectSource = "egress_connect_source",
    /// In GRE in UDP for an exit, or back from one, but not from a data centre of ours, or without its proof.
    EgressViaSource = "egress_via_source",
    /// From a data centre of ours in GRE in UDP, with a header that means nothing or a broken packet.
    EgressViaHeader = "egress_via_header",
    /// For an address or a port to which an exit sends nothing.
    EgressViaTarget = "egress_via_target",
    /// Back from an exit, to an address and port that has nothing there, or to no client.
    EgressViaUnknown = "egress_via_unknown",
    /// From an IPv6 address of another data centre's client that is another's here.
    EgressViaAddress = "egress_via_address",
    /// No room for another mapping or client whose packets leave at another data centre, or for another client of one.
    EgressViaFull = "egress_via_full",
    /// Larger than what fits the path to the client, or the kernel's interface.
    EgressTooBig = "egress_too_big",
    /// To the Internet from an address that is not the Internet's, and not translated.
    EgressNoNat = "egress_no_nat",
    /// From the kernel back to the kernel, or out of a tunnel back into it.
    EgressLoop = "egress_loop",
    /// For this machine, but there is no `[local]` interface.
    EgressNoLocal = "egress_no_local",
    /// For a client that was removed meanwhile.
    SealNoPeer = "seal_no_peer",
    /// The peer has no known endpoint.
    SealNoEndpoint = "seal_no_endpoint",
    /// The session may not send any more and a new one is not there yet.
    SealExhausted = "seal_exhausted",
    /// No route to the outer destination.
    LinkNoRoute = "link_no_route",
    /// The neighbour table is full.
    LinkTableFull = "link_table_full",
    /// The neighbour did not answer.
    LinkUnresolved = "link_unresolved",
    /// Too many frames wait already.
    HoldFull = "hold_full",
    /// The peer did not answer the handshake in time.
    HoldExpired = "hold_expired",
    /// The ring of the handshake threads is full.
    HandshakeFull = "handshake_full",
    /// A handshake message that does not open.
    HandshakeInvalid = "handshake_invalid",
    /// The initiator's key belongs to no peer.
    HandshakeUnknownPeer = "handshake_unknown_peer",
    /// The initiation is not newer than the last one of this peer.
    HandshakeReplay = "handshake_replay",
    /// This peer initiates too often.
    HandshakeFlood = "handshake_flood",
    /// A response or cookie for an initiation that we did not send.
    HandshakeUnexpected = "handshake_unexpected",
    /// No receiver index is free on the peer's worker.
    HandshakeNoIndex = "handshake_no_index",
    /// The device's transmit queue is full.
    TransmitFull = "transmit_full",
    /// The kernel's interface takes no more.
    KernelFull = "kernel_full",
    /// The ring to the other worker is full.
    HandOverFull = "hand_over_full",
    /// Held when the program stopped.
    Stopped = "stopped",
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_begin_with_their_stage() {
        let names: std::collections::HashSet<_> =
            DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
        for (position, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, position, "{} stands in order", reason.name());
        }
    }
}
