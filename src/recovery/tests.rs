//! Random histories of an old cluster, of the one that is made out of what one of its machines
//! has, and of machines that turn up later.

use std::collections::{BTreeMap, BTreeSet};

use futures::executor::block_on;
use proptest::collection::vec;
use proptest::prelude::*;

use super::found::carried_over;
use super::handing_over::{Brought, Receiver, Takes};
use super::late::Late;
use crate::chat::{
    Action, Batch, Effects, OldOrder, Operation, Outcome, Reached, Restore, State, verified_against,
};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::limits::FEATURE_LEVEL_KNOWN;
use crate::protocol::client::{InboxQuery, Which};
use crate::replica::TakenOver;
use crate::types::{AccountName, Digest, Timestamp, Uuid};

const WINDOW: u64 = 1_000_000;

const PEOPLE: [&str; 3] = ["ann", "ben", "cat"];

/// That of everybody.
const PASSWORD_HASH: &str = "$argon2id$";

/// Nobody's session ends.
const NEVER: Timestamp = Timestamp(1 << 40);

/// What somebody does. Of messages the number is a place in what the inbox has.
#[derive(Clone, Debug)]
enum Deed {
    Send { from: usize, to: Vec<usize> },
    Mark { who: usize, nth: usize },
    Delete { who: usize, nth: usize },
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => (0..3usize, vec(0..3usize, 1..3)).prop_map(|(from, to)| Deed::Send { from, to }),
        1 => (0..3usize, 0..20usize).prop_map(|(who, nth)| Deed::Mark { who, nth }),
        2 => (0..3usize, 0..20usize).prop_map(|(who, nth)| Deed::Delete { who, nth }),
    ]
}

/// What became of messages, by all who did anything to them.
#[derive(Default)]
struct Diary {
    next_id: u128,
    /// By message those whom it is for.
    sent: BTreeMap<Uuid, BTreeSet<usize>>,
    read: BTreeSet<(usize, Uuid)>,
    deleted: BTreeSet<(usize, Uuid)>,
}

/// A state and how far its log is.
struct Line {
    state: State,
    index: u64,
    sessions: [u64; 3],
}

fn account(who: usize) -> Uuid {
    Uuid::from_u128(0xacc0 + who as u128)
}

impl Line {
    fn new(level: u32) -> Line {
        let mut line = Line { state: State::new(WINDOW), index: 0, sessions: [0; 3] };
        for level in 1..=level {
            line.apply(Uuid::from_u128(u128::from(level)), Action::RaiseLevel { level });
        }
        for (who, name) in PEOPLE.iter().enumerate() {
            let register = Action::Register {
                account: account(who),
                name: AccountName::new(name).expect("a name"),
                password_hash: PASSWORD_HASH.to_string(),
                token_hash: Digest::of(name.as_bytes()),
                expires: NEVER,
                invitation: None,
                from: None,
            };
            line.sessions[who] = opened(line.apply(account(who), register));
        }
        line
    }

    /// The same line, which goes on elsewhere.
    fn fork(&self) -> Line {
        let mut restore = Restore::new(WINDOW);
        self.state.view().lines().try_for_each(|line| restore.line(&line)).expect("own lines");
        let state = restore.finish().expect("own lines");
        Line { state, index: self.index, sessions: self.sessions }
    }

    fn apply(&mut self, id: Uuid, action: Action) -> Outcome {
        self.index += 1;
        let batch = Batch { at: Timestamp(1_000), operations: vec![Operation { id, action }] };
        let outcomes = self.state.apply(self.index, &batch, &mut Effects::default());
        outcomes.into_iter().next().expect("one")
    }

    fn inbox(&self, who: usize) -> Vec<(Uuid, u64, bool)> {
        let query = InboxQuery { which: Which::All, ..InboxQuery::default() };
        let page =
            self.state.look(|look| look.messages(account(who), &query, usize::MAX, usize::MAX));
        page.messages.iter().map(|it| (it.id, it.seq.expect("confirmed"), it.read)).collect()
    }

    fn does(&mut self, deed: &Deed, diary: &mut Diary) {
        diary.next_id += 1;
        let id = Uuid::from_u128(diary.next_id << 64);
        let pick = |line: &Line, who: usize, nth: usize| {
            let inbox = line.inbox(who);
            (!inbox.is_empty()).then(|| inbox[nth % inbox.len()])
        };
        match deed {
            Deed::Send { from, to } => {
                let to: BTreeSet<usize> = to.iter().copied().collect();
                let names = to.iter().map(|who| AccountName::new(PEOPLE[*who]).expect("a name"));
                let (session, to_names) = (self.sessions[*from], names.collect());
                let text = id.to_string();
                let send = Action::Send {
                    session,
                    to: to_names,
                    text,
                    again: false,
                    after: None,
                    reply_to: None,
                };
                assert!(matches!(self.apply(id, send), Outcome::Sent { .. }));
                diary.sent.insert(id, to);
            }
            Deed::Mark { who, nth } => {
                let Some((message, seq, _)) = pick(self, *who, *nth) else { return };
                self.apply(id, Action::MarkRead { session: self.sessions[*who], seqs: vec![seq] });
                diary.read.insert((*who, message));
            }
            Deed::Delete { who, nth } => {
                let Some((message, ..)) = pick(self, *who, *nth) else { return };
                let ids = vec![message];
                self.apply(id, Action::Delete { session: self.sessions[*who], ids });
                diary.deleted.insert((*who, message));
            }
        }
    }
}

fn opened(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::SessionOpened { session, .. } => session,
        other => panic!("no session: {other:?}"),
    }
}

/// A cluster that takes entries, and answers only so often.
struct Mortal<'a> {
    line: &'a mut Line,
    answers: usize,
}

impl Takes for Mortal<'_> {
    async fn take(&mut self, list: Uuid, entries: Vec<Operation>) -> Result<TakenOver> {
        for Operation { id, action } in entries {
            let outcome = self.line.apply(id, action);
            assert!(matches!(outcome, Outcome::Settled { .. }), "{outcome:?}");
        }
        self.answers =
            self.answers.checked_sub(1).ok_or_else(|| Error::unavailable("it has died"))?;
        let (settled, since) = (self.line.state.settled(&list), self.line.state.settles_since());
        Ok(TakenOver { settled, since, refused: Vec::new() })
    }

    async fn disable(&mut self, name: &AccountName) -> Result<()> {
        panic!("nobody is shut out, and not {name}")
    }

    async fn state(&mut self) -> Result<State> {
        let mut restore = Restore::of_backup(WINDOW);
        self.line.state.view().for_backup().lines().try_for_each(|line| restore.line(&line))?;
        restore.finish()
    }
}

fn order() -> OldOrder {
    OldOrder::of(&Uuid::from_u128(0xc1), &Uuid::from_u128(0x11e))
}

/// The cluster that is made out of what a machine has, confirmed up to there.
fn found(mut machine: Line, confirmed: Reached) -> Line {
    let last = machine.state.reached().seq;
    machine.state.note_old_order(&order(), confirmed, last);
    let backup = Uuid::from_u128(0xbac);
    let carried = carried_over(&machine.state, backup, Timestamp(1_000), WINDOW).expect("a state");
    let (lines, index) = carried.into_lines();
    let mut restore = Restore::new(WINDOW);
    lines.iter().try_for_each(|line| restore.line(line)).expect("own lines");
    let state = restore.finish().expect("own lines");
    let mut line = Line { state, index, sessions: [0; 3] };
    for (who, name) in PEOPLE.iter().enumerate() {
        let token_hash = Digest::of(name.as_bytes());
        let open = Action::OpenSession {
            account: account(who),
            token_hash,
            expires: NEVER,
            // A server says so from the level on that it needs.
            verified: Some(verified_against(PASSWORD_HASH)),
            from: None,
        };
        line.sessions[who] = opened(line.apply(Uuid::from_u128(0x0e5 + who as u128), open));
    }
    line
}

/// A machine turns up, and whoever hands over for it has that many answers.
fn hand_over(to: &mut Line, machine: &Line, confirmed: Reached, answers: usize) -> Result<Brought> {
    let (host, now) = (Host::real(), Timestamp(1_000));
    let late = Late { state: &machine.state, confirmed, lists: &[] };
    let cluster = Mortal { line: to, answers };
    // So that an attempt ends within a list.
    let part_entries = 2;
    let progress = &|_| ();
    let mut receiver = Receiver { cluster, host: &host, now, part_entries, progress };
    block_on(async {
        let began = receiver.began(&order()).await?.expect("made out of it");
        receiver.bring(&order(), &late, &began).await
    })
}

/// Deeds of a line that has gone on from the common place: of a machine that has so many of
/// them in its log, and knows so many to be confirmed.
fn go_on(base: &Line, deeds: &[Deed], knows: usize, diary: &mut Diary) -> (Line, Reached) {
    let mut line = base.fork();
    let mut confirmed = line.state.reached();
    for (number, deed) in deeds.iter().enumerate() {
        line.does(deed, diary);
        if number < knows {
            confirmed = line.state.reached();
        }
    }
    (line, confirmed)
}

#[derive(Clone, Debug)]
struct Story {
    base: Vec<Deed>,
    /// Both the machine that is left and those that turn up have these, unconfirmed there.
    shared: Vec<Deed>,
    /// Only the machine that is left.
    left: Vec<Deed>,
    /// Only those that turn up: the one all of them, the other the first few.
    late: Vec<Deed>,
    other_has: usize,
    /// How many of shared and late ones each knows to be confirmed.
    knows: (usize, usize),
    /// In the new cluster: before, between and after.
    new: [Vec<Deed>; 3],
    /// Answers until the first attempt ends.
    answers: usize,
}

fn story() -> impl Strategy<Value = Story> {
    let few = || vec(deed(), 0..6);
    let several = || vec(deed(), 0..14);
    let parts = (several(), few(), few(), several(), few(), few(), few());
    (parts, 0..14usize, (0..20usize, 0..20usize), 0..30usize).prop_map(
        |((base, shared, left, late, one, two, three), other_has, knows, answers)| {
            let other_has = other_has.min(late.len());
            Story { base, shared, left, late, other_has, knows, new: [one, two, three], answers }
        },
    )
}

fn play(story: &Story) {
    let mut diary = Diary::default();
    let mut base = Line::new(FEATURE_LEVEL_KNOWN);
    story.base.iter().for_each(|deed| base.does(deed, &mut diary));
    let confirmed = base.state.reached();
    let (common, _) = go_on(&base, &story.shared, 0, &mut diary);
    let (left, _) = go_on(&common, &story.left, 0, &mut diary);
    // The one that turns up first has what the other has, and more.
    let shared = story.shared.len();
    let (first, rest) = story.late.split_at(story.other_has);
    let (other, of_late) = go_on(&common, first, story.knows.1.saturating_sub(shared), &mut diary);
    let knows_shared = |knows: usize, of_late: Reached| match knows >= shared {
        true => of_late,
        false => confirmed,
    };
    let other_confirmed = knows_shared(story.knows.1, of_late);
    let (mut one, mut one_confirmed) = (other.fork(), confirmed);
    for (number, deed) in rest.iter().enumerate() {
        one.does(deed, &mut diary);
        if shared + first.len() + number < story.knows.0 {
            one_confirmed = one.state.reached();
        }
    }

    let mut new = found(left, confirmed);
    story.new[0].iter().for_each(|deed| new.does(deed, &mut diary));
    let _ = hand_over(&mut new, &one, one_confirmed, story.answers);
    story.new[1].iter().for_each(|deed| new.does(deed, &mut diary));
    hand_over(&mut new, &other, other_confirmed, usize::MAX).expect("all that it has");
    story.new[2].iter().for_each(|deed| new.does(deed, &mut diary));
    hand_over(&mut new, &one, one_confirmed, usize::MAX).expect("all that it has");
    let nothing = Brought::default();
    for (machine, confirmed) in [(&one, one_confirmed), (&other, other_confirmed)] {
        assert_eq!(hand_over(&mut new, machine, confirmed, usize::MAX), Ok(nothing.clone()));
    }

    for (who, name) in PEOPLE.iter().enumerate() {
        let inbox = new.inbox(who);
        let ids: BTreeSet<Uuid> = inbox.iter().map(|(id, ..)| *id).collect();
        let is_due = |(id, to): &(&Uuid, &BTreeSet<usize>)| {
            to.contains(&who) && !diary.deleted.contains(&(who, **id))
        };
        let due: BTreeSet<Uuid> = diary.sent.iter().filter(is_due).map(|(id, _)| *id).collect();
        assert_eq!(ids, due, "{name} has what was sent and not deleted");
        assert_eq!(inbox.len(), ids.len(), "each once");
        for (id, _, read) in &inbox {
            assert_eq!(*read, diary.read.contains(&(who, *id)), "{id}");
        }
        // What only they had stands in the order that it had there.
        let there: Vec<Uuid> = one.inbox(who).iter().map(|(id, ..)| *id).collect();
        let place = |id: &Uuid| there.iter().position(|other| other == id);
        let places: Vec<usize> = inbox.iter().filter_map(|(id, ..)| place(id)).collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}

#[test]
fn a_cluster_that_was_made_out_of_one_at_an_older_level_takes_what_comes_later() {
    for level in 0..FEATURE_LEVEL_KNOWN {
        let (mut diary, mut base) = (Diary::default(), Line::new(level));
        let send = Deed::Send { from: 0, to: vec![1] };
        base.does(&send, &mut diary);
        let confirmed = base.state.reached();
        let (late, of_late) = go_on(&base, &[send], 1, &mut diary);
        let mut new = found(base, confirmed);
        let brought = hand_over(&mut new, &late, of_late, usize::MAX).expect("all that it has");
        assert_eq!((brought.messages_handed_over, new.inbox(1).len()), (1, 2), "level {level}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn what_late_machines_bring_is_there_once_and_nothing_that_was_deleted_comes_back(
        story in story()
    ) {
        play(&story);
    }
}
