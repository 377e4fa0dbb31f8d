//! Verbs from the command line to the printed result, against scripted servers.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::Parser;

use crate::cli::{Cli, Context, Exit, Session, Sessions};
use crate::client::fake::{self, CLUSTER, FakeNetwork, Mode, Reaction};
use crate::config::Settings;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::TEXT_MAX_BYTES;
use crate::output::{Buffer, Closed, Full, Printer, Streams};
use crate::protocol::client::{
    Answer, Event, InboxQuery, Message, Request, Sent, SessionInfo, Which,
};
use crate::sync::Mutex;
use crate::types::{AccountName, Names, Timestamp, Uuid};

/// One user's service: an inbox of seven messages, `alice` and her session.
struct Service {
    read: BTreeSet<u64>,
    session: bool,
    account: bool,
}

pub(super) fn name(name: &str) -> AccountName {
    AccountName::new(name).expect("valid")
}

fn refused(code: ErrorCode) -> Reaction {
    Reaction::Error(Error::new(code, "no"))
}

impl Service {
    fn messages(&self, query: &InboxQuery) -> (Vec<Message>, bool) {
        let message = |seq: u64| Message {
            id: Uuid::from_u128(u128::from(seq) << 96),
            from: name("bob"),
            to: Names::from_iter([name("alice")]),
            text: format!("text {seq}"),
            at: Timestamp(seq),
            seq: Some(seq),
            confirmed: true,
            place: None,
            seen_to: None,
            read: self.read.contains(&seq),
            accepted_at: None,
            notice: false,
            mention: false,
            reply_to: None,
            answers: None,
            read_by: None,
        };
        let all = (1..=7).filter(|seq| query.after.is_none_or(|after| *seq > after));
        let all = all.map(message).filter(|m| query.which == Which::All || !m.read);
        let mut all: Vec<Message> = all.collect();
        // Pages of three, whatever the client would like.
        let page = query.limit.unwrap_or(u64::MAX).min(3) as usize;
        let more = all.len() > page;
        all.truncate(page);
        (all, more)
    }

    fn take(&mut self, request: &Request) -> Reaction {
        let session = || SessionInfo {
            name: name("Alice"),
            account: Uuid::nil(),
            expires: Timestamp(1_800_000_000_000),
            alone: None,
        };
        Reaction::Answer(match request {
            Request::Ping {} => Answer::done(),
            Request::Login { password, .. } if !self.account || password != "correct horse" => {
                return refused(ErrorCode::LoginRefused);
            }
            Request::Register { .. } | Request::Login { .. } => {
                self.session = true;
                Answer::Session(session())
            }
            _ if !self.session => return refused(ErrorCode::SessionExpired),
            Request::Authenticate { .. } | Request::Whoami {} => Answer::Session(session()),
            Request::Logout { .. } => {
                self.session = false;
                // Done, and the answer is lost.
                return Reaction::Close;
            }
            Request::DeleteAccount { password, .. } if password != "correct horse" => {
                return refused(ErrorCode::LoginRefused);
            }
            Request::DeleteAccount { .. } => {
                (self.session, self.account) = (false, false);
                return Reaction::Close;
            }
            Request::Inbox(query) => {
                let (messages, more) = self.messages(query);
                Answer::Messages { messages, more, alone: None }
            }
            Request::Follow(query) => {
                let (messages, _) = self.messages(query);
                return Reaction::Events(vec![Event::Messages(messages)]);
            }
            Request::MarkRead { seqs, .. } => {
                let before = self.read.len();
                self.read.extend(seqs);
                Answer::Marked { count: (self.read.len() - before) as u64, confirmed: true }
            }
            Request::Accounts { after, .. } => match after.as_deref() {
                None => Answer::Accounts {
                    names: vec![name("alice"), name("bob")],
                    more: true,
                    alone: None,
                },
                Some("bob") => {
                    Answer::Accounts { names: vec![name("carol")], more: false, alone: None }
                }
                Some(other) => panic!("no page ended with {other}"),
            },
            Request::Send { operation, to, .. } => Answer::Sent(Sent {
                id: *operation,
                to: to.iter().map(|to| name(to)).collect(),
                at: Timestamp(0),
                seq: Some(8),
                confirmed: true,
                place: None,
                copies: 2,
                replicas: 3,
            }),
            other => panic!("{other:?}"),
        })
    }
}

/// A user at a command line.
pub(super) struct User {
    pub(super) network: Arc<FakeNetwork>,
    service: Arc<Mutex<Service>>,
    pub(super) home: tempfile::TempDir,
}

impl User {
    fn new() -> User {
        let service = Service { read: BTreeSet::new(), session: true, account: true };
        let service = Arc::new(Mutex::new(service));
        let shared = service.clone();
        let network = FakeNetwork::new(move |_, request| shared.lock().take(request));
        let user = User { network, service, home: tempfile::tempdir().expect("a folder") };
        let file = user.home.path().join("config.toml");
        std::fs::write(file, "").expect("written");
        user
    }

    fn logged_in() -> User {
        User::new().with_session()
    }

    /// The same at other servers.
    pub(super) fn at(network: Arc<FakeNetwork>) -> User {
        User { network, ..User::new() }.with_session()
    }

    fn with_session(self) -> User {
        let user = self;
        let (token, expires) = ("t".repeat(64), Timestamp::MAX);
        let session = Session { name: name("Alice"), account: Uuid::nil(), token, expires };
        user.sessions().save(&session).expect("kept");
        user
    }

    fn sessions(&self) -> Sessions {
        Sessions::new(self.home.path(), CLUSTER).expect("a folder")
    }

    /// Runs a line; the result, standard output and standard error.
    pub(super) async fn run(&self, line: &[&str]) -> (Result<Exit>, String, String) {
        let out = Buffer::default();
        let (result, err, _) = self.run_into(line, Box::new(out.clone())).await;
        (result, out.text(), err)
    }

    async fn run_into(
        &self,
        line: &[&str],
        out: Box<dyn Write + Send>,
    ) -> (Result<Exit>, String, bool) {
        let config = self.home.path().join("config.toml").display().to_string();
        let line = [&["ftchat", "--config", &config], line].concat();
        let cli = Cli::try_parse_from(line).expect("a valid line");
        let servers: Vec<String> = fake::addresses().iter().map(ToString::to_string).collect();
        let servers = servers.join(",");
        let environment = |key: &str| match key {
            "FTCHAT_SERVERS" => Some(servers.clone()),
            "FTCHAT_SESSIONS_DIR" => Some(self.home.path().display().to_string()),
            "FTCHAT_PROFILES_FILE" => {
                Some(self.home.path().join("profiles.toml").display().to_string())
            }
            _ => None,
        };
        let settings = Settings::resolve(&cli.global, &environment).expect("valid");
        let mut settings = match cli.command.uses_profile() {
            true => settings.choose_profile().expect("a profile that is kept"),
            false => settings,
        };
        settings.known_servers_dir = self.home.path().join("servers");
        let err = Buffer::default();
        let streams = Streams::piped(out, Box::new(err.clone()));
        let printer = Printer::with_streams(settings.json, settings.quiet, streams);
        let mut context = Context::new(settings, printer, fake::host(&self.network));
        let result = cli.command.run(&mut context).await;
        (result, err.text(), context.printer.pipe_closed())
    }

    fn read(&self) -> Vec<u64> {
        self.service.lock().read.iter().copied().collect()
    }

    fn password_file(&self, password: &str) -> String {
        let path = self.home.path().join("password");
        std::fs::write(&path, password).expect("written");
        path.display().to_string()
    }
}

#[tokio::test(start_paused = true)]
async fn the_inbox_is_shown_once_and_then_read() {
    let user = User::logged_in();
    let (result, out, err) = user.run(&["inbox", "--peek"]).await;
    assert_eq!((result.expect("shown"), out.lines().count(), err.as_str()), (Exit::Done, 7, ""));
    assert!(user.read().is_empty());
    let (_, out, _) = user.run(&["inbox", "--limit", "4"]).await;
    let texts: Vec<&str> = out.lines().filter_map(|line| line.split('\t').nth(3)).collect();
    assert_eq!(texts, ["text 1", "text 2", "text 3", "text 4"]);
    assert_eq!(user.read(), [1, 2, 3, 4]);
    let (_, out, _) = user.run(&["inbox", "--json"]).await;
    let seqs: Vec<u64> = out
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).expect("the protocol's form").seq)
        .collect();
    assert_eq!(seqs, [5, 6, 7]);
    assert_eq!(user.run(&["inbox"]).await.1, "");
    assert_eq!(user.run(&["inbox", "--all"]).await.1.lines().count(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_profile_knows_the_servers_that_it_was_not_told_of() {
    let user = User::logged_in();
    user.network.name_members(fake::addresses());
    let word = format!("ftchat://{}", fake::address(0));
    let (result, out, err) = user.run(&["connect", &word, "--name", "work"]).await;
    assert_eq!(result.expect("it answers"), Exit::Done, "{err}");
    assert_eq!(out, format!("work\t{}\t\tcurrent\n", fake::address(0)));
    assert!(err.starts_with("FTCHAT_SERVERS is set, "), "{err}");
    user.network.set_mode(0, Mode::Refuse);
    let (result, out, _) = user.run(&["whoami", "--profile", "work"]).await;
    assert_eq!((result.expect("another answers"), out.as_str()), (Exit::Done, "Alice\n"));
    // One more, by the word of a server that nobody was told of.
    user.network.name_members(vec![fake::address(2)]);
    user.run(&["whoami", "--profile", "work"]).await.0.expect("another answers");
    user.network.set_mode(1, Mode::Refuse);
    let asked = user.network.connects.load(Ordering::Relaxed);
    user.run(&["whoami", "--profile", "work"]).await.0.expect("the third answers");
    assert_eq!(user.network.connects.load(Ordering::Relaxed), asked + 2, "the first, the third");
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_printed_stays_unread() {
    let user = User::logged_in();
    let following = ["inbox", "--follow", "--limit", "3"];
    let running = ["inbox", "--exec", "true"];
    for line in [&["inbox"][..], &following, &running, &["inbox", "--json"]] {
        let (result, _, closed) = user.run_into(line, Box::new(Closed)).await;
        assert!(result.is_ok() && closed, "{line:?}: nobody read it, which is no error");
        let (result, _, closed) = user.run_into(line, Box::new(Full)).await;
        assert!(result.is_err() && !closed, "{line:?}");
        assert!(user.read().is_empty(), "{line:?}");
    }
}

#[tokio::test]
async fn a_message_whose_command_fails_stays_unread() {
    let user = User::logged_in();
    let log = user.home.path().join("log").display().to_string();
    let command = format!(
        "echo \"$FTCHAT_FROM $FTCHAT_TEXT $FTCHAT_AT\" >> '{log}'; test \"$FTCHAT_TEXT\" != 'text 2'"
    );
    let (result, out, err) = user.run(&["inbox", "--limit", "3", "--exec", &command]).await;
    assert_eq!((result.expect("goes on"), out.lines().count()), (Exit::Refused, 3));
    assert_eq!(user.read(), [1, 3]);
    assert!(err.contains("failed for 1 of 3"), "{err}");
    let log = std::fs::read_to_string(log).expect("the command ran");
    assert_eq!(log.lines().next(), Some("bob text 1 1970-01-01T00:00:00.001Z"));
    assert_eq!(log.lines().count(), 3);
}

#[tokio::test]
async fn a_message_is_marked_before_the_next_command_begins() {
    let user = User::logged_in();
    // What the servers know of when a command runs is what they were asked before.
    let marked = |n: usize| {
        let requests = user.network.requests();
        let marks = requests.iter().filter_map(|(_, request)| match request {
            Request::MarkRead { seqs, .. } => Some(seqs.clone()),
            _ => None,
        });
        let marks: Vec<Vec<u64>> = marks.collect();
        assert_eq!(marks, (1..=n as u64).map(|seq| vec![seq]).collect::<Vec<_>>());
    };
    for line in [&["inbox", "--limit", "3", "--exec", "true"][..]] {
        assert_eq!(user.run(line).await.0.expect("done"), Exit::Done);
        marked(3);
    }
    // One that fails is not marked, and what was before it stays so.
    let command = "test \"$FTCHAT_TEXT\" = 'text 4'";
    let (result, ..) = user.run(&["inbox", "-f", "--limit", "2", "--exec", command]).await;
    assert_eq!(result.expect("goes on"), Exit::Refused);
    marked(4);
}

#[tokio::test(start_paused = true)]
async fn following_shows_and_marks_and_ends_at_its_limit() {
    let user = User::logged_in();
    let (result, out, _) = user.run(&["inbox", "--follow", "--limit", "2"]).await;
    assert_eq!((result.expect("ends"), out.lines().count()), (Exit::Done, 2));
    assert_eq!(user.read(), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn accounts_are_listed_page_by_page() {
    let user = User::logged_in();
    assert_eq!(user.run(&["accounts"]).await.1, "alice\nbob\ncarol\n");
    let (_, out, _) = user.run(&["accounts", "--json"]).await;
    assert_eq!(out.lines().next(), Some(r#"{"name":"alice"}"#));
}

#[tokio::test(start_paused = true)]
async fn sending_prints_the_id_that_was_asked_for() {
    let user = User::logged_in();
    let id = Uuid::from_u128(5).to_string();
    let (_, out, _) = user.run(&["send", "bob,Carol", "hi", "--id", &id]).await;
    assert_eq!(out, format!("{id}\n"));
    let (_, out, _) = user.run(&["send", "bob", "hi", "--id", &id, "--json"]).await;
    let sent: Sent = serde_json::from_str(&out).expect("the protocol's form");
    assert_eq!((sent.copies, sent.replicas, sent.seq), (2, 3, Some(8)));
    for (line, code) in [
        (["send", "bob", ""], ErrorCode::InvalidText),
        (["send", "b b", "hi"], ErrorCode::InvalidName),
        (["send", "bob", &"x".repeat(TEXT_MAX_BYTES + 1)], ErrorCode::InvalidText),
    ] {
        assert_eq!(user.run(&line).await.0.expect_err("refused").code, code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_kept_used_and_forgotten() {
    let user = User::new();
    let error = user.run(&["whoami"]).await.0.expect_err("nobody");
    assert_eq!(Exit::of(&error), Exit::NotLoggedIn);
    let wrong = user.password_file("wrong horse");
    let line = ["login", "alice", "--password-file", &wrong];
    let error = user.run(&line).await.0.expect_err("wrong password");
    assert_eq!(Exit::of(&error), Exit::NotLoggedIn);
    let right = user.password_file("correct horse\n");
    for verb in ["register", "login"] {
        let (result, out, _) = user.run(&[verb, "alice", "--password-file", &right]).await;
        assert_eq!((result.expect("in"), out.as_str()), (Exit::Done, "Alice\n"));
    }
    assert_eq!(user.sessions().load(None).expect("kept").token.len(), 64);
    assert_eq!(user.run(&["whoami"]).await.1, "Alice\n");
    let error = user.run(&["whoami", "--user", "bob"]).await.0.expect_err("not bob");
    assert_eq!(error.code, ErrorCode::NotLoggedIn);
    // The server closes the connection after ending the session.
    let (result, out, _) = user.run(&["logout"]).await;
    assert_eq!((result.expect("out"), out.as_str()), (Exit::Done, "Alice\n"));
    assert!(user.sessions().load(None).is_err());
}

#[tokio::test(start_paused = true)]
async fn an_account_is_deleted_with_its_name_and_password_only() {
    let user = User::logged_in();
    let wrong = user.password_file("wrong horse");
    let line = ["delete-account", "--confirm", "alice", "--password-file", &wrong];
    let error = user.run(&line).await.0.expect_err("wrong password");
    assert_eq!(error.code, ErrorCode::LoginRefused);
    let right = user.password_file("correct horse");
    let line = ["delete-account", "--confirm", "alize", "--password-file", &right];
    let error = user.run(&line).await.0.expect_err("another name");
    assert_eq!(error.code, ErrorCode::NotConfirmed);
    assert!(user.service.lock().account);
    user.sessions().load(None).expect("still kept");
    // The server dies after the deletion and before the answer.
    let line = ["delete-account", "--confirm", "ALICE", "--password-file", &right];
    let (result, out, _) = user.run(&line).await;
    assert_eq!((result.expect("gone"), out.as_str()), (Exit::Done, "Alice\n"));
    assert!(!user.service.lock().account);
    assert!(user.sessions().load(None).is_err());
}
