//! How tenants stand in the file, with their tunnels and their rules, which are read again as they were written.

use std::time::Duration;

use ipnet::IpNet;

use super::rules::{at_place, place_of};
use super::{Reading, VERSION, write_address, write_net, write_origin, write_text};
use crate::model::dos::{DONT_FRAGMENT, MODES, PROBE_STYLES, Probe, SYN_GUARDS};
use crate::model::{Firewall, Tenant, Tunnel};

/// Since tenants have tunnels and rules. Those of before have prefixes up to their end.
const TENANT_VERSION: u8 = VERSION + 1;

pub(in super::super) fn write_tenant(tenant: &Tenant, to: &mut Vec<u8>) {
    to.clear();
    to.push(TENANT_VERSION);
    write_origin(tenant.origin, to);
    write_text(&tenant.name, to);
    to.extend([place_of(&MODES, &tenant.mode), place_of(&SYN_GUARDS, &tenant.syn)]);
    to.extend(tenant.syn_above.to_le_bytes());
    to.push(u8::from(tenant.flows));
    to.extend(tenant.out_of_state.to_le_bytes());
    write_count(tenant.prefixes.len(), to);
    for prefix in &tenant.prefixes {
        write_net(prefix, to);
    }
    write_count(tenant.tunnels.len(), to);
    for tunnel in &tenant.tunnels {
        write_tunnel(tunnel, to);
    }
    match &tenant.firewall {
        Some(firewall) => {
            to.push(1);
            write_origin(firewall.origin, to);
            write_count(firewall.text().len(), to);
            to.extend(firewall.text().bytes());
        }
        None => to.push(0),
    }
}

pub(in super::super) fn read_tenant(id: u32, octets: &[u8]) -> Option<Tenant> {
    let mut from = Reading(octets);
    let version = from.octet()?;
    let mut tenant = Tenant {
        origin: from.origin()?,
        name: from.text()?.into(),
        id,
        mode: at_place(&MODES, from.octet()?)?,
        syn: at_place(&SYN_GUARDS, from.octet()?)?,
        syn_above: u32::from_le_bytes(from.take()?),
        flows: from.octet()? == 1,
        out_of_state: u32::from_le_bytes(from.take()?),
        prefixes: Box::default(),
        tunnels: Box::default(),
        firewall: None,
    };
    match version {
        VERSION => {
            let mut prefixes: Vec<IpNet> = Vec::new();
            while !from.0.is_empty() {
                prefixes.push(from.net()?);
            }
            tenant.prefixes = prefixes.into();
        }
        TENANT_VERSION => {
            tenant.prefixes =
                (0..read_count(&mut from)?).map(|_| from.net()).collect::<Option<_>>()?;
            let tunnels = 0..read_count(&mut from)?;
            tenant.tunnels = tunnels.map(|_| read_tunnel(&mut from)).collect::<Option<_>>()?;
            if from.octet()? == 1 {
                tenant.firewall = Some(read_firewall(&mut from)?);
            }
        }
        _ => return None,
    }
    from.0.is_empty().then_some(tenant)
}

fn write_tunnel(tunnel: &Tunnel, to: &mut Vec<u8>) {
    to.extend(tunnel.id.to_le_bytes());
    write_origin(tunnel.origin, to);
    write_text(&tunnel.name, to);
    write_address(tunnel.local, to);
    write_address(tunnel.remote, to);
    to.extend([u8::from(tunnel.key.is_some()), u8::from(tunnel.checksum)]);
    to.extend(tunnel.key.unwrap_or_default().to_le_bytes());
    to.extend(tunnel.mtu.to_le_bytes());
    to.push(place_of(&DONT_FRAGMENT, &tunnel.dont_fragment));
    to.extend(tunnel.priority.to_le_bytes());
    to.extend(tunnel.weight.to_le_bytes());
    match &tunnel.probe {
        Some(Probe { style, local, remote, interval }) => {
            to.extend([1, place_of(&PROBE_STYLES, style)]);
            write_address(*local, to);
            write_address(*remote, to);
            let ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
            to.extend(ms.to_le_bytes());
        }
        None => to.push(0),
    }
}

fn read_tunnel(from: &mut Reading<'_>) -> Option<Tunnel> {
    let id = u32::from_le_bytes(from.take()?);
    let origin = from.origin()?;
    let name = from.text()?;
    let ends = Tunnel::new(name, from.address()?, from.address()?);
    let [has_key, checksum] = from.take()?;
    let key = u32::from_le_bytes(from.take()?);
    Some(Tunnel {
        id,
        key: (has_key == 1).then_some(key),
        checksum: checksum == 1,
        mtu: u16::from_le_bytes(from.take()?),
        dont_fragment: at_place(&DONT_FRAGMENT, from.octet()?)?,
        priority: u16::from_le_bytes(from.take()?),
        weight: u16::from_le_bytes(from.take()?),
        probe: if from.octet()? == 1 { Some(read_probe(from)?) } else { None },
        origin,
        ..ends
    })
}

fn read_probe(from: &mut Reading<'_>) -> Option<Probe> {
    Some(Probe {
        style: at_place(&PROBE_STYLES, from.octet()?)?,
        local: from.address()?,
        remote: from.address()?,
        interval: Duration::from_millis(u64::from_le_bytes(from.take()?)),
    })
}

/// What was read once reads again, and is not checked again.
fn read_firewall(from: &mut Reading<'_>) -> Option<Firewall> {
    let origin = from.origin()?;
    let len = usize::try_from(read_count(from)?).ok()?;
    let (text, rest) = from.0.split_at_checked(len)?;
    from.0 = rest;
    Firewall::parse(std::str::from_utf8(text).ok()?, origin).ok()
}

fn write_count(count: usize, to: &mut Vec<u8>) {
    to.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn read_count(from: &mut Reading<'_>) -> Option<u32> {
    from.take().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::model::dos::{DontFragment, Mode, ProbeStyle, SynGuard};
    use crate::model::{Origin, Place};

    fn address(text: &str) -> std::net::IpAddr {
        text.parse().unwrap()
    }

    fn tenant() -> Tenant {
        let origin = Origin::Declared(Place { file: 2, line: 70_000 });
        let probe = Probe {
            style: ProbeStyle::Reply,
            local: address("10.255.0.1"),
            remote: address("10.255.0.2"),
            interval: Duration::from_millis(250),
        };
        let full = Tunnel {
            id: 77,
            key: Some(9),
            checksum: true,
            mtu: 1476,
            dont_fragment: DontFragment::Clear,
            priority: 300,
            weight: 256,
            probe: Some(probe),
            origin,
            ..Tunnel::new("customer-1", address("192.0.2.1"), address("198.51.100.7"))
        };
        let bare = Tunnel::new("customer-2", address("2001:db8::1"), address("2001:db8::7"));
        Tenant {
            name: "customer".into(),
            id: 9,
            mode: Mode::Enforce,
            syn: SynGuard::FirstDrop,
            syn_above: 5,
            flows: true,
            out_of_state: 1 << 31,
            prefixes: ["192.0.2.0/24", "2001:db8::/32"].map(|net| net.parse().unwrap()).into(),
            tunnels: [full, bare].into(),
            firewall: Some(Firewall::read("tcp dport 20-21 accept\n", origin).unwrap()),
            origin: Origin::Cli,
        }
    }

    #[test]
    fn tenants_come_back_with_tunnels_and_rules_and_no_shorter_ones() {
        let bare = Tenant { tunnels: Box::default(), firewall: None, ..tenant() };
        for tenant in [tenant(), bare] {
            let mut octets = Vec::new();
            write_tenant(&tenant, &mut octets);
            assert_eq!(read_tenant(9, &octets).as_ref(), Some(&tenant));
            for len in 0..octets.len() {
                assert_eq!(read_tenant(9, &octets[..len]), None, "{len}");
            }
            octets[0] += 1;
            assert_eq!(read_tenant(9, &octets), None);
        }
    }

    #[test]
    fn rules_that_this_version_would_not_take_come_back_all_the_same() {
        // They tell more values apart than are taken: in each part of the addresses they begin in another order.
        let mut text = String::new();
        for rule in 0..10_000_u32 {
            let range = |part: u32| {
                let first = ((part << 20) + rule * (part * 2 + 3) % 10_007) << 8;
                format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(first + (1 << 17)))
            };
            let ranges = [0, 1, 2, 3, 4, 5, 6, 7].map(range).join(", ");
            writeln!(text, "ip saddr {{ {ranges} }} accept").unwrap();
        }
        let firewall = Firewall::parse(&text, Origin::Cli).unwrap();
        assert!(Firewall::read(&text, Origin::Cli).is_err());
        let kept = Tenant { firewall: Some(firewall), ..tenant() };
        let mut octets = Vec::new();
        write_tenant(&kept, &mut octets);
        assert_eq!(read_tenant(9, &octets), Some(kept));
    }

    #[test]
    fn a_tenant_of_before_comes_back_without_tunnels_and_rules() {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let numbers = [5, 0, 0, 0, 1, 0, 0, 0, 128];
        let octets =
            [&[1, 1][..], &text("customer"), &[2, 2], &numbers, &[4, 192, 0, 2, 0, 24]].concat();
        let read = read_tenant(9, &octets).unwrap();
        let known = tenant();
        let prefixes = known.prefixes.first().copied().into_iter().collect();
        let before = Tenant { prefixes, tunnels: Box::default(), firewall: None, ..known };
        assert_eq!(read, before);
    }
}
