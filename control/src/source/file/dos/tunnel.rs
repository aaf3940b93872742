//! The tunnels of a tenant, as its section has them.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use shm::limits::{
    PROBE_INTERVAL_MAX_MS, PROBE_INTERVAL_MIN_MS, TUNNEL_MTU_MAX, TUNNEL_MTU_MIN, TUNNEL_WEIGHT_MAX,
};
use toml::Spanned;

use super::super::section::Part;
use crate::model::dos::{
    DONT_FRAGMENT, PROBE_INTERVAL_MS, PROBE_STYLE, PROBE_STYLES, Probe, ProbeStyle, value,
};
use crate::model::{Refused, Tunnel};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TunnelSection {
    name: Spanned<String>,
    local: IpAddr,
    remote: IpAddr,
    key: Option<Spanned<i64>>,
    checksum: Option<bool>,
    mtu: Option<Spanned<i64>>,
    dont_fragment: Option<Spanned<String>>,
    priority: Option<Spanned<i64>>,
    weight: Option<Spanned<i64>>,
    probe: Option<Spanned<String>>,
    inside_local: Option<IpAddr>,
    inside_remote: Option<IpAddr>,
    interval_ms: Option<Spanned<i64>>,
}

impl Part<'_> {
    pub(super) fn tunnels(
        &self,
        sections: &[Spanned<TunnelSection>],
    ) -> Result<Box<[Tunnel]>, Refused> {
        sections.iter().map(|section| self.tunnel(section)).collect()
    }

    fn tunnel(&self, section: &Spanned<TunnelSection>) -> Result<Tunnel, Refused> {
        let probe = self.probe(section)?;
        let section = section.get_ref();
        let TunnelSection { name, local, remote, .. } = section;
        let mut tunnel = Tunnel {
            probe,
            origin: self.origin(&name.span()),
            ..Tunnel::new(name.get_ref(), *local, *remote)
        };
        tunnel.checksum = section.checksum.unwrap_or(tunnel.checksum);
        let key = section.key.as_ref();
        tunnel.key = key.map(|key| self.narrow(key, "key")).transpose()?;
        if let Some(mtu) = &section.mtu {
            tunnel.mtu = self.between(mtu, "mtu", (TUNNEL_MTU_MIN, TUNNEL_MTU_MAX))?;
        }
        if let Some(word) = &section.dont_fragment {
            tunnel.dont_fragment = self.word(word, "dont_fragment", &DONT_FRAGMENT)?;
        }
        if let Some(priority) = &section.priority {
            tunnel.priority = self.between(priority, "priority", (0, u16::MAX))?;
        }
        if let Some(weight) = &section.weight {
            tunnel.weight = self.between(weight, "weight", (1, TUNNEL_WEIGHT_MAX))?;
        }
        Ok(tunnel)
    }

    /// How it is probed: by requests, where inside addresses are all that is said.
    fn probe(&self, section: &Spanned<TunnelSection>) -> Result<Option<Probe>, Refused> {
        let (span, section) = (section.span(), section.get_ref());
        let TunnelSection { probe, inside_local, inside_remote, interval_ms, .. } = section;
        let style = match probe {
            Some(word) => self.style(word)?,
            None => inside_local.or(*inside_remote).map(|_| PROBE_STYLE),
        };
        let Some(style) = style else {
            return match interval_ms {
                Some(interval) if probe.is_none() => {
                    let what = "interval_ms of no probe; give it inside_local and inside_remote";
                    Err(self.error(&interval.span(), what))
                }
                _ => Ok(None),
            };
        };
        let (Some(local), Some(remote)) = (*inside_local, *inside_remote) else {
            let span = probe.as_ref().map_or(span, Spanned::span);
            let what = "a probe needs inside_local and inside_remote, the addresses of both ends in the tunnel";
            return Err(self.error(&span, what));
        };
        let interval_ms = match interval_ms {
            Some(interval) => self.between(
                interval,
                "interval_ms",
                (PROBE_INTERVAL_MIN_MS, PROBE_INTERVAL_MAX_MS),
            )?,
            None => PROBE_INTERVAL_MS,
        };
        Ok(Some(Probe { style, local, remote, interval: Duration::from_millis(interval_ms) }))
    }

    fn style(&self, word: &Spanned<String>) -> Result<Option<ProbeStyle>, Refused> {
        let text = word.get_ref();
        let style = value(&PROBE_STYLES, text);
        if style.is_none() && text != "off" {
            let what = format!("probe: \"{text}\" is none; take request, reply or off");
            return Err(self.error(&word.span(), &what));
        }
        Ok(style)
    }

    /// A number within bounds.
    fn between<T: TryFrom<i64> + PartialOrd + std::fmt::Display>(
        &self,
        number: &Spanned<i64>,
        field: &str,
        (least, most): (T, T),
    ) -> Result<T, Refused> {
        let fits = T::try_from(*number.get_ref()).ok();
        fits.filter(|number| (&least..=&most).contains(&number)).ok_or_else(|| {
            let what = format!("{field} {} is beyond {least} to {most}", number.get_ref());
            self.error(&number.span(), &what)
        })
    }
}
