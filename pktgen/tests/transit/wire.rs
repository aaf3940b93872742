//! What travels at an interface, as tcpdump writes it down and reads it.

use crate::lab::namespace::Namespace;
use crate::lab::process::Process;
use crate::lab::until;

const FILE_HEADER_LEN: usize = 24;
const RECORD_HEADER_LEN: usize = 16;
/// What libpcap writes before packets of a device whose headers it does not know, such as the kernel's GRE.
const COOKED: u32 = 113;
const COOKED_LEN: usize = 16;

/// A capture under way.
pub(crate) struct Capture<'a> {
    namespace: &'a Namespace,
    path: String,
    /// It ends with this value.
    _process: Process,
}

impl<'a> Capture<'a> {
    /// What this interface sees, as far as `filter` wants it; one at a time of an interface.
    pub(crate) fn start(namespace: &'a Namespace, interface: &str, filter: &str) -> Self {
        let path = format!("/run/lab/{interface}.pcap");
        let mut command = namespace.command("tcpdump");
        command.args(["-i", interface, "-n", "-U", "--immediate-mode", "-w", &path]);
        command.args(filter.split_whitespace());
        let process = Process::start("tcpdump", command);
        until("tcpdump listens", 30, || process.mentions("listening on") > 0);
        Self { namespace, path, _process: process }
    }

    /// All that it has written so far, from the headers of the link on; a tunnel has none.
    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        let root = format!("/proc/{}/root", self.namespace.pid());
        let file = std::fs::read(format!("{root}{}", self.path)).unwrap();
        let word =
            |octets: &[u8], at: usize| u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap());
        let Some((header, mut rest)) = file.split_at_checked(FILE_HEADER_LEN) else {
            return Vec::new();
        };
        let skipped = if word(header, 20) == COOKED { COOKED_LEN } else { 0 };
        let mut frames = Vec::new();
        // The last record may not be written to its end.
        while let Some((header, behind)) = rest.split_at_checked(RECORD_HEADER_LEN) {
            let len = word(header, 8);
            let Some((frame, behind)) = behind.split_at_checked(usize::try_from(len).unwrap())
            else {
                break;
            };
            frames.push(frame[skipped..].to_vec());
            rest = behind;
        }
        frames
    }

    /// What it has written so far as tcpdump reads it, a line a packet. It cannot read a packet that is only written in part.
    pub(crate) fn lines(&self) -> Vec<String> {
        let (mut is_read, mut text) = (false, String::new());
        until("tcpdump reads its file", 30, || {
            (is_read, text) = self.namespace.attempt(&format!("tcpdump -n -t -r {}", self.path));
            is_read
        });
        text.lines().filter(|line| line.starts_with("IP")).map(str::to_owned).collect()
    }

    /// The same, of those lines that hold these words.
    pub(crate) fn with(&self, words: &str) -> Vec<String> {
        self.lines().into_iter().filter(|line| line.contains(words)).collect()
    }
}
