//! Numbered datagrams, by which a packet is known wherever it turns up, in whatever it is packed.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lab::bound;
use crate::lab::namespace::Namespace;

/// What every datagram begins with.
const MARK: [u8; 8] = *b"numbered";
const LEN: usize = 16;

/// How soon somebody who listens sees that it is over.
const PATIENCE: Duration = Duration::from_millis(50);

/// A datagram, by its flow and its number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Number {
    pub(crate) flow: u32,
    pub(crate) number: u32,
}

impl Number {
    fn octets(self) -> Vec<u8> {
        [&MARK[..], &self.flow.to_be_bytes(), &self.number.to_be_bytes()].concat()
    }

    /// Its datagram in hexadecimal digits.
    pub(crate) fn hex(self) -> String {
        self.octets().iter().fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
    }

    fn read(octets: &[u8]) -> Option<Self> {
        let word =
            |at: usize| Some(u32::from_be_bytes(octets.get(at..at + 4)?.try_into().unwrap()));
        octets.starts_with(&MARK).then_some(Self { flow: word(8)?, number: word(12)? })
    }
}

/// All numbers in these frames.
pub(crate) fn found(frames: &[Vec<u8>]) -> BTreeSet<Number> {
    frames.iter().flat_map(|frame| frame.windows(LEN).filter_map(Number::read)).collect()
}

/// All numbers of flows with `count` datagrams each.
pub(crate) fn all(flows: &[u32], count: u32) -> BTreeSet<Number> {
    let numbers = |flow: &u32| {
        (0..count).map({
            let flow = *flow;
            move |number| Number { flow, number }
        })
    };
    flows.iter().flat_map(numbers).collect()
}

/// Sends `count` datagrams to each of these addresses in turn, from a socket at `from`; each is a flow.
pub(crate) fn send(place: &Namespace, from: &str, count: u32, to: &[(&str, u16, u32)]) {
    let from = SocketAddr::new(from.parse().unwrap(), 0);
    let to: Vec<_> = to
        .iter()
        .map(|&(address, port, flow)| (SocketAddr::new(address.parse().unwrap(), port), flow))
        .collect();
    let sender = place.thread(move || {
        let socket = UdpSocket::bind(from).unwrap();
        for number in 0..count {
            for &(address, flow) in &to {
                // An answer to an earlier one, such as that nobody listens, is no reason to stop.
                drop(socket.send_to(&Number { flow, number }.octets(), address));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    sender.join().unwrap();
}

/// A thread that goes on until this value is gone.
struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Self { stop, thread: Some(std::thread::spawn(move || work(&stopped))) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

type Arrivals = Arc<Mutex<Vec<(Number, Instant)>>>;

/// Somebody who notes which datagrams come to an address, and when.
pub(crate) struct Service {
    arrivals: Arrivals,
    _thread: Running,
}

impl Service {
    pub(crate) fn start(place: &Namespace, address: &str) -> Self {
        let arrivals = Arrivals::default();
        let sink = Arc::clone(&arrivals);
        let socket = bound(place, address.parse().unwrap());
        let thread = Running::start(move |stop| {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut octets = [0; LEN];
            while !stop.load(Ordering::Relaxed) {
                let Ok((LEN, _)) = socket.recv_from(&mut octets) else { continue };
                let arrival = (Number::read(&octets).unwrap(), Instant::now());
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
            }
        });
        Self { arrivals, _thread: thread }
    }

    /// What has come since then.
    pub(crate) fn since(&self, begin: Instant) -> Vec<(Number, Instant)> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.iter().filter(|(_, at)| *at >= begin).copied().collect()
    }

    /// The flows of which something has come since then.
    pub(crate) fn flows(&self, begin: Instant) -> BTreeSet<u32> {
        self.since(begin).iter().map(|(number, _)| number.flow).collect()
    }
}

/// Flows that go on until this value is gone, each from a socket of its own.
pub(crate) struct Flows(#[expect(dead_code, reason = "ends them when it is dropped")] Running);

impl Flows {
    /// So many of them, each with a datagram every `pause`.
    pub(crate) fn start(place: &Namespace, to: &str, count: u32, pause: Duration) -> Self {
        let to = to.parse::<SocketAddr>().unwrap();
        let any = SocketAddr::from(([0; 4], 0));
        let sockets: Vec<_> = (0..count).map(|_| bound(place, any)).collect();
        Self(Running::start(move |stop| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                for (flow, socket) in (0..).zip(&sockets) {
                    drop(socket.send_to(&Number { flow, number }.octets(), to));
                    std::thread::sleep(pause / count);
                }
                number += 1;
            }
        }))
    }
}
