//! What a connection's stack takes for its device: at most one packet in, any number out. Checksums of what comes are
//! verified before.

use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant as Micros;

use super::Out;
use crate::responder::Via;

/// The cable of one call.
pub(super) struct Cable<'a> {
    arrived: Option<&'a [u8]>,
    buffer: &'a mut Vec<u8>,
    via: Via,
    mtu: usize,
    out: &'a mut Out<'a>,
    /// Whether the real device took the last packet.
    has_room: bool,
}

impl<'a> Cable<'a> {
    /// A cable with this packet on it, whose other end is `out`.
    pub(super) fn new(
        buffer: &'a mut Vec<u8>,
        (via, mtu): (Via, usize),
        arrived: Option<&'a [u8]>,
        out: &'a mut Out<'_>,
    ) -> Self {
        Self { arrived, buffer, via, mtu, out, has_room: true }
    }
}

impl Device for Cable<'_> {
    type RxToken<'b>
        = Arrived<'b>
    where
        Self: 'b;
    type TxToken<'b>
        = Outgoing<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: Micros) -> Option<(Arrived<'_>, Outgoing<'_>)> {
        let arrived = Arrived(self.arrived.take()?);
        let Self { buffer, via, out, has_room, .. } = self;
        Some((arrived, Outgoing { buffer, via: *via, out: &mut **out, has_room }))
    }

    fn transmit(&mut self, _: Micros) -> Option<Outgoing<'_>> {
        let Self { buffer, via, out, has_room, .. } = self;
        // What the device did not take is lost and comes again; the rest waits in the connection.
        has_room.then_some(())?;
        Some(Outgoing { buffer, via: *via, out: &mut **out, has_room })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities
    }
}

/// A packet that has come.
pub(super) struct Arrived<'b>(&'b [u8]);

impl RxToken for Arrived<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

/// Room for a packet that goes.
pub(super) struct Outgoing<'b> {
    buffer: &'b mut Vec<u8>,
    via: Via,
    out: &'b mut Out<'b>,
    has_room: &'b mut bool,
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        self.buffer.clear();
        self.buffer.resize(len, 0);
        let result = write(self.buffer);
        *self.has_room = (self.out)(self.via, self.buffer);
        result
    }
}
