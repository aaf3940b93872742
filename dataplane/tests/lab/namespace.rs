//! Network namespaces that vanish with the test, and the virtual cables between them.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network and mount namespace with an empty `/run` and `/dev/shm`, held by a process that dies with this value or with the test.
pub(crate) struct Namespace {
    holder: Child,
}

/// Makes `/sys` show this namespace's interfaces, hides the machine's `/run` and shared memory, and stays.
const HOLD: &str = "mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm \
    && mkdir -p /run/wireguard /run/lab && ip link set lo up && sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.keep_addr_on_down=1 \
    net.ipv6.conf.default.keep_addr_on_down=1 && echo held && exec sleep infinity";

impl Namespace {
    pub(crate) fn new() -> Self {
        let mut holder = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--", "sh", "-c", HOLD])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n", "namespaces need root (sudo) and util-linux");
        Self { holder }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// A program inside, which dies with the thread that starts it. The process is the program's own, so signals reach it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "nsenter", "--target"])
            .arg(self.pid().to_string())
            .args(["--net", "--mount", "--", program])
            .stdin(Stdio::null());
        command
    }

    /// Runs one command line (words apart by blanks), wants success, and returns its output.
    pub(crate) fn run(&self, line: &str) -> String {
        let (status, output) = self.attempt(line);
        assert!(status, "{line}: {output}");
        output
    }

    /// Runs one command line: whether it succeeded, and what it printed.
    pub(crate) fn attempt(&self, line: &str) -> (bool, String) {
        let mut words = line.split_whitespace();
        let output = self.command(words.next().unwrap()).args(words).output().unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    /// Runs one command line with this text as its standard input.
    pub(crate) fn feed(&self, line: &str, input: &str) {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().unwrap());
        let mut child = command.args(words).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{line}");
    }

    /// Writes a file under the namespace's own `/run/lab` and returns its path.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = format!("/run/lab/{name}");
        self.feed(&format!("dd status=none of={path}"), content);
        path
    }

    /// Runs a closure on a thread inside the network namespace: the sockets it opens belong to it for good.
    pub(crate) fn thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let network = File::open(format!("/proc/{}/ns/net", self.pid())).unwrap();
        std::thread::spawn(move || {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Both only fail where the holder is gone already.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// Lays a cable between two namespaces, both ends up, without offloads: a packet that never leaves the machine otherwise
/// carries no checksum and may exceed the MTU, and a raw socket shows it like that.
pub(crate) fn cable(one: (&Namespace, &str), other: (&Namespace, &str)) {
    let ((near, near_name), (far, far_name)) = (one, other);
    near.run(&format!(
        "ip link add {near_name} type veth peer name {far_name} netns {}",
        far.pid()
    ));
    for (namespace, name) in [one, other] {
        namespace.run(&format!("ethtool -K {name} tx off rx off tso off gso off gro off"));
        namespace.run(&format!("ip link set {name} up"));
    }
}
