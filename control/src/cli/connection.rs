//! The connection to control: a request out, lines of an answer in.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::Failure;
use crate::api::message::{Answer, Request};

/// How long control may take for a line: a million routes are judged in less.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) struct Connection {
    path: PathBuf,
    reader: BufReader<UnixStream>,
}

impl Connection {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let connected = UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        let stream = connected.map_err(|error| {
            let path = path.display();
            Failure::Unreachable(format!(
                "{path}: control does not answer there ({error}); start millrace-control, or name its \
                 socket with --socket"
            ))
        })?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(stream) })
    }

    /// Gives each line of the answer to `each`; says whether what was asked for still waits for a dataplane.
    pub(super) fn ask(
        &mut self,
        request: &Request,
        mut each: impl FnMut(Answer) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut line =
            Zeroizing::new(serde_json::to_vec(request).map_err(|error| self.broken(&error))?);
        line.push(b'\n');
        self.reader.get_mut().write_all(&line).map_err(|error| self.broken(&error))?;
        let mut text = String::new();
        loop {
            text.clear();
            let len = self.reader.read_line(&mut text).map_err(|error| self.broken(&error))?;
            if len == 0 {
                return Err(self.broken(&"it has closed the connection"));
            }
            match serde_json::from_str(&text).map_err(|error| self.broken(&error))? {
                Answer::Done { pending } => return Ok(pending),
                Answer::Refused { place, what, .. } => {
                    let place = place.map_or_else(String::new, |place| format!("{place}: "));
                    return Err(Failure::Refused(place + &what));
                }
                answer @ (Answer::Peer(_)
                | Answer::Route(_)
                | Answer::NextHop(_)
                | Answer::Fleet(_)
                | Answer::Rule(_)
                | Answer::Dos(_)
                | Answer::Heavy(_)
                | Answer::Event(_)
                | Answer::TenantListed(_)
                | Answer::Tenant(_)
                | Answer::Ruleset(_)
                | Answer::Tested(_)
                | Answer::Tunnel(_)
                | Answer::Argo(_)
                | Answer::Centre(_)
                | Answer::Status(_)
                | Answer::Counters(_)
                | Answer::Difference(_)) => each(answer)?,
            }
        }
    }

    fn broken(&self, error: &dyn std::fmt::Display) -> Failure {
        let path = self.path.display();
        Failure::Unreachable(format!(
            "{path}: control has not answered ({error}); see its log, and use one version of both"
        ))
    }
}
