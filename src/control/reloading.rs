//! Whether a reload is under way, for who is told of it: systemd.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts reloads from the wish to the end.
#[derive(Debug)]
pub(super) struct Reloading {
    under_way: Mutex<u32>,
    /// Told true when the first begins, false when none is left.
    listener: fn(bool),
}

/// One of them; dropped, it has ended.
#[derive(Debug)]
pub(super) struct UnderWay<'r>(&'r Reloading);

impl Reloading {
    pub(super) const fn new(listener: fn(bool)) -> Self {
        Self { under_way: Mutex::new(0), listener }
    }

    /// One begins, or waits for those before it.
    pub(super) fn begin(&self) -> UnderWay<'_> {
        let mut under_way = self.count();
        *under_way += 1;
        if *under_way == 1 {
            (self.listener)(true);
        }
        UnderWay(self)
    }

    /// Locked while the listener is told, too: what it hears is in order.
    fn count(&self) -> MutexGuard<'_, u32> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut under_way = self.0.count();
        *under_way -= 1;
        if *under_way == 0 {
            (self.0.listener)(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    thread_local! {
        static HEARD: RefCell<Vec<bool>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn those_that_overlap_are_told_as_one() {
        let reloading = Reloading::new(|begins| HEARD.with_borrow_mut(|heard| heard.push(begins)));
        let heard = || HEARD.with_borrow(Vec::clone);
        let (one, other) = (reloading.begin(), reloading.begin());
        drop(one);
        assert_eq!(heard(), [true]);
        drop(other);
        assert_eq!(heard(), [true, false]);
        drop(reloading.begin());
        assert_eq!(heard(), [true, false, true, false]);
    }
}
