//! Flows that others put in: CONNECT's, which replace both ends and may count differently at each.

use core::net::IpAddr;
use core::time::Duration;

use crate::install::{Draft, write_far};
use crate::line::{ATTENDED, End, HAIRPIN, NONE, SHIFTED, SPLICED, State, V6, WIRE};
use crate::open::Way;
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

/// A flow to be put in, attended by a session: its packets are not rewritten until [`Flows::splice`].
#[derive(Debug)]
pub struct Entry {
    /// Whose flow it is: it counts against that client.
    pub client: u32,
    /// Where its near side's packets come from: the client, or at an exit the network.
    pub realm: Realm,
    /// What comes in at the near side.
    pub near: Path,
    /// What comes in at the far side, once the next hop is known; the destination is the lease's.
    pub far: Path,
    /// The port at the far side.
    pub lease: Lease,
    /// What is kept with it.
    pub way: Way,
    /// The session's number.
    pub session: u32,
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

/// What a flow does from the end of its set-up on; zero shifts cost nothing.
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
        self.ports.own(place, LEASED);
        let address = self.ports.address(place.address).ok_or(Refusal::NoAddress)?;
        Ok(Lease { place, client, address, port: place.port })
    }

    /// Gives a port back that got no flow; it rests, as it may have been used.
    #[expect(clippy::needless_pass_by_value, reason = "a lease is given back once")]
    pub fn release(&mut self, lease: Lease, now: Instant) {
        let Lease { place, client, .. } = lease;
        self.give_port(client, place, now.tick());
    }

    /// Puts a flow of a session in. With a refusal the lease comes back.
    ///
    /// Errors: `Client`, `ClientFlows`, `ClientSetups`, `TableFull`, `Conflict`; `Family` for sides of different ones.
    pub fn insert(&mut self, entry: Entry, now: Instant) -> Result<FlowId, (Refusal, Lease)> {
        let now = now.tick();
        let family = |path: &Path| (path.source.0.is_ipv6(), path.destination.0.is_ipv6());
        let v6 = entry.lease.address.is_ipv6();
        if family(&entry.near) != (v6, v6) || family(&entry.far) != (v6, v6) {
            return Err((Refusal::Family, entry.lease));
        }
        if entry.far.destination != (entry.lease.address, entry.lease.port) {
            return Err((Refusal::Conflict, entry.lease));
        }
        let installed = self
            .make_room(entry.client, true, now)
            .and_then(|()| self.install(&draft(&entry, v6, self.is_hairpin(&entry)), now));
        match installed {
            Ok(slot) => {
                self.ports.own(entry.lease.place, slot);
                if let Some(cold) = self.cold.get_mut(slot as usize) {
                    cold.shifts = [entry.session, 0];
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

    /// Ends a session's attendance: from now on the flow's packets are rewritten. A session that has still to drop or answer
    /// some segments itself (a young flow) calls this when it is done with that.
    pub fn splice(&mut self, id: FlowId, splice: &Splice, now: Instant) {
        let slot = id.0 as usize;
        let Some((line, cold)) = self.lines.get_mut(slot).zip(self.cold.get_mut(slot)) else {
            return;
        };
        if !line.is_attended() {
            return;
        }
        let [near, far] = splice.sides;
        line.acked = [near.acked, far.acked];
        line.edges = [near.edge, far.edge];
        line.scales = near.scale & 0xf | (far.scale & 0xf) << 4;
        line.shifts = splice.windows;
        cold.shifts = splice.shifts;
        line.flags &= !ATTENDED;
        let is_shifted = splice.shifts != [0; 2] || splice.windows != [0; 2];
        if is_shifted {
            let [near, far] = splice.shifts.map(of_number);
            line.upper = line.upper.plus(near).plus(far.reversed());
        }
        line.state = State::Established;
        line.deadline = now.tick().after(self.spans.established);
        if let Some(row) = self.clients.of_mut(line.client) {
            row.setups = row.setups.saturating_sub(1);
        }
        if is_shifted {
            self.mark_shifted(id.0);
        }
    }

    /// From now on packets need both lines, which their entries say.
    fn mark_shifted(&mut self, slot: u32) {
        let ends = [End::Near, End::Far];
        let former = ends.map(|end| self.own_entry(slot, end));
        if let Some(line) = self.lines.get_mut(slot as usize) {
            line.flags |= SHIFTED;
        }
        for (end, former) in ends.into_iter().zip(former) {
            let hash = self.key_hash(slot, end);
            self.ends.replace(hash, former, self.own_entry(slot, end));
        }
    }

    /// Keeps an attended flow for another `deadline`: the session's own timers decide how long a set-up may take.
    pub fn attend_until(&mut self, id: FlowId, deadline: Instant) {
        let line = self.lines.get_mut(id.0 as usize).filter(|line| line.is_attended());
        if let Some(line) = line {
            line.deadline = deadline.tick();
        }
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

    /// Watches an established splice for signs of life: until [`Flows::unwatch`] its packets are not carried, and told of.
    pub fn watch(&mut self, id: FlowId) {
        let line = self.lines.get_mut(id.0 as usize);
        if let Some(line) = line.filter(|line| line.has(SPLICED) && !line.has(ATTENDED)) {
            line.flags |= ATTENDED;
        }
    }

    /// Ends the watch: packets are carried again. Says whether there was one.
    pub fn unwatch(&mut self, id: FlowId) -> bool {
        let line = self.lines.get_mut(id.0 as usize).filter(|line| line.is_watched());
        line.map(|line| line.flags &= !ATTENDED).is_some()
    }

    /// Gives an attended flow another far side: the next of several next hops, or another port. The former port rests. With a
    /// refusal the lease comes back, and the flow is as it was.
    ///
    /// Errors: `Conflict`, also for a flow that is not attended; `Family`.
    pub fn redirect(
        &mut self,
        id: FlowId,
        remote: (IpAddr, u16),
        lease: Lease,
        now: Instant,
    ) -> Result<(), (Refusal, Lease)> {
        let slot = id.0;
        let Some(line) = self.lines.get(slot as usize).filter(|line| line.is_attended()) else {
            return Err((Refusal::Conflict, lease));
        };
        let v6 = line.has(V6);
        if remote.0.is_ipv6() != v6 || lease.address.is_ipv6() != v6 {
            return Err((Refusal::Family, lease));
        }
        let addresses = [words_of(remote.0), words_of(lease.address)];
        let ports = [remote.1, lease.port];
        let hash = hash(&self.words, &addresses, ports, (NONE, line.protocol, v6));
        let wanted = self.query_of(slot, End::Far, hash);
        let wanted = wanted.map(|query| Query { addresses, ports, ..query });
        if wanted.is_none_or(|query| self.entry(&query).is_some()) {
            return Err((Refusal::Conflict, lease));
        }
        self.move_far(slot, (addresses, ports), hash, now);
        self.ports.own(lease.place, slot);
        Ok(())
    }

    fn move_far(
        &mut self,
        slot: u32,
        (addresses, ports): ([[u32; 4]; 2], [u16; 2]),
        hash: u64,
        now: Instant,
    ) {
        let former = self.key_hash(slot, End::Far);
        self.ends.remove(former, self.own_entry(slot, End::Far));
        let client = self.lines.get(slot as usize).map_or(NONE, |line| line.client);
        if let Some(place) =
            self.place_of(slot).filter(|place| self.ports.owner(*place) == Some(slot))
        {
            self.give_port(client, place, now.tick());
        }
        if let Some((line, cold)) = self.parts_mut(slot) {
            write_far((line, cold), addresses, ports);
        }
        // The former entry has left room for this one.
        let _: Result<(), _> = self.ends.insert(hash, self.own_entry(slot, End::Far));
    }
}

fn draft(entry: &Entry, v6: bool, hairpin: bool) -> Draft {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let addresses = |path: &Path| [words_of(path.source.0), words_of(path.destination.0)];
    let ports = |path: &Path| [path.source.1, path.destination.1];
    Draft {
        client: entry.client,
        protocol: wire::tcp::PROTOCOL,
        flags: SPLICED
            | ATTENDED
            | flag(v6, V6)
            | flag(hairpin, HAIRPIN)
            | flag(entry.realm == Realm::Network, WIRE),
        state: State::Opening,
        addresses: [addresses(&entry.near), addresses(&entry.far)],
        ports: [ports(&entry.near), ports(&entry.far)],
        way: entry.way,
    }
}
