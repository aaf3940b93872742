//! Data centres: others by which packets may go out, each with the machines that take them there.

use std::sync::Arc;

use shm::limits::MACHINES_MAX;
pub use shm::message::Machine;

use super::{Book, Origin, Route};

/// Longest name of a data centre, octets: eight of them in a list are still a name.
pub(crate) const CENTRE_NAME_LEN_MAX: usize = 31;

/// What exits straight out from here are called.
pub const DIRECT: &str = "direct";

/// A data centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Centre {
    /// Its number, the same on all servers; not 0.
    pub number: u16,
    /// By which routes name it; unique.
    pub name: Arc<str>,
    /// The machines that take our packets there.
    pub machines: Box<[Machine]>,
    /// New flows a second that Argo leads there at most; none for as many as come.
    pub headroom: Option<u32>,
    /// The next hop that routes have that are led there; the book gives it.
    pub hop: u32,
    /// The number of the centre through which Argo reaches it; 0 for straight.
    pub relay: u16,
    /// Who has put it into the book.
    pub origin: Origin,
}

impl Centre {
    /// Whether it says the same, whoever says it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.number == other.number
            && self.name == other.name
            && self.machines == other.machines
            && self.headroom == other.headroom
    }

    /// What is wrong with it by itself, with the field.
    pub(crate) fn wrong(&self) -> Option<(&'static str, String)> {
        let (name, len) = (&self.name, self.name.len());
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=CENTRE_NAME_LEN_MAX).contains(&len) || !name.chars().all(is_word) {
            let what = format!(
                "\"{name}\" is no name of a centre; take 1 to {CENTRE_NAME_LEN_MAX} letters, digits and - _ ."
            );
            return Some(("name", what));
        }
        if **name == *DIRECT || name.bytes().all(|octet| octet.is_ascii_digit()) {
            return Some(("name", format!("{name} means something else; choose another name")));
        }
        if self.number == 0 {
            return Some(("number", "number is 1 to 65535; 0 stands for none".to_owned()));
        }
        let machines = self.machines.len();
        if machines == 0 {
            let what = format!("centre {name} has no machines; name one, or leave it out");
            return Some(("machines", what));
        }
        if machines > MACHINES_MAX {
            let what = format!("{machines} machines, and {MACHINES_MAX} are taken; leave some out");
            return Some(("machines", what));
        }
        self.wrong_machine().map(|what| ("machines", what))
    }

    fn wrong_machine(&self) -> Option<String> {
        for (at, machine) in self.machines.iter().enumerate() {
            let address = machine.address;
            if address.is_unspecified() || address.is_multicast() || machine.port == 0 {
                return Some(format!("{address} is no machine's address; give it its own"));
            }
            if self.machines.iter().take(at).any(|other| other.address == address) {
                return Some(format!("{address} is there twice; keep one of them"));
            }
        }
        if self.machines.iter().all(|machine| machine.weight == 0) {
            return Some("no machine has a weight, so nobody would take anything; give one".into());
        }
        None
    }

    /// How many messages it takes, with that of its next hop.
    pub(crate) fn messages(&self) -> u64 {
        self.message(false).message_count().unwrap_or(1) as u64 + 1
    }

    /// As the dataplane is told; `is_here` when it is this data centre.
    pub(crate) fn message(&self, is_here: bool) -> shm::message::Centre {
        let &Self { number, relay, .. } = self;
        shm::message::Centre { number, is_here, relay, machines: self.machines.to_vec() }
    }
}

impl Book {
    /// The next hop to which a route leads now, as the dataplane is told: that of the centre which Argo has chosen, or
    /// its own.
    pub fn told_hop(&self, route: &Route) -> u32 {
        let chosen = (route.exit != 0).then(|| self.centres.get(&route.exit)).flatten();
        chosen.map_or(route.next_hop, |centre| centre.hop)
    }

    /// A data centre by its number.
    pub fn centre(&self, number: u16) -> Option<&Arc<Centre>> {
        self.centres.get(&number)
    }

    /// A data centre by its name or, where none has it, by its number as text.
    pub fn centre_named(&self, name: &str) -> Option<&Arc<Centre>> {
        let named = self.centre_names.get(name).copied();
        self.centres.get(&named.or_else(|| name.parse().ok())?)
    }

    /// All data centres in the order of their numbers.
    pub fn centres(&self) -> impl Iterator<Item = &Arc<Centre>> {
        self.centres.iter().map(|(_, centre)| centre)
    }

    /// The data centre that this one is, if it is declared.
    pub fn here(&self) -> Option<&Arc<Centre>> {
        self.centre_named(self.here.as_deref()?)
    }

    /// Says which data centre this one is, by its name.
    pub(crate) fn set_here(&mut self, name: Option<Arc<str>>) {
        self.here = name;
    }

    /// What exits are called.
    pub fn exit_name(&self, exit: u16) -> String {
        match self.centre(exit) {
            Some(centre) => centre.name.to_string(),
            None if exit == 0 => DIRECT.to_owned(),
            None => exit.to_string(),
        }
    }

    /// Another number than before when Argo has something else to choose among.
    pub(crate) fn argo_revision(&self) -> u64 {
        self.argo_revision
    }

    pub(super) fn argo_changes(&mut self) {
        self.argo_revision += 1;
    }
}

#[cfg(test)]
mod tests;
