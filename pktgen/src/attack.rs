//! Attacks: every way to make a server lose packets, by the name under which it counts them, and the floods
//! of the Internet. For servers of one's own: a server that was not asked to be attacked is none of ours.
//!
//! [`Builder`] gives whole Ethernet frames without I/O, clock or allocation: a template is made once, and of
//! each copy a few fields change. The same seed gives the same frames.

mod builder;
mod dice;
mod floods;
mod frame;
mod handshakes;
mod outer;
mod scene;
mod sealed;
mod transit;

use std::fmt;

pub use builder::{Builder, Error};
pub use scene::{Captured, Client, Counters, Fleet, Link, Need, Scene};

use floods::Flood;
use handshakes::Knock;
use outer::Change;
use sealed::{Forgery, Trick};
use transit::Packet;

/// Octets that the buffer for a frame has to have: a tagged frame of 1500 octets, and what vector code may
/// write behind a sealed packet.
pub const ROOM: usize = 1_600;

macro_rules! attacks {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $way:expr;)+) => {
        /// An attack. Those of [`Attack::PROVOKED`] bear the name of the drop reason that they provoke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Attack { $($(#[doc = $doc])+ $variant,)+ }

        impl Attack {
            /// Every attack: first the drop reasons in stage order, then the floods.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Its name on the command line and in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it does, in a sentence or two.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }

            const fn way(self) -> Way {
                match self { $(Self::$variant => $way,)+ }
            }
        }
    };
}

attacks! {
    /// Frames that end within the link header; a device that pads short frames delivers none of them.
    ParseTruncated = "parse_truncated", Way::Outer(Change::Cut);
    /// Datagrams to stations that are not the server's, as a flooding switch delivers them.
    ParseForeignStation = "parse_foreign_station", Way::Outer(Change::Station);
    /// Datagrams under VLAN tags that are not the server's.
    ParseVlan = "parse_vlan", Way::Outer(Change::Tag);
    /// ARP messages with unknown hardware or operation, or from a group.
    ParseNeighbourMessage = "parse_neighbour_message", Way::Outer(Change::Neighbour);
    /// IPv4 frames whose version field says something else.
    ParseIpVersion = "parse_ip_version", Way::Outer(Change::Version);
    /// IPv4 headers that say they are shorter than 20 octets.
    ParseIpHeaderLength = "parse_ip_header_length", Way::Outer(Change::HeaderLength);
    /// IPv4 packets that say they are shorter than their header or longer than the frame.
    ParseIpTotalLength = "parse_ip_total_length", Way::Outer(Change::TotalLength);
    /// IPv4 headers with one wrong bit in the checksum.
    ParseIpChecksum = "parse_ip_checksum", Way::Outer(Change::HeaderChecksum);
    /// IPv6 packets with source routing, late hop-by-hop options, or too many extension headers.
    ParseIpExtension = "parse_ip_extension", Way::Outer(Change::Extensions);
    /// Datagrams from loopback, multicast, unspecified and the server's own addresses.
    ParseIpSource = "parse_ip_source", Way::Outer(Change::Source);
    /// Datagrams to addresses that the server does not have.
    ParseForeignAddress = "parse_foreign_address", Way::Outer(Change::Destination);
    /// First, middle and last fragments of UDP datagrams that never become whole.
    ParseFragment = "parse_fragment", Way::Outer(Change::Fragment);
    /// Datagrams whose UDP length is not that of the packet.
    ParseUdpLength = "parse_udp_length", Way::Outer(Change::UdpLength);
    /// Datagrams with one wrong bit in the UDP checksum; a device may drop them before the server does.
    ParseUdpChecksum = "parse_udp_checksum", Way::Outer(Change::UdpChecksum);
    /// TCP SYNs to the kernel, at a server whose port has no kernel interface.
    ParseNoKernel = "parse_no_kernel", Way::Outer(Change::Kernels);
    /// First fragments without the flags of TCP, and fragments that lie over them.
    DosFragment = "dos_fragment", Way::Transit(Packet::Torn);
    /// TCP headers that are cut off, say that they are, or have a port 0.
    DosTransport = "dos_transport", Way::Transit(Packet::Cut);
    /// TCP segments with no flags, all of them, or such as exclude each other.
    DosFlags = "dos_flags", Way::Transit(Packet::Flags);
    /// TCP SYNs to a tenant from the addresses that they go to.
    DosLand = "dos_land", Way::Transit(Packet::Land);
    /// Datagrams from private and other prefixes that nobody on the Internet has; where that check is enforced.
    DosBogon = "dos_bogon", Way::Transit(Packet::Bogon);
    /// Answers of DNS, NTP and other services to a tenant that has not asked; where that check is enforced.
    DosReflection = "dos_reflection", Way::Transit(Packet::Reflected);
    /// Datagrams from the prefixes of benchmarks (RFC 2544, RFC 5180): where a list blocks them.
    DosBlocked = "dos_blocked", Way::Transit(Packet::Spoofed);
    /// Datagrams of 341 octets with their header from port 4321, from spoofed sources: where a signature says so.
    DosSignature = "dos_signature", Way::Transit(Packet::Alike);
    /// Datagrams from one heavy source: where there is a limit for each source.
    DosSourceLimit = "dos_source_limit", Way::Transit(Packet::Heavy);
    /// TCP SYNs to a tenant from spoofed sources: where its guard acts.
    DosSyn = "dos_syn", Way::Transit(Packet::Syn);
    /// TCP segments to a tenant that belong to no connection: where its flows are followed.
    DosState = "dos_state", Way::Transit(Packet::Ack);
    /// Datagrams from many light sources to one destination: where there is a limit for it.
    DosDestinationLimit = "dos_destination_limit", Way::Transit(Packet::Light);
    /// Pings from spoofed sources: where there is a limit for all of them.
    DosBudget = "dos_budget", Way::Transit(Packet::Echo);
    /// Random datagrams to the WireGuard port that fit no message.
    DosMessage = "dos_message", Way::Handshake(Knock::Noise);
    /// Initiations of random octets, made without the server's key.
    DosMac1 = "dos_mac1", Way::Handshake(Knock::Mac1);
    /// Initiations with right first and second MACs from one address, when enough of them have come to make a load. The
    /// builder has to learn the server's cookie, which lives two minutes.
    DosHandshakeLimit = "dos_handshake_limit", Way::Handshake(Knock::Cookie);
    /// Data messages for other servers of the fleet; without the fleet's permutation, for random indices, of
    /// which one in the number of servers is for this one.
    SteerForeignServer = "steer_foreign_server", Way::Forged(Forgery::ForeignServer);
    /// Data messages for workers that the server does not have.
    SteerForeignWorker = "steer_foreign_worker", Way::Forged(Forgery::ForeignWorker);
    /// Data messages for slots without a session, or for a session that has ended.
    WireguardUnknownIndex = "wireguard_unknown_index", Way::Forged(Forgery::UnknownIndex);
    /// Data messages to a live session with counters past the last that it may use: as good as expired.
    WireguardExpired = "wireguard_expired", Way::Forged(Forgery::Exhausted);
    /// Captured data messages, from spoofed sources.
    WireguardReplay = "wireguard_replay", Way::Forged(Forgery::Again);
    /// Data messages to a live session with new counters and random tags: the server has to try each.
    WireguardTag = "wireguard_tag", Way::Forged(Forgery::Tag);
    /// Well sealed text that is no IP packet.
    WireguardInner = "wireguard_inner", Way::Sealed(Trick::NoPacket);
    /// Well sealed packets with a source address that is not the client's.
    WireguardSource = "wireguard_source", Way::Sealed(Trick::Source);
    /// Sealed packets marked with congestion outside, which cannot be marked inside.
    WireguardEcn = "wireguard_ecn", Way::Sealed(Trick::Congestion);
    /// Sealed ICMP errors to where there is no route; nothing may be answered to them.
    RouteNone = "route_none", Way::Sealed(Trick::Unrouted);
    /// Sealed ICMP errors with one hop left.
    RouteHopLimit = "route_hop_limit", Way::Sealed(Trick::HopLimit);
    /// Sealed packets to a multicast group.
    RouteDestination = "route_destination", Way::Sealed(Trick::Multicast);
    /// Sealed ICMP errors that just fit IPv4 outside and do not fit IPv6.
    EgressTooBig = "egress_too_big", Way::Sealed(Trick::TooBig);
    /// Sealed packets to the server's kernel, at a server without an interface for them.
    EgressNoLocal = "egress_no_local", Way::Sealed(Trick::Local);
    /// Sealed packets to a peer that has never called.
    SealNoEndpoint = "seal_no_endpoint", Way::Sealed(Trick::Silent);
    /// A client moves to IPv6 addresses for which the server has no router, and sends to itself.
    LinkNoRoute = "link_no_route", Way::Sealed(Trick::Astray);
    /// A client moves through very many addresses of the server's link, and sends to itself: with each turn of
    /// the server the last one takes a row of the neighbour table. What waits meanwhile counts as `hold_full`
    /// and `link_unresolved`.
    LinkTableFull = "link_table_full", Way::Sealed(Trick::Crowd);
    /// A client moves through a few addresses of the server's link where nobody is, and sends to itself: lost
    /// after three questions.
    LinkUnresolved = "link_unresolved", Way::Sealed(Trick::Ghosts);
    /// Sealed packets to a peer that does not answer, more than may wait for it.
    HoldFull = "hold_full", Way::Sealed(Trick::Absent);
    /// Sealed packets to a peer that does not answer; at most 16 in 12 s, or they count as `hold_full`.
    HoldExpired = "hold_expired", Way::Sealed(Trick::Absent);
    /// Initiations with a right first MAC and nothing else.
    HandshakeInvalid = "handshake_invalid", Way::Handshake(Knock::Mac1Only);
    /// Good initiations of a key that is not registered: two X25519 for the server, one MAC for us.
    HandshakeUnknownPeer = "handshake_unknown_peer", Way::Handshake(Knock::Stranger);
    /// A captured initiation, from spoofed sources.
    HandshakeReplay = "handshake_replay", Way::Handshake(Knock::Again);
    /// Good initiations of a registered client, each newer than the last, faster than is allowed.
    HandshakeFlood = "handshake_flood", Way::Handshake(Knock::Eager);
    /// Responses and cookie replies that nobody has asked for.
    HandshakeUnexpected = "handshake_unexpected", Way::Handshake(Knock::Unexpected);

    /// TCP SYNs from spoofed sources to ports of well-known services and others.
    SynFlood = "syn_flood", Way::Flood(Flood::Syn);
    /// UDP datagrams of three sizes from spoofed sources to random ports.
    SpoofedUdp = "spoofed_udp", Way::Flood(Flood::Udp);
    /// Answers of DNS, NTP, memcached and seven other services to questions that nobody asked.
    Reflection = "reflection", Way::Flood(Flood::Reflection);
    /// Initiations with a right first MAC from spoofed sources: half of them garbage, half good ones of a
    /// stranger.
    InitiationFlood = "initiation_flood", Way::Mix(Mix::Initiations);
    /// Captured messages of every type, from spoofed sources.
    Replay = "replay", Way::Mix(Mix::Captured);
    /// Data messages for random indices, as one sends them who knows nothing of the server.
    UnknownIndex = "unknown_index", Way::Forged(Forgery::AnyIndex);
    /// Data messages of all lengths to a live session with random tags.
    ForgedTag = "forged_tag", Way::Forged(Forgery::TagOfAnyLength);
    /// Fragments of UDP, TCP and ICMP that never become whole.
    Fragments = "fragments", Way::Mix(Mix::Fragments);
    /// Every fault of IPv4, IPv6 and UDP headers in turn, of those that the scene allows.
    MalformedHeaders = "malformed_headers", Way::Mix(Mix::Malformed);
    /// TCP segments with ACK from spoofed sources, to a tenant.
    AckFlood = "ack_flood", Way::Transit(Packet::Ack);
    /// TCP resets from spoofed sources, to a tenant or the server.
    RstFlood = "rst_flood", Way::Transit(Packet::Rst);
    /// Answers of well-known servers to SYNs that nobody sent, to a tenant or the server.
    SynAckReflection = "syn_ack_reflection", Way::Transit(Packet::SynAck);
    /// Datagrams of three sizes from spoofed sources to all addresses of a tenant, a little to each.
    CarpetBombing = "carpet_bombing", Way::Transit(Packet::Spoofed);
    /// Pings of death: last fragments that end beyond the largest packet, to a tenant or the server.
    PingOfDeath = "ping_of_death", Way::Transit(Packet::Oversized);
    /// Pings from spoofed sources, to a tenant or the server.
    IcmpFlood = "icmp_flood", Way::Transit(Packet::Echo);
    /// GRE packets from sources that are no tunnel's far end.
    GreWrongSource = "gre_wrong_source", Way::Flood(Flood::Gre);
}

/// Drop reasons that no packet from outside provokes by itself, and why.
pub const NOT_FROM_OUTSIDE: &[(&str, &str)] = &[
    ("parse_segmented", "the device and its pool decide how a frame lies in buffers"),
    (
        "dos_handshake_budget",
        "takes proven addresses of very many networks, and one generator has one",
    ),
    ("steer_untold", "only a server of a fleet whose control is silent loses packets so"),
    ("steer_dead_session", "only a fleet of which a server has died has such sessions"),
    ("steer_misdirected", "only a server of the fleet can pass on what is not another one's"),
    ("steer_hops", "only a server of the fleet passes packets on"),
    ("steer_generation", "only a server of the fleet passes packets on"),
    ("steer_outsider", "only a server of a fleet listens to others: its tests try it"),
    ("steer_header", "only a server of the fleet gets as far as its header"),
    ("steer_too_big", "only a server of a fleet has a way to others that can be too narrow"),
    ("route_rejected", "only a route that its operator lays: route_none towards it is counted so"),
    ("tenant_fragment", "only to a tenant with a tunnel: the server's own tests send its pieces"),
    (
        "tenant_fragment_lost",
        "only to a tenant with a tunnel: the server's own tests send its pieces",
    ),
    (
        "tenant_fragments_full",
        "only to a tenant with a tunnel: the server's own tests send its pieces",
    ),
    (
        "tenant_rule",
        "what a tenant's rules say is for the tenant to know: its tests send what they drop",
    ),
    (
        "tenant_policy",
        "what a tenant's rules say is for the tenant to know: its tests send what they drop",
    ),
    ("egress_no_nat", "only a client of a server whose routes lead it straight to the Internet"),
    ("egress_gre_header", "only a tenant's router sends into a tunnel: its tests try it"),
    ("egress_gre_tunnel", "only a tenant's router sends into a tunnel: its tests try it"),
    ("egress_gre_payload", "only a tenant's router sends into a tunnel: its tests try it"),
    ("egress_gre_source", "only a tenant's router sends into a tunnel: its tests try it"),
    ("egress_gre_recursion", "only a tenant's router sends into a tunnel: its tests try it"),
    ("egress_gre_ecn", "only a tenant's router sends into a tunnel: its tests try it"),
    ("egress_nat_header", "only a server that translates has it: its tests try it"),
    ("egress_nat_protocol", "only a server that translates has it: its tests try it"),
    ("egress_nat_state", "only a server that translates has it: its tests try it"),
    ("egress_nat_unknown", "only a server that translates has it: its tests try it"),
    ("egress_nat_filtered", "only a server that translates has it: its tests try it"),
    ("egress_nat_error", "only a server that translates has it: its tests try it"),
    ("egress_nat_fragment", "only a server that translates has it: its tests try it"),
    ("egress_nat_client", "only a server that translates has it: its tests try it"),
    ("egress_nat_full", "only a server that translates has it: its tests try it"),
    ("egress_nat_ports", "only a server that translates has it: its tests try it"),
    ("egress_nat_prefix", "only a server that translates has it: its tests try it"),
    ("egress_connect_untimely", "only a server that splices has it: its tests try it"),
    ("egress_connect_segment", "only a server that splices has it: its tests try it"),
    ("egress_connect_full", "only a server that splices has it: its tests try it"),
    ("egress_connect_route", "only a server that splices has it: its tests try it"),
    ("egress_connect_refused", "only a server that splices has it: its tests try it"),
    ("egress_connect_source", "only a server that splices has it: its tests try it"),
    ("egress_via_source", "only a server that knows other data centres has it: its tests try it"),
    ("egress_via_header", "only a server that knows other data centres has it: its tests try it"),
    ("egress_via_target", "only a server that knows other data centres has it: its tests try it"),
    ("egress_via_unknown", "only a server that knows other data centres has it: its tests try it"),
    ("egress_via_address", "only a server that knows other data centres has it: its tests try it"),
    ("egress_via_full", "only a server that knows other data centres has it: its tests try it"),
    ("egress_loop", "only the server's own kernel sends what would go back to it"),
    ("seal_no_peer", "only control removes a peer, and packets are lost in that moment alone"),
    ("seal_exhausted", "a session may send 2^64 - 2^13 - 1 messages: nobody lives to see the next"),
    (
        "handshake_full",
        "under load strangers lose theirs as dos_handshake_budget, and others do not come so often",
    ),
    ("handshake_no_index", "each peer has slots for all the sessions that it can have"),
    ("transmit_full", "the speed of the device, not a packet, fills its queue"),
    (
        "kernel_full",
        "the speed of the kernel, not a packet, fills its queue: see syn_flood at a high rate",
    ),
    ("hand_over_full", "the speed of another worker, not a packet, fills its ring"),
    ("stopped", "only the operator stops the server"),
];

/// How an attack's frames are made.
#[derive(Clone, Copy, Debug)]
enum Way {
    Outer(Change),
    Handshake(Knock),
    Forged(Forgery),
    Sealed(Trick),
    Flood(Flood),
    Transit(Packet),
    Mix(Mix),
}

/// Several ways by turns of chance.
#[derive(Clone, Copy, Debug)]
enum Mix {
    Initiations,
    Captured,
    Fragments,
    Malformed,
}

/// What the generator does for each frame, from cheap to dear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// A copy, a few fields, and the differences that they make to checksums.
    Copy,
    /// Also a keyed BLAKE2s over 116 octets.
    Mac,
    /// Also a ChaCha20-Poly1305 over the packet.
    Aead,
    /// Also a Noise initiation: two X25519 and its seals.
    Noise,
}

/// What an attacker has to know beside what everybody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Knowledge {
    /// Nothing.
    Common,
    /// Messages of a live session, seen on the wire.
    Captured,
    /// A live session of his own.
    Session,
}

impl Attack {
    /// Those that bear the name of the drop reason that they provoke, in stage order.
    pub const PROVOKED: &'static [Self] = {
        let (provoked, _) = Self::ALL.split_at(Self::SynFlood as usize);
        provoked
    };

    /// The attack of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|attack| attack.name() == name).copied()
    }

    /// Whether it needs to see what the server answers.
    pub const fn learns(self) -> bool {
        matches!(self.way(), Way::Handshake(Knock::Cookie))
    }

    /// What it is made of.
    pub const fn knowledge(self) -> Knowledge {
        match self.way() {
            Way::Sealed(_)
            | Way::Handshake(Knock::Eager)
            | Way::Forged(
                Forgery::UnknownIndex | Forgery::Exhausted | Forgery::Tag | Forgery::TagOfAnyLength,
            ) => Knowledge::Session,
            Way::Forged(Forgery::Again)
            | Way::Handshake(Knock::Again)
            | Way::Mix(Mix::Captured) => Knowledge::Captured,
            Way::Outer(_)
            | Way::Handshake(_)
            | Way::Forged(_)
            | Way::Flood(_)
            | Way::Transit(_)
            | Way::Mix(Mix::Initiations | Mix::Fragments | Mix::Malformed) => Knowledge::Common,
        }
    }

    /// What each of its frames costs the generator.
    pub const fn cost(self) -> Cost {
        match self.way() {
            Way::Outer(_)
            | Way::Flood(_)
            | Way::Transit(_)
            | Way::Forged(_)
            | Way::Mix(Mix::Captured | Mix::Fragments | Mix::Malformed)
            | Way::Handshake(Knock::Noise | Knock::Mac1 | Knock::Again | Knock::Unexpected) => {
                Cost::Copy
            }
            Way::Mix(Mix::Initiations)
            | Way::Handshake(Knock::Mac1Only | Knock::Stranger | Knock::Cookie) => Cost::Mac,
            Way::Sealed(_) => Cost::Aead,
            Way::Handshake(Knock::Eager) => Cost::Noise,
        }
    }

    /// How many frames a server takes before it loses each further one under the attack's name, with
    /// the dataplane's limits and no time passing.
    pub const fn warm_up(self) -> usize {
        match self.way() {
            Way::Sealed(Trick::Crowd) => 4_096,
            // Two attacks are made alike: one is what happens at once, the other later.
            Way::Sealed(Trick::Absent) if matches!(self, Self::HoldFull) => 16,
            // A load, the question for the cookie, and what one source may.
            Way::Handshake(Knock::Cookie) => 277,
            Way::Handshake(Knock::Eager) => 51,
            Way::Outer(_)
            | Way::Handshake(_)
            | Way::Forged(_)
            | Way::Sealed(_)
            | Way::Flood(_)
            | Way::Transit(_)
            | Way::Mix(_) => 0,
        }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
