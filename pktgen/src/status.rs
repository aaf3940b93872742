//! What a person sees of a run under way: lines that stay, and on a terminal a last line that is written anew.

use std::io::{self, IsTerminal as _, Write};

/// Back to the start of the line, and nothing on it.
const CLEAR: &str = "\r\x1b[K";

/// Where the lines go.
#[derive(Debug)]
pub struct Status<W> {
    out: W,
    /// Whether a line can be written anew.
    is_terminal: bool,
    /// Whether the last line may be overwritten.
    is_passing: bool,
}

impl Status<io::Stderr> {
    /// Lines on standard error.
    pub fn of_stderr() -> Self {
        let out = io::stderr();
        let is_terminal = out.is_terminal();
        Self { out, is_terminal, is_passing: false }
    }
}

impl<W: Write> Status<W> {
    /// A line that stays. A closed pipe is no reason to stop.
    pub fn line(&mut self, text: &str) {
        let clear = self.clear();
        writeln!(self.out, "{clear}{text}").and_then(|()| self.out.flush()).unwrap_or_default();
    }

    /// A line that the next one replaces; none where lines cannot be replaced.
    pub fn passing(&mut self, text: &str) {
        if self.is_terminal {
            let clear = self.clear();
            write!(self.out, "{clear}{text}").and_then(|()| self.out.flush()).unwrap_or_default();
            self.is_passing = true;
        }
    }

    /// Leaves the last line empty.
    pub fn end(&mut self) {
        let clear = self.clear();
        write!(self.out, "{clear}").and_then(|()| self.out.flush()).unwrap_or_default();
    }

    fn clear(&mut self) -> &'static str {
        if std::mem::take(&mut self.is_passing) { CLEAR } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(is_terminal: bool) -> String {
        let mut status = Status { out: Vec::new(), is_terminal, is_passing: false };
        status.passing("one");
        status.passing("two");
        status.line("three");
        status.line("four");
        status.passing("five");
        status.end();
        String::from_utf8(status.out).unwrap()
    }

    #[test]
    fn a_terminal_sees_passing_lines_once_and_a_file_only_those_that_stay() {
        let all = format!("one{CLEAR}two{CLEAR}three\nfour\nfive{CLEAR}");
        assert_eq!(written(true), all);
        assert_eq!(written(false), "three\nfour\n");
    }
}
