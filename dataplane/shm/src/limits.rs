//! Every capacity of the border, with its reason.

/// Slots of the commands ring: 772 KiB, so that a snapshot of a million routes is never kept waiting by either side's
/// scheduling alone.
pub const COMMAND_SLOTS: u32 = 4096;

/// Slots of the events ring: a burst of handshakes of one second at a few threads' full rate.
pub const EVENT_SLOTS: u32 = 16384;

/// Slots that any ring may have; the header of a region that names more is refused.
pub const SLOTS_MAX: u32 = 1 << 20;

/// Items of one transaction: a full routing table (1.1 million prefixes) and a million peers, doubled.
pub const ITEMS_MAX: usize = 4 << 20;

/// Inner prefixes of one peer.
pub const ADDRESSES_PER_PEER_MAX: usize = 128;

/// Members of a fleet: the server field of a receiver index has eight bits at most.
pub const MEMBERS_MAX: usize = 256;

/// Generations of a fleet before the one in force: sessions live for minutes, and nobody changes a fleet more often
/// than that for long.
pub const PAST_MAX: usize = 64;

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
