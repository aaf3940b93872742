//! The `[clients]` and `[roam]` sections: who the clients are, where, and how they move.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range as Span;
use std::time::Duration;

use toml::Spanned;

use super::Error;
use super::check::Source;
use super::file::{Clients, Families as FamiliesFile, File, Roam as RoamFile, Times};
use crate::client::{CLIENTS_MAX, ClientIds, Families, INNER_LEN_MAX, Roam, RoamKind, RoamTime};
use crate::link::Range;

/// From the call over IPv6 to that over IPv4, milliseconds (RFC 8305 5).
const RACE_DELAY_MS: u32 = 250;
/// A handshake that nobody answers is repeated after five seconds.
const RACE_DELAY_MAX_MS: u32 = 4999;

impl Source<'_> {
    /// Rows of outer addresses: `192.0.2.10+40` is the first and how many.
    pub(super) fn outer(&self, file: &File) -> Result<Vec<Range>, Error> {
        if file.clients.is_absent() {
            return self.device_rows(file);
        }
        let texts = &file.clients.addresses;
        let rows = texts.get_ref().iter().map(|text| {
            let (first, count) = text.split_once('+').unwrap_or((text, "1"));
            let range = first.trim().parse().ok().zip(count.trim().parse().ok());
            range.filter(|(_, count)| *count > 0).map_or_else(
                || {
                    let what = format!("clients.addresses: \"{text}\" is no row such as 192.0.2.10+40 (the first, how many)");
                    Err(self.error(&texts.span(), what))
                },
                |(first, count)| Ok(Range { first, count }),
            )
        });
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let families = rows.iter().filter(|row| row.first.is_ipv4()).count();
        if file.clients.is_absent() {
            return Ok(rows);
        }
        if rows.is_empty() || families > 1 || rows.len() - families > 1 {
            let what = "clients.addresses has to name one row, or one of each family";
            return Err(self.error(&texts.span(), what));
        }
        Ok(rows)
    }

    pub(super) fn count(
        &self,
        clients: &Clients,
        outer: &[Range],
        has_traffic: bool,
    ) -> Result<u32, Error> {
        let (count, span) = (*clients.count.get_ref(), clients.count.span());
        if count > CLIENTS_MAX || (count == 0 && has_traffic) {
            let what = format!(
                "clients.count = {count} is outside 1 to {CLIENTS_MAX}; 0 is good only without traffic"
            );
            return Err(self.error(&span, what));
        }
        let ports = u64::from(u16::MAX - *clients.first_port.get_ref()) + 1;
        let races = clients.families.as_ref().is_some_and(|f| *f.get_ref() == FamiliesFile::Race);
        let rows = if races { 1 } else { outer.len().max(1) as u64 };
        let share = u64::from(count).div_ceil(rows);
        // One port more on each address, so that everybody can move.
        match outer.iter().find(|row| share > u64::from(row.count) * (ports - 1)) {
            Some(row) => {
                let what = format!(
                    "clients.count = {count} does not fit on {} addresses from {} with the ports from clients.first_port on; give clients.addresses more",
                    row.count, row.first
                );
                Err(self.error(&span, what))
            }
            None => Ok(count),
        }
    }

    #[expect(clippy::unused_self, reason = "beside its sisters")]
    pub(super) fn inner_v4(&self, clients: &Clients) -> Ipv4Addr {
        let found = clients.inner.get_ref().iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        });
        found.unwrap_or(Ipv4Addr::new(10, 7, 1, 1))
    }

    #[expect(clippy::unused_self, reason = "beside its sisters")]
    pub(super) fn inner_v6(&self, clients: &Clients) -> Ipv6Addr {
        let found = clients.inner.get_ref().iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        });
        found.unwrap_or(Ipv6Addr::new(0xfd07, 0, 0, 1, 0, 0, 0, 1))
    }

    pub(super) fn client_ids(&self, clients: &Clients) -> Result<ClientIds, Error> {
        let Some(first) = &clients.client_id else { return Ok(ClientIds::Omitted) };
        let last = first.get_ref().checked_add(*clients.count.get_ref());
        if last.is_none_or(|last| last > 1 << 24) {
            let what = "clients.client_id plus clients.count exceeds the 24 bits of a client id; begin lower";
            return Err(self.error(&first.span(), what));
        }
        Ok(ClientIds::From(*first.get_ref()))
    }

    pub(super) fn mtu(&self, clients: &Clients) -> Result<u16, Error> {
        let mtu = *clients.mtu.get_ref();
        if (576..=INNER_LEN_MAX).contains(&usize::from(mtu)) {
            return Ok(mtu);
        }
        let what = format!("clients.mtu = {mtu} is outside 576 to {INNER_LEN_MAX}");
        Err(self.error(&clients.mtu.span(), what))
    }

    pub(super) fn roam(&self, roam: &Spanned<RoamFile>, file: &File) -> Result<Roam, Error> {
        let (span, roam) = (roam.span(), roam.get_ref());
        let rows = self.outer(file)?;
        if roam.kind == RoamKind::Address && rows.iter().any(|row| row.count < 2) {
            let what =
                "roam.kind = \"address\" needs rows of two addresses or more in clients.addresses";
            return Err(self.error(&span, what));
        }
        let time = self.schedule(&span, roam.times(), "roam")?;
        Ok(Roam { kind: roam.kind, time })
    }

    pub(super) fn reconnect(&self, times: &Spanned<Times>) -> Result<RoamTime, Error> {
        self.schedule(&times.span(), *times.get_ref(), "reconnect")
    }

    /// When something happens to all clients: at random, or in waves.
    fn schedule(&self, span: &Span<usize>, times: Times, name: &str) -> Result<RoamTime, Error> {
        let secs = |secs: f64, field: &str| self.secs(span, secs, &format!("{name}.{field}"));
        let time = match (times.mean_secs, times.spread_secs) {
            (Some(mean), None) if mean > 0.0 => RoamTime::Random(secs(mean, "mean_secs")?),
            (None, Some(spread)) if spread > 0.0 => RoamTime::Waves {
                after: secs(times.after_secs, "after_secs")?,
                spread: secs(spread, "spread_secs")?,
                every: secs(times.every_secs, "every_secs")?,
            },
            _ => {
                let what = format!(
                    "{name} needs either mean_secs (at random) or spread_secs (in waves), above 0"
                );
                return Err(self.error(span, what));
            }
        };
        match time {
            RoamTime::Waves { spread, every, .. } if !every.is_zero() && every <= spread => {
                let what =
                    format!("{name}.every_secs has to be more than spread_secs, or 0 for one wave");
                Err(self.error(span, what))
            }
            RoamTime::Waves { .. } | RoamTime::Random(_) => Ok(time),
        }
    }

    /// Over which family the clients call.
    pub(super) fn families(&self, clients: &Clients, outer: &[Range]) -> Result<Families, Error> {
        let choice = clients.families.as_ref();
        let races = choice.is_some_and(|choice| *choice.get_ref() == FamiliesFile::Race);
        match (&clients.race_delay_ms, choice) {
            (Some(delay), _) if !races => {
                let what = "clients.race_delay_ms needs clients.families = \"race\"";
                Err(self.error(&delay.span(), what))
            }
            (_, Some(choice)) if races && outer.len() < 2 => {
                let what = "clients.families = \"race\" needs a row of each family in clients.addresses, and both server.endpoints";
                Err(self.error(&choice.span(), what))
            }
            (Some(delay), _) if *delay.get_ref() > RACE_DELAY_MAX_MS => {
                let what = format!(
                    "clients.race_delay_ms = {} is outside 0 to {RACE_DELAY_MAX_MS}: after that a handshake is repeated",
                    delay.get_ref()
                );
                Err(self.error(&delay.span(), what))
            }
            (delay, _) if races => {
                let delay = delay.as_ref().map_or(RACE_DELAY_MS, |delay| *delay.get_ref());
                Ok(Families::Race(Duration::from_millis(delay.into())))
            }
            _ => Ok(Families::Alternate),
        }
    }
}
