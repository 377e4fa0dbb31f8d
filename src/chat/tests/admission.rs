//! Who may come in: registration, invitations, and what administrators do to accounts.

use super::restoring::{backup, steps};
use super::*;
use crate::limits::{
    ACTIONS_KEPT, INVITATION_USES_MAX, INVITATIONS_MAX, LEVEL_OF_ADMISSION, MESSAGE_OVERHEAD_BYTES,
};
use crate::protocol::administration::{Recorded, Registration};

fn at_level() -> Chat {
    let mut chat = Chat::new();
    chat.apply(Action::RaiseLevel { level: LEVEL_OF_ADMISSION });
    chat
}

fn administer(change: Change) -> Action {
    Action::Administer { by: "root@alpha".into(), change }
}

fn set(registration: Registration) -> Action {
    administer(Change::SetRegistration { registration, unless_set: false })
}

fn propose(registration: Registration) -> Action {
    administer(Change::SetRegistration { registration, unless_set: true })
}

fn code(code: &str) -> Digest {
    Digest::of(code.as_bytes())
}

impl Chat {
    fn invite(&mut self, text: &str, uses: u32) -> u64 {
        let expires = self.at.plus_ms(HOUR);
        let change = Change::Invite { code_hash: code(text), uses, expires };
        match self.apply(administer(change)) {
            Outcome::Invited { invitation, created, expires: until } => {
                assert_eq!((created, until), (self.at, expires));
                invitation
            }
            other => panic!("not invited: {other:?}"),
        }
    }

    fn register_with(&mut self, who: &str, text: Option<&str>) -> Action {
        let mut action = self.register_action(who);
        if let Action::Register { invitation, .. } = &mut action {
            *invitation = text.map(code);
        }
        action
    }

    fn come(&mut self, who: &str, text: Option<&str>) -> Result<User, ErrorCode> {
        let action = self.register_with(who, text);
        match self.apply(action) {
            Outcome::Refused(body) => Err(body.code),
            outcome => Ok(opened(outcome)),
        }
    }

    fn used(&self) -> Vec<(u64, u32)> {
        let page = self.state.look(|look| look.invitations(0, self.at));
        page.iter().map(|it| (it.id, it.used)).collect()
    }

    fn actions(&self) -> Vec<Recorded> {
        let page = self.state.look(|look| look.actions(0));
        page.into_iter().map(|action| action.what).collect()
    }

    fn is_same_after_a_snapshot(&self) {
        let written = lines(&self.state);
        let again = restore(1_000, &written).expect("own lines");
        assert_eq!(again.hash(), self.state.hash());
        assert_eq!(lines(&again), written);
        audit(&again);
    }
}

#[test]
fn an_invitation_makes_as_many_accounts_as_it_says() {
    let mut chat = at_level();
    assert!(chat.come("alice", None).is_ok(), "nobody has said otherwise");
    chat.apply(set(Registration::Invited));
    assert_eq!(chat.come("bob", None), Err(ErrorCode::InvitationRequired));
    let number = chat.invite("two", 2);
    assert_eq!(chat.come("bob", Some("tow")), Err(ErrorCode::InvitationRefused));
    // Who is refused for another reason uses nothing.
    assert_eq!(chat.come("ALICE", Some("two")), Err(ErrorCode::NameTaken));
    assert_eq!(chat.used(), [(number, 0)]);
    for who in ["bob", "carol"] {
        assert!(chat.come(who, Some("two")).is_ok());
    }
    assert_eq!(chat.come("dave", Some("two")), Err(ErrorCode::InvitationRefused));
    assert_eq!(chat.used(), [(number, 2)]);
    chat.is_same_after_a_snapshot();
    chat.apply(set(Registration::Closed));
    chat.invite("three", 1);
    assert_eq!(chat.come("dave", Some("three")), Err(ErrorCode::RegistrationClosed));
    chat.apply(set(Registration::Open));
    assert!(chat.come("dave", Some("three")).is_ok());
    assert_eq!(chat.used()[1].1, 0, "what is not needed is not used up");
}

#[test]
fn a_registration_that_is_repeated_uses_an_invitation_once_and_gets_the_same_session() {
    let mut chat = at_level();
    chat.apply(set(Registration::Invited));
    let number = chat.invite("once", 1);
    let (id, action) = (chat.id(), chat.register_with("bob", Some("once")));
    let first = chat.apply_as(id, action.clone());
    assert_eq!(chat.apply_as(id, action.clone()), first);
    assert_eq!(chat.used(), [(number, 1)]);
    // A server that lets only the newcomers think of it knows that this one has come.
    let look = |id: Uuid| {
        chat.state.look(|look| look.may_register(id, Some(&code("once")), chat.at)).is_ok()
    };
    assert!(look(id) && !look(Uuid::from_u128(1)));
    // With another code it is another request.
    let other = match action {
        Action::Register { account, name, password_hash, token_hash, expires, from, .. } => {
            let invitation = Some(code("other"));
            Action::Register { account, name, password_hash, token_hash, expires, invitation, from }
        }
        _ => unreachable!("as made"),
    };
    assert_eq!(refusal(chat.apply_as(id, other)).0, ErrorCode::IdConflict);
}

#[test]
fn invitations_end_by_time_and_by_being_taken_back() {
    let mut chat = at_level();
    chat.apply(set(Registration::Invited));
    let (short, long) = (chat.invite("short", 9), chat.invite("long", 9));
    chat.at = chat.at.plus_ms(HOUR - 1);
    assert!(chat.come("alice", Some("short")).is_ok());
    chat.at = chat.at.plus_ms(1);
    let late = chat.register_with("bob", Some("short"));
    let (why, sentence) = refusal(chat.apply(late));
    assert_eq!(why, ErrorCode::InvitationRefused);
    assert!(sentence.contains("was good until"), "{sentence}");
    let page = chat.state.look(|look| look.invitations(0, chat.at));
    assert!(page.iter().all(|it| it.ended), "{page:?}");
    chat.at = Timestamp(HOUR);
    let revoke = |invitation| administer(Change::RevokeInvitation { invitation });
    assert_eq!(chat.apply(revoke(long)), Outcome::Done);
    assert_eq!(refusal(chat.apply(revoke(long))).0, ErrorCode::UnknownInvitation);
    assert_eq!(chat.come("bob", Some("long")), Err(ErrorCode::InvitationRefused));
    assert_eq!(chat.used(), [(short, 1)]);
    assert!(chat.invite("long", 1) > long, "a number is never given twice");
    chat.is_same_after_a_snapshot();
}

#[test]
fn there_are_only_so_many_invitations_and_those_of_no_use_go_first() {
    let mut chat = at_level();
    let expires = chat.at.plus_ms(HOUR);
    let invite = |n: usize, uses| {
        administer(Change::Invite { code_hash: code(&n.to_string()), uses, expires })
    };
    for uses in [0, INVITATION_USES_MAX + 1] {
        assert_eq!(refusal(chat.apply(invite(0, uses))).0, ErrorCode::TooMany);
    }
    for n in 0..INVITATIONS_MAX {
        let id = chat.id();
        chat.apply_as(id, invite(n, 1));
    }
    assert_eq!(refusal(chat.apply(invite(1, 1))).0, ErrorCode::IdConflict, "the same code");
    assert_eq!(refusal(chat.apply(invite(9_999, 1))).0, ErrorCode::TooMany);
    chat.apply(set(Registration::Invited));
    assert!(chat.come("alice", Some("500")).is_ok());
    let made = chat.apply(invite(9_999, 1));
    assert!(matches!(made, Outcome::Invited { .. }), "{made:?}");
    assert_eq!(chat.state.data.invitations.len(), INVITATIONS_MAX);
    assert!(chat.state.data.invitations.get(501).is_none(), "the one that was used up");
    assert_eq!(chat.actions().len(), crate::limits::ADMINISTRATION_PAGE);
    assert_eq!(chat.state.data.actions.len(), ACTIONS_KEPT);
    chat.is_same_after_a_snapshot();
}

#[test]
fn a_configuration_proposes_and_does_not_overrule() {
    let mut chat = at_level();
    assert!(chat.state.registration_is_undecided());
    chat.apply(propose(Registration::Invited));
    assert_eq!(chat.state.registration(), Registration::Invited);
    assert!(!chat.state.registration_is_undecided());
    chat.apply(propose(Registration::Closed));
    assert_eq!(chat.state.registration(), Registration::Invited);
    chat.apply(set(Registration::Open));
    chat.apply(propose(Registration::Closed));
    assert_eq!(chat.state.registration(), Registration::Open);
    assert_eq!(chat.actions().len(), 2, "what changes nothing is no action");
    // A cluster of an earlier version that has accounts stays as it is.
    let mut older = Chat::new();
    older.register("alice");
    older.apply(Action::RaiseLevel { level: LEVEL_OF_ADMISSION });
    assert!(!older.state.registration_is_undecided());
}

#[test]
fn a_disabled_account_has_no_session_and_gets_what_is_sent_to_it() {
    let mut chat = at_level();
    let (alice, bob) = (chat.register("alice"), chat.register("Bob"));
    let disable = |disabled| administer(Change::SetDisabled { name: name("bob"), disabled });
    assert_eq!(chat.apply(disable(true)), Outcome::Done);
    assert_eq!(chat.effects.ended_sessions, [(bob.account, bob.session)]);
    assert_eq!(refusal(chat.apply(send(bob, &["alice"], "x"))).0, ErrorCode::SessionExpired);
    let (why, sentence) = refusal(chat.log_in(bob.account));
    assert_eq!(why, ErrorCode::LoginRefused);
    assert!(sentence.contains("disabled"), "{sentence}");
    chat.send(alice, &["bob"], "meanwhile");
    chat.is_same_after_a_snapshot();
    chat.apply(disable(true));
    assert_eq!(chat.actions().len(), 1, "it was disabled already");
    assert_eq!(chat.apply(disable(false)), Outcome::Done);
    let bob = opened(chat.log_in(bob.account));
    assert_eq!(chat.texts(bob, Which::All), ["meanwhile"]);
    let nobody = administer(Change::SetDisabled { name: name("nobody"), disabled: true });
    assert_eq!(refusal(chat.apply(nobody)).0, ErrorCode::UnknownAccount);
}

#[test]
fn an_account_that_is_reset_gets_a_new_password_once() {
    let mut chat = at_level();
    let alice = chat.register("alice");
    let expires = chat.at.plus_ms(HOUR);
    let reset = |text: &str| {
        administer(Change::ResetAccount { name: name("Alice"), code_hash: code(text), expires })
    };
    let account = alice.account;
    let redeem = |chat: &mut Chat, text: &str| {
        let token_hash = Digest::of(chat.id().as_bytes());
        let password_hash = format!("set with {text}");
        let expires = chat.at.plus_ms(HOUR);
        Action::ResetPassword {
            account,
            code_hash: code(text),
            password_hash,
            token_hash,
            expires,
            from: None,
        }
    };
    let without = redeem(&mut chat, "first");
    assert_eq!(refusal(chat.apply(without)).0, ErrorCode::LoginRefused);
    assert_eq!(chat.apply(reset("first")), Outcome::Done);
    assert_eq!(chat.effects.ended_sessions, [(account, alice.session)]);
    let hash = |chat: &Chat| chat.state.look(|look| look.account(account)).expect("there");
    assert_eq!(&*hash(&chat).password_hash, "");
    // A server may have seen that the old password was right, a moment before.
    assert_eq!(refusal(chat.log_in(account)).0, ErrorCode::LoginRefused);
    chat.is_same_after_a_snapshot();
    // The code of another reset is none any more.
    chat.apply(reset("second"));
    let stale = redeem(&mut chat, "first");
    assert_eq!(refusal(chat.apply(stale)).0, ErrorCode::LoginRefused);
    let (id, action) = (chat.id(), redeem(&mut chat, "second"));
    let first = chat.apply_as(id, action.clone());
    assert!(matches!(first, Outcome::SessionOpened { .. }), "{first:?}");
    assert_eq!(chat.apply_as(id, action), first, "the same again");
    let again = redeem(&mut chat, "second");
    assert_eq!(refusal(chat.apply(again)).0, ErrorCode::LoginRefused);
    assert_eq!(&*hash(&chat).password_hash, "set with second");
    assert!(matches!(chat.log_in(account), Outcome::SessionOpened { .. }));
    // One whose time is over, and one of an account that is shut out.
    chat.apply(reset("third"));
    chat.at = expires;
    let late = redeem(&mut chat, "third");
    assert!(refusal(chat.apply(late)).1.contains("time of this code is over"));
    chat.apply(administer(Change::SetDisabled { name: name("alice"), disabled: true }));
    let disabled = redeem(&mut chat, "third");
    assert!(refusal(chat.apply(disabled)).1.contains("disabled"));
}

#[test]
fn an_administrator_deletes_an_account_and_all_that_is_kept_of_it() {
    let mut chat = at_level();
    let (alice, bob) = (chat.register("alice"), chat.register("bob"));
    chat.send(bob, &["alice"], "to her");
    chat.send(alice, &["bob"], "from her");
    let delete = administer(Change::DeleteAccount { name: name("ALICE") });
    assert_eq!(chat.apply(delete.clone()), Outcome::Done);
    assert_eq!(chat.effects.ended_accounts, [alice.account]);
    assert_eq!(refusal(chat.apply(delete)).0, ErrorCode::UnknownAccount);
    assert_eq!(chat.texts(bob, Which::All), ["from her"]);
    let later = chat.register("alice");
    assert_eq!(chat.texts(later, Which::All), Vec::<String>::new());
    assert_eq!(chat.actions(), [Recorded::DeleteAccount { name: name("alice") }]);
}

#[test]
fn what_an_account_takes_follows_every_change() {
    let mut chat = at_level();
    let (alice, bob) = (chat.register("alice"), chat.register("bob"));
    let row = |chat: &Chat, who: &str| chat.state.look(|look| look.account_row(&name(who)));
    let (id, _) = chat.send(alice, &["bob"], "four");
    chat.at = chat.at.plus_ms(7);
    chat.send(alice, &["bob", "alice"], "12345678");
    let bobs = row(&chat, "BOB").expect("there");
    assert_eq!((bobs.messages, bobs.bytes), (2, 12 + 2 * MESSAGE_OVERHEAD_BYTES));
    assert_eq!(bobs.last_seen, Some(Timestamp(HOUR)), "his login");
    assert_eq!(row(&chat, "alice").expect("there").last_seen, Some(chat.at), "her message");
    chat.is_same_after_a_snapshot();
    chat.apply(Action::Delete { session: bob.session, ids: vec![id] });
    let bobs = row(&chat, "bob").expect("there");
    assert_eq!((bobs.messages, bobs.bytes), (1, 8 + MESSAGE_OVERHEAD_BYTES));
    assert_eq!(row(&chat, "nobody"), None);
}

#[test]
fn a_backup_brings_it_back_and_the_stricter_registration_holds() {
    for (theirs, ours, then) in [
        (Registration::Open, Registration::Invited, Registration::Invited),
        (Registration::Closed, Registration::Open, Registration::Closed),
    ] {
        let mut chat = at_level();
        let bob = chat.register("bob");
        chat.apply(set(theirs));
        chat.invite("back", 3);
        chat.apply(administer(Change::SetDisabled { name: name("bob"), disabled: true }));
        let lines = backup(&chat.state);
        let mut fresh = Chat { next_id: 1_000_000, ..Chat::new() };
        fresh.apply(Action::RaiseLevel { level: LEVEL_OF_ADMISSION });
        fresh.apply(set(ours));
        let last = steps(&lines, 2).into_iter().map(|step| fresh.apply(step)).last();
        assert!(matches!(last, Some(Outcome::Restoring { done: true, .. })), "{last:?}");
        assert_eq!(fresh.state.registration(), then);
        assert_eq!(fresh.used(), [(1, 0)]);
        assert_eq!(fresh.actions(), chat.actions());
        assert_eq!(refusal(fresh.log_in(bob.account)).0, ErrorCode::LoginRefused);
    }
}

#[test]
fn lines_that_a_level_does_not_know_are_no_snapshot_of_it() {
    let mut chat = at_level();
    chat.apply(set(Registration::Closed));
    let lines = lines(&chat.state);
    let text = String::from_utf8(lines[0].clone()).expect("JSON");
    let lowered = text.replace("\"format\":3", "\"format\":2");
    assert_ne!(lowered, text);
    let mut restore = Restore::new(1_000);
    restore.line(lowered.as_bytes()).expect("a header");
    let error = restore.line(&lines[1]).expect_err("of another level");
    assert!(error.message.contains("its feature level does not know"), "{error}");
}
