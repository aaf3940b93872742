//! Rows in lists by age, each row in one of them, without memory of their own for each.

/// The lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Rows of no datagram.
    Free,
    /// Those whose datagram is not complete, in the order in which they began.
    Open,
    /// Those whose datagram has gone on, in the order in which it did.
    Finished,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u16,
    next: u16,
}

/// Rings of rows; each list has one more link, in which its ring begins and ends.
#[derive(Debug)]
pub(super) struct Lists {
    links: Box<[Link]>,
    rows: u16,
}

impl Lists {
    /// So many rows, all of them free.
    pub(super) fn new(rows: u16) -> Self {
        let links = (0..rows + 3).map(|number| Link { previous: number, next: number }).collect();
        let mut lists = Self { links, rows };
        for row in 0..rows {
            lists.append(List::Free, row);
        }
        lists
    }

    /// The oldest row of a list.
    pub(super) fn first(&self, list: List) -> Option<u16> {
        let head = self.head(list);
        self.links.get(usize::from(head)).map(|link| link.next).filter(|first| *first != head)
    }

    /// Takes a row out of its list and puts it at the end of this one.
    pub(super) fn append(&mut self, list: List, row: u16) {
        let Some(Link { previous, next }) = self.links.get(usize::from(row)).copied() else {
            return;
        };
        self.join(previous, next);
        let head = self.head(list);
        let newest = self.links.get(usize::from(head)).map_or(head, |link| link.previous);
        self.join(newest, row);
        self.join(row, head);
    }

    const fn head(&self, list: List) -> u16 {
        self.rows + list as u16
    }

    fn join(&mut self, left: u16, right: u16) {
        if let Some(link) = self.links.get_mut(usize::from(left)) {
            link.next = right;
        }
        if let Some(link) = self.links.get_mut(usize::from(right)) {
            link.previous = left;
        }
    }
}
