//! Records as files: what is written is read, and what another version has written is refused.

use crate::made;
use results::{Anchor, Record, Verdict};

#[test]
fn a_record_is_read_as_it_was_written() {
    let record = made::full();
    let read = Record::from_json(&record.to_json().unwrap()).unwrap();
    assert_eq!(read.to_string(), record.to_string());
    // The last bit of what is drawn may differ, that of trials may not: they are kept to a thousandth.
    for ((name, unit, one), (other_name, other_unit, other)) in
        record.figures().into_iter().zip(read.figures())
    {
        assert_eq!((&name, unit, &one.trials), (&other_name, other_unit, &other.trials));
        assert_eq!((one.n, one.better, one.verdict), (other.n, other.better, other.verdict));
    }
    let plots = |record: &Record| -> Vec<_> {
        let plots = record.sections.iter().flat_map(|section| &section.plots);
        plots.map(|plot| (plot.title.clone(), plot.shape, plot.series.len())).collect()
    };
    assert_eq!(plots(&read), plots(&record));
}

#[test]
fn refuses_what_is_newer_older_or_no_record() {
    let text = made::full().to_json().unwrap();
    let of_schema = |schema: u32| text.replacen("\"schema\":3", &format!("\"schema\":{schema}"), 1);
    let refused = |text: &str| Record::from_json(text).unwrap_err().to_string();
    assert!(refused(&of_schema(4)).starts_with("schema 4 is newer than this program's 3"));
    assert!(refused(&of_schema(1)).starts_with("schema 1 is older than this program's 3"));
    assert!(refused("{\"rows\":[]}").contains("no result of millrace-bench"));
    assert!(refused("[1,").contains("EOF"));
    assert!(refused("{\"schema\":3}").contains("missing field"));
}

#[test]
fn an_anchor_that_moves_makes_everything_void() {
    let mut record = made::record(50.0, 0);
    let verdicts = |record: &Record| -> Vec<_> {
        record.figures().iter().filter_map(|(_, _, figure)| record.verdict(figure)).collect()
    };
    assert_eq!(verdicts(&record), [Verdict::Met]);
    let (before, after) = (vec![10.0], vec![9.0]);
    record.anchor(Anchor { name: "testpmd io".into(), unit: "Mpps".into(), before, after });
    assert_eq!(
        record.void.as_deref(),
        Some("testpmd io was 10.00 Mpps before and 9.00 Mpps after")
    );
    assert_eq!(verdicts(&record), [Verdict::Void]);
}
