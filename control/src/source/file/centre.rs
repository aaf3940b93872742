//! Data centres, and next hops that lead there.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use toml::{Spanned, Value};

use super::section::{HopSection, Part, Reading, RouteSection};
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

impl Reading {
    /// Where a route leads: to a next hop, or by one of some exits.
    pub(super) fn route_to(
        &mut self,
        part: &Part<'_>,
        section: &RouteSection,
    ) -> Result<Arc<str>, Refused> {
        let wrong = |what: &str| Err(part.error(&section.prefix.span(), what));
        match (&section.next_hop, &section.exits) {
            (Some(next_hop), None) => Ok(self.name(next_hop)),
            (None, Some(exits)) if exits.is_empty() => wrong("a route by exits names one at least"),
            (None, Some(exits)) => {
                let list = self.name(&exits.join(","));
                let exits = exits.iter().map(|exit| exit.as_str().into()).collect();
                let origin = part.origin(&section.prefix.span());
                let choice = HopNamed::of_exits(Arc::clone(&list), exits, origin);
                self.choices.entry(list.to_string()).or_insert(choice);
                Ok(list)
            }
            (Some(_), Some(_)) => wrong("exits beside next_hop: keep one of the two"),
            (None, None) => wrong("a route needs next_hop or exits"),
        }
    }

    /// Choices that routes name by their exits, unless there is a next hop of that name.
    pub(super) fn add_choices(&mut self) {
        let mut last: Option<&Arc<str>> = None;
        for route in &self.declaration.routes {
            let name = &route.next_hop;
            if last.is_some_and(|last| Arc::ptr_eq(last, name))
                || self.choices.contains_key(&**name)
            {
                continue;
            }
            if let Some(choice) = HopNamed::of_list(name, route.origin) {
                self.choices.insert(name.to_string(), choice);
            }
            last = Some(name);
        }
        for hop in &self.declaration.next_hops {
            self.choices.remove(&*hop.name);
        }
        self.declaration.next_hops.extend(std::mem::take(&mut self.choices).into_values());
    }
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

#[cfg(test)]
mod tests {
    use crate::model::{Book, Limits};
    use crate::source::file::tests::read;

    const CENTRES: &str = "[[centre]]\nname = \"fra\"\nnumber = 7\nheadroom = 2000\n\
        machines = [\"192.0.2.7\", \"[2001:db8::7]:8443\", { address = \"192.0.2.8:80\", weight = 5 }]\n\
        [[centre]]\nname = \"lhr\"\nnumber = 9\nmachines = [\"192.0.2.9\"]\n";

    const ROUTES: &str = "[[next_hop]]\nname = \"via\"\nkind = \"via\"\ncentre = \"fra\"\n\
        [[next_hop]]\nname = \"old\"\nkind = \"via\"\ncentre = 70\nremote = \"192.0.2.70\"\n\
        [[next_hop]]\nname = \"best\"\nkind = \"argo\"\nexits = [\"lhr\", \"direct\"]\n\
        [[route]]\nprefix = \"10.0.0.0/8\"\nexits = [\"direct\", \"fra\", \"lhr\"]\n\
        [[route]]\nprefix = \"11.0.0.0/8\"\nexits = [\"direct\", \"fra\", \"lhr\"]\n\
        [[route]]\nprefix = \"12.0.0.0/8\"\nexits = [\"fra\"]\n\
        [[table]]\nfile = \"full.txt\"\n";

    const TABLE: &str = "13.0.0.0/8 direct,fra,lhr\n14.0.0.0/8 best\n15.0.0.0/8 lhr,fra\n\
        16.0.0.0/8 via\n17.0.0.0/8 local\n";

    fn declared(centres: &str, routes: &str, table: &str) -> Result<Book, String> {
        let files = [("a.toml", routes), ("b.toml", centres), ("full.txt", table)];
        let mut book = Book::default();
        let declaration = read(&files)?;
        let declared = book.declare(declaration, &Limits::default());
        declared.map(|_| book).map_err(|refused| {
            let said = refused.to_string();
            // The folder of the first place, and of no other.
            let file =
                said.find(".toml").map_or(0, |at| said[..at].rfind('/').map_or(0, |at| at + 1));
            let file =
                said.find(".txt").map_or(file, |at| said[..at].rfind('/').map_or(0, |at| at + 1));
            said[file..].to_owned()
        })
    }

    #[test]
    fn centres_and_the_routes_that_name_them_are_read() {
        let book = declared(CENTRES, ROUTES, TABLE).unwrap();
        let fra = book.centre_named("fra").unwrap();
        let machines: Vec<(String, u16, u16)> = fra
            .machines
            .iter()
            .map(|machine| (machine.address.to_string(), machine.port, machine.weight))
            .collect();
        let machine = |address: &str, port, weight| (address.to_owned(), port, weight);
        let expected = [
            machine("192.0.2.7", 443, 100),
            machine("2001:db8::7", 8443, 100),
            machine("192.0.2.8", 80, 5),
        ];
        assert_eq!((machines, fra.headroom, fra.number), (expected.to_vec(), Some(2000), 7));
        let exits = |prefix: &str| {
            let route = book.route(&format!("{prefix}.0.0.0/8").parse().unwrap()).unwrap();
            book.next_hop(route.next_hop).unwrap().exits.to_vec()
        };
        assert_eq!(["10", "11", "12"].map(exits), [vec![0, 7, 9], vec![0, 7, 9], vec![7]]);
        let of_table = ["13", "14", "15", "16", "17"].map(exits);
        assert_eq!(of_table, [vec![0, 7, 9], vec![9, 0], vec![9, 7], vec![7], vec![]]);
        // local, reject, via, old, best, and a choice for each list.
        assert_eq!(book.counts().next_hops, 8);
    }

    #[test]
    fn a_directory_that_is_read_again_changes_nothing_and_one_without_centres_takes_all_away() {
        let mut book = declared(CENTRES, ROUTES, TABLE).unwrap();
        let files = [("a.toml", ROUTES), ("b.toml", CENTRES), ("full.txt", TABLE)];
        let touched = book.declare(read(&files).unwrap(), &Limits::default()).unwrap();
        let before = book.clone();
        let difference = crate::model::Difference::of_touched(&before, &book, &touched);
        assert!(difference.is_empty(), "{difference:?}");
        book.declare(read(&[("a.toml", "")]).unwrap(), &Limits::default()).unwrap();
        assert_eq!((book.centres().count(), book.messages()), (0, 2));
        // Names may change, and numbers go from one to the other.
        let mut book = declared(CENTRES, ROUTES, TABLE).unwrap();
        let swapped =
            CENTRES.replace("number = 7", "number = 1").replace("number = 9", "number = 7");
        let swapped = swapped.replace("number = 1", "number = 9");
        let files = [("a.toml", ROUTES), ("b.toml", &*swapped), ("full.txt", TABLE)];
        let said = book.declare(read(&files).unwrap(), &Limits::default()).unwrap_err();
        assert!(said.what.starts_with("number: 9 is centre lhr"), "{said}");
        let renamed = CENTRES.replace("\"fra\"", "\"ffm\"");
        let routes = ROUTES.replace("\"fra\"", "\"ffm\"");
        let table = TABLE.replace("fra", "ffm");
        let files = [("a.toml", &*routes), ("b.toml", &*renamed), ("full.txt", &*table)];
        book.declare(read(&files).unwrap(), &Limits::default()).unwrap();
        assert_eq!(book.centre(7).map(|centre| centre.name.to_string()), Some("ffm".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (from, to, said) in [
            ("number = 7", "number = 70000", "b.toml:3: number 70000 is beyond 0 to 65535"),
            ("number = 7", "number = 0", "b.toml:3: number is 1 to 65535"),
            ("number = 9", "number = 7", "b.toml:7: number: centre 7 is there already"),
            ("\"lhr\"", "\"fra\"", "b.toml:7: name: centre fra is there already"),
            ("\"lhr\"", "\"l hr\"", "b.toml:7: \"l hr\" is no name of a centre"),
            ("\"lhr\"", "\"direct\"", "b.toml:7: direct means something else"),
            ("[\"192.0.2.9\"]", "[]", "b.toml:7: centre lhr has no machines; name one"),
            ("[\"192.0.2.9\"]", "[7]", "b.toml:9: a machine is \"ADDRESS\""),
            ("[\"192.0.2.9\"]", "[\"x\"]", "b.toml:9: a machine is \"ADDRESS\""),
            ("weight = 5", "weight = -1", "b.toml:5: weight is a number, 0 to 65535"),
            ("weight = 5", "colour = 1", "b.toml:5: a machine is \"ADDRESS\""),
            ("headroom = 2000", "headroom = -1", "b.toml:4: headroom -1 is beyond"),
            ("headroom = 2000", "room = 1", "b.toml:4: unknown field `room`"),
        ] {
            let centres = CENTRES.replace(from, to);
            assert_ne!(centres, CENTRES);
            let refused = declared(&centres, ROUTES, TABLE).unwrap_err();
            assert!(refused.starts_with(said), "{refused}, not {said}");
        }
        for (from, to, said) in [
            ("centre = \"fra\"", "centre = \"ams\"", "a.toml:1: exits: there is no centre ams"),
            ("centre = \"fra\"", "centre = 8", "a.toml:1: exits: there is no centre 8"),
            ("centre = \"fra\"", "centre = true", "a.toml:4: centre is the name of a [[centre]]"),
            ("centre = \"fra\"", "", "a.toml:1: a next hop of kind via needs centre"),
            ("centre = 70", "centre = \"fra\"", "a.toml:8: beside remote, centre is a number"),
            ("exits = [\"lhr\", \"direct\"]", "", "a.toml:10: a next hop of kind argo needs exits"),
            ("exits = [\"fra\"]", "exits = []", "a.toml:21: a route by exits names one at least"),
            ("exits = [\"fra\"]", "", "a.toml:21: a route needs next_hop or exits"),
            (
                "exits = [\"fra\"]",
                "exits = [\"fra\"]\nnext_hop = \"local\"",
                "a.toml:21: exits beside next_hop: keep one of the two",
            ),
            (
                "exits = [\"fra\"]",
                "exits = [\"fra\", \"fra\"]",
                "a.toml:21: exits: fra is there twice",
            ),
            (
                "exits = [\"fra\"]",
                "exits = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]",
                "a.toml:21: exits: 9 exits, and 8 are taken",
            ),
        ] {
            let routes = ROUTES.replacen(from, to, 1);
            assert_ne!(routes, ROUTES);
            let refused = declared(CENTRES, &routes, TABLE).unwrap_err();
            assert!(refused.starts_with(said), "{refused}, not {said}");
        }
        let refused = declared(CENTRES, ROUTES, "13.0.0.0/8 direct,ams\n").unwrap_err();
        assert!(refused.starts_with("full.txt:1: exits: there is no centre ams"), "{refused}");
    }
}
