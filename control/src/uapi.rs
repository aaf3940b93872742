//! `WireGuard`'s own tools on millrace: the userspace interface that `wg` speaks over a unix socket, `get` and `set`.
//!
//! A connection ([`conversation`]) reads requests by [`lines`]. A `set` is parsed by [`set`], compared with what is
//! the dataplane's own by [`own`], and made one change of the book by [`plan`]: all of it or nothing. A `get` is
//! answered in pages by [`show`], from one state of the book and a survey of the dataplane.

mod conversation;
mod hex;
mod lines;
mod own;
mod plan;
mod set;
mod show;
mod socket;
mod wrong;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use wireguard::secret::Secret;

use crate::config::Wireguard;
use crate::desk::Desk;
use conversation::{Common, Conversation};
use socket::Socket;

/// What there may be at once, and for how long.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Connections; more wait until one ends.
    connections: usize,
    /// Octets of all `set` requests that are being read or granted: a million peers with all that can be said of
    /// each take 350 MiB.
    requests_len: usize,
    /// How long a connection may say nothing.
    idle: Duration,
    /// How long a request may take, from the first line to the end of the answer.
    request: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 32,
            requests_len: 512 << 20,
            idle: Duration::from_secs(30),
            request: Duration::from_mins(2),
        }
    }
}

/// Why `wg` cannot be served: where, what, and what to do about it.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// A socket that waits to be served. Its file goes when this goes.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    private_key: Option<Arc<Secret>>,
    bounds: Bounds,
}

/// Makes the socket, so that whoever starts control is told at once if that cannot be. Within a tokio runtime only.
pub fn listen(config: &Wireguard) -> Result<Listener, Error> {
    let private_key = config.private_key_file.as_deref().map(own::read_key).transpose()?;
    let socket = Socket::listen(&config.directory, &config.interface)?;
    let private_key = private_key.map(Arc::new);
    Ok(Listener { socket, private_key, bounds: Bounds::default() })
}

impl Listener {
    /// Where it listens.
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    /// Answers whoever connects, until this is dropped; then all connections end and the socket is removed.
    pub async fn serve(self, desk: Desk) {
        let Self { socket, private_key, bounds } = self;
        let common = Common { desk, private_key, bounds, held: Arc::default() };
        let mut conversations = JoinSet::new();
        loop {
            while conversations.len() >= bounds.connections {
                conversations.join_next().await;
            }
            tokio::select! {
                accepted = socket.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let conversation = Conversation::new(common.clone(), stream);
                        conversations.spawn(async {
                            if let Err(error) = conversation.run().await {
                                log::info!("wg: a connection was given up: {error}");
                            }
                        });
                    }
                    Err(error) => {
                        log::warn!("wg: nobody can connect now ({error}); trying on");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = conversations.join_next() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
