//! The `[traffic]` section: what the clients send, to whom, how long and how fast.

use std::net::IpAddr;

use super::Error;
use super::check::Source;
use super::file::{Clients, Sizes as SizesFile, Traffic as TrafficFile};
use crate::client::{Family, Kind, Target, Traffic};
use crate::size::Sizes;

impl Source<'_> {
    pub(super) fn traffic(
        &self,
        traffic: &TrafficFile,
        clients: &Clients,
    ) -> Result<Traffic, Error> {
        Ok(Traffic {
            kind: traffic.kind,
            target: self.target(traffic)?,
            family: traffic.family,
            sizes: self.sizes(traffic, clients)?,
            rate: self.rate(&traffic.rate)?,
            pattern: self.pattern(&traffic.pattern, &traffic.rate)?,
        })
    }

    fn target(&self, traffic: &TrafficFile) -> Result<Target, Error> {
        let (text, span) = (traffic.to.get_ref(), traffic.to.span());
        if text == "clients" {
            return Ok(Target::Clients);
        }
        let host: IpAddr = text.parse().map_err(|_| {
            let what =
                format!("traffic.to = \"{text}\" is neither an inner address nor \"clients\"");
            self.error(&span, what)
        })?;
        if host.is_ipv4() != (traffic.family == Family::V4) {
            let what = format!("traffic.to = {host} is not of traffic.family");
            return Err(self.error(&span, what));
        }
        if traffic.kind == Kind::OneWay {
            let what = "traffic.kind = \"one-way\" is measured where it arrives, so traffic.to has to be \"clients\"; use \"echo\" towards a host";
            return Err(self.error(&span, what));
        }
        Ok(Target::Host(host))
    }

    fn sizes(&self, traffic: &TrafficFile, clients: &Clients) -> Result<Sizes, Error> {
        let span = traffic.sizes.span();
        let sizes = match traffic.sizes.get_ref() {
            SizesFile::One(len) => Sizes::list(&[*len]),
            SizesFile::List(list) => Sizes::list(list),
            SizesFile::Named(name) if name == "imix" => Some(Sizes::imix()),
            SizesFile::Named(_) => None,
        };
        let sizes = sizes.ok_or_else(|| {
            self.error(&span, "traffic.sizes is neither a length, nor a list of them, nor \"imix\"")
        })?;
        let min = Traffic::inner_len_min(traffic.family);
        let max = usize::from(*clients.mtu.get_ref());
        if sizes.min() < min || sizes.max() > max {
            let what = format!(
                "traffic.sizes has lengths outside {min} (headers and trailer) to {max} (clients.mtu)"
            );
            return Err(self.error(&span, what));
        }
        Ok(sizes)
    }
}
