//! A replica whose disk hangs.

use super::*;

/// Whether the disk hangs, and who waits for it.
#[derive(Default)]
pub(super) struct Hanging(crate::sync::Mutex<(bool, Option<std::task::Waker>)>);

impl Hanging {
    pub(super) fn hang(&self) {
        self.0.lock().0 = true;
    }

    pub(super) fn go_on(&self) {
        let (_, waiting) = std::mem::take(&mut *self.0.lock());
        waiting.inspect(std::task::Waker::wake_by_ref);
    }

    fn holds(&self, context: &std::task::Context<'_>) -> bool {
        let (hangs, waiting) = &mut *self.0.lock();
        *waiting = hangs.then(|| context.waker().clone());
        *hangs
    }
}

/// The real host, whose log writers stand still while the disk hangs.
pub(super) fn host_with_a_disk_that_hangs(hanging: &Arc<Hanging>) -> Host {
    struct Held(Arc<dyn crate::host::Workers>, Arc<Hanging>);
    impl crate::host::Workers for Held {
        fn spawn(&self, name: &str, mut job: crate::host::BoxFuture<'static, ()>) {
            let hanging = (name == "log-writer").then(|| self.1.clone());
            let job = std::future::poll_fn(move |context| {
                match hanging.as_ref().is_some_and(|hanging| hanging.holds(context)) {
                    true => std::task::Poll::Pending,
                    false => job.as_mut().poll(context),
                }
            });
            self.0.spawn(name, Box::pin(job));
        }
        fn compute(&self, computation: Box<dyn FnOnce() + Send>) {
            self.0.compute(computation);
        }
    }
    let host = Host::real();
    Host { workers: Arc::new(Held(host.workers.clone(), hanging.clone())), ..host }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_consensus_is_stuck_says_so() {
    let disk = Arc::<Hanging>::default();
    let mut cluster = Cluster::new().await;
    for id in 1..=2 {
        cluster.start(id).await;
    }
    cluster.start_on(3, host_with_a_disk_that_hangs(&disk)).await;
    cluster.until(3, |status| status.hosted[0].applied > 0).await;
    // One that goes on leading has nothing to write.
    cluster.leader_other_than(3).await;
    disk.hang();
    // Whoever is asked for a vote, or asks for one, must write it down first.
    for id in [1, 2] {
        cluster.stop(id).await;
    }
    for id in [1, 2] {
        cluster.start(id).await;
    }
    let failure = timeout(LONG, cluster.replica(3).failed()).await.expect("it notices");
    assert!(failure.message.contains("has not moved for 5 seconds"), "{failure}");
    assert!(failure.message.contains("replica-3"), "{failure}");
    for id in [1, 2] {
        assert_eq!(cluster.replica(id).failure(), None);
    }
}
