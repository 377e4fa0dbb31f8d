//! Searches that may be long: names by a pattern, messages by the beginnings of
//! their ids. Each keeps its place, so that it can go on after others ran.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::budget::{Budget, Step};
use super::glob::Glob;
use super::items::Account;
use super::meter;
use super::overlay::{Shown, Touches};
use super::state::State;
use crate::error::{Error, ErrorCode, Result};
use crate::limits::ID_PREFIX_MIN_DIGITS;
use crate::types::{AccountName, Uuid};

/// Comparisons of a pattern with a name that make a step.
const COMPARISONS_PER_STEP: usize = 64;

/// Ranges that may hold one id and are looked at in a step.
const RANGES_PER_STEP: usize = 8;

/// So much of a wrong beginning is shown: an id with its hyphens.
const SHOWN_CHARS: usize = 36;

/// Names that match a pattern, in the order of their lower case.
pub struct NameSearch {
    glob: Option<Glob>,
    /// Everything up to here was looked at, in lower case.
    after: Option<String>,
    limit: usize,
    names: Vec<AccountName>,
    more: bool,
}

impl NameSearch {
    /// A search for at most `limit` names after `after`; without a pattern for
    /// all. A pattern that begins with a letter looks only at names that begin
    /// so; one that begins with a wild card looks at all.
    pub fn new(glob: Option<Glob>, after: Option<&str>, limit: usize) -> NameSearch {
        let after = after.map(str::to_ascii_lowercase);
        NameSearch { glob, after, limit, names: Vec::new(), more: false }
    }

    /// Up to which name it has looked, in lower case, once a look was not enough for it.
    pub fn place(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// What was found, and whether there are more after those. Of a search that
    /// has not come to its end that is not known, and `true` is said.
    pub fn into_page(self, ended: bool) -> (Vec<AccountName>, bool) {
        (self.names, self.more || !ended)
    }
}

/// Messages in an inbox by the beginnings of their ids.
pub struct IdSearch {
    account: Uuid,
    /// In the order of the lowest id, wider ones before those within them. Two
    /// are either one within the other or apart.
    ranges: Vec<Range>,
    /// Of each beginning that was asked for, its range.
    asked: Vec<usize>,
    place: Place,
}

/// All ids that begin alike.
struct Range {
    lowest: Uuid,
    highest: Uuid,
    /// The narrowest range that this one is within.
    within: Option<usize>,
    /// The lowest two of the inbox.
    found: Vec<Uuid>,
    /// The lowest two of those that no majority has confirmed.
    unconfirmed: Vec<Uuid>,
}

/// How far a search for ids has come.
enum Place {
    /// It looks through what no majority has confirmed, behind an entry. First: what is
    /// confirmed meanwhile is found once more.
    Unconfirmed { after: u64 },
    /// It has not looked at what is confirmed.
    Confirmed,
    /// It looks at all messages whose ids are in a range, from `next` on.
    Ids { range: usize, next: Uuid, left: usize },
    /// It looks through the inbox for all ranges from `first` on.
    Inbox { first: usize, after: u64 },
}

impl IdSearch {
    /// A search for beginnings of ids. Hyphens and case do not matter.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidRequest`]: fewer than four hexadecimal digits, more
    /// than 32, or something else among them.
    pub fn new(account: Uuid, prefixes: &[String]) -> Result<IdSearch> {
        let wanted: Vec<(Uuid, Uuid)> =
            prefixes.iter().map(|prefix| prefix_range(prefix)).collect::<Result<_>>()?;
        let key = |(lowest, highest): (Uuid, Uuid)| (lowest, std::cmp::Reverse(highest));
        let mut order: BTreeMap<_, usize> = wanted.iter().map(|it| (key(*it), 0)).collect();
        let mut ranges: Vec<Range> = Vec::with_capacity(order.len());
        let mut open: Vec<usize> = Vec::new();
        for ((lowest, std::cmp::Reverse(highest)), number) in &mut order {
            *number = ranges.len();
            while open.last().is_some_and(|last| ranges[*last].highest < *lowest) {
                open.pop();
            }
            let within = open.last().copied();
            open.push(*number);
            let (found, unconfirmed) = (Vec::new(), Vec::new());
            ranges.push(Range { lowest: *lowest, highest: *highest, within, found, unconfirmed });
        }
        let asked = wanted.iter().map(|it| order[&key(*it)]).collect();
        Ok(IdSearch { account, ranges, asked, place: Place::Unconfirmed { after: 0 } })
    }

    /// For each beginning at most two ids, the lowest; two mean that it is
    /// ambiguous.
    pub fn matches(&self) -> Vec<Vec<Uuid>> {
        let both = |range: &Range| {
            let mut both = [&*range.found, &*range.unconfirmed].concat();
            both.sort_unstable();
            both.dedup();
            both.truncate(2);
            both
        };
        self.asked.iter().map(|range| both(&self.ranges[*range])).collect()
    }

    /// Notes a message of the inbox in every range from `first` on that its id
    /// is in. Returns how many ranges were looked at.
    fn note(
        &mut self,
        first: usize,
        id: Uuid,
        found: impl Fn(&mut Range) -> &mut Vec<Uuid>,
    ) -> usize {
        let mut looked = 0;
        let mut at = self.ranges.partition_point(|range| range.lowest <= id).checked_sub(1);
        while let Some(number) = at.filter(|number| *number >= first) {
            looked += 1;
            let range = &mut self.ranges[number];
            if id <= range.highest {
                let found = found(range);
                let place = found.partition_point(|other| *other < id);
                found.insert(place, id);
                found.truncate(2);
            }
            at = self.ranges[number].within;
        }
        looked
    }
}

impl State {
    /// Goes on with a search for names.
    pub(super) fn search_names(&self, search: &mut NameSearch, budget: &mut Budget) -> Step<()> {
        let NameSearch { glob, after, limit, names, more } = search;
        let prefix = glob.as_ref().map_or("", Glob::literal_prefix);
        let start = match after.as_deref() {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut last = None;
        for (folded, label) in self.names.range::<str, _>((start, Bound::Unbounded)) {
            if !budget.lasts() {
                let last: Option<&str> = last;
                *after = last.map(str::to_string).or_else(|| after.take());
                return Step::More;
            }
            if !folded.starts_with(prefix) {
                break;
            }
            let (matches, comparisons) =
                glob.as_ref().map_or((true, 0), |glob| glob.compare(folded));
            budget.spend(1 + comparisons / COMPARISONS_PER_STEP);
            meter::work(1);
            if matches {
                if names.len() == *limit {
                    *more = true;
                    break;
                }
                names.push(label.name.clone());
            }
            last = Some(folded);
        }
        Step::Done(())
    }

    /// Goes on with a search for ids.
    ///
    /// Ids are made by clients, so anyone may have made a million that begin
    /// alike, in an inbox or elsewhere, and ask for a thousand beginnings. When
    /// all ranges together have more ids than the inbox, looking through the
    /// inbox once for all of them is less work. So a search costs at most twice
    /// the inbox, and a little for each beginning.
    pub(super) fn search_ids(
        &self,
        search: &mut IdSearch,
        shown: Shown<'_>,
        budget: &mut Budget,
    ) -> Step<()> {
        let touches = shown.touches(search.account);
        let Some(account) = self.find_account(search.account) else {
            return Step::Done(());
        };
        loop {
            match search.place {
                Place::Unconfirmed { after } => {
                    let owner = search.account;
                    let note = |id| {
                        let looked = search.note(0, id, |range| &mut range.unconfirmed);
                        looked / RANGES_PER_STEP
                    };
                    match shown.ids_after(&owner, after, budget, note) {
                        Some(after) => {
                            search.place = Place::Unconfirmed { after };
                            return Step::More;
                        }
                        None => search.place = Place::Confirmed,
                    }
                }
                Place::Confirmed => {
                    let Some(Range { lowest, .. }) = search.ranges.first() else {
                        return Step::Done(());
                    };
                    let left = account.inbox.len() + search.ranges.len();
                    search.place = Place::Ids { range: 0, next: *lowest, left };
                }
                Place::Ids { range, next, left } => {
                    if let Some(step) =
                        self.by_ids((account, touches), search, (range, next, left), budget)
                    {
                        return step;
                    }
                }
                Place::Inbox { first, after } => {
                    return self.in_inbox((account, touches), search, (first, after), budget);
                }
            }
        }
    }

    /// Looks at all messages whose ids are in the ranges. `None`: there are too
    /// many, and it must go on in the inbox.
    fn by_ids(
        &self,
        (account, touches): (&Account, Touches<'_>),
        search: &mut IdSearch,
        (mut range, mut next, mut left): (usize, Uuid, usize),
        budget: &mut Budget,
    ) -> Option<Step<()>> {
        while let Some(Range { highest, found, .. }) = search.ranges.get_mut(range) {
            search.place = Place::Ids { range, next, left };
            if !budget.lasts() {
                return Some(Step::More);
            }
            let portion = self.message_ids.portion(next..=*highest);
            budget.spend(1 + portion.steps);
            for (place, (id, seq)) in portion.entries.into_iter().enumerate() {
                // At least one, so that it gets on however little a look allows.
                if place > 0 && !budget.lasts() {
                    search.place = Place::Ids { range, next: id, left };
                    return Some(Step::More);
                }
                budget.spend(1);
                if left == 0 {
                    // What was found in this one is found again there.
                    found.clear();
                    search.place = Place::Inbox { first: range, after: 0 };
                    return None;
                }
                left -= 1;
                if account.inbox.get(seq).is_some() && touches.shows(id, budget) {
                    found.push(id);
                    if found.len() == 2 {
                        break;
                    }
                }
            }
            match portion.next {
                Some(id) if found.len() < 2 => next = id,
                _ => {
                    range += 1;
                    next = search.ranges.get(range).map_or(next, |range| range.lowest);
                }
            }
        }
        Some(Step::Done(()))
    }

    /// Looks through the inbox.
    fn in_inbox(
        &self,
        (account, touches): (&Account, Touches<'_>),
        search: &mut IdSearch,
        (first, mut after): (usize, u64),
        budget: &mut Budget,
    ) -> Step<()> {
        for (run, _) in account.inbox.runs_after(after) {
            for entry in run {
                if !budget.lasts() {
                    search.place = Place::Inbox { first, after };
                    return Step::More;
                }
                after = entry.seq();
                let id = self.data.messages.get(after).map(|message| message.id);
                let id = id.filter(|id| touches.shows(*id, budget));
                let looked = id.map_or(0, |id| search.note(first, id, |range| &mut range.found));
                budget.spend(1 + looked / RANGES_PER_STEP);
            }
        }
        Step::Done(())
    }
}

/// The lowest and the highest id that begin so.
fn prefix_range(prefix: &str) -> Result<(Uuid, Uuid)> {
    let wrong = |why: String| Error::new(ErrorCode::InvalidRequest, why);
    let shown: String = prefix.chars().take(SHOWN_CHARS).collect();
    let (mut bits, mut digits) = (0u128, 0usize);
    for c in prefix.chars().filter(|c| *c != '-') {
        let digit = c.to_digit(16).ok_or_else(|| {
            wrong(format!("{shown:?} is no beginning of an id: {c:?} is no hexadecimal digit"))
        })?;
        digits += 1;
        if digits > 32 {
            return Err(wrong("an id has 32 hexadecimal digits, and this is longer".to_string()));
        }
        bits = bits << 4 | u128::from(digit);
    }
    if digits < ID_PREFIX_MIN_DIGITS {
        return Err(wrong(format!(
            "{shown:?} is too short: at least {ID_PREFIX_MIN_DIGITS} digits of an id are needed"
        )));
    }
    let free = 128 - 4 * digits as u32;
    let lowest = bits << free;
    let highest = lowest | u128::MAX.checked_shr(4 * digits as u32).unwrap_or(0);
    Ok((Uuid::from_u128(lowest), Uuid::from_u128(highest)))
}
