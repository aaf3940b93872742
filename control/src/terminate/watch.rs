//! How control reads the service's counts: over a socket, in a bounded time, and believing nothing that makes no sense.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::config::{NEXT_HOPS_MAX, is_name};
use super::counts::{Count, Reading, Refusal};

/// How long the service may take: it only writes what it has.
const PATIENCE: Duration = Duration::from_millis(500);

/// Octets that are read at most: more than all next hops can have.
const LEN_MAX: u64 = 128 << 10;

/// Where the service's counts are.
#[derive(Clone, Debug)]
pub struct Watch(PathBuf);

impl Watch {
    /// At this socket.
    pub fn new(socket: PathBuf) -> Self {
        Self(socket)
    }

    /// The counts of each next hop now, or a sentence why not.
    pub async fn read(&self) -> Result<Vec<(String, Reading)>, String> {
        let told = timeout(PATIENCE, text_of(&self.0)).await;
        let text = told.unwrap_or_else(|late| Err(late.into())).map_err(|error| {
            let socket = self.0.display();
            format!("{socket}: millrace-terminate does not answer ({error})")
        })?;
        parse(&text).ok_or_else(|| format!("{}: its counts make no sense", self.0.display()))
    }

    /// How it stands, in one line.
    pub async fn line(&self) -> String {
        let readings = match self.read().await {
            Ok(readings) => readings,
            Err(what) => return format!("none: {what}"),
        };
        let sum = |of: &dyn Fn(&Reading) -> u64| readings.iter().map(|(_, it)| of(it)).sum::<u64>();
        let why = Refusal::ALL.into_iter().filter_map(|refusal| {
            let count = sum(&|reading| reading.of(Count::Refused(refusal)));
            (count > 0).then(|| format!("{} {count}", refusal.name()))
        });
        let why = why.collect::<Vec<_>>().join(", ");
        let (open, opened) = (sum(&Reading::open), sum(&|reading| reading.of(Count::Opened)));
        let refused = sum(&Reading::refused);
        let why = if why.is_empty() { why } else { format!(" ({why})") };
        format!("{open} open of {opened}, {refused} refused{why}")
    }
}

async fn text_of(socket: &Path) -> io::Result<String> {
    let mut text = String::new();
    UnixStream::connect(socket).await?.take(LEN_MAX).read_to_string(&mut text).await?;
    Ok(text)
}

fn parse(text: &str) -> Option<Vec<(String, Reading)>> {
    // The last line of a service that has ended meanwhile may be cut in its number.
    if !text.is_empty() && !text.ends_with('\n') {
        return None;
    }
    let mut all: Vec<(String, Reading)> = Vec::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        let (next_hop, name, value) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || !is_name(next_hop) {
            return None;
        }
        if all.last().is_none_or(|(last, _)| last != next_hop) {
            if all.len() == NEXT_HOPS_MAX || all.iter().any(|(other, _)| other == next_hop) {
                return None;
            }
            all.push((next_hop.to_owned(), Reading::default()));
        }
        let (_, reading) = all.last_mut()?;
        if !reading.take(name, value.parse().ok()?) {
            return None;
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::terminate::counts::Counts;

    #[test]
    fn what_is_written_is_read() {
        let counts = Counts::default();
        counts.add(Count::Opened, 7);
        counts.add(Count::Reset, 2);
        counts.add(Count::Refused(Refusal::Denied), 3);
        let mut text = String::new();
        counts.read().write("a", &mut text);
        Reading::default().write("b", &mut text);
        let read = parse(&text).unwrap();
        let names: Vec<_> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!((read[0].1, read[1].1), (counts.read(), Reading::default()));
        assert_eq!((read[0].1.open(), read[0].1.refused()), (5, 3));
    }

    #[test]
    fn what_makes_no_sense_is_not_believed() {
        let many: Vec<_> = (0..=NEXT_HOPS_MAX).map(|hop| format!("h{hop} opened 1")).collect();
        let many = many.join("\n");
        for text in [
            "a opened",
            "a opened 1 2",
            "a opened -1",
            "a what 1",
            "a{b=\"c\"} opened 1",
            "a opened 1\nb opened 1\na opened 1",
            &many,
        ] {
            assert_eq!(parse(&format!("{text}\n")), None, "{text}");
        }
    }

    /// What a service at a socket is heard to tell that says this, a piece at a time.
    async fn heard(text: &'static str, pause: Duration) -> Result<Vec<(String, Reading)>, String> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("counts.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let service = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for piece in text.as_bytes().chunks(1024) {
                // Who reads may have gone.
                drop(stream.write_all(piece).await);
                tokio::time::sleep(pause).await;
            }
        });
        let read = Watch::new(socket).read().await;
        service.abort();
        read
    }

    #[tokio::test]
    async fn as_much_as_a_service_can_have_to_tell_is_read() {
        let most = Counts::default();
        Count::all().for_each(|count| most.add(count, u64::MAX));
        let mut text = String::new();
        for next_hop in 0..NEXT_HOPS_MAX {
            most.read().write(&format!("{next_hop:x>63}"), &mut text);
        }
        let read = heard(text.leak(), Duration::ZERO).await.unwrap();
        assert!(read.len() == NEXT_HOPS_MAX && read.iter().all(|(_, it)| *it == most.read()));
    }

    #[tokio::test]
    async fn who_speaks_slowly_or_breaks_off_is_not_believed() {
        let slow = "x".repeat(64 << 10).leak();
        let begin = std::time::Instant::now();
        assert!(heard(slow, Duration::from_millis(100)).await.is_err());
        assert!(begin.elapsed() < PATIENCE * 4, "{:?}", begin.elapsed());
        assert!(heard("a opened 12", Duration::ZERO).await.is_err(), "of 1234, perhaps");
    }
}
