//! The commands `synth` and `replay`, and `--dry-run`: flags made into a profile, and what it would send.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use pktgen::pcap::Writer;
use pktgen::profile::Profile;
use pktgen::rehearsal::{Part, rehearse};
use pktgen::streams::Captures;

use super::{Choice, Failure, Fields, say};

/// Packets of a stream for `synth`; without --destination the profile's [[synth]] sections are run.
#[derive(Debug, Args)]
pub(super) struct Packets {
    /// udp, tcp, icmp or gre.
    #[arg(long)]
    protocol: Option<String>,
    /// Of TCP: syn,ack.
    #[arg(long)]
    flags: Option<String>,
    /// 192.0.2.1, 192.0.2.1+256, 192.0.2.1+256 random.
    #[arg(long)]
    source: Option<String>,
    /// The same.
    #[arg(long)]
    destination: Option<String>,
    /// 53, 1024..65535, 1024..65535 random.
    #[arg(long)]
    source_port: Option<String>,
    /// The same.
    #[arg(long)]
    destination_port: Option<String>,
    /// Leave the measuring trailer out.
    #[arg(long)]
    no_measure: bool,
    #[command(flatten)]
    next: Next,
}

/// Where frames go on the link.
#[derive(Debug, Args)]
struct Next {
    /// The next hop's address; device.gateways without.
    #[arg(long)]
    gateway: Option<String>,
    /// The next hop's link address.
    #[arg(long)]
    link: Option<String>,
}

/// A capture for `replay`.
#[derive(Debug, Args)]
pub(super) struct Recording {
    /// The capture: pcap or pcapng, of Ethernet. --rate makes it leave at a rate.
    file: PathBuf,
    /// So many times as fast as recorded.
    #[arg(long)]
    pace: Option<f64>,
    /// How often all of it is sent; 0 until the run ends.
    #[arg(long)]
    loops: Option<u32>,
    /// New sources: "10.0.0.0+256 -> 192.0.2.0", or one address for all; several are good.
    #[arg(long, value_name = "CHANGE")]
    source: Vec<String>,
    /// New destinations.
    #[arg(long, value_name = "CHANGE")]
    destination: Vec<String>,
    /// Compute checksums anew.
    #[arg(long)]
    fresh_checksums: bool,
    #[command(flatten)]
    next: Next,
}

/// What is shown instead of sent.
#[derive(Debug, Args)]
pub(super) struct Dry {
    /// Open no device: print the first N packets of each source.
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "10")]
    dry_run: Option<usize>,
    /// Of a dry run: write these packets as a capture.
    #[arg(long, value_name = "FILE", requires = "dry_run")]
    pcap: Option<PathBuf>,
}

/// Packets that a dry run shows of a source at most.
const SHOWN_MAX: usize = 1_000_000;

/// The profile with nothing but synthetic packets.
pub(super) fn synth(packets: &Packets, choice: &Choice) -> Result<Profile, Failure> {
    let mut changes = choice.set.clone();
    changes.extend(Fields { rate: None, sizes: None, ..choice.fields.clone() }.changes());
    if let Some(destination) = &packets.destination {
        let rate = choice.fields.rate.clone().unwrap_or_else(|| "1kpps".to_owned());
        let source = packets.source.as_ref().ok_or("--destination needs --source as well")?;
        let mut fields = vec![text("source", source), text("destination", destination)];
        fields.push(text("rate", &rate));
        let named = [
            ("protocol", &packets.protocol),
            ("flags", &packets.flags),
            ("source_port", &packets.source_port),
            ("destination_port", &packets.destination_port),
            ("gateway", &packets.next.gateway),
            ("link", &packets.next.link),
        ];
        fields.extend(named.iter().filter_map(|(key, value)| Some(text(key, value.as_ref()?))));
        fields.push(format!("sizes = {}", sizes(choice.fields.sizes.as_deref().unwrap_or("64"))));
        fields.push(format!("measure = {}", !packets.no_measure));
        changes.push(format!("synth=[{{ {} }}]", fields.join(", ")));
    }
    let mut profile = Profile::read(choice.profile.as_deref(), &changes)?;
    profile.only_streams();
    profile.streams.replays.clear();
    if profile.streams.synths.is_empty() {
        return Err(
            "nothing to send: give --source and --destination, or [[synth]] in the profile".into(),
        );
    }
    Ok(profile)
}

/// The profile with nothing but this capture.
pub(super) fn replay(recording: &Recording, choice: &Choice) -> Result<Profile, Failure> {
    let mut changes = choice.set.clone();
    changes.extend(Fields { rate: None, ..choice.fields.clone() }.changes());
    let file = std::path::absolute(&recording.file)?;
    let name = recording.file.file_name().unwrap_or_default().to_string_lossy();
    let mut fields = vec![text("file", &file.display().to_string()), text("name", &name)];
    fields.extend(choice.fields.rate.as_ref().map(|rate| text("rate", rate)));
    fields.extend(recording.pace.map(|pace| format!("pace = {pace:?}")));
    fields.extend(recording.loops.map(|loops| format!("loops = {loops}")));
    fields.extend(recording.next.gateway.as_ref().map(|hop| format!("gateways = [{hop:?}]")));
    fields.extend(recording.next.link.as_ref().map(|link| text("link", link)));
    for (key, list) in [("source", &recording.source), ("destination", &recording.destination)] {
        fields.extend((!list.is_empty()).then(|| format!("{key} = {list:?}")));
    }
    fields.extend(recording.fresh_checksums.then(|| text("checksums", "fresh")));
    changes.push(format!("replay=[{{ {} }}]", fields.join(", ")));
    let mut profile = Profile::read(choice.profile.as_deref(), &changes)?;
    profile.only_streams();
    profile.streams.synths.clear();
    Ok(profile)
}

/// A string is written alike in Rust and in TOML, as far as addresses and names go.
fn text(key: &str, value: &str) -> String {
    format!("{key} = {value:?}")
}

/// A number, a list, or a name.
fn sizes(text: &str) -> String {
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '[') {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

/// Shows what the profile would send, if that was asked for.
pub(super) fn show(profile: &Profile, dry: &Dry) -> Result<Option<u8>, Failure> {
    let Some(count) = dry.dry_run else { return Ok(None) };
    if !(1..=SHOWN_MAX).contains(&count) {
        return Err(format!("--dry-run={count} is outside 1 to {SHOWN_MAX}").into());
    }
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let parts = rehearse(profile, Captures::read(profile)?, count, unix);
    parts.iter().flat_map(Part::lines).for_each(|line| say(&line));
    if let Some(path) = &dry.pcap {
        write(path, &parts, unix)
            .map_err(|error| format!("{} cannot be written ({error})", path.display()))?;
    }
    Ok(Some(0))
}

/// All packets in the order of their times.
fn write(path: &Path, parts: &[Part], unix: std::time::Duration) -> std::io::Result<()> {
    let mut all: Vec<_> = parts.iter().flat_map(|part| &part.shown).collect();
    all.sort_by_key(|shown| shown.at);
    let mut writer = Writer::new(BufWriter::new(File::create(path)?))?;
    for shown in all {
        let at = u64::try_from((unix + shown.at).as_nanos()).unwrap_or(u64::MAX);
        writer.write(at, &shown.frame)?;
    }
    writer.finish().map(|_| ())
}
