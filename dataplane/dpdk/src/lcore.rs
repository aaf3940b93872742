//! Threads that DPDK knows: pinned to a core, with a cache of their own in every pool.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::{self, Builder};

use crate::eal::Eal;
use crate::eal::runtime::Runtime;
use crate::error::{Error, Kind, errno, errno_text};

/// A set of cores that a thread may run on.
#[derive(Clone)]
pub(crate) struct Affinity(libc::cpu_set_t);

impl Affinity {
    fn empty() -> Self {
        // SAFETY: cpu_set_t is a plain array of bits, for which zeros are the empty set.
        Self(unsafe { std::mem::zeroed() })
    }

    /// That of the calling thread.
    pub(crate) fn current() -> Result<Self, Error> {
        let mut set = Self::empty();
        // SAFETY: the set is writable and of the length given; 0 is the calling thread.
        let result =
            unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set.0) };
        if result == 0 {
            Ok(set)
        } else {
            Err(last_error("the cores of this thread cannot be read"))
        }
    }

    /// Only this core.
    fn only(core: usize) -> Result<Self, Error> {
        if core >= CORES_MAX {
            let reason = format!("there is no core {core}");
            return Err(Error::new(Kind::Thread, reason, "choose a core that lscpu lists"));
        }
        let mut set = Self::empty();
        // SAFETY: the number is within the set, checked above.
        unsafe { libc::CPU_SET(core, &mut set.0) };
        Ok(set)
    }

    /// The numbers of the cores, ascending.
    pub(crate) fn cores(&self) -> Vec<usize> {
        // SAFETY: all numbers are within the set.
        (0..CORES_MAX).filter(|&core| unsafe { libc::CPU_ISSET(core, &self.0) }).collect()
    }

    fn apply(&self) -> Result<(), Error> {
        // SAFETY: the set is readable and of the length given; 0 is the calling thread.
        let result =
            unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) };
        if result == 0 {
            Ok(())
        } else {
            Err(last_error(&format!("no thread can run on cores {:?}", self.cores())))
        }
    }
}

/// Bits of a `cpu_set_t`.
const CORES_MAX: usize = 8 * size_of::<libc::cpu_set_t>();

fn last_error(what: &str) -> Error {
    let reason = format!("{what}: {}", std::io::Error::last_os_error());
    Error::new(Kind::Thread, reason, "choose cores that lscpu lists and that taskset allows")
}

/// A running thread; dropping the handle leaves it running.
#[derive(Debug)]
pub struct JoinHandle<T>(thread::JoinHandle<Option<T>>);

impl<T> JoinHandle<T> {
    /// Waits for the thread's end and takes its result.
    ///
    /// # Errors
    /// What the thread panicked with.
    pub fn join(self) -> thread::Result<T> {
        // `None` is a thread that did not register: `spawn` gives out no handle to such a one.
        self.0.join()?.ok_or_else(|| Box::new("the thread did not start") as Box<dyn Any + Send>)
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// The cores that this process may run on, ascending. Ask before the environment starts: it pins the
/// thread that starts it.
///
/// # Errors
/// `Thread` when the kernel does not tell.
pub fn allowed() -> Result<Vec<usize>, Error> {
    Affinity::current().map(|set| set.cores())
}

/// Runs `work` on a thread of its own, pinned to `core` (`None`: on any core of the process),
/// registered with DPDK.
///
/// Returns once the thread is pinned and registered, so that a wrong core shows here. The kernel
/// cuts `name` to 15 octets in its lists.
///
/// # Errors
/// `Thread` when the thread cannot be made, pinned or registered (DPDK knows 128 at most).
pub fn spawn<F, T>(
    eal: &Eal,
    name: &str,
    core: Option<usize>,
    work: F,
) -> Result<JoinHandle<T>, Error>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let cores = core.map_or_else(|| Ok(eal.runtime.affinity.clone()), Affinity::only)?;
    let runtime = Arc::clone(&eal.runtime);
    let (report, reported) = mpsc::channel();
    let body = move || match Registration::new(runtime, &cores) {
        Ok(registration) => {
            drop(report.send(Ok(())));
            let result = work();
            drop(registration);
            Some(result)
        }
        Err(error) => {
            drop(report.send(Err(error)));
            None
        }
    };
    let failed = |cause: String| {
        let reason = format!("the thread {name:?} did not start: {cause}");
        Error::new(Kind::Thread, reason, "use fewer threads, or raise ulimit -u")
    };
    let named = Builder::new().name(name.replace('\0', ""));
    let handle = named.spawn(body).map_err(|error| failed(error.to_string()))?;
    reported.recv().map_err(|error| failed(error.to_string()))??;
    Ok(JoinHandle(handle))
}

/// Pins the calling thread, which need not be registered, to `core`; `None` frees it for all cores
/// of the process.
///
/// Threads inherit the cores of the one that makes them, and the main thread has but one if
/// `main_core` was given.
///
/// # Errors
/// `Thread` when the core does not exist or is not allowed.
pub fn pin(eal: &Eal, core: Option<usize>) -> Result<(), Error> {
    core.map_or_else(|| Ok(eal.runtime.affinity.clone()), Affinity::only)?.apply()
}

/// A thread's membership in DPDK, from pinning to its end.
struct Registration {
    runtime: Arc<Runtime>,
}

impl Registration {
    fn new(runtime: Arc<Runtime>, cores: &Affinity) -> Result<Self, Error> {
        cores.apply()?;
        runtime.workers.fetch_add(1, Ordering::AcqRel);
        // SAFETY: EAL runs, as the runtime lives; this thread is new, hence not registered yet.
        if unsafe { dpdk_sys::rte_thread_register() } == 0 {
            return Ok(Self { runtime });
        }
        runtime.workers.fetch_sub(1, Ordering::AcqRel);
        let reason = format!("DPDK did not take the thread: {}", errno_text(errno()));
        Err(Error::new(Kind::Thread, reason, "use fewer threads"))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // The buffers in this thread's caches would else be out of reach until another thread gets
        // its number.
        for store in self.runtime.pools() {
            store.flush_cache();
        }
        // SAFETY: this thread is registered, and unregisters once, as its last use of DPDK.
        unsafe { dpdk_sys::rte_thread_unregister() };
        self.runtime.workers.fetch_sub(1, Ordering::AcqRel);
    }
}
