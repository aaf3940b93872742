//! How control reads the service's counts: over a socket, in a bounded time, and believing nothing that makes no sense.

use std::io::{self, Read as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::config::{NEXT_HOPS_MAX, is_name};
use super::counts::{Count, Reading, Refusal};

/// How long the service may take: it only writes what it has.
const PATIENCE: Duration = Duration::from_millis(500);

/// Octets that are read at most: more than all next hops can have.
const LEN_MAX: u64 = 64 << 10;

/// Where the service's counts are.
#[derive(Clone, Debug)]
pub struct Watch(PathBuf);

impl Watch {
    /// At this socket.
    pub fn new(socket: PathBuf) -> Self {
        Self(socket)
    }

    /// The counts of each next hop now, or a sentence why not.
    pub fn read(&self) -> Result<Vec<(String, Reading)>, String> {
        let text = text_of(&self.0).map_err(|error| {
            let socket = self.0.display();
            format!("{socket}: millrace-terminate does not answer ({error})")
        })?;
        parse(&text).ok_or_else(|| format!("{}: its counts make no sense", self.0.display()))
    }

    /// How it stands, in one line.
    pub fn line(&self) -> String {
        let readings = match self.read() {
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

fn text_of(socket: &Path) -> io::Result<String> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    (&stream).take(LEN_MAX).read_to_string(&mut text)?;
    // It may have gone already.
    drop(stream.shutdown(Shutdown::Both));
    Ok(text)
}

fn parse(text: &str) -> Option<Vec<(String, Reading)>> {
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
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
