//! Ring and transactions against the stupidest things that could do the same, with either side killed at random.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use proptest::prelude::*;
use shm::memory::private;
use shm::message::{Item, Scope};
use shm::ring::{Consumer, Faults, Geometry, Producer};
use shm::transaction::{Reader, Reason, Received, WriteError, Writer};

type Words = Arc<[AtomicU64]>;

#[derive(Clone, Debug)]
enum Act {
    Push(usize),
    Take(usize),
    KillProducer,
    KillConsumer,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0_usize..12).prop_map(Act::Push),
        8 => (0_usize..12).prop_map(Act::Take),
        1 => Just(Act::KillProducer),
        1 => Just(Act::KillConsumer),
    ]
}

fn ring_agrees(slots: u32, acts: &[Act]) -> Result<(), TestCaseError> {
    let geometry = Geometry::<3>::new(slots).unwrap();
    let memory = private(geometry.words());
    let mut producer = Producer::attach(memory.clone(), geometry).unwrap();
    let mut consumer = Consumer::attach(memory.clone(), geometry).unwrap();
    let (mut model, mut next, mut epoch) = (VecDeque::new(), 0_u64, 1_u64);
    for act in acts {
        match act {
            Act::Push(count) => {
                let messages: Vec<[u64; 3]> =
                    (next..).take(*count).map(|number| [number, !number, 7]).collect();
                let pushed = producer.push_batch(&messages).unwrap();
                prop_assert_eq!(pushed, (*count).min(slots as usize - model.len()));
                model.extend((next..).take(pushed).map(|number| (epoch, number)));
                next += pushed as u64;
            }
            Act::Take(max) => {
                // Once for what was known, once for what a fresh look shows.
                let mut taken = Vec::new();
                for _ in 0..2 {
                    let left = max - taken.len();
                    consumer
                        .take(left, |found| {
                            assert_eq!(found.message[1..], [!found.message[0], 7]);
                            taken.push((found.epoch, found.message[0]));
                        })
                        .unwrap();
                }
                let expected: Vec<_> = model.drain(..(*max).min(model.len())).collect();
                prop_assert_eq!(taken, expected);
            }
            Act::KillProducer => {
                producer = Producer::attach(memory.clone(), geometry).unwrap();
                epoch += 1;
                prop_assert_eq!(producer.epoch(), epoch);
            }
            Act::KillConsumer => {
                consumer = Consumer::attach(memory.clone(), geometry).unwrap();
                model.clear();
            }
        }
    }
    prop_assert_eq!((producer.faults(), consumer.faults()), (Faults::default(), Faults::default()));
    Ok(())
}

/// What control does in the model of transactions.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    Item(u8),
    Commit,
    Abort,
    Die,
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Begin),
        12 => any::<u8>().prop_map(Step::Item),
        4 => Just(Step::Commit),
        1 => Just(Step::Abort),
        1 => Just(Step::Die),
        6 => (1_usize..20).prop_map(Step::Read),
    ]
}

fn route(number: u8) -> Item {
    Item::Route { prefix: format!("10.{number}.0.0/16").parse().unwrap(), next_hop: number.into() }
}

const ITEMS_MAX: usize = 12;

/// What must come out, in order: transactions with their items, and refusals.
#[derive(Debug, PartialEq)]
enum Outcome {
    Applied(u64, Vec<Item>),
    Refused(u64, Reason),
}

struct Control {
    writer: Writer<Words>,
    id: u64,
    open: Option<Vec<Item>>,
    expected: Vec<Outcome>,
}

impl Control {
    fn end(&mut self, reason: Option<Reason>) {
        let Some(items) = self.open.take() else { return };
        self.expected.push(match reason {
            // What is too large was refused when it became so.
            _ if items.len() > ITEMS_MAX => return,
            Some(reason) => Outcome::Refused(self.id, reason),
            None => Outcome::Applied(self.id, items),
        });
    }

    fn step(&mut self, step: &Step, memory: &Words, geometry: Geometry<22>) {
        match step {
            Step::Begin => match self.writer.begin(self.id + 1, Scope::Delta) {
                Ok(()) => {
                    self.id += 1;
                    self.open = Some(Vec::new());
                }
                Err(error) => assert!(error == WriteError::Full || self.open.is_some()),
            },
            Step::Item(number) => match (self.writer.item(&route(*number)), &mut self.open) {
                (Ok(()), Some(items)) => {
                    items.push(route(*number));
                    if items.len() == ITEMS_MAX + 1 {
                        self.expected.push(Outcome::Refused(self.id, Reason::TooLarge));
                    }
                }
                (result, Some(_)) => assert_eq!(result, Err(WriteError::Full)),
                (result, None) => assert_eq!(result, Err(WriteError::NotOpen)),
            },
            Step::Commit => match self.writer.commit() {
                Ok(()) => self.end(None),
                Err(error) => assert!(error == WriteError::Full || self.open.is_none()),
            },
            Step::Abort => match self.writer.abort() {
                Ok(()) => self.end(Some(Reason::Aborted)),
                Err(error) => assert!(error == WriteError::Full || self.open.is_none()),
            },
            Step::Die => {
                self.end(Some(Reason::ProducerDied));
                self.writer = Writer::new(Producer::attach(memory.clone(), geometry).unwrap());
            }
            Step::Read(_) => {}
        }
    }
}

fn transactions_agree(steps: &[Step]) -> Result<(), TestCaseError> {
    let geometry = Geometry::new(16).unwrap();
    let memory = private(geometry.words());
    let consumer = Consumer::attach(memory.clone(), geometry).unwrap();
    let mut reader = Reader::new(consumer, ITEMS_MAX);
    let writer = Writer::new(Producer::attach(memory.clone(), geometry).unwrap());
    let mut control = Control { writer, id: 0, open: None, expected: Vec::new() };
    let mut outcomes = Vec::new();
    for step in steps {
        control.step(step, &memory, geometry);
        if let Step::Read(budget) = step {
            outcomes.extend(reader.poll(*budget).map(outcome));
        }
    }
    control.step(&Step::Die, &memory, geometry);
    // A poll that gives nothing may yet have read: the ring holds 16 messages.
    for _ in 0..32 + steps.len() {
        outcomes.extend(reader.poll(1).map(outcome));
    }
    prop_assert_eq!(outcomes, control.expected);
    Ok(())
}

fn outcome(received: Received) -> Outcome {
    match received {
        Received::Transaction(transaction) => {
            assert_eq!(transaction.count, transaction.items.len() as u64);
            Outcome::Applied(transaction.id, transaction.items)
        }
        Received::Refused(refusal) => Outcome::Refused(refusal.id, refusal.reason),
        Received::Survey(id) => panic!("nobody asked for survey {id}"),
        Received::Corrupt(corrupt) => panic!("{corrupt}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_ring_is_a_bounded_queue_whoever_dies(
        log_slots in 0_u32..5, acts in prop::collection::vec(act(), 0..300),
    ) {
        ring_agrees(1 << log_slots, &acts)?;
    }

    #[test]
    fn transactions_come_whole_or_with_a_reason(steps in prop::collection::vec(step(), 0..300)) {
        transactions_agree(&steps)?;
    }
}
