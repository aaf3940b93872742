//! One figure: a value, where it comes from, how sure it is, and what it is held against.

use serde::{Deserialize, Serialize};

use crate::sample::{self, Interval};
use crate::text::short;

/// A number that was measured, with what a reader needs to believe it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// In the unit of its column.
    pub value: f64,
    /// Where 95 of 100 resamples have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// How many observations it is drawn from.
    pub n: u64,
    /// Which part of the trials lies below it; none for what is no quantile of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantile: Option<f64>,
    /// Every trial, in the order in which it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trials: Vec<f64>,
    /// Which way is better; none for what is not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub better: Option<Better>,
    /// What was wanted at least or at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// The best of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// Whether it is what was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Costs: time, memory, loss.
    Lower,
    /// Yields: rates, goodput, ratios to others.
    Higher,
}

/// What became of what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As wanted or better.
    Met,
    /// Short of it.
    Missed,
    /// Too disturbed to say.
    Void,
}

/// Another program's figure for the same work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name, with the version where it matters.
    pub name: String,
    /// In the same unit.
    pub value: f64,
    /// How many times better ours is: above 1 is in our favour.
    pub ratio: f64,
    /// Where 95 of 100 resamples have the ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Where it was measured, when that was not in the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<String>,
}

impl Figure {
    /// What was counted, or measured once.
    pub const fn single(value: f64) -> Self {
        Self {
            value,
            interval: None,
            n: 1,
            quantile: None,
            trials: Vec::new(),
            better: None,
            target: None,
            peer: None,
            verdict: None,
        }
    }

    /// The value below which this part of the trials lies, with all of them and its bootstrap interval.
    pub fn quantile(trials: &[f64], share: f64) -> Self {
        let trials: Vec<f64> = trials.iter().copied().filter(|trial| trial.is_finite()).collect();
        let Interval { value, low, high } = sample::resampled(&trials, share);
        Self {
            interval: Some([low, high]),
            n: trials.len() as u64,
            quantile: Some(share),
            trials: trials.into_iter().map(rounded).collect(),
            ..Self::single(value)
        }
    }

    /// The 10th percentile: service time, which noise from outside hardly moves.
    pub fn p10(trials: &[f64]) -> Self {
        Self::quantile(trials, 0.1)
    }

    /// The middle of the trials.
    pub fn median(trials: &[f64]) -> Self {
        Self::quantile(trials, 0.5)
    }

    /// A second quantile of what another figure keeps the trials of: its value alone, not judged.
    pub fn also(trials: &[f64], share: f64) -> Self {
        let value = sample::quantile(trials.to_vec(), share);
        Self { n: trials.len() as u64, quantile: Some(share), ..Self::single(value) }
    }

    /// A ratio or a difference, as [`sample::compared`] makes it from trials that are kept elsewhere.
    pub fn compared(Interval { value, low, high }: Interval, n: usize) -> Self {
        Self { interval: Some([low, high]), n: n as u64, ..Self::single(value) }
    }

    /// Less of it is better.
    #[must_use]
    pub const fn lower(mut self) -> Self {
        self.better = Some(Better::Lower);
        self
    }

    /// More of it is better.
    #[must_use]
    pub const fn higher(mut self) -> Self {
        self.better = Some(Better::Higher);
        self
    }

    /// No more than this was wanted.
    #[must_use]
    pub fn at_most(self, target: f64) -> Self {
        let verdict = if self.value <= target { Verdict::Met } else { Verdict::Missed };
        Self { target: Some(target), verdict: Some(verdict), ..self.lower() }
    }

    /// No less than this was wanted.
    #[must_use]
    pub fn at_least(self, target: f64) -> Self {
        let verdict = if self.value >= target { Verdict::Met } else { Verdict::Missed };
        Self { target: Some(target), verdict: Some(verdict), ..self.higher() }
    }

    /// Drawn from so many observations, where they are not kept one by one.
    #[must_use]
    pub const fn of(mut self, n: u64) -> Self {
        self.n = n;
        self
    }

    /// Beside another's trials of the same run, block by block in turn with ours. Which way is better must be said before.
    #[must_use]
    pub fn beside(mut self, name: &str, theirs: &[f64]) -> Self {
        let share = self.quantile.unwrap_or(0.1);
        let better = self.better.unwrap_or(Better::Lower);
        let ratio = move |ours: f64, theirs: f64| advantage(better, ours, theirs);
        let found = sample::compared_at(share, (&self.trials, theirs), ratio);
        self.peer = Some(Peer {
            name: name.to_owned(),
            value: sample::quantile(theirs.to_vec(), share),
            ratio: found.value,
            interval: Some([found.low, found.high]),
            elsewhere: None,
        });
        self.finite_peer()
    }

    /// Beside another's single figure: of the same run, or measured elsewhere, and then where.
    #[must_use]
    pub fn beside_one(mut self, name: &str, value: f64, elsewhere: Option<&str>) -> Self {
        let ratio = advantage(self.better.unwrap_or(Better::Lower), self.value, value);
        self.peer = Some(Peer {
            name: name.to_owned(),
            value,
            ratio,
            interval: None,
            elsewhere: elsewhere.map(str::to_owned),
        });
        self.finite_peer()
    }

    /// Too disturbed to be held against anything.
    #[must_use]
    pub const fn void(mut self) -> Self {
        self.verdict = Some(Verdict::Void);
        self
    }

    /// What was wanted, in signs.
    pub fn wanted(&self) -> Option<String> {
        let target = short(self.target?);
        Some(match self.better? {
            Better::Lower => format!("≤ {target}"),
            Better::Higher => format!("≥ {target}"),
        })
    }

    /// JSON has no infinity, and a ratio to nothing says nothing.
    fn finite_peer(mut self) -> Self {
        let finite = |peer: &Peer| {
            let interval = peer.interval.unwrap_or_default();
            [peer.value, peer.ratio, interval[0], interval[1]].iter().all(|part| part.is_finite())
        };
        self.peer = self.peer.filter(finite);
        self
    }
}

/// How many times better ours is.
fn advantage(better: Better, ours: f64, theirs: f64) -> f64 {
    match better {
        Better::Lower => theirs / ours,
        Better::Higher => ours / theirs,
    }
}

/// To a thousandth: what a trial says beyond that is noise, and a file of a hundred thousand trials is read by people too.
fn rounded(trial: f64) -> f64 {
    (trial * 1000.0).round() / 1000.0
}

impl Verdict {
    /// As a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Void => "void",
        }
    }

    /// As a word that a reader shall not overlook where it must not be overlooked.
    pub const fn marked(self) -> &'static str {
        match self {
            Self::Missed => "**missed**",
            Self::Met | Self::Void => self.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_at_its_bound_and_missed_beyond() {
        let verdict = |figure: Figure| figure.verdict.unwrap();
        assert_eq!(verdict(Figure::single(60.0).at_most(60.0)), Verdict::Met);
        assert_eq!(verdict(Figure::single(60.1).at_most(60.0)), Verdict::Missed);
        assert_eq!(verdict(Figure::single(3.5).at_least(3.5)), Verdict::Met);
        assert_eq!(verdict(Figure::single(3.4).at_least(3.5)), Verdict::Missed);
        assert_eq!(verdict(Figure::single(1.0).at_most(2.0).void()), Verdict::Void);
    }

    #[test]
    fn a_peers_ratio_is_in_our_favour_whichever_way_is_better() {
        let cost = Figure::p10(&[10.0; 20]).lower().beside("slow", &[30.0; 20]).peer.unwrap();
        assert!((cost.ratio - 3.0).abs() < 1e-9 && cost.interval.is_some(), "{cost:?}");
        let rate = Figure::single(10.0).higher().beside_one("fast", 20.0, None).peer.unwrap();
        assert!((rate.ratio - 0.5).abs() < 1e-9, "{rate:?}");
    }

    #[test]
    fn a_ratio_to_nothing_is_left_out() {
        assert!(Figure::p10(&[]).lower().beside("other", &[1.0]).peer.is_none());
    }
}
