//! Bulk tables: a route a line, `PREFIX NEXT_HOP`, for a million of them.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::{Cause, Origin, Place, Refused, RouteTo};

/// Appends the routes of a text. Empty lines and those that begin with `#` are passed over.
pub(super) fn read(
    text: &str,
    path: &Path,
    file: u16,
    routes: &mut Vec<RouteTo>,
) -> Result<(), Refused> {
    // Lines of one next hop mostly stand together.
    let mut name: Arc<str> = "".into();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim_ascii();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let wrong = |what: String| {
            Refused::new(Cause::Invalid, what).at(format!("{}:{line}", path.display()))
        };
        let mut words = text.split_ascii_whitespace();
        let (Some(prefix), Some(next_hop), None) = (words.next(), words.next(), words.next())
        else {
            return Err(wrong(format!("\"{text}\" is no route; write PREFIX NEXT_HOP")));
        };
        let prefix = prefix_of(prefix).map_err(wrong)?;
        if *name != *next_hop {
            name = next_hop.into();
        }
        let origin = Origin::Declared(Place { file, line });
        routes.push(RouteTo { prefix, next_hop: Arc::clone(&name), origin });
    }
    Ok(())
}

fn prefix_of(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text
        .parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("\"{text}\" is no IP address or prefix such as 192.0.2.0/24"))?;
    if net != net.trunc() {
        return Err(format!("{net} has bits behind its prefix; write {}", net.trunc()));
    }
    Ok(net)
}
