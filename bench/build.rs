//! Compiles the calls of the C libraries that are measured beside ours, as far as they are installed.

use std::path::Path;

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-check-cfg=cfg(ipsec_mb)");
    println!("cargo::rustc-check-cfg=cfg(openssl)");
    for (name, header, library) in [
        ("ipsec_mb", "/usr/include/intel-ipsec-mb.h", "IPSec_MB"),
        ("openssl", "/usr/include/openssl/evp.h", "crypto"),
    ] {
        let source = Path::new(&folder).join(format!("peers/{name}.c"));
        println!("cargo::rerun-if-changed={}", source.display());
        println!("cargo::rerun-if-changed={header}");
        if Path::new(header).exists() {
            cc::Build::new().file(source).opt_level(2).compile(name);
            println!("cargo::rustc-link-lib={library}");
            println!("cargo::rustc-cfg={name}");
        }
    }
}
