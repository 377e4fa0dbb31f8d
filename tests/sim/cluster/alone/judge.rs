//! Compares what people were told with what came of it.

use std::collections::{BTreeMap, BTreeSet};

use ftchat::types::Uuid;

use super::diary::{Acknowledged, Confirmed, Diary, READER, READERS, Stay};
use super::guest::GUEST;
use super::sessions::LEAVER;
use crate::cluster::Report;

/// What is in the inboxes in the end.
pub struct Found<'a> {
    /// By id and recipient, the places at which a message stands.
    places: BTreeMap<Uuid, BTreeMap<&'a str, Vec<u64>>>,
    /// By the message that it is about, how many notices its author has.
    notices: BTreeMap<Uuid, u64>,
}

impl<'a> Found<'a> {
    pub fn of(diary: &'a Diary) -> Found<'a> {
        let (mut places, mut notices) = (BTreeMap::new(), BTreeMap::new());
        for (name, inbox) in &diary.inboxes {
            for it in inbox {
                match it.is_about().filter(|_| it.notice) {
                    Some(about) => *notices.entry(about).or_default() += 1,
                    None => {
                        let stands: &mut BTreeMap<&str, Vec<u64>> =
                            places.entry(it.id).or_default();
                        stands.entry(name).or_default().push(it.seq);
                    }
                }
            }
        }
        Found { places, notices }
    }

    pub fn is_there(&self, id: &Uuid) -> bool {
        self.places.contains_key(id)
    }

    /// Where a message stands in the total order.
    pub fn place(&self, id: &Uuid) -> Option<u64> {
        self.places.get(id)?.values().flatten().next().copied()
    }

    fn at(&self, id: &Uuid, name: &str) -> &[u64] {
        self.places.get(id).and_then(|at| at.get(name)).map_or(&[], Vec::as_slice)
    }

    pub fn notices(&self, id: &Uuid) -> u64 {
        self.notices.get(id).copied().unwrap_or_default()
    }
}

/// Judges a world.
pub fn judge(diary: &Diary, report: &mut Report) {
    let found = Found::of(diary);
    let mut wrong = diary.wrong.clone();
    judge_inboxes(diary, &found, &mut wrong);
    judge_acknowledged(diary, &found, &mut wrong);
    judge_notices(diary, &found, &mut wrong);
    judge_following(diary, &found, &mut wrong);
    judge_order(diary, &found, &mut wrong);
    judge_guests(diary, &found, &mut wrong);
    super::judge_sessions::judge(diary, &found, &mut wrong);
    report.violations.extend(wrong);
    count(diary, &found, report);
}

/// A message is in all inboxes that it is for, once in each, at one place. What was marked is
/// read, and what was deleted is gone.
fn judge_inboxes(diary: &Diary, found: &Found<'_>, wrong: &mut Vec<String>) {
    let all = diary.inboxes.values().flatten().filter(|it| !it.notice);
    for it @ Confirmed { id, seq, from, to, text, .. } in all {
        let is_reader = |name: &&String| READERS.contains(&name.as_str());
        for name in to.iter().filter(is_reader) {
            let deleted = name == READER && diary.deleting.contains(id);
            match found.at(id, name) {
                [at] if at == seq => {}
                [] if deleted => {}
                other => wrong.push(format!("{id} at {seq} stands at {other:?} of {name}: {it:?}")),
            }
        }
        let author = text.split([' ', '#']).next();
        if author != Some(from) {
            wrong.push(format!("{id} of {from} says {text}"));
        }
    }
    for Confirmed { id, read, .. } in &diary.inboxes[READER] {
        if diary.deleted.contains(id) {
            wrong.push(format!("{id} was deleted, and is there"));
        }
        if diary.marked.contains(id) && !read {
            wrong.push(format!("{id} was marked, and is not read"));
        }
    }
    for id in diary.given_up.iter().chain(&diary.refused).filter(|id| found.is_there(id)) {
        wrong.push(format!("{id} is there, of which nothing was done"));
    }
}

/// What is accepted is where it is to be, unless its author is gone or was told otherwise.
fn judge_acknowledged(diary: &Diary, found: &Found<'_>, wrong: &mut Vec<String>) {
    for (id, it) in &diary.acknowledged {
        if it.seq.is_some() && found.place(id).is_some_and(|place| Some(place) != it.seq) {
            wrong.push(format!("{id} is confirmed at another place: {it:?}"));
        }
        // Another try of it was refused, as an account that it was for is gone.
        let untaken = it.is_for(GUEST) && found.notices(id) == 1;
        let may_miss =
            !it.is_confirmed() && (is_of_who_left(diary, it) || it.by == LEAVER || untaken);
        for name in it.to.iter().filter(|name| READERS.contains(&name.as_str())) {
            let deleted = name == READER && diary.deleting.contains(id);
            if found.at(id, name).is_empty() && !deleted && !may_miss {
                wrong.push(format!("{id} is not in the inbox of {name}: {it:?}"));
            }
        }
    }
    for Confirmed { id, text, .. } in diary.inboxes.values().flatten() {
        if diary.acknowledged.get(id).is_some_and(|it| it.text != *text) {
            wrong.push(format!("{id} has another text: {text}"));
        }
    }
}

/// Whether it was sent by an owner of the name that comes and goes who is gone.
pub fn is_of_who_left(diary: &Diary, it: &Acknowledged) -> bool {
    let visit = it.by.strip_prefix(GUEST).and_then(|by| by.strip_prefix('#')?.parse().ok());
    visit.is_some_and(|visit: usize| diary.stays[visit - 1].gone.is_some())
}

/// Nobody is told twice, or without need, that a message was not delivered.
fn judge_notices(diary: &Diary, found: &Found<'_>, wrong: &mut Vec<String>) {
    for (id, count) in &found.notices {
        if *count > 1 {
            wrong.push(format!("{count} notices are about {id}"));
        }
        let it = diary.acknowledged.get(id);
        // Of what was not acknowledged, who knows. And a message to somebody who left may have
        // been taken by a majority as well.
        let by_session = |it: &Acknowledged| it.by == LEAVER && !it.is_confirmed();
        if it.is_some_and(|it| !it.is_for(GUEST) && !by_session(it)) {
            wrong.push(format!("a notice about {id} without need: {it:?}"));
        }
    }
    for it in diary.inboxes.values().flatten().filter(|it| it.notice && it.is_about().is_none()) {
        wrong.push(format!("a notice about nothing: {it:?}"));
    }
}

/// Following has shown each message once, and none that is nowhere and was not withdrawn.
fn judge_following(diary: &Diary, found: &Found<'_>, wrong: &mut Vec<String>) {
    let inbox = diary.inboxes[READER].iter();
    let there: BTreeSet<Uuid> = inbox.filter(|it| !it.notice).map(|it| it.id).collect();
    for id in &there {
        let shown = diary.shown.get(id).copied().unwrap_or_default();
        if shown != 1 && !(shown == 0 && diary.deleting.contains(id)) {
            wrong.push(format!("following showed {id} {shown} times"));
        }
        if diary.vanished.contains(id) {
            wrong.push(format!("{id} was shown, and then it was not for a while"));
        }
    }
    for id in diary.shown.keys().filter(|id| !there.contains(id) && !diary.deleting.contains(id)) {
        let it = diary.acknowledged.get(id);
        // The author is gone, or was told.
        let dropped = it.is_none_or(|it| is_of_who_left(diary, it)) || found.notices(id) == 1;
        if !dropped || !diary.shown_early.contains(id) {
            wrong.push(format!("following showed {id}, which is nowhere: {it:?}"));
        }
    }
}

/// Lines of a stream, and separate messages of a writer, stand in their order.
fn judge_order(diary: &Diary, found: &Found<'_>, wrong: &mut Vec<String>) {
    let mut streams: BTreeMap<Uuid, Vec<(u64, u64)>> = BTreeMap::new();
    for (id, it) in &diary.acknowledged {
        if let (Some((stream, line)), Some(seq)) = (it.stream, found.place(id)) {
            streams.entry(stream).or_default().push((line, seq));
        }
    }
    for (stream, mut lines) in streams {
        lines.sort_unstable();
        if !lines.is_sorted_by_key(|(_, seq)| *seq) {
            wrong.push(format!("lines of {stream} are out of order: {lines:?}"));
        }
    }
    for (name, sent) in &diary.order {
        for two in sent.windows(2) {
            let [(before, _), (id, overtakes)] = two else { unreachable!("two at a time") };
            // What was deleted stands nowhere.
            if let (Some(before_at), Some(at)) = (found.place(before), found.place(id))
                && !overtakes
                && before_at > at
            {
                wrong.push(format!("{name}'s {id} overtook {before}"));
            }
        }
    }
}

/// Whoever has a name now has nothing of its owners before: nothing of theirs is sent under it,
/// or when they are gone, and what was accepted for them is not in its inbox. But a server that
/// finds itself alone may have passed a message on before, by its names, and that try may come
/// into the log last: then its author has a notice of it.
fn judge_guests(diary: &Diary, found: &Found<'_>, wrong: &mut Vec<String>) {
    let last = diary.stays.len();
    for (stay, it) in of_an_owner_before(diary) {
        if found.notices(&it.id) != 1 {
            wrong.push(format!("a leak: {it:?} to {stay:?}"));
        }
    }
    let visit = |text: &str| -> Option<usize> {
        text.strip_prefix(GUEST)?.strip_prefix('#')?.split(' ').next()?.parse().ok()
    };
    for it in diary.sent_by_last.iter().filter(|it| visit(&it.text) != Some(last)) {
        wrong.push(format!("an owner of before has sent {it:?}, which the last one is said to"));
    }
    for it in diary.inboxes.values().flatten().filter(|it| it.from == GUEST && !it.notice) {
        let by = visit(&it.text).unwrap_or_default();
        let gone = diary.stays.get(by.wrapping_sub(1)).and_then(|stay| stay.gone);
        let after = |gone: u64| {
            let later = diary.acknowledged.values().filter(move |it| it.asked.0 > gone);
            later.filter_map(|it| it.seq).min()
        };
        if gone.and_then(after).is_some_and(|seq| seq < it.seq) {
            wrong.push(format!("{it:?} came when its author was gone"));
        }
    }
    for (id, it) in diary.acknowledged.iter().filter(|(_, it)| sent_in_between(diary, it)) {
        let others = it.to.len() > 1;
        if found.notices(id) != 1 || (found.is_there(id) && !others) {
            let (notices, there) = (found.notices(id), found.is_there(id));
            wrong.push(format!("{id} to nobody: {notices} notices, there: {there}: {it:?}"));
        }
    }
}

/// What was accepted before an owner of the name came, and is in the inbox of that one.
fn of_an_owner_before(diary: &Diary) -> impl Iterator<Item = (&Stay, &Confirmed)> {
    diary.stays.iter().flat_map(|stay| {
        let inbox = if stay.gone.is_some() { &stay.inbox } else { &diary.inboxes[GUEST] };
        let before = |it: &&Confirmed| {
            diary.acknowledged.get(&it.id).is_some_and(|sent| sent.asked.1 < stay.comes)
        };
        inbox.iter().filter(before).map(move |it| (stay, it))
    })
}

/// Whether a server took it alone for an owner of the name who had left, before anybody came
/// again.
fn sent_in_between(diary: &Diary, it: &Acknowledged) -> bool {
    let (asked, told) = it.asked;
    let before = diary.stays.iter().filter(|stay| stay.comes < told);
    let all_gone = before.clone().count() > 0
        && before.into_iter().all(|stay| stay.gone.is_some_and(|gone| gone < asked));
    it.is_for(GUEST) && !it.is_confirmed() && all_gone
}

fn count(diary: &Diary, found: &Found<'_>, report: &mut Report) {
    let acknowledged = diary.acknowledged.values();
    let early = acknowledged.clone().filter(|it| !it.is_confirmed());
    let several = early.clone().filter(|it| it.to.len() > 1);
    let nobody = diary.acknowledged.iter().filter(|(_, it)| sent_in_between(diary, it));
    let dropped = diary
        .acknowledged
        .iter()
        .filter(|(id, it)| is_of_who_left(diary, it) && !it.is_confirmed() && !found.is_there(id));
    let strict = acknowledged.clone().filter(|it| it.by == super::strict::STRICT);
    for (what, count) in [
        ("acknowledged", diary.acknowledged.len()),
        ("acknowledged alone", early.count()),
        ("acknowledged alone to several", several.count()),
        ("acknowledged alone to who had left", nobody.count()),
        ("acknowledged alone, and the author left", dropped.count()),
        ("acknowledged strictly", strict.count()),
        ("found no majority", diary.found_no_majority.len()),
        ("owners of one name", diary.stays.len()),
        ("went to an owner who came later", of_an_owner_before(diary).count()),
        ("notices", found.notices.len()),
        ("given up", diary.given_up.len()),
        ("marked", diary.marked.len()),
        ("deleted", diary.deleted.len()),
        ("overtaken", diary.order.values().flatten().filter(|(_, it)| *it).count()),
        ("shown before they were confirmed", diary.shown_early.len()),
        ("withdrawn", diary.withdrawn.len()),
    ] {
        report.counts.insert(what.to_string(), count as u64);
    }
    for (what, count) in &diary.counts {
        report.counts.insert((*what).to_string(), *count);
    }
    super::judge_sessions::count(diary, found, report);
}
