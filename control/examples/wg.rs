//! Times what `WireGuard`'s own tool takes to show many peers: `cargo run --release -p control --example wg -- [PEERS] [TIMES]`.
//!
//! A desk with a dataplane in real shared memory is served to Debian's `wg`, a process of its own each time. Needs root, because
//! `wg` looks for sockets in `/var/run/wireguard` only.
#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use control::config::Wireguard;
use control::desk::Desk;
use control::keep::Keep;
use control::model::{Change, Origin, Peer, PublicKey};
use control::testing::{FakeDataplane, place_beneath};
use control::uapi;
use ipnet::IpNet;
use shm::attach::Sizes;
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error>;

/// Where `wg` looks.
const DIRECTORY: &str = "/var/run/wireguard";
/// Until the dataplane has all peers.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let peers = arguments.next().transpose()?.unwrap_or(100_000);
    let times = arguments.next().transpose()?.unwrap_or(20);
    let root = tempfile::tempdir_in("/dev/shm")?;
    let place = place_beneath(root.path())?;
    // A ring that takes the whole answer to a survey: this dataplane does not wait for room.
    let sizes = Sizes { event_slots: 1 << 18, ..Sizes::default() };
    let dataplane = FakeDataplane::start_with(&place, sizes)?;
    let desk = Desk::open(place, Keep::open(&root.path().join("state"))?)?;
    let interface = format!("mr{}", std::process::id());
    let config = Wireguard {
        interface: interface.clone(),
        directory: DIRECTORY.into(),
        private_key_file: None,
    };
    let listener = uapi::listen(&config).map_err(|error| format!("{DIRECTORY}: {error}"))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(listener.serve(desk.clone()));
    desk.change(Origin::Cli, (1..=peers).map(peer).map(Change::AddPeer).collect()).await?;
    let begun = Instant::now();
    while dataplane.tables().peers.len() != peers as usize {
        if begun.elapsed() > PATIENCE {
            return Err("the dataplane did not get its peers".into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    println!("{peers} peers, each way of showing them {times} times");
    let shown = tokio::task::spawn_blocking(move || show(&interface, (peers, times))).await?;
    // With it goes the socket.
    tasks.shutdown().await;
    shown.map_err(Failure::from)
}

/// Shows all peers again and again, as for a script and as for a person.
fn show(interface: &str, (peers, times): (u32, u32)) -> Result<(), String> {
    for (what, more) in [("show dump", &["dump"][..]), ("show", &[])] {
        let mut all = Vec::new();
        for _ in 0..times {
            let mut command = Command::new("wg");
            command.args(["show", interface]).args(more);
            let begun = Instant::now();
            let output = command.output();
            all.push(begun.elapsed());
            let output = output.map_err(|error| {
                format!("wg cannot be run ({error}); apt-get install wireguard-tools")
            })?;
            let said = String::from_utf8_lossy(&output.stdout);
            if !output.status.success() || said.lines().count() <= peers as usize {
                let complaint = String::from_utf8_lossy(&output.stderr);
                return Err(format!("wg {what} did not show {peers} peers: {complaint}"));
            }
        }
        all.sort_unstable();
        let at = |place: usize| all.get(place).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
        let (best, middle, worst) = (at(0), at(all.len() / 2), at(all.len().saturating_sub(1)));
        println!(
            "{what} by the clock: best {best:.1} ms, middle {middle:.1} ms, worst {worst:.1} ms"
        );
    }
    Ok(())
}

/// A peer with an address.
fn peer(number: u32) -> Peer {
    let mut key = [7; 32];
    key.first_chunk_mut::<4>()
        .into_iter()
        .for_each(|first| *first = number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    let address = Ipv4Addr::from_bits(0x0a00_0000 + number);
    let allowed_ips = [IpNet::from(std::net::IpAddr::from(address))].into();
    Peer { allowed_ips, ..Peer::new(PublicKey(key)) }
}
