//! Files that a place serves and takes, and the FTP server that nobody here wrote: vsftpd, whose data connections begin at port 20
//! of active FTP (RFC 959 3.2).

use super::namespace::Namespace;
use super::process::Process;
use super::until;

/// It keeps to one process, whose end is its end, and does without what a namespace may not allow.
const VSFTPD: &str = "listen=YES\nbackground=NO\nanonymous_enable=YES\nno_anon_password=YES\nwrite_enable=YES\n\
    anon_upload_enable=YES\nanon_umask=022\nconnect_from_port_20=YES\npasv_min_port=30000\npasv_max_port=30009\n\
    anon_root=/run/lab/files\nsecure_chroot_dir=/run/lab/empty\none_process_model=YES\nseccomp_sandbox=NO\n\
    isolate=NO\nisolate_network=NO\nxferlog_enable=NO\n";

/// A file under the namespace's `/run/lab`, as this program sees it.
pub(crate) fn path(place: &Namespace, name: &str) -> String {
    format!("/proc/{}/root/run/lab/{name}", place.pid())
}

/// A folder with these files, and one in it that takes files.
pub(crate) fn lay_out(place: &Namespace, files: &[(&str, &[u8])]) {
    place.run("mkdir -p /run/lab/empty /run/lab/files/taken");
    place.run("chown ftp /run/lab/files/taken");
    for (name, content) in files {
        std::fs::write(path(place, &format!("files/{name}")), content).unwrap();
    }
}

/// Whether anybody takes connections at a port.
pub(crate) fn listens(place: &Namespace, port: u16) -> bool {
    place.run(&format!("ss -Hltn sport = :{port}")).contains("LISTEN")
}

/// An FTP server at port 21.
pub(crate) fn vsftpd(place: &Namespace) -> Process {
    let config = place.file("vsftpd.conf", VSFTPD);
    let mut command = place.command("vsftpd");
    command.arg(config);
    let process = Process::start("vsftpd", command);
    until("vsftpd listens", 20, || listens(place, 21));
    process
}
