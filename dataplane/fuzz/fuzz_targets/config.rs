//! The configuration: any text is taken or refused in a sentence, and what is taken can be built.
#![no_main]

use dataplane::config::Config;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    // Key files are other people's: only what stands in the text is tried.
    if text.contains("_file") {
        return;
    }
    match Config::parse(text, Path::new("fuzz.toml")) {
        Ok(config) => {
            assert!(!config.ports.is_empty() && !config.workers.is_empty());
            assert!(shm::Place::of(&config.instance).is_ok() && config.peers_max > 0);
        }
        Err(error) => assert!(error.to_string().starts_with("fuzz.toml")),
    }
});
