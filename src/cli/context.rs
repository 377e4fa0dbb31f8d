//! Makes a client that speaks for an account out of the settings.

use std::cell::OnceCell;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::confirm::{confirm, not_known};
use super::known_servers::KnownServers;
use super::token_store::{Session, Sessions};
use crate::client::{Client, Members, Strangers};
use crate::config::{Settings, profiles};
use crate::error::{Error, ErrorCode, Result};
use crate::host::Host;
use crate::output::{LoggedIn, Printer};
use crate::peer::Keys;
use crate::protocol::client::{Answer, Confirm, Request, SessionInfo};
use crate::tls::{Followed, Pinned};
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
    /// Servers of other clusters that were met.
    pub strangers: Strangers,
    /// Where the servers of the cluster are, as they say.
    pub members: Members,
    /// The fingerprint that the user has confirmed, now or earlier.
    confirmed: OnceCell<Fingerprint>,
    /// The newer key that the servers turned out to have.
    followed: Followed,
}

impl Context {
    /// For a command with these settings.
    pub fn new(settings: Settings, printer: Printer, host: Host) -> Context {
        let (early, strangers, members) = (None, Strangers::default(), Members::default());
        let (confirmed, followed) = (OnceCell::new(), Followed::default());
        Context { settings, printer, host, early, strangers, members, confirmed, followed }
    }

    /// The machine, on which only servers of the right cluster are spoken to, if they are
    /// on others. Where it is not known which those are, the user is asked, once.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] where there is nobody to ask; those of [`confirm`], and
    /// of what is known of servers.
    pub async fn host_for_servers(&self) -> Result<Host> {
        let Settings { servers, timeout, .. } = &self.settings;
        let Servers { addresses, fingerprint } = servers;
        if let Some(fingerprint) = fingerprint.or(self.confirmed.get().copied()) {
            return Ok(self.host_for(fingerprint, &self.followed));
        }
        if addresses.iter().all(Address::is_loopback) {
            return Ok(self.host.clone());
        }
        let known = self.known_servers();
        let fingerprint = match known.confirmed()? {
            Some(fingerprint) => fingerprint,
            None => {
                let nobody = || {
                    let lines = self.settings.command_lines();
                    self.settings.values.error("servers", not_known(servers, &lines))
                };
                let fingerprint = confirm(&self.host, servers, *timeout, nobody).await?;
                known.confirm(fingerprint)?;
                fingerprint
            }
        };
        Ok(self.host_for(*self.confirmed.get_or_init(|| fingerprint), &self.followed))
    }

    /// The machine, on which only the servers of one cluster are spoken to. If they turn out
    /// to have a newer key, as the older one has signed, that is noted.
    pub fn host_for(&self, fingerprint: Fingerprint, followed: &Followed) -> Host {
        let network = Arc::clone(&self.host.network);
        let pinned = Arc::new(Pinned::following(network, fingerprint, followed.clone()));
        Host { network: self.strangers.watch(pinned), ..self.host.clone() }
    }

    /// The machine, on which only servers that hold one of these keys are spoken to.
    pub fn host_for_keys(&self, keys: &Keys) -> Host {
        let network = Arc::clone(&self.host.network);
        let pinned = Arc::new(Pinned::to_any_of(network, keys.fingerprints()));
        Host { network: self.strangers.watch(pinned), ..self.host.clone() }
    }

    /// What is known of the servers.
    pub(super) fn known_servers(&self) -> KnownServers<'_> {
        KnownServers::new(&self.settings.known_servers_dir, &self.settings.servers)
    }

    /// The servers' addresses: those that are set, then, for a profile, those that were
    /// learned since.
    ///
    /// # Errors
    /// Those of [`KnownServers::addresses`].
    pub fn addresses(&self) -> Result<Vec<Address>> {
        let mut addresses = self.settings.servers.addresses.clone();
        // Whoever lists servers means these.
        if self.settings.profile.is_some() {
            addresses.extend(self.known_servers().addresses()?);
        }
        Ok(addresses)
    }

    /// A client that speaks for nobody yet.
    ///
    /// # Errors
    /// Those of [`Client::new`], [`Context::host_for_servers`] and [`Context::addresses`].
    pub async fn client(&self) -> Result<Client> {
        let Settings { servers, timeout, .. } = &self.settings;
        let client = Client::new(self.host_for_servers().await?, self.addresses()?, *timeout)?;
        Ok(client.beginning_among(servers.addresses.len()).noting(&self.members))
    }

    /// Tells of servers that were passed over, once and not where `told` says it, and
    /// keeps where the servers of a profile are.
    pub(super) fn note_servers(&mut self, told: &str) {
        for (address, wrong) in self.strangers.news() {
            if !told.contains(&wrong.found.to_string()) {
                self.printer.notice(&format!("{address} {wrong}, and is passed over"));
            }
        }
        let members = self.members.get();
        if members.is_empty() || self.settings.profile.is_none() {
            return;
        }
        if let Err(error) = self.known_servers().learn(members) {
            // The command did what it was asked for, and the next one learns it again.
            tracing::debug!(reason = ?error.message, "cannot keep where the servers are");
        }
    }

    /// If the servers turned out to have a newer key: says so, and knows them by it from now
    /// on, in this command and, where they are kept, in the next ones.
    pub(super) async fn follow_new_key(&mut self) {
        let Some(new) = self.followed.get() else { return };
        let known = self.settings.servers.fingerprint.or(self.confirmed.get().copied());
        let Some(old) = known.filter(|old| *old != new) else { return };
        let learned = self.known_servers().addresses().unwrap_or_default();
        let kept = self.keep_new_key(old, new).await;
        let (named, profile) = (self.settings.servers.fingerprint, self.settings.profile.clone());
        if named.is_some() {
            self.settings.servers.fingerprint = Some(new);
        }
        self.confirmed = OnceCell::from(new);
        let how = match (&kept, &profile, named) {
            (Err(error), _, _) => format!("that cannot be kept: {}", error.message),
            (Ok(()), Some(name), Some(_)) => format!("profile {name} knows it by that from now on"),
            (Ok(()), _, None) => "it is known by that from now on".to_string(),
            (Ok(()), None, Some(_)) => {
                format!("name the servers from now on as {}", self.settings.servers.word())
            }
        };
        self.printer.notice(&format!(
            "The cluster has a new key, with the fingerprint {new}, as its old one ({old}) has \
             signed; {how}."
        ));
        if kept.is_ok() && profile.is_some() && !learned.is_empty() {
            let addresses = [self.settings.servers.addresses.clone(), learned].concat();
            if let Err(error) = self.known_servers().learn(addresses) {
                tracing::debug!(reason = ?error.message, "cannot keep where the servers are");
            }
        }
    }

    /// Has everything that is kept of the servers know them by a newer key.
    async fn keep_new_key(&self, old: Fingerprint, new: Fingerprint) -> Result<()> {
        let Settings { profiles_file, timeout, servers, profile, .. } = &self.settings;
        if servers.fingerprint.is_none() {
            return self.known_servers().confirm(new);
        }
        if profile.is_none() {
            return Ok(());
        }
        // Two profiles may name the same cluster.
        profiles::change(profiles_file, *timeout, |profiles| {
            let of_it = |servers: &&mut Servers| servers.fingerprint == Some(old);
            for servers in profiles.clusters.values_mut().filter(of_it) {
                servers.fingerprint = Some(new);
            }
            Ok(())
        })
        .await
    }

    /// An error with what to do about it that whoever made it could not know.
    pub(super) fn advised(&self, error: Error) -> Error {
        // The server does not know from where it is asked.
        let lines = self.settings.command_lines();
        let advice = match error.code {
            ErrorCode::SessionExpired => {
                let name = self.settings.user.as_ref().map_or("NAME", |name| name.as_str());
                lines.line("login", &[name])
            }
            ErrorCode::InvitationRequired => lines.line("register --invite CODE", &["NAME"]),
            ErrorCode::NewPasswordRequired => {
                lines.line("login --password-stdin --new-password-file FILE", &["NAME"])
            }
            ErrorCode::WrongCluster if self.confirmed.get().is_some() => format!(
                "the expected fingerprint was confirmed here; remove {} to be asked again",
                self.known_servers().file().display()
            ),
            _ => return error,
        };
        Error { message: format!("{}: {advice}", error.message), ..error }
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
    /// of `--user`, else for the account logged in last; and the kept session. `confirm`
    /// says who has to confirm what it asks.
    ///
    /// # Errors
    /// [`NotLoggedIn`](ErrorCode::NotLoggedIn) when there is no
    /// session; else those of [`Client::cluster`] and [`Sessions::load`].
    pub async fn logged_in(&mut self, confirm: Confirm) -> Result<(Client, Option<Session>)> {
        let mut client = self.client().await?.confirming(confirm);
        // Sessions are kept per cluster, and only a server knows which it is.
        let cluster = client.cluster().await?;
        // A command may go on for days from here, and end in any way.
        self.follow_new_key().await;
        self.note_servers("");
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
        let mut client = self.client().await?;
        let sessions = self.sessions(client.cluster().await?)?;
        sessions.prepare()?;
        let operation = self.host.uuid();
        let token = new_token(&self.host);
        self.printer.set_operation(operation);
        let asked = request(operation, token.expose_secret().to_owned());
        let Answer::Session(SessionInfo { name, account, expires, .. }) =
            client.request(asked).await?
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
