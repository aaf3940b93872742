//! Claims about connections: what is answered, what changes nothing, what is bounded.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::model::{Book, Change, Origin, Peer, PublicKey};

/// A desk that is served beneath a directory which goes with this.
struct Served {
    desk: Desk,
    directory: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl Served {
    fn new(bounds: Bounds) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Wireguard {
            interface: "wg9".to_owned(),
            directory: directory.path().to_owned(),
            private_key_file: None,
        };
        let desk = Desk::detached(Book::default());
        let listener = Listener { bounds, ..listen(&config).unwrap() };
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.serve(desk.clone()));
        Self { desk, directory, _tasks: tasks }
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.directory.path().join("wg9.sock")).await.unwrap()
    }

    /// Says something on a new connection, ends it, and gives all that is answered.
    async fn say(&self, text: &[u8]) -> String {
        let mut stream = self.connect().await;
        // A connection may be given up while it is spoken to.
        drop(stream.write_all(text).await);
        drop(stream.shutdown().await);
        let mut answer = String::new();
        drop(stream.read_to_string(&mut answer).await);
        answer
    }

    fn peers(&self) -> usize {
        self.desk.book().counts().peers
    }
}

fn public_key(number: usize) -> String {
    format!("public_key={number:064x}\n")
}

#[tokio::test]
async fn several_requests_are_answered_on_one_connection() {
    let served = Served::new(Bounds::default());
    let key = public_key(2 << 40);
    let text = format!("set=1\n{key}\nget=1\n\nset=1\n{key}remove=true\n\nget=1\n\n");
    let answer = served.say(text.as_bytes()).await;
    let peer = "protocol_version=1\nlast_handshake_time_sec=0\nlast_handshake_time_nsec=0\n\
                tx_bytes=0\nrx_bytes=0\npersistent_keepalive_interval=0\n";
    let done = "errno=0\n\n";
    assert_eq!(answer, format!("{done}{key}{peer}{done}{done}{done}"));
}

#[tokio::test]
async fn what_is_cut_or_wrong_anywhere_changes_nothing() {
    let served = Served::new(Bounds::default());
    let peer = |number: usize| public_key(number << 40);
    let cases = [
        // Cut within a line, behind a line, before the empty one.
        ("set=1\n".to_owned() + &peer(1) + "allowed_ip=10.0.0.0/", ""),
        ("set=1\n".to_owned() + &peer(1), ""),
        ("set=1\n".to_owned() + &peer(1) + "nonsense=1\n" + &peer(2) + "\n", "errno=-22\n\n"),
        ("set=1\n".to_owned() + &peer(1) + "nonsense\n" + &peer(2) + "\n", "errno=-71\n\n"),
        ("set=1\n".to_owned() + &peer(1) + &"x".repeat(100_000) + "=1\n\n", "errno=-71\n\n"),
        ("set=1\n".to_owned() + &peer(1) + "endpoint=192.0.2.1:0\n\n", "errno=-22\n\n"),
        ("set=1\nlisten_port=5\n".to_owned() + &peer(1) + "\n", "errno=-11\n\n"),
        ("set=1\nfwmark=5\n".to_owned() + &peer(1) + "\n", "errno=-95\n\n"),
        ("get=1\npublic_key\n\n".to_owned(), "errno=-71\n\n"),
        ("list=1\n\n".to_owned(), "errno=-71\n\n"),
        ("\n".to_owned(), "errno=-71\n\n"),
    ];
    for (text, answer) in cases {
        assert_eq!(served.say(text.as_bytes()).await, answer, "{text}");
        assert_eq!(served.peers(), 0, "{text}");
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_read_to_its_end_and_refused() {
    let served = Served::new(Bounds { requests_len: 10_000, ..Bounds::default() });
    let request = |count: usize| {
        let peers: String = (1..=count).map(|number| public_key(number << 40)).collect();
        format!("set=1\n{peers}\n")
    };
    assert_eq!(served.say(request(10_000).as_bytes()).await, "errno=-7\n\n");
    assert_eq!(served.peers(), 0);
    // What it took was given back.
    assert_eq!(served.say(request(100).as_bytes()).await, "errno=0\n\n");
    assert_eq!(served.peers(), 100);
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_and_silent_ones_make_room() {
    let idle = Duration::from_millis(50);
    let served = Served::new(Bounds { connections: 2, idle, ..Bounds::default() });
    let (mut silent, _other) = (served.connect().await, served.connect().await);
    assert_eq!(served.say(b"get=1\n\n").await, "errno=0\n\n");
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn who_takes_no_answer_is_given_up_and_the_rest_goes_on() {
    let request = Duration::from_millis(200);
    let served = Served::new(Bounds { connections: 1, request, ..Bounds::default() });
    let peers = (1..=10_000_u32).map(|number| {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        Change::AddPeer(Peer::new(PublicKey(key)))
    });
    served.desk.change(Origin::Cli, peers.collect()).await.unwrap();
    let mut greedy = served.connect().await;
    greedy.write_all(b"get=1\n\n").await.unwrap();
    // Waits for the only connection there may be.
    assert_eq!(served.say(b"set=1\n\n").await, "errno=0\n\n");
    let mut answer = Vec::new();
    greedy.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.is_empty() && !answer.ends_with(b"errno=0\n\n"));
}
