//! The rules of a tenant, in its section or in a file of their own.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;

use super::super::section::{Part, Reading};
use crate::model::dos::Wrong;
use crate::model::{Cause, Firewall, Origin, Place, Refused};

impl Reading {
    pub(super) fn firewall(
        &mut self,
        part: &Part<'_>,
        rules: Option<&Spanned<String>>,
        file: Option<&Spanned<PathBuf>>,
    ) -> Result<Option<Firewall>, Refused> {
        match (rules, file) {
            (None, None) => Ok(None),
            (Some(rules), None) => part.firewall(rules).map(Some),
            (None, Some(file)) => self.firewall_of_file(part, file).map(Some),
            (Some(_), Some(file)) => {
                let what = "rules_file beside rules: keep one of the two";
                Err(part.error(&file.span(), what))
            }
        }
    }

    fn firewall_of_file(
        &mut self,
        part: &Part<'_>,
        file: &Spanned<PathBuf>,
    ) -> Result<Firewall, Refused> {
        let path = part.beside(file.get_ref());
        let text = super::super::text_of(&path)
            .map_err(|refused| part.error(&file.span(), &format!("rules {refused}")))?;
        let place = Place { file: self.number(&path)?, line: 1 };
        Firewall::read(&text, Origin::Declared(place)).map_err(|Wrong { line, column, what }| {
            Refused::new(Cause::Invalid, what).at(format!("{}:{line}:{column}", path.display()))
        })
    }
}

impl Part<'_> {
    /// Rules that stand in the section itself.
    fn firewall(&self, rules: &Spanned<String>) -> Result<Firewall, Refused> {
        let (span, text) = (rules.span(), rules.get_ref());
        let begin = self.begin_of(&span);
        let origin = self.origin(&(begin..begin));
        Firewall::read(text, origin).map_err(|Wrong { line, column, what }| {
            let (first, before) = (self.line(&(begin..begin)), self.before(begin));
            let line = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
            let column = usize::try_from(column).unwrap_or(usize::MAX);
            let column = if line == 0 { column.saturating_add(before) } else { column };
            let place = format!("{}:{}:{column}", self.path.display(), first.saturating_add(line));
            Refused::new(Cause::Invalid, format!("rules: {what}")).at(place)
        })
    }

    /// Where a string begins behind its quotes: a line end right behind three of them is no part of it.
    fn begin_of(&self, span: &Range<usize>) -> usize {
        let literal = self.text.get(span.clone()).unwrap_or_default();
        let Some(inside) = literal.strip_prefix("\"\"\"").or_else(|| literal.strip_prefix("'''"))
        else {
            return span.start + 1;
        };
        let ends = ["\r\n", "\n"].into_iter().find(|end| inside.starts_with(end));
        span.start + 3 + ends.map_or(0, str::len)
    }

    /// How many characters stand before a place in its line.
    fn before(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or_default();
        before.rsplit('\n').next().unwrap_or_default().chars().count()
    }
}
