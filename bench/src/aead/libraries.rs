//! Those in C, as far as their headers were there when the bench was built.
#![cfg_attr(
    any(ipsec_mb, openssl),
    expect(unsafe_code, reason = "calls of C functions, declared as peers/*.c define them")
)]

use super::contestants::Contestant;

/// All that were built.
pub(super) fn all(keys: &[[u8; 32]]) -> Vec<Box<dyn Contestant>> {
    let mut found: Vec<Box<dyn Contestant>> = Vec::new();
    #[cfg(ipsec_mb)]
    for way in ipsec_mb::Way::ALL {
        found.extend(ipsec_mb::IpsecMb::new(keys, way).map(|one| Box::new(one) as Box<_>));
    }
    #[cfg(openssl)]
    found.extend(openssl::OpenSsl::new(keys).map(|one| Box::new(one) as Box<_>));
    let _: usize = keys.len() + found.len();
    found
}

#[cfg(any(ipsec_mb, openssl))]
mod packets {
    use super::super::POOL;
    use super::super::frames::Packet;
    use arrayvec::ArrayVec;

    /// `struct packet` of peers/peer.h.
    #[repr(C)]
    pub(super) struct Given {
        key: *const u8,
        counter: u64,
        text: *mut u8,
        len: u64,
    }

    /// The packets as C takes them; they are used before the next turn, while keys and frames stay.
    pub(super) fn given(packets: &mut [Packet], keys: &[[u8; 32]]) -> ArrayVec<Given, POOL> {
        let given = |packet: &mut Packet| {
            let (counter, len) = (packet.counter, packet.len as u64);
            let key = keys.get(packet.key)?.as_ptr();
            Some(Given { key, counter, text: packet.octets.as_mut_ptr(), len })
        };
        packets.iter_mut().filter_map(given).take(POOL).collect()
    }
}

#[cfg(ipsec_mb)]
mod ipsec_mb {
    use core::ffi::{c_int, c_uint, c_void};

    use super::super::contestants::{Contestant, Outcome, timed};
    use super::super::frames::Packet;
    use super::packets::{Given, given};

    unsafe extern "C" {
        fn peer_ipsec_mb_new(avx2: c_int) -> *mut c_void;
        fn peer_ipsec_mb_free(manager: *mut c_void);
        fn peer_ipsec_mb(
            manager: *mut c_void,
            way: c_int,
            packets: *const Given,
            count: c_uint,
            seal: c_int,
        ) -> c_uint;
    }

    /// How the library is called, and with which instructions.
    #[derive(Clone, Copy)]
    pub(super) struct Way(c_int, bool);

    impl Way {
        pub(super) const ALL: [Self; 4] =
            [Self(0, false), Self(1, false), Self(2, false), Self(1, true)];
    }

    pub(super) struct IpsecMb {
        keys: Vec<[u8; 32]>,
        manager: *mut c_void,
        way: Way,
    }

    impl IpsecMb {
        pub(super) fn new(keys: &[[u8; 32]], way: Way) -> Option<Self> {
            // SAFETY: it takes no pointer.
            let manager = unsafe { peer_ipsec_mb_new(way.1.into()) };
            (!manager.is_null()).then(|| Self { keys: keys.to_vec(), manager, way })
        }
    }

    impl Drop for IpsecMb {
        fn drop(&mut self) {
            // SAFETY: it came from `peer_ipsec_mb_new`.
            unsafe { peer_ipsec_mb_free(self.manager) }
        }
    }

    impl Contestant for IpsecMb {
        fn name(&self) -> String {
            let way = match self.way.0 {
                0 => "job",
                1 => "burst",
                _ => "direct",
            };
            format!("ipsec-mb {way}{}", if self.way.1 { " avx2" } else { "" })
        }

        fn run(&mut self, packets: &mut [Packet], batch: usize, seal: bool) -> Outcome {
            let given = given(packets, &self.keys);
            let one = |batch: &[Given]| {
                let count = c_uint::try_from(batch.len()).unwrap_or(0);
                // SAFETY: the manager lives, and there are `count` packets whose texts have room
                // for a tag.
                let right = unsafe {
                    peer_ipsec_mb(self.manager, self.way.0, batch.as_ptr(), count, seal.into())
                };
                right as usize
            };
            timed(|| given.chunks(batch).map(one).sum())
        }
    }
}

#[cfg(openssl)]
mod openssl {
    use core::ffi::{c_int, c_uint, c_void};

    use super::super::contestants::{Contestant, Outcome, timed};
    use super::super::frames::Packet;
    use super::packets::{Given, given};

    unsafe extern "C" {
        fn peer_openssl_new(seal: c_int) -> *mut c_void;
        fn peer_openssl_free(context: *mut c_void);
        fn peer_openssl(
            context: *mut c_void,
            packets: *const Given,
            count: c_uint,
            seal: c_int,
        ) -> c_uint;
    }

    pub(super) struct OpenSsl {
        keys: Vec<[u8; 32]>,
        open: *mut c_void,
        seal: *mut c_void,
    }

    impl OpenSsl {
        pub(super) fn new(keys: &[[u8; 32]]) -> Option<Self> {
            // SAFETY: it takes no pointer.
            let (open, seal) = unsafe { (peer_openssl_new(0), peer_openssl_new(1)) };
            let made = Self { keys: keys.to_vec(), open, seal };
            (!open.is_null() && !seal.is_null()).then_some(made)
        }
    }

    impl Drop for OpenSsl {
        fn drop(&mut self) {
            // SAFETY: both came from `peer_openssl_new`, which may have given null; that is allowed.
            unsafe {
                peer_openssl_free(self.open);
                peer_openssl_free(self.seal);
            }
        }
    }

    impl Contestant for OpenSsl {
        fn name(&self) -> String {
            "OpenSSL EVP".into()
        }

        fn run(&mut self, packets: &mut [Packet], batch: usize, seal: bool) -> Outcome {
            let given = given(packets, &self.keys);
            let context = if seal { self.seal } else { self.open };
            let one = |batch: &[Given]| {
                let count = c_uint::try_from(batch.len()).unwrap_or(0);
                // SAFETY: the context lives, and there are `count` packets whose texts have room
                // for a tag.
                let right = unsafe { peer_openssl(context, batch.as_ptr(), count, seal.into()) };
                right as usize
            };
            timed(|| given.chunks(batch).map(one).sum())
        }
    }
}
