//! One case: its files, and the comparison with what a server does now.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataplane::counters::Totals;
use dataplane::exchange::Job;
use dataplane::fate::DropReason;
use dataplane::limits::JOBS_UNDER_LOAD;
use dataplane::testing::rules::tenant;
use dataplane::testing::scene::{Scene, Seen};
use dataplane::testing::server::{LOCAL, Options, PORT_KERNEL, Place, Server, WIRE};
use dataplane::testing::{self, START, UNIX, unix};
use serde::{Deserialize, Serialize};
use shm::message::{Item, SynGuard};
use wireguard::time::Instant;

use super::pcap::{self, Frame};

/// The names of the queues in case.toml.
const QUEUES: [(&str, Place); 3] = [("wire", WIRE), ("kernel", PORT_KERNEL), ("local", LOCAL)];

pub(crate) struct Case {
    pub(crate) name: String,
    sheet: Sheet,
    inputs: Vec<Frame>,
    outputs: Vec<Frame>,
    opened: Vec<Frame>,
}

/// case.toml.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sheet {
    /// What the case shows.
    about: String,
    /// The server's seed.
    seed: u64,
    /// Whether its handshake threads are busy when the last frame comes.
    busy: bool,
    /// The queue of each frame of in.pcap.
    inputs: Vec<String>,
    /// The queue of each frame of out.pcap.
    outputs: Vec<String>,
    /// Whose rules the server is told at its start: the reason for which `testing::rules` has some, a guard, or a tunnel.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    rules: String,
    /// The server's configuration.
    config: String,
    /// Packets lost, by name.
    drops: BTreeMap<String, u64>,
    /// Packets whose purpose was fulfilled.
    consumed: u64,
}

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// All cases on disk, sorted.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(folder("")).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Keeps the handshake threads' rings so long that the server asks for cookies.
pub(crate) fn keep_busy(server: &Server) {
    while server.exchange.jobs_waiting(0) < JOBS_UNDER_LOAD {
        assert!(server.exchange.submit(0, Job::Abandon(0)));
    }
}

impl Case {
    /// The case that a scene has played.
    pub(crate) fn of(
        name: &str,
        about: &str,
        (scene, config): (&Scene, String),
        busy: bool,
    ) -> Self {
        let of = |is_output: bool| -> (Vec<String>, Vec<Frame>) {
            let seen = scene.seen.iter().filter(|seen| seen.is_output == is_output);
            seen.map(|seen| (queue(seen.place), (unix(seen.at), seen.octets.clone()))).unzip()
        };
        let ((inputs, input_frames), (outputs, output_frames)) = (of(false), of(true));
        let (drops, consumed) = lost(&scene.server.totals());
        let sheet = Sheet {
            about: about.into(),
            seed: SEED,
            busy,
            inputs,
            outputs,
            rules: String::new(),
            config,
            drops,
            consumed,
        };
        let inboxes = scene.clients.iter().flat_map(|client| &client.inbox);
        let opened = inboxes.map(|packet| (unix(scene.now), packet.clone())).collect();
        Self { name: name.into(), sheet, inputs: input_frames, outputs: output_frames, opened }
    }

    /// The same under rules.
    pub(crate) fn under(mut self, rules: &str) -> Self {
        self.sheet.rules = rules.into();
        self
    }

    pub(crate) fn write(&self) {
        let folder = folder(&self.name);
        fs::create_dir_all(&folder).unwrap();
        let write = |file: &str, link: u32, frames: &[Frame]| {
            fs::write(folder.join(file), pcap::write(link, frames)).unwrap();
        };
        write("in.pcap", pcap::ETHERNET, &self.inputs);
        write("out.pcap", pcap::ETHERNET, &self.outputs);
        write("opened.pcap", pcap::RAW, &self.opened);
        fs::write(folder.join("case.toml"), toml::to_string_pretty(&self.sheet).unwrap()).unwrap();
    }

    pub(crate) fn read(name: &str) -> Self {
        let folder = folder(name);
        let frames = |file: &str| pcap::read(&fs::read(folder.join(file)).unwrap());
        let sheet = toml::from_str(&fs::read_to_string(folder.join("case.toml")).unwrap()).unwrap();
        let (inputs, outputs, opened) =
            (frames("in.pcap"), frames("out.pcap"), frames("opened.pcap"));
        Self { name: name.into(), sheet, inputs, outputs, opened }
    }

    /// Every frame that came out, and that went in unless it is there to be wrong.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Frame> {
        let rules = self.sheet.rules.as_str();
        let is_right = matches!(rules, "" | "internet") || rules.starts_with("gre_");
        let inputs = self.inputs.iter().filter(move |_| is_right);
        inputs.chain(&self.outputs).cloned()
    }

    /// What the clients found in sealed packets.
    pub(crate) fn opened(&self) -> impl Iterator<Item = Frame> {
        self.opened.iter().cloned()
    }

    /// Puts the inputs into a new server and compares what comes out.
    pub(crate) fn replay(&self) {
        let Self { name, sheet, inputs, outputs, .. } = self;
        let mut server =
            Server::with(&sheet.config, Options { seed: sheet.seed, ..Options::default() });
        if !sheet.rules.is_empty() {
            server.change(rules(&sheet.rules), START);
        }
        let mut left: Vec<Seen> = Vec::new();
        assert_eq!(
            (inputs.len(), outputs.len()),
            (sheet.inputs.len(), sheet.outputs.len()),
            "{name}"
        );
        for (number, ((at, octets), queue)) in inputs.iter().zip(&sheet.inputs).enumerate() {
            if sheet.busy && number + 1 == inputs.len() {
                keep_busy(&server);
            }
            let now = instant(*at);
            server.put(place(queue), octets);
            server.settle(now);
            let taken = server.take().into_iter();
            left.extend(taken.map(|(place, octets)| Seen {
                at: now,
                place,
                is_output: true,
                octets,
            }));
        }
        for (number, (seen, (frame, queue))) in
            left.iter().zip(outputs.iter().zip(&sheet.outputs)).enumerate()
        {
            assert_eq!(self::queue(seen.place), *queue, "{name}: queue of frame {number} (from 0)");
            assert_eq!(
                (unix(seen.at), &seen.octets),
                (frame.0, &frame.1),
                "{name}: frame {number} (from 0)"
            );
        }
        assert_eq!(left.len(), outputs.len(), "{name}: frames that came out");
        let totals = server.totals();
        assert_eq!(
            lost(&totals),
            (sheet.drops.clone(), sheet.consumed),
            "{name}: lost and consumed"
        );
        assert_eq!(totals.unaccounted(), 0, "{name}\n{totals}");
    }
}

/// What a server is told whose sheet names this: a guard, or a drop reason.
pub(crate) fn rules(name: &str) -> Vec<Item> {
    if name == "cookie_reset" {
        return vec![tenant(SynGuard::CookieReset, false)];
    }
    let items = super::scenes::transit::items(name).or_else(|| super::scenes::nat::items(name));
    if let Some(items) = items {
        return items;
    }
    let reason = DropReason::ALL.iter().find(|reason| reason.name() == name).unwrap();
    // Also where there is no rule of its own something is told, so that all sheets are alike.
    let own = testing::rules::rules(*reason);
    if own.is_empty() { vec![tenant(SynGuard::Off, false)] } else { own }
}

/// The seed of every golden server.
pub(crate) const SEED: u64 = 7;

fn queue(place: Place) -> String {
    QUEUES.iter().find(|(_, other)| *other == place).unwrap().0.into()
}

fn place(queue: &str) -> Place {
    QUEUES.iter().find(|(name, _)| *name == queue).unwrap().1
}

fn instant(unix: Duration) -> Instant {
    Instant::ZERO + unix.checked_sub(UNIX).unwrap()
}

/// Packets lost, by name, and packets consumed.
fn lost(totals: &Totals) -> (BTreeMap<String, u64>, u64) {
    let counted =
        DropReason::ALL.iter().map(|reason| (reason.name().to_owned(), totals.dropped(*reason)));
    (counted.filter(|(_, count)| *count != 0).collect(), totals.consumed)
}
