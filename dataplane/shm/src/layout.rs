//! The shape of what lies in shared memory as one number, computed at compile time: two builds whose messages
//! differ in any name, place or size refuse each other instead of misreading.

/// What an empty shape hashes to (FNV-1a, 64 bits).
pub(crate) const EMPTY: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// Adds octets to a hash.
pub(crate) const fn octets(mut hash: u64, mut octets: &[u8]) -> u64 {
    while let [first, rest @ ..] = octets {
        hash = (hash ^ *first as u64).wrapping_mul(PRIME);
        octets = rest;
    }
    hash
}

/// Adds a number to a hash.
pub(crate) const fn number(hash: u64, number: u64) -> u64 {
    octets(hash, &number.to_le_bytes())
}

/// Adds a field to a hash.
pub(crate) const fn field(hash: u64, name: &str, offset: usize, size: usize) -> u64 {
    number(number(octets(hash, name.as_bytes()), offset as u64), size as u64)
}

/// Declares wire types: `repr(C)`, any octets are a value, no octet is padding, and `SHAPE` hashes them.
macro_rules! wire {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$note:meta])* $field:ident: $type:ty,)+ })+) => {$(
        $(#[$doc])*
        #[derive(
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable,
        )]
        #[repr(C)]
        pub(crate) struct $name {
            $($(#[$note])* pub(crate) $field: $type,)+
        }

        impl $name {
            pub(crate) const SHAPE: u64 = {
                let hash = $crate::layout::octets($crate::layout::EMPTY, stringify!($name).as_bytes());
                $(let hash = $crate::layout::field(
                    hash,
                    stringify!($field),
                    core::mem::offset_of!(Self, $field),
                    size_of::<$type>(),
                );)+
                hash
            };
        }
    )+};
}
pub(crate) use wire;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_depends_on_every_name_place_and_size() {
        let base = field(field(EMPTY, "a", 0, 4), "b", 4, 4);
        assert_ne!(base, field(field(EMPTY, "a", 0, 4), "c", 4, 4));
        assert_ne!(base, field(field(EMPTY, "b", 0, 4), "a", 4, 4));
        assert_ne!(base, field(field(EMPTY, "a", 0, 4), "b", 4, 2));
        assert_ne!(base, field(field(EMPTY, "a", 0, 4), "b", 6, 4));
    }

    #[test]
    fn hashes_as_fnv_1a_does() {
        assert_eq!(octets(EMPTY, b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
