//! The commands of tenants, their rules and tunnels.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::api::message::{ProbeText, TunnelText};
use crate::model::Tunnel;
use crate::model::dos::{OUT_OF_STATE, PROBE_INTERVAL_MS, PROBE_STYLE, PROBE_STYLES, word};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TenantCommand {
    /// Shows all tenants.
    List,
    /// Shows one tenant with its prefixes, guards, tunnels and rules.
    Show {
        /// Its name.
        name: String,
    },
    /// Adds a tenant.
    Add(Box<TenantAdd>),
    /// Removes a tenant with its tunnels and rules.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TenantAdd {
    /// A name to call it by.
    pub(in crate::cli) name: String,
    /// Its prefixes.
    #[arg(long = "prefix", value_name = "PREFIX,..", value_delimiter = ',', required = true)]
    pub(in crate::cli) prefixes: Vec<String>,
    /// A tunnel to its router, such as fra,local=192.0.2.1,remote=198.51.100.9. Also: key=N, checksum, mtu=N,
    /// dont-fragment=honour or clear, priority=N (the lowest is used), weight=N; and to probe it inside-local=A,
    /// inside-remote=A, probe=request, reply or off, interval=MILLISECONDS.
    #[arg(long = "tunnel", value_name = "NAME,..", value_parser = tunnel)]
    pub(in crate::cli) tunnels: Vec<TunnelText>,
    /// A file with its rules; - for standard input.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) rules: Option<PathBuf>,
    /// off, monitor (lists, signatures, limits and guards drop nothing; its own rules do) or enforce.
    #[arg(long, default_value = "enforce")]
    pub(in crate::cli) mode: String,
    /// How its connections are guarded against floods of SYN: off, cookie-reset or first-drop.
    #[arg(long, default_value = "off")]
    pub(in crate::cli) syn: String,
    /// SYN per second from which they are.
    #[arg(long, value_name = "RATE", default_value_t = 0)]
    pub(in crate::cli) syn_above: u32,
    /// Tells segments of no flow from others.
    #[arg(long)]
    pub(in crate::cli) flows: bool,
    /// How many of them pass per second.
    #[arg(long, value_name = "RATE", default_value_t = OUT_OF_STATE)]
    pub(in crate::cli) out_of_state: u32,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum RulesCommand {
    /// Shows the rules of a tenant, and what they have counted.
    Show {
        /// The tenant.
        tenant: String,
    },
    /// Gives a tenant other rules; comes back when they are in force.
    Set {
        /// The tenant.
        tenant: String,
        /// The file; - for standard input.
        file: PathBuf,
    },
    /// Says which rule decides about a packet, and why.
    Test {
        /// The tenant.
        tenant: String,
        /// Such as 'ip saddr 198.51.100.1 ip daddr 203.0.113.100 tcp sport 40000 tcp dport 21'.
        packet: String,
        /// A file with rules to ask in place of those in force; - for standard input.
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TunnelCommand {
    /// Shows all tunnels, how they stand, and what they have carried.
    List,
}

/// A tunnel, and what is said of its probe.
struct Said {
    tunnel: TunnelText,
    local: Option<IpAddr>,
    remote: Option<IpAddr>,
    style: Option<String>,
    inside_local: Option<IpAddr>,
    inside_remote: Option<IpAddr>,
    interval_ms: Option<u64>,
}

/// Reads `NAME,local=ADDRESS,remote=ADDRESS,..`.
fn tunnel(text: &str) -> Result<TunnelText, String> {
    let mut words = text.split(',');
    let name = words.next().unwrap_or_default();
    if name.is_empty() || name.contains('=') {
        return Err("begins with the tunnel's name: NAME,local=ADDRESS,remote=ADDRESS".to_owned());
    }
    let mut said = Said::new(name);
    let mut keys = Vec::new();
    for word in words {
        let (key, value) =
            word.split_once('=').map_or((word, None), |(key, value)| (key, Some(value)));
        if keys.contains(&key) {
            return Err(format!("{key} stands there twice; keep one"));
        }
        keys.push(key);
        said.put(key, value)?;
    }
    said.end()
}

impl Said {
    fn new(name: &str) -> Self {
        // Until they are said.
        let nowhere = IpAddr::from([0; 4]);
        Self {
            tunnel: TunnelText::from(&Tunnel::new(name, nowhere, nowhere)),
            local: None,
            remote: None,
            style: None,
            inside_local: None,
            inside_remote: None,
            interval_ms: None,
        }
    }

    fn put(&mut self, key: &str, value: Option<&str>) -> Result<(), String> {
        if key == "checksum" {
            self.tunnel.checksum = true;
            return value.map_or(Ok(()), |_| Err("checksum has no value; leave it out".to_owned()));
        }
        let value = value.ok_or_else(|| format!("{key} needs a value: {key}=.."))?;
        match key {
            "local" => self.local = Some(read(key, value, "an IP address")?),
            "remote" => self.remote = Some(read(key, value, "an IP address")?),
            "key" => self.tunnel.key = Some(read(key, value, "a number of 32 bits")?),
            "mtu" => match read(key, value, "a number of octets")? {
                // To the book 0 is what the port leaves, which files say by nothing.
                0 => return Err("mtu: 0 carries nothing; leave it out".to_owned()),
                mtu => self.tunnel.mtu = mtu,
            },
            "dont-fragment" => value.clone_into(&mut self.tunnel.dont_fragment),
            "priority" => self.tunnel.priority = read(key, value, "a number of 16 bits")?,
            "weight" => self.tunnel.weight = read(key, value, "a number of 16 bits")?,
            "probe" => self.style = Some(value.to_owned()),
            "inside-local" => self.inside_local = Some(read(key, value, "an IP address")?),
            "inside-remote" => self.inside_remote = Some(read(key, value, "an IP address")?),
            "interval" => self.interval_ms = Some(read(key, value, "a number of milliseconds")?),
            _ => {
                return Err(format!(
                    "{key} is none; take local, remote, key, checksum, mtu, dont-fragment, priority, weight, \
                     probe, inside-local, inside-remote or interval"
                ));
            }
        }
        Ok(())
    }

    /// All that was said, if it is enough.
    fn end(self) -> Result<TunnelText, String> {
        let Self { tunnel, local, remote, style, inside_local, inside_remote, interval_ms } = self;
        let local = local.ok_or("needs local=ADDRESS, our end")?;
        let remote = remote.ok_or("needs remote=ADDRESS, the other end")?;
        let is_probed = style.is_some() || interval_ms.is_some();
        let is_off = style.as_deref() == Some("off");
        let probe = match (inside_local, inside_remote) {
            _ if is_off => None,
            (Some(inside_local), Some(inside_remote)) => Some(ProbeText {
                style: style.unwrap_or_else(|| word(&PROBE_STYLES, &PROBE_STYLE).to_owned()),
                inside_local,
                inside_remote,
                interval_ms: interval_ms.unwrap_or(PROBE_INTERVAL_MS),
            }),
            (None, None) if !is_probed => None,
            (None | Some(_), None) | (None, Some(_)) => {
                return Err("a probe needs inside-local and inside-remote, the addresses of both \
                            ends in the tunnel"
                    .to_owned());
            }
        };
        Ok(TunnelText { local, remote, probe, ..tunnel })
    }
}

fn read<T: std::str::FromStr>(key: &str, value: &str, what: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{key}: \"{value}\" is not {what}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::arguments::{Arguments, Command};

    #[test]
    fn a_tunnel_is_read_with_what_files_say_where_it_is_silent() {
        let short = tunnel("fra,local=192.0.2.1,remote=198.51.100.9").unwrap();
        assert_eq!((short.key, short.checksum, short.mtu), (None, false, 0));
        assert_eq!((short.priority, short.weight, short.probe), (0, 1, None));
        assert_eq!(short.dont_fragment, "honour");
        let long = tunnel(
            "ams,local=2001:db8::1,remote=2001:db8::9,key=7,checksum,mtu=1400,dont-fragment=clear,\
             priority=2,weight=50,inside-local=10.0.0.1,inside-remote=10.0.0.2",
        );
        let long = long.unwrap();
        assert_eq!((long.key, long.checksum, long.mtu), (Some(7), true, 1400));
        assert_eq!((long.priority, long.weight, &*long.dont_fragment), (2, 50, "clear"));
        let probe = long.probe.unwrap();
        assert_eq!((&*probe.style, probe.interval_ms), ("request", 1000));
        let probed =
            "x,local=::1,remote=::2,probe=reply,interval=250,inside-local=::3,inside-remote=::4";
        let probe = tunnel(probed).unwrap().probe.unwrap();
        assert_eq!((&*probe.style, probe.interval_ms), ("reply", 250));
        // As in files, whatever else is said of the probe.
        for off in [probed.replace("reply", "off"), "x,local=::1,remote=::2,probe=off".to_owned()] {
            assert_eq!(tunnel(&off).unwrap().probe, None, "{off}");
        }
    }

    #[test]
    fn a_tunnel_that_cannot_be_read_is_refused_with_a_sentence() {
        let ends = "fra,local=192.0.2.1,remote=198.51.100.9";
        for (text, said) in [
            ("", "begins with the tunnel's name"),
            ("local=192.0.2.1", "begins with the tunnel's name"),
            ("fra,remote=198.51.100.9", "needs local=ADDRESS"),
            ("fra,local=192.0.2.1", "needs remote=ADDRESS"),
            ("fra,local=192.0.2", "local: \"192.0.2\" is not an IP address"),
            (&format!("{ends},key=-1"), "key: \"-1\" is not a number of 32 bits"),
            (&format!("{ends},mtu=70000"), "mtu: \"70000\" is not a number of octets"),
            (&format!("{ends},mtu=0"), "mtu: 0 carries nothing; leave it out"),
            (&format!("{ends},mtu"), "mtu needs a value"),
            (&format!("{ends},checksum=yes"), "checksum has no value"),
            (&format!("{ends},key=1,key=2"), "key stands there twice"),
            (&format!("{ends},ttl=3"), "ttl is none; take local, remote"),
            (&format!("{ends},probe=reply"), "a probe needs inside-local and inside-remote"),
            (&format!("{ends},inside-local=::1"), "a probe needs inside-local and inside-remote"),
            (&format!("{ends},interval=10"), "a probe needs inside-local and inside-remote"),
        ] {
            let refused = tunnel(text).unwrap_err();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }

    #[test]
    fn a_tenant_is_added_with_several_prefixes_and_tunnels() {
        let line = "millrace tenant add shop --prefix 203.0.113.0/25,2001:db8:7::/48 --prefix 198.51.100.0/24 \
                    --tunnel a,local=192.0.2.1,remote=192.0.2.9 --tunnel b,local=192.0.2.1,remote=192.0.2.8 \
                    --syn first-drop --flows --rules -";
        let read = Arguments::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Tenant(TenantCommand::Add(add)) = read.command else { panic!("{read:?}") };
        assert_eq!((add.prefixes.len(), add.tunnels.len()), (3, 2));
        assert_eq!((&*add.mode, &*add.syn, add.syn_above), ("enforce", "first-drop", 0));
        assert_eq!((add.flows, add.out_of_state), (true, 1000));
        assert_eq!(add.rules, Some("-".into()));
        let without = Arguments::try_parse_from(["millrace", "tenant", "add", "shop"]);
        assert!(without.unwrap_err().to_string().contains("--prefix"));
    }
}
