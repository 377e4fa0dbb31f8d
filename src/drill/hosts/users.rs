//! Who sits at the machines: at each somebody who writes line after line into one stream, and
//! reads what comes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::client::{Client, Pipeline};
use crate::drill::record::Told;
use crate::drill::users::{Shared, USERS};
use crate::error::{Error, Result};
use crate::limits::TIMEOUT_MAX;
use crate::protocol::client::{Confirm, Sent};
use crate::sync::Mutex;

/// How long a stream waits for a server. Whoever sits at a machine without power and network
/// has to wait for both.
pub const PATIENCE: Duration = TIMEOUT_MAX;

/// Between two lines of a stream: fewer than a server on a network takes of one account.
const LINE_PAUSE: Duration = Duration::from_millis(20);

/// Lines of a stream that may be under way at once.
const WINDOW: u64 = 16;

/// Bytes of lines that wait for the client to read them.
const INPUT_BYTES: usize = 64 * 1024;

/// After a stream that has failed, before the next one.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Who somebody's lines go to: to themselves, who see at once what their server took alone,
/// and to the one at the next machine.
fn recipients(number: usize) -> Vec<usize> {
    vec![number, (number + 1) % USERS]
}

/// Writes for ever. A stream that fails is a failure of the drill, and another one begins.
pub async fn write(client: Client, number: usize, all: Arc<Shared>) {
    for stream in 0_u32.. {
        let ended = write_stream(&client, number, stream, &all).await;
        let why = ended.err().map_or("it ended by itself".to_string(), |error| error.to_string());
        all.record.fail(format!("a stream of {} failed: {why}", all.users[number]));
        sleep(AFTER_FAILURE).await;
    }
}

async fn write_stream(client: &Client, number: usize, stream: u32, all: &Shared) -> Result<()> {
    let (mut input, lines) = tokio::io::duplex(INPUT_BYTES);
    let text = |line: u64| format!("line {line} of stream {stream} of {}", all.users[number]);
    // When each line that is not acknowledged was written.
    let asked = Mutex::new(VecDeque::new());
    let (count, mut counted) = watch::channel(0_u64);
    let report = |sent: &Sent| {
        let line = *count.borrow();
        let asked_at = asked.lock().pop_front().unwrap_or_else(Instant::now);
        all.record.acknowledge(Told {
            id: sent.id,
            sender: number,
            recipients: recipients(number),
            text: text(line),
            stream: Some(stream),
            asked_at,
            confirmed: sent.confirmed,
        });
        count.send_replace(line + 1);
        Ok(())
    };
    let to = recipients(number).iter().map(|it| all.users[*it].clone()).collect();
    let base = client.host().uuid();
    let pipeline = Pipeline::new(client, to, base, BufReader::new(lines), report);
    let writing = async {
        for line in 0.. {
            if counted.wait_for(|count| line - *count < WINDOW).await.is_err() {
                return Error::internal("nobody counts what is acknowledged");
            }
            asked.lock().push_back(Instant::now());
            if let Err(error) = input.write_all(format!("{}\n", text(line)).as_bytes()).await {
                return Error::failed("cannot write a line", &error);
            }
            sleep(LINE_PAUSE).await;
        }
        Error::internal("a stream has no end")
    };
    tokio::select! {
        ended = pipeline.run() => ended.map(drop),
        error = writing => Err(error),
    }
}

/// By whom messages have to be vouched for that somebody reads who follows by this list: the
/// first lists are of those who see everything at once, from their own machines; the others of
/// those who see only what is confirmed, from the next ones.
pub fn reading(list: usize) -> (Confirm, usize) {
    match list < USERS {
        true => (Confirm::Any, list),
        false => (Confirm::Majority, (list + 1) % USERS),
    }
}
