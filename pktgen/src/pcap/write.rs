//! Writes pcap with nanoseconds, in the big-endian order that every reader knows.

use std::io::{self, Write};

use super::classic::{ETHERNET, NANOS};

/// Octets of a packet that readers have to be ready for.
const SNAP_LEN: u32 = 262_144;

/// A capture file that is being written.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Writes the file's header.
    ///
    /// # Errors
    /// As the writer beneath.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&NANOS.to_be_bytes())?;
        // Version 2.4; offset from UTC and accuracy are always 0.
        out.write_all(&[0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0])?;
        out.write_all(&SNAP_LEN.to_be_bytes())?;
        out.write_all(&ETHERNET.to_be_bytes())?;
        Ok(Self { out })
    }

    /// Appends a frame without check sequence, `at_ns` nanoseconds after 1970. Times after 2106 do not fit and wrap.
    ///
    /// # Errors
    /// As the writer beneath; also for a frame longer than 262,144 octets.
    pub fn write(&mut self, at_ns: u64, frame: &[u8]) -> io::Result<()> {
        let len = u32::try_from(frame.len()).ok().filter(|len| *len <= SNAP_LEN);
        let len = len.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a frame longer than a capture may hold")
        })?;
        let [secs, nanos] = [at_ns / 1_000_000_000, at_ns % 1_000_000_000];
        for half in [secs, nanos] {
            // The lower four octets.
            self.out.write_all(half.to_be_bytes().get(4..).unwrap_or_default())?;
        }
        self.out.write_all(&len.to_be_bytes())?;
        self.out.write_all(&len.to_be_bytes())?;
        self.out.write_all(frame)
    }

    /// Ends the file; what lies beneath is flushed and given back.
    ///
    /// # Errors
    /// As the writer beneath.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}
