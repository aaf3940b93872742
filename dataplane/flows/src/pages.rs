//! Tables that packets read at random lie in large pages, where the kernel has some: with small ones the core would wait for where
//! most lines are as long as for the lines themselves.
#![expect(unsafe_code, reason = "the advice is a system call about a range of memory")]

/// Octets of a large page; tables that have none in them are left as they are.
const LARGE: usize = 1 << 21;

/// So many times the same, each touched.
pub(crate) fn filled<T: Copy>(count: usize, value: T) -> Box<[T]> {
    let mut table = Vec::with_capacity(count);
    advise(&mut table);
    table.resize(count, value);
    table.into_boxed_slice()
}

/// Asks for large pages for a table that is still empty. Where there are none, it lies in small ones.
fn advise<T>(table: &mut Vec<T>) {
    let room = table.spare_capacity_mut().as_mut_ptr_range();
    let first = room.start.map_addr(|address| address.next_multiple_of(LARGE));
    let len = room.end.addr().saturating_sub(first.addr()) / LARGE * LARGE;
    if len > 0 {
        // SAFETY: whole pages that lie within the table's own memory; the advice changes nothing of what is in them.
        unsafe { libc::madvise(first.cast(), len, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel notes of the memory around an address.
    fn notes_of(address: usize) -> Option<String> {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_it = false;
        for line in maps.lines() {
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            if let Some((start, end)) = first.split_once('-') {
                let [start, end] =
                    [start, end].map(|text| usize::from_str_radix(text, 16).unwrap());
                is_it = (start..end).contains(&address);
            } else if is_it && first == "VmFlags:" {
                return Some(rest.to_owned());
            }
        }
        None
    }

    #[test]
    fn a_large_table_asks_for_large_pages() {
        let table = filled(16 << 20, 7_u8);
        assert!(table.iter().all(|octet| *octet == 7));
        if std::fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap() {
            let notes = notes_of(table.as_ptr().addr() + LARGE).unwrap();
            assert!(notes.split(' ').any(|note| note == "hg"), "{notes}");
        }
    }

    #[test]
    fn a_small_table_is_as_it_was_asked_for() {
        for count in [0, 1, 1000] {
            assert_eq!(*filled(count, 3_u64), *vec![3; count]);
        }
    }
}
