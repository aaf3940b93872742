//! Data centres in the file.

use super::{Reading, VERSION, write_address, write_origin, write_text};
use crate::model::Centre;
use crate::model::centre::Machine;

pub(in super::super) fn write_centre(centre: &Centre, to: &mut Vec<u8>) {
    to.clear();
    to.push(VERSION);
    write_origin(centre.origin, to);
    write_text(&centre.name, to);
    to.extend(centre.relay.to_le_bytes());
    to.push(u8::from(centre.headroom.is_some()));
    to.extend(centre.headroom.unwrap_or_default().to_le_bytes());
    for machine in &centre.machines {
        write_address(machine.address, to);
        to.extend(machine.port.to_le_bytes());
        to.extend(machine.weight.to_le_bytes());
    }
}

pub(in super::super) fn read_centre(number: u16, octets: &[u8]) -> Option<Centre> {
    let mut from = Reading(octets);
    (from.octet()? == VERSION).then_some(())?;
    let origin = from.origin()?;
    let name = from.text()?.into();
    let relay = u16::from_le_bytes(from.take()?);
    let has_headroom = from.octet()? == 1;
    let headroom = u32::from_le_bytes(from.take()?);
    let mut machines = Vec::new();
    while !from.0.is_empty() {
        let address = from.address()?;
        let port = u16::from_le_bytes(from.take()?);
        machines.push(Machine { address, port, weight: u16::from_le_bytes(from.take()?) });
    }
    let (machines, headroom) = (machines.into(), has_headroom.then_some(headroom));
    Some(Centre { number, name, machines, headroom, hop: 0, relay, origin })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::Keep;
    use crate::model::{Change, HopNamed, Limits, Origin, Place};

    #[test]
    fn next_hops_find_exits_again_that_have_other_names_by_now() {
        let directory = tempfile::tempdir().unwrap();
        let keep = Keep::open(directory.path()).unwrap();
        let mut book = keep.book().unwrap();
        let centre = |number, name: &str| {
            let machine = Machine { address: [192, 0, 2, 7].into(), port: 443, weight: 1 };
            let (name, machines, origin) = (name.into(), [machine].into(), Origin::Cli);
            Change::PutCentre(Centre {
                number,
                name,
                machines,
                headroom: None,
                hop: 0,
                relay: 0,
                origin,
            })
        };
        let names = ["x", "y", "z"].map(|last| "a".repeat(30) + last);
        let choice = HopNamed::of_list(&names.join(",").into(), Origin::Cli).unwrap();
        let [name, ..] = names.each_ref().map(String::as_str);
        let only = HopNamed::of_exits("only", Box::new([name.into()]), Origin::Cli);
        let mixed =
            HopNamed::of_exits("mixed", Box::new(["direct".into(), name.into()]), Origin::Cli);
        let centres = (1..).zip(&names).map(|(number, name)| centre(number, name));
        let hops = [choice, only, mixed].map(Change::AddNextHop);
        let renamed = vec![Change::RemoveCentre(name.into()), centre(1, "fra")];
        for changes in [centres.chain(hops).collect(), renamed] {
            let touched = book.apply(Origin::Cli, &changes, &Limits::default()).unwrap();
            keep.write(&book, &touched, &[]).unwrap();
        }
        drop(keep);
        let again = Keep::open(directory.path()).unwrap().book().unwrap();
        for hop in book.next_hops() {
            let found = again.next_hop_named(&hop.name).map(|hop| &hop.exits);
            assert_eq!(found, Some(&hop.exits), "{}", hop.name);
        }
        assert_eq!(again.counts().next_hops, 5);
    }

    #[test]
    fn centres_come_back_and_no_shorter_ones_with_half_a_machine() {
        let machine = |address: &str, weight| Machine {
            address: address.parse().unwrap(),
            port: 443,
            weight,
        };
        let centre = Centre {
            number: 700,
            name: "fra".into(),
            machines: [machine("192.0.2.7", 100), machine("2001:db8::7", 0)].into(),
            headroom: Some(70_000),
            hop: 0,
            relay: 9,
            origin: Origin::Declared(Place { file: 2, line: 70_000 }),
        };
        for centre in [Centre { headroom: None, ..centre.clone() }, centre] {
            let mut octets = Vec::new();
            write_centre(&centre, &mut octets);
            assert_eq!(read_centre(700, &octets).as_ref(), Some(&centre));
            for len in (octets.len() - 20..octets.len()).chain(0..15) {
                assert_eq!(read_centre(700, &octets[..len]), None, "{len}");
            }
            octets[0] += 1;
            assert_eq!(read_centre(700, &octets), None);
        }
    }
}
