//! Several processes with DPDK at once: side by side, and connected.

use std::path::Path;
use std::process::{Child, Command, ExitCode};

use dpdk::eal::{Eal, Memory};
use dpdk::error::Kind;
use dpdk::port::Settings;
use dpdk::{Port, Queue};

use crate::ROLE;
use crate::lab::{Burst, Case, Outcome, options, pool, root, unique, wait};

pub(crate) const CASES: &[Case] = &[
    ("runs_beside_another_instance_and_leaves_no_files", beside),
    ("names_the_right_that_is_missing", powerless),
    ("exchanges_frames_with_another_process_by_memif", memif),
    ("exchanges_frames_with_another_process_by_vhost_user", vhost),
];

const SOCKET: &str = "MILLRACE_TEST_SOCKET";

/// A peer process, ended at the latest with this value.
struct Peer(Child);

impl Peer {
    fn start(role: &str, socket: &str) -> Self {
        let program = std::env::current_exe().expect("the path of this program");
        Self(Command::new(program).env(ROLE, role).env(SOCKET, socket).spawn().expect("a peer"))
    }

    fn finish(mut self) {
        assert!(self.0.wait().expect("the peer's end").success(), "the peer failed");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            drop(self.0.kill().and_then(|()| self.0.wait()));
        }
    }
}

/// What a peer process does.
pub(crate) fn peer(role: &str) -> ExitCode {
    let socket = std::env::var(SOCKET).unwrap_or_default();
    let eal =
        Eal::start(&options(Memory::Ordinary { megabytes: 128 })).expect("the peer's environment");
    let device = match role {
        "beside" => "net_null0".to_owned(),
        "powerless" => "net_tap0,iface=never".to_owned(),
        "memif" => format!("net_memif0,role=client,id=0,socket={socket},socket-abstract=no"),
        "virtio" => format!("net_virtio_user0,path={socket}"),
        other => panic!("no role {other}"),
    };
    let pool = pool(&eal, 4095);
    if role == "powerless" {
        let error =
            Port::open(&eal, &device, &Settings::default(), &[&pool]).expect_err("no rights");
        assert_eq!(error.kind(), Kind::Permission, "{error}");
        assert!(
            error.reason().contains("CAP_NET_ADMIN") && error.remedy().contains("root"),
            "{error}"
        );
        return ExitCode::SUCCESS;
    }
    let port = Port::open(&eal, &device, &Settings::default(), &[&pool])
        .unwrap_or_else(|error| panic!("{error}"));
    let mut queue = port.take_queue(0).expect("a queue");
    if role != "beside" {
        wait("the link", || port.link_up());
        echo(&mut queue);
    }
    ExitCode::SUCCESS
}

const COUNT: u32 = 100;
/// Ends the peer.
const LAST: u32 = u32::MAX;

/// Sends back what it receives, until the last frame came.
fn echo(queue: &mut Queue) {
    let (mut burst, mut ended) = (Burst::new(), false);
    wait("the last frame", || {
        queue.receive(&mut burst);
        ended |= burst.iter().any(|mbuf| crate::lab::number(mbuf) == Some(LAST));
        queue.transmit(&mut burst);
        ended && burst.is_empty()
    });
}

/// Sends frames to an echoing peer and waits for each to come back.
fn exchange(eal: &Eal, port: &Port) {
    let pool = pool(eal, 4095);
    let mut queue = port.take_queue(0).expect("a queue");
    wait("the link", || port.link_up());
    for number in (0..COUNT).chain([LAST]) {
        let mut waiting: Burst = std::iter::once(crate::lab::frame(&pool, number)).collect();
        let mut burst = Burst::new();
        // The last one ends the peer, whose answer may go down with it.
        wait("the echo", || {
            queue.transmit(&mut waiting);
            queue.receive(&mut burst);
            (number == LAST && waiting.is_empty())
                || burst.iter().any(|mbuf| crate::lab::number(mbuf) == Some(number))
        });
    }
}

fn beside(_: &Eal) -> Outcome {
    let peer = Peer::start("beside", "");
    let folder = format!("/var/run/dpdk/millrace-{}", peer.0.id());
    peer.finish();
    assert!(!Path::new(&folder).exists(), "{folder} is left");
    Ok(())
}

/// A peer without any capability, though its user be root.
fn powerless(_: &Eal) -> Outcome {
    root()?;
    let program = std::env::current_exe().expect("the path of this program");
    let mut without = Command::new("setpriv");
    without.args(["--bounding-set=-all", "--inh-caps=-all"]).arg(program).env(ROLE, "powerless");
    assert!(without.status().expect("setpriv of util-linux").success(), "the peer failed");
    Ok(())
}

fn socket() -> String {
    std::env::temp_dir().join(unique("millrace")).with_extension("sock").display().to_string()
}

fn serve(eal: &Eal, device: &str, role: &str, socket: &str) {
    let pool = pool(eal, 4095);
    let port = Port::open(eal, device, &Settings::default(), &[&pool])
        .unwrap_or_else(|error| panic!("{error}"));
    let peer = Peer::start(role, socket);
    exchange(eal, &port);
    peer.finish();
    drop(port);
    drop(std::fs::remove_file(socket));
}

fn memif(eal: &Eal) -> Outcome {
    let socket = socket();
    serve(
        eal,
        &format!("net_memif0,role=server,id=0,socket={socket},socket-abstract=no"),
        "memif",
        &socket,
    );
    Ok(())
}

fn vhost(eal: &Eal) -> Outcome {
    let socket = socket();
    serve(eal, &format!("net_vhost0,iface={socket}"), "virtio", &socket);
    Ok(())
}
