//! A cluster in which everything is directed: who is cut off, and who asks whom for what. For
//! what worlds of chance hardly come to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ftchat::client::Client;
use ftchat::error::{Error, ErrorCode};
use ftchat::limits::TEXT_MAX_BYTES;
use ftchat::protocol::administration::RequestedChange;
use ftchat::protocol::client::{Answer, Confirm, InboxQuery, Request, Sent, Which};
use ftchat::types::Uuid;

use super::diary::Confirmed;
use super::{are_at_newest_level, is_settled};
use crate::cluster::scale::Scale;
use crate::cluster::users::{change_limits, register};
use crate::cluster::{Cluster, Report};
use crate::recipes::Recipe;
use crate::world::{MachineId, World};

/// How long a request is tried.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Within which a server that is cut off is alone, also when it has just started.
const ALONE_MAX_MS: u64 = 30_000;

/// Within which everything that was taken alone is settled.
const SETTLED_MAX_MS: u64 = 30_000;

/// What will be answered.
pub type Asked = Arc<Mutex<Option<Result<Answer, Error>>>>;

/// See the head of this file.
pub struct Stage<'a> {
    pub world: &'a mut World,
    pub cluster: Cluster,
    pub report: Report,
    /// Where all people are.
    machine: MachineId,
    /// By name.
    tokens: BTreeMap<String, String>,
    of_cluster: Option<Uuid>,
    /// Ids that were made.
    ids: u128,
}

impl<'a> Stage<'a> {
    /// A cluster that has begun, and accounts.
    pub fn begin(world: &'a mut World, recipe: &Recipe, scale: &Scale, names: &[&str]) -> Self {
        let cluster = Cluster::new(world, recipe, scale);
        let machine = world.add_machine("people");
        let (tokens, report) = Default::default();
        let mut stage =
            Stage { world, cluster, report, machine, tokens, of_cluster: None, ids: 1_000 };
        for name in names {
            stage.register(name);
        }
        let cluster = &stage.cluster;
        let begun = stage.world.run_until(20_000, |_| are_at_newest_level(cluster));
        stage.report.expect(begun, "the cluster did not begin");
        stage
    }

    /// All servers.
    pub fn all(&self) -> Vec<usize> {
        (0..self.cluster.servers.len()).collect()
    }

    pub fn register(&mut self, name: &str) {
        let made = Arc::new(Mutex::new(None));
        let (users, slot, name) = (self.cluster.users.clone(), made.clone(), name.to_string());
        let of = name.clone();
        let program = self.world.install(self.machine, &format!("registers {name}"), move |host| {
            let (users, slot, name) = (users.clone(), slot.clone(), of.clone());
            Box::pin(async move {
                let mut client = users.client(&host, TIMEOUT)?;
                let token = register(&mut client, &host, &users, &name).await?;
                let cluster = client.cluster().await.map_err(|error| error.to_string())?;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some((token, cluster));
                Ok(())
            })
        });
        self.world.start(program);
        self.world.run_until(20_000, |world| world.exit(program).is_some());
        match made.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some((token, cluster)) => {
                self.of_cluster = Some(cluster);
                self.tokens.insert(name, token);
            }
            None => self.report.violations.push(format!("{name} could not register")),
        }
    }

    /// The token of somebody's session, and of which cluster it is.
    pub fn session(&self, who: &str) -> (String, Uuid) {
        (self.tokens[who].clone(), self.of_cluster.expect("it has begun"))
    }

    /// Asks one of some servers for something, for somebody.
    pub fn ask(
        &mut self,
        who: &str,
        at: (&[usize], Confirm),
        request: Request,
    ) -> Result<Answer, Error> {
        let asked = self.begin_to_ask(who, at, request);
        self.answer(&asked)
    }

    /// The same, and does not wait.
    pub fn begin_to_ask(
        &mut self,
        who: &str,
        (servers, confirm): (&[usize], Confirm),
        request: Request,
    ) -> Asked {
        let answered: Asked = Arc::default();
        let all = &self.cluster.users.servers;
        let servers: Vec<_> = servers.iter().map(|server| all[*server].clone()).collect();
        let (token, cluster) = self.session(who);
        let slot = answered.clone();
        let program = self.world.install(self.machine, who, move |host| {
            let (servers, token, request) = (servers.clone(), token.clone(), request.clone());
            let slot = slot.clone();
            Box::pin(async move {
                let client = Client::new(host, servers, TIMEOUT).expect("there are servers");
                let mut client = client.confirming(confirm);
                client.set_session(token.into(), cluster);
                let answer = client.request(request).await;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                Ok(())
            })
        });
        self.world.start(program);
        answered
    }

    /// Waits for the answer.
    pub fn answer(&mut self, asked: &Asked) -> Result<Answer, Error> {
        let look = || asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut answer = None;
        self.world.run_until(10_000, |_| {
            answer = look();
            answer.is_some()
        });
        answer.unwrap_or_else(|| Err(Error::internal("a client did not end")))
    }

    /// An id of a message.
    pub fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    /// Sends a message from the first one to the second one.
    pub fn send(
        &mut self,
        (from, to): (&str, &str),
        servers: &[usize],
        (operation, first): (Uuid, bool),
    ) -> Result<Sent, Error> {
        let (to, text, after) = (vec![to.to_string()], format!("{from} {operation}"), None);
        let request = Request::Send { operation, to, text, first, after, reply_to: None };
        match self.ask(from, (servers, Confirm::Any), request)? {
            Answer::Sent(sent) => Ok(sent),
            answer => Err(Error::internal(format!("sent and got {answer:?}"))),
        }
    }

    /// The same, for the first time, where it must be taken: by a majority, or not.
    pub fn taken(&mut self, people: (&str, &str), servers: &[usize], confirmed: bool) -> Uuid {
        let id = self.id();
        self.again(people, servers, (id, true), confirmed);
        id
    }

    /// The same with an id that was perhaps used before.
    pub fn again(
        &mut self,
        people: (&str, &str),
        servers: &[usize],
        message: (Uuid, bool),
        confirmed: bool,
    ) -> Option<Sent> {
        match self.send(people, servers, message) {
            Ok(sent) if sent.confirmed == confirmed => Some(sent),
            other => {
                let wrong = format!("{message:?} of {people:?} at {servers:?}: {other:?}");
                self.report.violations.push(wrong);
                None
            }
        }
    }

    /// Has a majority delete a message.
    pub fn delete(&mut self, who: &str, servers: &[usize], id: Uuid) {
        let request = Request::Delete { operation: self.id(), ids: vec![id] };
        let deleted = self.ask(who, (servers, Confirm::Majority), request);
        let done = matches!(deleted, Ok(Answer::Deleted { count: 1, .. }));
        self.report.expect(done, &format!("deleted and got {deleted:?}"));
    }

    /// So many entries come into the log, and what ann has sent before is forgotten for the large
    /// messages that she sends to the sink, which deletes them.
    pub fn fill(&mut self, servers: &[usize], count: u64) {
        for _ in 0..count.div_ceil(2) {
            let (operation, to) = (self.id(), vec!["sink".to_string()]);
            let (text, first, after) = ("x".repeat(TEXT_MAX_BYTES), true, None);
            let request = Request::Send { operation, to, text, first, after, reply_to: None };
            let sent = self.ask("ann", (servers, Confirm::Majority), request);
            self.report.expect(sent.is_ok(), &format!("filled and got {sent:?}"));
            self.delete("sink", servers, operation);
        }
    }

    /// Has an account store so much, and no more.
    pub fn bound(&mut self, account_bytes: u64) {
        let users = self.cluster.users.clone();
        let program = self.world.install(self.machine, "operator", move |host| {
            let users = users.clone();
            let (account_bytes, total_bytes) = (Some(account_bytes), None);
            let bounds = RequestedChange::SetBounds { account_bytes, total_bytes };
            Box::pin(async move { change_limits(&host, &users, TIMEOUT, bounds).await })
        });
        self.world.start(program);
        self.world.run_until(20_000, |world| world.exit(program).is_some());
        let exit = self.world.exit(program);
        self.report.expect(exit == Some(Ok(())), &format!("a bound: {exit:?}"));
    }

    /// An inbox, as a majority confirms it.
    pub fn inbox(&mut self, who: &str) -> Vec<Confirmed> {
        let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
        match self.ask(who, (&self.all(), Confirm::Majority), Request::Inbox(query)) {
            Ok(Answer::Messages { messages, .. }) => {
                messages.into_iter().map(Confirmed::of).collect()
            }
            other => {
                self.report.violations.push(format!("read and got {other:?}"));
                Vec::new()
            }
        }
    }

    /// Ids of the messages that an inbox is to have and has, in their order; and how many
    /// notices are there about each of the others that are named.
    pub fn expect_inbox(&mut self, who: &str, ids: &[Uuid], notices: &[(Uuid, usize)]) {
        let inbox = self.inbox(who);
        let there: Vec<Uuid> = inbox.iter().filter(|it| !it.notice).map(|it| it.id).collect();
        self.report.expect(there == ids, &format!("{who} has {there:?}, and should have {ids:?}"));
        for (id, count) in notices {
            let about = inbox.iter().filter(|it| it.notice && it.is_about() == Some(*id)).count();
            let what = format!("{who} has {about} notices about {id}, and should have {count}");
            self.report.expect(about == *count, &what);
        }
        let all: usize = notices.iter().map(|(_, count)| count).sum();
        let told: Vec<&Confirmed> = inbox.iter().filter(|it| it.notice).collect();
        self.report.expect(told.len() == all, &format!("{who} has other notices: {told:?}"));
    }

    /// What one server shows of an inbox, confirmed or not.
    pub fn shown(&mut self, who: &str, server: usize) -> Vec<(Uuid, bool)> {
        let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
        match self.ask(who, (&[server], Confirm::Any), Request::Inbox(query)) {
            Ok(Answer::Messages { messages, .. }) => {
                messages.iter().map(|message| (message.id, message.confirmed)).collect()
            }
            other => {
                self.report.violations.push(format!("looked and got {other:?}"));
                Vec::new()
            }
        }
    }

    /// Starts a server anew. What its process before has said of itself does not count.
    pub fn start(&mut self, server: usize) {
        let reports = &self.cluster.server_reports;
        reports.lock().unwrap_or_else(PoisonError::into_inner).alone.remove(&server);
        self.world.start(self.cluster.servers[server].program);
    }

    /// Cuts a server off from all others.
    pub fn cut_off(&mut self, server: usize) {
        let machine = self.cluster.servers[server].machine;
        for other in self.cluster.servers.iter().map(|other| other.machine) {
            if other != machine {
                self.world.with(|state| {
                    state.network.set_cut(machine, other, true);
                    state.network.set_cut(other, machine, true);
                });
            }
        }
    }

    /// Cuts a server off and waits until it goes on alone.
    pub fn leave_alone(&mut self, server: usize) {
        self.cut_off(server);
        self.until_alone(server);
    }

    pub fn until_alone(&mut self, server: usize) {
        let cluster = &self.cluster;
        let alone = self.world.run_until(ALONE_MAX_MS, |_| {
            cluster.observed(|observed| observed.alone.get(&server) == Some(&true))
        });
        self.report.expect(alone, &format!("server {server} did not go on alone"));
    }

    /// Mends all links and waits until all that was taken alone is settled.
    pub fn settle(&mut self) {
        self.world.with(|state| state.network.mend_all());
        let cluster = &self.cluster;
        let settled = self.world.run_until(SETTLED_MAX_MS, |_| is_settled(cluster));
        self.report.expect(settled, "not all was settled");
    }

    /// A refusal that leaves everything open.
    pub fn expect_open(&mut self, what: &str, result: Result<Sent, Error>) {
        let open = result
            .as_ref()
            .is_err_and(|error| error.retryable() && error.code != ErrorCode::OutcomeUnknown);
        self.report.expect(open, &format!("{what}: {result:?}"));
    }

    /// What came of it.
    pub fn end(self) -> Report {
        let Stage { mut report, cluster, .. } = self;
        cluster.observed(|observed| {
            report.violations.extend_from_slice(observed.replicas.violations());
        });
        report
    }
}
