//! The steps that one [`Look`](super::Look) may make, and the answer when they were
//! not enough.

/// Whether a piece of work is done.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// It is, and this came of it.
    Done(T),
    /// It must go on in another look.
    More,
}

/// Steps that may still be made.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    spent: usize,
}

impl Budget {
    pub(super) fn new(steps: usize) -> Budget {
        Budget { left: steps, spent: 0 }
    }

    /// Whether another piece of work may begin.
    pub(super) fn lasts(&self) -> bool {
        self.left > 0
    }

    /// Steps that were made.
    pub(super) fn spent(&self) -> usize {
        self.spent
    }

    /// Notes what a piece of work costs.
    pub(super) fn spend(&mut self, steps: usize) {
        self.left = self.left.saturating_sub(steps);
        self.spent = self.spent.saturating_add(steps);
    }
}
