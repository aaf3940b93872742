//! Lines from a connection, through one buffer of fixed size that is wiped in the end: lines hold keys.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;
use zeroize::Zeroizing;

/// Longest line, octets. The longest with a meaning are keys, which take 80.
pub(super) const LINE_LEN_MAX: usize = 512;

/// Octets that are read at a time.
const BUFFER_LEN: usize = 64 * 1024;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Text(&'a [u8]),
    /// It was longer than any that has a meaning, and has been left out.
    TooLong,
    /// There is none, and will not be: the other side has ended, behind a whole line or within one.
    End,
}

pub(super) struct Lines<R> {
    from: R,
    idle: Duration,
    buffer: Zeroizing<Vec<u8>>,
    /// What of the buffer has been read and not been given yet.
    start: usize,
    end: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of a connection, which is given up when nothing comes for so long.
    pub(super) fn new(from: R, idle: Duration) -> Self {
        Self { from, idle, buffer: Zeroizing::new(vec![0; BUFFER_LEN]), start: 0, end: 0 }
    }

    pub(super) async fn next(&mut self) -> Result<Line<'_>> {
        let mut too_long = false;
        loop {
            let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
            if let Some(len) = waiting.iter().position(|octet| *octet == b'\n') {
                let start = self.start;
                self.start += len + 1;
                if too_long || len > LINE_LEN_MAX {
                    return Ok(Line::TooLong);
                }
                return Ok(Line::Text(self.buffer.get(start..start + len).unwrap_or_default()));
            }
            if waiting.len() > LINE_LEN_MAX {
                too_long = true;
                self.start = self.end;
            }
            if self.fill().await? == 0 {
                return Ok(Line::End);
            }
        }
    }

    async fn fill(&mut self) -> Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let late = |_| Error::new(ErrorKind::TimedOut, "nothing came for too long");
        let count = timeout(self.idle, self.from.read(free)).await.map_err(late)??;
        self.end += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads all lines from octets that come in pieces of so many.
    fn lines_of(octets: &[u8], piece: usize) -> Vec<Option<Vec<u8>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut to, from) = tokio::io::duplex(piece);
            let octets = octets.to_vec();
            let writer = tokio::spawn(async move {
                tokio::io::AsyncWriteExt::write_all(&mut to, &octets).await.unwrap();
            });
            let mut lines = Lines::new(from, Duration::from_mins(1));
            let mut all = Vec::new();
            loop {
                match lines.next().await.unwrap() {
                    Line::Text(text) => all.push(Some(text.to_vec())),
                    Line::TooLong => all.push(None),
                    Line::End => break,
                }
            }
            writer.await.unwrap();
            all
        })
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text_however_it_comes(
            wanted in prop::collection::vec((any::<u8>(), 0..2 * LINE_LEN_MAX), 0..300),
            rest in 0..2 * LINE_LEN_MAX,
            piece in 1..5000_usize,
        ) {
            let mut octets = Vec::new();
            for (octet, len) in &wanted {
                octets.extend(std::iter::repeat_n(if *octet == b'\n' { 0 } else { *octet }, *len));
                octets.push(b'\n');
            }
            octets.extend(std::iter::repeat_n(b'x', rest));
            let mut model: Vec<_> = octets.split(|octet| *octet == b'\n').collect();
            // What is not ended is no line.
            model.pop();
            let fits = |line: &&[u8]| (line.len() <= LINE_LEN_MAX).then(|| line.to_vec());
            let model: Vec<_> = model.iter().map(fits).collect();
            prop_assert_eq!(lines_of(&octets, piece), model);
        }
    }

    #[tokio::test]
    async fn a_silent_connection_is_given_up() {
        let (_to, from) = tokio::io::duplex(16);
        let mut lines = Lines::new(from, Duration::from_millis(10));
        assert_eq!(lines.next().await.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
