//! The users of a drill: three who send and follow, and two who type one-liners.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::sleep;

use super::record::{Record, Seen};
use crate::client::{Client, Follow};
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

    fn client(&self, host: &Host, servers: &[Address]) -> Result<Client> {
        let mut client = Client::new(host.clone(), servers.to_vec(), TIMEOUT)?;
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
            let mut request = Request::Send {
                operation: id,
                to: vec![all.users[recipient].clone()],
                text: text.clone(),
                first: true,
                after: None,
            };
            loop {
                match client.request(request.clone()).await {
                    Ok(_) => {
                        all.record.acknowledge(id, (number, recipient), text, true);
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

    /// Keeps what comes, as it comes, for ever.
    pub async fn follow(self, host: Host, servers: Vec<Address>, number: usize, all: Arc<Shared>) {
        let follow = |client: Client| Follow::new(&client, everything());
        let mut follow = match self.client(&host, &servers).map(follow) {
            Ok(follow) => follow,
            Err(error) => return all.record.fail(format!("{} cannot follow: {error}", self.name)),
        };
        loop {
            match follow.next(&mut |_| {}).await {
                Ok(messages) => {
                    let mut followed = all.followed.lock();
                    followed[number].extend(messages.into_iter().map(seen));
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
            let text = format!("one-liner {count} of {}", self.name);
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
                    Ok(id) => all.record.acknowledge(id, (number, recipient), text, false),
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
    /// By user: what following has shown.
    pub followed: Mutex<Vec<Vec<Seen>>>,
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
