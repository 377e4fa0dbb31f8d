//! Makes a client that speaks for an account out of the settings.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::token_store::{Session, Sessions};
use crate::client::Client;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::output::{LoggedIn, Printer};
use crate::protocol::client::{Answer, Request, SessionInfo};
use crate::tls::Pinned;
use crate::types::{Address, Fingerprint, Servers, Uuid};

/// What every command works with.
pub struct Context {
    /// What the user set.
    pub settings: Settings,
    /// Where results go.
    pub printer: Printer,
    /// The machine.
    pub host: Host,
    /// What failed before there was a log to say it in, and can be done without.
    pub early: Option<std::io::Error>,
}

impl Context {
    /// The machine, on which only servers of the right cluster are spoken to, if they are
    /// on others.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::error::ErrorCode::InvalidConfig) where it is not known
    /// which those are.
    pub fn host_for_servers(&self) -> Result<Host> {
        let Servers { addresses, fingerprint } = &self.settings.servers;
        match fingerprint {
            Some(fingerprint) => Ok(self.host_for(*fingerprint)),
            None if addresses.iter().all(Address::is_loopback) => Ok(self.host.clone()),
            None => Err(self.settings.values.error(
                "servers",
                format!(
                    "servers on other machines are spoken to only if it is known how to tell them \
                     from others: use {}#FINGERPRINT, the word that is printed where the cluster's \
                     key is by: {}",
                    self.settings.servers.word(),
                    self.settings.command_lines().line("cluster address", &[])
                ),
            )),
        }
    }

    /// The machine, on which only the servers of one cluster are spoken to.
    pub fn host_for(&self, fingerprint: Fingerprint) -> Host {
        let network = Arc::new(Pinned::new(Arc::clone(&self.host.network), fingerprint));
        Host { network, ..self.host.clone() }
    }

    /// A client that speaks for nobody yet.
    ///
    /// # Errors
    /// Those of [`Client::new`].
    pub fn client(&self) -> Result<Client> {
        let Settings { servers, timeout, .. } = &self.settings;
        Client::new(self.host_for_servers()?, servers.addresses.clone(), *timeout)
    }

    /// The sessions kept with a cluster.
    ///
    /// # Errors
    /// Those of [`Sessions::new`].
    pub fn sessions(&self, cluster: Uuid) -> Result<Sessions> {
        let sessions = Sessions::new(&self.settings.sessions_dir, cluster)?;
        Ok(sessions.with_command_lines(self.settings.command_lines()))
    }

    /// A client that speaks for `FTCHAT_TOKEN`'s session, else for the kept one
    /// of `--user`, else for the account logged in last; and the kept session.
    ///
    /// # Errors
    /// [`NotLoggedIn`](crate::error::ErrorCode::NotLoggedIn) when there is no
    /// session; else those of [`Client::cluster`] and [`Sessions::load`].
    pub async fn logged_in(&self) -> Result<(Client, Option<Session>)> {
        let mut client = self.client()?;
        // Sessions are kept per cluster, and only a server knows which it is.
        let cluster = client.cluster().await?;
        if let Some(token) = &self.settings.token {
            client.set_session(token.clone(), cluster);
            return Ok((client, None));
        }
        let session = self.sessions(cluster)?.load(self.settings.user.as_ref())?;
        client.set_session(SecretString::from(session.token.clone()), cluster);
        Ok((client, Some(session)))
    }

    /// Asks for a session, keeps it and shows it: what `register` and `login`
    /// have in common. `request` is made from an operation id and a token.
    ///
    /// # Errors
    /// The server's refusal, and those of keeping the session.
    pub(super) async fn open_session(
        &mut self,
        registered: bool,
        request: impl FnOnce(Uuid, String) -> Request,
    ) -> Result<()> {
        let mut client = self.client()?;
        let sessions = self.sessions(client.cluster().await?)?;
        sessions.prepare()?;
        let operation = self.host.uuid();
        let token = new_token(&self.host);
        self.printer.set_operation(operation);
        let asked = request(operation, token.expose_secret().to_owned());
        let Answer::Session(SessionInfo { name, account, expires }) = client.request(asked).await?
        else {
            return Err(unexpected("a session"));
        };
        let token = token.expose_secret().to_owned();
        sessions.save(&Session { name: name.clone(), account, token, expires }).map_err(
            |error| {
                let done = if registered { "the account is made" } else { "the password is right" };
                let message = format!("{done}, but the session cannot be kept: {}", error.message);
                Error { message, ..error }
            },
        )?;
        self.printer.show(&LoggedIn { name, account, expires, registered });
        Ok(())
    }
}

/// A session's token: 256 random bits as 64 hexadecimal digits.
pub(super) fn new_token(host: &Host) -> SecretString {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    host.random.fill(&mut *bytes);
    SecretString::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// A server that answers another question than was asked is broken.
pub(super) fn unexpected(wanted: &str) -> Error {
    Error::internal(format!("a server answered with something else than {wanted}"))
}
