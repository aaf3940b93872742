//! Explicit congestion notification through tunnels (RFC 6040). The DSCP of either header is never touched.

/// The low two bits of the IPv4 TOS octet or the IPv6 traffic class (RFC 3168 5).
pub const MASK: u8 = 0b11;

/// The ECN field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// The transport does not understand ECN.
    NotEct,
    /// ECN-capable, ECT(1).
    Ect1,
    /// ECN-capable, ECT(0).
    Ect0,
    /// Congestion was met.
    Ce,
}

/// The inner packet must be dropped: congestion was met, and its transport would not learn it otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Congested;

impl Ecn {
    /// The field of a TOS octet or traffic class.
    #[inline]
    pub fn of(tos: u8) -> Self {
        match tos & MASK {
            0b00 => Self::NotEct,
            0b01 => Self::Ect1,
            0b10 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The two bits.
    #[inline]
    pub fn bits(self) -> u8 {
        match self {
            Self::NotEct => 0b00,
            Self::Ect1 => 0b01,
            Self::Ect0 => 0b10,
            Self::Ce => 0b11,
        }
    }

    /// `tos` with this field in place of its own.
    #[inline]
    pub fn within(self, tos: u8) -> u8 {
        tos & !MASK | self.bits()
    }
}

/// The outer header's octet in normal mode: its own DSCP, the inner packet's ECN (RFC 6040 4.1).
#[inline]
pub fn encap(outer_tos: u8, inner_tos: u8) -> u8 {
    Ecn::of(inner_tos).within(outer_tos)
}

/// The inner header's octet after the outer header is taken off (RFC 6040 4.2, figure 4).
#[inline]
pub fn decap(outer_tos: u8, inner_tos: u8) -> Result<u8, Congested> {
    let merged = match (Ecn::of(outer_tos), Ecn::of(inner_tos)) {
        (Ecn::Ce, Ecn::NotEct) => return Err(Congested),
        (_, Ecn::NotEct) => Ecn::NotEct,
        (Ecn::Ce, _) | (_, Ecn::Ce) => Ecn::Ce,
        (Ecn::Ect1, _) => Ecn::Ect1,
        (_, inner) => inner,
    };
    Ok(merged.within(inner_tos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ecn::{Ce, Ect0, Ect1, NotEct};

    /// Figure 4 of RFC 6040; `None` is a drop. Columns are the outer field.
    const FIGURE_4: [(Ecn, [Option<Ecn>; 4]); 4] = [
        (NotEct, [Some(NotEct), Some(NotEct), Some(NotEct), None]),
        (Ect0, [Some(Ect0), Some(Ect0), Some(Ect1), Some(Ce)]),
        (Ect1, [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)]),
        (Ce, [Some(Ce), Some(Ce), Some(Ce), Some(Ce)]),
    ];

    #[test]
    fn decap_obeys_figure_4_of_rfc_6040() {
        for (inner, row) in FIGURE_4 {
            for (outer, want) in [NotEct, Ect0, Ect1, Ce].into_iter().zip(row) {
                let got = decap(outer.bits(), inner.bits()).ok().map(Ecn::of);
                assert_eq!(got, want, "inner {inner:?} outer {outer:?}");
            }
        }
    }

    #[test]
    fn neither_way_touches_the_dscp() {
        for outer in 0..=255_u8 {
            for inner in 0..=255_u8 {
                assert_eq!(encap(outer, inner) & !MASK, outer & !MASK);
                assert_eq!(encap(outer, inner) & MASK, inner & MASK);
                if let Ok(merged) = decap(outer, inner) {
                    assert_eq!(merged & !MASK, inner & !MASK);
                }
            }
        }
    }

    #[test]
    fn an_undisturbed_tunnel_changes_nothing() {
        for inner in 0..=255_u8 {
            assert_eq!(decap(encap(0xb8, inner), inner), Ok(inner));
        }
    }
}
