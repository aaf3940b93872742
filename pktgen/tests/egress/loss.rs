//! Links in the middle that lose and reorder packets.

use std::time::Instant;

use crate::lab::alone;
use crate::lab::files::path;
use crate::middle::{self, Middle};
use crate::site::{Client, INTERNET, LITTLE_LEN, Site, content};
use crate::through::{Through, Way};

/// Loads and stores of a file, each on a connection of its own.
const SHORT: usize = 12;

#[test]
fn connections_through_proxies_and_data_centres_bear_losses_and_reordering_in_the_middle() {
    let _machine = alone();
    for way in [Way::Tinyproxy, Way::Borne, Way::Plain] {
        let site = Site::new();
        let _web = site.web();
        let through = Through::start(&site, way);
        let client = site.client(0);
        middle::part(&site);
        for (percent, seed) in [(0, 1), (1, 2), (10, 3)] {
            let about = format!("{way:?}, {percent} % lost and late, seed {seed}");
            let middle = Middle::start(&site, percent, seed);
            let begin = Instant::now();
            // More than a hundredth makes TCP so slow that the whole file would take minutes.
            load_and_store(&client, if percent < 10 { "served" } else { "little" }, &about);
            load_side_by_side(&client, SHORT, &about);
            let [lost, late] = middle.end();
            println!("{about}: {lost} lost and {late} late in {:.1?}", begin.elapsed());
            assert_eq!((lost == 0, late == 0), (percent == 0, percent == 0), "{about}");
        }
        let _middle = Middle::start(&site, 0, 4);
        drop(client);
        through.end(3 * (2 + SHORT as u64));
    }
}

/// Loads a file and stores what came.
pub(crate) fn load_and_store(client: &Client<'_>, name: &str, about: &str) {
    let content = content();
    let len = if name == "little" { LITTLE_LEN } else { content.len() };
    let place = client.place;
    place.run(&format!("curl -sS --max-time 60 -o /run/lab/got http://{INTERNET}/{name}"));
    assert!(std::fs::read(path(place, "got")).unwrap() == content[..len], "{about}: loaded");
    place.run(&format!("curl -sS --max-time 60 -T /run/lab/got http://{INTERNET}/taken/got"));
    let taken = std::fs::read(path(client.internet, "files/taken/got")).unwrap();
    assert!(taken == content[..len], "{about}: stored");
}

/// Loads the small file so many times at once, on a connection each.
pub(crate) fn load_side_by_side(client: &Client<'_>, count: usize, about: &str) {
    let place = client.place;
    place.run(&format!(
        "curl -sS --max-time 60 --parallel --parallel-immediate --parallel-max {count} -H Connection:close \
         -o /run/lab/got#1 http://{INTERNET}/little?[1-{count}]"
    ));
    let content = content();
    for load in 1..=count {
        let got = std::fs::read(path(place, &format!("got{load}"))).unwrap();
        assert!(got == content[..LITTLE_LEN], "{about}: load {load}");
    }
}
