//! How connections to destinations come about, as one worker sees it and tells it to control: those through other data centres
//! when their set-ups end, and a sample of those straight from here, which is looked at between bursts. Packets pay nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use connect::Why;
use flows::{End, FlowId, Flows, State};
use shm::message::{Dial, DialFailure};
use wireguard::time::Instant;

use crate::counters::Counters;
use crate::exchange::Exchange;
use crate::limiter::Limiter;
use crate::limits::{
    DIAL_TIME, DIALS_BURST, DIALS_PER_SECOND, DIALS_PER_TURN, DIALS_WATCHED, SYN_RESENT_TIME,
};

/// What one worker tells of dials.
#[derive(Debug)]
pub struct Dials {
    exchange: Arc<Exchange>,
    worker: usize,
    limiter: Limiter,
    /// Connections straight from here that have not been answered.
    watched: Box<ArrayVec<Watched, DIALS_WATCHED>>,
    /// Where the next turn looks.
    next: usize,
}

/// A connection whose SYN has left.
#[derive(Clone, Copy, Debug)]
struct Watched {
    flow: FlowId,
    /// By which another flow with the same number is known.
    ends: [(IpAddr, u16); 2],
    begun: Instant,
}

/// By which data centres a connection goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Where it leaves; 0 for straight from here.
    pub exit: u16,
    /// Through which one it goes there; 0 for none.
    pub relay: u16,
}

impl Dials {
    /// Of a worker of `exchange`.
    pub fn new(exchange: Arc<Exchange>, worker: usize) -> Self {
        let share = DIALS_PER_SECOND / u32::try_from(exchange.workers().max(1)).unwrap_or(u32::MAX);
        let limiter = Limiter::new(share.max(1), DIALS_BURST);
        Self { exchange, worker, limiter, watched: Box::default(), next: 0 }
    }

    /// Tells of a connection through other data centres that has come about; of the time only when it is sure.
    pub fn opened(
        &mut self,
        (to, way): (SocketAddr, Way),
        time: Option<Duration>,
        (counters, now): (&Counters, Instant),
    ) {
        if let Some(time) = time {
            self.tell((to.ip(), way, Ok(time)), (counters, now));
        }
    }

    /// Tells of one that has not, if that says anything of the way or its end.
    pub fn failed(
        &mut self,
        (to, way): (SocketAddr, Way),
        why: Why,
        (counters, now): (&Counters, Instant),
    ) {
        if let Some(failure) = failure(why) {
            self.tell((to.ip(), way, Err(failure)), (counters, now));
        }
    }

    fn tell(
        &mut self,
        (to, Way { exit, relay }, answer): (IpAddr, Way, Result<Duration, DialFailure>),
        (counters, now): (&Counters, Instant),
    ) {
        let is_told = self.limiter.take(now)
            && self.exchange.dialled(self.worker, Dial { to, exit, relay, answer });
        let counter = if is_told { &counters.dials_told } else { &counters.dials_untold };
        counter.add(1);
    }

    /// A client's SYN has left straight from here. Of more than there are places for, some are not looked at.
    pub fn watch(&mut self, flow: FlowId, flows: &Flows, begun: Instant) {
        if self.watched.is_full() && !self.gives_place(begun) {
            return;
        }
        if let Some(ends) = opening(flow, flows) {
            self.watched.push(Watched { flow, ends, begun });
        }
    }

    /// Whether one has gone that is silent for so long that it tells no time any more: or whoever asks for many that are not
    /// there would hide how soon others answer.
    fn gives_place(&mut self, now: Instant) -> bool {
        let place = self.next % DIALS_WATCHED;
        let next = self.watched.get(place);
        let is_silent = next.is_some_and(|next| now.since(next.begun) >= SYN_RESENT_TIME);
        if is_silent {
            self.watched.swap_remove(place);
        }
        is_silent
    }

    /// Looks at some of those that are not answered yet.
    #[inline]
    pub fn advance(&mut self, flows: &Flows, (counters, now): (&Counters, Instant)) {
        if !self.watched.is_empty() {
            self.look(flows, (counters, now));
        }
    }

    #[cold]
    fn look(&mut self, flows: &Flows, (counters, now): (&Counters, Instant)) {
        for _ in 0..DIALS_PER_TURN.min(self.watched.len()) {
            let Some(watched) = self.watched.get(self.next).copied() else {
                self.next = 0;
                continue;
            };
            let Some(answer) = watched.answer(flows, now) else {
                self.next += 1;
                continue;
            };
            self.watched.swap_remove(self.next);
            if let Answer::Told(answer) = answer {
                let [_, (to, _)] = watched.ends;
                self.tell((to, Way::default(), answer), (counters, now));
            }
        }
    }
}

/// What has become of a connection.
enum Answer {
    Told(Result<Duration, DialFailure>),
    /// Nothing that says anything.
    Nothing,
}

impl Watched {
    /// None while there is none.
    fn answer(&self, flows: &Flows, now: Instant) -> Option<Answer> {
        let flow = flows.flow(self.flow).filter(|flow| flow.addresses(End::Near) == self.ends);
        let Some(flow) = flow else { return Some(Answer::Nothing) };
        let time = now.since(self.begun);
        match flow.state() {
            State::Opening if time < DIAL_TIME => None,
            State::Opening => Some(Answer::Told(Err(DialFailure::TimedOut))),
            State::Reset => Some(Answer::Told(Err(DialFailure::Refused))),
            State::Answered | State::Established if time < SYN_RESENT_TIME => {
                Some(Answer::Told(Ok(time)))
            }
            // Which of its SYNs was answered, nobody knows (RFC 6298 3).
            State::Answered
            | State::Established
            | State::Untracked
            | State::Incoming
            | State::NearFinished
            | State::FarFinished
            | State::Closing
            | State::Closed => Some(Answer::Nothing),
        }
    }
}

/// The ends of a flow of TCP whose first segment has just left.
fn opening(flow: FlowId, flows: &Flows) -> Option<[(IpAddr, u16); 2]> {
    let flow = flows.flow(flow).filter(|flow| flow.state() == State::Opening)?;
    Some(flow.addresses(End::Near))
}

/// What a set-up's end says of the way there; nothing when it ended by the client, by policy, or for want of something here.
const fn failure(why: Why) -> Option<DialFailure> {
    match why {
        // Our own exits say 502 when the destination refuses, and only then; proxies that are not ours say 500 or 503 for whatever
        // fails.
        Why::Answered(502) => Some(DialFailure::Refused),
        Why::Answered(504) => Some(DialFailure::TimedOut),
        Why::Answered(500 | 503) => Some(DialFailure::Unreachable),
        // Who does not understand the request, or has not got it whole, is no way to anywhere.
        Why::Answered(400..=402 | 404..=420 | 422..)
        | Why::FarRefused
        | Why::FarSilent
        | Why::FarReset
        | Why::FarOptions
        | Why::AnswerWrong
        | Why::AnswerTooLong => Some(DialFailure::Exit),
        Why::Answered(_)
        | Why::NearReset
        | Why::NearRestarted
        | Why::NearClosed
        | Why::NearSilent
        | Why::RequestLate
        | Why::RequestWrong
        | Why::RequestTooLong
        | Why::Forbidden
        | Why::HopsUsedUp
        | Why::FarChallenges
        | Why::Promised
        | Why::PortsExhausted
        | Why::FlowsFull
        | Why::OtherFamily
        | Why::ClientGone => None,
    }
}
