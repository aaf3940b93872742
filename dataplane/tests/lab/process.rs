//! A program under observation: its lines of output, its signals, its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

use super::until;

type Lines = Arc<Mutex<Vec<String>>>;

/// A started program. Killed when dropped; if the test is failing, its last words are printed.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    output: Lines,
    log: Lines,
}

impl Process {
    pub(crate) fn start(name: &'static str, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = collect(child.stdout.take().unwrap());
        let log = collect(child.stderr.take().unwrap());
        Self { name, child, output, log }
    }

    pub(crate) fn output(&self) -> Vec<String> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many of its lines, of output or log, contain these words.
    pub(crate) fn mentions(&self, words: &str) -> usize {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        self.output().iter().chain(log.iter()).filter(|line| line.contains(words)).count()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Asks the program to end and waits for it; its output is complete after that.
    pub(crate) fn stop(&mut self, signal: Signal) -> ExitStatus {
        self.stop_within(signal, 15)
    }

    pub(crate) fn stop_within(&mut self, signal: Signal, seconds: u64) -> ExitStatus {
        self.signal(signal);
        let mut status = None;
        until(&format!("{} ends after {signal:?}", self.name), seconds, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        // The collecting threads hold the other references until they have read everything.
        until("the output is read", 30, || Arc::strong_count(&self.output) == 1);
        status.unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both only fail where the program has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            for lines in [&self.output, &self.log] {
                let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                for line in lines.iter().skip(lines.len().saturating_sub(25)) {
                    println!("{}: {line}", self.name);
                }
            }
        }
    }
}

fn collect(source: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let sink = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    lines
}
