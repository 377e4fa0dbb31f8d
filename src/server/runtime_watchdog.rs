//! Ends a process whose runtime does nothing any more.
//!
//! When every thread of the runtime is held up, no task can notice it, and the
//! process would keep its locks and its clients for ever. So one task does nothing but
//! count, and a thread of its own looks whether it still counts. If it does not, the
//! thread ends the process: then its locks are free, and a neighbour goes on.
//!
//! The thread counts its looks, not time: a process that was frozen and goes on has
//! missed one look, and is not stuck.
#![allow(clippy::disallowed_methods, reason = "this thread must not depend on the runtime")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};

/// Between two counts, and between two looks.
pub const TICK: Duration = Duration::from_millis(500);

/// So many looks in a row without a count, which is five seconds, are the end.
const MISSES_MAX: u32 = 10;

/// Watches over the runtime that this is called in, from another thread. `moves` is called
/// at every look at which the runtime does not count as stuck, and `end` once, when it does.
/// Neither is to wait for anything.
///
/// # Errors
/// When there is no thread to be had.
pub fn watch(
    tick: Duration,
    mut moves: impl FnMut() + Send + 'static,
    end: impl FnOnce() + Send + 'static,
) -> Result<()> {
    let counted = Arc::new(AtomicU64::new(0));
    let seen = Arc::downgrade(&counted);
    crate::host::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(tick).await;
        }
    });
    let look = move || {
        let (mut last, mut misses) = (None, 0);
        // The count is gone when the runtime has ended.
        while let Some(counted) = seen.upgrade() {
            let count = counted.load(Ordering::Relaxed);
            drop(counted);
            misses = if last == Some(count) { misses + 1 } else { 0 };
            last = Some(count);
            if misses >= MISSES_MAX {
                return end();
            }
            moves();
            std::thread::sleep(tick);
        }
    };
    let spawned = std::thread::Builder::new().name("stuck".into()).spawn(look);
    spawned.map(drop).map_err(|error| Error::internal(format!("cannot start a thread: {error}")))
}

/// Ends the process at once, whatever holds it up.
pub fn end_process() {
    // What it hangs on may be this very log.
    let told = std::thread::spawn(|| {
        tracing::error!(
            "no task of this server has run for 5 seconds; it ends, so that another one can go on"
        );
    });
    for _ in 0..10 {
        if told.is_finished() {
            break;
        }
        std::thread::sleep(TICK / 10);
    }
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Ten of these are more than a loaded machine makes anybody wait.
    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn a_runtime_that_is_held_up_is_noticed_and_a_busy_one_is_not() {
        let (send, stuck) = mpsc::channel();
        let (tell, moved) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            let end = move || send.send(()).expect("the test waits");
            watch(SHORT, move || tell.send(()).expect("the test waits"), end).expect("a thread");
            for _ in 0..100 {
                tokio::time::sleep(SHORT / 5).await;
            }
            assert_eq!(stuck.try_recv(), Err(mpsc::TryRecvError::Empty));
            let looks = moved.try_iter().count();
            assert!(looks > 1, "{looks}");
            // The only thread of the runtime waits here.
            stuck.recv().expect("it is noticed");
            // Until it counted as stuck, and not once more.
            let looks = moved.iter().count();
            assert!((1..=MISSES_MAX as usize).contains(&looks), "{looks}");
        });
    }

    #[test]
    fn the_watch_ends_with_the_runtime() {
        let (send, stuck) = mpsc::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.expect("a runtime");
        runtime.block_on(async {
            let end = move || send.send(()).expect("the test waits");
            watch(SHORT, || {}, end).expect("a thread");
        });
        drop(runtime);
        assert_eq!(stuck.recv(), Err(mpsc::RecvError), "dropped without being called");
    }
}
