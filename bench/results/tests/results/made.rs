//! Records that nobody measured, with everything that a record can have.

use results::{
    Anchor, Axis, Cell, Column, Conditions, Figure, Machine, Plot, Point, Probe, Record, Section,
    Series, Table, Weather,
};

pub(crate) fn conditions() -> Conditions {
    let machine = Machine {
        cpu: "A processor".into(),
        vectors: vec!["avx2".into(), "avx512f".into()],
        cores: 2,
        tsc_hz: 2_600_000_000,
        kernel: "6.1".into(),
        dpdk: "DPDK 22.11".into(),
        git: "0123abc".into(),
        profile: "release".into(),
        memory: "ordinary pages".into(),
        ..Machine::default()
    };
    let probe = Probe { p10: 3.0, median: 3.01 };
    let weather = Weather { load: "0.5".into(), probe, ..Weather::default() };
    Conditions::new(machine, (weather.clone(), weather))
}

/// So many trials about a middle: a plain pattern that looks like noise of 1 %, shifted by the seed.
pub(crate) fn trials(middle: f64, seed: u32) -> Vec<f64> {
    (0..200_u32).map(|n| middle * (1.0 + f64::from((n + seed) * 7919 % 101) / 10_000.0)).collect()
}

/// A record with one judged figure of so many nanoseconds.
pub(crate) fn record(ns: f64, seed: u32) -> Record {
    let plan = serde_json::json!({"blocks": 200});
    let mut record = Record::new("made", "Made <up>", &plan, conditions());
    record.argv = vec!["/somewhere/millrace-bench".into(), "made".into()];
    let columns = [
        Column::label("way"),
        Column::of("ns", "ns", 1),
        Column::of("of io-forward", "ratio", 2).with_intervals(),
    ];
    let mut table = Table::new("", columns);
    let (ours, theirs) = (trials(ns, seed), trials(ns * 3.0, seed + 50));
    let ratio = results::sample::compared(&ours, &theirs, |one, other| one / other);
    table.row([
        Cell::from("open"),
        Figure::p10(&ours).at_most(60.0).beside("other 1.0", &theirs).into(),
        Figure::compared(ratio, ours.len()).lower().into(),
    ]);
    record.section(Section::new("64 octets").note("A **note** with `code`.").table(table));
    record
}

/// The same with all that may stand beside figures.
pub(crate) fn full() -> Record {
    let mut record = record(63.0, 0);
    record.seed("packets", 7);
    record.peer("other 1.0", "`other --run`");
    record.leave_out("memif", "this machine has no hugepages");
    record.discard("trials", 3, "the core was taken away");
    let anchor = Anchor {
        name: "testpmd io".into(),
        unit: "Mpps".into(),
        before: vec![10.0, 10.1],
        after: vec![10.2],
    };
    record.anchor(anchor);
    let plots = Section::new("Plots").remark("A remark.");
    record
        .section(plots.plot(goodput()).plot(latency()).plot(stages()).plot(beside()).plot(scale()));
    record
}

pub(crate) fn goodput() -> Plot {
    let offered = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
    let series = |name: &str, end: f64| {
        let points = offered.map(|x: f64| {
            Point::new(x, x.min(1.0) * if x > 1.0 { end } else { 1.0 })
                .between(Some([x.min(1.0) * end - 0.03, x.min(1.0) + 0.03]))
        });
        Series::new(name, points.into())
    };
    let mut flood = series("junk UDP", 0.9);
    flood.points[4] = Point::new(2.0, 0.4).void();
    Plot::lines(
        "Goodput against offered load",
        Axis::logarithmic("offered, times the no-drop rate"),
        Axis::linear("goodput, Mpps"),
    )
    .with(series("no attack", 1.0))
    .with(flood)
    .with(series("handshake flood", 0.97))
    .upright("NDR", 1.0)
    .level("wanted", 0.95)
    .saying("Goodput stays flat to ten times the no-drop rate.")
}

pub(crate) fn latency() -> Plot {
    let shares = (0..=96).map(|n| 1.0 - 10_f64.powf(-f64::from(n) / 16.0));
    let series = |name: &str, base: f64| {
        let point = |share: f64| Point::new(share, base * (1.0 - share).powf(-0.3));
        Series::new(name, shares.clone().map(point).collect())
    };
    Plot::lines("Latency", Axis::nines("percentile"), Axis::logarithmic("us"))
        .with(series("no load", 2.0))
        .with(series("50 % of PDR", 5.0))
        .with(series("90 % of PDR", 9.0))
}

pub(crate) fn stages() -> Plot {
    Plot::stacks(
        "Where the time goes",
        Axis::names("octets of the inner packet", ["64", "512", "1420"]),
        Axis::linear("ns a packet"),
    )
    .with(Series::by_name("AEAD of open", [22.0, 82.0, 220.0]))
    .with(Series::by_name("parse::locate", [26.0, 26.0, 28.0]))
    .with(Series::by_name("wireguard::open, after the AEAD", [22.0, 22.0, 24.0]))
    .with(Series::by_name("all other", [18.0, 19.0, 20.0]))
    .with(Series::by_name("bare AEAD", [21.0, 80.0, 217.0]).as_level())
}

pub(crate) fn beside() -> Plot {
    let mut theirs = Series::by_name("boringtun 0.7", [241.0, 804.0]);
    theirs.points[0].note = "5.9 times".into();
    theirs.points[1].note = "3.3 times".into();
    Plot::bars(
        "WireGuard beside boringtun",
        Axis::names("work", ["open, 64 octets", "open, 1420 octets"]),
        Axis::linear("ns a packet"),
    )
    .with(Series::by_name("millrace", [41.0, 240.0]))
    .with(theirs)
}

pub(crate) fn boxes() -> Plot {
    let spread = |middle: f64| Some([0.9, 0.97, 1.0, 1.05, 1.3].map(|part| part * middle));
    let before = [1.0, 1.0].map(|up| Point::new(0.0, up).spread(spread(up)));
    let after = [0.6, 1.1].map(|up| Point::new(0.0, up).spread(spread(up)));
    let ratio = Point::new(0.0, 0.8).between(Some([0.7, 0.95])).noted("an interval alone");
    Plot::boxes(
        "Trials before and after",
        Axis::names(
            "figure",
            [
                "GRE decap: routes 100,000",
                "open: a name of a figure that is so long that it takes two lines",
            ],
        ),
        Axis::logarithmic("times the figure before"),
    )
    .with(Series::in_order("before", before))
    .with(Series::in_order("after", after))
    .with(Series::in_order("both", [ratio]))
    .level("as before", 1.0)
}

pub(crate) fn scale() -> Plot {
    let peers = [100.0, 1e3, 1e4, 1e5, 1e6];
    let heights = [76.0, 80.0, 110.0, 230.0, 260.0];
    let points = peers.into_iter().zip(heights).map(|(x, y)| Point::new(x, y));
    Plot::lines("Cost by peers", Axis::logarithmic("peers"), Axis::linear("ns a packet"))
        .with(Series::new("open", points.collect()))
        .level("wanted", 150.0)
}
