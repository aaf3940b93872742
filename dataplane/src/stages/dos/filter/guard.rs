//! Guards of tenants' TCP: who asks for a connection, and what belongs to none.

use arrayvec::ArrayVec;
use shm::message::{Class, Mode};
use wireguard::time::Instant;

use super::super::rules::{OWN, Policy};
use super::super::syn::{self, Arrival, Segment};
use super::{Judge, Judged, Tables};
use crate::burst::Burst;
use crate::counters::Counters;
use crate::fate::Fate;
use crate::frame::{Frame, Kind};
use crate::limits::BURST_LEN_MAX;

impl Tables {
    /// Lets TCP to tenants that ask for it prove itself.
    pub(super) fn guard(
        &mut self,
        judge: Judge<'_>,
        burst: &mut Burst<'_>,
        judged: &mut Judged,
        (counters, now): (&Counters, Instant),
    ) {
        let mut segments = ArrayVec::<(usize, Segment, syn::Place), BURST_LEN_MAX>::new();
        for (place, frame) in burst.frames().iter().enumerate() {
            let tenant = frame.note.tenant;
            let is_tcp = matches!(frame.note.class, Class::Syn | Class::Tcp);
            if tenant == OWN || !is_tcp || !judged.has(place) {
                continue;
            }
            let policy = judge.rules.policy(tenant).transit;
            let source = frame.note.endpoint.remote;
            if !policy.is_idle()
                && let Ok(segment) = Segment::read(frame.data(), &frame.note.ip, source)
            {
                let bucket = self.transit.ahead(&segment, policy);
                segments.push((place, segment, bucket));
            }
        }
        for (number, segment, place) in segments {
            let Some(frame) = burst.frames().get_mut(number) else { continue };
            let policy = judge.rules.policy(frame.note.tenant);
            let arrived = (&segment, place);
            if let Err(fate) = self.prove(frame, arrived, policy, (counters, now)) {
                frame.fate = fate;
            }
            // Answers have their own way.
            if frame.fate != Fate::Undecided || frame.note.kind != Kind::Transit {
                judged.leave_out(number);
            }
        }
    }

    #[inline]
    fn prove(
        &mut self,
        frame: &mut Frame<'_>,
        (segment, place): (&Segment, syn::Place),
        policy: &Policy,
        (counters, now): (&Counters, Instant),
    ) -> Result<(), Fate> {
        let arrival = Arrival { packet: frame.data(), segment, place };
        let whose = (usize::from(frame.note.tenant), policy.transit);
        match self.transit.judge(arrival, whose, now) {
            syn::Verdict::Pass => Ok(()),
            _ if policy.mode != Mode::Enforce => {
                counters.syn_monitored.add(1);
                Ok(())
            }
            syn::Verdict::Drop(reason) => Err(Fate::Drop(reason)),
            syn::Verdict::Consume => Err(Fate::Consumed),
            syn::Verdict::Answer(answer) => {
                counters.syn_answers.add(1);
                syn::write(frame, segment, &answer)
            }
        }
    }
}
