//! Both ends of a connection, as sockets of two kernels: the client's, and one's on the Internet.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use crate::lab::namespace::Namespace;

/// Longer than any opening of a connection may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Does this with the first connection to a port, at any address of the namespace.
pub(crate) fn serve<T: Send + 'static>(
    place: &Namespace,
    port: u16,
    work: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> JoinHandle<T> {
    let (listening, bound) = mpsc::channel();
    let thread = place.thread(move || {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
        listening.send(()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        // Nobody else is served.
        drop(listener);
        patient(&stream);
        work(stream)
    });
    bound.recv_timeout(PATIENCE).unwrap();
    thread
}

/// Connects from a namespace.
pub(crate) fn connect(place: &Namespace, to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = place.thread(move || TcpStream::connect_timeout(&to, PATIENCE)).join().unwrap()?;
    patient(&stream);
    Ok(stream)
}

fn patient(stream: &TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
}

/// Writes all of it.
pub(crate) fn say(mut stream: &TcpStream, octets: &[u8]) {
    stream.write_all(octets).unwrap();
}

/// Reads so many octets.
pub(crate) fn hear(mut stream: &TcpStream, len: usize) -> Vec<u8> {
    let mut octets = vec![0; len];
    stream.read_exact(&mut octets).unwrap();
    octets
}

/// Reads until the other end has no more to say.
pub(crate) fn hear_out(mut stream: &TcpStream) -> Vec<u8> {
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).unwrap();
    octets
}

/// Has no more to say.
pub(crate) fn close(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Ends the connection by a reset.
pub(crate) fn reset(stream: TcpStream) {
    set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Reads a head of HTTP, and forgets what came with it.
pub(crate) fn hear_head(mut stream: &TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut octets = [0; 2048];
        let len = stream.read(&mut octets).unwrap();
        assert!(len > 0, "closed within a head: {}", head.escape_ascii());
        head.extend(&octets[..len]);
    }
    let end = head.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    String::from_utf8(head[..end + 4].to_vec()).unwrap()
}

/// Wants the other end to close or reset the connection, and to say nothing before.
pub(crate) fn is_over(mut stream: &TcpStream) {
    match stream.read(&mut [0]) {
        Ok(len) => assert_eq!(len, 0, "somebody has said something"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}
