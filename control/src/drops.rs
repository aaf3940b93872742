//! Why packets are lost, in words: what has happened and what to do, as in the table of `dataplane/README.md`.
//!
//! `scripts/tidy` compares the two, so that a reason has one text.

/// A reason to lose a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop {
    /// Its name: the dataplane counts it as `drop.NAME`.
    pub name: &'static str,
    /// What has happened.
    pub what: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// The reason with a name; none when the dataplane is of another version than this table.
pub fn find(name: &str) -> Option<&'static Drop> {
    DROPS.iter().find(|drop| drop.name == name)
}

const fn row(name: &'static str, what: &'static str, remedy: &'static str) -> Drop {
    Drop { name, what, remedy }
}

/// All reasons, in the order of the packet's way.
#[rustfmt::skip]
pub const DROPS: &[Drop] = &[
    row("parse_segmented", "a frame in several buffers, or without room for the AEAD behind it", "lower the device's MTU to the configured one"),
    row("parse_truncated", "shorter than its headers", "look for a faulty sender or cable"),
    row("parse_foreign_station", "for another link address", "normal on a hub or mirror port"),
    row("parse_vlan", "tag missing, unexpected, wrong or stacked", "compare `vlan` with the switch port"),
    row("parse_neighbour_message", "ARP or neighbour discovery that breaks its RFC", "somebody on the link is faulty or hostile"),
    row("parse_ip_version", "version field and Ethernet type disagree", "faulty sender"),
    row("parse_ip_header_length", "impossible header length", "faulty or hostile sender"),
    row("parse_ip_total_length", "length field beyond the frame or below the header", "faulty or hostile sender"),
    row("parse_ip_checksum", "wrong IPv4 header checksum", "faulty link; on virtual devices turn transmit offload off"),
    row("parse_ip_extension", "too many, misplaced or deprecated IPv6 extension headers", "hostile or exotic sender"),
    row("parse_ip_source", "source that cannot be: multicast, loopback, unspecified, our own; an IPv6 packet with an IPv4-mapped address", "spoofing, or our address used twice"),
    row("parse_foreign_address", "to an address that is not ours", "check routing towards this server, and `addresses`"),
    row("parse_fragment", "a fragmented UDP datagram", "lower the client's MTU to 1420"),
    row("parse_udp_length", "UDP length impossible or not the packet's", "faulty or hostile sender"),
    row("parse_udp_checksum", "wrong UDP checksum, or none over IPv6", "faulty link; on virtual devices turn transmit offload off"),
    row("parse_no_kernel", "nothing of ours, and the port has no `kernel` interface", "add `kernel = \"NAME\"` if the kernel shall have it"),
    row("dos_fragment", "a fragment that nobody honest makes: empty, first but without its header, over that header, or of a SYN", "attack; see `millrace dos top`"),
    row("dos_transport", "a TCP, UDP or ICMP header that is cut off, of impossible length, or without a port", "attack, or a faulty sender"),
    row("dos_flags", "TCP flags that no connection has", "a scan, or attack"),
    row("dos_land", "source and destination are one address", "attack"),
    row("dos_bogon", "from an address that nobody on the Internet has, where the check is enforced", "on private networks leave `bogon` at monitor"),
    row("dos_reflection", "from the port of a service that reflects floods, where the check is enforced", "attack; allow servers that you ask yourself in an allow list"),
    row("dos_blocked", "its source is on a block list", "see `millrace dos rules`"),
    row("dos_signature", "it matches a signature", "see `millrace dos rules`"),
    row("dos_source_limit", "its source sends more than a limit allows", "see `millrace dos rules`; raise the limit if it was no attack"),
    row("dos_syn", "a SYN to a tenant from a source that has not proven itself; a client repeats it after a second", "normal with the guard `first-drop`; raise `syn_above` if it acts without an attack"),
    row("dos_state", "a segment to a tenant that belongs to no flow, beyond `out_of_state` per second", "a flood of ACK, RST or data; raise `out_of_state` if flows move here from other servers often"),
    row("dos_destination_limit", "its destination gets more than a limit allows", "see `millrace dos rules`"),
    row("dos_budget", "more of its class than a limit allows all together", "see `millrace dos rules`"),
    row("dos_message", "to the WireGuard port, but no WireGuard message", "scanners; obfuscating clients send such junk too"),
    row("dos_mac1", "made without our public key", "a client with an outdated server key, or a flood"),
    row("dos_handshake_limit", "under load, a source initiates too often", "a flood, or very many clients behind one address"),
    row("dos_handshake_budget", "under load, strangers have used up their share", "a flood; more `handshake_threads`, or a greater `handshake_budget`"),
    row("steer_foreign_server", "index of a server that the fleet does not have, or a random one", "old sessions after a restart; else noise"),
    row("steer_foreign_worker", "index of a worker that this server does not have", "as above"),
    row("steer_untold", "for whichever server has this client, and control has not told the members yet", "start control, or give it a `[fleet]` section"),
    row("steer_dead_session", "its session has ended with its server", "normal after a server died; clients with an id are called at once"),
    row("steer_misdirected", "passed on to this server, but not its own", "servers with different fleet keys or numbers; compare `millrace fleet list` on both"),
    row("steer_hops", "passed on by too many servers", "views of the fleet differ for long; compare digests with `millrace fleet list`"),
    row("steer_generation", "passed on under a membership far from ours", "give all servers the same fleet file"),
    row("steer_outsider", "to the fleet's port, not from a member, or without a member's proof", "a stranger; or servers with different fleet keys"),
    row("steer_header", "from a member, with a header that means nothing", "servers of different versions"),
    row("steer_too_big", "does not fit the way to the server that has its client, and no error could be sent", "raise `fleet.mtu`, or lower the clients' MTU; see the fleet's section"),
    row("wireguard_unknown_index", "no session with this index", "a client that has not noticed a restart; it heals by itself"),
    row("wireguard_expired", "session older than 180 s or out of messages", "a client that does not rekey"),
    row("wireguard_replay", "counter seen before, or too old", "duplicated or strongly reordered packets, or an attack"),
    row("wireguard_tag", "does not authenticate", "damage or forgery"),
    row("wireguard_inner", "no whole IP packet inside", "faulty client"),
    row("wireguard_source", "inner source is not this client's", "compare `allowed_ips` with the client's addresses"),
    row("wireguard_ecn", "congestion marked outside, and the packet cannot carry the mark", "normal under congestion"),
    row("tenant_fragment", "a fragment to a tenant that came twice, or of a datagram that cannot be: its fragments overlap, or do not add up", "attack; a few are a network that doubles packets"),
    row("tenant_fragment_lost", "a fragment to a tenant whose datagram was not complete within 2 s", "loss before this server, or an attack; else fragments of one datagram reach different workers or servers"),
    row("tenant_fragments_full", "a fragment to a tenant while too many wait already, of all tenants or of this one", "a flood of fragments"),
    row("tenant_rule", "a rule of its tenant drops it", "`millrace rules test` says which rule decides"),
    row("tenant_policy", "no rule of its tenant accepts it, and the policy is to drop", "add a rule if it should pass"),
    row("route_none", "no route to the inner destination", "add the prefix to a peer or to `[local]`"),
    row("route_rejected", "the route says `reject`, and no error could be sent", "normal where a route shall lead nowhere"),
    row("route_hop_limit", "hop limit used up", "traceroute does this; else a loop"),
    row("route_destination", "inner multicast, broadcast or link-local destination", "normal: hosts announce themselves"),
    row("egress_gre_header", "from a tunnel: version or reserved bits set, cut off, a wrong checksum, or a fragment of an outer packet", "compare the router's GRE options; set its tunnel's MTU so that outer packets stay whole"),
    row("egress_gre_tunnel", "no tunnel has these two addresses and this key", "compare `millrace tunnel list` with the router; else a stranger"),
    row("egress_gre_payload", "neither IPv4 nor IPv6 in the tunnel, or a broken packet", "turn bridging and other protocols off on the router's tunnel"),
    row("egress_gre_source", "from a tunnel, with a source that is not its tenant's", "compare the tenant's prefixes with what its router sends into the tunnel"),
    row("egress_gre_recursion", "GRE to this server inside a tunnel", "on the tenant's router route our address around the tunnel"),
    row("egress_gre_ecn", "congestion marked outside, and the packet in the tunnel cannot carry the mark", "normal under congestion"),
    row("egress_nat_header", "to or from the Internet by a client's translation, with a TCP, UDP or ICMP header that is cut short", "a broken or hostile sender"),
    row("egress_nat_protocol", "to or from the Internet by a client's translation, and neither TCP, UDP nor an echo or error of ICMP", "nothing else can share an address; give the client one of its own"),
    row("egress_nat_state", "a client's TCP segment of a connection that is not known here: idle for hours, or older than the server", "normal after a restart; the client's next connection works"),
    row("egress_nat_unknown", "from the Internet to an address and port that no client has", "scanners, or late answers: normal"),
    row("egress_nat_filtered", "from the Internet to a client's port, from an address to which the client has sent nothing", "scanners: normal"),
    row("egress_nat_error", "an ICMP error about a packet that no client has sent, or with a broken checksum", "forged or late errors: normal in small numbers"),
    row("egress_nat_fragment", "the first fragment of a translated datagram did not come in time, or too many datagrams are in pieces", "lower the MTU of who sends large datagrams"),
    row("egress_nat_client", "the client has as many flows, ports or half-open connections as one may have", "raise nat.flows_per_client, or look what the client does"),
    row("egress_nat_full", "the worker's table of flows is full", "raise nat.flows"),
    row("egress_nat_ports", "all ports of the client's outer address are in use, or at rest for two minutes after use", "name more nat.addresses"),
    row("egress_nat_prefix", "an IPv6 address with the one subnet that RFC 6296 cannot translate (0xffff)", "give the client an address of another subnet"),
    row("egress_too_big", "too large for the path to the client or for the kernel's interface, and no error could be sent", "lower the sender's MTU"),
    row("egress_no_nat", "to the Internet from an address that is not the Internet's, or from the address that all clients have to anywhere else", "name `[nat] addresses` for what comes from clients, and for IPv6 `untranslated` or `prefixes`"),
    row("egress_loop", "from the kernel's inner interface back to it, or out of a tunnel back into it", "remove the kernel's route for that prefix through the tap, or give the tenant's router one for addresses that it does not use"),
    row("egress_no_local", "for this machine, without `[local]`", "add `[local]`"),
    row("seal_no_peer", "for a client that was removed meanwhile", "normal in the moment of a removal"),
    row("seal_no_endpoint", "for a client that has never spoken and has no `endpoint`", "normal until it connects"),
    row("seal_exhausted", "the session may not send any more", "heals with the handshake under way"),
    row("link_no_route", "no on-link prefix and no gateway for the outer destination", "add a gateway of that family"),
    row("link_table_full", "more neighbours than the table holds", "split the link; see `limits.rs`"),
    row("link_unresolved", "the next hop did not answer ARP or neighbour solicitation", "check gateway, VLAN and cabling"),
    row("hold_full", "too many packets wait for this session or neighbour", "normal while a client is away"),
    row("hold_expired", "no session came in time", "the client is away"),
    row("handshake_full", "more handshakes than the threads can do", "more `handshake_threads`; see `cookies`"),
    row("handshake_invalid", "a handshake message that does not open", "a wrong preshared key, or forgery"),
    row("handshake_unknown_peer", "a key that is no peer's", "add the peer, or ignore"),
    row("handshake_replay", "initiation not newer than the last", "replay, or a client whose clock went back"),
    row("handshake_flood", "one peer initiates more than 50 times a second", "faulty client"),
    row("handshake_unexpected", "answer to nothing we asked", "late or duplicated answers; else noise"),
    row("handshake_no_index", "no free receiver index on the peer's worker", "too many sessions at once; more workers"),
    row("transmit_full", "the device's transmit queue is full", "link overloaded or down"),
    row("kernel_full", "the kernel's interface takes no more", "the local server is too slow, or the tap is down"),
    row("hand_over_full", "the ring to another worker is full", "that worker is overloaded"),
    row("stopped", "held or under way when the program stopped", "normal"),
];
