//! Others that cannot be had from packages: their figures as they were measured elsewhere, beside ours of this run.

use results::{Cell, Column, Figure, Record, Section, Table};

/// A figure of another's: nanoseconds of a packet, for bursts of so many, and which of ours is the same work.
struct Quoted {
    work: &'static str,
    who: &'static str,
    burst: u16,
    ns: f64,
    measure: &'static str,
    /// What the name of our figure ends with, behind its measurement.
    key: &'static str,
}

const VPP: &str = "VPP 26.06";
const KATRAN: &str = "Katran 19f08fec";
const PLACE: &str = "another run: AMD EPYC (Zen 4), Linux 6.18, best pass";

const fn quoted(
    (work, who): (&'static str, &'static str),
    (burst, ns): (u16, f64),
    (measure, key): (&'static str, &'static str),
) -> Quoted {
    Quoted { work, who, burst, ns, measure, key }
}

macro_rules! service {
    ($size:literal, $burst:literal, $way:literal) => {
        ("service", concat!($size, " on the wire), bursts of ", $burst, " / ", $way, " / ns"))
    };
}
macro_rules! turns {
    ($measure:literal, $before:literal, $burst:literal, $behind:literal, $way:literal) => {
        ($measure, concat!($before, $burst, $behind, " / ", $way, " / ns"))
    };
}

const QUOTED: [Quoted; 22] = [
    quoted(("open, 64 octets", VPP), (32, 288.0), service!("64 octets inside (138", "32", "open")),
    quoted(("open, 64 octets", VPP), (256, 229.0), service!("64 octets inside (138", "64", "open")),
    quoted(
        ("open, 512 octets", VPP),
        (32, 417.0),
        service!("512 octets inside (586", "32", "open"),
    ),
    quoted(
        ("open, 512 octets", VPP),
        (256, 393.0),
        service!("512 octets inside (586", "64", "open"),
    ),
    quoted(
        ("open, 1420 octets", VPP),
        (32, 658.0),
        service!("1420 octets inside (1494", "32", "open"),
    ),
    quoted(
        ("open, 1420 octets", VPP),
        (256, 615.0),
        service!("1420 octets inside (1494", "64", "open"),
    ),
    quoted(("seal, 64 octets", VPP), (32, 253.0), service!("64 octets inside (138", "32", "seal")),
    quoted(("seal, 64 octets", VPP), (256, 207.0), service!("64 octets inside (138", "64", "seal")),
    quoted(
        ("seal, 512 octets", VPP),
        (32, 373.0),
        service!("512 octets inside (586", "32", "seal"),
    ),
    quoted(
        ("seal, 512 octets", VPP),
        (256, 354.0),
        service!("512 octets inside (586", "64", "seal"),
    ),
    quoted(
        ("seal, 1420 octets", VPP),
        (32, 608.0),
        service!("1420 octets inside (1494", "32", "seal"),
    ),
    quoted(
        ("seal, 1420 octets", VPP),
        (256, 576.0),
        service!("1420 octets inside (1494", "64", "seal"),
    ),
    quoted(
        ("GRE encap", VPP),
        (32, 89.0),
        turns!(
            "transit",
            "64 octets inside, bursts of ",
            "32",
            ", 1000 rules",
            "GRE encap, no rules"
        ),
    ),
    quoted(
        ("GRE encap", VPP),
        (256, 49.0),
        turns!(
            "transit",
            "64 octets inside, bursts of ",
            "64",
            ", 1000 rules",
            "GRE encap, no rules"
        ),
    ),
    quoted(
        ("GRE decap", VPP),
        (32, 115.0),
        turns!("transit", "64 octets inside, bursts of ", "32", ", 1000 rules", "GRE decap"),
    ),
    quoted(
        ("GRE decap", VPP),
        (256, 56.0),
        turns!("transit", "64 octets inside, bursts of ", "64", ", 1000 rules", "GRE decap"),
    ),
    quoted(
        ("NAT44 out, 10,000 flows", VPP),
        (32, 185.0),
        turns!("nat", "nat / 10000 flows, bursts of ", "32", ", 64 octets", "NAT44 out"),
    ),
    quoted(
        ("NAT44 out, 10,000 flows", VPP),
        (256, 93.0),
        turns!("nat", "nat / 10000 flows, bursts of ", "64", ", 64 octets", "NAT44 out"),
    ),
    quoted(("to a backend in GRE, 10,000 flows", VPP), (32, 87.0), ("", "")),
    quoted(("to a backend in GRE, 10,000 flows", VPP), (256, 72.0), ("", "")),
    quoted(("to a backend in IPIP, 1,000 flows", KATRAN), (1, 176.0), ("", "")),
    quoted(("to a backend in IPIP, 10,000 flows", KATRAN), (1, 252.0), ("", "")),
];

/// Adds their rows. Where this run has nothing of ours the place is empty.
pub(super) fn add(record: &mut Record, records: &[Record]) {
    let columns = [
        Column::label("work"),
        Column::label("who"),
        Column::of("theirs, at bursts of", "count", 0),
        Column::of("theirs, ns", "ns", 0),
        Column::of("ours, ns", "ns", 1),
        Column::of("times better", "ratio", 2),
    ];
    let mut table = Table::new("", columns);
    for quoted in &QUOTED {
        table.row(quoted.row(records));
    }
    let section = Section::new("Measured elsewhere")
        .note(format!("VPP and Katran are in no package of Debian's. Their figures are of {PLACE}; VPP's engine is ipsec-mb 2.0.2."))
        .note("Ours are of this run and whatever machine it is on: whole turns, at bursts of 32 beside 32 and of 64 beside 256. A ratio of two runs is a hint and no proof. Neither has devices in it.")
        .note("Nothing of ours is the same work as theirs where the place is empty: what we pass on is a client's packet to its server, not a connection to a backend.")
        .table(table);
    record.section(section);
}

impl Quoted {
    fn row(&self, records: &[Record]) -> Vec<Cell> {
        let ours = self.ours(records);
        let place = format!("{}, measured elsewhere", self.who);
        let ratio = ours.map(|ours| Figure::single(self.ns / ours));
        vec![
            Cell::from(self.work),
            place.into(),
            f64::from(self.burst).into(),
            self.ns.into(),
            ours.map(Figure::single).into(),
            ratio.into(),
        ]
    }

    fn ours(&self, records: &[Record]) -> Option<f64> {
        let mut records = records.iter().filter(|record| record.measure == self.measure);
        records.find_map(|record| {
            let mut figures = record.figures().into_iter();
            figures.find(|(name, ..)| name.ends_with(self.key)).map(|(_, _, figure)| figure.value)
        })
    }
}
