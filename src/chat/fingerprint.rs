//! What an operation asks for, as a number. It tells a repetition from another
//! operation with the same id.

use std::collections::BTreeSet;

use super::hash::{Encoder, Kind};
use super::operation::{Action, RestoreStep};
#[cfg(doc)]
use super::state::State;
use crate::types::{
    AccountName, FoldedName, KeyChange, KeyStep, MemberChange, MemberEntry, Succession, Uuid,
};

/// Folded names in the order of their first mention, each once.
pub(super) fn distinct_folded(names: &[AccountName]) -> Vec<FoldedName> {
    if let [name] = names {
        return vec![name.folded()];
    }
    let mut seen = BTreeSet::new();
    names.iter().map(AccountName::folded).filter(|name| seen.insert(*name)).collect()
}

/// Fingerprint of what an operation asks for, apart from who asks.
///
/// It leaves out what a server makes anew when a client repeats a request: the
/// salted password hash, what a password was verified against, the account's identity, the
/// time of expiry, and from where it saw the request come. The
/// session's number is left out as well: after logging in again it is another
/// one, while the account, which [`State::recall`] compares, is the same.
pub(super) fn fingerprint(action: &Action) -> u128 {
    let encoder = Encoder::new(Kind::Content);
    match action {
        Action::Register {
            name,
            token_hash,
            invitation,
            account: _,
            password_hash: _,
            expires: _,
            from: _,
        } => {
            let encoder = encoder.number(1).fixed(&token_hash.0).text(name.as_str());
            invitation.iter().fold(encoder, |encoder, code| encoder.fixed(&code.0))
        }
        Action::OpenSession { account, token_hash, expires: _, verified: _, from: _ } => {
            encoder.number(2).fixed(account.as_bytes()).fixed(&token_hash.0)
        }
        // Here the session is what it is about.
        Action::CloseSession { session } => encoder.number(3).number(*session),
        Action::Send { to, text, reply_to, session: _, again: _, after: _ } => {
            let folded = distinct_folded(to);
            let folded = folded.iter().map(|name| name.as_str());
            return send_fingerprint(folded, text, reply_to.as_ref());
        }
        Action::MarkRead { seqs, session: _ } => {
            seqs.iter().fold(encoder.number(5), |encoder, seq| encoder.number(*seq))
        }
        Action::Delete { ids, session: _ } => {
            ids.iter().fold(encoder.number(6), |encoder, id| encoder.fixed(id.as_bytes()))
        }
        // Never remembered: its place says whether it was taken.
        Action::Deliver(delivery) => {
            encoder.number(15).fixed(delivery.place.list.as_bytes()).number(delivery.place.number)
        }
        Action::DeleteAccount { session: _, verified: _ } => encoder.number(7),
        Action::Own { change, session: _ } => change.encode(encoder.number(20)),
        Action::AllocateIncarnation { replica } => encoder.number(8).number(u64::from(replica.0)),
        Action::Restore(step) => encode_restore_step(encoder.number(9), step),
        Action::ChangeMembers { expects, change, founders } => {
            let encoder = encode_change(encoder.number(13).number(*expects), change);
            founders.iter().fold(encoder, encode_member)
        }
        Action::Administer { change, by: _ } => change.encode(encoder.number(11)),
        Action::ResetPassword {
            account,
            code_hash,
            token_hash,
            password_hash: _,
            expires: _,
            from: _,
        } => {
            let encoder = encoder.number(12).fixed(account.as_bytes());
            encoder.fixed(&code_hash.0).fixed(&token_hash.0)
        }
        Action::NoteTime { seq, at } => encoder.number(14).number(*seq).number(at.0),
        Action::RaiseLevel { level } => encoder.number(10).number(u64::from(*level)),
    }
    .finish()
}

/// Of a `Send`, from its request or from the message it became.
pub(super) fn send_fingerprint<'a>(
    folded: impl Iterator<Item = &'a str>,
    text: &str,
    reply_to: Option<&Uuid>,
) -> u128 {
    let encoder = Encoder::new(Kind::Content).number(4).text(text);
    // Nothing of what a lower feature level does not have.
    let encoder = reply_to
        .into_iter()
        .fold(encoder, |encoder, id| encoder.text("reply to").fixed(id.as_bytes()));
    folded.fold(encoder, |encoder, name| encoder.text(name)).finish()
}

fn encode_change(encoder: Encoder, change: &MemberChange) -> Encoder {
    let encoder = encoder.number(u64::from(change.id().0));
    match change {
        MemberChange::Add(entry) => encode_member(encoder.number(1), entry),
        MemberChange::Remove { id: _ } => encoder.number(2),
        MemberChange::Move { id: _, address } => encoder.number(3).text(&address.to_string()),
        MemberChange::Key(KeyStep::Announce { old, new, succession, instead }) => {
            let number = if *instead { 6 } else { 4 };
            let encoder = encoder.number(number).fixed(old.as_bytes()).fixed(new.as_bytes());
            succession.iter().fold(encoder, encode_succession)
        }
        MemberChange::Key(KeyStep::Enter { new, stage }) => {
            encoder.number(5).fixed(new.as_bytes()).number(*stage as u64)
        }
    }
}

/// Adds a member to what has it.
pub(super) fn encode_member(encoder: Encoder, member: &MemberEntry) -> Encoder {
    let MemberEntry { id, address, replaces } = member;
    let replaces = replaces.map_or(0, |replaced| u64::from(replaced.0));
    encoder.number(u64::from(id.0)).text(&address.to_string()).number(replaces)
}

/// Adds what leads from one key to the next.
fn encode_succession(encoder: Encoder, succession: &Succession) -> Encoder {
    let Succession { from, to, signature: [r, s] } = succession;
    encoder.fixed(&from.0).fixed(to.as_bytes()).fixed(&r.0).fixed(&s.0)
}

/// Adds the last change of the cluster's key to what has it.
pub(super) fn encode_key_change(encoder: Encoder, change: &KeyChange) -> Encoder {
    let KeyChange { old, new, stage, successions } = change;
    let encoder = encoder.fixed(old.as_bytes()).fixed(new.as_bytes()).number(*stage as u64);
    successions.iter().fold(encoder, encode_succession)
}

/// Adds what a step asks for to its fingerprint.
fn encode_restore_step(encoder: Encoder, step: &RestoreStep) -> Encoder {
    match step {
        RestoreStep::Begin { backup } => encoder.number(1).fixed(backup.as_bytes()),
        RestoreStep::Lines { backup, first, lines } => {
            let encoder = encoder.number(2).fixed(backup.as_bytes()).number(*first);
            lines.iter().fold(encoder, |encoder, line| encoder.text(line))
        }
        RestoreStep::End { backup, lines } => {
            encoder.number(3).fixed(backup.as_bytes()).number(*lines)
        }
        RestoreStep::Abandon {} => encoder.number(4),
    }
}
