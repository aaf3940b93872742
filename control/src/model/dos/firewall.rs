//! The rules of a tenant: as they were written, as they were read, and as the dataplane is told, which knows sets by the
//! ids of their lists.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use firewall::classifier::{Classifier, Sets, Unbuildable};
use firewall::rules::{Ruleset, Values};
use shm::limits::{RULESET_TEXT_PER_ITEM_MAX, RULESET_TEXT_PER_MESSAGE};
use shm::message::Item;

pub use firewall::parse::Wrong;

use crate::model::{Book, Origin, Place};

/// Rules in the syntax of nft. A clone costs nothing.
#[derive(Clone)]
pub struct Firewall {
    text: Arc<str>,
    ruleset: Arc<Ruleset>,
    /// The sets that are named, each with its id as far as the book knows it.
    sets: Arc<[(Arc<str>, u32)]>,
    told: Arc<str>,
    /// Who has written it, and in which line its first line stands.
    pub origin: Origin,
}

impl fmt::Debug for Firewall {
    /// Not the text: that may be megabytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Firewall").field("rules", &self.ruleset.rules.len()).finish_non_exhaustive()
    }
}

impl PartialEq for Firewall {
    /// What was read depends on what was written.
    fn eq(&self, other: &Self) -> bool {
        self.says_the_same(other) && self.told == other.told && self.origin == other.origin
    }
}

impl Eq for Firewall {}

impl Firewall {
    /// Reads rules that the dataplane can compile.
    pub fn read(text: &str, origin: Origin) -> Result<Self, Wrong> {
        let firewall = Self::parse(text, origin)?;
        check(&firewall.ruleset)?;
        Ok(firewall)
    }

    /// Reads rules that were checked before, maybe by a version with wider bounds. What the dataplane refuses of them by
    /// now is left out with its tenant, and the rest is served.
    pub(crate) fn parse(text: &str, origin: Origin) -> Result<Self, Wrong> {
        let ruleset = firewall::parse::parse(text)?;
        let names: BTreeSet<&str> = firewall::walk::sets(&ruleset).collect();
        let sets = names.into_iter().map(|name| (name.into(), 0)).collect();
        let told = Arc::from("");
        Ok(Self { text: text.into(), ruleset: ruleset.into(), sets, told, origin })
    }

    /// The rules as they were written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rules as they were read.
    pub fn ruleset(&self) -> &Arc<Ruleset> {
        &self.ruleset
    }

    /// The names of the sets in it, each once.
    pub fn sets(&self) -> impl Iterator<Item = &Arc<str>> {
        self.sets.iter().map(|(name, _)| name)
    }

    /// Whether it was written the same, whoever wrote it.
    pub fn says_the_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.text, &other.text) || self.text == other.text
    }

    /// Where a line of it stands, from 1.
    pub(in crate::model) fn place_of(&self, line: u32) -> Origin {
        match self.origin {
            Origin::Declared(Place { file, line: first }) => {
                Origin::Declared(Place { file, line: first.saturating_add(line.saturating_sub(1)) })
            }
            made @ (Origin::Cli | Origin::Uapi | Origin::Registration | Origin::Detection) => made,
        }
    }

    /// The line that first names a set, from 1. Notes behind `#` name none.
    fn line_of(&self, set: &str) -> u32 {
        let names = |line: &str| {
            let line = line.split('#').next().unwrap_or_default();
            line.match_indices('@').any(|(at, _)| {
                let behind = line.get(at + 1..).and_then(|rest| rest.strip_prefix(set));
                behind.is_some_and(|rest| !rest.starts_with(is_of_name))
            })
        };
        let at = self.text.lines().position(names).unwrap_or(0);
        u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The first set that it names and a book does not have: the line that names it, from 1, and what is the matter.
    pub(crate) fn missing_set(&self, book: &Book) -> Option<(u32, String)> {
        let is_set = |set: &str| book.rule_named(set).is_some_and(|rule| rule.is_set());
        let set = self.sets().find(|set| !is_set(set))?;
        let what = match book.rule_named(set) {
            Some(other) => format!(
                "{set} is a {} ({}) and no set; name a [[dos.list]] of kind set",
                other.kind(),
                book.place(other.origin)
            ),
            None => {
                format!("there is no set {set}; declare a [[dos.list]] of that name and kind set")
            }
        };
        Some((self.line_of(set), what))
    }

    /// Gives the sets their ids; whether that has changed what the dataplane is told, or the set without one.
    pub(in crate::model) fn resolve(
        &mut self,
        id_of: impl Fn(&str) -> Option<u32>,
    ) -> Result<bool, Arc<str>> {
        let with_id = |(name, _): &(Arc<str>, u32)| {
            id_of(name).map(|id| (Arc::clone(name), id)).ok_or_else(|| Arc::clone(name))
        };
        let sets: Result<Arc<[_]>, _> = self.sets.iter().map(with_id).collect();
        let sets = sets?;
        if sets == self.sets && !self.told.is_empty() {
            return Ok(false);
        }
        self.sets = sets;
        let told = self.printed();
        let is_new = *told != *self.told;
        self.told = told.into();
        Ok(is_new)
    }

    /// The rules in the one way in which they are printed, with ids in place of names.
    fn printed(&self) -> String {
        if self.sets.is_empty() {
            return self.ruleset.to_string();
        }
        let mut ruleset = Ruleset::clone(&self.ruleset);
        let conditions = ruleset.rules.iter_mut().flat_map(|rule| &mut rule.conditions);
        for condition in conditions {
            let Values::Set(name) = &mut condition.values else { continue };
            let known = self.sets.binary_search_by(|(known, _)| (**known).cmp(&**name));
            if let Some((_, id)) = known.ok().and_then(|at| self.sets.get(at)) {
                *name = id.to_string().into();
            }
        }
        ruleset.to_string()
    }

    /// As a tenant's.
    pub(crate) fn of_tenant(&self, tenant: u32) -> Told {
        Told { tenant, text: Arc::clone(&self.told) }
    }

    /// Octets of what the dataplane is told.
    pub(in crate::model) fn told_len(&self) -> usize {
        self.told.len()
    }
}

/// Whether the dataplane can compile the rules, as far as that does not depend on what sets hold.
fn check(ruleset: &Ruleset) -> Result<(), Wrong> {
    let sets = Sets { count: 0, lists: &|_| &[], number: &|_| Some(0) };
    match Classifier::build(ruleset, &sets) {
        // How many rules pass packets on is judged with the book, and told with the line.
        Ok(_) | Err(Unbuildable::TooManyPassing(_)) => Ok(()),
        Err(unbuildable) => {
            let what = format!("{unbuildable}; write fewer or simpler rules");
            Err(Wrong { line: 1, column: 1, what })
        }
    }
}

/// What may stand in the name of a set that rules name.
pub(in crate::model) fn is_of_name(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '_' | '.' | '-' | '/')
}

/// The rules of a tenant as the dataplane is told; an empty text when there are none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The tenant's id.
    pub tenant: u32,
    /// Which.
    pub text: Arc<str>,
}

impl Told {
    /// How many items they take.
    pub(crate) fn items(&self) -> usize {
        1 + self.text.len().div_ceil(RULESET_TEXT_PER_ITEM_MAX)
    }

    /// How many messages.
    pub(crate) fn messages(&self) -> u64 {
        let of_piece = |len: usize| len.div_ceil(RULESET_TEXT_PER_MESSAGE) as u64;
        let (pieces, last) = (
            self.text.len() / RULESET_TEXT_PER_ITEM_MAX,
            self.text.len() % RULESET_TEXT_PER_ITEM_MAX,
        );
        1 + pieces as u64 * of_piece(RULESET_TEXT_PER_ITEM_MAX) + of_piece(last)
    }

    /// The item at a place among them.
    pub(crate) fn item(&self, at: usize) -> Option<Item> {
        let Some(piece) = at.checked_sub(1) else { return Some(Item::Ruleset(self.tenant)) };
        let text = self.text.as_bytes().chunks(RULESET_TEXT_PER_ITEM_MAX).nth(piece)?.into();
        Some(Item::RulesetText { tenant: self.tenant, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firewall(text: &str) -> Firewall {
        Firewall::read(text, Origin::Declared(Place { file: 0, line: 10 })).unwrap()
    }

    #[test]
    fn sets_are_told_by_their_ids_and_printed_again_only_when_these_change() {
        let mut rules = firewall("ip saddr @bad drop\nip6 saddr != @good tcp dport 22 drop\n");
        let sets: Vec<_> = rules.sets().map(|name| &**name).collect();
        assert_eq!(sets, ["bad", "good"]);
        let id_of = |name: &str| Some(if name == "bad" { 7 } else { 12 });
        assert_eq!(rules.resolve(id_of), Ok(true));
        assert!(rules.told.contains("@7 ") && rules.told.contains("@12 "), "{}", rules.told);
        assert_eq!(rules.resolve(id_of), Ok(false));
        assert_eq!(rules.resolve(|_| Some(8)), Ok(true));
        let unknown = rules.resolve(|name| (name == "bad").then_some(1));
        assert_eq!(unknown, Err("good".into()));
    }

    #[test]
    fn a_set_is_found_in_the_line_that_names_it() {
        let rules = firewall(
            "# ip saddr @bad drop\nip saddr @bad-too drop\n\nip saddr @bad drop\nip saddr @bad drop",
        );
        assert_eq!((rules.line_of("bad-too"), rules.line_of("bad")), (2, 4));
        assert_eq!(rules.place_of(4), Origin::Declared(Place { file: 0, line: 13 }));
    }

    #[test]
    fn a_long_text_goes_in_pieces_that_are_together_the_text() {
        let line = "ip saddr 192.0.2.1 tcp dport 22 drop\n";
        let mut rules = firewall(&line.repeat(9000));
        rules.resolve(|_| None).unwrap();
        let told = rules.of_tenant(3);
        let items: Vec<Item> = (0..told.items()).map(|at| told.item(at).unwrap()).collect();
        assert_eq!((items.len(), told.item(told.items())), (7, None));
        let counted: usize = items.iter().map(|item| item.message_count().unwrap()).sum();
        assert_eq!(told.messages(), counted as u64);
        let mut together = Vec::new();
        for item in &items[1..] {
            let Item::RulesetText { tenant: 3, text } = item else { panic!("{item:?}") };
            together.extend_from_slice(text);
        }
        assert_eq!(together, rules.told.as_bytes());
    }
}
