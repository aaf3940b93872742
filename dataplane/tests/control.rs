//! The border to control: peers and routes change while packets flow, whole or not at all, and whatever control does
//! harms nobody else.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks at the events and obstacles that it is about"
)]

#[cfg(test)]
#[path = "control/changes.rs"]
mod changes;
#[cfg(test)]
#[path = "control/detection.rs"]
mod detection;
#[cfg(test)]
#[path = "control/hostile.rs"]
mod hostile;
#[cfg(test)]
#[path = "control/refusals.rs"]
mod refusals;
#[cfg(test)]
#[path = "control/stage.rs"]
mod stage;
#[cfg(test)]
#[path = "control/surveys.rs"]
mod surveys;
