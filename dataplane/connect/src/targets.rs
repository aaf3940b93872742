//! Which targets an exit may not connect to: what is ours, what is nobody's on the Internet, ports that invite abuse.

use core::net::IpAddr;
use core::ops::RangeInclusive;

/// What is not allowed besides what is never: an answer of 403.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    forbidden: Box<[(IpAddr, u8)]>,
    ports: Box<[RangeInclusive<u16>]>,
    allows_private: bool,
}

/// Why a target is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forbidden {
    /// Never anybody's on the Internet (RFC 6890): loopback, link-local, multicast, this network.
    Special,
    /// Of a private network (RFC 1918, RFC 4193, RFC 6598).
    Private,
    /// In a prefix that was told, such as our own addresses.
    Prefix,
    /// A port that was told, such as that of mail.
    Port,
}

impl Targets {
    /// Forbids prefixes and ports; private networks unless they are allowed, as a test's origins are.
    pub fn new(
        prefixes: &[(IpAddr, u8)],
        ports: &[RangeInclusive<u16>],
        allows_private: bool,
    ) -> Self {
        Self { forbidden: prefixes.into(), ports: ports.into(), allows_private }
    }

    /// Whether an exit may connect there. An address of IPv4 in one of IPv6 is judged as what it is.
    pub fn judge(&self, address: IpAddr, port: u16) -> Result<(), Forbidden> {
        if port == 0 {
            return Err(Forbidden::Special);
        }
        self.judge_address(address)?;
        if self.ports.iter().any(|ports| ports.contains(&port)) {
            return Err(Forbidden::Port);
        }
        Ok(())
    }

    /// The same of what has no port.
    pub fn judge_address(&self, address: IpAddr) -> Result<(), Forbidden> {
        let address = address.to_canonical();
        if is_special(address) {
            return Err(Forbidden::Special);
        }
        if !self.allows_private && is_private(address) {
            return Err(Forbidden::Private);
        }
        if self.forbidden.iter().any(|prefix| holds(*prefix, address)) {
            return Err(Forbidden::Prefix);
        }
        Ok(())
    }
}

fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            first == 0
                || first >= 240
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
        }
        IpAddr::V6(address) => {
            // Translation prefixes and 6to4 hide an address of IPv4 (RFC 6052, RFC 3056, RFC 4380).
            let [first, second, ..] = address.segments();
            let hides = matches!((first, second), (0x0064, 0xff9b) | (0x2002, _) | (0x2001, 0));
            hides
                || address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || first == 0
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || first == 100 && (64..128).contains(&second)
        }
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

fn holds((prefix, len): (IpAddr, u8), address: IpAddr) -> bool {
    match (prefix, address) {
        (IpAddr::V4(prefix), IpAddr::V4(address)) => {
            let free = 32_u32.saturating_sub(len.into());
            let differs = u64::from(prefix.to_bits() ^ address.to_bits());
            differs >> free == 0
        }
        (IpAddr::V6(prefix), IpAddr::V6(address)) => {
            let differs = prefix.to_bits() ^ address.to_bits();
            len == 0 || differs >> 128_u32.saturating_sub(len.into()) == 0
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
