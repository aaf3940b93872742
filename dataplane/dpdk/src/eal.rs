//! Start and end of DPDK's environment: one per process, checked before DPDK gets a chance to be
//! unclear.

use std::ffi::{CString, c_char, c_int};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) mod checks;
pub(crate) mod log;
pub(crate) mod runtime;

use crate::error::{Error, Kind, errno, errno_text};
use crate::lcore::Affinity;
use runtime::Runtime;

/// Where packet buffers live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Hugepages, taken as pools need them; `megabytes` reserves that much at start. Leaves no file
    /// behind.
    Hugepages {
        /// Reserve this much at start, so that a lack shows there; `None` takes pages as they are
        /// needed.
        megabytes: Option<u32>,
    },
    /// Ordinary pages, reserved at start: needs no preparation, and costs TLB misses. Not for PCI
    /// devices without IOMMU.
    Ordinary {
        /// All that pools and rings may take together.
        megabytes: u32,
    },
}

/// How to start the environment.
#[derive(Clone, Debug)]
pub struct Options {
    /// The core to pin the calling thread to; `None` leaves it where the scheduler puts it.
    pub main_core: Option<usize>,
    /// Where packet buffers live.
    pub memory: Memory,
    /// PCI devices (`0000:01:00.0`, with devargs behind a comma if need be) that DPDK may take;
    /// others are not touched.
    pub pci: Vec<String>,
    /// Names what DPDK leaves in the file system while it runs; `None` makes one from the process
    /// id.
    pub prefix: Option<String>,
    /// Handed to EAL as they are, after ours.
    pub extra: Vec<String>,
    /// Whether DPDK's own log goes to standard error. It is kept for error messages in any case.
    pub verbose: bool,
}

impl Default for Options {
    fn default() -> Self {
        let memory = Memory::Hugepages { megabytes: None };
        Self {
            main_core: None,
            memory,
            pci: Vec::new(),
            prefix: None,
            extra: Vec::new(),
            verbose: false,
        }
    }
}

/// The running environment. Pools, ports, rings and threads made from it keep it alive; the last
/// one ends it.
#[derive(Clone)]
pub struct Eal {
    pub(crate) runtime: Arc<Runtime>,
}

impl fmt::Debug for Eal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eal").finish_non_exhaustive()
    }
}

/// DPDK cannot be started twice in a process, not even after its end.
static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Checks what can be checked, then starts the environment; the calling thread becomes its main
    /// lcore.
    ///
    /// # Errors
    /// `AlreadyStarted`, `Hugepages`, `Permission`, `MissingDevice`, `KernelDriver` and `Options`
    /// come from the checks and leave the process free to try again; `Eal` carries what DPDK
    /// logged, and does not.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let before = Affinity::current()?;
        let prefix = prefix(options)?;
        let arguments = arguments(options, &prefix, &before)?;
        checks::memory(options.memory)?;
        for device in &options.pci {
            checks::pci(device)?;
        }
        if STARTED.swap(true, Ordering::SeqCst) {
            let reason = "DPDK's environment has been started in this process before";
            return Err(Error::new(
                Kind::AlreadyStarted,
                reason,
                "share the first one, or start another process",
            ));
        }
        log::capture(options.verbose);
        let pci = options.pci.iter().map(|device| checks::pci_name(device)).collect();
        initialise(arguments).inspect_err(|_| runtime::remove_folder(&prefix))?;
        Ok(Self { runtime: Arc::new(Runtime::new(before, prefix, pci)) })
    }

    /// DPDK's version, for reports.
    pub fn version(&self) -> String {
        // SAFETY: rte_version returns static text that ends in a zero octet.
        let version = unsafe { std::ffi::CStr::from_ptr(dpdk_sys::rte_version()) };
        version.to_string_lossy().into_owned()
    }
}

/// Names the folder that DPDK makes for this process.
fn prefix(options: &Options) -> Result<String, Error> {
    let prefix =
        options.prefix.clone().unwrap_or_else(|| format!("millrace-{}", std::process::id()));
    if prefix.is_empty() || prefix.starts_with('.') || prefix.contains(['/', '%']) {
        let reason =
            format!("the file prefix {prefix:?} is empty, begins with a dot or holds a '/' or '%'");
        return Err(Error::new(Kind::Options, reason, "choose letters, digits and dashes"));
    }
    Ok(prefix)
}

fn arguments(options: &Options, prefix: &str, affinity: &Affinity) -> Result<Vec<CString>, Error> {
    let mut list = vec!["millrace".to_owned(), "--no-telemetry".to_owned()];
    // Lcore 0 whatever the core's number: EAL knows fewer lcores than large machines have cores.
    list.push(format!("--lcores=0@{}", cores(options.main_core, affinity)?));
    list.push(format!("--file-prefix={prefix}"));
    match options.memory {
        Memory::Hugepages { megabytes } => {
            list.push("--in-memory".to_owned());
            list.extend(megabytes.map(|megabytes| format!("-m{megabytes}")));
        }
        // The two exclude each other; without a shared configuration ordinary memory leaves no file
        // behind either.
        Memory::Ordinary { megabytes } => {
            list.extend([
                "--no-huge".to_owned(),
                "--no-shconf".to_owned(),
                format!("-m{megabytes}"),
            ]);
        }
    }
    if options.pci.is_empty() {
        list.push("--no-pci".to_owned());
    }
    list.extend(options.pci.iter().map(|device| format!("--allow={device}")));
    list.extend(options.extra.iter().cloned());
    list.iter().map(|argument| crate::error::c_string(argument, 4096, "the EAL argument")).collect()
}

fn cores(main: Option<usize>, affinity: &Affinity) -> Result<String, Error> {
    let allowed = affinity.cores();
    match main {
        Some(core) if !allowed.contains(&core) => {
            let reason = format!(
                "core {core} does not exist or is not among the cores {allowed:?} of this process"
            );
            Err(Error::new(Kind::Options, reason, "choose one of these cores"))
        }
        Some(core) => Ok(core.to_string()),
        None => {
            let list: Vec<String> = allowed.iter().map(usize::to_string).collect();
            Ok(format!("({})", list.join(",")))
        }
    }
}

fn initialise(arguments: Vec<CString>) -> Result<(), Error> {
    // EAL permutes the array and keeps pointers to the texts, so they stay for the life of the
    // process.
    let mut pointers: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
    pointers.push(std::ptr::null_mut());
    // SAFETY: the array holds `count` texts and a null pointer; this runs once per process
    // (STARTED).
    let result = unsafe { dpdk_sys::rte_eal_init(count, pointers.leak().as_mut_ptr()) };
    if result >= 0 {
        return Ok(());
    }
    let reason =
        format!("DPDK's environment did not start: {}{}", errno_text(errno()), log::said());
    let remedy =
        "mend what its log names (options.verbose prints all of it), then start the process again";
    Err(Error::new(Kind::Eal, reason, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(options: &Options) -> Vec<String> {
        let list = arguments(options, "x", &Affinity::current().unwrap()).unwrap();
        list.into_iter().map(|text| text.into_string().unwrap()).collect()
    }

    #[test]
    fn touches_no_pci_device_unless_told() {
        assert!(texts(&Options::default()).contains(&"--no-pci".to_owned()));
        let list = texts(&Options { pci: vec!["0000:01:00.0".to_owned()], ..Options::default() });
        assert!(
            list.contains(&"--allow=0000:01:00.0".to_owned())
                && !list.contains(&"--no-pci".to_owned())
        );
    }

    #[test]
    fn leaves_no_files_with_either_kind_of_memory() {
        assert!(texts(&Options::default()).contains(&"--in-memory".to_owned()));
        let options = Options { memory: Memory::Ordinary { megabytes: 64 }, ..Options::default() };
        let list = texts(&options);
        assert!(list.contains(&"--no-shconf".to_owned()) && list.contains(&"-m64".to_owned()));
    }

    #[test]
    fn refuses_a_core_that_is_not_there() {
        let options = Options { main_core: Some(100_000), ..Options::default() };
        let error = arguments(&options, "x", &Affinity::current().unwrap()).unwrap_err();
        assert_eq!(error.kind(), Kind::Options);
        assert!(error.to_string().contains("core 100000"));
    }

    #[test]
    fn refuses_a_prefix_that_leaves_its_folder() {
        let options = Options { prefix: Some("../x".to_owned()), ..Options::default() };
        assert_eq!(prefix(&options).unwrap_err().kind(), Kind::Options);
    }
}
