//! What clients do by their timers and by the plan: first calls, retries, moves, further handshakes.

use wireguard::time::Instant;
use wireguard::tunnel::Refused;

use super::{Moment, Swarm, identity};

/// Timers that fire in one turn at most; the others wait for the next.
const TIMERS_PER_TURN: usize = 256;
/// Handshakes that begin in one turn at most.
const CONNECTS_PER_TURN: usize = 16;
/// Clients that move in one turn at most.
const MOVES_PER_TURN: usize = 1024;

impl Swarm {
    pub(super) fn expire(&mut self, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) -> usize {
        let mut due = [0; TIMERS_PER_TURN];
        let mut count = 0;
        let _more = self.wheel.expire(moment.now, TIMERS_PER_TURN, |number| {
            if let Some(place) = due.get_mut(count) {
                *place = number;
            }
            count += 1;
        });
        let fired = due.get(..count).unwrap_or_default();
        for &number in fired {
            let Some(member) = self.members.get_mut(number as usize) else { continue };
            member.wake = Instant::NEVER;
            let Some(tunnel) = member.tunnel.as_deref_mut() else { continue };
            // A deadline moves on with every packet; only what is really due is done.
            if tunnel.deadline().is_some_and(|deadline| deadline <= moment.now) {
                let _: Result<(), Refused> =
                    self.shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
                        tunnel.tick(turn, &mut emit);
                        Ok(())
                    });
            }
            member.rearm(number, &mut self.wheel);
        }
        count
    }

    pub(super) fn connect(&mut self, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) -> usize {
        for done in 0..CONNECTS_PER_TURN {
            let is_due = self.begun < self.shared.plan.members()
                && self.connects.take(moment.now, 0, &mut self.shared.random).is_some();
            if !is_due {
                return done;
            }
            let number = self.begun;
            self.begun += 1;
            self.call(number, moment, out);
        }
        CONNECTS_PER_TURN
    }

    /// Makes the member's tunnel if there is none yet, and starts a handshake unless one runs.
    pub(super) fn call(
        &mut self,
        number: u32,
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) {
        let Some(member) = self.members.get_mut(number as usize) else { return };
        if member.tunnel.is_none() {
            member.tunnel = identity::tunnel(&self.shared.plan, number, moment.now).map(Box::new);
            self.shared.places.settle(number);
        }
        let Some(tunnel) = member.tunnel.as_deref_mut() else { return };
        let _: Result<(), Refused> =
            self.shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
                tunnel.send(&[], turn, &mut emit)
            });
        member.rearm(number, &mut self.wheel);
    }

    pub(super) fn roam(&mut self, now: Instant) -> usize {
        let Some(roam) = self.shared.plan.roam else { return 0 };
        let clients = self.shared.plan.clients;
        for done in 0..MOVES_PER_TURN {
            let Some(pacer) = &mut self.moves else { return done };
            if roam.time.ends(pacer.planned(), clients)
                || pacer.take(now, 0, &mut self.shared.random).is_none()
            {
                return done;
            }
            let number = roam.time.who(self.moved, clients, &mut self.shared.random);
            self.moved = self.moved.wrapping_add(1);
            self.shared.tally.moves += u64::from(self.shared.places.roam(number, roam.kind));
        }
        MOVES_PER_TURN
    }

    /// Starts the handshakes that the plan asks for beside those of the protocol.
    pub(super) fn reconnect(
        &mut self,
        moment: Moment,
        out: &mut impl FnMut(&[u8]) -> bool,
    ) -> usize {
        let Some(time) = self.shared.plan.reconnect else { return 0 };
        let clients = self.shared.plan.clients;
        for done in 0..CONNECTS_PER_TURN {
            let Some(pacer) = &mut self.renewals else { return done };
            if time.ends(pacer.planned(), clients)
                || pacer.take(moment.now, 0, &mut self.shared.random).is_none()
            {
                return done;
            }
            let number = time.who(self.renewed, clients, &mut self.shared.random);
            self.renewed = self.renewed.wrapping_add(1);
            self.renew(number, moment, out);
        }
        CONNECTS_PER_TURN
    }

    /// A new handshake over the family that the client has, while its session serves on.
    fn renew(&mut self, number: u32, moment: Moment, out: &mut impl FnMut(&[u8]) -> bool) {
        if self.shared.races.as_ref().is_some_and(|races| races.waits(number)) {
            return;
        }
        let Some(member) = self.members.get_mut(number as usize) else { return };
        let Some(tunnel) = member.tunnel.as_deref_mut() else { return };
        self.shared.tally.reconnects += 1;
        let _: Result<(), Refused> =
            self.shared.act((number, tunnel), moment, out, |tunnel, turn, mut emit| {
                tunnel.renew(turn, &mut emit);
                Ok(())
            });
        member.rearm(number, &mut self.wheel);
    }
}
