//! Regions as files: who may make them, who may attach, and what is refused with which words.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use shm::attach::Sizes;
use shm::error::What;
use shm::header::Refusal;
use shm::message::{Event, Scope};
use shm::region::Standing;
use shm::transaction::{Reader, Received, Writer};
use shm::{Control, Dataplane, Error, Place, Viewer};

const SIZES: Sizes = Sizes { command_slots: 16, event_slots: 16, counters: 8, blocks: 2 };

/// A directory in memory that goes with its test.
struct Root(PathBuf);

impl Root {
    fn new(test: &str) -> (Self, Place) {
        let path = PathBuf::from(format!("/dev/shm/shm-test-{}-{test}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let place = Place::beneath(&path, "a").unwrap();
        (Self(path), place)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn create(place: &Place) -> Result<Dataplane, Error> {
    Dataplane::create(place, SIZES, 1)
}

/// Why control is refused.
fn refused(place: &Place) -> What {
    let error = Control::attach(place).err().unwrap();
    let sentence = error.to_string();
    assert!(sentence.starts_with("/dev/shm/") && sentence.contains("; "), "{sentence}");
    error.what
}

fn poke(place: &Place, file: &str, word: u64, value: u64) {
    let file = File::options().write(true).open(place.path().join(file)).unwrap();
    file.write_all_at(&value.to_ne_bytes(), word * 8).unwrap();
}

#[test]
fn both_sides_speak_through_files_that_are_theirs_alone() {
    let (_root, place) = Root::new("speak");
    assert_eq!(refused(&place), What::Missing);
    let mut dataplane = create(&place).unwrap();
    for (path, mode) in
        [("", 0o40700), ("commands", 0o100_600), ("events", 0o100_600), ("counters", 0o100_600)]
    {
        assert_eq!(place.path().join(path).metadata().unwrap().mode(), mode, "{path}");
    }
    let control = Control::attach(&place).unwrap();
    assert_eq!(control.attachment.standing(), Standing::InUse);
    let mut writer = Writer::new(control.commands);
    writer.begin(1, Scope::Snapshot).unwrap();
    writer.commit().unwrap();
    let mut reader = Reader::new(dataplane.commands, 10);
    assert!(matches!(reader.poll(10), Some(Received::Transaction(_))));
    let event = Event::Heartbeat { at: Duration::from_secs(1), transaction: 1 };
    dataplane.events.push(&event.encode()).unwrap();
    let (mut events, mut heard) = (control.events, Vec::new());
    events.take(9, |taken| heard.push(Event::decode(taken.message))).unwrap();
    assert_eq!(heard, [Ok(event)]);
    let blocks = dataplane.counters.lay_out(&["opened"], &["worker0"]).unwrap();
    blocks[0].add(0, 3);
    let mut viewer = Viewer::attach(&place).unwrap();
    assert_eq!(viewer.counters.read().unwrap().total("opened"), Some(3));
    assert_eq!(viewer.attachment.standing(), Standing::InUse);
}

#[test]
fn each_role_is_there_once() {
    let (_root, place) = Root::new("once");
    let dataplane = create(&place).unwrap();
    assert_eq!(create(&place).err().unwrap().what, What::Busy);
    let control = Control::attach(&place).unwrap();
    assert_eq!(refused(&place), What::Busy);
    drop(control);
    drop(Control::attach(&place).unwrap());
    drop(dataplane);
    assert_eq!(refused(&place), What::Missing);
    drop(create(&place).unwrap());
}

#[test]
fn control_sees_that_the_dataplane_has_ended_or_begun_anew() {
    let (_root, place) = Root::new("ended");
    let dataplane = create(&place).unwrap();
    let control = Control::attach(&place).unwrap();
    drop(dataplane);
    assert_eq!(control.attachment.standing(), Standing::GivenUp);
    let _dataplane = Dataplane::create(&place, SIZES, 2).unwrap();
    assert_eq!(control.attachment.standing(), Standing::GivenUp);
    drop(control);
    let control = Control::attach(&place).unwrap();
    assert_eq!((control.attachment.standing(), control.generation), (Standing::InUse, 2));
}

#[test]
fn a_dead_owners_regions_are_refused_by_control_and_replaced_by_the_next() {
    let (_root, place) = Root::new("died");
    let dataplane = create(&place).unwrap();
    let control = Control::attach(&place).unwrap();
    // As if the process that made it were another one, of the same number, that has ended.
    for file in ["commands", "events", "counters"] {
        poke(&place, file, 6, 1);
    }
    assert_eq!(control.attachment.standing(), Standing::InUse, "the owner was checked at the door");
    drop(control);
    assert_eq!(refused(&place), What::Refused(Refusal::Died(std::process::id())));
    // Its lock has gone with it.
    fs::remove_file(place.path().join("dataplane.lock")).unwrap();
    let next = Dataplane::create(&place, SIZES, 2).unwrap();
    assert_eq!(Control::attach(&place).unwrap().generation, 2);
    assert_eq!(dataplane.owner.standing(), Standing::GivenUp);
    drop(dataplane);
    assert_eq!(next.owner.standing(), Standing::InUse, "the late end of the old one takes nothing");
}

#[test]
fn a_live_owner_is_not_replaced_even_when_its_lock_is_gone() {
    let (_root, place) = Root::new("lockless");
    let _dataplane = create(&place).unwrap();
    fs::remove_file(place.path().join("dataplane.lock")).unwrap();
    assert_eq!(create(&place).err().unwrap().what, What::Owned(std::process::id()));
}

#[test]
fn refuses_what_is_not_this_builds_region() {
    let (_root, place) = Root::new("foreign");
    let dataplane = create(&place).unwrap();
    for (word, value, refusal) in [
        (0, 0, Refusal::NotARegion),
        (1, 9 << 32 | 1, Refusal::Version(9)),
        (1, u64::from(shm::message::VERSION) << 32 | 2, Refusal::Kind(2)),
        (2, 0, Refusal::Layout),
        (3, 1 << 40, Refusal::Length(1 << 40, dataplane_len(&place))),
        (4, 12345, Refusal::Owner(12345)),
        (8, 8, Refusal::Sizes),
        (8, u64::MAX, Refusal::Sizes),
        (9, 3, Refusal::Sizes),
        (10, 2, Refusal::GivenUp),
    ] {
        let file = File::open(place.path().join("commands")).unwrap();
        let mut sound = [0; 8];
        file.read_exact_at(&mut sound, word * 8).unwrap();
        poke(&place, "commands", word, value);
        assert_eq!(refused(&place), What::Refused(refusal), "word {word}: {value}");
        poke(&place, "commands", word, u64::from_ne_bytes(sound));
    }
    poke(&place, "events", 7, 99);
    assert_eq!(refused(&place), What::Changing);
    poke(&place, "events", 7, 1);
    drop(Control::attach(&place).unwrap());
    drop(dataplane);
}

fn dataplane_len(place: &Place) -> u64 {
    place.path().join("commands").metadata().unwrap().len()
}

#[test]
fn a_file_that_was_cut_is_refused_and_noticed() {
    let (_root, place) = Root::new("cut");
    let dataplane = create(&place).unwrap();
    let control = Control::attach(&place).unwrap();
    let len = dataplane_len(&place);
    let file = File::options().write(true).open(place.path().join("commands")).unwrap();
    file.set_len(4096).unwrap();
    assert_eq!(control.attachment.standing(), Standing::Cut);
    assert_eq!(dataplane.owner.standing(), Standing::Cut);
    drop(control);
    assert_eq!(refused(&place), What::Refused(Refusal::Length(len, 4096)));
    file.set_len(40).unwrap();
    assert_eq!(refused(&place), What::Refused(Refusal::TooShort(40)));
}

#[test]
fn refuses_what_others_could_open_or_have_put_there() {
    let (root, place) = Root::new("others");
    fs::create_dir(place.path()).unwrap();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(create(&place).err().unwrap().what, What::Mode(0o755));
    fs::set_permissions(place.path(), Permissions::from_mode(0o700)).unwrap();
    let dataplane = create(&place).unwrap();
    let commands = place.path().join("commands");
    fs::set_permissions(&commands, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(refused(&place), What::Mode(0o644));
    fs::rename(&commands, root.0.join("elsewhere")).unwrap();
    symlink(root.0.join("elsewhere"), &commands).unwrap();
    assert_eq!(refused(&place), What::Foreign, "a link is not followed");
    drop(dataplane);
    let linked = Place::beneath(&root.0, "linked").unwrap();
    symlink(place.path(), linked.path()).unwrap();
    assert_eq!(create(&linked).err().unwrap().what, What::Foreign);
}

#[test]
fn names_and_sizes_are_checked() {
    for name in ["", "A", "a/b", "..", "a b", &"a".repeat(33)] {
        assert_eq!(Place::of(name).err().unwrap().what, What::Name, "{name}");
    }
    assert_eq!(Place::of("eth0-a").unwrap().path().to_str(), Some("/dev/shm/millrace-eth0-a"));
    let (_root, place) = Root::new("sizes");
    for sizes in [
        Sizes { command_slots: 3, ..SIZES },
        Sizes { event_slots: 0, ..SIZES },
        Sizes { counters: 1 << 20, ..SIZES },
    ] {
        assert_eq!(Dataplane::create(&place, sizes, 1).err().unwrap().what, What::Sizes);
    }
    drop(Dataplane::create(&place, Sizes::default(), 1).unwrap());
}
