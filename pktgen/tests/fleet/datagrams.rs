//! A flow of datagrams through the tunnel to a service outside, which says by which address it sees who asks.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::lab::bound;
use crate::lab::namespace::Namespace;
use crate::lab::until;

const PORT: u16 = 5002;
/// From one datagram to the next.
const PAUSE: Duration = Duration::from_millis(20);
/// As long as QUIC's packets are at least (RFC 9000 14).
const LEN: usize = 1200;

/// Answers each datagram with the address that it came from.
pub(crate) fn serve(place: &Namespace, address: &str) {
    let socket = bound(place, SocketAddr::new(address.parse().unwrap(), PORT));
    std::thread::spawn(move || {
        let mut datagram = [0; 1500];
        // Ends with the namespace.
        while let Ok((_, from)) = socket.recv_from(&mut datagram) {
            let mut answer = from.to_string().into_bytes();
            answer.resize(LEN, 0);
            drop(socket.send_to(&answer, from));
        }
    });
}

#[derive(Default)]
struct Course {
    answers: u64,
    outside: BTreeSet<SocketAddr>,
}

/// A socket that asks until it is no longer wanted.
pub(crate) struct Datagrams {
    course: Arc<Mutex<Course>>,
    is_done: Arc<AtomicBool>,
}

impl Datagrams {
    /// Asks the service at an address, and waits for its first answer.
    pub(crate) fn open(client: &Namespace, address: &str) -> Self {
        let socket = bound(client, (Ipv4Addr::UNSPECIFIED, 0).into());
        socket.set_read_timeout(Some(PAUSE)).unwrap();
        let to = SocketAddr::new(address.parse().unwrap(), PORT);
        let (course, is_done) = (Arc::<Mutex<Course>>::default(), Arc::<AtomicBool>::default());
        let (own, end) = (Arc::clone(&course), Arc::clone(&is_done));
        std::thread::spawn(move || {
            let mut answer = [0; 1500];
            while !end.load(Ordering::Relaxed) {
                // It fails while the client has no address.
                drop(socket.send_to(&[7; LEN], to));
                let Ok(len) = socket.recv(&mut answer) else { continue };
                let text = String::from_utf8_lossy(&answer[..len]);
                let outside = text.trim_end_matches('\0').parse().unwrap();
                let mut course = own.lock().unwrap_or_else(PoisonError::into_inner);
                course.answers += 1;
                course.outside.insert(outside);
                std::thread::sleep(PAUSE);
            }
        });
        let datagrams = Self { course, is_done };
        until("a datagram is answered", 30, || datagrams.answers() > 0);
        datagrams
    }

    /// How many were answered.
    pub(crate) fn answers(&self) -> u64 {
        self.course.lock().unwrap_or_else(PoisonError::into_inner).answers
    }

    /// All addresses by which it was ever seen.
    pub(crate) fn outside(&self) -> BTreeSet<SocketAddr> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner).outside.clone()
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.is_done.store(true, Ordering::Relaxed);
    }
}
