//! The users of a drill: three who send and follow, and two who type one-liners.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::record::{Record, Seen, Told};
use crate::client::{Client, Follow, FollowNotice};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::protocol::client::{Answer, InboxQuery, Message, Request, Which};
use crate::sync::Mutex;
use crate::types::{Address, Uuid};

/// How many send.
pub const USERS: usize = 3;

/// How long a request of theirs may take, as of a command.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Between two messages of one sender, so that servers also have time for what
/// is done to them on a small machine.
const SEND_PAUSE: Duration = Duration::from_millis(2);

/// Between two one-liners.
const COMMAND_PAUSE: Duration = Duration::from_millis(50);

/// One of them.
#[derive(Clone)]
pub struct User {
    /// Their account.
    pub name: String,
    token: SecretString,
    cluster: Uuid,
}

impl User {
    /// Makes an account.
    pub async fn register(host: &Host, servers: &[Address], number: usize) -> Result<User> {
        let mut client = Client::new(host.clone(), servers.to_vec(), TIMEOUT)?;
        let (name, secret) = (format!("drill-{}", number + 1), random_hex(host));
        let token = random_hex(host);
        let request = Request::Register {
            operation: host.uuid(),
            name: name.clone(),
            password: secret.expose_secret().to_string(),
            token: token.expose_secret().to_string(),
            invitation: None,
        };
        client.request(request).await?;
        let cluster = client.cluster().await?;
        Ok(User { name, token, cluster })
    }

    /// A client that speaks for them, to these servers and from this machine.
    pub fn client(&self, host: &Host, servers: &[Address]) -> Result<Client> {
        self.patient_client(host, servers, TIMEOUT)
    }

    /// The same, which waits for as long as `timeout`.
    pub fn patient_client(
        &self,
        host: &Host,
        servers: &[Address],
        timeout: Duration,
    ) -> Result<Client> {
        let mut client = Client::new(host.clone(), servers.to_vec(), timeout)?;
        client.set_session(self.token.clone(), self.cluster);
        Ok(client)
    }

    /// Sends one message after the other, each when the one before was
    /// acknowledged, for ever.
    pub async fn send(self, host: Host, servers: Vec<Address>, number: usize, all: Arc<Shared>) {
        let mut client = match self.client(&host, &servers) {
            Ok(client) => client,
            Err(error) => return all.record.fail(format!("{} cannot send: {error}", self.name)),
        };
        for count in 0_u64.. {
            let recipient = (number + 1 + (count % 2) as usize) % USERS;
            let (id, text) = (host.uuid(), format!("message {count} of {}", self.name));
            let asked_at = Instant::now();
            let mut request = Request::Send {
                operation: id,
                to: vec![all.users[recipient].clone()],
                text: text.clone(),
                first: true,
                after: None,
                reply_to: None,
            };
            loop {
                match client.request(request.clone()).await {
                    Ok(answer) => {
                        let confirmed = matches!(answer, Answer::Sent(sent) if sent.confirmed);
                        let (sender, recipients) = (number, vec![recipient]);
                        let stream = Some(0);
                        all.record.acknowledge(Told {
                            id,
                            sender,
                            recipients,
                            text,
                            stream,
                            asked_at,
                            confirmed,
                        });
                        break;
                    }
                    // Repeated with the same id it is the same message.
                    Err(error) if error.code == ErrorCode::OutcomeUnknown => {
                        all.record.fail(format!("a send had no known outcome: {error}"));
                        request = request.repeated();
                    }
                    Err(error) => {
                        all.record.fail(format!("a send failed: {error}"));
                        break;
                    }
                }
            }
            sleep(SEND_PAUSE).await;
        }
    }

    /// Keeps what comes to a client of theirs, as it comes, for ever, in a list of what
    /// following has shown.
    pub async fn follow(self, client: Client, list: usize, all: Arc<Shared>) {
        let mut follow = Follow::new(&client, everything());
        let mut notice = |notice| match notice {
            FollowNotice::Confirmed { id, .. } => all.record.confirm(id),
            FollowNotice::Refused { id, reason } => {
                all.record.fail(format!("{} was shown {id}, and then: {reason}", self.name));
            }
            _ => {}
        };
        loop {
            match follow.next(&mut notice).await {
                Ok(messages) => {
                    for message in messages.iter().filter(|it| it.confirmed) {
                        all.record.confirm(message.id);
                    }
                    let mut followed = all.followed.lock();
                    followed[list].extend(messages.into_iter().map(seen));
                }
                Err(error) => {
                    return all.record.fail(format!("following ended for {}: {error}", self.name));
                }
            }
        }
    }

    /// Everything in the inbox, as one server shows it.
    pub async fn inbox(&self, host: &Host, server: &Address) -> Result<Vec<Seen>> {
        let mut client = self.client(host, std::slice::from_ref(server))?;
        let mut all: Vec<Seen> = Vec::new();
        loop {
            let query = InboxQuery { after: all.last().and_then(|it| it.seq), ..everything() };
            let Answer::Messages { messages, more, .. } =
                client.request(Request::Inbox(query)).await?
            else {
                return Err(Error::internal("a server answered with something else than messages"));
            };
            all.extend(messages.into_iter().map(seen));
            if !more {
                return Ok(all);
            }
        }
    }

    /// Types `ftchat send` or `ftchat inbox` again and again, for ever. Each
    /// must end with exit code 0.
    pub async fn type_commands(
        self,
        program: PathBuf,
        servers: Vec<Address>,
        number: usize,
        sends: bool,
        all: Arc<Shared>,
    ) {
        let servers: Vec<String> = servers.iter().map(Address::to_string).collect();
        let recipient = (number + 1) % USERS;
        for count in 0_u64.. {
            let (text, asked_at) = (format!("one-liner {count} of {}", self.name), Instant::now());
            let mut command = Command::new(&program);
            if sends {
                command.args(["send", &all.users[recipient], &text]);
            } else {
                command.args(["inbox", "--peek", "--limit", "3"]);
            }
            command
                .env("FTCHAT_SERVERS", servers.join(","))
                .env("FTCHAT_TOKEN", self.token.expose_secret())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true);
            match output(command).await {
                Ok((Some(0), out, _)) if sends => match out.trim().parse() {
                    Ok(id) => {
                        let (sender, recipients) = (number, vec![recipient]);
                        let (stream, confirmed) = (None, true);
                        all.record.acknowledge(Told {
                            id,
                            sender,
                            recipients,
                            text,
                            stream,
                            asked_at,
                            confirmed,
                        });
                    }
                    Err(_) => all.record.fail(format!("`send` printed {out:?} and no id")),
                },
                Ok((Some(0), _, _)) => {}
                Ok((code, _, error)) => {
                    let verb = if sends { "send" } else { "inbox" };
                    let code = code.map_or("a signal".to_string(), |code| code.to_string());
                    all.record.fail(format!("`{verb}` ended with {code}: {}", error.trim()));
                }
                Err(error) => all.record.fail(format!("the program could not be run: {error}")),
            }
            sleep(COMMAND_PAUSE).await;
        }
    }
}

/// What all users of a drill share.
pub struct Shared {
    /// Names, by number.
    pub users: Vec<String>,
    /// What was acknowledged.
    pub record: Record,
    /// What following has shown, in lists. The recipient of a list is its number modulo that
    /// of users.
    pub followed: Mutex<Vec<Vec<Seen>>>,
}

impl Shared {
    /// Nothing was sent yet. `lists`: how many lists there are of what following shows.
    pub fn of(users: &[User], lists: usize) -> Arc<Shared> {
        Arc::new(Shared {
            users: users.iter().map(|user| user.name.clone()).collect(),
            record: Record::default(),
            followed: Mutex::new(vec![Vec::new(); lists]),
        })
    }
}

async fn output(mut command: Command) -> std::io::Result<(Option<i32>, String, String)> {
    let mut child = command.spawn()?;
    let (mut out, mut error) = (String::new(), String::new());
    if let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) {
        let read = tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut error));
        read.0.and(read.1)?;
    }
    Ok((child.wait().await?.code(), out, error))
}

fn everything() -> InboxQuery {
    InboxQuery { which: Which::All, ..InboxQuery::default() }
}

fn seen(message: Message) -> Seen {
    Seen { id: message.id, text: message.text, seq: message.seq }
}

/// A password or a token: 256 random bits.
fn random_hex(host: &Host) -> SecretString {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    host.random.fill(&mut *bytes);
    SecretString::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
