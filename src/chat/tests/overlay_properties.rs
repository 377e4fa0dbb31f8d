//! Whatever happens, what is shown is what the log would make of it now.

use proptest::prelude::*;

use super::overlay::{Lonely, close, delete, disable};
use super::settling::Alone;
use super::*;
use crate::protocol::client;

const NAMES: [&str; 4] = ["ann", "bob", "cy", "dee"];

/// A history of a server that is alone, and of a log that goes on without it.
struct World {
    lonely: Lonely,
    window: u64,
    /// Everybody who ever was, by whatever session.
    users: Vec<User>,
    /// Ids that were ever used.
    ids: Vec<Uuid>,
    /// On their way to the disk.
    written: Vec<(u64, Taken)>,
    /// How often something was taken, shown, and not shown.
    counts: BTreeMap<&'static str, u32>,
}

/// What to do, and with what.
type Event = (u8, [prop::sample::Index; 3], u8);

impl World {
    fn new(window: u64) -> World {
        let mut lonely = Lonely::new();
        lonely.alone = Alone::with_window(window);
        let level = crate::limits::FEATURE_LEVEL_KNOWN;
        lonely.alone.chat.apply(Action::RaiseLevel { level });
        let users = NAMES.map(|who| lonely.register(who)).to_vec();
        let (ids, written, counts) = (Vec::new(), Vec::new(), BTreeMap::new());
        World { lonely, window, users, ids, written, counts }
    }

    fn id(&mut self, which: prop::sample::Index, choice: u8) -> Uuid {
        let known = choice.is_multiple_of(3) && !self.ids.is_empty();
        let id = if known { *which.get(&self.ids) } else { self.lonely.id() };
        self.ids.push(id);
        id
    }

    fn any_message(
        &self,
        from: User,
        [first, second, _]: [prop::sample::Index; 3],
        choice: u8,
    ) -> Action {
        let mut to = names(&[NAMES[first.index(4)]]);
        if choice.is_multiple_of(2) {
            to.push(name(NAMES[second.index(4)]));
        }
        let seen = shown(&self.lonely, from.account, Which::All);
        let reply_to = (choice % 4 == 1).then(|| seen.last().map(|it| it.0)).flatten();
        let text = ["other @bob", "text", "@ann", "text", "text"][usize::from(choice % 5)];
        let again = choice.is_multiple_of(3);
        Action::Send { session: from.session, to, text: text.into(), again, after: None, reply_to }
    }

    /// Ids of some messages that somebody is shown.
    fn shown_ids(&self, user: User, which: prop::sample::Index) -> Vec<Uuid> {
        let shown = shown(&self.lonely, user.account, Which::All);
        let some = if shown.is_empty() { 0 } else { which.index(shown.len()) };
        shown.into_iter().skip(some).take(2).map(|message| message.0).collect()
    }

    fn take(&mut self, id: Uuid, action: Action) {
        if let Ok(Acceptance::New { taken, .. }) = self.lonely.ask(id, action) {
            *self.counts.entry("taken").or_default() += 1;
            self.written.push((self.lonely.overlay.add((*taken).clone()), *taken));
        }
    }

    fn apply(&mut self, id: Uuid, action: Action) -> Outcome {
        self.lonely.alone.chat.apply_as(id, action)
    }

    fn step(&mut self, (what, which, choice): Event) {
        let user = *which[0].get(&self.users);
        let session = user.session;
        match what {
            0..8 => {
                let (id, action) =
                    (self.id(which[2], choice), self.any_message(user, which, choice));
                self.take(id, action);
            }
            8..11 => {
                let (id, ids) = (self.lonely.id(), self.shown_ids(user, which[1]));
                self.take(id, delete(user, &ids));
            }
            11..14 => {
                let (id, ids) = (self.lonely.id(), self.shown_ids(user, which[1]));
                let (now, since) = (self.lonely.alone.chat.at, self.lonely.alone.chat.index);
                let asked = MarkAsked { id, session, seqs: &[1, 2], ids: &ids };
                let taken = self.lonely.look(|look| look.take_mark(&asked, now, now, since));
                if let Ok(Acceptance::New { taken, .. }) = taken {
                    self.written.push((self.lonely.overlay.add((*taken).clone()), *taken));
                }
            }
            14 => {
                let id = self.lonely.id();
                self.take(id, close(user));
            }
            15..19 => {
                for written in std::mem::take(&mut self.written) {
                    self.lonely.write(written);
                }
            }
            19 => {
                if let Some((first, _)) = self.written.first() {
                    self.lonely.overlay.retract(*first);
                    self.written.clear();
                }
            }
            20..23 => {
                if !self.lonely.outbox.is_empty() {
                    self.lonely.settle(choice.is_multiple_of(2));
                }
            }
            _ => self.elsewhere((what, which, choice), user),
        }
    }

    /// What a majority does without this server.
    fn elsewhere(&mut self, (what, which, choice): Event, user: User) {
        let id = self.lonely.id();
        let session = user.session;
        match what {
            23..26 => {
                let (id, action) =
                    (self.id(which[2], choice), self.any_message(user, which, choice));
                self.apply(id, action);
            }
            // Another try of what this server has.
            26 => {
                if let Some((_, taken)) = self.lonely.outbox.get(usize::from(choice % 4)).cloned()
                    && let Some(used) = taken.session
                {
                    let session = used.number;
                    self.apply(
                        taken.id,
                        match taken.act {
                            Act::Send { to, text, reply_to } => {
                                let to = to.into_iter().map(|party| party.name).collect();
                                Action::Send {
                                    session,
                                    to,
                                    text,
                                    again: true,
                                    after: None,
                                    reply_to,
                                }
                            }
                            Act::Delete { ids } => Action::Delete { session, ids },
                            Act::Mark { .. } => Action::MarkRead { session, seqs: vec![1] },
                            Act::Close {} => Action::CloseSession { session },
                        },
                    );
                }
            }
            27 | 28 => {
                let ids = self.shown_ids(user, which[1]);
                self.apply(id, delete(user, &ids[..ids.len().min(1)]));
            }
            29 => drop(self.apply(id, Action::MarkRead { session, seqs: vec![1, 3] })),
            30 | 31 => {
                if let Outcome::SessionOpened { session, account } =
                    self.lonely.alone.chat.log_in(user.account)
                {
                    self.users.push(User { account, session });
                }
            }
            32 => drop(self.apply(id, close(user))),
            33 => {
                self.apply(id, Action::DeleteAccount { session, verified: None });
            }
            34 => {
                let who = NAMES[which[1].index(4)];
                let action = self.lonely.alone.chat.register_action(who);
                if let Outcome::SessionOpened { session, account } = self.apply(id, action) {
                    self.users.push(User { account, session });
                }
            }
            35 => drop(self.apply(id, disable(NAMES[which[1].index(4)], choice.is_multiple_of(2)))),
            36 | 37 => self.lonely.alone.chat.pass(self.window / 2 + 1),
            _ => {
                let hours = if choice.is_multiple_of(9) { 101 * HOUR } else { 1 };
                self.lonely.alone.chat.at = self.lonely.alone.chat.at.plus_ms(hours);
            }
        }
    }

    /// The state as it is when all entries that are on the disk came into the log.
    fn settled(&self) -> State {
        let chat = &self.lonely.alone.chat;
        let mut state = restore(self.window, &lines(&chat.state)).expect("own lines");
        let outbox = self.lonely.outbox.iter();
        let operations = outbox.map(|(place, taken)| taken.delivery(*place)).collect();
        // In the entry that was applied last, so that the window does not move.
        let batch = Batch { at: chat.at, operations };
        state.apply(chat.index, &batch, &mut Effects::default());
        state
    }

    fn check(&mut self) {
        let (settled, now) = (self.settled(), self.lonely.alone.chat.at);
        let theirs = Lonely {
            alone: Alone {
                chat: Chat {
                    state: settled,
                    index: 0,
                    at: now,
                    effects: Effects::default(),
                    next_id: 0,
                },
                list: Uuid::nil(),
                last: 0,
            },
            overlay: Overlay::default(),
            outbox: Vec::new(),
        };
        for number in 0..40 {
            let alive = |lonely: &Lonely| lonely.look(|look| look.session_by_number(number, now));
            assert_eq!(alive(&self.lonely).ok(), alive(&theirs).ok(), "session {number}");
        }
        let accounts: std::collections::BTreeSet<Uuid> =
            self.users.iter().map(|user| user.account).collect();
        for account in accounts {
            for which in [Which::All, Which::Unread, Which::Sent] {
                let ours = shown(&self.lonely, account, which);
                assert_eq!(ours, shown(&theirs, account, which), "{which:?} of {account}");
            }
            assert_eq!(unread(&self.lonely, account), unread(&theirs, account), "of {account}");
            for with in [None, Some(self.users[0].account), Some(self.users[1].account)] {
                let ours = past(&self.lonely, account, with);
                assert_eq!(ours, past(&theirs, account, with), "{account} with {with:?}");
            }
            let ours = prefixes(&self.lonely, account, &self.ids);
            assert_eq!(ours, prefixes(&theirs, account, &self.ids), "ids of {account}");
        }
        let waiting = self.lonely.outbox.len();
        let hidden = self.written.len();
        let (held, visible) = (self.lonely.overlay.len(), self.lonely.overlay.waiting());
        assert!(held - hidden <= waiting + 64 && visible + hidden == held);
    }
}

/// What somebody is shown of a message.
type Shown = (Uuid, String, Vec<String>, String, bool, Option<Timestamp>, Answers);

/// What it answers.
type Answers = (Option<Uuid>, Option<client::Quote>);

/// Confirmed messages and then the others, without notices.
fn shown(lonely: &Lonely, account: Uuid, which: Which) -> Vec<Shown> {
    let query = InboxQuery { which, ..InboxQuery::default() };
    let now = lonely.alone.chat.at;
    lonely.look(|look| {
        let unconfirmed = look.unconfirmed(account, &query, now, 0, 1_000, usize::MAX);
        let confirmed = look.messages(account, &query, 1_000, usize::MAX);
        assert!(!unconfirmed.more && !confirmed.more, "a look suffices for few messages");
        let unconfirmed = unconfirmed.messages.into_iter().map(|(_, message)| message);
        let all = confirmed.messages.into_iter().chain(unconfirmed);
        all.filter(|message| !message.notice).map(what_is_shown).collect()
    })
}

fn what_is_shown(message: client::Message) -> Shown {
    let to = message.to.iter().map(ToString::to_string).collect();
    let client::Message { id, from, text, read, accepted_at, reply_to, answers, .. } = message;
    (id, from.to_string(), to, text, read, accepted_at, (reply_to, answers))
}

/// What looking back finds, the oldest first and without notices.
fn past(lonely: &Lonely, account: Uuid, with: Option<Uuid>) -> Vec<Shown> {
    let now = lonely.alone.chat.at;
    let mut words = Words::default();
    lonely.look(|look| {
        let (limit, max_text_bytes) = (1_000, usize::MAX);
        let (from, since) = (None, None);
        let mut past =
            Past { account, with, words: &mut words, from, since, limit, max_text_bytes };
        let unconfirmed = look.past_unconfirmed(&mut past, now, u64::MAX);
        let confirmed = look.past(&mut past, u64::MAX);
        assert!(!unconfirmed.more && !confirmed.more, "a look suffices for few messages");
        let all =
            confirmed.messages.into_iter().rev().chain(unconfirmed.messages.into_iter().rev());
        all.map(|(_, message)| message).filter(|it| !it.notice).map(what_is_shown).collect()
    })
}

/// How much is unread; notices count for the account itself, and are left out.
fn unread(lonely: &Lonely, account: Uuid) -> Vec<(String, u64, u64)> {
    let now = lonely.alone.chat.at;
    let mut count = UnreadCount::new(account, true);
    let step = |count: &mut UnreadCount| {
        lonely.look(|look| {
            let _ = look.session_by_number(0, now);
            look.unread(count)
        })
    };
    while step(&mut count) == Step::More {}
    let own = lonely.look(|look| look.account(account)).map(|it| it.name);
    let (rows, more) = count.into_page(None, 100);
    assert!(!more);
    let others = rows.into_iter().filter(|row| Some(&row.name) != own.as_ref());
    others.map(|row| (row.name.to_string(), row.unread, row.mentions)).collect()
}

/// Which of these ids are found.
fn prefixes(lonely: &Lonely, account: Uuid, ids: &[Uuid]) -> Vec<Vec<Uuid>> {
    let prefixes: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    let mut search = IdSearch::new(account, &prefixes).expect("valid");
    let now = lonely.alone.chat.at;
    let step = |search: &mut IdSearch| {
        lonely.look(|look| {
            let _ = look.session_by_number(0, now);
            look.ids(search)
        })
    };
    while step(&mut search) == Step::More {}
    search.matches()
}

fn any_steps() -> impl Strategy<Value = Vec<Event>> {
    let which = any::<[prop::sample::Index; 3]>();
    prop::collection::vec((0u8..40, which, any::<u8>()), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_is_what_the_log_would_make_of_it_now(
        window in 3u64..12,
        steps in any_steps(),
    ) {
        let mut world = World::new(window);
        for step in steps {
            world.step(step);
            world.check();
        }
    }
}

/// Properties of histories in which nothing is taken would hold of anything.
#[test]
fn the_histories_of_lonely_servers_reach_what_they_are_for() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut taken, mut shown_alone, mut unshown) = (0, 0, 0);
    for _ in 0..200 {
        let steps = any_steps().new_tree(&mut runner).expect("no filter").current();
        let mut world = World::new(5);
        for step in steps {
            world.step(step);
        }
        taken += world.counts.get("taken").copied().unwrap_or_default();
        let accounts: std::collections::BTreeSet<_> =
            world.users.iter().map(|user| user.account).collect();
        let query = InboxQuery { which: Which::Sent, ..InboxQuery::default() };
        let now = world.lonely.alone.chat.at;
        let shown: usize = accounts
            .into_iter()
            .map(|account| {
                let page =
                    world.lonely.look(|look| look.unconfirmed(account, &query, now, 0, 99, 9_999));
                page.messages.len()
            })
            .sum();
        let sends = world.lonely.outbox.iter().filter(|it| matches!(it.1.act, Act::Send { .. }));
        shown_alone += shown;
        unshown += sends.count() - shown;
    }
    assert!(taken > 600 && shown_alone > 100 && unshown > 40, "{taken} {shown_alone} {unshown}");
}
