//! Accounts of a benchmark: made for it, removed after it.

use std::time::Duration;

use futures::stream::{self, StreamExt};
use secrecy::{ExposeSecret, SecretString};

use super::Options;
use super::text::{TEXT_BYTES, text};
use crate::client::Client;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::protocol::client::Request;
use crate::types::{Address, Uuid};

/// Accounts that are made or removed at a time. A server computes so many hashes
/// at once as it has processors; more would wait there.
const HASHES_AT_ONCE: usize = 4;

/// One of them.
struct Account {
    name: String,
    token: SecretString,
}

/// All of them, with one password, which is thrown away with them.
pub(super) struct Accounts {
    host: Host,
    servers: Vec<Address>,
    timeout: Duration,
    /// Names begin with it.
    prefix: String,
    password: SecretString,
    invitation: Option<String>,
    cluster: Option<Uuid>,
    accounts: Vec<Account>,
}

impl Accounts {
    /// None yet. Their names begin with one that nobody else has.
    pub(super) fn new(host: &Host, options: &Options) -> Accounts {
        Accounts {
            prefix: format!("bench-{:08x}", host.random_u64() as u32),
            password: random_hex(host),
            invitation: options.invitation.clone(),
            host: host.clone(),
            servers: options.servers.clone(),
            timeout: options.timeout,
            cluster: None,
            accounts: Vec::new(),
        }
    }

    /// Makes them, some at a time: each costs a server a password hash.
    pub(super) async fn register(&mut self, count: usize, tell: &mut dyn FnMut(u64)) -> Result<()> {
        let mut client = Client::new(self.host.clone(), self.servers.clone(), self.timeout)?;
        self.cluster = Some(client.cluster().await?);
        // Before they are made: whatever goes wrong, those that were are removed.
        self.accounts.extend((1..=count).map(|number| Account {
            name: format!("{}-{number}", self.prefix),
            token: random_hex(&self.host),
        }));
        let making = self.accounts.iter().map(|account| self.make(account));
        let mut making = std::pin::pin!(stream::iter(making).buffer_unordered(HASHES_AT_ONCE));
        let mut made = 0;
        while let Some(result) = making.next().await {
            result?;
            made += 1;
            tell(made);
        }
        Ok(())
    }

    async fn make(&self, account: &Account) -> Result<()> {
        let mut client = Client::new(self.host.clone(), self.servers.clone(), self.timeout)?;
        let request = Request::Register {
            operation: self.host.uuid(),
            name: account.name.clone(),
            password: self.password.expose_secret().to_owned(),
            token: account.token.expose_secret().to_owned(),
            invitation: self.invitation.clone(),
        };
        client.request(request).await.map(drop)
    }

    /// Puts so many messages into the inbox of each.
    pub(super) async fn fill(&self, messages: usize, tell: &mut dyn FnMut(u64)) -> Result<()> {
        let mut sent = 0;
        for number in 0..self.accounts.len() {
            let mut client = self.client(number, self.servers.clone())?;
            for _ in 0..messages {
                let request = Request::Send {
                    operation: self.host.uuid(),
                    to: vec![self.name(number)],
                    text: text(TEXT_BYTES),
                    first: true,
                    after: None,
                    reply_to: None,
                };
                client.request(request).await?;
                sent += 1;
                tell(sent);
            }
        }
        Ok(())
    }

    /// A client that speaks for one of them, counted round and round.
    pub(super) fn client(&self, number: usize, servers: Vec<Address>) -> Result<Client> {
        let mut client = Client::new(self.host.clone(), servers, self.timeout)?;
        let token = self.accounts[number % self.accounts.len()].token.clone();
        let cluster = self.cluster.ok_or_else(|| Error::internal("accounts without a cluster"))?;
        client.set_session(token, cluster);
        Ok(client)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.accounts.len()
    }

    /// The name of one of them, counted round and round.
    pub(super) fn name(&self, number: usize) -> String {
        self.accounts[number % self.accounts.len()].name.clone()
    }

    /// Removes them. One that is gone already is as good.
    pub(super) async fn delete(&self) -> Result<()> {
        let removing = (0..self.accounts.len()).map(|number| self.remove(number));
        let mut removing = std::pin::pin!(stream::iter(removing).buffer_unordered(HASHES_AT_ONCE));
        while let Some(result) = removing.next().await {
            result.map_err(|error| {
                let message = format!(
                    "accounts whose names begin with {} are left behind: {}",
                    self.prefix, error.message
                );
                Error { message, ..error }
            })?;
        }
        Ok(())
    }

    async fn remove(&self, number: usize) -> Result<()> {
        let mut client = self.client(number, self.servers.clone())?;
        let request = Request::DeleteAccount {
            operation: self.host.uuid(),
            password: self.password.expose_secret().to_owned(),
        };
        match client.request(request).await {
            Err(error) if error.code != ErrorCode::SessionExpired => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// A password or a token: 256 random bits.
fn random_hex(host: &Host) -> SecretString {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    host.random.fill(&mut *bytes);
    SecretString::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}
