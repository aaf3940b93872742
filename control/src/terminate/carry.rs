//! An open connection: what one end says goes to the other, and so does how it ends.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::counts::{Count, Counts};
use super::dial::Far;

/// Octets that wait between the ends, each way; TLS has records of as many.
const BUFFER_LEN: usize = 16 << 10;

/// What is noted while octets go by.
struct Notes<'a> {
    counts: &'a Counts,
    /// When somebody has said something.
    latest: Mutex<Instant>,
}

/// Carries until both ends have closed, and says how it has ended. Unless that was in peace both ends are reset.
pub(super) async fn carry(
    near: &mut TcpStream,
    far: &mut Far,
    (counts, idle): (&Counts, Duration),
) -> Count {
    let notes = Notes { counts, latest: Mutex::new(Instant::now()) };
    let carried = async {
        match far {
            Far::Plain(far) => both(near, far, &notes).await,
            Far::Tls(far) => both(near, far.as_mut(), &notes).await,
        }
    };
    let ended = tokio::select! {
        carried = carried => if carried.is_ok() { Count::Closed } else { Count::Reset },
        () = notes.silence(idle) => Count::Idle,
    };
    if ended != Count::Closed {
        reset(near);
        reset(far.socket());
    }
    ended
}

/// Nothing that was not sent yet is, and who is there hears a reset when this is dropped.
pub(super) fn reset(socket: &TcpStream) {
    // Of a socket that is broken already nobody hears anything.
    drop(socket.set_zero_linger());
}

async fn both(
    near: &mut TcpStream,
    far: &mut (impl AsyncRead + AsyncWrite + Unpin),
    notes: &Notes<'_>,
) -> io::Result<()> {
    let (near_read, near_write) = split(near);
    let (far_read, far_write) = split(far);
    let out = one_way(near_read, far_write, Count::OctetsOut, notes);
    let back = one_way(far_read, near_write, Count::OctetsIn, notes);
    tokio::try_join!(out, back).map(|_| ())
}

/// Carries what one end says until it has closed, and closes the other one's half then.
async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: Count,
    notes: &Notes<'_>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..len).unwrap_or_default()).await?;
        // TLS keeps what it has sealed until then.
        to.flush().await?;
        notes.counts.add(count, len as u64);
        *notes.latest.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Notes<'_> {
    /// Until nobody has said anything for so long.
    async fn silence(&self, idle: Duration) {
        loop {
            let latest = *self.latest.lock().unwrap_or_else(PoisonError::into_inner);
            if latest + idle <= Instant::now() {
                return;
            }
            sleep_until(latest + idle).await;
        }
    }
}
