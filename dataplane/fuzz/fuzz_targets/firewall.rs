//! Rules and packets as anybody may write them: what is read is read again once it is printed, and mistakes have a place.
#![no_main]

use firewall::{Wrong, packet, parse};
use libfuzzer_sys::fuzz_target;

/// The place lies in the text, or right behind one of its lines.
fn check(text: &str, wrong: &Wrong) {
    let line = text.split('\n').nth(wrong.line as usize - 1).expect("a line of the text");
    assert!(wrong.column as usize <= line.chars().count() + 1, "{wrong}");
    assert!(!wrong.what.is_empty());
}

fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    match parse(text) {
        Ok(ruleset) => assert_eq!(parse(&ruleset.to_string()), Ok(ruleset)),
        Err(wrong) => check(text, &wrong),
    }
    if let Err(wrong) = packet(text) {
        check(text, &wrong);
    }
});
