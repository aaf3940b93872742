//! Two runs side by side, on trials that nobody measured.

use crate::made;
use results::compare::{Change, LEAST, compare};
use results::{Machine, Record};

fn change(before: &[Record], after: &[Record]) -> Vec<Change> {
    let comparison = compare(before, after, LEAST).unwrap();
    comparison.figures.iter().map(|one| one.change).collect()
}

#[test]
fn finds_a_regression_of_five_percent_and_an_improvement() {
    let (before, after) = ([made::record(50.0, 0)], [made::record(52.5, 13)]);
    // The ratio to io-forward has not changed; nanoseconds have.
    assert_eq!(change(&before, &after), [Change::Worse, Change::Same]);
    assert_eq!(change(&after, &before), [Change::Better, Change::Same]);
    let said = compare(&before, &after, LEAST).unwrap().to_string();
    assert!(said.contains("made / 64 octets / open / ns") && said.contains("1 worse"), "{said}");
}

#[test]
fn noise_of_half_a_percent_is_no_change() {
    for seed in 0..5 {
        let (before, after) = ([made::record(50.0, seed)], [made::record(50.25, seed + 37)]);
        assert_eq!(change(&before, &after), [Change::Same, Change::Same], "seed {seed}");
    }
}

#[test]
fn a_change_that_many_trials_are_sure_of_and_nobody_would_notice_is_none() {
    let runs = |ns: f64| [made::record(ns, 1), made::record(ns, 2), made::record(ns, 3)];
    assert_eq!(change(&runs(50.0), &runs(51.0)), [Change::Same, Change::Same]);
}

#[test]
fn a_higher_goal_is_better_where_more_is() {
    let record = |rate: f64| {
        let mut record = made::record(50.0, 0);
        let figures = record.sections[0].tables[0].rows[0].iter_mut();
        for cell in figures {
            if let results::Cell::Figure(figure) = cell {
                **figure = results::Figure::p10(&made::trials(rate, 0)).higher();
            }
        }
        record
    };
    assert_eq!(change(&[record(100.0)], &[record(90.0)]), [Change::Worse, Change::Worse]);
}

#[test]
fn times_of_another_pace_are_void_and_ratios_are_not() {
    let before = made::record(50.0, 0);
    let mut after = made::record(60.0, 0);
    after.conditions.before.probe.p10 *= 1.2;
    assert_eq!(change(&[before], &[after]), [Change::Void, Change::Same]);
}

#[test]
fn a_void_run_is_held_against_nothing() {
    let mut after = made::record(90.0, 0);
    after.make_void("the generator was too slow");
    assert_eq!(change(&[made::record(50.0, 0)], &[after]), [Change::Void, Change::Void]);
}

#[test]
fn another_machine_is_refused_and_a_quick_run_is_told_once_and_judged_by_nobody() {
    let mut other = made::record(50.0, 0);
    let machine = other.conditions.machine.clone();
    other.conditions.machine = Machine { cpu: "Another".into(), ..machine };
    let refused = compare(&[made::record(50.0, 0)], &[other], LEAST).unwrap_err();
    assert!(refused.contains("another processor: A processor, and Another"), "{refused}");
    let mut quick = made::record(90.0, 0);
    quick.plan = serde_json::json!({"quick": true});
    let comparison = compare(&[made::record(50.0, 0)], &[quick.clone()], LEAST).unwrap();
    assert!(comparison.warnings[0].contains("--quick"), "{:?}", comparison.warnings);
    assert_eq!(comparison.count(Change::Void), 2, "{comparison}");
    let mut other = quick.clone();
    other.measure = "other".into();
    let both = [quick, other];
    let comparison = compare(&both, &both, LEAST).unwrap();
    assert_eq!(comparison.warnings.len(), 2, "{:?}", comparison.warnings);
}

#[test]
fn what_only_one_side_has_is_named() {
    let mut after = made::record(50.0, 0);
    after.sections[0].title = "512 octets".into();
    let comparison = compare(&[made::record(50.0, 0)], &[after], LEAST).unwrap();
    assert!(comparison.figures.is_empty());
    assert_eq!(comparison.unmatched.len(), 4, "{:?}", comparison.unmatched);
}
