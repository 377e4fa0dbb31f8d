//! Simulated users: they do what the commands do, by the client that the commands
//! use, and record what came of it.
//!
//! - [`resident`]: registers once and stays; sends, reads, marks, deletes, logs in
//!   and out, follows.
//! - [`stream`]: messages that must keep their order, as lines of `send --lines` and
//!   as requests of one connection with time limits of their own.
//! - [`guest`]: registers, is written to, changes the password now and then, deletes the
//!   account and comes again under the same name.
//! - [`crowd`]: accounts by the hundred, for messages to all of them.
//! - [`author`]: wrote what a backup has that a cluster begins with.
//! - [`operator`]: lets accounts store very little for a while.
//! - [`watcher`]: asks all servers how they are, and takes backups.

mod author;
mod crowd;
mod guest;
mod operator;
mod resident;
mod shell;
mod stream;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ftchat::client::Client;
use ftchat::error::{Error, ErrorCode};
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, Request};
use ftchat::types::{Address, Uuid};

pub use self::author::Author;
pub use self::crowd::Crowd;
pub use self::guest::Guest;
pub use self::operator::{Operator, change_limits};
pub use self::resident::Resident;
pub use self::watcher::Watcher;
use super::scale::Scale;
use super::server::ServerReports;
use crate::oracle::{Recorder, Reply};

/// How long an unhurried command tries.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often users look whether they may register.
const OPENING_PAUSE: Duration = Duration::from_millis(5);

/// Everybody's password.
pub(super) const PASSWORD: &str = "a good password";

/// By name, what following showed: `seq` and id, in order.
pub type Followed = BTreeMap<String, Vec<(u64, Uuid)>>;

/// What all users of a world share.
#[derive(Clone)]
pub struct Users {
    /// What they ask and are told.
    pub recorder: Recorder,
    /// What following showed.
    pub followed: Arc<Mutex<Followed>>,
    /// Whether users are to look at their inbox once more and rest.
    pub quiet: Arc<AtomicBool>,
    /// How many lives have come to rest.
    pub resting: Arc<AtomicUsize>,
    /// How often what happened that no operation tells.
    pub counts: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    /// The servers.
    pub servers: Arc<Vec<Address>>,
    /// What servers report about themselves and about others.
    pub server_reports: ServerReports,
    /// How much is done.
    pub scale: Scale,
    /// Names of those who stay.
    pub residents: Arc<Vec<String>>,
    /// Whether users may register: before that a backup is on its way.
    pub open: Arc<AtomicBool>,
    /// Messages of the backup that was restored.
    pub restored: Arc<Mutex<BTreeSet<Uuid>>>,
    /// Names of the crowd, once all have registered.
    pub crowd: Arc<Mutex<Vec<String>>>,
}

impl Users {
    /// Nobody yet.
    pub fn new(
        servers: Vec<Address>,
        server_reports: ServerReports,
        scale: Scale,
        residents: &[&str],
    ) -> Users {
        Users {
            recorder: Recorder::default(),
            followed: Arc::default(),
            quiet: Arc::default(),
            resting: Arc::default(),
            counts: Arc::default(),
            servers: Arc::new(servers),
            server_reports,
            open: Arc::new(AtomicBool::new(!scale.restores)),
            scale,
            residents: Arc::new(residents.iter().map(|name| (*name).to_string()).collect()),
            restored: Arc::default(),
            crowd: Arc::default(),
        }
    }

    /// Counts something.
    pub fn count(&self, what: &'static str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what).or_default() += 1;
    }

    /// Waits until users may register.
    async fn opening(&self) {
        while !self.open.load(Ordering::Relaxed) {
            tokio::time::sleep(OPENING_PAUSE).await;
        }
    }

    /// A client that gives up after some time.
    pub(super) fn client(&self, host: &Host, timeout: Duration) -> Result<Client, String> {
        let servers = self.servers.to_vec();
        Client::new(host.clone(), servers, timeout).map_err(|error| error.to_string())
    }
}

/// A number below a bound.
pub(super) fn draw(host: &Host, below: u64) -> u64 {
    host.random_u64() % below
}

/// A session's token.
pub(super) fn token(host: &Host) -> String {
    let mut token = [0; 32];
    host.random.fill(&mut token);
    token.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an error says of a request. Anything that no fault explains is a
/// defect, and ends the user with it.
fn reply_of(error: Error) -> Result<Reply, String> {
    use ErrorCode::*;
    match error.code {
        OutcomeUnknown | ReadNotConfirmed => Ok(Reply::Unknown),
        Unavailable | DeadlineExceeded | UnknownAccount | UnknownMessage | Restoring
        | InboxFull | StorageFull | NeedsMajority | Behind => Ok(Reply::Refused(error.code)),
        code => Err(format!("an error that no fault explains, {code}: {error}")),
    }
}

/// A request that ends with an answer or with what [`reply_of`] makes of the error.
async fn ask(client: &mut Client, request: Request) -> Result<Result<Answer, Reply>, String> {
    match client.request(request).await {
        Ok(answer) => Ok(Ok(answer)),
        Err(error) => Ok(Err(reply_of(error)?)),
    }
}

/// Makes an account and has the client speak for it, however long it takes. A
/// registration that was told to have done nothing is not repeated: another one, of
/// the same name, must find that name free.
pub(super) async fn register(
    client: &mut Client,
    host: &Host,
    users: &Users,
    name: &str,
) -> Result<String, String> {
    users.opening().await;
    if users.scale.restores
        && users.restored.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    {
        users.count("came while a backup was restored");
    }
    let token = token(host);
    let mut operation = host.uuid();
    loop {
        let request = Request::Register {
            operation,
            name: name.to_string(),
            password: PASSWORD.to_string(),
            token: token.clone(),
            invitation: None,
        };
        match ask(client, request).await? {
            Ok(Answer::Session(_)) => break,
            Ok(answer) => return Err(format!("registered and got {answer:?}")),
            Err(Reply::Refused(_)) => operation = host.uuid(),
            Err(_) => {}
        }
    }
    let cluster = client.cluster().await.map_err(|error| error.to_string())?;
    client.set_session(token.clone().into(), cluster);
    Ok(token)
}
