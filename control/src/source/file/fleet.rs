//! The section of the fleet: its members and its past generations, with the line of everything that is wrong.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use toml::{Spanned, Value};

use super::section::Part;
use crate::model::fleet::{self, Member, MemberState, Past};
use crate::model::{Fleet, Refused};

/// The weight of a member that has none.
const WEIGHT: u16 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FleetSection {
    generation: Spanned<i64>,
    #[serde(default)]
    member: Vec<MemberSection>,
    #[serde(default)]
    past: Vec<PastSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberSection {
    server: Spanned<i64>,
    address: Option<Spanned<Value>>,
    weight: Option<Spanned<i64>>,
    state: Option<Spanned<String>>,
    deadline: Option<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PastSection {
    generation: Spanned<i64>,
    weights: Spanned<BTreeMap<String, i64>>,
}

/// Where other members reach one.
type Addresses = (Option<Ipv4Addr>, Option<Ipv6Addr>);

impl Part<'_> {
    /// The fleet of a section, by its own rules as it should be.
    pub(super) fn fleet(&self, section: &FleetSection) -> Result<Fleet, Refused> {
        let span = section.generation.span();
        let generation = self.number(&section.generation, "generation")?;
        // In the order of their numbers, so that what is wrong is found again at its line.
        let mut members = Vec::new();
        for section in &section.member {
            members.push((self.member(section)?, section.server.span()));
        }
        members.sort_by_key(|(member, _)| member.server);
        let (members, lines): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let past: Result<Vec<Past>, Refused> =
            section.past.iter().map(|section| self.past(section)).collect();
        let fleet = Fleet::new(generation, members, past?, self.origin(&span));
        fleet.check().map_err(|(part, what)| {
            let of_past = |at: usize| section.past.get(at).map(|past| past.generation.span());
            let at = match part {
                fleet::Part::Whole => None,
                fleet::Part::Member(at) => lines.get(at).cloned(),
                fleet::Part::Past(at) => of_past(at),
            };
            self.error(&at.unwrap_or(span), &what)
        })?;
        Ok(fleet)
    }

    fn member(&self, section: &MemberSection) -> Result<Member, Refused> {
        let (v4, v6) = self.addresses(section)?;
        Ok(Member {
            server: self.number(&section.server, "server")?,
            weight: match &section.weight {
                Some(weight) => self.number(weight, "weight")?,
                None => WEIGHT,
            },
            state: self.state(section)?,
            v4,
            v6,
        })
    }

    fn state(&self, section: &MemberSection) -> Result<MemberState, Refused> {
        let deadline =
            section.deadline.as_ref().map(|text| self.time(text, "deadline")).transpose()?;
        let state = match section.state.as_ref().map_or("active", |state| state.get_ref()) {
            "draining" => return Ok(MemberState::Draining { deadline }),
            "active" => MemberState::Active,
            "down" => MemberState::Down,
            other => {
                let what = format!("\"{other}\" is no state; take active, draining or down");
                let span = section.state.as_ref().map_or(0..0, Spanned::span);
                return Err(self.error(&span, &what));
            }
        };
        match &section.deadline {
            None => Ok(state),
            Some(text) => {
                let what = "deadline: only a draining member has one; leave it out";
                Err(self.error(&text.span(), what))
            }
        }
    }

    /// A time, since the Unix epoch.
    pub(super) fn time(&self, text: &Spanned<Value>, field: &str) -> Result<Duration, Refused> {
        let value = text.get_ref();
        let written = value.as_datetime().map(ToString::to_string);
        let written = written.or_else(|| value.as_str().map(str::to_owned));
        let time = written.and_then(|text| text.parse::<Timestamp>().ok());
        let seconds = time.and_then(|time| u64::try_from(time.as_second()).ok());
        seconds.map(Duration::from_secs).ok_or_else(|| {
            let what =
                format!("{field} is no time with its zone; write it as 2027-01-31T06:00:00Z");
            self.error(&text.span(), &what)
        })
    }

    /// One address, or a list of one of each family.
    fn addresses(&self, section: &MemberSection) -> Result<Addresses, Refused> {
        let Some(value) = &section.address else { return Ok((None, None)) };
        let wrong = |what: &str| self.error(&value.span(), what);
        let texts = match value.get_ref().as_array() {
            Some(list) => list.iter().map(Value::as_str).collect(),
            None => vec![value.get_ref().as_str()],
        };
        let (mut v4, mut v6) = (None, None);
        for text in texts {
            let address = text.and_then(|text| text.parse().ok());
            let had = match address {
                Some(IpAddr::V4(address)) => v4.replace(address).is_some(),
                Some(IpAddr::V6(address)) => v6.replace(address).is_some(),
                None => {
                    let what = "address is an IP address as text, or a list of one v4 and one v6";
                    return Err(wrong(what));
                }
            };
            if had {
                return Err(wrong("address: two of one family; keep one of them"));
            }
        }
        Ok((v4, v6))
    }

    fn past(&self, section: &PastSection) -> Result<Past, Refused> {
        let span = section.weights.span();
        let mut weights = Vec::new();
        for (server, weight) in section.weights.get_ref() {
            let number: i64 = server.parse().map_err(|_| {
                let what = format!("weights: \"{server}\" is no number of a server");
                self.error(&span, &what)
            })?;
            let server = self.within(number, &span, "server")?;
            weights.push((server, self.within(*weight, &span, "weight")?));
        }
        Ok(Past { generation: self.number(&section.generation, "generation")?, weights })
    }

    pub(super) fn number<N: Bounded>(
        &self,
        number: &Spanned<i64>,
        field: &str,
    ) -> Result<N, Refused> {
        self.within(*number.get_ref(), &number.span(), field)
    }

    fn within<N: Bounded>(
        &self,
        number: i64,
        span: &Range<usize>,
        field: &str,
    ) -> Result<N, Refused> {
        N::try_from(number).map_err(|_| {
            let what = format!("{field} {number} is beyond 0 to {}", N::LARGEST);
            self.error(span, &what)
        })
    }
}

/// A number that a field holds.
pub(super) trait Bounded: TryFrom<i64> {
    const LARGEST: i64;
}

impl Bounded for u8 {
    const LARGEST: i64 = 255;
}

impl Bounded for u16 {
    const LARGEST: i64 = 65_535;
}

impl Bounded for u32 {
    const LARGEST: i64 = 4_294_967_295;
}

#[cfg(test)]
mod tests {
    use crate::model::fleet::MemberState;
    use crate::source::file::tests::read;

    const FLEET: &str = "[fleet]\ngeneration = 12\n\n[[fleet.member]]\nserver = 2\n\
        address = [\"192.0.2.2\", \"2001:db8::2\"]\nweight = 50\nstate = \"draining\"\n\
        deadline = 2027-01-31T07:00:00+01:00\n\n[[fleet.member]]\nserver = 1\n\
        address = \"192.0.2.1\"\n\n[[fleet.member]]\nserver = 3\naddress = \"2001:db8::3\"\n\
        state = \"down\"\n\n[[fleet.past]]\ngeneration = 11\nweights = { 1 = 100, \"2\" = 50 }\n";

    #[test]
    fn a_fleet_is_read_with_its_members_in_order() {
        let fleet = read(&[("fleet.toml", FLEET)]).unwrap().fleet.unwrap();
        assert_eq!(fleet.generation, 12);
        let told: Vec<(u8, u16)> =
            fleet.members.iter().map(|member| (member.server, member.weight)).collect();
        assert_eq!(told, [(1, 100), (2, 50), (3, 100)]);
        let [first, second, third] = &fleet.members[..] else { panic!() };
        assert_eq!((first.state, first.v6), (MemberState::Active, None));
        let MemberState::Draining { deadline: Some(deadline) } = second.state else { panic!() };
        assert_eq!(deadline.as_secs(), 1_801_375_200);
        assert!(second.v4.is_some() && second.v6.is_some());
        assert_eq!((third.state, third.v4), (MemberState::Down, None));
        assert_eq!(
            (fleet.past[0].generation, &*fleet.past[0].weights),
            (11, &[(1, 100), (2, 50)][..])
        );
        let text = FLEET.replace("2027-01-31T07:00:00+01:00", "\"2027-01-31T06:00:00Z\"");
        assert_eq!(read(&[("fleet.toml", &text)]).unwrap().fleet.unwrap(), fleet);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (from, to, said) in [
            ("generation = 12", "generation = 70000", "2: generation 70000 is beyond 0 to 65535"),
            ("generation = 12", "generation = 0", "2: generation is 1 to 65535"),
            ("server = 1", "server = 256", "12: server 256 is beyond 0 to 255"),
            ("server = 1", "server = 2", "12: two members have the number 2"),
            ("weight = 50", "weight = -1", "7: weight -1 is beyond"),
            ("\"192.0.2.1\"", "\"192.0.2.2\"", "5: 192.0.2.2 is the address of two members"),
            ("\"192.0.2.1\"", "7", "13: address is an IP address as text"),
            ("\"2001:db8::2\"]", "\"192.0.2.7\"]", "6: address: two of one family"),
            ("address = \"192.0.2.1\"", "", "12: member 1 has no address"),
            ("\"draining\"", "\"idle\"", "8: \"idle\" is no state"),
            ("\"draining\"", "\"active\"", "9: deadline: only a draining member"),
            ("07:00:00+01:00", "07:00:00", "9: deadline is no time with its zone"),
            ("generation = 11", "generation = 12", "21: past generation 12 is not older than 12"),
            ("{ 1 =", "{ a =", "22: weights: \"a\" is no number"),
            ("{ 1 =", "{ 999 =", "22: server 999 is beyond"),
            ("state = \"down\"", "colour = \"red\"", "18: unknown field `colour`"),
            ("server = 1\n", "", "12: missing field `server`"),
        ] {
            let text = FLEET.replace(from, to);
            assert_ne!(text, FLEET);
            let refused = read(&[("fleet.toml", &text)]).unwrap_err();
            // A field that is not there is told at the head of its section.
            let line = said.replace("12: missing", "11: missing");
            assert!(refused.starts_with(&format!("fleet.toml:{line}")), "{to}: {refused}");
        }
    }

    #[test]
    fn there_is_one_fleet_and_it_is_no_list() {
        let refused = read(&[("a.toml", FLEET), ("b.toml", FLEET)]).unwrap_err();
        assert!(
            refused.starts_with("b.toml:2: a second [fleet]; the first is in a.toml:2"),
            "{refused}"
        );
        let refused = read(&[("a.toml", &FLEET.replace("[fleet]", "[[fleet]]"))]).unwrap_err();
        assert!(refused.starts_with("a.toml:"), "{refused}");
    }

    #[test]
    fn a_fleet_as_large_as_can_be_is_read_whole_between_many_peers() {
        use std::fmt::Write as _;

        use shm::limits::PAST_MAX;

        let mut text = String::from("[fleet]\ngeneration = 500\n");
        for server in 0..256 {
            write!(text, "[[fleet.member]]\nserver = {server}\naddress = \"10.0.0.{server}\"\n")
                .unwrap();
        }
        let weights: Vec<String> = (0..256).map(|server| format!("{server} = 1")).collect();
        for generation in (400..464).rev() {
            let weights = weights.join(", ");
            write!(text, "[[fleet.past]]\ngeneration = {generation}\nweights = {{ {weights} }}\n")
                .unwrap();
        }
        let route =
            |at: u32| format!("[[route]]\nprefix = \"10.1.{at}.0/24\"\nnext_hop = \"local\"\n");
        let routes: String = (0..200).map(route).collect();
        let declared = read(&[("a.toml", &format!("{routes}{text}{routes}"))]).unwrap();
        let fleet = declared.fleet.unwrap();
        assert_eq!(
            (fleet.members.len(), fleet.past.len(), declared.routes.len()),
            (256, PAST_MAX, 400)
        );
    }
}
