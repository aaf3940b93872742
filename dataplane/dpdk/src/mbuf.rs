//! One packet buffer: owned, freed when dropped, its whole memory lent as octets.

use std::fmt;
use std::ptr::NonNull;

use arrayvec::ArrayVec;
use dpdk_sys::rte_mbuf;

/// Octets before the frame in a fresh buffer: what encapsulation may put in front.
pub const HEADROOM: u16 = dpdk_sys::MBUF_HEADROOM;

// The tag lives where drivers leave the RSS hash: in the cache line that they have just written.
const _: () = assert!(dpdk_sys::MBUF_HASH_LEN as usize >= size_of::<u64>());
const RX_CHECKSUM_FLAGS: u64 = dpdk_sys::MBUF_RX_IP_CKSUM_MASK | dpdk_sys::MBUF_RX_L4_CKSUM_MASK;

/// A packet buffer. The frame is the range `start()..start() + len()` of `octets()`.
#[repr(transparent)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: the value is the only owner of its buffer, and returning it to its pool is allowed on any
// thread.
unsafe impl Send for Mbuf {}
// SAFETY: through a shared reference the buffer is only read.
unsafe impl Sync for Mbuf {}

/// What the receiving device found out about a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Checked and right.
    Good,
    /// Checked and wrong.
    Bad,
    /// Not checked, or not there.
    Unknown,
}

/// The outer checksums of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// IPv4 header.
    pub ip: Checksum,
    /// UDP or TCP.
    pub l4: Checksum,
}

/// The range asked for does not lie in the buffer, or the packet has several segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange;

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, len, segments) = (self.start(), self.len(), self.segments());
        write!(f, "Mbuf {{ start: {start}, len: {len}, segments: {segments} }}")
    }
}

impl Mbuf {
    /// # Safety
    /// `raw` is null or a buffer that the caller owns alone, with all its segments.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: *mut rte_mbuf) -> Option<Self> {
        NonNull::new(raw).map(Self)
    }

    #[inline]
    fn field<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: callers name a field's offset (computed by the C compiler) with the field's type,
        // which any bits fill; nobody writes the buffer meanwhile, as we own it.
        unsafe { self.0.as_ptr().cast::<u8>().add(offset as usize).cast::<T>().read_unaligned() }
    }

    #[inline]
    fn set_field<T: Copy>(&mut self, offset: u32, value: T) {
        // SAFETY: as in `field`; the exclusive reference makes us the only one who looks.
        unsafe {
            self.0.as_ptr().cast::<u8>().add(offset as usize).cast::<T>().write_unaligned(value);
        }
    }

    /// The whole buffer of the first segment: headroom, frame, tailroom.
    #[inline]
    pub fn octets(&self) -> &[u8] {
        let (address, len) = self.buffer();
        // SAFETY: DPDK lays `len` octets at `address` for this buffer alone; pages come zeroed, so
        // all are initialised.
        unsafe { std::slice::from_raw_parts(address, len) }
    }

    /// The whole buffer of the first segment, to write: headroom, frame, tailroom.
    #[inline]
    pub fn octets_mut(&mut self) -> &mut [u8] {
        let (address, len) = self.buffer();
        // SAFETY: as in `octets`, and the reference is exclusive.
        unsafe { std::slice::from_raw_parts_mut(address, len) }
    }

    #[inline]
    fn buffer(&self) -> (*mut u8, usize) {
        (
            self.field(dpdk_sys::MBUF_BUF_ADDR),
            usize::from(self.field::<u16>(dpdk_sys::MBUF_BUF_LEN)),
        )
    }

    /// The frame itself; empty if the device named a range outside the buffer.
    #[inline]
    pub fn frame(&self) -> &[u8] {
        self.octets().get(self.start()..self.start() + self.len()).unwrap_or_default()
    }

    /// Where the frame begins in `octets()`.
    #[inline]
    pub fn start(&self) -> usize {
        usize::from(self.field::<u16>(dpdk_sys::MBUF_DATA_OFF))
    }

    /// Octets of the frame in the first segment: all of it, when `segments()` is 1.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.field::<u16>(dpdk_sys::MBUF_DATA_LEN))
    }

    /// Whether the frame has no octets.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets of the frame in all segments.
    #[inline]
    pub fn total_len(&self) -> usize {
        self.field::<u32>(dpdk_sys::MBUF_PKT_LEN) as usize
    }

    /// Moves the frame's borders within the buffer.
    ///
    /// # Errors
    /// [`OutOfRange`] when the range leaves the buffer or the packet has several segments; nothing
    /// changes then.
    #[inline]
    pub fn set_range(&mut self, start: usize, len: usize) -> Result<(), OutOfRange> {
        let (_, room) = self.buffer();
        let end = start.checked_add(len).ok_or(OutOfRange)?;
        if end > room || self.segments() != 1 {
            return Err(OutOfRange);
        }
        let start = u16::try_from(start).map_err(|_| OutOfRange)?;
        let len = u16::try_from(len).map_err(|_| OutOfRange)?;
        self.set_field(dpdk_sys::MBUF_DATA_OFF, start);
        self.set_field(dpdk_sys::MBUF_DATA_LEN, len);
        self.set_field(dpdk_sys::MBUF_PKT_LEN, u32::from(len));
        Ok(())
    }

    /// Buffers that the packet is spread over; `octets()` shows only the first.
    #[inline]
    pub fn segments(&self) -> usize {
        usize::from(self.field::<u16>(dpdk_sys::MBUF_NB_SEGS))
    }

    /// A word of the user's: 0 in a fresh or received packet, kept by rings between threads.
    #[inline]
    pub fn tag(&self) -> u64 {
        self.field(dpdk_sys::MBUF_HASH)
    }

    /// Sets the user's word.
    #[inline]
    pub fn set_tag(&mut self, tag: u64) {
        self.set_field(dpdk_sys::MBUF_HASH, tag);
    }

    /// What the receiving device says of the checksums; unknown unless the port checks them.
    #[inline]
    pub fn checksums(&self) -> Checksums {
        let flags: u64 = self.field(dpdk_sys::MBUF_OL_FLAGS);
        let ip = match flags & dpdk_sys::MBUF_RX_IP_CKSUM_MASK {
            dpdk_sys::MBUF_RX_IP_CKSUM_GOOD => Checksum::Good,
            dpdk_sys::MBUF_RX_IP_CKSUM_BAD => Checksum::Bad,
            _ => Checksum::Unknown,
        };
        let l4 = match flags & dpdk_sys::MBUF_RX_L4_CKSUM_MASK {
            dpdk_sys::MBUF_RX_L4_CKSUM_GOOD => Checksum::Good,
            dpdk_sys::MBUF_RX_L4_CKSUM_BAD => Checksum::Bad,
            _ => Checksum::Unknown,
        };
        Checksums { ip, l4 }
    }

    /// Forgets the device's verdict: some virtual devices pass on a buffer with the flags of
    /// another device.
    #[inline]
    pub(crate) fn forget_checksums(&mut self) {
        let flags: u64 = self.field(dpdk_sys::MBUF_OL_FLAGS);
        if flags & RX_CHECKSUM_FLAGS != 0 {
            self.set_field(dpdk_sys::MBUF_OL_FLAGS, flags & !RX_CHECKSUM_FLAGS);
        }
    }

    /// Brings the first cache line of the frame near, which a stage will read soon.
    #[inline]
    pub fn prefetch(&self) {
        let (address, _) = self.buffer();
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch reads nothing that the program can see and faults on no address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(address.wrapping_add(self.start()).cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: we own the buffer with all its segments, and are gone after this.
        unsafe { dpdk_sys::rte_pktmbuf_free(self.0.as_ptr()) }
    }
}

/// Frees all of `mbufs` at once: cheaper than one by one.
#[inline]
pub fn free_bulk<const N: usize>(mbufs: &mut ArrayVec<Mbuf, N>) {
    let Ok(count) = u32::try_from(mbufs.len()) else { return mbufs.clear() };
    // SAFETY: an Mbuf is a pointer to a buffer that we own; the length is zero before the buffers
    // are gone, so none is dropped a second time.
    unsafe {
        mbufs.set_len(0);
        dpdk_sys::rte_pktmbuf_free_bulk(mbufs.as_mut_ptr().cast(), count);
    }
}
