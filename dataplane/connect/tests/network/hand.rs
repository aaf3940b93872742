//! One machine of ours and segments made by hand: for what no stack would send.

use std::net::SocketAddr;

use connect::NextHop;
use wire::tcp::Flags;

use super::frame::Frame;
use super::pop::{CONNECT_PORT, Pop};
use super::tcp::{MS, Time};
use super::{CLIENT_IP, EXIT_IP, INGRESS_IP, ORIGIN_IP, ip, scene};

/// The client's first number: its request and payload wrap.
pub(crate) const CLIENT_ISN: u32 = 0xffff_ffd0;
/// The next hop's, or the origin's.
pub(crate) const FAR_ISN: u32 = 0x7fff_fff0;
/// MSS 1460, SACK, timestamps of 1000, window scale 7.
pub(crate) const OPTIONS: &[u8] =
    &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 3, 232, 0, 0, 0, 0, 1, 3, 3, 7];
/// As a next hop answers: timestamps of 5000 that echo the client's, window scale 8, MSS 1400.
pub(crate) const ANSWER_OPTIONS: &[u8] =
    &[2, 4, 5, 120, 4, 2, 8, 10, 0, 0, 19, 136, 0, 0, 3, 232, 1, 3, 3, 8];

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

pub(crate) struct Hand {
    pub(crate) pop: Pop,
    pub(crate) now: Time,
    /// The end from which the near side speaks, and to which.
    near: (SocketAddr, SocketAddr),
    is_client: bool,
    pub(crate) far_at: SocketAddr,
}

impl Hand {
    /// A client before an ingress.
    pub(crate) fn ingress(routes: &[NextHop]) -> Self {
        let near = ((ip(CLIENT_IP), 40_000).into(), (ip(ORIGIN_IP), 80).into());
        let far_at = routes[0].address;
        Self { pop: scene::ingress(routes), now: 1000 * MS, near, is_client: true, far_at }
    }

    /// Another PoP before an exit.
    pub(crate) fn exit() -> Self {
        let near = ((ip(INGRESS_IP), 20_000).into(), (ip(EXIT_IP), CONNECT_PORT).into());
        let far_at = (ip(ORIGIN_IP), 80).into();
        Self { pop: scene::exit(), now: 1000 * MS, near, is_client: false, far_at }
    }

    /// A segment of the near end; returns what the machine sends.
    pub(crate) fn near(
        &mut self,
        flags: Flags,
        numbers: (u32, u32),
        options: &[u8],
        payload: &[u8],
    ) -> Vec<Frame> {
        let frame = Frame::new(self.near, (flags, 1000), numbers, options, payload);
        self.pop.take(&frame, self.is_client, self.now);
        self.sent()
    }

    /// A segment of the far end to the port that was dialled last.
    pub(crate) fn far(
        &mut self,
        flags: Flags,
        numbers: (u32, u32),
        options: &[u8],
        payload: &[u8],
    ) -> Vec<Frame> {
        let port = *self.pop.around.taken.last().expect("nothing was dialled");
        let to = SocketAddr::new(self.pop.around.ip, port);
        let frame = Frame::new((self.far_at, to), (flags, 500), numbers, options, payload);
        self.pop.take(&frame, false, self.now);
        self.sent()
    }

    pub(crate) fn sent(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.pop.around.sent)
    }

    /// Lets time pass; returns what the machine sends.
    pub(crate) fn wait(&mut self, ms: u64) -> Vec<Frame> {
        for _ in 0..ms {
            self.now += MS;
            self.pop.expire(self.now);
        }
        self.sent()
    }

    /// The client's SYN, and the one that follows from it.
    pub(crate) fn syn(&mut self) -> Frame {
        let sent = self.near(Flags::SYN, (CLIENT_ISN, 0), OPTIONS, &[]);
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0].clone()
    }

    /// An ingress whose next hop has accepted; returns the request.
    pub(crate) fn asked(&mut self) -> Frame {
        let isn = self.syn().header().sequence_number;
        let syn_ack = Flags::SYN | Flags::ACK;
        let sent = self.far(syn_ack, (FAR_ISN, isn.wrapping_add(1)), ANSWER_OPTIONS, &[]);
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0].clone()
    }

    /// An ingress that has answered its client; returns the SYN-ACK.
    pub(crate) fn answered(&mut self) -> Frame {
        self.asked();
        let sent = self.far(Flags::ACK, (FAR_ISN + 1, CLIENT_ISN.wrapping_add(1)), &[], OK);
        sent.iter().find(|frame| frame.header().flags.has(Flags::SYN)).unwrap().clone()
    }

    /// What an exit answers to a request behind the SYN.
    pub(crate) fn exit_answers(&mut self, request: &[u8]) -> String {
        let ack = self.syn().header().sequence_number.wrapping_add(1);
        let mut at = CLIENT_ISN.wrapping_add(1);
        let mut sent = Vec::new();
        for piece in request.chunks(1240) {
            sent.extend(self.near(Flags::ACK, (at, ack), &[], piece));
            at = at.wrapping_add(u32::try_from(piece.len()).unwrap());
        }
        let answer = sent.iter().find(|frame| frame.payload().starts_with(b"HTTP"));
        answer
            .map_or_else(String::new, |frame| String::from_utf8(frame.payload().to_vec()).unwrap())
    }

    /// Whether nothing is under way.
    pub(crate) fn is_clean(&self) -> bool {
        self.pop.connect.counts() == connect::Counts::default()
    }
}
