//! Counters of one thread: written by their owner alone, read by anybody.
//!
//! Conservation, at any time for one owner and as a sum over all of them:
//! `received + made + taken_over = transmitted + delivered + consumed + dropped + handed_over + held`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fate::DropReason;

/// A counter with one writer: a plain add for the owner, without a locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it; only the owner may.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.value().wrapping_add(count), Ordering::Relaxed);
    }

    /// Sets a gauge; only the owner may.
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Its value now.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident,)+) => {
        /// All counters of one owner, on cache lines of its own.
        #[derive(Debug)]
        #[repr(align(128))]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $field: Counter,)+
            drops: [Counter; DropReason::COUNT],
        }

        impl Counters {
            /// The names of all of them, in the order of [`Counters::values`].
            pub fn names() -> impl Iterator<Item = std::borrow::Cow<'static, str>> {
                let fields = [$(stringify!($field),)+];
                let drops = DropReason::ALL.iter().map(|reason| format!("drop.{}", reason.name()).into());
                fields.into_iter().map(Into::into).chain(drops)
            }

            /// All values, at one moment more or less.
            pub fn values(&self) -> impl Iterator<Item = u64> {
                let fields = [$(self.$field.value(),)+];
                fields.into_iter().chain(self.drops.iter().map(Counter::value))
            }
        }

        impl Default for Counters {
            fn default() -> Self {
                Self { $($field: Counter::default(),)+ drops: [const { Counter(AtomicU64::new(0)) }; DropReason::COUNT] }
            }
        }

        /// The counters of all owners, added up at one moment.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Totals {
            $($(#[doc = $doc])+ pub $field: u64,)+
            drops: [u64; DropReason::COUNT],
        }

        impl Totals {
            /// Adds up the counters of several owners.
            pub fn of<'a>(owners: impl IntoIterator<Item = &'a Counters>) -> Self {
                let mut totals = Self { $($field: 0,)+ drops: [0; DropReason::COUNT] };
                for owner in owners {
                    $(totals.$field = totals.$field.wrapping_add(owner.$field.value());)+
                    for (total, drop) in totals.drops.iter_mut().zip(&owner.drops) {
                        *total = total.wrapping_add(drop.value());
                    }
                }
                totals
            }

            fn fields(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)+]
            }
        }
    };
}

counters! {
    /// Frames from ports and from the kernel.
    received,
    /// Their octets.
    received_octets,
    /// Frames made here: keepalives, handshake messages, solicitations.
    made,
    /// Frames taken from other workers' rings and from the handshake ring.
    taken_over,
    /// Frames sent by ports.
    transmitted,
    /// Their octets.
    transmitted_octets,
    /// Frames given to the kernel.
    delivered,
    /// Frames whose purpose is fulfilled: keepalives, learned neighbour messages, handshake messages.
    consumed,
    /// Packets that went on to another server of the fleet.
    passed_on,
    /// Packets that another server has passed on to this one.
    passed_here,
    /// ICMP errors about messages to clients of this server.
    reports,
    /// Clients called because their server is gone.
    prompts,
    /// Frames put into other workers' rings and into the handshake ring.
    handed_over,
    /// Frames that wait now for a session or a neighbour (a gauge).
    held,
    /// Packets opened.
    opened,
    /// Octets of the opened inner packets.
    opened_octets,
    /// Packets sealed.
    sealed,
    /// Octets of the inner packets sealed.
    sealed_octets,
    /// Sessions begun.
    sessions,
    /// Handshake messages answered with a cookie.
    cookies,
    /// SYNs to tenants answered for them.
    syn_answers,
    /// Segments to tenants in monitor mode that their guards would not have let through.
    syn_monitored,
    /// Keepalives of tenants' routers that were answered.
    keepalives,
    /// Answers to probes of tunnels.
    probes_answered,
    /// ICMP errors about packets in tunnels.
    tunnel_reports,
    /// Packets of clients that left by an address of the server's.
    translated_out,
    /// Replies that came back to clients by those addresses.
    translated_in,
    /// Flows through NAT begun.
    flows_opened,
    /// Flows through NAT (a gauge).
    flows,
    /// Packets of clients that went to another data centre, to leave there.
    via_out,
    /// What came back to clients from there.
    via_in,
    /// Addresses and ports of clients that leave at another data centre (a gauge).
    via_mappings,
    /// Packets of other data centres' clients that left here.
    guests_out,
    /// Replies that went back to their data centres.
    guests_in,
    /// Clients of other data centres that have something here, or had (a gauge).
    guests,
    /// Connections opened by CONNECT and spliced.
    connects_opened,
    /// Those of them whose request came or went in the SYN.
    connects_borne,
    /// Connections that CONNECT could not open.
    connects_failed,
    /// Connections that CONNECT is opening, or has opened a moment ago (a gauge).
    connects_opening,
    /// Segments of connections being opened that found no room to leave; they are sent again.
    segments_unsent,
    /// Probes of origins that were silent for as long as who asked for the connection said.
    origins_probed,
    /// Connections ended because their origin did not answer such probes.
    origins_gone,
    /// Connections of which control was told whether and how fast they came about.
    dials_told,
    /// Those of which it was not, as there were too many.
    dials_untold,
    /// ICMP errors sent.
    icmp_errors,
    /// Resets sent to clients whose segments belong to nothing.
    resets,
    /// Peers whose endpoint has moved.
    roamed,
    /// Packets not made because the pool was empty.
    pool_empty,
    /// Orders lost because a worker's inbox was full.
    orders_lost,
    /// Turns of the worker's loop.
    turns,
    /// Turns in which nothing came.
    turns_empty,
}

impl Counters {
    /// Counts one lost frame.
    #[inline]
    pub fn drop_one(&self, reason: DropReason) {
        if let Some(counter) = self.drops.get(reason as usize) {
            counter.add(1);
        }
    }
}

impl Totals {
    /// Frames lost for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// Frames lost for any reason.
    pub fn dropped_all(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// What is missing in `in = out + drops + held`; 0 but for frames in the rings between threads.
    #[expect(
        clippy::cast_possible_wrap,
        reason = "differences of counters are small, with either sign"
    )]
    pub fn unaccounted(&self) -> i64 {
        let came = self.received.wrapping_add(self.made).wrapping_add(self.taken_over);
        let went = [self.transmitted, self.delivered, self.consumed, self.handed_over, self.held]
            .iter()
            .fold(self.dropped_all(), |sum, counter| sum.wrapping_add(*counter));
        came.wrapping_sub(went) as i64
    }
}

impl fmt::Display for Totals {
    /// One `name value` a line; of the drop reasons only those that have occurred.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.fields() {
            writeln!(f, "{name} {value}")?;
        }
        writeln!(f, "dropped {}", self.dropped_all())?;
        for reason in DropReason::ALL {
            if self.dropped(*reason) != 0 {
                writeln!(f, "drop.{} {}", reason.name(), self.dropped(*reason))?;
            }
        }
        writeln!(f, "unaccounted {}", self.unaccounted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_frame_without_a_name_shows_as_unaccounted() {
        let counters = [Counters::default(), Counters::default()];
        let [one, two] = &counters;
        one.received.add(10);
        one.transmitted.add(4);
        one.handed_over.add(3);
        two.taken_over.add(3);
        two.consumed.add(3);
        one.drop_one(DropReason::ParseTruncated);
        assert_eq!(Totals::of(&counters).unaccounted(), 2);
        one.held.set(2);
        let totals = Totals::of(&counters);
        assert_eq!(totals.unaccounted(), 0);
        let table = totals.to_string();
        assert!(table.contains("received 10\n") && table.contains("drop.parse_truncated 1\n"));
    }
}
