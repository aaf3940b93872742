//! Data centres, and next hops that lead there.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::section::{HopSection, Part};
use crate::model::{Centre, Hop, HopNamed, Machine, Refused};

/// Where machines take CONNECT requests when nothing is said.
const PORT: u16 = 443;

/// The weight of a machine that has none.
const WEIGHT: u16 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CentreSection {
    name: Spanned<String>,
    number: Spanned<i64>,
    #[serde(default)]
    machines: Vec<Spanned<Value>>,
    headroom: Option<Spanned<i64>>,
}

impl Part<'_> {
    pub(super) fn centre(&self, section: &CentreSection) -> Result<Centre, Refused> {
        let machines: Result<Vec<Machine>, Refused> =
            section.machines.iter().map(|machine| self.machine(machine)).collect();
        let centre = Centre {
            number: self.number(&section.number, "number")?,
            name: section.name.get_ref().as_str().into(),
            machines: machines?.into(),
            headroom: section
                .headroom
                .as_ref()
                .map(|flows| self.number(flows, "headroom"))
                .transpose()?,
            hop: 0,
            relay: 0,
            origin: self.origin(&section.name.span()),
        };
        match centre.wrong() {
            None => Ok(centre),
            Some(("number", what)) => Err(self.error(&section.number.span(), &what)),
            Some((_, what)) => Err(self.error(&section.name.span(), &what)),
        }
    }

    /// `"ADDRESS"`, `"ADDRESS:PORT"`, or a table with a weight besides.
    fn machine(&self, machine: &Spanned<Value>) -> Result<Machine, Refused> {
        let wrong = |what: &str| self.error(&machine.span(), what);
        let what = "a machine is \"ADDRESS\", \"ADDRESS:PORT\" or { address = .., weight = .. }";
        let (text, weight) = match machine.get_ref() {
            Value::String(text) => (text.as_str(), None),
            Value::Table(table) => {
                let is_known = |key: &String| key == "address" || key == "weight";
                let text = table.get("address").and_then(Value::as_str);
                let text = text.filter(|_| table.keys().all(is_known));
                (text.ok_or_else(|| wrong(what))?, table.get("weight"))
            }
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => return Err(wrong(what)),
        };
        let alone = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
        let address = text.parse().or(alone).map_err(|_| wrong(what))?;
        let weight = match weight {
            None => WEIGHT,
            Some(weight) => {
                let weight = weight.as_integer().and_then(|weight| u16::try_from(weight).ok());
                weight.ok_or_else(|| wrong("weight is a number, 0 to 65535"))?
            }
        };
        Ok(Machine { address: address.ip(), port: address.port(), weight })
    }

    /// A next hop that leads to one data centre, or to the best of several.
    pub(super) fn exits(
        &self,
        (span, kind): (&Range<usize>, &str),
        (name, remote): (Arc<str>, Option<IpAddr>),
        section: &HopSection,
    ) -> Result<HopNamed, Refused> {
        let need =
            |field: &str| self.error(span, &format!("a next hop of kind {kind} needs {field}"));
        let origin = self.origin(span);
        if kind == "argo" {
            let exits = section.exits.as_ref().filter(|exits| !exits.is_empty());
            let exits = exits.ok_or_else(|| need("exits"))?;
            let exits = exits.iter().map(|exit| exit.as_str().into()).collect();
            return Ok(HopNamed::of_exits(name, exits, origin));
        }
        let centre = section.centre.as_ref().ok_or_else(|| need("centre"))?;
        let number = centre.get_ref().as_integer();
        if let Some(remote) = remote {
            // A machine by itself: nobody else of its centre is asked.
            let number = number.and_then(|number| u32::try_from(number).ok());
            let number = number.ok_or_else(|| {
                let what = "beside remote, centre is a number; leave remote out, or give it";
                self.error(&centre.span(), what)
            })?;
            return Ok(HopNamed::new(
                name,
                Hop::Via { centre: number, remote: Some(remote) },
                origin,
            ));
        }
        let text = centre.get_ref().as_str().map(str::to_owned);
        let text = text.or_else(|| number.map(|number| number.to_string())).ok_or_else(|| {
            self.error(&centre.span(), "centre is the name of a [[centre]], or its number")
        })?;
        Ok(HopNamed::of_exits(name, Box::new([text.into()]), origin))
    }
}
