//! The ways by which a client's connections leave elsewhere, and what must be left of them in the end.

use crate::lab::dataplane::{Counters, Dataplane};
use crate::lab::process::Process;
use crate::lab::until;
use crate::site::{INTERNET, POP, POP_NAT, POP_PORT, SERVER, Site, connect};

/// Who connects for the client, and how it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Debian's tinyproxy.
    Tinyproxy,
    /// Debian's squid.
    Squid,
    /// Another data centre, with the request in the SYN.
    Borne,
    /// Another data centre, as any proxy is asked.
    Plain,
    /// The same, asked by the server's own kernel, which terminates connections.
    Terminated,
}

/// A way that is open.
pub(crate) struct Through {
    pub(crate) server: Dataplane,
    pop: Option<Dataplane>,
    /// Who else is needed.
    beside: Option<Process>,
}

impl Through {
    pub(crate) fn start(site: &Site, way: Way) -> Self {
        let name = match way {
            Way::Tinyproxy => "tinyproxy",
            Way::Squid => "squid",
            Way::Borne | Way::Plain => {
                let pop = Some(site.serve_pop());
                let server = site.serve_via_pop(way == Way::Borne);
                return Self { server, pop, beside: None };
            }
            Way::Terminated => {
                let pop = Some(Site::serve_pop_at((&site.pop, POP, POP_NAT), &connect(SERVER)));
                let at = format!("{POP}:{POP_PORT}");
                let prefix = format!("{INTERNET}/32");
                let (server, service) = site.serve_terminating(&[&prefix], (&at, ""));
                return Self { server, pop, beside: Some(service) };
            }
        };
        let (proxy, port) = site.proxy(name);
        Self { server: site.serve_via(port), pop: None, beside: Some(proxy) }
    }

    /// Ends it after so many connections: none was refused or is being opened still, and no packet or flow is there for
    /// which nobody answers. (What is closed rests for four minutes, RFC 5382 REQ-5.) Gives what each dataplane has counted.
    pub(crate) fn end(self, opened: u64) -> Vec<Counters> {
        let dataplanes = [Some(self.server), self.pop].into_iter().flatten();
        let counts = dataplanes.map(|dataplane| {
            let counters = end(dataplane);
            let count = |name: &str| counters.get(name).copied().unwrap_or(0);
            let connects = (count("connects_opened"), count("connects_failed"));
            assert_eq!(connects, (opened, 0), "{counters:?}");
            assert!(count("flows") <= opened + count("flows_opened"), "{counters:?}");
            counters
        });
        let counts = counts.collect();
        drop(self.beside);
        counts
    }
}

/// Ends a dataplane when nothing is being opened any more, and wants every buffer back.
pub(crate) fn end(dataplane: Dataplane) -> Counters {
    settle(&dataplane);
    let counters = dataplane.stop();
    assert_eq!(counters["buffers_missing"], 0, "{counters:?}");
    counters
}

/// Waits until no connection is being opened any more.
pub(crate) fn settle(dataplane: &Dataplane) {
    until("nothing is being opened", 30, || dataplane.counter("connects_opening") == 0);
}
