//! Claims about changes of the fleet's file: nothing but what shall change does.

use proptest::prelude::*;

use super::*;
use crate::source::Source as _;
use crate::source::file::Directory;

const FLEET: &str = "# Our fleet.\n[[route]]\nprefix = \"192.0.2.0/24\"\nnext_hop = \"local\"\n\n\
    [fleet]  # in Frankfurt\ngeneration = 12   # raised by hand\n\n# The old one.\n\
    [[fleet.member]]\nserver = 1 # rack 4\naddress = '192.0.2.1'\n\n[[fleet.member]]\n\
    address = \"192.0.2.2\"\nserver = 2\nweight = 50\nstate = \"active\" # since May\n\n\
    [[fleet.past]]\ngeneration = 11\nweights = { 1 = 100 } # before 2\n\n\
    [[next_hop]]\nname = \"out\"\nkind = \"direct\"\n# The end.\n";

fn fleet_of(text: &str) -> Fleet {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.toml"), text).unwrap();
    Directory::new(directory.path().to_owned()).read().unwrap().fleet.unwrap()
}

fn changed(text: &str, server: u8, change: Edit) -> Result<Option<String>, String> {
    edit(text, &fleet_of(text), server, change).map_err(|refused| refused.what)
}

const DRAIN: Edit = Edit::State(MemberState::Draining { deadline: None });

#[test]
fn a_change_keeps_comments_order_and_everything_else() {
    let deadline = Some(Duration::from_secs(1_801_375_201));
    let drain = Edit::State(MemberState::Draining { deadline });
    let text = changed(FLEET, 2, drain).unwrap().unwrap();
    let wanted = FLEET
        .replace("generation = 12 ", "generation = 13 ")
        .replace("\"active\" # since May\n", "\"draining\" # since May\ndeadline = \"2027-01-31T06:00:01Z\"\n")
        .replace(
            "[[fleet.past]]\ngeneration = 11",
            "[[fleet.past]]\ngeneration = 12\nweights = { 1 = 100, 2 = 50 }\n\n[[fleet.past]]\ngeneration = 11",
        );
    assert_eq!(text, wanted);
    let text = changed(&text, 2, Edit::State(MemberState::Active)).unwrap().unwrap();
    assert!(text.contains("\"active\" # since May") && !text.contains("deadline"), "{text}");
    let fleet = fleet_of(&text);
    let past: Vec<u16> = fleet.past.iter().map(|past| past.generation).collect();
    // Alone as in generation 11, which says nothing more.
    assert_eq!((fleet.generation, past), (14, vec![13, 12]));
    assert_eq!(fleet.past[0].weights, [(1, 100)]);
}

#[test]
fn what_is_so_already_changes_nothing() {
    assert_eq!(changed(FLEET, 1, Edit::Weight(100)), Ok(None));
    assert_eq!(changed(FLEET, 1, Edit::State(MemberState::Active)), Ok(None));
}

#[test]
fn the_last_one_that_takes_clients_goes_on_taking_them() {
    let text = changed(FLEET, 1, DRAIN).unwrap().unwrap();
    for change in [DRAIN, Edit::State(MemberState::Down), Edit::Weight(0)] {
        let what = changed(&text, 2, change).unwrap_err();
        assert!(what.starts_with("member 2 is the last active one with a weight"), "{what}");
    }
    assert!(changed(&text, 1, Edit::State(MemberState::Down)).unwrap().is_some());
    let what = changed(&text, 9, DRAIN).unwrap_err();
    assert!(what.starts_with("the fleet has no member 9"), "{what}");
}

#[test]
fn the_generation_passes_over_zero() {
    let text = FLEET.replace("generation = 12 ", "generation = 65535 ");
    let text = text.replace("generation = 11", "generation = 65530");
    let fleet = fleet_of(&changed(&text, 1, DRAIN).unwrap().unwrap());
    assert_eq!((fleet.generation, fleet.past[0].generation), (1, 65535));
}

#[test]
fn what_is_no_section_is_left_to_its_writer() {
    let text = "[fleet]\ngeneration = 1\nmember = [{ server = 1, address = \"192.0.2.1\" }, \
                { server = 2, address = \"192.0.2.2\" }]\n";
    let what = changed(text, 1, DRAIN).unwrap_err();
    assert!(what.starts_with("`member` is not written as [[fleet.member]]"), "{what}");
    let text = "fleet = { generation = 1, member = [{ server = 1, address = \"192.0.2.1\" }] }\n";
    let what = changed(text, 1, Edit::Weight(7)).unwrap_err();
    assert!(what.starts_with("`fleet` is not written as [fleet]"), "{what}");
}

fn any_edit() -> impl Strategy<Value = (u8, Edit)> {
    let deadline = prop::option::of((1_u64..1 << 32).prop_map(Duration::from_secs));
    let edit = prop_oneof![
        (0..4_u16).prop_map(Edit::Weight),
        deadline.prop_map(|deadline| Edit::State(MemberState::Draining { deadline })),
        Just(Edit::State(MemberState::Active)),
        Just(Edit::State(MemberState::Down)),
    ];
    (1..4_u8, edit)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Against the same changes made of a list of members.
    #[test]
    fn a_file_says_after_many_changes_what_its_members_became(
        edits in prop::collection::vec(any_edit(), 1..80),
    ) {
        let mut text = FLEET.to_owned();
        let mut naive = fleet_of(&text);
        for (server, change) in edits {
            let mut members = naive.members.clone();
            let found = members.iter_mut().find(|member| member.server == server);
            if let Some(member) = found {
                match change {
                    Edit::Weight(weight) => member.weight = weight,
                    Edit::State(state) => member.state = state,
                }
            }
            let takes = members
                .iter()
                .any(|member| member.state == MemberState::Active && member.weight > 0);
            match changed(&text, server, change) {
                Ok(Some(new)) => {
                    prop_assert!(takes && members != naive.members);
                    let fleet = fleet_of(&new);
                    prop_assert_eq!(&fleet.members, &members);
                    prop_assert_eq!(fleet.generation, naive.generation + 1);
                    prop_assert_eq!(fleet.past[0].generation, naive.generation);
                    prop_assert_eq!(&fleet.past[0].weights, &naive.weights());
                    let others = naive.past.iter().filter(|past| past.weights != naive.weights());
                    prop_assert_eq!(fleet.past.len(), (others.count() + 1).min(PAST_MAX));
                    let comments = FLEET.lines().filter_map(|line| line.split_once('#'));
                    // A past generation goes at last, and what is said of it with it.
                    for (_, comment) in comments.filter(|(_, comment)| *comment != " before 2") {
                        prop_assert!(new.contains(comment), "{}", new);
                    }
                    (text, naive) = (new, fleet);
                }
                Ok(None) => prop_assert_eq!(&members, &naive.members),
                Err(_) => prop_assert!(!takes || server == 3),
            }
        }
    }
}
