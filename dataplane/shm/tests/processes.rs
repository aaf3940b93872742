//! Two real processes, of which one is killed again and again in the middle of what it does.
//!
//! The other side is this very program, started again with its role in the environment.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]
#![expect(clippy::disallowed_methods, reason = "a test that waits for another process has an end")]

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::yield_now;
use std::time::{Duration, Instant};

use shm::attach::Sizes;
use shm::limits::ITEMS_MAX;
use shm::mapping::Mapping;
use shm::message::{COMMAND_WORDS, EVENT_WORDS, Event, Item, Peer, PublicKey, Scope};
use shm::region::Standing;
use shm::ring::{Consumer, Producer};
use shm::transaction::{Reader, Reason, Received, Transaction, WriteError, Writer};
use shm::{Control, Dataplane, Place};
use wireguard::message::ClientId;
use wireguard::secret::Secret;

const SIZES: Sizes = Sizes { command_slots: 64, event_slots: 64, counters: 8, blocks: 1 };
const KILLS: u64 = 60;
const PATIENCE: Duration = Duration::from_mins(1);

/// Both rings, as control has them.
type Rings = (Producer<Arc<Mapping>, COMMAND_WORDS>, Consumer<Arc<Mapping>, EVENT_WORDS>);

/// A number that depends on another and nothing else (`SplitMix64`'s step).
fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The items of a transaction, known to both sides by its number.
fn items(id: u64) -> Vec<Item> {
    let item = |at: u64| match scatter(id ^ (at << 32)) % 3 {
        0 => Item::NextHopRemove(u32::try_from(id & 0xffff).unwrap()),
        1 => Item::Route {
            prefix: "10.0.0.0/8".parse().unwrap(),
            next_hop: u32::try_from(at).unwrap(),
        },
        _ => Item::Peer(Box::new(Peer {
            public_key: PublicKey([u8::try_from(at).unwrap() | 1; 32]),
            preshared_key: Secret::new([7; 32]),
            client_id: ClientId::ZERO,
            endpoint: None,
            persistent_keepalive: None,
            allowed_ips: vec!["10.0.0.1/32".parse().unwrap(); (scatter(id + at) % 30) as usize],
        })),
    };
    (0..scatter(id) % 40).map(item).collect()
}

struct Root(PathBuf);

impl Root {
    fn new(test: &str) -> Self {
        let path = PathBuf::from(format!("/dev/shm/shm-test-{}-{test}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn place(&self) -> Place {
        Place::beneath(&self.0, "a").unwrap()
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The other side, which ends with its test.
struct Other(Child);

impl Other {
    fn start(role: &str, root: &Root, number: u64) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "the_other_side", "--nocapture"])
            .env("SHM_ROLE", role)
            .env("SHM_ROOT", &root.0)
            .env("SHM_NUMBER", number.to_string())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// SIGKILL.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Does nothing when the tests run; the tests start it in processes of its own.
#[test]
fn the_other_side() {
    let Ok(role) = env::var("SHM_ROLE") else { return };
    let root = PathBuf::from(env::var("SHM_ROOT").unwrap());
    let place = Place::beneath(&root, "a").unwrap();
    let number = env::var("SHM_NUMBER").unwrap().parse().unwrap();
    let end = Instant::now() + PATIENCE;
    match role.as_str() {
        "control" => control(&place, number, end),
        _ => dataplane(&place, number, end),
    }
}

/// Writes one transaction after another.
fn control(place: &Place, first: u64, end: Instant) {
    let control = Control::attach(place).unwrap();
    let mut writer = Writer::new(control.commands);
    let mut id = first;
    while Instant::now() < end {
        retry(end, || writer.begin(id, Scope::Delta));
        for item in &items(id) {
            retry(end, || writer.item(item));
        }
        retry(end, || writer.commit());
        id += 1;
    }
}

fn retry(end: Instant, mut write: impl FnMut() -> Result<(), WriteError>) {
    while let Err(error) = write() {
        assert_eq!(error, WriteError::Full);
        assert!(Instant::now() < end, "nobody reads");
        yield_now();
    }
}

/// Applies one transaction after another.
fn dataplane(place: &Place, generation: u64, end: Instant) {
    let dataplane = Dataplane::create(place, SIZES, generation).unwrap();
    let mut reader = Reader::new(dataplane.commands, ITEMS_MAX);
    let mut events = dataplane.events;
    while Instant::now() < end {
        let event = match reader.poll(7) {
            Some(Received::Transaction(transaction)) => {
                assert_eq!(transaction.items, items(transaction.id));
                Event::Applied { id: transaction.id, count: transaction.count }
            }
            Some(Received::Refused(refusal)) => panic!("{refusal}"),
            Some(Received::Survey(id)) => Event::Surveyed { id },
            Some(Received::Corrupt(corrupt)) => panic!("{corrupt}"),
            None => {
                yield_now();
                continue;
            }
        };
        while events.push(&event.encode()).is_err() && Instant::now() < end {
            yield_now();
        }
    }
}

/// What the test's dataplane has seen.
#[derive(Default)]
struct Seen {
    last: u64,
    applied: u64,
    died: u64,
}

impl Seen {
    fn take(&mut self, received: Received) {
        match received {
            Received::Transaction(Transaction { id, items: got, .. }) => {
                assert!(id > self.last, "{id} after {}", self.last);
                assert_eq!(got, items(id), "transaction {id} is not whole");
                self.last = id;
                self.applied += 1;
            }
            Received::Refused(refusal) => {
                assert_eq!(refusal.reason, Reason::ProducerDied, "{refusal}");
                self.died += 1;
            }
            Received::Survey(id) => panic!("nobody asked for survey {id}"),
            Received::Corrupt(corrupt) => panic!("{corrupt}"),
        }
    }
}

#[test]
fn a_control_killed_at_any_moment_leaves_whole_transactions_alone() {
    let root = Root::new("control");
    let dataplane = Dataplane::create(&root.place(), SIZES, 1).unwrap();
    let mut reader = Reader::new(dataplane.commands, ITEMS_MAX);
    let mut seen = Seen::default();
    let end = Instant::now() + PATIENCE;
    for seed in 0..KILLS {
        let other = Other::start("control", &root, seed * 1_000_000 + 1);
        let epoch = seed + 1;
        // At least one, so that each control has begun its epoch.
        let mut polls = 1 + scatter(seed) % 400;
        while polls > 0 {
            assert!(Instant::now() < end, "seed {seed}: nobody writes");
            let received = reader.poll(1 + (scatter(polls) % 9) as usize);
            // Polls count from the first message of this control on.
            if reader.ring().producer_epoch() == epoch {
                polls -= 1;
            } else {
                yield_now();
            }
            if let Some(received) = received {
                seen.take(received);
            }
        }
        other.kill();
    }
    // What the last one has left.
    (0..200).filter_map(|_| reader.poll(1)).for_each(|received| seen.take(received));
    assert!(seen.applied > KILLS && seen.died > 0, "{} applied, {} died", seen.applied, seen.died);
    assert_eq!(reader.ring().faults(), shm::ring::Faults::default());
}

/// Attaches as soon as the dataplane of this generation is there.
fn attach(place: &Place, generation: u64, end: Instant) -> Control {
    loop {
        match Control::attach(place) {
            Ok(control) if control.generation == generation => return control,
            Ok(_) => {}
            Err(error) => assert!(error.is_temporary(), "{error}"),
        }
        assert!(Instant::now() < end, "no dataplane of generation {generation}");
        yield_now();
    }
}

/// Writes transactions until so many are applied.
fn write_until((commands, mut events): Rings, applied: u64, end: Instant) {
    let mut writer = Writer::new(commands);
    let (mut heard, mut id) = (0, 0);
    let mut listen = || {
        let taken = events.take(64, |taken| {
            let event = Event::decode(taken.message).unwrap();
            assert!(matches!(event, Event::Applied { id, .. } if id == heard + 1), "{event:?}");
            heard += 1;
        });
        taken.unwrap();
        heard
    };
    while listen() < applied {
        id += 1;
        assert!(Instant::now() < end, "nothing is applied");
        let mut patiently = |write: &mut dyn FnMut() -> Result<(), WriteError>| {
            retry(end, || write().inspect_err(|_| _ = listen()));
        };
        patiently(&mut || writer.begin(id, Scope::Delta));
        for item in &items(id) {
            patiently(&mut || writer.item(item));
        }
        patiently(&mut || writer.commit());
    }
}

#[test]
fn a_dataplane_killed_at_any_moment_is_noticed_and_replaced() {
    let root = Root::new("dataplane");
    for seed in 1..=KILLS {
        let end = Instant::now() + PATIENCE;
        let other = Other::start("dataplane", &root, seed);
        let control = attach(&root.place(), seed, end);
        write_until((control.commands, control.events), scatter(seed) % 60, end);
        assert_eq!(control.attachment.standing(), Standing::InUse, "seed {seed}");
        other.kill();
        assert_eq!(control.attachment.standing(), Standing::Died, "seed {seed}");
    }
}
