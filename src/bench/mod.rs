//! The benchmark: load from outside, over the protocol that everybody speaks,
//! and how long each answer took.
//!
//! Clients of its own, with accounts of its own, send messages (or read
//! inboxes) through the servers that are configured. Every message is a request
//! of its own with an id of its own, as if it came from a user, and counts
//! when a server has acknowledged it.
//!
//! - **Closed loop** ([`Pace::Closed`]): so many requests are under way at any
//!   time, and the next begins when one is answered. It tells what the servers
//!   can do, and hides how long users would wait: a server that stalls is
//!   asked less while it stalls.
//! - **Open loop** ([`Pace::Open`]): requests come at a rate, answered or not,
//!   as from many users who know nothing of each other. Each is timed from
//!   when it was to be sent, also when it had to wait for that, so a stall
//!   counts for every request that it delayed (what is known as coordinated
//!   omission is left out by construction).
//!
//! What begins during the warm-up is not counted, and what begins within the
//! measured time is, also when its answer comes later. A server that dies is
//! left for another, and what was under way is sent there with its old id, so
//! a failover shows as latency and not as a gap.
//!
//! # How it fails
//! A refusal, or no answer within the client's timeout, ends it with that
//! error. The accounts are removed in every case unless they are to be kept.

mod accounts;
mod follow;
mod load;
mod pace;
mod record;
mod text;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

pub use self::record::Latency;

use self::accounts::Accounts;
use self::load::Load;
use self::pace::Measurement;
use self::record::Record;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::types::Address;

/// Between two looks at how far it has come, for whoever watches.
const TELL_PAUSE: Duration = Duration::from_millis(100);

/// How long messages may take to reach those who follow, after the last was
/// acknowledged.
const DELIVERY_MAX: Duration = Duration::from_secs(30);

/// Servers, and the load to put on them.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers; clients that read are spread over them, and those that send
    /// go to the leader if it is one of them.
    pub servers: Vec<Address>,
    /// How long one request may take.
    pub timeout: Duration,
    /// Connections that ask.
    pub clients: usize,
    /// Accounts that they speak for, in turn.
    pub accounts: usize,
    /// The code of an invitation for so many accounts, where one is needed.
    pub invitation: Option<String>,
    /// What is asked.
    pub work: Work,
    /// Connections that follow accounts, in turn, and wait for what is sent.
    pub followers: usize,
    /// Not measured.
    pub warm_up: Duration,
    /// Measured at most so long …
    pub duration: Option<Duration>,
    /// … and at most so many.
    pub messages: Option<u64>,
    /// Whether accounts and messages are left behind.
    pub keep: bool,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Messages are sent.
    Send {
        /// Bytes of each text.
        size_bytes: usize,
        /// To how many accounts each.
        recipients: usize,
    },
    /// Inboxes are read, one page each.
    Inbox {
        /// Messages of a page.
        messages: usize,
    },
}

/// When requests begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many are under way, over all clients.
    Closed {
        /// How many.
        in_flight: usize,
    },
    /// So many begin in a second, over all clients.
    Open {
        /// How many.
        rate: f64,
    },
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `send` or `inbox`.
    pub work: &'static str,
    /// `closed` or `open`.
    pub mode: &'static str,
    /// Connections that asked.
    pub clients: usize,
    /// Accounts that they spoke for.
    pub accounts: usize,
    /// Of a closed loop: requests under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<usize>,
    /// Of an open loop: the rate that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_asked: Option<f64>,
    /// Of `send`: bytes of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<usize>,
    /// Of `send`: accounts that each message went to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipients: Option<usize>,
    /// Of `inbox`: messages on a page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<usize>,
    /// Requests that were measured, each of them answered.
    pub messages: u64,
    /// Of those: sent more than once, as a server did not answer.
    pub repeated: u64,
    /// From the end of the warm-up to the last answer, in seconds.
    pub elapsed_s: f64,
    /// Answers a second.
    pub rate: f64,
    /// From when a request was to be sent to its answer.
    pub latency_ms: Latency,
    /// Bytes of the requests, as lines of the protocol.
    pub sent_bytes: u64,
    /// Bytes of their answers.
    pub received_bytes: u64,
    /// Of followers: what reached them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

/// How messages reached those who follow.
#[derive(Clone, Debug, Serialize)]
pub struct Delivery {
    /// Connections that followed.
    pub followers: usize,
    /// Messages times the followers that each reached.
    pub deliveries: u64,
    /// From the acknowledgement to a follower; 0 where it came first.
    pub latency_ms: Latency,
    /// From the acknowledgement to the last follower that the message reached.
    pub last_ms: Latency,
}

/// A benchmark with its accounts in place.
pub struct Bench {
    host: Host,
    options: Options,
    accounts: Arc<Accounts>,
}

impl Bench {
    /// Makes the accounts, and fills their inboxes if those are to be read.
    ///
    /// # Errors
    /// Those of the servers.
    pub async fn prepare(
        host: &Host,
        options: Options,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Bench> {
        let mut accounts = Accounts::new(host, &options);
        let prepared = accounts.register(options.accounts, tell).await;
        let bench = Bench { host: host.clone(), options, accounts: Arc::new(accounts) };
        let prepared = match (prepared, bench.options.work) {
            (Ok(()), Work::Inbox { messages }) => bench.accounts.fill(messages, tell).await,
            (prepared, _) => prepared,
        };
        match prepared {
            Ok(()) => Ok(bench),
            // What was made goes; why it was made in vain is what is told.
            Err(error) => {
                drop(bench.finish().await);
                Err(error)
            }
        }
    }

    /// Puts load on the servers and measures. `tell` is called from time to time with
    /// how many requests were answered, the warm-up's included.
    ///
    /// # Errors
    /// A refusal, or no answer in time.
    pub async fn run(&self, pace: Pace, tell: &mut dyn FnMut(u64)) -> Result<Report> {
        let options = &self.options;
        let clients = match pace {
            Pace::Closed { in_flight } => options.clients.min(in_flight),
            Pace::Open { .. } => options.clients,
        };
        let record = Arc::new(Record::new(options.followers > 0));
        let followers = follow::start(options, &self.accounts, &record).await?;
        let mut asking = JoinSet::new();
        let measured_from = Instant::now() + options.warm_up;
        let measurement =
            Arc::new(Measurement::new(measured_from, options.duration, options.messages));
        let sources = pace::sources(&self.host, pace, clients, &measurement);
        for (number, source) in sources.into_iter().enumerate() {
            let load =
                Load::new(&self.accounts, options, number, source, measurement.clone(), &record)?;
            asking.spawn(load.run());
        }
        loop {
            tokio::select! {
                biased;
                ended = asking.join_next() => match ended {
                    None => break,
                    Some(ended) => ended.map_err(|error| {
                        Error::internal(format!("a client of the benchmark failed: {error}"))
                    })??,
                },
                () = sleep(TELL_PAUSE) => tell(record.answered()),
            }
        }
        tell(record.answered());
        if let Some(followers) = followers {
            let give_up = Instant::now() + DELIVERY_MAX;
            tokio::select! {
                biased;
                error = followers.failed() => return Err(error),
                () = record.all_delivered() => {}
                () = sleep_until(give_up) => return Err(Error::unavailable(format!(
                    "messages did not reach all who follow within {} s of the last acknowledgement",
                    DELIVERY_MAX.as_secs()
                ))),
            }
        }
        Ok(record.report(options, pace, clients, measured_from))
    }

    /// Removes the accounts, unless they are to be kept.
    ///
    /// # Errors
    /// Those of the servers.
    pub async fn finish(&self) -> Result<()> {
        match self.options.keep {
            true => Ok(()),
            false => self.accounts.delete().await,
        }
    }
}
