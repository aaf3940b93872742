//! HTTP/1.1 (RFC 9112) as far as an origin for measurements needs it: `GET /`, `GET /bytes/N`, `POST /echo`, requests
//! one after the other on a connection that stays. And the raw echo.

use smoltcp::socket::tcp::{Socket, State};

use super::Tally;

/// Octets of a request head at most.
const HEAD_LEN_MAX: usize = 4096;
/// Fields of a request head at most.
const FIELDS_MAX: usize = 64;
/// Room that every answer's head fits.
const ANSWER_LEN_MAX: usize = 256;
/// Octets that are copied at a time.
const PIECE_LEN: usize = 4096;
/// Octets of an answer at most, a million million.
const BODY_LEN_MAX: u64 = 1_000_000_000_000;
/// The answer to `GET /`.
const WELCOME: &[u8] = b"millrace-pktgen: GET /bytes/N, POST /echo\n";
/// What the octets of `GET /bytes/N` repeat.
const ALPHABET: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// A request is awaited.
    #[default]
    Head,
    /// This many octets of the answer's body are still to be written.
    Body { written: u64, left: u64 },
    /// This many octets of the request's body are still to be echoed.
    Echo { left: u64 },
    /// Nothing more is read or written.
    Over,
}

/// One connection's conversation.
#[derive(Debug, Default)]
pub(super) struct Talk {
    step: Step,
    /// Whether the present request is the last.
    is_last: bool,
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Welcome,
    Bytes(u64),
    Echo(u64),
    /// Nothing that is offered: the answer's status.
    Error(&'static str),
}

/// A request whose head is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Request {
    wish: Wish,
    /// Whether only the answer's head is wanted.
    head_only: bool,
    /// Whether the connection ends with the answer.
    is_last: bool,
    /// Whether the client waits for leave to send its body.
    expects: bool,
    /// Octets of the head.
    len: usize,
}

impl Talk {
    /// Goes on as far as the socket allows.
    pub(super) fn serve(&mut self, socket: &mut Socket<'_>, tally: &mut Tally) {
        while self.step(socket, tally) {}
        // The client has said all, and nothing of it is left to be answered.
        let has_ended = socket.state() == State::CloseWait && room(socket) >= ANSWER_LEN_MAX;
        if has_ended && self.step == Step::Head {
            socket.close();
        }
    }

    /// One step; false when it has to wait.
    fn step(&mut self, socket: &mut Socket<'_>, tally: &mut Tally) -> bool {
        match self.step {
            Step::Head => self.begin(socket, tally),
            Step::Over => discard(socket, tally),
            Step::Body { left: 0, .. } | Step::Echo { left: 0 } => {
                self.step = if self.is_last { Step::Over } else { Step::Head };
                if self.is_last {
                    socket.close();
                }
                true
            }
            Step::Body { written, left } => {
                let sent = write(socket, written, left);
                tally.octets_sent += sent;
                self.step = Step::Body { written: written + sent, left: left - sent };
                sent > 0
            }
            Step::Echo { left } => {
                let max = usize::try_from(left).unwrap_or(usize::MAX);
                let copied = copy(socket, max, tally);
                self.step = Step::Echo { left: left - copied };
                if copied == 0 && !socket.may_recv() {
                    // The rest of the body will never come.
                    socket.abort();
                    self.step = Step::Over;
                }
                copied > 0
            }
        }
    }

    /// Reads a head and writes the answer's.
    fn begin(&mut self, socket: &mut Socket<'_>, tally: &mut Tally) -> bool {
        if room(socket) < ANSWER_LEN_MAX || !socket.can_recv() {
            return false;
        }
        let mut octets = [0; HEAD_LEN_MAX];
        let len = socket.peek_slice(&mut octets).unwrap_or(0);
        let octets = octets.get(..len).unwrap_or_default();
        let is_full = len == HEAD_LEN_MAX || len >= socket.recv_capacity();
        let Some(request) = read(octets, is_full) else { return false };
        let mut head = [0; HEAD_LEN_MAX];
        let head = head.get_mut(..request.len).unwrap_or_default();
        // It was there a moment ago.
        tally.octets_received += socket.recv_slice(head).unwrap_or(0) as u64;
        self.answer(request, socket, tally);
        true
    }

    fn answer(&mut self, request: Request, socket: &mut Socket<'_>, tally: &mut Tally) {
        let (status, len) = match request.wish {
            Wish::Welcome => ("200 OK", WELCOME.len() as u64),
            Wish::Bytes(len) | Wish::Echo(len) => ("200 OK", len),
            Wish::Error(status) => (status, 0),
        };
        match request.wish {
            Wish::Error(_) => tally.bad_requests += 1,
            Wish::Welcome | Wish::Bytes(_) | Wish::Echo(_) => tally.requests += 1,
        }
        let leave = if request.expects { "HTTP/1.1 100 Continue\r\n\r\n" } else { "" };
        let close = if request.is_last { "Connection: close\r\n" } else { "" };
        let head = format!(
            "{leave}HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\n{close}\r\n"
        );
        tally.octets_sent += socket.send_slice(head.as_bytes()).unwrap_or(0) as u64;
        if request.wish == Wish::Welcome && !request.head_only {
            tally.octets_sent += socket.send_slice(WELCOME).unwrap_or(0) as u64;
        }
        self.is_last = request.is_last;
        self.step = match request.wish {
            Wish::Bytes(left) if !request.head_only => Step::Body { written: 0, left },
            Wish::Echo(left) => Step::Echo { left },
            Wish::Bytes(_) | Wish::Welcome | Wish::Error(_) => Step::Body { written: 0, left: 0 },
        };
    }
}

/// The raw echo.
pub(super) fn echo(socket: &mut Socket<'_>, tally: &mut Tally) {
    while copy(socket, usize::MAX, tally) > 0 {}
    if !socket.may_recv() && socket.may_send() {
        socket.close();
    }
}

fn room(socket: &Socket<'_>) -> usize {
    if socket.may_send() { socket.send_capacity() - socket.send_queue() } else { 0 }
}

/// Copies up to `max` octets that have come to those that go. Returns how many.
fn copy(socket: &mut Socket<'_>, max: usize, tally: &mut Tally) -> u64 {
    let mut piece = [0; PIECE_LEN];
    let len = PIECE_LEN.min(max).min(room(socket));
    let piece = piece.get_mut(..len).unwrap_or_default();
    let len = if piece.is_empty() { 0 } else { socket.recv_slice(piece).unwrap_or(0) };
    let sent = socket.send_slice(piece.get(..len).unwrap_or_default()).unwrap_or(0) as u64;
    tally.octets_received += len as u64;
    tally.octets_sent += sent;
    sent
}

/// Takes what comes and forgets it. Returns whether there was any.
fn discard(socket: &mut Socket<'_>, tally: &mut Tally) -> bool {
    let len = socket.recv(|octets| (octets.len(), octets.len())).unwrap_or(0) as u64;
    tally.octets_received += len;
    len > 0
}

/// Writes octets of `GET /bytes/N` from number `written` on. Returns how many.
fn write(socket: &mut Socket<'_>, written: u64, left: u64) -> u64 {
    let begin = usize::try_from(written % 26).unwrap_or(0);
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let sent = socket.send(|octets| {
        let len = octets.len().min(left);
        let letters = ALPHABET.iter().cycle().skip(begin);
        octets.iter_mut().take(len).zip(letters).for_each(|(octet, letter)| *octet = *letter);
        (len, len)
    });
    sent.unwrap_or(0) as u64
}

/// Reads a request's head; none while it is not whole and may become so.
fn read(octets: &[u8], is_full: bool) -> Option<Request> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let error = |status| {
        let len = octets.len();
        Some(Request {
            wish: Wish::Error(status),
            head_only: false,
            is_last: true,
            expects: false,
            len,
        })
    };
    match head.parse(octets) {
        Ok(httparse::Status::Complete(len)) => Some(understand(&head, len)),
        Ok(httparse::Status::Partial) if !is_full => None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            error("431 Request Header Fields Too Large")
        }
        Err(_) => error("400 Bad Request"),
    }
}

fn understand(head: &httparse::Request<'_, '_>, len: usize) -> Request {
    let body_len = body_len(head);
    let path = head.path.unwrap_or_default();
    let wish = match (head.method.unwrap_or_default(), body_len) {
        (_, Err(status)) => Wish::Error(status),
        ("POST" | "PUT", Ok(body_len)) if path == "/echo" => Wish::Echo(body_len),
        ("GET" | "HEAD", Ok(0)) => match path.strip_prefix("/bytes/").map(str::parse) {
            Some(Ok(len)) if len <= BODY_LEN_MAX => Wish::Bytes(len),
            Some(_) => Wish::Error("400 Bad Request"),
            None if path == "/" => Wish::Welcome,
            None => Wish::Error("404 Not Found"),
        },
        ("GET" | "HEAD", Ok(_)) => Wish::Error("400 Bad Request"),
        ("POST" | "PUT", Ok(_)) => Wish::Error("404 Not Found"),
        _ => Wish::Error("405 Method Not Allowed"),
    };
    let is_old = head.version == Some(0) && !says(head, "connection", "keep-alive");
    let is_last = is_old || says(head, "connection", "close") || matches!(wish, Wish::Error(_));
    let expects = matches!(wish, Wish::Echo(1..)) && says(head, "expect", "100-continue");
    Request { wish, head_only: head.method == Some("HEAD"), is_last, expects, len }
}

fn field<'a>(
    head: &'a httparse::Request<'_, '_>,
    name: &'static str,
) -> impl Iterator<Item = &'a str> {
    let named = head.headers.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    named.map(|field| std::str::from_utf8(field.value).unwrap_or_default())
}

fn says(head: &httparse::Request<'_, '_>, name: &'static str, what: &str) -> bool {
    field(head, name)
        .flat_map(|all| all.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(what))
}

/// Octets of the request's body, or why that is not known (RFC 9112 6.3).
fn body_len(head: &httparse::Request<'_, '_>) -> Result<u64, &'static str> {
    if field(head, "transfer-encoding").next().is_some() {
        return Err("411 Length Required");
    }
    let mut lens = field(head, "content-length").map(|text| text.trim().parse().ok());
    let first = lens.next().unwrap_or(Some(0)).ok_or("400 Bad Request")?;
    match lens.all(|len| len == Some(first)) {
        true if first <= BODY_LEN_MAX => Ok(first),
        true => Err("413 Content Too Large"),
        false => Err("400 Bad Request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Wish {
        read(text.as_bytes(), false).unwrap().wish
    }

    #[test]
    fn understands_what_is_offered_and_says_what_is_wrong_with_the_rest() {
        let cases = [
            ("GET / HTTP/1.1", Wish::Welcome),
            ("HEAD /bytes/17 HTTP/1.1", Wish::Bytes(17)),
            ("POST /echo HTTP/1.1\r\ncontent-length: 5", Wish::Echo(5)),
            ("GET /bytes/-1 HTTP/1.1", Wish::Error("400 Bad Request")),
            ("GET /bytes/1000000000001 HTTP/1.1", Wish::Error("400 Bad Request")),
            ("GET /else HTTP/1.1", Wish::Error("404 Not Found")),
            ("DELETE / HTTP/1.1", Wish::Error("405 Method Not Allowed")),
            ("GET / HTTP/1.1\r\nContent-Length: 2", Wish::Error("400 Bad Request")),
            (
                "POST /echo HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3",
                Wish::Error("400 Bad Request"),
            ),
            (
                "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked",
                Wish::Error("411 Length Required"),
            ),
            ("GET / HTTP/1.1 x", Wish::Error("400 Bad Request")),
        ];
        for (head, wanted) in cases {
            assert_eq!(wish(&format!("{head}\r\n\r\n")), wanted, "{head}");
        }
    }

    #[test]
    fn a_head_in_pieces_is_awaited_and_one_without_end_refused() {
        assert_eq!(read(b"GET / HT", false), None);
        let refused = read(b"GET / HT", true).unwrap();
        assert_eq!(refused.wish, Wish::Error("431 Request Header Fields Too Large"));
    }

    #[test]
    fn a_connection_stays_as_its_client_asks() {
        let last =
            |text: &str| read(format!("GET / {text}\r\n\r\n").as_bytes(), false).unwrap().is_last;
        assert!(!last("HTTP/1.1"));
        assert!(last("HTTP/1.1\r\nConnection: te, Close"));
        assert!(last("HTTP/1.0"));
        assert!(!last("HTTP/1.0\r\nConnection: keep-alive"));
    }
}
