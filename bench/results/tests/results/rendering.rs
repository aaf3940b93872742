//! What records look like: golden files that a person can open. `GOLDEN=write cargo test -p results` writes them anew.

use std::path::Path;

use crate::made;
use results::compare::{LEAST, compare};
use results::page::page;
use results::{Plot, Record};

fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap();
    let place = wanted.lines().zip(text.lines()).position(|(one, other)| one != other);
    assert!(wanted == text, "{name} is another from line {place:?} on");
}

#[test]
fn draws_each_kind_of_plot_as_before() {
    let plots: [(&str, Plot); 6] = [
        ("goodput.svg", made::goodput()),
        ("latency.svg", made::latency()),
        ("stages.svg", made::stages()),
        ("beside.svg", made::beside()),
        ("scale.svg", made::scale()),
        ("boxes.svg", made::boxes()),
    ];
    for (name, plot) in plots {
        golden(name, &plot.svg());
    }
}

#[test]
fn three_runs_make_a_trend_and_two_do_not() {
    let runs = [63.0, 61.0, 50.0].map(|ns| made::record(ns, 0));
    let page = |runs: &[Record]| page("millrace", runs, None);
    let drawn = page(&runs);
    assert!(drawn.contains("<h2 id=\"trends-title\">From run to run</h2>"), "{drawn}");
    assert!(drawn.contains("<a href=\"#trends\">"), "{drawn}");
    assert!(drawn.contains("64 octets: open: ns, times better"), "{drawn}");
    assert!(drawn.contains("64 octets: open: of io-forward"), "{drawn}");
    // The runs stand in the order in which they were given.
    assert!(drawn.contains(">1 0123abc</text>") && drawn.contains(">3 0123abc</text>"), "{drawn}");
    assert!(!page(&runs[..2]).contains("trends"));
}

#[test]
fn prints_a_record_as_before() {
    golden("record.md", &made::full().to_string());
}

#[test]
fn the_page_shows_targets_holes_and_plots_and_needs_nothing_from_elsewhere() {
    let mut failed = Record { sections: Vec::new(), ..made::record(1.0, 0) };
    failed.title = "Latency".into();
    failed.make_void("it took longer than 60 s & was stopped");
    let before = [made::record(70.0, 9)];
    let comparison = compare(&before, &[made::record(63.0, 0)], LEAST).unwrap();
    let page = page("millrace <measured>", &[made::full(), failed], Some(&comparison));
    golden("page.html", &page);
    let drawn = [
        "<h3>Beside others</h3>",
        "<figcaption>Made &lt;up&gt;, times better</figcaption>",
        "<figcaption>Before and after, ns</figcaption>",
        "<figcaption>Trials before and after, ns</figcaption>",
        " times, better</text>",
    ];
    for wanted in [
        "<title>millrace &lt;measured&gt;</title>",
        "<strong>1</strong> missed",
        "<strong>2</strong> left out",
        "Made &lt;up&gt;: memif",
        "it took longer than 60 s &amp; was stopped",
        "<td><span class=\"badge missed\">missed</span></td>",
        "A <strong>note</strong> with <code>code</code>.",
        "other 1.0",
        "Better: 1, worse: 0",
    ]
    .into_iter()
    .chain(drawn)
    {
        assert!(page.contains(wanted), "{wanted}\n{page}");
    }
    let tags = |tag: &str| page.matches(tag).count();
    assert_eq!((tags("<svg"), tags("<desc id=")), (9, 9));
    for (open, close) in [("<section", "</section>"), ("<table", "</table>"), ("<div", "</div>")] {
        assert_eq!(tags(open), tags(close), "{open}");
    }
    for outside in ["<script", "src=", "@import", "<link", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}
