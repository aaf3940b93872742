//! Flows that others put in: CONNECT's, which replace both ends and may count differently at each.

use core::net::IpAddr;
use core::time::Duration;

use crate::install::Draft;
use crate::line::{HAIRPIN, Line, SHIFTED, SPLICED, State, V6, WATCHED, WIRE};
use crate::ports::{LEASED, Place};
use crate::query::{Query, Realm, hash, words_of};
use crate::refusal::Refusal;
use crate::rewrite::of_number;
use crate::table::{FlowId, Flows};
use crate::time::Instant;

/// An egress address and port that was taken for a flow that is to come.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a port that no flow gets is to be given back"]
pub struct Lease {
    pub(crate) place: Place,
    client: u32,
    /// The egress address.
    pub address: IpAddr,
    /// The port there.
    pub port: u16,
}

/// Source and destination, with ports, of packets that come in at a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Who sends.
    pub source: (IpAddr, u16),
    /// To whom it seems to send.
    pub destination: (IpAddr, u16),
}

/// A flow to be put in.
#[derive(Debug)]
pub struct Entry {
    /// Whose flow it is: it counts against that client.
    pub client: u32,
    /// Where its near side's packets come from: the client, or at an exit the network.
    pub realm: Realm,
    /// What comes in at the near side.
    pub near: Path,
    /// What comes in at the far side; the destination is the lease's.
    pub far: Path,
    /// The port at the far side.
    pub lease: Lease,
}

/// One side of a connection when its set-up is over, in the side's own numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The next octet that the other side expects of it.
    pub acked: u32,
    /// The first that it must not send yet.
    pub edge: u32,
    /// By how much its windows are scaled (RFC 7323 2.2).
    pub scale: u8,
}

/// Where a flow's numbers stand, and what it does to them; zero shifts cost nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Splice {
    /// Both sides' numbers, near and far.
    pub sides: [Opened; 2],
    /// What is added to the sequence numbers of each side's segments, and taken from acknowledgments, selective ones too, of
    /// the other's.
    pub shifts: [u32; 2],
    /// By how many bits the windows in each side's segments are shifted, up or down.
    pub windows: [i8; 2],
}

impl Flows {
    /// Takes a TCP port at the client's egress address, for a flow that is to come.
    ///
    /// Errors: `Client`, `ClientPorts`, `NoAddress`, `PortsExhausted`.
    pub fn lease(
        &mut self,
        client: u32,
        v6: bool,
        (now, random): (Instant, u64),
    ) -> Result<Lease, Refusal> {
        let about = (wire::tcp::PROTOCOL, v6);
        let place = self.take_port(client, about, random, now.tick())?;
        let address = self.ports.address(place.address).ok_or(Refusal::NoAddress)?;
        Ok(self.leased(client, place, address))
    }

    /// The same at an address that was reserved for this.
    ///
    /// Errors: `Client`, `ClientPorts`, `NoAddress`, `PortsExhausted`.
    pub fn lease_at(
        &mut self,
        client: u32,
        address: IpAddr,
        (now, random): (Instant, u64),
    ) -> Result<Lease, Refusal> {
        let number = self.ports.number(words_of(address), address.is_ipv6());
        let at = (number.ok_or(Refusal::NoAddress)?, wire::tcp::PROTOCOL);
        let place = self.take_port_at(client, at, random, now.tick())?;
        Ok(self.leased(client, place, address))
    }

    fn leased(&mut self, client: u32, place: Place, address: IpAddr) -> Lease {
        self.ports.own(place, LEASED);
        Lease { place, client, address, port: place.port }
    }

    /// Gives a port back that got no flow; it rests, as it may have been used.
    #[expect(clippy::needless_pass_by_value, reason = "a lease is given back once")]
    pub fn release(&mut self, lease: Lease, now: Instant) {
        let Lease { place, client, .. } = lease;
        self.give_port(client, place, now.tick());
    }

    /// Puts an established flow in. With a refusal the lease comes back.
    ///
    /// Errors: `Client`, `ClientFlows`, `TableFull`, `Conflict`; `Family` for sides of different ones.
    pub fn splice(
        &mut self,
        entry: Entry,
        splice: &Splice,
        now: Instant,
    ) -> Result<FlowId, (Refusal, Lease)> {
        let now = now.tick();
        let flags = flag(self.is_hairpin(&entry), HAIRPIN) | flag(splice.is_shifted(), SHIFTED);
        let installed = check(&entry)
            .and_then(|()| self.make_room(entry.client, false, now))
            .and_then(|()| self.install(&draft(&entry, flags, splice.shifts), now));
        match installed {
            Ok(slot) => {
                self.ports.own(entry.lease.place, slot);
                if let Some(line) = self.lines.get_mut(slot as usize) {
                    splice.write(line);
                }
                Ok(FlowId(slot))
            }
            Err(refusal) => Err((refusal, entry.lease)),
        }
    }

    fn is_hairpin(&self, entry: &Entry) -> bool {
        let (remote, _) = entry.far.source;
        self.ports.number(words_of(remote), remote.is_ipv6()).is_some()
    }

    /// How long the near side of a splice has been quiet. An exit that is asked to keep the origin's connection alive
    /// (`Exit-Tcp-Keepalive-Duration`) probes the far side after that, with [`crate::Flow::numbers_to`].
    pub fn idle(&self, id: FlowId, now: Instant) -> Option<Duration> {
        let line = self.lines.get(id.0 as usize).filter(|line| line.has(SPLICED))?;
        let latest = now.tick().after(self.spans.of(line.state, line.protocol));
        Some(Duration::from_nanos(latest.instant().0.saturating_sub(line.deadline.instant().0)))
    }

    /// The TCP flow whose near side's packets come in like this.
    pub fn find_near(&self, realm: Realm, near: &Path) -> Option<FlowId> {
        let v6 = near.source.0.is_ipv6();
        let addresses = [words_of(near.source.0), words_of(near.destination.0)];
        let ports = [near.source.1, near.destination.1];
        let (realm, protocol) = (realm.number(), wire::tcp::PROTOCOL);
        let hash = hash(&self.words, &addresses, ports, (realm, protocol, v6));
        self.find_flow(&Query { addresses, hash, realm, ports, protocol, v6, ..Query::NONE })
    }

    /// Watches a splice: until [`Flows::unwatch`] its packets are not carried, and told of.
    pub fn watch(&mut self, id: FlowId) {
        let line = self.lines.get_mut(id.0 as usize);
        if let Some(line) = line.filter(|line| line.has(SPLICED)) {
            line.flags |= WATCHED;
        }
    }

    /// Ends the watch: packets are carried again. Says whether there was one.
    pub fn unwatch(&mut self, id: FlowId) -> bool {
        let line = self.lines.get_mut(id.0 as usize).filter(|line| line.has(WATCHED));
        line.map(|line| line.flags &= !WATCHED).is_some()
    }
}

impl Splice {
    fn is_shifted(&self) -> bool {
        self.shifts != [0; 2] || self.windows != [0; 2]
    }

    /// Writes it into a flow's line, of which the rest stands there.
    fn write(&self, line: &mut Line) {
        let [near, far] = self.sides;
        line.acked = [near.acked, far.acked];
        line.edges = [near.edge, far.edge];
        line.scales = near.scale & 0xf | (far.scale & 0xf) << 4;
        line.shifts = self.windows;
        if self.is_shifted() {
            let [near, far] = self.shifts.map(of_number);
            line.upper = line.upper.plus(near).plus(far.reversed());
        }
    }
}

const fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

/// Whether both sides are of the lease's family, and the far one is the lease's.
fn check(entry: &Entry) -> Result<(), Refusal> {
    let Entry { near, far, lease, .. } = entry;
    let mut ends = [near.source, near.destination, far.source, far.destination].into_iter();
    if !ends.all(|(address, _)| address.is_ipv6() == lease.address.is_ipv6()) {
        return Err(Refusal::Family);
    }
    if far.destination != (lease.address, lease.port) {
        return Err(Refusal::Conflict);
    }
    Ok(())
}

fn draft(entry: &Entry, flags: u8, shifts: [u32; 2]) -> Draft {
    let addresses = |path: &Path| [words_of(path.source.0), words_of(path.destination.0)];
    let ports = |path: &Path| [path.source.1, path.destination.1];
    Draft {
        client: entry.client,
        protocol: wire::tcp::PROTOCOL,
        flags: SPLICED
            | flag(entry.lease.address.is_ipv6(), V6)
            | flag(entry.realm == Realm::Network, WIRE)
            | flags,
        state: State::Established,
        addresses: [addresses(&entry.near), addresses(&entry.far)],
        ports: [ports(&entry.near), ports(&entry.far)],
        shifts,
    }
}
