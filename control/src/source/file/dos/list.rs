//! Lists in files of their own: a prefix a line, for millions of them.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use crate::model::{Cause, Refused};

/// Appends the prefixes of a text. Empty lines are passed over, and all that stands behind `#`.
pub(in super::super) fn read(
    text: &str,
    path: &Path,
    prefixes: &mut Vec<IpNet>,
) -> Result<(), Refused> {
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.split_once('#').map_or(text, |(text, _)| text).trim_ascii();
        if text.is_empty() {
            continue;
        }
        let wrong = |what: String| {
            Refused::new(Cause::Invalid, what).at(format!("{}:{line}", path.display()))
        };
        prefixes.push(prefix(text).map_err(wrong)?);
    }
    Ok(())
}

fn prefix(text: &str) -> Result<IpNet, String> {
    let net: IpNet = match text.parse() {
        Ok(net) => net,
        Err(_) => text.parse::<IpAddr>().map(IpNet::from).map_err(|_| {
            format!("\"{text}\" is no IP address or prefix such as 192.0.2.0/24; mend the line")
        })?,
    };
    if net != net.trunc() {
        return Err(format!("{net} has bits behind its prefix; write {}", net.trunc()));
    }
    if net.addr().is_multicast() {
        return Err(format!("{net} is multicast, which sends nothing; leave it out"));
    }
    Ok(net)
}
