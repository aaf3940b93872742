//! A relay before a client as everybody has it, which knows no ids: it writes one into the reserved octets of what goes out,
//! after the MACs were made over zeros, and takes it out of what comes back.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::lab::bound;
use crate::lab::namespace::Namespace;

/// A datagram of any client fits.
const LEN_MAX: usize = 2048;
/// So often a thread looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// What both directions know.
struct Relay {
    id: [u8; 3],
    server: SocketAddr,
    /// Where the client sends to.
    inner: UdpSocket,
    /// Where the client is, once it has spoken.
    client: Mutex<Option<SocketAddr>>,
    /// By which the server knows the client, until it moves.
    outer: Mutex<Arc<UdpSocket>>,
    is_done: AtomicBool,
}

/// A relay in threads of its own.
pub(crate) struct Badge<'a> {
    place: &'a Namespace,
    relay: Arc<Relay>,
}

impl<'a> Badge<'a> {
    /// Between a client in this place and a server of IPv4.
    pub(crate) fn new(place: &'a Namespace, id: [u8; 3], server: &str) -> Self {
        let inner = bound(place, (Ipv4Addr::LOCALHOST, 0).into());
        inner.set_read_timeout(Some(LOOK)).unwrap();
        let relay = Relay {
            id,
            server: server.parse().unwrap(),
            inner,
            client: Mutex::default(),
            outer: Mutex::new(outer(place)),
            is_done: AtomicBool::new(false),
        };
        let badge = Self { place, relay: Arc::new(relay) };
        let relay = Arc::clone(&badge.relay);
        std::thread::spawn(move || relay.outward());
        badge.listen();
        badge
    }

    /// The address that the client takes for the server's.
    pub(crate) fn address(&self) -> SocketAddr {
        self.relay.inner.local_addr().unwrap()
    }

    /// Goes on from another port, and from the address that the place has now.
    pub(crate) fn rebind(&self) {
        let outer = outer(self.place);
        *self.relay.outer.lock().unwrap_or_else(PoisonError::into_inner) = outer;
        self.listen();
    }

    fn listen(&self) {
        let relay = Arc::clone(&self.relay);
        std::thread::spawn(move || relay.inward());
    }
}

impl Drop for Badge<'_> {
    fn drop(&mut self) {
        self.relay.is_done.store(true, Ordering::Relaxed);
    }
}

fn outer(place: &Namespace) -> Arc<UdpSocket> {
    let socket = bound(place, (Ipv4Addr::UNSPECIFIED, 0).into());
    socket.set_read_timeout(Some(LOOK)).unwrap();
    Arc::new(socket)
}

impl Relay {
    fn outer(&self) -> Arc<UdpSocket> {
        Arc::clone(&self.outer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_wanted(&self) -> bool {
        !self.is_done.load(Ordering::Relaxed)
    }

    fn outward(&self) {
        let mut datagram = [0; LEN_MAX];
        while self.is_wanted() {
            let Ok((len, from)) = self.inner.recv_from(&mut datagram) else { continue };
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            datagram[1..4].copy_from_slice(&self.id);
            // It fails while the place has no address, and is lost as on any way.
            drop(self.outer().send_to(&datagram[..len], self.server));
        }
    }

    /// Until the client has moved: what comes to its former port is lost.
    fn inward(&self) {
        let (outer, mut datagram) = (self.outer(), [0; LEN_MAX]);
        while self.is_wanted() && Arc::ptr_eq(&outer, &self.outer()) {
            let Ok((len, _)) = outer.recv_from(&mut datagram) else { continue };
            let client = *self.client.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(client) = client.filter(|_| len > 4 && datagram[1..4] == self.id) {
                datagram[1..4].fill(0);
                drop(self.inner.send_to(&datagram[..len], client));
            }
        }
    }
}
