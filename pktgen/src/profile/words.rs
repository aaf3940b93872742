//! What several sections write alike: rows of addresses, lengths, control bits of TCP.

use toml::Spanned;
use wire::tcp::Flags;

use super::Error;
use super::check::Source;
use super::file::Sizes as SizesFile;
use crate::link::Range;
use crate::packet::CONTROL_BITS;
use crate::size::Sizes;

impl Source<'_> {
    /// Rows of addresses: `198.51.100.10+16` is the first and how many.
    pub(super) fn rows(
        &self,
        texts: &Spanned<Vec<String>>,
        name: &str,
    ) -> Result<Vec<Range>, Error> {
        let row = |text: &String| {
            Range::parse(text).filter(Range::is_unicast).ok_or_else(|| {
                let what = format!(
                    "{name}: \"{text}\" is no row such as 192.0.2.10+40 (the first, how many), of addresses that hosts can have"
                );
                self.error(&texts.span(), what)
            })
        };
        texts.get_ref().iter().map(row).collect()
    }

    /// A length, a list of lengths, or `"imix"`.
    pub(super) fn lengths(&self, sizes: &Spanned<SizesFile>, name: &str) -> Result<Sizes, Error> {
        let found = match sizes.get_ref() {
            SizesFile::One(len) => Sizes::list(&[*len]),
            SizesFile::List(list) => Sizes::list(list),
            SizesFile::Named(name) if name == "imix" => Some(Sizes::imix()),
            SizesFile::Named(_) => None,
        };
        found.ok_or_else(|| {
            let what = format!("{name} is neither a length, nor a list of them, nor \"imix\"");
            self.error(&sizes.span(), what)
        })
    }

    /// Names of control bits: `"syn"`, `"psh,ack"`.
    pub(super) fn control_bits(
        &self,
        text: Option<&Spanned<String>>,
        name: &str,
    ) -> Result<Option<Flags>, Error> {
        let Some(text) = text else { return Ok(None) };
        let mut flags = 0;
        for part in text.get_ref().split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((flag, _)) = CONTROL_BITS.iter().find(|(_, known)| *known == part) else {
                let what = format!("{name}: \"{part}\" is none; write them like \"syn,ack\"");
                return Err(self.error(&text.span(), what));
            };
            flags |= flag.0;
        }
        Ok(Some(Flags(flags)))
    }
}
