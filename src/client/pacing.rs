//! How long to wait, for whom, and what to say when it was in vain.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::duration;
use crate::error::{Error, ErrorCode};
use crate::host::Host;
use crate::types::Address;

/// How long a server may take to greet before another is asked beside it. On one host a
/// greeting takes a millisecond. A server that takes longer is frozen, dead or far away,
/// and asking a second one costs next to nothing.
pub(super) const GREETING_LIMIT: Duration = Duration::from_millis(250);

/// The same, where all that is asked is which cluster the server belongs to: it says so in
/// its greeting, so nobody does anything twice. Every command begins with this.
pub(super) const CLUSTER_LIMIT: Duration = Duration::from_millis(25);

/// Longest wait for a greeting once servers have shown to be slow.
const GREETING_LIMIT_MAX: Duration = Duration::from_secs(5);

/// First wait between two rounds of all servers, and the longest: an election
/// on evidence takes 5 ms, one by timeout about half a second.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(250);

/// How long a server may sit on a request before another is asked as well: a
/// quarter of all the time there is, between one and two seconds, so that two
/// frozen servers of three are still survived.
pub(super) fn answer_limit(timeout: Duration) -> Duration {
    (timeout / 4).clamp(Duration::from_secs(1), Duration::from_secs(2)).min(timeout / 2)
}

/// The time limit that a server gets of the time that is left: a little less, so that
/// its final answer ("nothing was done") still arrives before we give up.
pub(super) fn server_timeout(left: Duration) -> Duration {
    left - (left / 10).min(Duration::from_millis(250))
}

/// Growing waits, with jitter so that many clients do not come back as one.
pub(super) struct Backoff {
    next: Duration,
    greeting_limit: Duration,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { next: BACKOFF_MIN, greeting_limit: GREETING_LIMIT }
    }

    /// The next wait: between half and all of 10, 20, 40 … 250 ms.
    pub(super) fn wait(&mut self, host: &Host) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(BACKOFF_MAX);
        self.greeting_limit = (self.greeting_limit * 2).min(GREETING_LIMIT_MAX);
        let thousandths = u32::try_from(500 + host.random_u64() % 501).unwrap_or(1_000);
        whole * thousandths / 1_000
    }

    /// How long to wait for a greeting in this round; doubles with each round,
    /// so that servers which are far away are reached in the end.
    pub(super) fn greeting_limit(&self) -> Duration {
        self.greeting_limit
    }
}

/// The last thing that went wrong with each server.
#[derive(Default)]
pub(super) struct Reasons(BTreeMap<Address, Reason>);

/// What went wrong with a server.
pub(super) enum Reason {
    /// The server said so. It knows who is missing.
    Word(String),
    /// It gave no answer, or none of use: `answered` tells which.
    Failure { why: String, answered: bool },
    /// It will never be of use to this client, by this code: it is of another cluster, or
    /// wants to be spoken to in TLS.
    Never(ErrorCode, String),
}

impl Reason {
    /// Nobody answered.
    pub(super) fn silence(why: impl Into<String>) -> Reason {
        Reason::Failure { why: why.into(), answered: false }
    }
}

impl Reasons {
    pub(super) fn note(&mut self, server: &Address, reason: impl Into<String>) {
        self.0.insert(server.clone(), Reason::silence(reason));
    }

    /// That a server could not be asked, and why.
    pub(super) fn note_failure(&mut self, server: &Address, error: &Error) {
        let reason = error.message.clone();
        self.note_reason(
            server,
            match error.code {
                ErrorCode::WrongCluster | ErrorCode::TlsRequired => {
                    Reason::Never(error.code, reason)
                }
                code => Reason::Failure { why: reason, answered: code != ErrorCode::Io },
            },
        );
    }

    /// Whether so many servers, which are all of them, will never be of use: there is
    /// nobody to wait for.
    pub(super) fn are_final(&self, servers: usize) -> bool {
        let never = |reason: &&Reason| matches!(reason, Reason::Never(..));
        self.0.values().filter(never).count() == servers
    }

    pub(super) fn note_reason(&mut self, server: &Address, reason: Reason) {
        self.0.insert(server.clone(), reason);
    }

    /// What a server said.
    pub(super) fn note_word(&mut self, server: &Address, word: impl Into<String>) {
        self.0.insert(server.clone(), Reason::Word(word.into()));
    }

    /// Notes that a server has not answered by the end. A reason that it gave before
    /// tells more, such as that it cannot confirm a read.
    pub(super) fn note_no_answer(&mut self, server: &Address) {
        let before = self.0.get(server);
        // It is another one by now that listens there.
        if before.is_none_or(|before| matches!(before, Reason::Never(..))) {
            self.note(server, "did not answer");
        }
    }

    /// What servers said, each thing once, then each server that is not named
    /// there with what is wrong:
    /// `127.0.0.1:8091, 127.0.0.1:8092: connection refused; 127.0.0.1:8093: did not answer`
    pub(super) fn list(&self) -> String {
        let mut words: Vec<&str> = Vec::new();
        let mut failures: Vec<(&str, Vec<String>)> = Vec::new();
        for (server, reason) in &self.0 {
            match reason {
                Reason::Word(word) if words.contains(&word.as_str()) => {}
                Reason::Word(word) => words.push(word),
                Reason::Failure { why, .. } | Reason::Never(_, why) => {
                    match failures.iter_mut().find(|(it, _)| it == why) {
                        Some((_, servers)) => servers.push(server.to_string()),
                        None => failures.push((why, vec![server.to_string()])),
                    }
                }
            }
        }
        // A server that others name in their reasons is not named again.
        for (_, servers) in &mut failures {
            servers.retain(|server| !words.iter().any(|word| word.contains(server.as_str())));
        }
        failures.retain(|(_, servers)| !servers.is_empty());
        let each = failures.iter().map(|(why, servers)| format!("{}: {why}", servers.join(", ")));
        let words = words.iter().map(|word| word.to_string());
        words.chain(each).collect::<Vec<_>>().join("; ")
    }

    /// Nothing was done within `timeout`, and why. Who met nobody but servers that will
    /// never be of use has asked in the wrong place.
    pub(super) fn unavailable(&self, timeout: Duration) -> Error {
        let never = self.0.values().find_map(|reason| match reason {
            Reason::Never(code, _) => Some(*code),
            Reason::Word(_) | Reason::Failure { .. } => None,
        });
        let answered = self.0.values().any(|reason| {
            matches!(reason, Reason::Word(_) | Reason::Failure { answered: true, .. })
        });
        if let Some(code) = never.filter(|_| !answered) {
            return Error::new(code, format!("no server can be asked: {}", self.list()));
        }
        let within = duration::format(timeout);
        Error::unavailable(format!("nothing was done within {within}: {}", self.list()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u16) -> Address {
        format!("127.0.0.1:{number}").parse().expect("valid")
    }

    #[test]
    fn no_server_is_named_twice_and_what_servers_say_comes_alone() {
        let mut reasons = Reasons::default();
        reasons.note(&address(1), "connection refused");
        reasons.note(&address(2), "connection refused");
        reasons.note_no_answer(&address(3));
        assert_eq!(
            reasons.list(),
            "127.0.0.1:1, 127.0.0.1:2: connection refused; 127.0.0.1:3: did not answer"
        );
        let missing = "1 of 3 replicas are no majority; replicas 1 (127.0.0.1:1) and 2 \
                       (127.0.0.1:2): Connection refused; bring them back";
        reasons.note_word(&address(3), "replica 2 (127.0.0.1:2): silent");
        let told = "replica 2 (127.0.0.1:2): silent; 127.0.0.1:1: connection refused";
        assert_eq!(reasons.list(), told, "nobody else is silent about it");
        reasons.note_word(&address(3), missing);
        reasons.note_no_answer(&address(3));
        assert_eq!(reasons.list(), missing);
        let told = reasons.unavailable(Duration::from_secs(10)).message;
        assert!(told.len() <= 160, "more than two lines: {told}");
        reasons.note_word(&address(2), missing);
        reasons.note_word(&address(1), "this server is stopping");
        assert_eq!(reasons.list(), format!("this server is stopping; {missing}"));
    }

    #[test]
    fn who_meets_other_clusters_only_is_in_the_wrong_place() {
        let stranger = Error::new(ErrorCode::WrongCluster, "belongs to another cluster");
        let code = |reasons: &Reasons| reasons.unavailable(Duration::from_secs(1)).code;
        let mut reasons = Reasons::default();
        reasons.note_failure(&address(1), &Error::new(ErrorCode::Io, "connection refused"));
        assert_eq!(code(&reasons), ErrorCode::Unavailable);
        reasons.note_failure(&address(2), &stranger);
        assert_eq!(code(&reasons), ErrorCode::WrongCluster);
        assert!(!reasons.are_final(2));
        reasons.note_failure(&address(1), &stranger);
        assert!(reasons.are_final(2));
        let told = "no server can be asked: 127.0.0.1:1, 127.0.0.1:2: belongs to another cluster";
        assert_eq!(reasons.unavailable(Duration::from_secs(1)).message, told);
        let full = Error::new(ErrorCode::TooManyConnections, "is full");
        reasons.note_failure(&address(1), &full);
        assert_eq!(code(&reasons), ErrorCode::Unavailable, "one of the cluster has answered");
        reasons.note_failure(&address(1), &stranger);
        reasons.note_no_answer(&address(1));
        let told = reasons.list();
        assert!(told.contains("127.0.0.1:1: did not answer"), "it was another by then: {told}");
        reasons.note_word(&address(2), "this server is stopping");
        assert_eq!(code(&reasons), ErrorCode::Unavailable, "one of the cluster has answered");
    }

    #[test]
    fn a_server_gives_up_before_we_do_so_that_its_last_word_arrives() {
        for (left_ms, server_ms) in [(10_000, 9_750), (2_500, 2_250), (1_000, 900), (10, 9), (0, 0)]
        {
            let left = Duration::from_millis(left_ms);
            assert_eq!(server_timeout(left), Duration::from_millis(server_ms));
        }
    }
}
