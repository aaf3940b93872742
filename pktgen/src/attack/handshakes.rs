//! Handshake messages that prove nothing, come again, or come too often.

use wireguard::cookie::{Checker, Jar};
use wireguard::message::{
    COOKIE_REPLY, COOKIE_REPLY_LEN, CookieReply, INITIATION, INITIATION_LEN, RESPONSE, RESPONSE_LEN,
};
use wireguard::noise::{Identity, PeerKeys, initiate};
use wireguard::secret::Secret;
use wireguard::time::{Instant, Tai64n};
use zerocopy::{FromBytes, IntoBytes};

use super::dice::Dice;
use super::frame::{Template, Way};
use super::scene::{Client, Need, Scene};

/// What is sent to the server's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Knock {
    /// Nothing that fits a message.
    Noise,
    /// An initiation whose first MAC is random.
    Mac1,
    /// One whose first MAC is right, and nothing else.
    Mac1Only,
    /// A good one of a key that the server does not know.
    Stranger,
    /// A captured one.
    Again,
    /// Good ones of a registered client, each newer than the last.
    Eager,
    /// Responses and cookie replies that nobody waits for.
    Unexpected,
    /// As [`Knock::Mac1Only`], with the cookie for the attacker's own address.
    Cookie,
}

/// Octets of an initiation that an attacker may make up: sender index, ephemeral key, both ciphertexts.
const INVENTED: std::ops::Range<usize> = 4..116;

/// Time between labels that differ for sure: they lose their low 24 bits.
const LABEL_STEP: u64 = 1 << 24;

/// One kind of handshake message, again and again.
#[derive(Debug)]
pub(super) struct Handshake {
    knock: Knock,
    templates: Vec<Template>,
    checker: Checker,
    jar: Jar,
    has_cookie: bool,
    eager: Option<Eager>,
}

/// What a registered client makes initiations of.
#[derive(Debug)]
struct Eager {
    identity: Identity,
    server: PeerKeys,
    unix: u64,
}

impl Handshake {
    pub(super) fn new(knock: Knock, scene: &Scene, dice: &mut Dice) -> Result<Self, Need> {
        let checker = Checker::new(&scene.server_public);
        let mut jar = Jar::new();
        let mut blank = [0; INITIATION_LEN];
        blank[0] = INITIATION;
        let of_type = |kind, len| {
            let mut octets = vec![0; len];
            octets.iter_mut().take(1).for_each(|octet| *octet = kind);
            octets
        };
        let payloads = match knock {
            Knock::Noise => [16, 31, COOKIE_REPLY_LEN, RESPONSE_LEN, INITIATION_LEN]
                .map(|len| of_type(0, len))
                .to_vec(),
            Knock::Mac1 | Knock::Mac1Only | Knock::Eager => vec![blank.to_vec()],
            Knock::Stranger => vec![stranger(scene, dice)?],
            Knock::Again => vec![scene.captured.initiation.clone().ok_or(Need::Initiation)?],
            Knock::Unexpected => {
                vec![of_type(RESPONSE, RESPONSE_LEN), of_type(COOKIE_REPLY, COOKIE_REPLY_LEN)]
            }
            Knock::Cookie => {
                jar.stamp(&checker, &mut blank, Instant::ZERO);
                vec![blank.to_vec()]
            }
        };
        let ports = (scene.own_port, scene.listen_port);
        let mut templates = Vec::new();
        for way in Way::all(scene)? {
            for payload in &payloads {
                templates.push(Template::udp(way, ports, payload)?);
            }
        }
        if knock == Knock::Cookie {
            // A cookie is for one address.
            templates.truncate(1);
        }
        let eager = if knock == Knock::Eager { Some(Eager::new(scene)?) } else { None };
        Ok(Self { knock, templates, checker, jar, has_cookie: false, eager })
    }

    #[inline]
    pub(super) fn build(&mut self, dice: &mut Dice, out: &mut [u8]) -> usize {
        let Some(mut draft) = dice.pick(&self.templates).and_then(|frame| frame.copy(out)) else {
            return 0;
        };
        if self.knock != Knock::Cookie {
            draft.spoof_with_port(dice);
        }
        let len = draft.payload_len();
        draft.payload(|octets| {
            if let Some(message) = octets.get_mut(..len) {
                self.write(message, dice);
            }
        });
        draft.finish()
    }

    /// Changes what may be changed of a message.
    fn write(&mut self, message: &mut [u8], dice: &mut Dice) {
        let checker = &self.checker;
        match self.knock {
            Knock::Noise => {
                dice.fill(message);
                // No message has a type above 4.
                message.iter_mut().take(1).for_each(|kind| *kind |= 0x10);
            }
            Knock::Mac1 => invent(message, INVENTED.start..INITIATION_LEN - 16, dice),
            Knock::Mac1Only => {
                invent(message, INVENTED, dice);
                checker.put_mac1(message);
            }
            // The index is not part of what the ciphertexts prove, so one good message makes many.
            Knock::Stranger => {
                invent(message, 4..8, dice);
                checker.put_mac1(message);
            }
            Knock::Again => {}
            Knock::Eager => {
                if let Some(eager) = &mut self.eager {
                    eager.write(message, dice);
                }
            }
            Knock::Unexpected => invent(message, 4..message.len(), dice),
            // Until the server has answered with the cookie, the message stays the same: any answer fits.
            Knock::Cookie if !self.has_cookie => {}
            Knock::Cookie => {
                invent(message, INVENTED, dice);
                self.jar.stamp(checker, message, Instant::ZERO);
            }
        }
    }

    /// Takes the server's cookie; says whether it was one for us.
    pub(super) fn learn(&mut self, reply: &[u8]) -> bool {
        if self.knock != Knock::Cookie || self.has_cookie {
            return false;
        }
        self.has_cookie = CookieReply::ref_from_bytes(reply)
            .is_ok_and(|reply| self.jar.receive(&self.checker, reply, Instant::ZERO).is_ok());
        self.has_cookie
    }
}

fn invent(message: &mut [u8], range: std::ops::Range<usize>, dice: &mut Dice) {
    dice.fill(message.get_mut(range).unwrap_or_default());
}

/// A good initiation of a key that nobody has registered.
fn stranger(scene: &Scene, dice: &mut Dice) -> Result<Vec<u8>, Need> {
    let identity = Identity::new(secret(dice));
    let server = PeerKeys::new(&identity, scene.server_public, Secret::zero());
    let server = server.map_err(|_| Need::Key)?;
    let stamp = Tai64n::new(0, 0);
    let (message, _) =
        initiate(&identity, &server, 0, stamp, secret(dice)).map_err(|_| Need::Key)?;
    Ok(message.as_bytes().to_vec())
}

/// Nothing is kept secret with it: the seed is in the report.
fn secret(dice: &mut Dice) -> Secret {
    let mut octets = [0; 32];
    dice.fill(&mut octets);
    Secret::new(octets)
}

impl Eager {
    fn new(scene: &Scene) -> Result<Self, Need> {
        let Client { secret, preshared, unix, .. } = scene.client.as_ref().ok_or(Need::Client)?;
        let identity = Identity::new(secret.clone());
        let server = PeerKeys::new(&identity, scene.server_public, preshared.clone());
        let unix = u64::try_from(unix.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self { identity, server: server.map_err(|_| Need::Key)?, unix })
    }

    fn write(&mut self, message: &mut [u8], dice: &mut Dice) {
        const SECOND: u64 = 1_000_000_000;
        self.unix = self.unix.saturating_add(LABEL_STEP);
        let nanos = u32::try_from(self.unix % SECOND).unwrap_or(0);
        let stamp = Tai64n::new(self.unix / SECOND, nanos);
        let made = initiate(&self.identity, &self.server, dice.index(), stamp, secret(dice));
        if let Ok((made, _)) = made
            && message.len() == INITIATION_LEN
        {
            message.copy_from_slice(made.as_bytes());
        }
    }
}
