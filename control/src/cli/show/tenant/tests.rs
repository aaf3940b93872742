//! Claims about what people read of tenants.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;

use super::*;
use crate::api::message::{Answer, Counted, RuleOfTenant, TenantShown};
use crate::cli::show::answer;

/// What is printed.
#[derive(Clone, Default)]
struct Printed(Rc<RefCell<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn printed(answers: Vec<Answer>) -> String {
    let out = Printed::default();
    let mut output = Output::into(false, Box::new(out.clone()));
    for one in answers {
        answer(one, &mut output).unwrap();
    }
    output.flush().unwrap();
    let octets = out.0.take();
    String::from_utf8(octets).unwrap()
}

fn tunnel_shown() -> TunnelShown {
    let probe = ProbeText {
        style: "request".into(),
        inside_local: [10, 0, 0, 1].into(),
        inside_remote: [10, 0, 0, 2].into(),
        interval_ms: 1000,
    };
    TunnelShown {
        tunnel: TunnelText {
            name: "fra".into(),
            local: [192, 0, 2, 1].into(),
            remote: [198, 51, 100, 9].into(),
            key: Some(7),
            checksum: true,
            mtu: 0,
            dont_fragment: "honour".into(),
            priority: 1,
            weight: 50,
            probe: Some(probe),
        },
        tenant: "shop".into(),
        state: Some("degraded".into()),
        since: None,
        rtt_us: Some(1250),
        probes_sent: 20,
        probes_answered: 17,
        sent_packets: 3,
        sent_octets: 1536,
        received_packets: 0,
        received_octets: 0,
        origin: "t.toml:9".into(),
    }
}

fn ruleset_shown() -> RulesetShown {
    let rule = |number, text: &str, counted| RuleOfTenant { number, text: text.into(), counted };
    let counted = Counted { packets: 7, octets: 420, dropped: 0 };
    RulesetShown {
        tenant: "shop".into(),
        policy: "drop".into(),
        rules: vec![
            rule(1, "ip saddr @bad drop", None),
            rule(2, "tcp dport 20-21 counter packets 7 bytes 420 accept", Some(counted)),
        ],
        origin: "made with `millrace`".into(),
    }
}

const TRAFFIC: Traffic = Traffic { passed: 7, dropped: 2, octets: 540 };

#[test]
fn lists_are_tables() {
    let quiet = TunnelShown { state: None, rtt_us: None, probes_sent: 0, ..tunnel_shown() };
    let tunnels = [tunnel_shown(), quiet].map(|shown| Answer::Tunnel(Box::new(shown)));
    assert_eq!(
        printed(tunnels.into()),
        "\
TUNNEL  TENANT  LOCAL      REMOTE        STATE     SINCE  RTT       PROBES LOST  SENT         RECEIVED
fra     shop    192.0.2.1  198.51.100.9  degraded  -      1.250 ms  3 of 20      3 (1.5 KiB)  0 (0 B)
fra     shop    192.0.2.1  198.51.100.9  -         -      -         -            3 (1.5 KiB)  0 (0 B)
"
    );
    let listed = TenantListed {
        name: "shop".into(),
        mode: "enforce".into(),
        prefixes: 2,
        tunnels: 3,
        tunnels_up: 1,
        rules: 12,
        traffic: TRAFFIC,
        origin: "t.toml:2".into(),
    };
    assert_eq!(
        printed(vec![Answer::TenantListed(listed)]),
        "\
TENANT  MODE     PREFIXES  TUNNELS UP  RULES  PASSED  DROPPED  OCTETS  ORIGIN
shop    enforce         2  1/3            12       7        2  540 B   t.toml:2
"
    );
}

#[test]
fn one_tenant_is_shown_with_everything() {
    let tenant = TenantShown {
        name: "shop".into(),
        mode: "enforce".into(),
        syn: "cookie-reset".into(),
        syn_above: 500,
        flows: false,
        out_of_state: 1000,
        prefixes: vec!["203.0.113.0/24".parse().unwrap(), "2001:db8:7::/48".parse().unwrap()],
        origin: "t.toml:2".into(),
    };
    let (tunnels, ruleset) = (vec![tunnel_shown()], Some(ruleset_shown()));
    let seen = TenantSeen { tenant, traffic: TRAFFIC, tunnels, ruleset };
    assert_eq!(
        printed(vec![Answer::Tenant(Box::new(seen))]),
        "\
tenant   shop
origin   t.toml:2
mode     enforce
syn      cookie-reset above 500/s
flows    off
packets  7 passed, 2 dropped; 540 B
prefix   203.0.113.0/24
prefix   2001:db8:7::/48
TUNNEL  TENANT  LOCAL      REMOTE        STATE     SINCE  RTT       PROBES LOST  SENT         RECEIVED
fra     shop    192.0.2.1  198.51.100.9  degraded  -      1.250 ms  3 of 20      3 (1.5 KiB)  0 (0 B)
TUNNEL  ORIGIN    SETTINGS
fra     t.toml:9  priority 1, weight 50, key 7, with checksums, mtu of the port, dont-fragment honour, probe request 10.0.0.1 to 10.0.0.2 every 1000 ms
2 rules, then drop (made with `millrace`)
policy drop
ip saddr @bad drop
tcp dport 20-21 counter packets 7 bytes 420 accept
"
    );
}

#[test]
fn a_test_says_what_fails_and_what_decides() {
    let tried = |number, fails: Option<&str>, found: Option<&str>, text: &str| Tried {
        number,
        fails: fails.map(Into::into),
        found: found.map(Into::into),
        text: text.into(),
    };
    let limited = "tcp dport 21 limit rate 5/second burst 5 packets accept";
    let mut shown = TestShown {
        tenant: "shop".into(),
        destination: "203.0.113.100".into(),
        owner: Some(("203.0.113.0/24".into(), "shop".into())),
        in_force: true,
        tried: vec![
            tried(1, Some("ip saddr @bad"), Some("ip saddr 192.0.2.7"), "ip saddr @bad drop"),
            tried(2, None, None, limited),
        ],
        policy: "drop".into(),
        deciding: vec![
            Deciding { rule: Some(2), limit: Some("within".into()), verdict: "accept".into() },
            Deciding { rule: None, limit: None, verdict: "drop".into() },
        ],
    };
    assert_eq!(
        printed(vec![Answer::Tested(shown.clone())]),
        "\
203.0.113.100 is in 203.0.113.0/24 of tenant shop
RULE  ALL HOLDS  DOES NOT HOLD  THE PACKET HAS
   1  no         ip saddr @bad  ip saddr 192.0.2.7
   2  yes        -              -
rule 2 decides within its limit: accept (tcp dport 21 limit rate 5/second burst 5 packets accept)
else the policy decides: drop
"
    );
    shown.owner = None;
    shown.in_force = false;
    shown.tried.clear();
    shown.deciding.remove(0);
    assert_eq!(
        printed(vec![Answer::Tested(shown)]),
        "\
203.0.113.100 is in no tenant's prefixes: the rules of shop are not asked about it
the rules are those of the file, which are not in force
the policy decides: drop
"
    );
}
