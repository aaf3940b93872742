//! Finds libdpdk, binds its headers, compiles its inline functions and links its archives
//! statically.
//!
//! The archives are listed here, not taken from `pkg-config --static`: Debian's list holds 130
//! drivers and needs development packages that `dpdk-dev` does not bring, and Cargo hands on
//! `rustc-link-lib` but no raw linker argument.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What EAL, ethdev and the drivers below call. Missing ones do not exist yet, or no longer, in the
/// installed release.
const CORE: &[&str] = &[
    "eal",
    "log",
    "argparse",
    "kvargs",
    "telemetry",
    "ring",
    "rcu",
    "mempool",
    "stack",
    "mbuf",
    "net",
    "meter",
    "ethdev",
    "pci",
    "hash",
    "timer",
    "cryptodev",
    "dmadev",
    "security",
    "vhost",
    "gso",
    "ip_frag",
    "bpf",
];
/// Devices and pools that are always there: a build without one of them would fail at start, not
/// here.
const DRIVERS: &[&str] = &[
    "bus_vdev",
    "bus_pci",
    "mempool_ring",
    "mempool_stack",
    "net_null",
    "net_ring",
    "net_tap",
    "net_memif",
    "net_pcap",
    "net_af_packet",
    "net_af_xdp",
    "net_virtio",
    "net_vhost",
];
/// Network cards whose drivers need no library beyond DPDK.
const CARDS: &[&str] = &[
    "common_iavf",
    "net_e1000",
    "net_igc",
    "net_ixgbe",
    "net_i40e",
    "net_iavf",
    "net_ice",
    "net_ena",
    "net_vmxnet3",
    "net_bnxt",
    "net_gve",
];
const CARDS_MLX5: &[&str] = &["bus_auxiliary", "common_mlx5", "net_mlx5"];
/// Shared libraries of the system that the archives above call.
const SYSTEM: &[&str] = &["numa", "bsd", "pcap", "xdp", "bpf", "elf", "z", "m", "atomic", "crypto"];

/// Everything that the crate `dpdk` names; each inline function among them becomes a wrapper.
const FUNCTIONS: &[&str] = &[
    "millrace_.*",
    "rte_(eal_init|eal_cleanup|openlog_stream|strerror|version|rdtsc)",
    "rte_(thread_register|thread_unregister|lcore_id)",
    "rte_(dev_probe|dev_remove|eth_from_rings|eth_dev_.*|eth_rx_queue_setup|eth_tx_queue_setup)",
    "rte_eth_(macaddr_get|promiscuous_enable|allmulticast_enable|link_get_nowait|stats_get)",
    "rte_eth_call_(rx|tx)_callbacks",
    "rte_pktmbuf_(alloc|alloc_bulk|free|free_bulk)",
    "rte_mempool_(free|avail_count|cache_flush|default_cache)",
    "rte_ring_(create|free|count|enqueue_burst|sp_enqueue_burst|sc_dequeue_burst)",
];
const VARIABLES: &[&str] =
    &["MBUF_.*", "RX_OFFLOAD_.*", "RSS_.*", "RING_F_.*", "RTE_ETH_NAME_MAX_LEN", "rte_eth_fp_ops"];
/// Types too large or too odd to bind, of which only pointers are needed.
const OPAQUE: &str = "rte_mbuf|rte_flow_.*|rte_security_.*|rte_mempool_ops|rte_mempool_info";

fn main() {
    for file in ["build.rs", "wrapper.h", "shim.c"] {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");
    // Cargo fails the build for this line alone; an exit status would bury it in a dump.
    if let Err(reason) = build() {
        println!("cargo::error={}", reason.replace('\n', " "));
    }
}

fn build() -> Result<(), String> {
    let flags = compiler_flags()?;
    let out = PathBuf::from(env::var("OUT_DIR").map_err(|_| "OUT_DIR is not set")?);
    check_libclang()?;
    bind(&flags, &out)?;
    compile(&flags, &out)?;
    link()
}

fn compiler_flags() -> Result<Vec<String>, String> {
    let missing = "libdpdk 22.11 or later was not found: install the packages dpdk-dev and \
                   pkg-config, or run scripts/setup";
    pkg_config(&["--atleast-version=22.11"]).map_err(|_| missing)?;
    let flags = pkg_config(&["--cflags"])?;
    Ok(flags.split_whitespace().map(str::to_owned).collect())
}

/// bindgen panics when libclang is missing; the panic's many lines are no help to a person who
/// builds.
fn check_libclang() -> Result<(), String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = std::panic::catch_unwind(bindgen::clang_version);
    std::panic::set_hook(hook);
    let missing =
        "libclang was not found: install the packages libclang-dev and clang, or run scripts/setup";
    found.map(drop).map_err(|_| missing.to_owned())
}

fn bind(flags: &[String], out: &Path) -> Result<(), String> {
    bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(flags)
        .clang_args(["-D_GNU_SOURCE", "-DALLOW_EXPERIMENTAL_API"])
        .allowlist_function(FUNCTIONS.join("|"))
        .allowlist_var(VARIABLES.join("|"))
        .allowlist_type("millrace_mbuf_offset")
        // Thread-local variables of C come out as plain statics, which link and then crash.
        .blocklist_item("per_lcore_.*")
        .opaque_type(OPAQUE)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .wrap_static_fns(true)
        .wrap_static_fns_path(out.join("inline"))
        .generate_comments(false)
        .generate()
        .map_err(|error| format!("DPDK's headers could not be bound: {error}; run scripts/setup"))?
        .write_to_file(out.join("bindings.rs"))
        .map_err(|error| format!("bindings.rs could not be written: {error}"))
}

fn compile(flags: &[String], out: &Path) -> Result<(), String> {
    let here = env::var("CARGO_MANIFEST_DIR").map_err(|_| "CARGO_MANIFEST_DIR is not set")?;
    let mut compiler = cc::Build::new();
    compiler.file("shim.c").file(out.join("inline.c")).include(here).opt_level(3).warnings(false);
    compiler.define("_GNU_SOURCE", None).define("ALLOW_EXPERIMENTAL_API", None);
    for flag in flags {
        compiler.flag(flag);
    }
    compiler.try_compile("millrace_dpdk").map_err(|error| {
        format!("DPDK's inline functions did not compile: {error}; run scripts/setup")
    })
}

fn link() -> Result<(), String> {
    let folder = pkg_config(&["--variable=libdir"])?;
    println!("cargo::rustc-link-search=native={folder}");
    let exists = |name: &str| Path::new(&folder).join(format!("librte_{name}.a")).exists();
    if let Some(name) = DRIVERS.iter().find(|name| !exists(name)) {
        return Err(format!(
            "librte_{name}.a is missing in {folder}: install dpdk-dev, or run scripts/setup"
        ));
    }
    let mlx5 = env::var_os("CARGO_FEATURE_MLX5").is_some();
    let (cards, shared): (&[&str], &[&str]) =
        if mlx5 { (CARDS_MLX5, &["mlx5", "ibverbs"]) } else { (&[], &[]) };
    // Whole archives: drivers announce themselves in constructors, which the linker would else
    // drop.
    for name in [CORE, DRIVERS, CARDS, cards].concat().into_iter().filter(|name| exists(name)) {
        println!("cargo::rustc-link-lib=static:+whole-archive,-bundle=rte_{name}");
    }
    for name in [SYSTEM, shared].concat() {
        println!("cargo::rustc-link-lib=dylib={name}");
    }
    Ok(())
}

fn pkg_config(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("pkg-config").args(arguments).arg("libdpdk").output();
    let output =
        output.map_err(|_| "pkg-config was not found: install it, or run scripts/setup")?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
