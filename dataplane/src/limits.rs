//! Every capacity, rate and time-out of the dataplane, with its reason. The protocol's own are in
//! [`wireguard::limits`].

mod tunnels;

use std::time::Duration;

pub use tunnels::*;

/// Frames of one turn: enough to amortise a turn and to fill vector lanes, few enough to stay in L1/L2.
pub const BURST_LEN_MAX: usize = 64;

/// Room before a packet in its buffer: Ethernet with a tag, IPv6, UDP and the data header are 82 octets; an initiation that
/// was looked at here and goes to another server takes IPv6 and UDP, the fleet's headers, and Ethernet with a tag, 126.
pub const HEADROOM: usize = 128;

/// Octets of packet and tailroom in a buffer: a full Ethernet frame, padding, tag and the AEAD's slack.
pub const DATA_ROOM: usize = 2048;

/// Largest IP packet that a port takes; one buffer holds it with everything around it.
pub const MTU_MAX: u16 = 1900;

/// Smallest MTU of a port: with WireGuard's overhead off, inner IPv6 still has its guaranteed 1280 octets
/// (RFC 8200 5).
pub const MTU_MIN: u16 = 1360;

/// How long the key of a SYN cookie makes new ones; as long again it is still taken. The client's answer takes a round
/// trip, so this leaves room for one that was lost, and for clocks of servers that differ.
pub const SYN_COOKIE_TIME: Duration = Duration::from_secs(64);

/// Over which time the rate of a tenant's SYNs is taken.
pub const SYN_RATE_TIME: Duration = Duration::from_secs(1);

/// How long a tenant's SYN guard acts after the rate was last above the threshold, so that it does not come and go
/// between a SYN and the answer to it.
pub const SYN_GUARD_HOLD: Duration = Duration::from_secs(10);

/// How long a source that has proven itself need not do so again.
pub const PROVEN_TIME: Duration = Duration::from_mins(10);

/// Places for sources that a server remembers as proven, half of them of IPv6; eight octets each. Up to half of them
/// taken, one source in fifty finds none.
pub const PROVEN_MAX: usize = 1 << 21;

/// SYNs that a worker remembers to know them again; four octets each. At two million a second a client's is still there
/// after its second.
pub const FIRSTS_MAX: usize = 1 << 22;

/// How soon a SYN that comes again is too soon to be a client's repetition, which takes a second (RFC 6298 2.1).
pub const FIRST_WAIT: Duration = Duration::from_millis(500);

/// How late it is too late: the repetitions come after 1, 3, 7, 15 and 31 seconds.
pub const FIRST_TIME: Duration = Duration::from_mins(1);

/// Places for flows that a worker tracks unless configured, eight octets each: a million flows, of which one in fifty finds
/// none.
pub const FLOWS_MAX: u32 = 1 << 21;
/// Those that it may be given room for, 1 GiB.
pub const FLOWS_LIMIT: u32 = 1 << 27;

/// Flows through NAT that a worker has room for unless configured, 128 octets each and their places in the index.
pub const NAT_FLOWS_MAX: u32 = 1 << 18;
/// Those that it may be given room for.
pub const NAT_FLOWS_LIMIT: u32 = 1 << 24;
/// Flows through NAT that one client may have unless configured: a browser with many pages has some hundreds.
pub const NAT_FLOWS_PER_CLIENT: u32 = 4096;
/// Datagrams in pieces that a worker follows through NAT at the same time, and those that it sends on to other workers.
pub const NAT_PIECES: usize = 4096;
/// Of those, datagrams of which pieces wait for the first one.
pub const NAT_EARLY_MAX: usize = 1024;
/// Pieces of a worker that wait so: a thirty-second of its buffers ([`POOL_LEN`]).
pub const NAT_EARLY_HELD_MAX: u16 = 256;
/// How long they wait; see [`FRAGMENTS_TIME`].
pub const NAT_EARLY_TIME: Duration = FRAGMENTS_TIME;
/// IPv6 prefixes of clients that go out as they are, and of those that go out as others; they are walked.
pub const NAT_PREFIXES_MAX: usize = 16;
/// Connections that a worker may be setting up by CONNECT at the same time, unless configured; 2 KiB each.
pub const NAT_SETUPS: u32 = 4096;
/// Those that it may be given room for.
pub const NAT_SETUPS_LIMIT: u32 = 1 << 20;
/// Connections of one client that may be being opened through other data centres: within round trips of 200 ms, more than
/// a thousand a second.
pub const SETUPS_PER_CLIENT: u32 = 256;
/// Set-ups whose timers a worker serves in one turn.
pub const CONNECT_TIMERS_PER_TURN: usize = 64;
/// Seconds of silence after which an exit is asked to probe the origin.
pub const KEEPALIVE_SECS: u16 = 15;
/// Flows of which a worker looks in one turn whether their origins are to be probed: as many as a turn sweeps.
pub const KEPT_PER_TURN: usize = 256;
/// Mappings of clients that leave through other data centres without a connection, of one worker: a quarter of the flows that a
/// worker has room for unless configured.
pub const PINS_MAX: u32 = 1 << 16;
/// How many of them a worker looks at in one turn whether they are over, and after how long again: at all within seconds.
pub const PINS_PER_TURN: u32 = 32;
/// See [`PINS_PER_TURN`]. Turns that follow each other faster leave them alone.
pub const PINS_INTERVAL: Duration = Duration::from_micros(500);
/// IPv6 addresses of one such client of another data centre: it has one, or uses some at a time for privacy.
pub const HOMES_PER_GUEST: u32 = 64;
/// How long such an address leads back to who has sent something from it: as long as mappings of UDP (RFC 4787 REQ-5).
pub const HOME_TIME: Duration = Duration::from_mins(5);
/// Clients of other data centres whose packets leave by one worker at the same time.
pub const GUESTS_MAX: u32 = 1 << 16;
/// Packets of its own that a worker makes for connections in one turn, and the octets of the longest of them.
pub const OUTBOX_LEN: usize = 512;
/// See [`OUTBOX_LEN`]: as long as a packet of any port.
pub const OUTBOX_PACKET_LEN: usize = MTU_MAX as usize;
/// Connections a second of which control is told whether and how fast they came about, over all workers: as many as it takes in
/// with a tenth of a core.
pub const DIALS_PER_SECOND: u32 = 20_000;
/// As many at once of one worker.
pub const DIALS_BURST: u32 = 1_024;
/// Such connections of one worker that the keeper has not heard of yet.
pub const DIALS_WAITING_MAX: usize = 4_096;
/// Events with them that the keeper tells in a turn.
pub const DIALS_TOLD_PER_TURN: usize = 64;
/// Connections straight from here that a worker looks at until they are answered: within round trips of 100 ms, more than
/// six hundred a second. One that is not answered has its place for a second, when others want it.
pub const DIALS_WATCHED: usize = 64;
/// How many of them it looks at in one turn.
pub const DIALS_PER_TURN: usize = 8;
/// After so long a connection straight from here counts as not answered: a client has sent its SYN three times by then.
pub const DIAL_TIME: Duration = Duration::from_secs(5);
/// After so long a client sends its SYN again (RFC 6298 2.1).
pub const SYN_RESENT_TIME: Duration = Duration::from_secs(1);
/// How often another data centre is probed; an answer that takes longer is none.
pub const CENTRE_PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Answers to such probes that the keeper has not heard yet: as many as there are data centres.
pub const MEASURED_MAX: usize = shm::limits::CENTRES_MAX;
/// Addresses that clients may be seen with.
pub const NAT_ADDRESSES_MAX: usize = 256;

/// Buckets of a worker for limits of sources and destinations unless configured; eight octets each.
pub const BUCKETS_MAX: u32 = 1 << 20;
/// Those that it may be given room for, 1 GiB.
pub const BUCKETS_LIMIT: u32 = 1 << 27;

/// How long a flow of which nothing comes is kept. One that goes on later is learned anew.
pub const FLOW_IDLE: Duration = Duration::from_mins(5);

/// How long a flow is kept of which only one packet has come: the answer to the server's SYN-ACK is due.
pub const FLOW_OPENING: Duration = Duration::from_secs(30);

/// How long one is kept after its client has said that it sends no more, while it may still acknowledge.
pub const FLOW_CLOSING: Duration = Duration::from_mins(1);

/// How long one is kept after a reset, which may be forged.
pub const FLOW_RESET: Duration = Duration::from_secs(10);

/// How long after a tenant's tracking began every flow is learned and nothing dropped: those under way show themselves.
pub const FLOWS_WARM_UP: Duration = Duration::from_secs(30);

/// How long tracking drops nothing after its table was too full.
pub const FLOWS_REST: Duration = Duration::from_secs(10);

/// One in so many flows of a second that finds no room is too many.
pub const FLOWS_REFUSED_SHARE: u32 = 16;

/// Buffers of a worker's pool unless configured: all queues full, held and handed-over packets.
pub const POOL_LEN: u32 = 8192;

/// Workers of one server: four bits of the receiver index name them.
pub const WORKERS_MAX: usize = 16;

/// Ports of one server.
pub const PORTS_MAX: usize = 16;
/// Addresses from which connections come to the kernel that terminates them: each has 64,512 ports, for which every worker
/// has 14 octets each in three protocols.
pub const TERMINATE_ADDRESSES_MAX: usize = 16;

/// Session slots per peer: previous, current, next, and the initiation under way.
pub const SLOTS_PER_PEER: usize = 4;

/// Spare session slots per worker and handshake thread, so that retired indices rest before they are issued again.
pub const SLOTS_SPARE: usize = 256;

/// Clients whose server is gone that one worker calls per second; a handshake each, as [`OWN_INITIATIONS_PER_SECOND`].
pub const PROMPTS_PER_SECOND: u32 = 2_000;
/// Those that may be called at once.
pub const PROMPTS_BURST: u32 = 1_000;

/// How long a client that was called is left alone: as long as it would wait for an answer itself.
pub const PROMPT_INTERVAL: Duration = wireguard::limits::REKEY_TIMEOUT;

/// How long packets of a lost session do not look for their client's server again: longer than a walk takes, and about as long
/// as the servers of a fleet differ in who is alive, since a walk to a server that has not heard of a death yet is lost.
pub const WALK_INTERVAL: Duration = Duration::from_millis(250);

/// How long a client that this server calls counts as held here: until the next try.
pub const CALLING_TIME: Duration = Duration::from_secs(15);

/// How long a client counts as held here once the sweep has come by a flow of its that lives: until it surely comes again, as it
/// does within four seconds. Not for as long as the flow may last, which can be over a moment later.
pub const FLOW_HELD_TIME: Duration = Duration::from_secs(30);

/// How long the fleet is not asked again for a client that no server has.
pub const ABSENCE_TIME: Duration = Duration::from_secs(1);

/// Clients that a worker remembers to have called.
pub const PROMPTS_REMEMBERED: usize = 4096;

/// Peers with one client id that are called; more are not told apart.
pub const PROMPTS_PER_ID: usize = 4;

/// Octets that carrying a packet to another server takes at most: IPv6, UDP, GRE with key and proof.
pub const FLEET_OVERHEAD: usize = 40 + 20;

const _: () = assert!(FLEET_MTU_MIN as usize == MTU_MIN as usize + FLEET_OVERHEAD);

/// Smallest MTU of the way between servers: a packet as [`MTU_MIN`] has it, carried.
pub const FLEET_MTU_MIN: u16 = MTU_MIN + 60;

/// How often the ids are counted that a server holds which is to be emptied.
pub const HELD_INTERVAL: Duration = Duration::from_secs(1);

/// Orders (session installs, messages to send, neighbours) waiting for one worker.
pub const ORDERS_MAX: usize = 4096;

/// Handshake jobs waiting for one handshake thread: a third of a second of work at 170 us each.
pub const JOBS_MAX: usize = 2048;

/// From this many waiting jobs on a server asks initiators for cookies (one eighth of the ring, so that
/// cookies start well before loss does).
pub const JOBS_UNDER_LOAD: usize = JOBS_MAX / 8;

/// Handshakes that one worker begins per second: a sweep over absent peers, or a hundred thousand persistent
/// keepalives at start, leave the handshake threads time for those who come to us (at about 100 us each, a
/// fifth of one core).
pub const OWN_INITIATIONS_PER_SECOND: u32 = 2_000;
/// Handshakes that one worker may begin at once.
pub const OWN_INITIATIONS_BURST: u32 = 200;

/// Jobs in a thread's ring from which on own handshakes wait for those of others.
pub const JOBS_OWN_MAX: usize = JOBS_MAX / 2;

/// How long an own handshake that found no room waits before it asks again.
pub const OWN_INITIATION_RETRY: Duration = Duration::from_millis(100);

/// How long a server goes on asking for cookies after a thread last had too much to do.
pub const UNDER_LOAD_HOLD: Duration = Duration::from_secs(1);

/// Jobs of strangers that wait for one handshake thread: at 130 us each and half of its time, 130 ms; a client waits 5 s
/// for an answer.
pub const STRANGERS_MAX: usize = JOBS_MAX / 4;

const _: () = assert!(JOBS_UNDER_LOAD <= STRANGERS_MAX / 2, "strangers alone make a load as well");

/// Share of a handshake thread's time in percent, unless configured: what strangers may take of it under load, and from
/// where on everybody proves his address.
pub const HANDSHAKE_BUDGET: u32 = 50;
/// The most of it: a thread that has no more than that left cannot tell a load from work.
pub const HANDSHAKE_BUDGET_MAX: u32 = 90;

/// A handshake thread's load is taken over the present slice of time and those before it.
pub const LOAD_SLICE: Duration = Duration::from_millis(10);
/// How far it looks back: so long that a burst of own handshakes is no load, so short that a flood is met before the
/// strangers' ring is full for long.
pub const LOAD_WINDOW: Duration = Duration::from_millis(150);
/// Slices of both.
pub const LOAD_SLICES: usize = 16;

const _: () =
    assert!(LOAD_WINDOW.as_millis() == LOAD_SLICE.as_millis() * (LOAD_SLICES as u128 - 1));

/// The time that strangers may have saved up while few came.
pub const STRANGERS_CREDIT: Duration = Duration::from_millis(20);

/// Turns for known sources after which a stranger that waits has one, so that new clients get in during a storm of
/// renewals: a quarter of the turns.
pub const KNOWN_TURNS: u32 = 3;

/// How long the source of a peer that has spoken is known: five renewals, or a telephone's short sleep.
pub const KNOWN_TIME: Duration = Duration::from_mins(10);

/// How often a peer may make another source known. Who has a key could else open the door to a botnet by moving through
/// its addresses.
pub const KNOWN_MOVE_INTERVAL: Duration = Duration::from_secs(10);

/// Under load, time between initiations of one known source (an IPv4 address or a /64), once [`KNOWN_BURST`] is used up.
/// Some 6000 clients behind one address renew their sessions within it each 120 s.
pub const KNOWN_INTERVAL: Duration = Duration::from_millis(20);
/// Initiations of a known source at once.
pub const KNOWN_BURST: u32 = 100;
/// Known sources whose initiations a worker counts: what comes within the two seconds until a bucket is full again.
pub const KNOWN_REMEMBERED: usize = 1 << 14;

/// The same for a stranger's source: who keeps to the protocol comes each 5 s. When one of several clients behind it is
/// through, the source is known.
pub const STRANGER_INTERVAL: Duration = Duration::from_secs(4);
/// Initiations of a stranger's source at once: a household or small company behind one address.
pub const STRANGER_BURST: u32 = 20;
/// Strangers' sources whose initiations a worker counts (2 MiB). Within 4 s no handshake thread answers so many.
pub const STRANGERS_REMEMBERED: usize = 1 << 17;

/// Under load, time between answers under one index, once [`ANSWER_BURST`] is used up: there is one answer to a message,
/// and the network may copy it.
pub const ANSWER_INTERVAL: Duration = Duration::from_secs(1);
/// Answers under one index at once.
pub const ANSWER_BURST: u32 = 4;
/// Indices whose answers a worker counts: four times the handshakes that it begins in a second.
pub const ANSWERS_REMEMBERED: usize = 8192;

/// Cookies that a worker gives to strangers per second, and as many again to known sources: a flood from invented
/// addresses shall not take the core from data. At 1.7 us each, and 1 us more where the second MAC is wrong, each kind
/// takes 13 % of it at most.
pub const COOKIES_PER_SECOND: u32 = 50_000;
/// Cookies at once.
pub const COOKIES_BURST: u32 = 1_000;

/// Orders that a worker takes from its inbox in one turn.
pub const ORDERS_PER_TURN: usize = 32;

/// A worker with more peers than this fetches their lines ahead: some 1.5 KiB each no longer fit a core's own cache, and
/// below it the asking costs more than the waiting.
pub const PREFETCH_FROM: usize = 512;

/// The same for prefixes, which spread over more memory than hosts: each may have 32 KiB of a table to itself.
pub const PREFETCH_FROM_PREFIXES: usize = 16;

/// The same for tenants' tunnels: so many, with what their tenants choose by, take some 50 KiB.
pub const PREFETCH_FROM_TUNNELS: usize = 64;

/// What workers have told the keeper and it has not heard yet: a burst of handshakes of one second at a few threads'
/// full rate.
pub const NEWS_MAX: usize = 16_384;

/// Peers in one order to a worker: some ten microseconds of one turn.
pub const PEERS_PER_ORDER: usize = 128;

/// Orders and jobs of one transaction that wait in the rings of workers and handshake threads: a small part of any ring,
/// and of [`JOBS_UNDER_LOAD`], so that sessions and handshakes find room however much control changes.
pub const TASKS_OUT_MAX: usize = JOBS_UNDER_LOAD / 4;

/// Peers on one sheet of a survey.
pub const SURVEY_ROWS: usize = 128;

/// Peers that a worker looks at in one turn of a survey, most of which may have nothing to tell.
pub const SURVEY_STEP: usize = 512;

/// Messages from control that the keeper reads before it looks at anything else.
pub const COMMANDS_PER_TURN: usize = 1024;

/// What workers have told that the keeper passes on before it looks at anything else.
pub const NEWS_PER_TURN_KEEPER: usize = 256;

/// Surveys that control may ask for while one is made.
pub const SURVEYS_MAX: usize = 16;

/// Lines of the log about what control has said wrong.
pub const COMPLAINTS_PER_SECOND: u32 = 1;
/// Those that may come at once.
pub const COMPLAINTS_BURST: u32 = 20;

/// How long the keeper rests when nothing is to be done; control's changes wait that much longer.
pub const KEEPER_REST: Duration = Duration::from_micros(200);

/// How long it waits before it looks again whether workers have taken what it gave them.
pub const KEEPER_HASTE: Duration = Duration::from_micros(20);

/// How often it looks whether its shared memory is still whole.
pub const STANDING_INTERVAL: Duration = Duration::from_secs(1);

/// How often control hears that the dataplane lives.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// How often a part of the buckets is looked through for stamps that are long over.
pub const BUCKETS_EXPIRE_INTERVAL: Duration = Duration::from_secs(1);

/// How often rules are looked through for those that expire.
pub const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);

/// How often control is told what a rule has matched, at most.
pub const RULE_COUNTS_INTERVAL: Duration = Duration::from_secs(1);

/// Slots that rules are counted under; the first is nobody's.
pub const RULE_SLOTS: usize = shm::limits::RULES_MAX + 1;

/// How old the counters that control sees may be.
pub const COUNTERS_INTERVAL: Duration = Duration::from_millis(100);

/// Numbers of peers beyond those that there is room for: those of peers that go are free only when all have forgotten
/// them, and others may come in the same transaction.
pub const PEERS_SPARE: u32 = 4096;

/// Routes beside those of peers: four times the Internet's table.
pub const ROUTES_MAX: u32 = 1 << 22;

/// Next hops that control may name.
pub const HOPS_MAX: usize = 1 << 16;

/// Peers that a server has room for unless configured.
pub const PEERS_MAX: u32 = 65_536;

/// Peers that a server may be given room for: as many as there are client ids.
pub const PEERS_LIMIT: u32 = 1 << 24;

/// The name of a dataplane that is the only one on its machine.
pub const INSTANCE: &str = "main";

/// Timers that a worker serves in one turn; the rest follow in the next.
pub const TIMERS_PER_TURN: usize = 64;

/// Frames that a worker makes by itself in one turn (keepalives, messages, solicitations).
pub const OWN_PER_TURN: usize = BURST_LEN_MAX;

/// Frames of a worker that wait for sessions; as many more may wait for neighbours, so that absent peers do
/// not keep present ones from being resolved.
pub const HELD_MAX: usize = 1024;

/// Frames that wait for one session or neighbour.
pub const HELD_PER_KEY_MAX: usize = 16;

/// How long a frame waits for a session or a neighbour: two tries of a handshake.
pub const HELD_TIME: Duration = Duration::from_secs(12);

/// Datagrams to tenants of which a worker waits for fragments.
pub const FRAGMENTS_DATAGRAMS: u16 = 1024;
/// Fragments of a worker that wait: an eighth of its buffers ([`POOL_LEN`]).
pub const FRAGMENTS_HELD_MAX: u16 = 1024;
/// Of both one tenant has a part of this many, so that a flood to it leaves the others room.
pub const FRAGMENTS_TENANT_SHARE: u16 = 4;
/// Fragments of one datagram: 65,535 octets are 45 on an MTU of 1500, and 54 on that of the least IPv6 link.
pub const FRAGMENTS_PIECES_MAX: usize = 64;
/// How long a datagram may take: its fragments leave together, and no path is 2 s longer than another. The 30 s and more that
/// hosts wait (RFC 1122 3.3.2) would be room for a flood.
pub const FRAGMENTS_TIME: Duration = Duration::from_secs(2);
/// How long one that has gone on is remembered for what the network has doubled. A sender that numbers at random may choose a
/// number again: at 1000 datagrams a second this loses one in 650.
pub const FRAGMENTS_FINISHED_TIME: Duration = Duration::from_millis(100);

/// News of neighbours that one worker tells the others in one turn, so that a chatty link does not fill the
/// inboxes that sessions come through.
pub const NEWS_PER_TURN: usize = 4;

/// Neighbours that one worker remembers.
pub const NEIGHBOURS_MAX: usize = 4096;

/// Time between two solicitations of one neighbour (RFC 4861 10: `RETRANS_TIMER`).
pub const NEIGHBOUR_RETRY: Duration = Duration::from_secs(1);

/// Unanswered solicitations after which a neighbour counts as gone (RFC 4861 10).
pub const NEIGHBOUR_ATTEMPTS_MAX: u8 = 3;

/// Age from which a used neighbour is asked again while it stays in use (RFC 4861 10: `REACHABLE_TIME`).
pub const NEIGHBOUR_REFRESH: Duration = Duration::from_secs(30);

/// Age at which a neighbour that no longer answers is given up.
pub const NEIGHBOUR_LIFETIME: Duration = Duration::from_mins(2);

/// Packets in a ring between two workers: several bursts, so that one slow turn loses nothing.
pub const HAND_OVER_LEN: u32 = 1024;

/// ICMP errors of one kind per second and worker (RFC 4443 2.4f asks for a limit).
pub const ICMP_ERRORS_PER_SECOND: u32 = 100;
/// ICMP errors that may go out at once.
pub const ICMP_ERRORS_BURST: u32 = 50;

/// Rules of tenants' firewalls that are counted, on the whole server.
pub const COUNTED_RULES_MAX: usize = 1 << 16;

/// Rules of tenants' firewalls with a limit, on the whole server.
pub const LIMITED_RULES_MAX: usize = 1 << 12;

/// Events that there must still be room for when tenants' counts and tunnels are told: what cannot be told again, in a turn
/// of the keeper's.
pub const SEEN_ROOM: usize = DETECTION_ROOM + NEWS_PER_TURN_KEEPER;

/// Tunnels that control is told of in a turn of the keeper's.
pub const TUNNELS_TOLD_PER_TURN: usize = 256;

/// How long a router's word on the way of a tunnel counts (RFC 1191 6.3).
pub const PATH_MTU_TIME: Duration = Duration::from_mins(10);

/// Outer octets around an inner packet: IPv6, UDP, data header and tag. IPv4 would need 20 less; one
/// figure for both lets a client change family without a change of MTU, as WireGuard's tools assume.
pub const OVERHEAD: usize = 40 + 8 + 16 + 16;

/// Empty turns after which an idle worker begins to rest.
pub const IDLE_TURNS: u32 = 64;

/// How long a resting worker sleeps under the `sleep` policy.
pub const IDLE_SLEEP: Duration = Duration::from_micros(50);

/// Packets on the sheet of a worker's sketch: of a source with one packet in 100 it has 82, which tells its rate to within a
/// ninth.
pub const SAMPLES: usize = 8192;

/// Rows of all sheets that are counted in a round: of a source with one packet in 1000 of the server's they have 32, and
/// counting them takes the keeper three milliseconds.
pub const TALLY_ROWS_MAX: usize = 4 * SAMPLES;

/// How often the sketches are read: control shall have made a rule of an offender within a second.
pub const SKETCH_INTERVAL: Duration = Duration::from_millis(200);

/// The shortest round that rates are told of; none is this short but by a fault of the clock.
pub const ROUND_LEN_MIN: Duration = Duration::from_millis(1);

/// Heavy sources of each length of prefix, destinations and patterns that a round tells of.
pub const HEAVIES_MAX: usize = 16;

/// Samples of what is called heavy: of fewer the rate would hardly be more than its error.
pub const HEAVY_ROWS_MIN: u32 = 8;

/// Events that there must still be room for when a round of detection is told: handshakes and answers to control cannot be
/// told again.
pub const DETECTION_ROOM: usize = 32;

// Surveys wait for more room than this, so they leave detection its own.
const _: () = assert!(5 * HEAVIES_MAX + 1 + DETECTION_ROOM <= SURVEY_ROWS);
