//! A process that cannot be mistaken for a later one with the same number.

use std::fs;

/// A process of this machine, as this process's `/proc` shows it: both sides must share a PID namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub id: u32,
    /// When it began, in clock ticks since the machine did.
    pub began: u64,
}

impl Process {
    /// This process; none where there is no `/proc` to see it in.
    pub fn own() -> Option<Self> {
        let id = std::process::id();
        began(id).map(|began| Self { id, began })
    }

    /// Whether it is still there. A number that has gone to another process is not it, and neither is a
    /// process that has ended and is not yet reaped.
    pub fn is_alive(self) -> bool {
        began(self.id) == Some(self.began)
    }
}

/// Field 22 of `/proc/PID/stat` (proc(5)); none for a process that is gone or a zombie.
fn began(id: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may itself hold spaces and parentheses.
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // The state is field 3.
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn this_process_is_alive_and_its_predecessor_is_not() {
        let own = Process::own().unwrap();
        assert!(own.began > 0 && own.is_alive());
        assert!(!Process { began: own.began - 1, ..own }.is_alive());
    }

    #[test]
    fn a_killed_process_is_dead_before_and_after_it_is_reaped() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let id = child.id();
        let process = Process { id, began: began(id).unwrap() };
        assert!(process.is_alive());
        child.kill().unwrap();
        while process.is_alive() {
            std::hint::spin_loop();
        }
        child.wait().unwrap();
        assert!(!process.is_alive());
    }
}
