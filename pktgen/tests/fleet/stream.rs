//! Long-lived TCP streams through the tunnel. What ends one of them is known to nobody but whoever has its state: the kernel
//! of a server, where every server has the service for itself, or what translates for the client.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::net::sockopt;

use crate::lab::namespace::Namespace;
use crate::lab::traffic::octet;

const PORT: u16 = 5001;
/// How long a stream may take to open, and how long it may stand still: clients sleep for longer than their sessions live.
const PATIENCE: Duration = Duration::from_mins(1);
const STANDSTILL: Duration = Duration::from_mins(5);
/// Octets of a round, at most: several segments.
const CHUNK_LEN_MAX: usize = 6000;
const PAUSE: Duration = Duration::from_millis(10);
/// After so much silence, and so often, it asks.
const KEEPALIVE: Duration = Duration::from_secs(2);
const KEEPALIVES_MAX: u32 = 127;

/// Says a server's number to whoever connects, and then returns every octet. `number` says which, from the address of who
/// connects.
pub(crate) fn serve(place: &Namespace, number: impl Fn(IpAddr) -> u8 + Send + 'static) {
    let (listening, bound) = mpsc::channel();
    place.thread(move || {
        let listener = TcpListener::bind(("::", PORT)).unwrap();
        listening.send(()).unwrap();
        while let Ok((stream, from)) = listener.accept() {
            let number = number(from.ip());
            std::thread::spawn(move || echo(stream, number));
        }
    });
    bound.recv_timeout(PATIENCE).unwrap();
}

fn echo(mut stream: TcpStream, number: u8) {
    let mut buffer = [0; CHUNK_LEN_MAX];
    let mut len = 1;
    buffer[0] = number;
    // Ends with the connection, however that ends.
    while len > 0 && stream.write_all(&buffer[..len]).is_ok() {
        len = stream.read(&mut buffer).unwrap_or(0);
    }
}

#[derive(Default)]
struct Course {
    octets: AtomicU64,
    longest_round_ms: AtomicU64,
    is_done: AtomicBool,
    end: Mutex<Option<String>>,
}

/// A connection on which octets go out and come back until it breaks or is no longer wanted.
pub(crate) struct Stream {
    course: Arc<Course>,
    /// Who has answered, or for whom.
    pub(crate) server: u8,
}

impl Stream {
    /// Connects to an inner address.
    pub(crate) fn open(client: &Namespace, address: &str) -> Self {
        let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), PORT);
        let course = Arc::new(Course::default());
        let (greeted, greeting) = mpsc::channel();
        let own = Arc::clone(&course);
        client.thread(move || {
            let end = run(address, &own, &greeted).err().map(|error| error.to_string());
            *own.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        });
        let server = greeting.recv_timeout(PATIENCE);
        let server =
            server.unwrap_or_else(|_| panic!("no stream to {address}: {:?}", end(&course)));
        Self { course, server }
    }

    /// Octets that have come back, each as it was sent.
    pub(crate) fn octets(&self) -> u64 {
        self.course.octets.load(Ordering::Relaxed)
    }

    /// Why it is over, if it is.
    pub(crate) fn end(&self) -> Option<String> {
        end(&self.course)
    }

    /// The longest time that octets took there and back since this was asked last, milliseconds.
    pub(crate) fn longest_round_ms(&self) -> u64 {
        self.course.longest_round_ms.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.course.is_done.store(true, Ordering::Relaxed);
    }
}

fn end(course: &Course) -> Option<String> {
    course.end.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn run(address: SocketAddr, course: &Course, greeted: &mpsc::Sender<u8>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STANDSTILL))?;
    stream.set_write_timeout(Some(STANDSTILL))?;
    // Who has nothing to send would not hear that nobody knows of the connection any more.
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(&stream, KEEPALIVES_MAX)?;
    let mut number = [0];
    stream.read_exact(&mut number)?;
    // Nobody listens any more when the test has failed meanwhile.
    greeted.send(number[0]).map_err(std::io::Error::other)?;
    let (mut place, mut back) = (0, vec![0; CHUNK_LEN_MAX]);
    while !course.is_done.load(Ordering::Relaxed) {
        let len = 1 + place * 7919 % CHUNK_LEN_MAX;
        let chunk: Vec<u8> = (place..place + len).map(|place| octet(3, place)).collect();
        let begin = Instant::now();
        stream.write_all(&chunk)?;
        stream.read_exact(&mut back[..len])?;
        if back[..len] != chunk {
            return Err(std::io::Error::other(format!("a wrong octet behind place {place}")));
        }
        let took = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        course.longest_round_ms.fetch_max(took, Ordering::Relaxed);
        course.octets.fetch_add(len as u64, Ordering::Relaxed);
        place += len;
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
