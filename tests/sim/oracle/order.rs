//! Order per sender: lines of one stream never overtake each other.
//!
//! For a line with a place in the total order:
//! 1. it stands behind every earlier line of its stream that has one;
//! 2. every earlier line has one, unless it was given up and that was known when the
//!    later one began: a repeated pipeline goes on behind what it has given up. On one
//!    connection nothing is accepted behind what was given up.
//!
//! When a client never learned the outcome of a line, only a page that would show the
//! line proves that it has no place: a page of a recipient who keeps their account, of
//! all messages from the first up to the later line. [`Covered`] knows how far such
//! pages reach.

use std::collections::{BTreeMap, BTreeSet};

use ftchat::protocol::client::Which;
use ftchat::types::Uuid;

use super::facts::{Fact, Facts};
use super::{Call, Operation, Reply, Stream, comes_back, name_of};

/// By owner, up to which `seq` pages have shown all that there ever is.
pub(super) type Covered = BTreeMap<String, u64>;

/// Checks the order of all streams.
pub(super) fn check(operations: &[Operation], facts: &Facts) -> Vec<String> {
    let covered = covered(operations);
    let refused = refused_for_other_reasons(operations);
    let guests: BTreeSet<&str> =
        facts.lives.keys().filter(|owner| comes_back(owner)).map(|owner| name_of(owner)).collect();
    let mut streams: BTreeMap<Uuid, BTreeMap<u64, (Uuid, &Fact)>> = BTreeMap::new();
    for (id, fact) in &facts.messages {
        if let Some(line) = fact.line {
            streams.entry(line.stream).or_default().insert(line.number, (*id, fact));
        }
    }
    let mut wrong = Vec::new();
    for lines in streams.values() {
        // The highest place so far, and lines without one that nothing may overtake.
        let mut last: Option<(u64, u64)> = None;
        let mut given_up: Vec<(u64, Uuid, &Fact)> = Vec::new();
        // Of lines behind one that was refused for what it is a pipeline tells nothing
        // more: they may have been refused as well.
        let mut any_refused = false;
        for (number, (id, fact)) in lines {
            let Some(seq) = fact.seq() else {
                any_refused |= refused.contains(id);
                let told = fact.ended < u64::MAX;
                if !refused.contains(id) && (told || !any_refused) {
                    given_up.push((*number, *id, fact));
                }
                continue;
            };
            if let Some((before, at)) = last.filter(|(_, at)| *at > seq) {
                wrong.push(format!(
                    "line {number} of {} stands at {seq}, and line {before} at {at}",
                    fact.from
                ));
            }
            if last.is_none_or(|(_, at)| at < seq) {
                last = Some((*number, seq));
            }
            for (before, lost, earlier) in &given_up {
                let of_one_connection = fact.line.is_some_and(|line| line.of == Stream::Connection);
                let known_in_time = fact.began > earlier.ended && !of_one_connection;
                let overtaken = !known_in_time
                    && (!earlier.possible || is_not_below(earlier, seq, &covered, &guests));
                if overtaken {
                    wrong.push(format!(
                        "line {number} of {} was accepted at {seq}, and line {before} ({lost}) \
                         before it never was",
                        fact.from
                    ));
                }
            }
        }
    }
    wrong
}

/// Whether a message whose outcome is unknown certainly has no place up to `seq`, and
/// should have one: it was refused for what it is if one of its recipients was gone
/// when it was applied, and nobody knows.
fn is_not_below(fact: &Fact, seq: u64, covered: &Covered, guests: &BTreeSet<&str>) -> bool {
    let may_be_refused = fact.to.iter().any(|to| guests.contains(name_of(to)));
    !may_be_refused
        && fact.to.iter().any(|owner| covered.get(owner).is_some_and(|until| *until >= seq))
}

/// Lines that were refused for what they are: those behind them may be accepted.
fn refused_for_other_reasons(operations: &[Operation]) -> BTreeSet<Uuid> {
    let mut refused = BTreeSet::new();
    for operation in operations {
        if let (Call::Send { id, .. }, Some(Reply::Refused(code))) =
            (&operation.call, operation.reply())
            && !code.retryable()
        {
            refused.insert(*id);
        }
    }
    refused
}

/// How far the pages of each inbox reach from its beginning without a gap.
fn covered(operations: &[Operation]) -> Covered {
    let mut covered = Covered::new();
    for operation in operations {
        let (Call::Read { owner, query }, Some(Reply::Page { messages, .. })) =
            (&operation.call, operation.reply())
        else {
            continue;
        };
        let whole = query.which == Which::All && query.since.is_none() && query.from.is_none();
        let last = messages.last().map_or(0, |seen| seen.seq);
        let until = covered.entry(owner.clone()).or_default();
        // Up to the last one shown everything has its final place.
        if whole && !comes_back(owner) && query.after.unwrap_or(0) <= *until {
            *until = last.max(*until);
        }
    }
    covered
}
