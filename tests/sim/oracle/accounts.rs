//! Accounts that come and go: who could be written to, and when.

use ftchat::error::ErrorCode;

use super::facts::{Facts, Life};
use super::{Call, Operation, Reply, name_of};

/// Checks that messages were accepted for accounts that may have been there, and
/// refused as "unknown account" only where one may have been missing.
pub(super) fn check(operations: &[Operation], facts: &Facts) -> Vec<String> {
    let mut wrong = Vec::new();
    for operation in operations {
        let (Call::Send { id, to, .. }, Some((ended, reply))) = (&operation.call, &operation.ended)
        else {
            continue;
        };
        // A repetition has the outcome of the first that was decided.
        let Some(began) = facts.messages.get(id).map(|fact| fact.began) else { continue };
        match reply {
            Reply::Sent { .. } => {
                for name in to {
                    let lives = lives_of(facts, name);
                    let may = |life: &&Life| life.register_began < *ended && life.deleted > began;
                    if !lives.is_empty() && !lives.iter().any(may) {
                        wrong.push(format!("{id} was accepted for {name}, who was not there"));
                    }
                }
            }
            Reply::Refused(ErrorCode::UnknownAccount) => {
                let must = |life: &&Life| life.registered < began && life.delete_began > *ended;
                let all = to.iter().all(|name| lives_of(facts, name).iter().any(must));
                if all {
                    wrong.push(format!("{id} was refused, but {to:?} were there all the time"));
                }
            }
            _ => {}
        }
    }
    wrong
}

/// All owners that a name had. None: nobody said when they came.
fn lives_of<'a>(facts: &'a Facts, name: &str) -> Vec<&'a Life> {
    let owners = facts.lives.range(name.to_string()..);
    owners
        .take_while(|(owner, _)| owner.starts_with(name))
        .filter(|(owner, _)| name_of(owner) == name)
        .map(|(_, life)| life)
        .collect()
}
