//! How long a command waits for servers.

use std::time::Duration;

use tokio::time::Instant;

use crate::client::survey::SERVER_LIMIT;

/// Between two looks while something is waited for.
pub const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// How long a server may take to load, whatever it logs meanwhile.
const LOADING_MAX: Duration = Duration::from_secs(600);

/// How long a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// For everything together, as the user asked for it.
    Together {
        /// When it is over.
        deadline: Instant,
        /// How long it was.
        limit: Duration,
    },
    /// For each thing that is waited for, and longer while a server that was
    /// started does not answer and writes to its log: it loads its data.
    Each(Duration),
}

impl Limit {
    /// One that begins now.
    pub fn together(limit: Duration) -> Limit {
        Limit::Together { deadline: Instant::now() + limit, limit }
    }

    /// How long something that begins now may take.
    pub fn left(self) -> Duration {
        match self {
            Limit::Together { deadline, .. } => deadline.saturating_duration_since(Instant::now()),
            Limit::Each(limit) => limit,
        }
    }

    /// How long it was in the beginning.
    pub fn whole(self) -> Duration {
        match self {
            Limit::Together { limit, .. } | Limit::Each(limit) => limit,
        }
    }
}

/// Something that is waited for.
pub struct Wait {
    limit: Limit,
    deadline: Instant,
    /// When it is over even for a server that still loads.
    last: Instant,
    written: Vec<u64>,
}

impl Wait {
    /// One that begins now. `written`: how much the servers have logged.
    pub fn new(limit: Limit, written: Vec<u64>) -> Wait {
        let now = Instant::now();
        Wait { limit, deadline: now + limit.left(), last: now + LOADING_MAX, written }
    }

    /// Whether time is up. `loading`: a server that was started does not answer.
    pub fn is_over(&mut self, loading: bool, written: Vec<u64>) -> bool {
        if loading && self.written != written && matches!(self.limit, Limit::Each(_)) {
            self.deadline = self.last.min(Instant::now() + self.limit.left());
        }
        self.written = written;
        Instant::now() >= self.deadline
    }

    /// How long a look at the servers may take.
    pub fn look_limit(&self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        left.clamp(LOOK_PAUSE, SERVER_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// Looks, one a second, until time is up: at a server that logs all the time,
    /// and that answers from the look with this number on.
    async fn looks(limit: Limit, answers_from: u64) -> u64 {
        let mut wait = Wait::new(limit, vec![0]);
        for look in 1.. {
            if wait.is_over(look < answers_from, vec![look]) {
                return look;
            }
            assert!(wait.look_limit() <= SERVER_LIMIT);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        unreachable!("it waits for ever")
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_somebody_asked_for_counts_whatever_servers_log() {
        assert_eq!(looks(Limit::together(LIMIT), u64::MAX).await, 31);
        let begun = Limit::together(LIMIT);
        tokio::time::advance(LIMIT / 2).await;
        assert_eq!(looks(begun, u64::MAX).await, 16, "the second thing has the rest");
        assert_eq!(looks(begun, u64::MAX).await, 1, "and the third one nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_server_that_does_not_answer_yet_has_more_time_while_it_logs() {
        assert_eq!(looks(Limit::Each(LIMIT), 0).await, 31);
        assert_eq!(looks(Limit::Each(LIMIT), 100).await, 129, "30 s from its last word on");
        assert_eq!(looks(Limit::Each(LIMIT), u64::MAX).await, LOADING_MAX.as_secs() + 1);
        let mut silent = Wait::new(Limit::Each(LIMIT), vec![7]);
        tokio::time::advance(LIMIT).await;
        assert!(silent.is_over(true, vec![7]), "it does not log");
    }
}
