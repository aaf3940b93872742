//! What users send: pings, and TCP streams whose every octet is compared.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::namespace::Namespace;

/// Sends this many echo requests and wants every answer.
pub(crate) fn ping(namespace: &Namespace, address: &str, count: u32) {
    namespace.run(&format!("ping -n -q -c {count} -i 0.02 -W 5 {address}"));
}

/// Whether one echo request is answered within a second.
pub(crate) fn answers(namespace: &Namespace, address: &str) -> bool {
    namespace.attempt(&format!("ping -n -q -c 1 -W 1 {address}")).0
}

const PATIENCE: Duration = Duration::from_mins(1);

/// Sends `len` octets over TCP from a socket in `from` to one at `address` in `to`, both ways, and compares each octet.
/// Returns megabits per second of the slower way.
pub(crate) fn transfer(from: &Namespace, to: &Namespace, address: &str, len: usize) -> u64 {
    let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), 5001);
    let (listening, bound) = mpsc::channel();
    let server = to.thread(move || {
        let listener = TcpListener::bind(address).unwrap();
        listening.send(()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let there = receive(&stream, 1, len);
        send(&stream, 2, len);
        there
    });
    bound.recv_timeout(PATIENCE).unwrap();
    let client = from.thread(move || {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).unwrap();
        send(&stream, 1, len);
        receive(&stream, 2, len)
    });
    let back = client.join().unwrap();
    let there = server.join().unwrap();
    let slowest = u64::try_from(there.max(back).as_micros().max(1)).unwrap();
    u64::try_from(len).unwrap() * 8 / slowest
}

/// The octet at a place of the stream; neither constant nor of a short period, so a lost or doubled segment shows.
pub(crate) fn octet(seed: u64, place: usize) -> u8 {
    let mixed = (place as u64 + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_be_bytes()[2]
}

fn send(mut stream: &TcpStream, seed: u64, len: usize) {
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let octets: Vec<u8> = (0..len).map(|place| octet(seed, place)).collect();
    stream.write_all(&octets).unwrap();
}

fn receive(mut stream: &TcpStream, seed: u64, len: usize) -> Duration {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut octets = vec![0; len];
    let begin = Instant::now();
    stream.read_exact(&mut octets).unwrap();
    let elapsed = begin.elapsed();
    let wrong = octets.iter().enumerate().find(|&(place, &found)| found != octet(seed, place));
    assert_eq!(wrong, None, "the first wrong octet of the stream");
    elapsed
}
