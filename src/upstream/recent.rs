//! A bounded map that forgets what was asked for the longest time ago. Pure.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Values by key, together no heavier than a limit. A look costs the same however many there are.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    most: u64,
    shelf: Mutex<Shelf<K, V>>,
}

#[derive(Debug)]
struct Shelf<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Keys by their last use.
    order: BTreeMap<u64, K>,
    weight: u64,
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: u64,
    used: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    /// A map whose values weigh at most `most` together, in whatever unit they are put in with.
    pub(super) fn new(most: u64) -> Self {
        let shelf = Shelf { entries: HashMap::new(), order: BTreeMap::new(), weight: 0, uses: 0 };
        Self { most, shelf: Mutex::new(shelf) }
    }

    /// The value, which counts as used now.
    pub(super) fn find(&self, key: &K) -> Option<V> {
        let mut shelf = self.shelf();
        let Shelf { entries, order, uses, .. } = &mut *shelf;
        let entry = entries.get_mut(key)?;
        *uses += 1;
        if let Some(key) = order.remove(&entry.used) {
            order.insert(*uses, key);
        }
        entry.used = *uses;
        Some(entry.value.clone())
    }

    /// Keeps a value, and forgets others for it. One that is heavier than the limit is not kept.
    pub(super) fn keep(&self, key: K, value: V, weight: u64) {
        let mut shelf = self.shelf();
        shelf.remove(&key);
        if weight > self.most {
            return;
        }
        while shelf.weight + weight > self.most {
            let Some((_, oldest)) = shelf.order.pop_first() else { break };
            shelf.remove(&oldest);
        }
        shelf.uses += 1;
        let used = shelf.uses;
        shelf.weight += weight;
        shelf.order.insert(used, key.clone());
        shelf.entries.insert(key, Entry { value, weight, used });
    }

    /// Forgets a value where `outdated` says so; whether it did.
    pub(super) fn forget_if(&self, key: &K, outdated: impl FnOnce(&V) -> bool) -> bool {
        let mut shelf = self.shelf();
        let forgotten = shelf.entries.get(key).is_some_and(|entry| outdated(&entry.value));
        if forgotten {
            shelf.remove(key);
        }
        forgotten
    }

    /// Forgets what was asked for the longest time ago; whether there was anything.
    pub(super) fn forget_oldest(&self) -> bool {
        let mut shelf = self.shelf();
        let Some((_, oldest)) = shelf.order.pop_first() else { return false };
        shelf.remove(&oldest);
        true
    }

    /// Forgets every value whose key is `outdated`.
    pub(super) fn forget_all(&self, outdated: impl Fn(&K) -> bool) {
        let mut shelf = self.shelf();
        let keys: Vec<K> = shelf.order.values().filter(|key| outdated(key)).cloned().collect();
        for key in keys {
            shelf.remove(&key);
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.shelf().entries.len()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<K, V>> {
        // Nothing in here panics half-way.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Shelf<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.weight -= entry.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn what_was_not_asked_for_goes_first_and_the_limit_holds() {
        let recent = Recent::new(10);
        recent.keep("a", 1, 4);
        recent.keep("b", 2, 4);
        assert_eq!(recent.find(&"a"), Some(1));
        recent.keep("c", 3, 4);
        assert_eq!((recent.find(&"a"), recent.find(&"b"), recent.find(&"c")), (Some(1), None, Some(3)));
        recent.keep("d", 4, 11);
        assert_eq!((recent.find(&"d"), recent.find(&"a")), (None, Some(1)));
        recent.keep("a", 5, 10);
        assert_eq!((recent.find(&"a"), recent.find(&"c")), (Some(5), None));
        assert!(recent.forget_oldest() && !recent.forget_oldest());
        assert_eq!(recent.find(&"a"), None);
    }

    #[test]
    fn all_that_is_outdated_is_forgotten_with_its_weight() {
        let recent = Recent::new(10);
        for key in 1..=3 {
            recent.keep(key, key, 3);
        }
        recent.forget_all(|key| *key < 3);
        assert_eq!((recent.count(), recent.find(&3)), (1, Some(3)));
        recent.keep(4, 4, 7);
        assert_eq!((recent.count(), recent.find(&3)), (2, Some(3)));
    }

    #[test]
    fn only_what_is_outdated_is_forgotten() {
        let recent = Recent::new(10);
        recent.keep("a", 1, 1);
        assert!(!recent.forget_if(&"a", |value| *value == 2));
        assert_eq!(recent.find(&"a"), Some(1));
        assert!(recent.forget_if(&"a", |value| *value == 1));
        assert_eq!(recent.find(&"a"), None);
    }
}
