//! The fleet's file, as an operator changes it by hand where `millrace fleet` has no command: who is a member at all.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::directory::Directory;
use super::router::Subnet;

const FILE: &str = "fleet.toml";

/// The file.
pub(crate) struct Membership<'a>(&'a Directory);

impl<'a> Membership<'a> {
    pub(crate) fn new(directory: &'a Directory) -> Self {
        Self(directory)
    }

    /// The first generation: these servers, all alike.
    pub(crate) fn found(&self, servers: &[u8]) {
        let mut text = "[fleet]\ngeneration = 1\n".to_owned();
        for &server in servers {
            text += &member(server);
        }
        self.0.put(FILE, &text);
    }

    /// Adds a server that does not serve yet, as a new generation.
    pub(crate) fn add(&self, server: u8) {
        self.change(|members| {
            let section: Table = member(server).replace("[fleet.", "[").parse().unwrap();
            let mut member = section["member"][0].as_table().unwrap().clone();
            member.insert("state".to_owned(), "down".into());
            members.push(member.into());
        });
    }

    /// Removes a server, as a new generation.
    pub(crate) fn remove(&self, server: u8) {
        self.change(|members| members.retain(|member| number(member) != i64::from(server)));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Value>)) {
        let mut file: Table = self.0.text(FILE).unwrap().parse().unwrap();
        let fleet = file["fleet"].as_table_mut().unwrap();
        let generation = fleet["generation"].as_integer().unwrap();
        let members = fleet["member"].as_array_mut().unwrap();
        // Whoever took new clients until now may have them for long.
        let active = members.iter().filter(|member| {
            member.get("state").is_none_or(|state| state.as_str() == Some("active"))
        });
        let weights = active.map(|member| (number(member).to_string(), member["weight"].clone()));
        let mut past = Table::new();
        past.insert("weights".to_owned(), Value::Table(weights.collect()));
        past.insert("generation".to_owned(), generation.into());
        change(members);
        fleet.insert("generation".to_owned(), (generation + 1).into());
        let earlier = fleet.entry("past").or_insert_with(|| Vec::<Value>::new().into());
        earlier.as_array_mut().unwrap().insert(0, past.into());
        self.0.put(FILE, &file.to_string());
    }
}

fn number(member: &Value) -> i64 {
    member["server"].as_integer().unwrap()
}

/// The section of a server.
fn member(server: u8) -> String {
    let (v4, v6) = (Subnet(server).v4(1), Subnet(server).v6(1));
    let mut text = String::new();
    writeln!(
        text,
        "[[fleet.member]]\nserver = {server}\naddress = [\"{v4}\", \"{v6}\"]\nweight = 100"
    )
    .unwrap();
    text
}
