//! What is fetched from a tenant by FTP, and by HTTP from a server that nobody here wrote.

use super::site::INTERNET;
use super::tunnel::PYTHON;
use crate::lab::files::listens;
use crate::lab::namespace::Namespace;
use crate::lab::process::Process;
use crate::lab::traffic::octet;
use crate::lab::until;

pub(crate) const LEN: usize = 1_000_000;

pub(crate) fn content(seed: u64) -> Vec<u8> {
    (0..LEN).map(|place| octet(seed, place)).collect()
}

/// An HTTP server with the same folder.
pub(crate) fn http(place: &Namespace, port: u16) -> Process {
    let mut command = place.command(PYTHON);
    command.args(["-m", "http.server", &port.to_string(), "--directory", "/run/lab/files"]);
    let process = Process::start("http.server", command);
    until("the HTTP server listens", 20, || listens(place, port));
    process
}

/// Whether curl has got its file within so many seconds.
pub(crate) fn curl(place: &Namespace, seconds: u32, words: &str) -> bool {
    let line = format!("curl -sS --max-time {seconds} -o /run/lab/got {words}");
    let (is_done, said) = place.attempt(&line);
    println!("{words}: {}", if is_done { "done" } else { said.trim() });
    is_done
}

/// The words by which curl uses active FTP.
pub(crate) fn active() -> String {
    format!("--ftp-port {}", INTERNET[0])
}
