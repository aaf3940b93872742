//! Cloudflare's boringtun as a peer: its protocol machine on a UDP socket inside a namespace.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use boringtun::noise::{Tunn, TunnResult};

use super::icmp::{self, Family};
use super::keys::{Keys, random};
use super::namespace::Namespace;
use super::until;

/// A peer with the inner host number `host`, which answers pings whenever it takes a turn.
pub(crate) struct BoringTun {
    tunnel: Tunn,
    socket: UdpSocket,
    server: SocketAddr,
    host: u8,
    /// What the reserved octets bear on the wire, both ways. boringtun itself knows only zeros.
    id: [u8; 3],
    timers_at: Instant,
}

impl BoringTun {
    /// Binds `local` in the namespace and knows the server's key and address; says nothing yet.
    pub(crate) fn new(
        namespace: &Namespace,
        (keys, host): (&Keys, u8),
        local: &str,
        (server_keys, server): (&Keys, &str),
    ) -> Self {
        let socket = bound(namespace, local);
        let [a, b, c, ..] = random();
        let index = u32::from_be_bytes([0, a, b, c]);
        let tunnel = Tunn::new(keys.secret.clone(), server_keys.public, None, None, index, None);
        let server = server.parse().unwrap();
        Self { tunnel, socket, server, host, id: [0; 3], timers_at: Instant::now() }
    }

    /// Sends this client id, and takes messages with it alone.
    pub(crate) fn with_id(mut self, id: [u8; 3]) -> Self {
        self.id = id;
        self
    }

    /// Goes on from another address or port; what is on its way to the former one is lost.
    pub(crate) fn rebind(&mut self, namespace: &Namespace, local: &str) {
        self.socket = bound(namespace, local);
    }

    /// Whether a session is there.
    pub(crate) fn is_connected(&self) -> bool {
        self.tunnel.time_since_last_handshake().is_some()
    }

    /// Sends one initiation.
    pub(crate) fn initiate(&mut self) {
        let mut buffer = [0; 256];
        if let TunnResult::WriteToNetwork(message) =
            self.tunnel.format_handshake_initiation(&mut buffer, true)
        {
            transmit(&self.socket, (message, self.id), self.server);
        }
    }

    /// Makes the first move and completes the handshake.
    pub(crate) fn connect(&mut self) {
        self.initiate();
        until("boringtun's handshake is answered", 20, || {
            self.turn();
            self.is_connected()
        });
    }

    /// Seals and sends one inner packet.
    pub(crate) fn send(&mut self, packet: &[u8]) {
        let mut buffer = vec![0; packet.len() + 256];
        if let TunnResult::WriteToNetwork(message) = self.tunnel.encapsulate(packet, &mut buffer) {
            transmit(&self.socket, (message, self.id), self.server);
        }
    }

    /// Waits up to 20 ms for a datagram and acts on it; returns the inner packet that it held, if any.
    pub(crate) fn turn(&mut self) -> Option<Vec<u8>> {
        self.tick();
        let mut datagram = [0; 2048];
        let (len, from) = self.socket.recv_from(&mut datagram).ok()?;
        assert_eq!(datagram[1..4], self.id, "the id that was sent, echoed");
        datagram[1..4].fill(0);
        let mut buffer = [0; 2048];
        let mut input = &datagram[..len];
        loop {
            match self.tunnel.decapsulate(Some(from.ip()), input, &mut buffer) {
                TunnResult::WriteToNetwork(message) => {
                    transmit(&self.socket, (message, self.id), from);
                    // The way to ask for what waited for the session.
                    input = &[];
                }
                TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                    let packet = packet.to_vec();
                    self.serve(&packet);
                    return Some(packet);
                }
                TunnResult::Done | TunnResult::Err(_) => return None,
            }
        }
    }

    fn tick(&mut self) {
        if self.timers_at.elapsed() < Duration::from_millis(100) {
            return;
        }
        self.timers_at = Instant::now();
        let mut buffer = [0; 256];
        if let TunnResult::WriteToNetwork(message) = self.tunnel.update_timers(&mut buffer) {
            transmit(&self.socket, (message, self.id), self.server);
        }
    }

    fn serve(&mut self, packet: &[u8]) {
        if let Some(reply) = icmp::reply(packet) {
            self.send(&reply);
        }
    }

    /// Sends echo requests of many lengths to an inner host and wants each payload back, octet for octet.
    pub(crate) fn echo(&mut self, family: Family, to: u8, count: u16) {
        for sequence in 0..count {
            let len = usize::from(sequence) * 173 % 1300;
            let payload: Vec<u8> = random().into_iter().cycle().take(len).collect();
            self.send(&icmp::request(family, (self.host, to), sequence, &payload));
            until(&format!("the answer to echo {sequence} of {len} octets"), 30, || {
                self.turn().is_some_and(|packet| {
                    icmp::answer(&packet) == Some((sequence, payload.as_slice()))
                })
            });
        }
    }
}

fn bound(namespace: &Namespace, local: &str) -> UdpSocket {
    let local: SocketAddr = local.parse().unwrap();
    let socket = namespace.thread(move || UdpSocket::bind(local).unwrap()).join().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    socket
}

/// Sends a message with the id written into it, after its MACs were made.
fn transmit(socket: &UdpSocket, (message, id): (&mut [u8], [u8; 3]), to: SocketAddr) {
    message[1..4].copy_from_slice(&id);
    socket.send_to(message, to).unwrap();
}
