//! Servers that nobody here wrote: vsftpd, whose data connections begin at port 20 of active FTP (RFC 959 3.2), and Python's
//! HTTP server.

use rustix::process::Signal;

use super::site::INTERNET;
use super::tunnel::PYTHON;
use crate::lab::namespace::Namespace;
use crate::lab::process::Process;
use crate::lab::traffic::octet;
use crate::lab::until;

pub(crate) const LEN: usize = 1_000_000;

/// It keeps to one process, whose end is its end, and does without what a namespace may not allow.
const CONFIG: &str = "listen=YES\nbackground=NO\nanonymous_enable=YES\nno_anon_password=YES\nwrite_enable=YES\n\
    anon_upload_enable=YES\nanon_umask=022\nconnect_from_port_20=YES\npasv_min_port=30000\npasv_max_port=30009\n\
    anon_root=/run/lab/files\nsecure_chroot_dir=/run/lab/empty\none_process_model=YES\nseccomp_sandbox=NO\n\
    isolate=NO\nisolate_network=NO\nxferlog_enable=NO\n";

/// A folder with the file `served`, and one that takes files.
pub(crate) fn lay_out(place: &Namespace) {
    place.run("mkdir -p /run/lab/empty /run/lab/files/taken");
    place.run("chown ftp /run/lab/files/taken");
    std::fs::write(path(place, "files/served"), content(1)).unwrap();
}

pub(crate) fn content(seed: u64) -> Vec<u8> {
    (0..LEN).map(|place| octet(seed, place)).collect()
}

/// A file under the namespace's `/run/lab`, as this program sees it.
pub(crate) fn path(place: &Namespace, name: &str) -> String {
    format!("/proc/{}/root/run/lab/{name}", place.pid())
}

fn listens(place: &Namespace, port: u16) -> bool {
    place.run(&format!("ss -Hltn sport = :{port}")).contains("LISTEN")
}

/// An FTP server at port 21.
pub(crate) struct Ftp(Process);

impl Ftp {
    pub(crate) fn start(place: &Namespace) -> Self {
        let config = place.file("vsftpd.conf", CONFIG);
        let mut command = place.command("vsftpd");
        command.arg(config);
        let process = Process::start("vsftpd", command);
        until("vsftpd listens", 10, || listens(place, 21));
        Self(process)
    }

    pub(crate) fn stop(mut self) {
        self.0.stop(Signal::TERM);
    }
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
