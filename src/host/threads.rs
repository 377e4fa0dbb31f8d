//! Threads for work beside the tasks of the runtime.
#![allow(clippy::disallowed_methods, reason = "this is the one module that may call the system")]

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{BoxFuture, Workers};
use crate::sync::Mutex;

/// Workers that are threads of this process.
pub(super) struct Threads;

impl Threads {
    fn start(name: &str, patient: bool, job: BoxFuture<'static, ()>) {
        let handle = Handle::current();
        // The job can be taken back when the system refuses the thread.
        let job = Arc::new(Mutex::new(Some(job)));
        let run = {
            let (handle, job) = (handle.clone(), job.clone());
            move || {
                let job = job.lock().take();
                if patient {
                    be_patient();
                }
                if let Some(job) = job {
                    handle.block_on(job);
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name(name.to_string()).spawn(run) {
            // Correct all the same, only slower: its disk calls now delay
            // other tasks of the runtime.
            tracing::warn!("no thread for {name} ({error}); running it among the other tasks");
            if let Some(job) = job.lock().take() {
                handle.spawn(job);
            }
        }
    }
}

/// Lets other threads go before this one, and before those that it starts.
#[cfg(target_os = "linux")]
fn be_patient() {
    /// Where a processor is short, it gets a tenth of what another thread gets. At
    /// the highest niceness, 19, that is a seventieth, and under load a snapshot
    /// would not end.
    const NICENESS: i32 = 10;
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "a patient job has the priority of any other");
    }
}

/// Elsewhere a process has one niceness for all its threads.
#[cfg(not(target_os = "linux"))]
fn be_patient() {}

impl Workers for Threads {
    /// # Panics
    /// Outside of a tokio runtime, whose channels and timers the job may use.
    /// The runtime must outlive the job's timers.
    fn spawn(&self, name: &str, job: BoxFuture<'static, ()>) {
        Threads::start(name, false, job);
    }

    /// # Panics
    /// As [`Workers::spawn`].
    fn spawn_patient(&self, name: &str, job: BoxFuture<'static, ()>) {
        Threads::start(name, true, job);
    }

    /// # Panics
    /// Outside of a tokio runtime.
    fn compute(&self, computation: Box<dyn FnOnce() + Send>) {
        // Dropping the handle lets the computation run on. Callers that want its result
        // wait on a channel.
        drop(tokio::task::spawn_blocking(computation));
    }
}

#[cfg(test)]
mod tests {
    use crate::host::Host;

    #[tokio::test]
    async fn a_worker_is_a_named_thread_with_channels_and_timers() {
        let (ask, mut asked) = tokio::sync::mpsc::unbounded_channel::<u32>();
        let (answer, answered) = tokio::sync::oneshot::channel();
        Host::real().workers.spawn(
            "doubler",
            Box::pin(async move {
                let number = asked.recv().await.expect("is asked");
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                let name = std::thread::current().name().map(str::to_string);
                answer.send((number * 2, name)).expect("is awaited");
            }),
        );
        ask.send(21).expect("is there");
        assert_eq!(answered.await.expect("answers"), (42, Some("doubler".to_string())));
        assert_eq!(Host::real().compute(|| 6 * 7).await, 42);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_patient_worker_lets_others_go_first_and_changes_nobody_else() {
        let niceness = || rustix::process::getpriority_process(None).expect("one's own");
        let before = niceness();
        let (answer, answered) = tokio::sync::oneshot::channel();
        let job = async move {
            // Threads that it starts are as patient.
            let started = std::thread::Builder::new().spawn(niceness).expect("a thread");
            answer.send((niceness(), started.join().expect("no panic"))).expect("is awaited");
        };
        Host::real().workers.spawn_patient("writer", Box::pin(job));
        assert_eq!(answered.await.expect("answers"), (before.max(10), before.max(10)));
        assert_eq!(niceness(), before);
    }
}
