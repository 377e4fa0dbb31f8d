//! Replicas whose clocks do not agree.

use super::*;
use crate::host::Clock;
use crate::limits::{CLOCK_LEAD_MAX_MS, LEVEL_OF_KEEPING};
use crate::protocol::administration::{ChangeRequest, Changed, RequestedChange};

/// The system's clock, off by so many milliseconds.
struct Off(std::sync::atomic::AtomicI64);

impl Off {
    fn by(ms: i64) -> Arc<Off> {
        Arc::new(Off(ms.into()))
    }

    fn host(self: &Arc<Off>) -> Host {
        Host { clock: Arc::clone(self) as _, ..Host::real() }
    }

    fn set(&self, ms: i64) {
        self.0.store(ms, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for Off {
    fn now(&self) -> Timestamp {
        let off_ms = self.0.load(std::sync::atomic::Ordering::SeqCst);
        Timestamp(Host::real().clock.now().0.saturating_add_signed(off_ms))
    }
}

const DAY_MS: i64 = 86_400_000;

/// Starts three replicas of which the first has this clock, and makes it lead.
async fn led_by(clock: &Arc<Off>) -> Cluster {
    let mut cluster = Cluster::new().await;
    cluster.start_on(1, clock.host()).await;
    for id in [2, 3] {
        cluster.start(id).await;
    }
    make_lead(&cluster, 1).await;
    cluster
}

async fn make_lead(cluster: &Cluster, id: u32) {
    let made = async {
        while !cluster.replica(id).status().writable {
            let leader = cluster.leader().await;
            if let Ok(consensus) = cluster.replica(leader).0.consensus()
                && leader != id
            {
                // Refused while the other one lags; then it is tried again.
                drop(consensus.transfer_to(ReplicaId(id)).await);
            }
        }
    };
    timeout(LONG, made).await.expect("it leads");
}

/// Registers by a replica, with a session that ends a day later by the right time.
async fn session(cluster: &Cluster, by: u32, name: &str) -> crate::chat::SessionNumber {
    let mut operation = register(name);
    let Action::Register { expires, .. } = &mut operation.action else { panic!("registers") };
    *expires = Host::real().clock.now().plus_ms(DAY_MS as u64);
    let deadline = Instant::now() + LONG;
    let replica = cluster.replica(by);
    let applied = replica.propose(operation, deadline, &Sequence::default()).await;
    match applied.expect("accepted").outcome {
        Outcome::SessionOpened { session, .. } => session,
        other => panic!("{other:?}"),
    }
}

/// Sends to oneself, which needs the session; when the message was stamped.
async fn send(cluster: &Cluster, by: u32, session: crate::chat::SessionNumber, to: &str) -> u64 {
    let to = vec![AccountName::new(to).expect("a name")];
    let action = Action::Send {
        session,
        to,
        text: "still here".into(),
        again: false,
        after: None,
        reply_to: None,
    };
    let operation = Operation { id: Host::real().uuid(), action };
    let deadline = Instant::now() + LONG;
    let replica = cluster.replica(by);
    let applied = replica.propose(operation, deadline, &Sequence::default()).await;
    match applied.expect("accepted").outcome {
        Outcome::Sent { at, .. } => at.0,
        other => panic!("{other:?}"),
    }
}

fn is_about_now(at_ms: u64) {
    let off_ms = at_ms.abs_diff(Host::real().clock.now().0);
    assert!(off_ms <= CLOCK_LEAD_MAX_MS + LONG.as_millis() as u64, "off by {off_ms} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_clock_is_wrong_ends_no_session_and_stamps_the_right_time() {
    for days in [100, -100] {
        let clock = Off::by(0);
        let cluster = led_by(&clock).await;
        let session = session(&cluster, 2, "alice").await;
        clock.set(days * DAY_MS);
        for by in [1, 2, 3] {
            is_about_now(send(&cluster, by, session, "alice").await);
            is_about_now(cluster.replica(by).now().0);
        }
        let says = |notice: &Option<String>| notice.as_ref().is_some_and(|it| it.contains("clock"));
        assert!(says(&cluster.replica(1).status().notice), "the wrong one tells");
        assert!(!says(&cluster.replica(2).status().notice), "the right ones have nothing to tell");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_starts_with_a_wrong_clock_leads_by_the_others() {
    let clock = Off::by(100 * DAY_MS);
    let cluster = led_by(&clock).await;
    let session = session(&cluster, 1, "alice").await;
    is_about_now(send(&cluster, 1, session, "alice").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_set_right_counts_again() {
    let clock = Off::by(-100 * DAY_MS);
    let mut cluster = led_by(&clock).await;
    clock.set(0);
    // To one whose own clock begins with 1970, the lower of the others is in the middle.
    let clocks = cluster.replica(2).0.credentials.clocks().clone();
    let lower = || clocks.time(Timestamp(0), Timestamp(0)).plus_ms(DAY_MS as u64);
    let heard = async {
        while lower() < Host::real().clock.now() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, heard).await.expect("replica 2 asks again");
    cluster.stop(3).await;
    let session = session(&cluster, 1, "alice").await;
    let first = send(&cluster, 2, session, "alice").await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert!(send(&cluster, 2, session, "alice").await > first);
    is_about_now(cluster.replica(2).now().0);
}

/// Has messages kept for so long.
async fn keep(cluster: &Cluster, by: u32, keep_messages_days: u32) {
    let change =
        RequestedChange::SetLimits { account_bytes: None, total_bytes: None, keep_messages_days };
    let asked = ChangeRequest { operation: Host::real().uuid(), by: "root@alpha".into(), change };
    assert_eq!(cluster.replica(by).0.administer(asked).await, Ok(Changed::Done {}));
}

/// Whether a replica's state has any message.
fn has_messages(cluster: &Cluster, id: u32) -> bool {
    cluster.replica(id).look(|look| look.newest_at()).is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_clock_is_ten_years_ahead_lets_no_message_go_until_others_say_so_too() {
    let clocks = [Off::by(0), Off::by(0), Off::by(0)];
    let mut cluster = Cluster::new().await;
    for (id, clock) in (1..).zip(&clocks) {
        cluster.start_on(id, clock.host()).await;
    }
    for id in 1..=3 {
        cluster.until(id, |status| status.feature_level == Some(LEVEL_OF_KEEPING)).await;
    }
    make_lead(&cluster, 1).await;
    keep(&cluster, 2, 30).await;
    let session = session(&cluster, 2, "alice").await;
    send(&cluster, 2, session, "alice").await;
    // Whatever there is to say of the time is said.
    let leader = &cluster.replica(1).0;
    while !matches!(leader.note_time().await, Ok(false)) {}
    for ahead_days in [3_650, 31] {
        clocks[0].set(ahead_days * DAY_MS);
        assert!(!leader.note_time().await.expect("it leads"), "nobody else says so");
    }
    // Neither when it starts so, or is told of others that are behind.
    clocks[1].set(-100 * DAY_MS);
    assert!(!leader.note_time().await.expect("it leads"));
    for id in 1..=3 {
        assert!(has_messages(&cluster, id));
    }
    clocks[1].set(31 * DAY_MS);
    let gone = async {
        while (1..=3).any(|id| has_messages(&cluster, id)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, gone).await.expect("two of three say so");
    let hash = |id: u32| cluster.replica(id).look(|look| look.hash());
    let equal = async {
        while hash(1) != hash(2) || hash(1) != hash(3) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, equal).await.expect("all are alike");
}
