//! The daemon as its operator runs it, the command line beside it, and a dataplane that the test sees into.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use control::testing::{FakeDataplane, place_beneath};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with everything in it.
pub(crate) struct Scene {
    pub(crate) root: TempDir,
    pub(crate) directory: PathBuf,
}

/// A running daemon, which ends with its test.
pub(crate) struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Daemon {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, signal).unwrap();
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM; whether it ended well.
    pub(crate) fn stop(mut self) -> bool {
        self.signal(Signal::TERM);
        self.0.wait().unwrap().success()
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let directory = root.path().join("control.d");
        fs::create_dir(&directory).unwrap();
        let text = "instance = \"test\"\nshared_memory = \"ROOT\"\ndirectory = \"control.d\"\n\
                    state = \"state\"\nsocket = \"control.sock\"\n";
        let text = text.replace("ROOT", &root.path().display().to_string());
        fs::write(root.path().join("control.toml"), text).unwrap();
        Self { root, directory }
    }

    pub(crate) fn dataplane(&self) -> FakeDataplane {
        FakeDataplane::start(&place_beneath(self.root.path()).unwrap()).unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-control"));
        command.arg("--config").arg(self.root.path().join("control.toml"));
        command.env("RUST_LOG", "info").env("RUST_BACKTRACE", "1");
        command
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) fn daemon(&self) -> Daemon {
        let log = fs::File::create(self.root.path().join("log")).unwrap();
        let mut child = self.command().stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "{}", self.log());
        Daemon(child)
    }

    /// Runs the daemon to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
        command.arg("--socket").arg(self.root.path().join("control.sock")).args(arguments);
        command.output().unwrap()
    }

    /// A command that works; what it prints.
    pub(crate) fn told(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command that fails with a status; what it says.
    pub(crate) fn refused(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Lines of JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = vec!["--json"];
        all.extend(arguments);
        self.told(&all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn status(&self) -> Value {
        self.json(&["status"]).remove(0)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.join(name), text).unwrap();
    }
}

/// Waits until something is so.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come to be");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A key of no meaning, in base64.
pub(crate) fn key(number: u32) -> String {
    let mut octets = [9; 32];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    control::model::key::encode(&octets)
}

/// A `[[peer]]` section.
pub(crate) fn section(number: u32) -> String {
    let [_, a, b, c] = number.to_be_bytes();
    let key = key(number);
    format!(
        "[[peer]]\nname = \"d{number}\"\npublic_key = \"{key}\"\nallowed_ips = [\"10.{a}.{b}.{c}\"]\n\n"
    )
}
