//! Times what is large, on one machine: `cargo run --release -p control --example scale -- [PEERS] [ROUTES]`.
//!
//! Files are made, read, judged, written to disk, and fed to a dataplane in this process that takes them into maps;
//! then single changes are timed.
#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use control::desk::Desk;
use control::keep::Keep;
use control::model::{Change, Origin, Peer, PublicKey, key};
use control::source::{Directory, Source as _};
use control::testing::{FakeDataplane, place_beneath};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let peers = arguments.next().transpose()?.unwrap_or(1_000_000);
    let routes = arguments.next().transpose()?.unwrap_or(1_150_000);
    let root = tempfile::tempdir_in("/dev/shm")?;
    write(root.path(), peers, routes)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(root.path()))
}

/// A number that depends on another and nothing else (`SplitMix64`'s step).
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn key_of(number: u32) -> PublicKey {
    let mut octets = [0; 32];
    for (at, chunk) in (0..).zip(octets.chunks_mut(8)) {
        chunk.copy_from_slice(&scatter(u64::from(number) * 4 + at).to_le_bytes());
    }
    PublicKey(octets)
}

fn write(root: &Path, peers: u32, routes: u32) -> io::Result<()> {
    let directory = root.join("control.d");
    fs::create_dir(&directory)?;
    let mut text = String::new();
    for number in 0..peers {
        let (key, v4) = (key::encode(&key_of(number).0), Ipv4Addr::from(0x6440_0000 + number));
        let v6 = Ipv6Addr::from(0xfd00_u128 << 112 | u128::from(number));
        let section = format!(
            "[[peer]]\nname = \"p{number}\"\npublic_key = \"{key}\"\nallowed_ips = [\"{v4}\", \"{v6}\"]\n\n"
        );
        text += &section;
    }
    fs::write(directory.join("peers.toml"), &text)?;
    text.clear();
    for number in 0..routes {
        let net = if number % 6 == 0 {
            let address = Ipv6Addr::from(0x2001_u128 << 112 | u128::from(number) << 72);
            IpNet::from(Ipv6Net::new_assert(address, 56))
        } else {
            IpNet::from(Ipv4Net::new_assert(Ipv4Addr::from(number << 8 | 0x8000_0000), 24))
        };
        // Writing to a text cannot fail.
        let _written = writeln!(text, "{net} {}", if number % 3 == 0 { "out" } else { "local" });
    }
    fs::write(directory.join("full.txt"), &text)?;
    let routes =
        "[[next_hop]]\nname = \"out\"\nkind = \"direct\"\n[[table]]\nfile = \"full.txt\"\n";
    fs::write(directory.join("routes.toml"), routes)
}

fn memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_owned()
    };
    format!("resident {}, at most {}; {}", line("VmRSS:"), line("VmHWM:"), cpu())
}

/// Processor time of all threads so far, in hundredths of a second: what other programs do meanwhile is not in it.
fn cpu() -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    format!("processor time so far {}.{:02} s", ticks / 100, ticks % 100)
}

async fn measure(root: &Path) -> Result<(), Failure> {
    let begun = Instant::now();
    let declaration = Directory::new(root.join("control.d")).read()?;
    println!("read {:?}; {}", begun.elapsed(), memory());
    let place = place_beneath(root)?;
    let desk = Desk::open(place.clone(), Keep::open(&root.join("state"))?)?;
    let begun = Instant::now();
    desk.declare(declaration).await?;
    println!("judged and on disk {:?}; {}", begun.elapsed(), memory());
    let declaration = Directory::new(root.join("control.d")).read()?;
    let begun = Instant::now();
    desk.declare(declaration).await?;
    println!("declared again, unchanged {:?}; {}", begun.elapsed(), memory());
    desk.end().await;
    drop(desk);
    let keep = loop {
        match Keep::open(&root.join("state")) {
            Ok(keep) => break keep,
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    };
    let begun = Instant::now();
    let desk = Desk::open(place.clone(), keep)?;
    println!("read from disk {:?}; {}", begun.elapsed(), memory());
    let counts = desk.book().counts();
    let begun = Instant::now();
    let dataplane = FakeDataplane::start(&place)?;
    let fed = dataplane.wait_for(|tables| tables.snapshots == 1);
    println!("fed {fed} {counts:?} {:?}; {}", begun.elapsed(), memory());
    while desk.status().applied == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    single(&desk).await?;
    many(&desk).await;
    let begun = Instant::now();
    let read = desk.book().peers_after(None).filter(|peer| peer.persistent_keepalive == 0).count();
    println!("walked {read} peers in {:?}", begun.elapsed());
    Ok(())
}

/// The time of one change from asking to the answer, on disk and in force.
async fn single(desk: &Desk) -> Result<(), Failure> {
    let mut times = Vec::new();
    for number in 0..500 {
        let peer = Peer { endpoint: None, ..Peer::new(key_of(2_000_000 + number)) };
        let begun = Instant::now();
        desk.change(Origin::Cli, vec![Change::AddPeer(peer)]).await?;
        times.push(begun.elapsed());
    }
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    println!("one change: median {:?}, 99 % {:?}", at(50), at(99));
    Ok(())
}

/// Many who ask at once.
async fn many(desk: &Desk) {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4000 {
        let desk = desk.clone();
        let peer = Peer::new(key_of(3_000_000 + number));
        tasks.spawn(async move {
            desk.change(Origin::Registration, vec![Change::AddPeer(peer)]).await.is_ok()
        });
    }
    let made = tasks.join_all().await.into_iter().filter(|made| *made).count();
    println!("{made} changes asked for at once: {:?}", begun.elapsed());
}
