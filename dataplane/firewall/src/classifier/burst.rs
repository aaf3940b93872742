//! Packets of one tenant through its form together: each step is taken by all of them before the next, so that they wait
//! for memory and for results together.

use super::Asked;
use super::form::{Form, NONE};
use super::lines::half;
use super::search::Search;
use super::tree::Keys;

/// Packets that go together.
pub(super) const TOGETHER: usize = 32;

/// The results of each lookup, then of each product, for all packets.
type Results = [[u16; TOGETHER]; 24];

/// The first rules that these packets meet, which are of one form and at most `TOGETHER`.
pub(super) fn first<'a>(
    packets: &[Asked<'_>],
    found: &mut impl Iterator<Item = &'a mut Option<u32>>,
) {
    let Some(form) = packets.first().map(Asked::form) else { return };
    let mut results = [[0; TOGETHER]; 24];
    classify(form, packets, &mut results);
    combine(form, packets.len(), &mut results);
    let found = found.take(packets.len());
    if form.roots.items().is_empty() {
        let count = form.lookups.items().len() + form.products.items().len();
        let rules = count.checked_sub(1).and_then(|last| results.get(last));
        for (found, rule) in found.zip(rules.unwrap_or(&[NONE; TOGETHER])) {
            *found = (*rule != NONE).then(|| u32::from(*rule));
        }
        return;
    }
    let mut searches = [Search::default(); TOGETHER];
    for (number, root) in form.roots.items().iter().enumerate() {
        let classes = results.get(usize::from(root.result)).unwrap_or(&[0; TOGETHER]);
        for (search, class) in searches.iter_mut().zip(classes).take(packets.len()) {
            search.narrow(form, number, root, *class);
        }
    }
    for (found, search) in found.zip(&searches) {
        *found = search.first(form, 0);
    }
}

/// Finds all classes in every dimension.
fn classify(form: &Form, packets: &[Asked<'_>], results: &mut Results) {
    let keys = Keys::lanes();
    for (results, lookup) in results.iter_mut().zip(form.lookups.items()) {
        if lookup.is_wide {
            let addresses = packets.iter().map(|packet| lookup.dimension.address(packet.facts));
            lookup.classes_wide(&form.lines, addresses, results);
        } else {
            let mut values = [0; TOGETHER];
            for (value, packet) in values.iter_mut().zip(packets) {
                *value = lookup.dimension.value(packet.facts, packet.classes);
            }
            lookup.classes(
                &form.lines,
                keys,
                values.get(..packets.len()).unwrap_or_default(),
                results,
            );
        }
    }
}

/// Finds the classes of all products.
fn combine(form: &Form, count: usize, results: &mut Results) {
    for (next, product) in (form.lookups.items().len()..).zip(form.products.items()) {
        let left = results.get(usize::from(product.left)).copied().unwrap_or_default();
        let right = results.get(usize::from(product.right)).copied().unwrap_or_default();
        let Some(results) = results.get_mut(next) else { return };
        for ((result, left), right) in results.iter_mut().zip(left).zip(right).take(count) {
            let place = u32::from(left) * product.width + u32::from(right);
            *result = half(&form.lines, product.at, place).unwrap_or_default();
        }
    }
}
