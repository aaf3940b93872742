//! The frames of one attack, from the sources that its way names.

use std::fmt;

use super::dice::Dice;
use super::floods::Packets;
use super::handshakes::{Handshake, Knock};
use super::outer::{MALFORMED, Outer};
use super::sealed::{Forged, Forgery, Sealed};
use super::transit::Transit;
use super::{Attack, Mix, Need, Scene, Way};

/// An attack that cannot be made in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The attack.
    pub attack: Attack,
    /// What the scene lacks.
    pub need: Need,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "attack {} needs {}", self.attack, self.need)
    }
}

impl std::error::Error for Error {}

/// Makes the frames of one attack.
#[derive(Debug)]
pub struct Builder {
    attack: Attack,
    sources: Vec<Source>,
    dice: Dice,
}

impl Builder {
    /// Prepares an attack; an error says what the scene lacks for it.
    pub fn new(attack: Attack, scene: &Scene) -> Result<Self, Error> {
        let mut dice = Dice::new(scene);
        let sources = sources(attack.way(), scene, &mut dice);
        let sources = sources.map_err(|need| Error { attack, need })?;
        Ok(Self { attack, sources, dice })
    }

    /// The attack.
    pub const fn attack(&self) -> Attack {
        self.attack
    }

    /// Writes the next frame, without preamble and check sequence, to the start of `out` and gives its
    /// length in octets. `out` should have [`ROOM`] octets; 0 says that the frame did not fit. Octets behind
    /// the frame may be overwritten.
    #[inline]
    pub fn build(&mut self, out: &mut [u8]) -> usize {
        let count = self.sources.len();
        let number = match u16::try_from(count) {
            Ok(0 | 1) | Err(_) => 0,
            Ok(count) => usize::from(self.dice.below(count)),
        };
        match self.sources.get_mut(number) {
            Some(Source::Outer(source)) => source.build(&mut self.dice, out),
            Some(Source::Handshake(source)) => source.build(&mut self.dice, out),
            Some(Source::Forged(source)) => source.build(&mut self.dice, out),
            Some(Source::Sealed(source)) => source.build(&mut self.dice, out),
            Some(Source::Flood(source)) => source.build(&mut self.dice, out),
            Some(Source::Transit(source)) => source.build(&mut self.dice, out),
            None => 0,
        }
    }

    /// Shows the builder a datagram's payload that came to the attacker's own address; true if it was the
    /// cookie that [`Attack::DosHandshakeLimit`] waits for. Other attacks learn nothing.
    pub fn learn(&mut self, payload: &[u8]) -> bool {
        self.sources.iter_mut().any(|source| match source {
            Source::Handshake(source) => source.learn(payload),
            Source::Outer(_)
            | Source::Forged(_)
            | Source::Sealed(_)
            | Source::Flood(_)
            | Source::Transit(_) => false,
        })
    }
}

/// What makes frames.
#[derive(Debug)]
enum Source {
    Outer(Outer),
    Handshake(Box<Handshake>),
    Forged(Forged),
    Sealed(Box<Sealed>),
    Flood(Packets),
    Transit(Transit),
}

fn sources(way: Way, scene: &Scene, dice: &mut Dice) -> Result<Vec<Source>, Need> {
    let knock = |knock, dice: &mut Dice| {
        Handshake::new(knock, scene, dice).map(|made| Source::Handshake(Box::new(made)))
    };
    Ok(match way {
        Way::Outer(change) => vec![Source::Outer(Outer::new(change, scene)?)],
        Way::Handshake(kind) => vec![knock(kind, dice)?],
        Way::Forged(forgery) => vec![Source::Forged(Forged::new(forgery, scene)?)],
        Way::Sealed(trick) => vec![Source::Sealed(Box::new(Sealed::new(trick, scene)?))],
        Way::Transit(packet) => vec![Source::Transit(Transit::new(packet, scene)?)],
        Way::Flood(flood) => vec![Source::Flood(Packets::new(flood, scene)?)],
        Way::Mix(Mix::Initiations) => {
            vec![knock(Knock::Mac1Only, dice)?, knock(Knock::Stranger, dice)?]
        }
        Way::Mix(Mix::Captured) => any(
            [Forged::new(Forgery::Again, scene).map(Source::Forged), knock(Knock::Again, dice)],
            Need::Capture,
        )?,
        Way::Mix(Mix::Fragments) => vec![Source::Outer(Outer::fragments(scene)?)],
        Way::Mix(Mix::Malformed) => {
            any(MALFORMED.map(|change| Outer::new(change, scene).map(Source::Outer)), Need::Target)?
        }
    })
}

/// Those of several sources that the scene allows: at least one.
fn any<const N: usize>(
    sources: [Result<Source, Need>; N],
    need: Need,
) -> Result<Vec<Source>, Need> {
    let sources: Vec<_> = sources.into_iter().flatten().collect();
    if sources.is_empty() { Err(need) } else { Ok(sources) }
}
