//! The commands and their arguments.

mod tenant;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(super) use tenant::{RulesCommand, TenantAdd, TenantCommand, TunnelCommand};

/// Looks at millrace and changes it.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, infer_subcommands = true)]
pub(super) struct Arguments {
    /// The socket of millrace-control.
    #[arg(long, global = true, value_name = "PATH", env = "MILLRACE_SOCKET")]
    pub(super) socket: Option<PathBuf>,
    /// The configuration of millrace-control, for its socket.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "socket")]
    pub(super) config: Option<PathBuf>,
    /// The instance, for its usual socket.
    #[arg(long, global = true, value_name = "NAME", default_value = "main")]
    pub(super) instance: String,
    /// Lines of JSON instead of tables.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Clients.
    #[command(subcommand)]
    Peer(PeerCommand),
    /// Routes of inner packets.
    #[command(subcommand)]
    Route(RouteCommand),
    /// Where routes lead.
    #[command(subcommand)]
    NextHop(HopCommand),
    /// The servers that serve the same clients.
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Filters of what should never have come: checks, lists, signatures, limits, detection.
    #[command(subcommand)]
    Dos(DosCommand),
    /// Owners of protected prefixes.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// What tenants accept and drop.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// The ways to tenants' routers.
    #[command(subcommand)]
    Tunnel(TunnelCommand),
    /// By which data centre new flows go out, and why.
    #[command(subcommand)]
    Argo(ArgoCommand),
    /// How control and dataplane stand.
    Status,
    /// What the dataplane counts.
    Counters {
        /// Again every second, with rates, until interrupted.
        #[arg(long)]
        watch: bool,
        /// Each thread in a column of its own.
        #[arg(long)]
        threads: bool,
    },
    /// Why packets are lost, how often, and what to do about it.
    Drops {
        /// Those that do not occur as well.
        #[arg(long)]
        all: bool,
        /// Over how long the rate is measured.
        #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
        seconds: f64,
    },
    /// Says whether a directory could be the declared configuration.
    Check {
        /// The directory of *.toml.
        directory: PathBuf,
    },
    /// Shows what a directory would change.
    Diff {
        /// The directory of *.toml.
        directory: PathBuf,
    },
    /// Makes a directory the declared configuration: control's own directory becomes its copy.
    Apply {
        /// The directory of *.toml; control's own is read again.
        directory: PathBuf,
    },
    /// Prints the completion script of a shell.
    Completion {
        /// Which.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PeerCommand {
    /// Adds a peer.
    Add(Box<PeerAdd>),
    /// Removes a peer.
    Remove {
        /// Its key or name.
        peer: String,
    },
    /// Shows all peers.
    List,
    /// Shows one peer.
    Show {
        /// Its key or name.
        peer: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct PeerAdd {
    /// Its public key, as `wg pubkey` prints it.
    pub(super) public_key: String,
    /// A name to call it by.
    #[arg(long)]
    pub(super) name: Option<String>,
    /// Its inner addresses and prefixes.
    #[arg(long, value_name = "PREFIX,..", value_delimiter = ',')]
    pub(super) allowed_ips: Vec<String>,
    /// Where it is reached before it has spoken.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) endpoint: Option<SocketAddr>,
    /// A file with a second secret, as `wg genpsk` prints it.
    #[arg(long, value_name = "FILE")]
    pub(super) preshared_key_file: Option<PathBuf>,
    /// Seconds between unasked keepalives.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(super) persistent_keepalive: u16,
    /// Three octets in base64.
    #[arg(long, value_name = "ID")]
    pub(super) client_id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum RouteCommand {
    /// Adds a route.
    Add {
        /// To where.
        prefix: String,
        /// The name of its next hop: local, reject, or one that was added.
        next_hop: String,
    },
    /// Removes a route.
    Remove {
        /// Its prefix.
        prefix: String,
    },
    /// Says which route or peer decides about an address.
    Lookup {
        /// The address.
        address: IpAddr,
    },
    /// Shows all routes.
    List,
    /// Adds the routes of a file, one a line: prefix, blank, name of the next hop.
    Load {
        /// The file.
        file: PathBuf,
        /// Removes the routes of earlier commands that are not in the file.
        #[arg(long)]
        replace: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum HopCommand {
    /// Adds a next hop.
    Add {
        /// The name by which routes name it.
        name: String,
        #[command(subcommand)]
        kind: HopKind,
    },
    /// Removes a next hop that no route uses.
    Remove {
        /// Its name.
        name: String,
    },
    /// Shows all next hops.
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum HopKind {
    /// This machine's kernel.
    Local,
    /// Nowhere, with an ICMP error.
    Reject,
    /// The Internet, from here.
    Direct,
    /// A peer.
    Client {
        /// Its key or name.
        peer: String,
    },
    /// A GRE tunnel.
    Gre {
        /// Our end.
        #[arg(long)]
        local: IpAddr,
        /// The other end.
        #[arg(long)]
        remote: IpAddr,
        /// The key, when the tunnel has one.
        #[arg(long)]
        key: Option<u32>,
        /// Sends checksums.
        #[arg(long)]
        checksum: bool,
    },
    /// The Internet, from another data centre.
    Via {
        /// Its name.
        #[arg(long)]
        centre: String,
        /// A machine that takes our packets, in the place of the centre's own; the centre then is a number.
        #[arg(long)]
        remote: Option<IpAddr>,
    },
    /// The Internet, by the best of several data centres.
    Argo {
        /// Their names; direct for straight from here.
        #[arg(required = true)]
        exits: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ArgoCommand {
    /// Shows how a prefix goes out: the exit that is chosen, the others, and what speaks against them.
    Show {
        /// A prefix of a route, or an address.
        destination: String,
    },
    /// Shows all data centres: how far they are, what is lost on the way, and what goes out there.
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum DosCommand {
    /// Shows checks, tenants, how many rules there are, and when detection makes some.
    Show,
    /// Shows all rules with what they have matched and dropped.
    Rules,
    /// Adds a rule, or prefixes to a list.
    #[command(subcommand)]
    Add(DosAdd),
    /// Removes a rule, or prefixes of a list.
    Remove {
        /// Its name.
        name: String,
        /// The prefixes; without any, the whole rule goes.
        prefixes: Vec<String>,
    },
    /// Shows the heaviest sources, destinations and patterns of the last moment.
    Top,
    /// Shows what has become of rules, by whom and why.
    Events {
        /// Goes on until interrupted.
        #[arg(long)]
        follow: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum DosAdd {
    /// A list of sources that are blocked, or spared.
    List {
        #[command(flatten)]
        rule: RuleArguments,
        /// block or allow.
        #[arg(long, default_value = "block")]
        kind: String,
        /// A file with a prefix a line.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Prefixes.
        prefixes: Vec<String>,
    },
    /// What packets look like that are dropped.
    Signature {
        #[command(flatten)]
        rule: RuleArguments,
        /// In the syntax of tcpdump, such as 'udp and src port 123 and greater 400'.
        expression: String,
    },
    /// How much may come.
    Limit {
        #[command(flatten)]
        rule: RuleArguments,
        #[command(flatten)]
        limit: Box<LimitArguments>,
    },
    /// Prefixes to a list.
    Prefix {
        /// The name of the list.
        list: String,
        /// The prefixes.
        #[arg(required = true)]
        prefixes: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct RuleArguments {
    /// A name to call it by.
    pub(super) name: String,
    /// off, monitor (counts alone) or enforce.
    #[arg(long, default_value = "enforce")]
    pub(super) mode: String,
    /// Whose packets it judges: all, own (to this server's addresses), or a tenant's name.
    #[arg(long, default_value = "all")]
    pub(super) reach: String,
    /// After this it is taken out, such as 90s, 30m or 12h.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) expires: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct LimitArguments {
    /// source, destination, or whole (all that it reaches together).
    #[arg(long)]
    pub(super) per: String,
    /// Packets of which kind: any, syn, tcp, udp, icmp, fragment, handshake, data or other.
    #[arg(long, default_value = "any")]
    pub(super) class: String,
    /// Packets per second.
    #[arg(long, required_unless_present = "octets", conflicts_with = "octets")]
    pub(super) packets: Option<u64>,
    /// Octets per second.
    #[arg(long)]
    pub(super) octets: Option<u64>,
    /// How much of it at once.
    #[arg(long)]
    pub(super) burst: Option<u64>,
    /// Bits of an IPv4 address that share a limit.
    #[arg(long, value_name = "BITS")]
    pub(super) v4_len: Option<u8>,
    /// Bits of an IPv6 address.
    #[arg(long, value_name = "BITS")]
    pub(super) v6_len: Option<u8>,
}

#[derive(Debug, Subcommand)]
pub(super) enum FleetCommand {
    /// Shows all servers, and how this one sees the fleet.
    List,
    /// Lets a server keep the clients that it has, and take no new ones.
    Drain {
        /// Its number.
        server: u8,
        /// After this it keeps them no longer, such as 90s, 30m or 12h.
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        deadline: Option<Duration>,
    },
    /// Changes how many clients a server takes in proportion to the others.
    Weight {
        /// Its number.
        server: u8,
        /// The weight; 0 for no new clients.
        weight: u16,
    },
    /// Lets a server take clients again.
    Up {
        /// Its number.
        server: u8,
    },
    /// Says that a server is not there: others take its clients.
    Down {
        /// Its number.
        server: u8,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = text.parse::<jiff::SignedDuration>().map_err(|error| error.to_string())?;
    let duration = Duration::try_from(duration);
    duration
        .map_err(|_| "a time to come is not in the past; write it as 90s, 30m or 12h".to_owned())
}
