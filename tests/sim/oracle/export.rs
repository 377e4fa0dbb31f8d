//! Histories for checkers that are no part of this program.
//!
//! ```text
//! FTCHAT_SIM_HISTORIES=folder FTCHAT_SIM_SEEDS=100 cargo test --test sim -- campaign
//! ```
//!
//! writes one file for each world, `recipe-seed.jsonl`, in the manner of Jepsen: one
//! JSON object a line, in the order in which things happened.
//!
//! ```text
//! {"time":17,"process":4,"type":"invoke","f":"send","value":{"id":"…","from":"alice","to":["bob"]}}
//! {"time":19,"process":4,"type":"ok","f":"send","value":{"seq":5}}
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `time` | place among all beginnings and ends; a client's process has one operation |
//! | `type` | `invoke`; then `ok`, `fail` (nothing was done, ever) or `info` (nobody knows: it may have an effect at any time after its beginning, or none) |
//! | `f` | `send`, `read`, `mark`, `delete`, `register`, `delete-account` |
//! | `value` | what was asked for and answered, see below |
//! | `error` | of `fail`: the code of the refusal |
//!
//! A `send` answers its place `seq` in the one order of all messages; the same `id`
//! again is the same message, with the place of the first. `line` says which place it
//! has among the lines of a `stream`, which must not overtake each other. A `read` asks
//! for the messages of an `owner` after some `seq`, all, unread or sent ones, at most
//! `limit`, from one sender (`from`) or of a time (`since`) only; it answers with those
//! in the order of `seq` and whether `more` follow after the last. A `mark` makes
//! messages read, by `seq`; a `delete` takes one out of an inbox. Owners are names, or
//! `name#number` where a name was given again to somebody else.

use std::io::{BufWriter, Result, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Call, Operation, Reply, Seen};

/// Where histories are wanted, if anywhere.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os("FTCHAT_SIM_HISTORIES").map(PathBuf::from)
}

/// Writes a history; see the head of this file.
///
/// # Errors
/// When the file cannot be made or written.
pub fn write(folder: &Path, name: &str, operations: &[Operation]) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = BufWriter::new(std::fs::File::create(folder.join(format!("{name}.jsonl")))?);
    for (_, line) in events(operations) {
        writeln!(file, "{line}")?;
    }
    file.flush()
}

/// All beginnings and ends, by their time. What never ended is in doubt at the end.
fn events(operations: &[Operation]) -> Vec<(u64, Value)> {
    let mut events = Vec::with_capacity(2 * operations.len());
    for (process, operation) in operations.iter().enumerate() {
        let (f, asked) = asked(&operation.call);
        let event = |time: u64, kind: &str, value: Value| json!({"time": time, "process": process, "type": kind, "f": f, "value": value});
        events.push((operation.began, event(operation.began, "invoke", asked.clone())));
        let end = match &operation.ended {
            None => (u64::MAX, event(u64::MAX, "info", asked)),
            Some((time, Reply::Unknown)) => (*time, event(*time, "info", asked)),
            Some((time, Reply::Refused(code))) => {
                let mut refused = event(*time, "fail", asked);
                refused["error"] = code.as_str().into();
                (*time, refused)
            }
            Some((time, reply)) => (*time, event(*time, "ok", answered(reply))),
        };
        events.push(end);
    }
    events.sort_by_key(|(time, _)| *time);
    events
}

fn asked(call: &Call) -> (&'static str, Value) {
    match call {
        Call::Send { id, from, to, text: _, line } => {
            let mut value = json!({"id": id, "from": from, "to": to});
            if let Some(line) = line {
                value["line"] = json!({"stream": line.stream, "number": line.number, "of": format!("{:?}", line.of)});
            }
            ("send", value)
        }
        Call::Read { owner, query } => ("read", json!({"owner": owner, "query": query})),
        Call::Mark { owner, seqs } => ("mark", json!({"owner": owner, "seqs": seqs})),
        Call::Delete { owner, id } => ("delete", json!({"owner": owner, "id": id})),
        Call::Register { owner } => ("register", json!({"owner": owner})),
        Call::SetBounds {} => ("set-bounds", json!({})),
        Call::DeleteAccount { owner } => ("delete-account", json!({"owner": owner})),
    }
}

fn answered(reply: &Reply) -> Value {
    match reply {
        Reply::Sent { seq, .. } => json!({"seq": seq}),
        Reply::Page { messages, more } => {
            let message =
                |it: &Seen| json!({"id": it.id, "seq": it.seq, "from": it.from, "read": it.read});
            let messages: Vec<Value> = messages.iter().map(message).collect();
            json!({"messages": messages, "more": more})
        }
        Reply::Marked { count } => json!({"count": count}),
        Reply::Deleted | Reply::Registered | Reply::Refused(_) | Reply::Unknown => json!({}),
    }
}
