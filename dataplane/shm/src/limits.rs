//! Every capacity of the border, with its reason.

/// Slots of the commands ring: 772 KiB, so that a snapshot of a million routes is never kept waiting by either side's
/// scheduling alone.
pub const COMMAND_SLOTS: u32 = 4096;

/// Slots of the events ring: a burst of handshakes of one second at a few threads' full rate.
pub const EVENT_SLOTS: u32 = 16384;

/// Slots that any ring may have; the header of a region that names more is refused.
pub const SLOTS_MAX: u32 = 1 << 20;

/// Messages of the items of one transaction: a full routing table (1.1 million prefixes) and a million peers, doubled,
/// all lists at their longest, 8 million prefixes of IPv6 in 0.9 million messages, and all tenants' rules at their
/// longest, in 0.8 million messages.
pub const ITEMS_MAX: usize = 6 << 20;

/// Inner prefixes of one peer.
pub const ADDRESSES_PER_PEER_MAX: usize = 128;

/// Members of a fleet: the server field of a receiver index has eight bits at most.
pub const MEMBERS_MAX: usize = 256;

/// Generations of a fleet before the one in force: sessions live for minutes, and nobody changes a fleet more often
/// than that for long.
pub const PAST_MAX: usize = 64;

/// Instructions of a signature: the longest program that a worker runs for each packet.
pub const PROGRAM_MAX: usize = 256;

/// The highest rate of a limit in either unit, per second.
pub const PER_SECOND_MAX: u64 = 1_000_000_000_000;

/// The least burst of a limit of octets: a packet above it would never pass.
pub const BURST_OCTETS_MIN: u64 = 2048;

/// Seconds in which an empty bucket must be full again.
pub const DEPTH_MAX_S: u64 = 600;

/// Prefixes of one tenant.
pub const TENANT_PREFIXES_MAX: usize = 1024;

/// Tenants of one server.
pub const TENANTS_MAX: usize = 4096;

/// Tunnels of all tenants: two for each, or a few tenants with many.
pub const TUNNELS_MAX: usize = 8192;

/// The least that a tunnel carries in one piece: what every host must take (RFC 791 3.1: 576).
pub const TUNNEL_MTU_MIN: u16 = 576;

/// The most: what jumbo frames carry.
pub const TUNNEL_MTU_MAX: u16 = 9216;

/// The highest weight of a tunnel: its share of the table from which flows choose.
pub const TUNNEL_WEIGHT_MAX: u16 = 256;

/// The shortest time between two probes of a tunnel, in milliseconds: ten of them a second show a loss well within one.
pub const PROBE_INTERVAL_MIN_MS: u64 = 100;

/// The longest.
pub const PROBE_INTERVAL_MAX_MS: u64 = 60_000;

/// Octets of the rules of one tenant: 16,384 of them at 256 octets.
pub const RULESET_LEN_MAX: usize = 4 << 20;

/// Octets of the rules of all tenants: 32 KiB for each of them, or 32 of them at their longest.
pub const RULESETS_LEN_MAX: usize = 128 << 20;

/// Octets of rules in one message: what a command has behind its head.
pub const RULESET_TEXT_PER_MESSAGE: usize = 168;

/// Octets of one item of rules: in messages a tenth of the commands ring, so that they always find room.
pub const RULESET_TEXT_PER_ITEM_MAX: usize = 64 << 10;

/// Rules of one server, each with its counts on every worker.
pub const RULES_MAX: usize = 4096;

/// Prefixes on all lists together.
pub const LISTED_MAX: usize = 8_000_000;

/// Prefixes of one item for a list: in messages a ninth of the commands ring at most, so that they always find room.
pub const LISTED_PER_ITEM_MAX: usize = 4096;

/// Data centres: a third more than the largest network that is known to have them.
pub const CENTRES_MAX: usize = 512;

/// Machines of one data centre.
pub const MACHINES_MAX: usize = 64;

/// Exits that one route may name: what is known of them for a prefix is a cache line.
pub const EXITS_MAX: usize = 8;

/// Names in a counters page.
pub const COUNTERS_MAX: usize = 512;

/// Blocks in a counters page: workers, handshake threads, keeper.
pub const BLOCKS_MAX: usize = 64;

/// Octets of the name of a counter or block.
pub const NAME_LEN_MAX: usize = 64;

/// Octets of the name of an instance.
pub const INSTANCE_NAME_LEN_MAX: usize = 32;

/// Octets of any region; a header that names more is refused before anything is mapped.
pub const REGION_LEN_MAX: u64 = 1 << 30;
