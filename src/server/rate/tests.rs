use super::*;

fn logins() -> FailedLogins {
    FailedLogins::new(&Limits {
        failed_login_burst: 3,
        failed_login_refill_s: 6,
        ..Limits::default()
    })
}

/// Attempts until refused, with the refusal.
fn exhaust(logins: &FailedLogins, account: &str, address: &str) -> (usize, Error) {
    for count in 0..1_000 {
        if let Err(error) = logins.attempt(account, address) {
            return (count, error);
        }
    }
    panic!("never refused");
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_let_through_then_one_each_refill() {
    let logins = logins();
    let (count, error) = exhaust(&logins, "alice", "a");
    assert_eq!((count, error.code), (3, ErrorCode::RateLimited));
    assert_eq!(error.retry_after_ms, Some(6_000));
    assert!(error.message.ends_with("try again in 6 seconds"), "{error}");
    tokio::time::advance(Duration::from_millis(5_999)).await;
    let error = logins.check("alice", "a").expect_err("not yet");
    assert!(error.message.ends_with("try again in 1 second"), "{error}");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(exhaust(&logins, "alice", "a").0, 1);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(exhaust(&logins, "alice", "a").0, 3, "never more than the burst");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_elsewhere_locks_nobody_out() {
    let logins = logins();
    for _ in 0..100 {
        exhaust(&logins, "alice", "attacker");
        logins.check("alice", "home").expect("the stranger ran dry alone");
        tokio::time::advance(Duration::from_secs(6)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_strangers_together_stop_only_unknown_addresses() {
    let logins = logins();
    logins.remember("alice", "home");
    let guesses: usize = (0..100).map(|n| exhaust(&logins, "alice", &format!("bot-{n}")).0).sum();
    assert_eq!(guesses, 30, "ten times the burst of one address");
    let error = logins.check("alice", "new").expect_err("under attack");
    assert!(error.message.contains("for this account;"), "{error}");
    logins.check("alice", "home").expect("where she usually is");
    logins.check("bob", "new").expect("another account");
}

#[tokio::test(start_paused = true)]
async fn an_address_cannot_try_every_account() {
    let logins = logins();
    let guesses: usize = (0..100).map(|n| exhaust(&logins, &format!("user-{n}"), "a").0).sum();
    assert_eq!(guesses, 30);
    logins.check("user-99", "b").expect("another address");
}

#[tokio::test(start_paused = true)]
async fn right_passwords_cost_nothing() {
    let logins = logins();
    for _ in 0..1_000 {
        logins.attempt("alice", "a").expect("given back each time");
        logins.forgive("alice", "a");
    }
    assert_eq!(exhaust(&logins, "alice", "a").0, 3);
}

#[tokio::test(start_paused = true)]
async fn registrations_have_their_own_burst() {
    let registrations = Registrations::new(&Limits {
        registration_burst: 2,
        registration_refill_s: 1,
        ..Limits::default()
    });
    registrations.attempt("a").expect("first");
    registrations.attempt("a").expect("second");
    let error = registrations.attempt("a").expect_err("third");
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::RateLimited, Some(1_000)));
    registrations.attempt("b").expect("another address");
}

#[tokio::test(start_paused = true)]
async fn a_table_stays_bounded_and_forgets_the_least() {
    let mut buckets = Buckets::new(10, Duration::from_secs(1));
    let now = Instant::now();
    for _ in 0..10 {
        buckets.take(&usize::MAX, now);
    }
    for key in 0..TABLE_MAX + 10 {
        buckets.take(&key, now);
    }
    assert_eq!(buckets.full_at.len(), TABLE_MAX);
    assert!(buckets.wait(&usize::MAX, now) > Duration::ZERO, "the empty bucket was kept");
    let later = now + Duration::from_secs(2);
    buckets.take(&(TABLE_MAX * 2), later);
    assert_eq!(buckets.full_at.len(), 2, "full ones go first");
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_logged_once_a_second() {
    let throttle = LogThrottle::default();
    assert_eq!(throttle.allow(), Some(0));
    assert_eq!((throttle.allow(), throttle.allow()), (None, None));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(throttle.allow(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn of_the_addresses_that_an_account_was_used_from_the_oldest_are_forgotten() {
    let logins = logins();
    let address = |number: usize| format!("home-{number}");
    for number in 0..=TABLE_MAX {
        logins.remember("alice", &address(number));
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let known =
        |number| logins.tables().known.contains_key(&("alice".to_string(), address(number)));
    assert_eq!([0, 1, TABLE_MAX].map(known), [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn changes_are_counted_for_each_account_and_not_at_all_where_there_is_no_bound() {
    let limits =
        |per_s| Limits { changes_per_account_per_s: per_s, change_burst: 3, ..Limits::default() };
    let changes = Changes::new(&limits(2));
    let [alice, bob] = [1, 2].map(Uuid::from_u128);
    (0..3).for_each(|_| changes.attempt(alice).expect("a burst"));
    let error = changes.attempt(alice).expect_err("one too many");
    assert_eq!((error.code, error.retry_after_ms), (ErrorCode::RateLimited, Some(500)));
    changes.attempt(bob).expect("another account");
    tokio::time::advance(Duration::from_millis(500)).await;
    changes.attempt(alice).expect("one is there again");
    let free = Changes::new(&limits(0));
    (0..10_000).for_each(|_| free.attempt(alice).expect("no bound"));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_sent_too_much_is_told_no_more_than_a_second_or_what_it_takes() {
    for (per_s, ms) in [(1, 1_000), (2, 1_000), (200, 1_000), (2_000, 100)] {
        let limits = Limits { changes_per_account_per_s: per_s, ..Limits::default() };
        let changes = Changes::new(&limits);
        let alice = Uuid::from_u128(1);
        (0..limits.change_burst).for_each(|_| changes.attempt(alice).expect("a burst"));
        let error = changes.attempt(alice).expect_err("one too many");
        assert_eq!(error.retry_after_ms, Some(ms), "{per_s} a second");
    }
}
