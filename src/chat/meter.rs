//! Counts the work that is really done, so that tests need not trust the steps that
//! the code reports. The basic parts of the state call [`work`], which does nothing in
//! the program itself.
//!
//! The unit is that of [`super::budget`].

/// Recipients that are named in a step.
pub(super) const NAMES_PER_STEP: usize = 4;

/// Notes work that is done here.
#[cfg(not(test))]
pub(super) fn work(_: usize) {}

#[cfg(test)]
thread_local! {
    static WORK: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Notes work that is done here.
#[cfg(test)]
pub(super) fn work(steps: usize) {
    WORK.set(WORK.get() + steps);
}

/// The work that this thread has done since the last call.
#[cfg(test)]
pub(crate) fn taken() -> usize {
    WORK.take()
}
