//! Compiles the calls of the C libraries that are measured beside ours, as far as they are installed. DPDK's are, as nothing is
//! built without it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(ipsec_mb)");
    println!("cargo::rustc-check-cfg=cfg(openssl)");
    for (name, header, library) in [
        ("ipsec_mb", "/usr/include/intel-ipsec-mb.h", "IPSec_MB"),
        ("openssl", "/usr/include/openssl/evp.h", "crypto"),
    ] {
        let source = source(name);
        println!("cargo::rerun-if-changed={header}");
        if Path::new(header).exists() {
            cc::Build::new().file(source).opt_level(2).compile(name);
            println!("cargo::rustc-link-lib={library}");
            println!("cargo::rustc-cfg={name}");
        }
    }
    dpdks("acl", &["acl"]);
    // The archive that calls comes before the one that is called.
    dpdks("fib", &["fib", "rib"]);
}

fn source(name: &str) -> PathBuf {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let source = Path::new(&folder).join(format!("peers/{name}.c"));
    println!("cargo::rerun-if-changed={}", source.display());
    source
}

/// The rest of DPDK is linked by dpdk-sys, which also tells what is missing when it is not there.
fn dpdks(name: &str, archives: &[&str]) {
    let mut compiler = cc::Build::new();
    compiler.file(source(name)).opt_level(2);
    for flag in dpdk("--cflags").split_whitespace() {
        compiler.flag(flag);
    }
    compiler.compile(&format!("peer_{name}"));
    println!("cargo::rustc-link-search=native={}", dpdk("--variable=libdir"));
    for archive in archives {
        println!("cargo::rustc-link-lib=static:-bundle=rte_{archive}");
    }
}

/// What pkg-config says; empty when it is not there.
fn dpdk(argument: &str) -> String {
    let said = Command::new("pkg-config").args([argument, "libdpdk"]).output();
    let text = said.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}
