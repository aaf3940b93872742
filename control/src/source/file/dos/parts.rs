//! Words and numbers of the filter's sections.

use std::ops::Range;

use toml::Spanned;

use super::super::section::Part;
use crate::model::Refused;
use crate::model::dos::{Matter, Mode, Reach, Rule, value, words};

impl Part<'_> {
    /// A rule with nothing but its matter.
    pub(super) fn rule(&self, name: &str, span: &Range<usize>, matter: Matter) -> Rule {
        Rule {
            name: name.into(),
            id: 0,
            mode: Mode::Enforce,
            reach: Reach::All,
            expires: None,
            matter,
            origin: self.origin(span),
        }
    }

    /// One of few words.
    pub(super) fn word<T: Copy>(
        &self,
        text: &Spanned<String>,
        field: &str,
        among: &[(&str, T)],
    ) -> Result<T, Refused> {
        value(among, text.get_ref()).ok_or_else(|| {
            let what = format!("{field}: \"{}\" is none; take {}", text.get_ref(), words(among));
            self.error(&text.span(), &what)
        })
    }

    /// How many there are of something; at least one.
    pub(super) fn count(&self, number: &Spanned<i64>, field: &str) -> Result<u64, Refused> {
        let count = u64::try_from(*number.get_ref()).ok().filter(|count| *count > 0);
        count.ok_or_else(|| {
            let what = format!("{field} is {}, and 1 is the least", number.get_ref());
            self.error(&number.span(), &what)
        })
    }

    /// A number of 32 bits.
    pub(super) fn narrow(&self, number: &Spanned<i64>, field: &str) -> Result<u32, Refused> {
        u32::try_from(*number.get_ref()).map_err(|_| {
            let what = format!("{field} {} is beyond 0 to {}", number.get_ref(), u32::MAX);
            self.error(&number.span(), &what)
        })
    }
}
