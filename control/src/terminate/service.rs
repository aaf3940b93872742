//! Who is let in: the dataplane alone, so many at a time, each at the port of the next hop that is asked for it.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::carry::reset;
use super::config::{Config, NextHop, Times};
use super::counts::{Count, Counts, Refusal};
use super::session;

/// Connections that the kernel keeps until they are taken.
const BACKLOG: u32 = 1024;

/// Until connections are accepted again after the system has had no descriptor or memory for one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// For who reads counts.
const READ_TIME: Duration = Duration::from_secs(1);

/// Descriptors beside those of connections: listeners, the log, the runtime's own.
const OTHER_DESCRIPTORS: u64 = 256;

/// What keeps the service from starting, and what to do about it.
#[derive(Debug)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A next hop and who comes for it.
#[derive(Debug)]
struct Door {
    next_hop: NextHop,
    from: Vec<IpNet>,
    times: Times,
    counts: Counts,
}

/// The service, which listens.
#[derive(Debug)]
pub struct Service {
    listeners: Vec<(TcpListener, Arc<Door>)>,
    doors: Vec<Arc<Door>>,
    places: Arc<Semaphore>,
    watched: UnixListener,
    socket: PathBuf,
}

impl Service {
    /// Listens at all addresses and ports; a sentence says what is missing.
    pub fn open(config: Config) -> Result<Self, Error> {
        is_there(&config.interface)?;
        allow(config.connections)?;
        let doors = config.next_hops.into_iter().map(|next_hop| {
            let (from, times) = (config.from.clone(), config.times);
            Arc::new(Door { next_hop, from, times, counts: Counts::default() })
        });
        let doors: Vec<_> = doors.collect();
        let mut listeners = Vec::new();
        for door in &doors {
            for address in &config.addresses {
                let listener = listen(*address, door.next_hop.port, &config.interface)?;
                listeners.push((listener, Arc::clone(door)));
            }
        }
        let watched = crate::api::listen(&config.socket).map_err(|error| {
            let socket = config.socket.display();
            Error(format!(
                "{socket}: cannot be listened to ({error}); set `socket` to a path that may be"
            ))
        })?;
        let places = Arc::new(Semaphore::new(config.connections));
        Ok(Self { listeners, doors, places, watched, socket: config.socket })
    }

    /// Where it listens, in the order of next hops and then of addresses.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|(listener, _)| listener.local_addr().ok()).collect()
    }

    /// Serves until it is dropped; connections end with it.
    pub async fn run(self) {
        let Self { listeners, doors, places, watched, socket } = self;
        let _gone = Gone(socket);
        let mut tasks = JoinSet::new();
        for (listener, door) in listeners {
            tasks.spawn(admit(listener, door, Arc::clone(&places)));
        }
        tasks.spawn(show(watched, doors));
        while tasks.join_next().await.is_some() {}
    }
}

/// The path of a socket, which goes with its service.
struct Gone(PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        // A later start would take it for a dead one's anyway.
        drop(std::fs::remove_file(&self.0));
    }
}

/// Whether the dataplane has made its interface.
fn is_there(interface: &str) -> Result<(), Error> {
    if Path::new("/sys/class/net").join(interface).exists() {
        return Ok(());
    }
    Err(Error(format!(
        "there is no interface {interface}; start the dataplane with a section [terminate] that names it"
    )))
}

/// Makes sure that there are descriptors for so many connections.
fn allow(connections: usize) -> Result<(), Error> {
    let needed = connections as u64 * 2 + OTHER_DESCRIPTORS;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    limit.current = Some(needed);
    let may = limit.maximum.is_none_or(|most| most >= needed);
    if may && setrlimit(Resource::Nofile, limit).is_ok() {
        return Ok(());
    }
    Err(Error(format!(
        "{connections} connections need {needed} descriptors, and this process may not have them; \
         raise LimitNOFILE, or lower `connections`"
    )))
}

fn listen(address: IpAddr, port: u16, interface: &str) -> Result<TcpListener, Error> {
    let at = SocketAddr::new(address, port);
    let opened = || -> io::Result<TcpListener> {
        let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        socket.listen(BACKLOG)
    };
    opened().map_err(|error| {
        let remedy = if error.kind() == io::ErrorKind::AddrNotAvailable {
            format!("give it to the interface first: ip addr add {address}/PREFIX dev {interface}")
        } else {
            "choose another port".to_owned()
        };
        Error(format!("{at} cannot be listened at ({error}); {remedy}"))
    })
}

/// Lets connections in.
async fn admit(listener: TcpListener, door: Arc<Door>, places: Arc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok((near, from)) => match door.judge(from, &places) {
                Ok(place) => {
                    tokio::spawn(serve(near, Arc::clone(&door), place));
                }
                Err(refusal) => {
                    door.counts.add(Count::Refused(refusal), 1);
                    reset(&near);
                }
            },
            Err(error) => {
                log::warn!("a connection cannot be accepted ({error}); trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Door {
    /// Whether who comes from there is served.
    fn judge(
        &self,
        from: SocketAddr,
        places: &Arc<Semaphore>,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        if !self.from.iter().any(|net| net.contains(&from.ip())) {
            return Err(Refusal::Source);
        }
        Arc::clone(places).try_acquire_owned().map_err(|_| Refusal::Full)
    }
}

async fn serve(near: TcpStream, door: Arc<Door>, place: OwnedSemaphorePermit) {
    door.counts.add(Count::Accepted, 1);
    session::serve(near, (&door.next_hop, &door.times), &door.counts).await;
    drop(place);
}

/// Writes all counts to whoever connects.
async fn show(watched: UnixListener, doors: Vec<Arc<Door>>) {
    loop {
        match watched.accept().await {
            Ok((mut stream, _)) => {
                let mut text = String::new();
                for door in &doors {
                    door.counts.read().write(&door.next_hop.name, &mut text);
                }
                // One after the other: it is control alone that reads, and a reader that does not is given up.
                drop(timeout(READ_TIME, stream.write_all(text.as_bytes())).await);
            }
            Err(error) => {
                log::warn!("nobody can read the counts ({error}); trying again");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
