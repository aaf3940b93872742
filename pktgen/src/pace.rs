//! Pacing: when each packet is planned to leave, whatever becomes of it. The plan never waits for the sender: a
//! generator that falls behind shows it as lateness and as packets owed, not as a lower rate.

use rand_chacha::rand_core::Rng;
use wireguard::time::Instant;

/// What a frame is longer on the wire than in memory, octets: the check sequence, which counts on layer 2.
const CHECK_SEQUENCE_LEN: usize = 4;
/// Preamble, start of frame and the gap between frames, octets, which count on layer 1 only.
const GAP_LEN: usize = 20;
const NANOS_PER_SEC: f64 = 1e9;

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// Packets per second.
    Packets(f64),
    /// Bits per second on the line: check sequence, preamble and gap included.
    Layer1(f64),
    /// Bits per second of Ethernet frames, check sequence included.
    Layer2(f64),
}

impl Rate {
    /// The same, faster or slower.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        match self {
            Self::Packets(rate) => Self::Packets(rate * factor),
            Self::Layer1(rate) => Self::Layer1(rate * factor),
            Self::Layer2(rate) => Self::Layer2(rate * factor),
        }
    }

    /// Nanoseconds from one frame of this length (without check sequence) to the next.
    pub fn interval_ns(self, frame_len: usize) -> f64 {
        let bits = |overhead: usize| {
            f64::from(u32::try_from((frame_len + overhead) * 8).unwrap_or(u32::MAX))
        };
        match self {
            Self::Packets(rate) => NANOS_PER_SEC / rate,
            Self::Layer1(rate) => NANOS_PER_SEC * bits(CHECK_SEQUENCE_LEN + GAP_LEN) / rate,
            Self::Layer2(rate) => NANOS_PER_SEC * bits(CHECK_SEQUENCE_LEN) / rate,
        }
    }

    /// Packets per second of frames of this length.
    pub fn packets_per_second(self, frame_len: usize) -> f64 {
        NANOS_PER_SEC / self.interval_ns(frame_len)
    }

    /// Reads `1000pps`, `2.5Mpps`, `10Mbit/s` (layer 2) or `10Gbit/s-l1`; prefixes k, M and G.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let units = ["pps", "bit/s-l1", "bit/s-l2", "bit/s"];
        let (number, unit) =
            units.iter().find_map(|unit| Some((text.strip_suffix(unit)?.trim(), *unit)))?;
        let prefixes = [("k", 1e3), ("M", 1e6), ("G", 1e9)];
        let split = prefixes
            .iter()
            .find_map(|(prefix, scale)| Some((number.strip_suffix(prefix)?, *scale)));
        let (number, scale) = split.unwrap_or((number, 1.0));
        let value = number.trim().parse::<f64>().ok()? * scale;
        let rate = match unit {
            "pps" => Self::Packets(value),
            "bit/s-l1" => Self::Layer1(value),
            _ => Self::Layer2(value),
        };
        (value.is_finite() && value > 0.0).then_some(rate)
    }
}

/// How the packets of a rate are spread over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pattern {
    /// Equal gaps.
    Constant,
    /// Exponential gaps, as many independent senders make them; the rate is the mean.
    Poisson,
    /// So many packets at once, then a gap that keeps the rate.
    Bursts(u32),
    /// The rate for `on` nanoseconds, silence for `off`: the mean rate is lower than the rate.
    OnOff {
        /// Nanoseconds of sending.
        on: u64,
        /// Nanoseconds of silence.
        off: u64,
    },
}

/// The plan of one stream of packets.
#[derive(Clone, Debug)]
pub struct Pacer {
    rate: Rate,
    pattern: Pattern,
    start: Instant,
    /// Nothing later than this is planned.
    until: Instant,
    /// The time of the next packet, less its fraction of a nanosecond.
    at: Instant,
    fraction: f64,
    /// What bursts have saved up.
    owed_ns: f64,
    in_burst: u32,
    planned: u64,
}

impl Pacer {
    /// A plan whose first packet is due at `start`.
    pub fn new(rate: Rate, pattern: Pattern, start: Instant) -> Self {
        Self {
            rate,
            pattern,
            start,
            until: Instant::NEVER,
            at: start,
            fraction: 0.0,
            owed_ns: 0.0,
            in_burst: 0,
            planned: 0,
        }
    }

    /// Ends the plan: nothing later than this is due.
    pub const fn end(&mut self, until: Instant) {
        self.until = until;
    }

    /// When the next packet is planned to leave.
    pub const fn next(&self) -> Instant {
        self.at
    }

    /// Packets that were taken from the plan.
    pub const fn planned(&self) -> u64 {
        self.planned
    }

    /// Takes the next packet, whose frame has `frame_len` octets, from the plan if it is due by `now`, and
    /// returns the moment it was planned for.
    pub fn take(&mut self, now: Instant, frame_len: usize, rng: &mut impl Rng) -> Option<Instant> {
        if self.at > now.min(self.until) {
            return None;
        }
        let due = self.at;
        self.planned += 1;
        self.advance(frame_len, rng);
        Some(due)
    }

    /// Packets of this length that are due by `now` and were not taken, by the mean rate.
    pub fn owed(&self, now: Instant, frame_len: usize) -> u64 {
        let now = now.min(self.until);
        if self.at > now {
            return 0;
        }
        let late = nanos(now.since(self.at).as_nanos());
        let share = match self.pattern {
            Pattern::OnOff { on, off } => {
                nanos(on.into()) / nanos(u128::from(on) + u128::from(off))
            }
            Pattern::Constant | Pattern::Poisson | Pattern::Bursts(_) => 1.0,
        };
        whole(late * share / self.rate.interval_ns(frame_len)) + 1
    }

    fn advance(&mut self, frame_len: usize, rng: &mut impl Rng) {
        let interval = self.rate.interval_ns(frame_len);
        let step = match self.pattern {
            Pattern::Constant | Pattern::OnOff { .. } => interval,
            Pattern::Poisson => -interval * (1.0 - unit(rng)).ln(),
            Pattern::Bursts(len) => {
                self.owed_ns += interval;
                self.in_burst += 1;
                if self.in_burst < len {
                    return;
                }
                self.in_burst = 0;
                std::mem::take(&mut self.owed_ns)
            }
        };
        let step = step + self.fraction;
        let count = whole(step);
        self.fraction = step - float(count);
        self.at = Instant(self.at.0.saturating_add(count));
        if let Pattern::OnOff { on, off } = self.pattern {
            self.skip_silence(on, off);
        }
    }

    /// Moves a packet that would fall into the silence to the end of it.
    fn skip_silence(&mut self, on: u64, off: u64) {
        let period = on.saturating_add(off).max(1);
        let within = self.at.0.saturating_sub(self.start.0) % period;
        if within >= on {
            self.at = Instant(self.at.0.saturating_add(period - within));
            self.fraction = 0.0;
        }
    }
}

/// Uniform in 0..1.
pub(crate) fn unit(rng: &mut impl Rng) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}

#[expect(clippy::cast_precision_loss, reason = "53 bits of nanoseconds are 104 days")]
fn nanos(count: u128) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "53 bits of nanoseconds are 104 days")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// The whole part of a number that is not negative; saturates.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and the number is not negative"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    const START: Instant = Instant(1_000);
    const SECOND: Instant = Instant(1_000 + 1_000_000_000);

    fn plan(rate: Rate, pattern: Pattern, until: Instant) -> Vec<u64> {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let mut pacer = Pacer::new(rate, pattern, START);
        let mut times = Vec::new();
        while let Some(at) = pacer.take(until, 60, &mut rng) {
            times.push(at.0 - START.0);
        }
        assert_eq!(pacer.planned(), times.len() as u64);
        times
    }

    #[test]
    fn a_constant_plan_does_not_drift_by_rounding() {
        let times = plan(Rate::Packets(3.0), Pattern::Constant, Instant(START.0 + 300_000_000_001));
        assert!(times.len() >= 901);
        assert_eq!(times[..3], [0, 333_333_333, 666_666_666]);
        assert!(times[900].abs_diff(300_000_000_000) <= 1, "{}", times[900]);
    }

    #[test]
    fn a_poisson_plan_has_the_rate_and_the_spread_of_one() {
        let times = plan(Rate::Packets(100_000.0), Pattern::Poisson, SECOND);
        assert!((98_000..102_000).contains(&times.len()), "{}", times.len());
        let gaps: Vec<u64> = times.windows(2).map(|two| two[1] - two[0]).collect();
        // An exponential gap exceeds its mean with probability 1/e.
        let longer = gaps.iter().filter(|&&gap| gap > 10_000).count();
        assert!((35_000..39_000).contains(&longer), "{longer}");
    }

    #[test]
    fn bursts_leave_together_at_the_same_mean_rate() {
        let times = plan(Rate::Packets(1000.0), Pattern::Bursts(4), SECOND);
        assert_eq!(times[..5], [0, 0, 0, 0, 4_000_000]);
        assert_eq!(times.len(), 1004);
    }

    #[test]
    fn on_and_off_alternate_from_the_start() {
        let pattern = Pattern::OnOff { on: 10_000_000, off: 90_000_000 };
        let times = plan(Rate::Packets(1000.0), pattern, Instant(SECOND.0 - 1));
        assert_eq!(times.len(), 100);
        assert!(times.iter().all(|at| at % 100_000_000 < 10_000_000), "{times:?}");
    }

    #[test]
    fn bit_rates_count_what_their_layer_counts() {
        // 64 octets with check sequence: 84 on the line, the 14.88 Mpps of 10 GbE.
        let line = Rate::parse("10Gbit/s-l1").unwrap().packets_per_second(60);
        assert!((14_880_952.0..14_880_953.0).contains(&line), "{line}");
        let frames = Rate::parse("512kbit/s").unwrap().packets_per_second(60);
        assert!((frames - 1000.0).abs() < 1e-6);
        assert_eq!(Rate::parse("2.5Mpps"), Some(Rate::Packets(2_500_000.0)));
        assert_eq!(Rate::Packets(10.0).times(1.5), Rate::Packets(15.0));
        for wrong in ["", "pps", "-1pps", "0pps", "1 packets", "NaNpps", "1e999pps"] {
            assert_eq!(Rate::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_sender_that_falls_behind_owes_what_it_did_not_send() {
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let mut pacer = Pacer::new(Rate::Packets(1000.0), Pattern::Constant, START);
        for _ in 0..400 {
            pacer.take(SECOND, 60, &mut rng).unwrap();
        }
        assert_eq!(pacer.owed(SECOND, 60), 601);
        assert_eq!(pacer.owed(Instant(START.0 + 399_000_000), 60), 0);
        pacer.end(Instant(START.0 + 400_000_000));
        assert_eq!(pacer.owed(SECOND, 60), 1, "the plan has ended");
        assert!(pacer.take(SECOND, 60, &mut rng).is_some());
        assert_eq!(pacer.take(SECOND, 60, &mut rng), None);
    }
}
