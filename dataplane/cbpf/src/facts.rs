//! What is known of a packet that has come so far through a program: fields of it, and the few values that each
//! can have.

use crate::op::{Test, Width};
use crate::program::{len, load};

/// Values that are told apart of one field. A field that can have more is not known.
pub(crate) const VALUES_MAX: usize = 16;

/// Fields that are remembered of one way. More do not make it rarer by much.
const FACTS_MAX: usize = 32;

/// A number that a packet holds: `(octets & mask) >> shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Field {
    pub(crate) place: Place,
    pub(crate) mask: u32,
    pub(crate) shift: u8,
}

/// Where the octets of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// So many octets behind the packet's beginning.
    Start { width: Width, offset: u32 },
    /// So many octets behind an IPv4 header, which is as long as its first octet says.
    Behind { width: Width, offset: u32 },
    /// The packet's length.
    Len,
}

impl Field {
    /// All of what stands there.
    pub(crate) const fn whole(place: Place) -> Self {
        let mask = match place {
            Place::Start { width, .. } | Place::Behind { width, .. } => match width {
                Width::Byte => 0xff,
                Width::Half => 0xffff,
                Width::Word => u32::MAX,
            },
            Place::Len => u32::MAX,
        };
        Self { place, mask, shift: 0 }
    }

    /// `self & k`, or None if that is always zero.
    pub(crate) const fn and(self, k: u32) -> Option<Self> {
        let mask = self.mask & (k << self.shift);
        if mask == 0 { None } else { Some(Self { mask, ..self }) }
    }

    /// `self >> count`, or None if that is always zero.
    pub(crate) fn shift_right(self, count: u32) -> Option<Self> {
        let shift = u32::from(self.shift).checked_add(count)?;
        let mask = self.mask & u32::MAX.checked_shl(shift)?;
        (mask != 0).then_some(Self { mask, shift: u8::try_from(shift).ok()?, ..self })
    }

    /// The bits that can be set in the field's value.
    pub(crate) const fn bits(self) -> u32 {
        self.mask >> self.shift
    }

    /// The field of a packet that has it.
    #[inline]
    pub(crate) fn read(self, packet: &[u8]) -> Option<u32> {
        let octets = match self.place {
            Place::Start { width, offset } => load(packet, width, offset)?,
            Place::Behind { width, offset } => {
                let header_len = 4 * u32::from(packet.first()? & 15);
                load(packet, width, header_len.checked_add(offset)?)?
            }
            Place::Len => len(packet),
        };
        Some((octets & self.mask) >> self.shift)
    }
}

/// What all packets have in common that reach an instruction by some ways: each field has one of its values. No
/// field at all means that nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Clause {
    /// In the order of fields; values in ascending order, at least one, at most [`VALUES_MAX`].
    facts: Vec<(Field, Vec<u32>)>,
}

impl Clause {
    pub(crate) fn facts(&self) -> &[(Field, Vec<u32>)] {
        &self.facts
    }

    pub(crate) fn values(&self, field: Field) -> Option<&[u32]> {
        let place = self.facts.binary_search_by_key(&field, |(known, _)| *known).ok()?;
        self.facts.get(place).map(|(_, values)| values.as_slice())
    }

    fn set(&mut self, field: Field, values: Vec<u32>) {
        match self.facts.binary_search_by_key(&field, |(known, _)| *known) {
            Ok(place) => {
                if let Some(fact) = self.facts.get_mut(place) {
                    fact.1 = values;
                }
            }
            Err(place) if self.facts.len() < FACTS_MAX => self.facts.insert(place, (field, values)),
            Err(_) => {}
        }
    }

    /// What is known after a test of the field had this outcome, or None if it cannot have had it.
    pub(crate) fn narrowed(
        mut self,
        field: Field,
        test: Test,
        k: u32,
        holds: bool,
    ) -> Option<Self> {
        if let Some(values) = self.values(field) {
            let left: Vec<u32> =
                values.iter().copied().filter(|value| test.holds(*value, k) == holds).collect();
            if left.is_empty() {
                return None;
            }
            self.set(field, left);
            return Some(self);
        }
        match (test, holds) {
            (Test::Equal, true) if k & !field.bits() != 0 => return None,
            (Test::Equal, true) => self.set(field, vec![k]),
            (Test::AnyBit, _) => match field.and(k) {
                None if holds => return None,
                Some(part) if !holds => return self.narrowed_to(part, 0),
                Some(part) if part.bits().is_power_of_two() => {
                    return self.narrowed_to(part, part.bits());
                }
                None | Some(_) => {}
            },
            (Test::Equal, false) | (Test::Greater | Test::GreaterOrEqual, _) => {}
        }
        Some(self)
    }

    /// As `narrowed`, for one value of a part of a field.
    fn narrowed_to(mut self, field: Field, value: u32) -> Option<Self> {
        match self.values(field) {
            Some(values) if !values.contains(&value) => return None,
            _ => self.set(field, vec![value]),
        }
        Some(self)
    }

    /// Takes another clause in if the result holds for the packets of both and for no others: one implies the other, or
    /// they differ in the values of one field only.
    pub(crate) fn absorb(&mut self, other: &Self) -> bool {
        if self.is_implied_by(other) {
            return true;
        }
        if other.is_implied_by(self) {
            self.clone_from(other);
            return true;
        }
        let alike = |(one, another): (&(Field, _), &(Field, _))| one.0 == another.0;
        if self.facts.len() != other.facts.len() || !self.facts.iter().zip(&other.facts).all(alike)
        {
            return false;
        }
        let pairs = self.facts.iter_mut().zip(&other.facts);
        let mut different = pairs.filter(|(mine, theirs)| mine.1 != theirs.1);
        let (Some((mine, theirs)), None) = (different.next(), different.next()) else {
            return false;
        };
        let both = union(&mine.1, &theirs.1);
        let fits = both.len() <= VALUES_MAX;
        if fits {
            mine.1 = both;
        }
        fits
    }

    /// Whether each packet that the other describes is described by this one too.
    fn is_implied_by(&self, other: &Self) -> bool {
        self.facts.iter().all(|(field, values)| {
            let theirs = other.values(*field);
            theirs.is_some_and(|theirs| theirs.iter().all(|value| values.contains(value)))
        })
    }

    /// Forgets until the clause holds for the other's packets too.
    pub(crate) fn widen(&mut self, other: &Self) {
        self.facts.retain_mut(|(field, values)| {
            let Some(theirs) = other.values(*field) else { return false };
            *values = union(values, theirs);
            values.len() <= VALUES_MAX
        });
    }
}

fn union(one: &[u32], another: &[u32]) -> Vec<u32> {
    let mut both = [one, another].concat();
    both.sort_unstable();
    both.dedup();
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOCOL: Field = Field::whole(Place::Start { width: Width::Byte, offset: 9 });
    const PORT: Field = Field::whole(Place::Behind { width: Width::Half, offset: 2 });

    fn clause(protocol: u32, port: u32) -> Clause {
        let known = Clause::default().narrowed(PROTOCOL, Test::Equal, protocol, true).unwrap();
        known.narrowed(PORT, Test::Equal, port, true).unwrap()
    }

    #[test]
    fn what_cannot_be_is_told() {
        let known = clause(17, 53);
        assert_eq!(known.clone().narrowed(PROTOCOL, Test::Equal, 6, true), None);
        assert_eq!(known.clone().narrowed(PROTOCOL, Test::Equal, 17, false), None);
        assert_eq!(known.clone().narrowed(PORT, Test::Greater, 53, true), None);
        assert_eq!(Clause::default().narrowed(PROTOCOL, Test::Equal, 0x100, true), None);
        assert_eq!(known.clone().narrowed(PORT, Test::AnyBit, 1, true), Some(known));
    }

    #[test]
    fn a_single_bit_is_a_field_of_its_own() {
        let syn = Clause::default().narrowed(PORT, Test::AnyBit, 2, true).unwrap();
        assert_eq!(syn.values(PORT.and(2).unwrap()), Some(&[2][..]));
        assert_eq!(syn.narrowed(PORT, Test::AnyBit, 2, false), None);
        let either = Clause::default().narrowed(PORT, Test::AnyBit, 3, true).unwrap();
        assert_eq!(either, Clause::default());
    }

    #[test]
    fn absorbs_only_what_leaves_no_other_packets_in() {
        let mut one = clause(6, 53);
        assert!(one.absorb(&clause(17, 53)));
        assert_eq!(one.values(PROTOCOL), Some(&[6, 17][..]));
        assert!(!one.absorb(&clause(1, 54)));
        assert!(one.absorb(&clause(6, 53)));
        assert!(one.absorb(&Clause::default()));
        assert_eq!(one, Clause::default());
    }

    #[test]
    fn widening_keeps_what_both_know() {
        let mut one = clause(6, 53);
        one.widen(&clause(6, 54));
        assert_eq!(one.values(PROTOCOL), Some(&[6][..]));
        assert_eq!(one.values(PORT), Some(&[53, 54][..]));
        one.widen(&Clause::default().narrowed(PORT, Test::Equal, 1, true).unwrap());
        assert_eq!(one.values(PROTOCOL), None);
    }

    #[test]
    fn reads_behind_headers_of_any_length() {
        let mut packet = [0; 64];
        packet[0] = 0x46;
        packet[26..28].copy_from_slice(&53u16.to_be_bytes());
        assert_eq!(PORT.read(&packet), Some(53));
        assert_eq!(PORT.shift_right(4).unwrap().read(&packet), Some(3));
        assert_eq!(PORT.read(&packet[..27]), None);
        assert_eq!(Field::whole(Place::Len).read(&packet), Some(64));
    }
}
