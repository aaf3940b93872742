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
    let plots: [(&str, Plot); 5] = [
        ("goodput.svg", made::goodput()),
        ("latency.svg", made::latency()),
        ("stages.svg", made::stages()),
        ("beside.svg", made::beside()),
        ("scale.svg", made::scale()),
    ];
    for (name, plot) in plots {
        golden(name, &plot.svg());
    }
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
    ] {
        assert!(page.contains(wanted), "{wanted}\n{page}");
    }
    let tags = |tag: &str| page.matches(tag).count();
    assert_eq!((tags("<svg"), tags("<desc id=")), (5, 5));
    for (open, close) in [("<section", "</section>"), ("<table", "</table>"), ("<div", "</div>")] {
        assert_eq!(tags(open), tags(close), "{open}");
    }
    for outside in ["<script", "src=", "@import", "<link", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}
