//! The followers, which wait for what is sent.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Options;
use super::accounts::Accounts;
use super::record::Record;
use crate::client::{Connection, Failure};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::client::{Event, InboxQuery, Which};

/// Running follows; dropped, they end.
pub(super) struct Followers {
    _tasks: JoinSet<()>,
    failures: tokio::sync::Mutex<mpsc::UnboundedReceiver<Error>>,
}

impl Followers {
    /// Resolves when one of them has ended, with the reason.
    pub(super) async fn failed(&self) -> Error {
        match self.failures.lock().await.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }
}

/// Starts the followers, one connection and one account each, in turn, and
/// returns when all are caught up; `None` when there are to be none.
///
/// A connection that breaks ends the measurement: what a follower missed
/// meanwhile would have no time of arrival.
pub(super) async fn start(
    options: &Options,
    accounts: &Accounts,
    record: &Arc<Record>,
) -> Result<Option<Followers>> {
    if options.followers == 0 {
        return Ok(None);
    }
    let (failed, failures) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for number in 0..options.followers {
        let client = accounts.client(number, options.servers.clone())?;
        let connection = client.connections(number).next().await?;
        let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
        let mut events = connection.follow(&query).map_err(Failure::into_error)?;
        // What is there from before is none of ours.
        while let Event::Messages(_) = next(&mut events).await? {}
        let (record, failed) = (record.clone(), failed.clone());
        tasks.spawn(async move {
            let error = watch(&connection, events, &record).await;
            // Nobody listens once all is measured.
            let _ = failed.send(error);
        });
    }
    Ok(Some(Followers { _tasks: tasks, failures: tokio::sync::Mutex::new(failures) }))
}

async fn watch(
    connection: &Connection,
    mut events: mpsc::Receiver<Result<Event, Failure>>,
    record: &Record,
) -> Error {
    loop {
        match next(&mut events).await {
            Ok(Event::Messages(messages)) => {
                messages.iter().for_each(|message| record.delivered(message.id));
            }
            Ok(Event::CaughtUp { .. } | Event::Alone { .. } | Event::Refused { .. }) => {}
            Err(error) => {
                let server = connection.address();
                let message = format!("following at {server} ended: {}", error.message);
                return Error { message, ..error };
            }
        }
    }
}

async fn next(events: &mut mpsc::Receiver<Result<Event, Failure>>) -> Result<Event> {
    match events.recv().await {
        Some(event) => event.map_err(Failure::into_error),
        None => Err(Error::new(ErrorCode::Io, "the connection was closed")),
    }
}
