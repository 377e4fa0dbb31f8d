//! Sessions that end: whoever knows it takes nothing more with them, and of what was taken all
//! the same nothing is lost in silence.

use super::diary::{Diary, Ended, WithSession};
use super::judge::Found;
use crate::cluster::Report;

/// Judges a world's sessions.
pub fn judge(diary: &Diary, found: &Found<'_>, wrong: &mut Vec<String>) {
    for it in &diary.with_sessions {
        let Some(sent) = &it.sent else { continue };
        let id = &it.id;
        let there = found.is_there(id) || diary.deleting.contains(id);
        match (sent.confirmed, found.notices(id)) {
            (true, 0) | (false, 0) if there => {}
            (false, 1) if !found.is_there(id) => {}
            (_, notices) => wrong
                .push(format!("what a session sent has {notices} notices, there: {there}: {it:?}")),
        }
        match ended_before(diary, it) {
            Some(Ended::ForAll) if sent.confirmed => {
                wrong
                    .push(format!("a majority took it, and knew that its session is over: {it:?}"));
            }
            Some(Ended::ForAll) if found.is_there(id) => {
                wrong.push(format!("it was delivered after its session was over: {it:?}"));
            }
            Some(Ended::At(server)) if server == it.at => {
                wrong.push(format!("its session was over at the server that took it: {it:?}"));
            }
            _ => {}
        }
    }
}

/// How its session had ended when it was asked for.
fn ended_before(diary: &Diary, it: &WithSession) -> Option<Ended> {
    let (at, how) = diary.sessions[it.session].ended?;
    (at < it.asked).then_some(how)
}

pub fn count(diary: &Diary, found: &Found<'_>, report: &mut Report) {
    let ended = |how: fn(Ended) -> bool| {
        let sessions = diary.sessions.iter();
        sessions.filter(|it| it.ended.is_some_and(|(_, ended)| how(ended))).count()
    };
    let taken = diary.with_sessions.iter().filter(|it| it.sent.is_some());
    let after = taken.clone().filter(|it| ended_before(diary, it) == Some(Ended::ForAll));
    for (what, count) in [
        ("sessions ended for all", ended(|how| how == Ended::ForAll)),
        ("sessions ended alone", ended(|how| matches!(how, Ended::At(_)))),
        ("taken after its session was over", after.count()),
        ("notices of ended sessions", taken.filter(|it| found.notices(&it.id) > 0).count()),
    ] {
        report.counts.insert(what.to_string(), count as u64);
    }
}
