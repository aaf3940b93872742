//! An ordered map that is a value: a clone costs one reference, and shares everything with its original until one of
//! the two changes.
//!
//! A B+ tree whose nodes are shared. A change copies the nodes from the root to one leaf, and only those that
//! somebody else still holds. So a reader keeps a million peers as they were, at no cost, while the writer goes on,
//! and a change that is refused is forgotten by dropping it.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Entries of a node. Larger ones take less memory and cost more to copy.
const NODE_LEN_MAX: usize = 64;

/// Below this, a node joins its neighbour if both fit into one.
const NODE_LEN_MIN: usize = NODE_LEN_MAX / 4;

#[derive(Clone)]
enum Node<K, V> {
    Leaf(Vec<(K, V)>),
    /// Children, each with the smallest key that was beneath it when it was made; smaller ones go to the first.
    Inner(Vec<(K, Arc<Self>)>),
}

/// The map.
#[derive(Clone)]
pub struct Tree<K, V> {
    root: Arc<Node<K, V>>,
    len: usize,
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self { root: Arc::new(Node::Leaf(Vec::new())), len: 0 }
    }
}

impl<K, V> fmt::Debug for Tree<K, V> {
    /// Not what is in it: that may be keys, and a million of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<K, V> Tree<K, V> {
    /// How many entries it has; constant time.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All entries in the order of their keys.
    #[expect(clippy::iter_without_into_iter, reason = "nobody loops over a tree itself")]
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { stack: vec![(&self.root, 0)] }
    }
}

impl<K: Ord + Clone, V: Clone> Tree<K, V> {
    /// The value of a key.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let mut node = &*self.root;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
                    return entries.get(at).map(|(_, value)| value);
                }
                Node::Inner(children) => node = &children.get(child_of(children, key))?.1,
            }
        }
    }

    /// Whether there is such a key.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.get(key).is_some()
    }

    /// The entries with greater keys, in order: a reader goes on where it has stopped.
    pub fn after<Q>(&self, key: &Q) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (mut stack, mut node) = (Vec::new(), &*self.root);
        loop {
            match node {
                Node::Leaf(entries) => {
                    stack.push((node, entries.partition_point(|(other, _)| other.borrow() <= key)));
                    return Iter { stack };
                }
                Node::Inner(children) => {
                    let at = child_of(children, key);
                    stack.push((node, at + 1));
                    let Some((_, child)) = children.get(at) else { return Iter { stack } };
                    node = child;
                }
            }
        }
    }

    /// Puts a value under a key; gives back what was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (before, split) = insert(Arc::make_mut(&mut self.root), key, value);
        if let Some((right_key, right)) = split {
            let left = std::mem::replace(&mut self.root, Arc::new(Node::Leaf(Vec::new())));
            if let Some(left_key) = first_key(&left) {
                self.root = Arc::new(Node::Inner(vec![(left_key, left), (right_key, right)]));
            }
        }
        self.len += usize::from(before.is_none());
        before
    }

    /// Takes a key out; gives back what was there.
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        // Nothing is copied for a key that is not there.
        self.get(key)?;
        let removed = remove(Arc::make_mut(&mut self.root), key)?;
        self.len -= 1;
        while let Node::Inner(children) = &*self.root {
            let [(_, only)] = children.as_slice() else { break };
            self.root = Arc::clone(only);
        }
        Some(removed)
    }
}

/// Which child a key belongs to.
fn child_of<K, V, Q>(children: &[(K, Arc<Node<K, V>>)], key: &Q) -> usize
where
    K: Borrow<Q>,
    Q: Ord + ?Sized,
{
    children.partition_point(|(first, _)| first.borrow() <= key).saturating_sub(1)
}

fn first_key<K: Clone, V>(node: &Node<K, V>) -> Option<K> {
    match node {
        Node::Leaf(entries) => entries.first().map(|(key, _)| key.clone()),
        Node::Inner(children) => children.first().map(|(key, _)| key.clone()),
    }
}

/// The right half of a node that was too large, with its first key.
type Split<K, V> = Option<(K, Arc<Node<K, V>>)>;

fn insert<K: Ord + Clone, V: Clone>(
    node: &mut Node<K, V>,
    key: K,
    value: V,
) -> (Option<V>, Split<K, V>) {
    match node {
        Node::Leaf(entries) => match entries.binary_search_by(|(other, _)| other.cmp(&key)) {
            Ok(at) => {
                let before =
                    entries.get_mut(at).map(|entry| std::mem::replace(&mut entry.1, value));
                (before, None)
            }
            Err(at) => {
                make_room(entries);
                entries.insert(at, (key, value));
                (None, split(entries, at, Node::Leaf))
            }
        },
        Node::Inner(children) => {
            let at = child_of(children, &key);
            let Some((_, child)) = children.get_mut(at) else { return (None, None) };
            let (before, grown) = insert(Arc::make_mut(child), key, value);
            let Some(right) = grown else { return (before, None) };
            make_room(children);
            children.insert(at + 1, right);
            (before, split(children, at + 1, Node::Inner))
        }
    }
}

/// Room for one more, and never for more than a node holds: a vector that grows by itself would take twice that.
fn make_room<T>(entries: &mut Vec<T>) {
    let len = entries.len();
    if len == entries.capacity() {
        let more = len.max(4).min((NODE_LEN_MAX + 1).saturating_sub(len)).max(1);
        entries.reserve_exact(more);
    }
}

/// Splits what has become too large. Behind an insertion at the end everything stays: whoever inserts in order
/// leaves full nodes.
fn split<K: Clone, V, T>(
    entries: &mut Vec<(K, T)>,
    inserted: usize,
    node: impl Fn(Vec<(K, T)>) -> Node<K, V>,
) -> Split<K, V> {
    if entries.len() <= NODE_LEN_MAX {
        return None;
    }
    let at = if inserted + 1 == entries.len() { inserted } else { entries.len() / 2 };
    let mut right = Vec::with_capacity(NODE_LEN_MAX + 1);
    right.extend(entries.drain(at..));
    let key = right.first()?.0.clone();
    Some((key, Arc::new(node(right))))
}

fn remove<K: Ord + Clone + Borrow<Q>, V: Clone, Q: Ord + ?Sized>(
    node: &mut Node<K, V>,
    key: &Q,
) -> Option<V> {
    match node {
        Node::Leaf(entries) => {
            let at = entries.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
            Some(entries.remove(at).1)
        }
        Node::Inner(children) => {
            let at = child_of(children, key);
            let child = Arc::make_mut(&mut children.get_mut(at)?.1);
            let removed = remove(child, key);
            if len(child) < NODE_LEN_MIN {
                join(children, at);
            }
            removed
        }
    }
}

fn len<K, V>(node: &Node<K, V>) -> usize {
    match node {
        Node::Leaf(entries) => entries.len(),
        Node::Inner(children) => children.len(),
    }
}

/// Joins a small child with a neighbour if both fit into one node.
fn join<K: Clone, V: Clone>(children: &mut Vec<(K, Arc<Node<K, V>>)>, at: usize) {
    let left = at.saturating_sub(1);
    let Some([(_, one), (_, other)]) = children.get(left..left + 2) else { return };
    if len(one) + len(other) > NODE_LEN_MAX {
        return;
    }
    let (_, other) = children.remove(left + 1);
    let Some((_, one)) = children.get_mut(left) else { return };
    match (Arc::make_mut(one), Arc::unwrap_or_clone(other)) {
        (Node::Leaf(entries), Node::Leaf(more)) => entries.extend(more),
        (Node::Inner(children), Node::Inner(more)) => children.extend(more),
        // All leaves are equally deep.
        (Node::Leaf(_), Node::Inner(_)) | (Node::Inner(_), Node::Leaf(_)) => {}
    }
}

/// Entries in order.
#[derive(Clone)]
pub struct Iter<'a, K, V> {
    /// From the root to a leaf: nodes with the place that comes next in each.
    stack: Vec<(&'a Node<K, V>, usize)>,
}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Iter(..)")
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (node, at) = self.stack.last_mut()?;
            let place = *at;
            *at += 1;
            match *node {
                Node::Leaf(entries) => {
                    if let Some((key, value)) = entries.get(place) {
                        return Some((key, value));
                    }
                    self.stack.pop();
                }
                Node::Inner(children) => match children.get(place) {
                    Some((_, child)) => self.stack.push((child, 0)),
                    None => drop(self.stack.pop()),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entries(tree: &Tree<u16, u32>) -> Vec<(u16, u32)> {
        tree.iter().map(|(key, value)| (*key, *value)).collect()
    }

    proptest! {
        #[test]
        fn a_tree_is_an_ordered_map_and_its_clones_stay_as_they_were(
            acts in prop::collection::vec((any::<bool>(), 0..600_u16), 0..3000),
            probe in 0..600_u16,
        ) {
            let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
            let mut kept: Vec<(Tree<u16, u32>, BTreeMap<u16, u32>)> = Vec::new();
            for (number, (put, key)) in (0..).zip(acts) {
                if put {
                    prop_assert_eq!(tree.insert(key, number), model.insert(key, number));
                } else {
                    prop_assert_eq!(tree.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(tree.len(), model.len());
                if number % 500 == 0 {
                    kept.push((tree.clone(), model.clone()));
                }
            }
            kept.push((tree, model));
            for (tree, model) in kept {
                prop_assert_eq!(entries(&tree), Vec::from_iter(model.clone()));
                prop_assert_eq!(tree.get(&probe), model.get(&probe));
                let after: Vec<u16> = tree.after(&probe).map(|(key, _)| *key).collect();
                let wanted: Vec<u16> = model.range(probe + 1..).map(|(key, _)| *key).collect();
                prop_assert_eq!(after, wanted);
            }
        }
    }

    #[test]
    fn a_tree_that_is_emptied_can_be_filled_again() {
        let mut tree = Tree::default();
        for key in 0..10_000_u32 {
            tree.insert(key, key);
        }
        for key in (0..10_000).rev() {
            assert_eq!(tree.remove(&key), Some(key));
        }
        assert!(tree.is_empty() && tree.iter().next().is_none());
        tree.insert(7, 7);
        assert_eq!(tree.get(&7), Some(&7));
    }
}
