//! A generator in a process of its own: what it is told and what it tells go through pipes, packets through shared memory with a
//! ring each way for each end of the server (memif). What it sends is made here, where the server's clients have their keys.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use dataplane::device::Dpdk;
use dataplane::worker::Queues;
use dpdk::port::Settings;
use dpdk::{Eal, Pool, Port};
use serde::{Deserialize, Serialize};

use super::frames::Frames;
use super::generator::Seen;
use crate::Failure;
use crate::load::Place;
use crate::service::server::{End, Ends};

/// How the other process finds this one, and where it runs.
#[derive(Args, Clone, Debug, Serialize)]
pub(crate) struct Meeting {
    /// The abstract name of the socket by which both agree on shared memory.
    #[arg(long)]
    pub(super) socket: String,
    #[arg(long)]
    pub(super) core: usize,
    #[arg(long)]
    pub(super) hugepages: bool,
    /// Packets of each ring.
    #[arg(long)]
    pub(super) ring: usize,
}

/// What the other process is told to do. It answers each with a line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Take these frames, which follow.
    Load { size: (usize, usize), interval: f64, way: (End, End), mark: u32 },
    /// Send them; the answer is what was seen.
    Go,
    /// Free what still comes; the answer is how many frames that were.
    Drain,
}

/// How long both may take to find each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The process, and this one's queues to it.
pub(super) struct Process {
    child: Child,
    orders: Option<BufWriter<ChildStdin>>,
    answers: BufReader<ChildStdout>,
    near: Option<Ends>,
}

impl Process {
    /// Starts it, and waits until packets can go both ways.
    pub(super) fn start((eal, pool): (&Eal, &Pool), place: &Place) -> Result<Self, Failure> {
        let meeting = Meeting {
            socket: format!("millrace-bench-{}", std::process::id()),
            core: place.core,
            hugepages: place.hugepages,
            ring: place.ring,
        };
        let (near, ports) = meeting.open((eal, pool), "server")?;
        let mut child = meeting.command()?.spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (orders, answers) = pipes.ok_or("the generator's process has no pipes")?;
        let orders = Some(BufWriter::new(orders));
        let answers = BufReader::new(answers);
        let mut process = Self { child, orders, answers, near: Some(near) };
        let met = process.wait(&ports);
        // They hold the devices, which have to be gone before the process is told to end.
        drop(ports);
        met?;
        Ok(process)
    }

    fn wait(&mut self, ports: &[Port]) -> Result<(), Failure> {
        let start = Instant::now();
        while !ports.iter().all(Port::link_up) {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the generator's process has ended: {status}").into());
            }
            if start.elapsed() > PATIENCE {
                return Err("the generator's process does not come to the memif".into());
            }
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Changes the worker's queues for those to the process, or back.
    pub(super) fn swap(&mut self, queues: &mut Queues<Dpdk>) -> Result<(), Failure> {
        let wire = queues.wires.first_mut().ok_or("the worker has no wire")?;
        let near = self.near.as_mut().ok_or(ENDED)?;
        let pairs = [
            (wire.queue.as_mut(), &mut near.wire),
            (wire.kernel.as_mut(), &mut near.kernel),
            (queues.local.as_mut(), &mut near.local),
        ];
        for (one, other) in pairs {
            std::mem::swap(one.ok_or("the worker lacks a queue")?, other);
        }
        Ok(())
    }

    /// Hands over what it shall send and where.
    pub(super) fn load(
        &mut self,
        frames: &Frames,
        way: (End, End),
        mark: u32,
    ) -> Result<(), Failure> {
        let size = (frames.len(), frames.octets());
        let order = Order::Load { size, interval: frames.interval, way, mark };
        self.tell(&order, Some(frames))?;
        self.answer()
    }

    /// Makes the trial.
    pub(super) fn go(&mut self) -> Result<Seen, Failure> {
        self.tell(&Order::Go, None)?;
        self.answer()
    }

    /// Frees what nobody has taken on either side; gives how many frames that were. The worker has its own queues again.
    pub(super) fn drain(&mut self) -> Result<u64, Failure> {
        let here = self.near.as_mut().map_or(0, Ends::drain);
        self.tell(&Order::Drain, None)?;
        Ok(here + self.answer::<u64>()?)
    }

    fn tell(&mut self, order: &Order, frames: Option<&Frames>) -> Result<(), Failure> {
        let orders = self.orders.as_mut().ok_or(ENDED)?;
        serde_json::to_writer(&mut *orders, order)?;
        orders.write_all(b"\n")?;
        frames.map_or(Ok(()), |frames| frames.write(orders))?;
        Ok(orders.flush()?)
    }

    fn answer<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T, Failure> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(ENDED.into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

const ENDED: &str = "the generator's process has ended";

impl Drop for Process {
    fn drop(&mut self) {
        // The driver must not close a device while its own thread takes the other end's farewell: first this end goes, while the
        // other one waits for orders. Without orders that ends by itself, and leaves nothing behind.
        self.near = None;
        self.orders = None;
        let start = Instant::now();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if start.elapsed() > PATIENCE {
                drop(self.child.kill().and_then(|()| self.child.wait()));
                return;
            }
            sleep(Duration::from_millis(1));
        }
    }
}

impl Meeting {
    /// This program again, as the generator.
    fn command(&self) -> Result<Command, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        let (core, ring) = (self.core.to_string(), self.ring.to_string());
        command.args(["generator", "--socket", &self.socket, "--core", &core, "--ring", &ring]);
        if self.hugepages {
            command.arg("--hugepages");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Ok(command)
    }

    /// The queues of this side, in the order of their ids, and their ports.
    pub(super) fn open(
        &self,
        (eal, pool): (&Eal, &Pool),
        role: &str,
    ) -> Result<(Ends, [Port; 3]), Failure> {
        // The rings of threads take powers of two only, and have been made by now.
        let depth = self.ring.ilog2();
        let open = |id: u32| {
            let socket = &self.socket;
            let device = format!(
                "net_memif{id},role={role},id={id},rsize={depth},socket={socket},socket-abstract=yes"
            );
            Port::open(eal, &device, &Settings::default(), &[pool])
        };
        let ports = [open(0)?, open(1)?, open(2)?];
        let [wire, kernel, local] = ports.each_ref().map(|port| port.take_queue(0));
        let queues = wire.zip(kernel).zip(local);
        let ((wire, kernel), local) = queues.ok_or("a fresh port has no queue")?;
        Ok((Ends { wire, kernel, local }, ports))
    }
}
