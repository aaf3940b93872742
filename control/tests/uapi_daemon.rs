//! The daemon's socket for `wg`: there when it is ready, gone when it has stopped, taken over when it was killed.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

struct Scene {
    root: TempDir,
    daemon: Option<Child>,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let text = "instance = \"test\"\nshared_memory = \"ROOT\"\nstate = \"state\"\n\
                    socket = \"control.sock\"\n\
                    [wireguard]\ninterface = \"wg9\"\ndirectory = \"ROOT/wireguard\"\n";
        let text = text.replace("ROOT", &root.path().display().to_string());
        fs::write(root.path().join("control.toml"), text).unwrap();
        Self { root, daemon: None }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-control"));
        command.arg("--config").arg(self.root.path().join("control.toml"));
        command
    }

    fn start(&mut self) {
        let mut child = self.command().stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.daemon = Some(child);
        assert_eq!(line, "ready\n");
    }

    fn end(&mut self, signal: Signal) {
        let mut child = self.daemon.take().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.root.path().join("wireguard/wg9.sock")
    }

    fn say(&self, text: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

#[test]
fn a_peer_that_wg_has_set_outlives_the_daemon_and_its_socket() {
    let mut scene = Scene::new();
    scene.start();
    let peer = format!("public_key={}\n", "07".repeat(32));
    let answer = scene.say(&format!("set=1\n{peer}allowed_ip=10.0.0.7/32\n\n"));
    assert_eq!(answer, "errno=0\n\n");
    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        scene.end(signal);
        // Only who is killed leaves a socket behind, and the next takes its place.
        assert_eq!(scene.socket().exists(), signal == Signal::KILL);
        scene.start();
        let said = scene.say("get=1\n\n");
        assert!(said.starts_with(&peer) && said.contains("\nallowed_ip=10.0.0.7/32\n"), "{said}");
    }
}

#[test]
fn a_socket_that_another_serves_ends_the_start_with_a_sentence() {
    let (mut scene, other) = (Scene::new(), Scene::new());
    scene.start();
    let file = other.root.path().join("control.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (from, to) = (other.socket(), scene.socket());
    let directory = |socket: &PathBuf| socket.parent().unwrap().display().to_string();
    fs::write(&file, text.replace(&directory(&from), &directory(&to))).unwrap();
    let output = other.command().output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("wg9.sock: is served by another process; stop that"), "{said}");
    assert_eq!(scene.say("get=1\n\n"), "errno=0\n\n");
}
