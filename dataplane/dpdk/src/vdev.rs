//! Devices of one process: two ports that are each other's wire, for tests and benches.

use std::sync::Arc;

use dpdk_sys::rte_ring;

use crate::eal::Eal;
use crate::error::{Error, Kind, c_string};
use crate::pool::Pool;
use crate::port::{Device, Port, Settings};
use crate::ring::Ring;

/// `RTE_PMD_RING_MAX_RX_RINGS`.
const QUEUES_MAX: u16 = 16;
/// The rings' names put up to 5 octets behind it, and DPDK 9 before it.
const NAME_LEN_MAX: usize = 16;

/// Two connected ports: what one sends on a queue, the other receives on the queue of that index,
/// the very same buffers.
///
/// `name` has 1..=16 octets and is unique in the process; `size` is how many packets each direction
/// of a queue holds. A queue of one port may be used by one thread at a time, as any queue.
///
/// # Errors
/// `Options` for a name or size that cannot be, `Queues` for none or more than 16, `Memory`,
/// `Device`.
pub fn ring_pair(
    eal: &Eal,
    name: &str,
    queues: u16,
    size: u32,
    pool: &Pool,
) -> Result<(Port, Port), Error> {
    c_string(name, NAME_LEN_MAX, "the name of a port pair")?;
    if !(1..=QUEUES_MAX).contains(&queues) {
        let reason = format!("a port pair cannot have {queues} queues");
        return Err(Error::new(Kind::Queues, reason, format!("choose 1..={QUEUES_MAX}")));
    }
    let rings = |end: char| -> Result<Vec<Arc<Ring>>, Error> {
        let flags = dpdk_sys::RING_F_SP_ENQ | dpdk_sys::RING_F_SC_DEQ;
        (0..queues)
            .map(|queue| Ring::new(eal, &format!("{name}_{end}{queue}"), size, flags).map(Arc::new))
            .collect()
    };
    let (to_b, to_a) = (rings('b')?, rings('a')?);
    let settings = Settings { queues, ..Settings::default() };
    let port = |end: char, incoming: &[Arc<Ring>], outgoing: &[Arc<Ring>]| {
        let device = device(eal, &format!("{name}_{end}"), incoming, outgoing)?;
        Port::start(device, &settings, &[pool])
    };
    Ok((port('a', &to_a, &to_b)?, port('b', &to_b, &to_a)?))
}

fn device(
    eal: &Eal,
    name: &str,
    incoming: &[Arc<Ring>],
    outgoing: &[Arc<Ring>],
) -> Result<Device, Error> {
    let c_name = c_string(name, NAME_LEN_MAX + 2, "the name of a port")?;
    let raw = |rings: &[Arc<Ring>]| -> Vec<*mut rte_ring> {
        rings.iter().map(|ring| ring.as_ptr()).collect()
    };
    let (receive, transmit) = (raw(incoming), raw(outgoing));
    let count = u32::try_from(receive.len()).unwrap_or(0);
    let kept = incoming.iter().chain(outgoing).map(Arc::clone).collect();
    Device::of_rings(&eal.runtime, &format!("net_ring_{name}"), kept, || {
        // SAFETY: both arrays hold `count` rings, which the device keeps; DPDK copies the arrays.
        // The memory is socket 0's, and the driver allocates its own elsewhere when there is no
        // such socket.
        unsafe {
            dpdk_sys::rte_eth_from_rings(
                c_name.as_ptr(),
                receive.as_ptr(),
                count,
                transmit.as_ptr(),
                count,
                0,
            )
        }
    })
}
