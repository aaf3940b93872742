//! The generator's swarm before the fleet: clients that send ids and change their ports at random, each of which echoes
//! what another one sends.

use rustix::process::Signal;
use serde_json::Value;

use super::router::{ANYCAST_V4, ANYCAST_V6, Subnet};
use super::site::Site;
use crate::lab::generator::{command, end, number, report, told};
use crate::lab::keys::Keys;
use crate::lab::namespace::Namespace;
use crate::lab::process::Process;
use crate::lab::until;

const SUBNET: Subnet = Subnet(100);
pub(crate) const CLIENTS: u64 = 60;
pub(crate) const RATE: u64 = 400;

/// The swarm of one profile.
pub(crate) struct Swarm {
    profile: String,
}

impl Swarm {
    pub(crate) fn new(server: &Keys) -> Self {
        let [v4, v6] = SUBNET.gateways();
        let profile = format!(
            "seed = 8\n[device]\nname = \"net_af_packet0,iface=eth0,framecnt=4096\"\nsleep = true\n\
             [server]\npublic_key = \"{}\"\nendpoints = [\"{ANYCAST_V4}\", \"{ANYCAST_V6}\"]\n\
             gateways = [\"{v4}\", \"{v6}\"]\n\
             [clients]\ncount = {CLIENTS}\naddresses = [\"{}+40\", \"{}+40\"]\n\
             inner = [\"10.8.0.1\", \"fd00:8::1\"]\nconnects_per_sec = 100\nclient_id = 70000\n\
             [roam]\nkind = \"port\"\nmean_secs = 3\n[reconnect]\nmean_secs = 4\n\
             [traffic]\nkind = \"echo\"\nto = \"clients\"\nsizes = [100, 600, 1400]\nrate = \"{RATE}pps\"\n\
             [run]\nconnect_secs = 60\ndrain_secs = 2\nsecs = 600\nloss_allowed = 0.0\n",
            server.public_text(),
            SUBNET.v4(10),
            SUBNET.v6(10),
        );
        Self { profile }
    }

    /// Its clients as sections for control.
    pub(crate) fn peers(&self) -> String {
        let anywhere = Namespace::new();
        let (code, text) = told(&mut command(&anywhere, &self.profile, &["peers"]));
        assert_eq!(code, Some(0), "{text}");
        text
    }

    /// Where it stands.
    pub(crate) fn place(site: &Site) -> Namespace {
        site.generators_place(SUBNET)
    }

    /// Begins a run.
    pub(crate) fn start(&self, place: &Namespace) -> Run {
        Run(Process::start("pktgen", command(place, &self.profile, &["client", "--json"])))
    }
}

/// A run under way.
pub(crate) struct Run(Process);

impl Run {
    /// Waits until its traffic flows.
    pub(crate) fn flows(&self) {
        until("the swarm's traffic flows", 60, || self.0.mentions("\"interval\"") > 1);
    }

    /// Ends it: its exit code and its report.
    pub(crate) fn end(self) -> (Option<i32>, Value) {
        self.0.signal(Signal::INT);
        let (code, text) = end(self.0, 60);
        let report = report(&text);
        println!(
            "swarm: {} of {} packets missing, {} sessions of {CLIENTS} clients who began {} more, {} moves",
            number(&report, "/sums/missing"),
            number(&report, "/sums/sent"),
            number(&report, "/tally/sessions"),
            number(&report, "/tally/reconnects"),
            number(&report, "/tally/moves"),
        );
        (code, report)
    }
}
