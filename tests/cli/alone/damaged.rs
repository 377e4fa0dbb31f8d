//! Lists of unconfirmed messages that are torn, broken, or not this server's; and a disk on
//! which no more of them fit.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{left_alone, left_behind, sent, thaw};
use crate::harness::faults::{self, Fault};
use crate::harness::place::random_id;
use crate::harness::running::json;
use crate::harness::{Cluster, Person, wait_for};

fn id(sent: &Value) -> String {
    sent["id"].as_str().expect("an id").to_string()
}

fn lists(outbox: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(outbox).expect("the folder");
    let mut lists: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    lists.sort();
    lists
}

/// A record as the files of a server have them.
fn record(payload: &str) -> String {
    let length = payload.len().to_string();
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(length.as_bytes());
    checksum.update(payload.as_bytes());
    let checksum = checksum.finalize();
    format!("{{\"length\":{length},\"crc32\":\"{checksum:08x}\",\"data\":{payload}}}\n")
}

/// The same list under another id, with another field in its header.
fn altered(lines: &str, field: &str, value: Value) -> (String, String) {
    let (header, entries) = lines.split_once('\n').expect("a header");
    let mut header = json(header)["data"].clone();
    let list = random_id();
    header["list"] = list.clone().into();
    header[field] = value;
    (list, record(&header.to_string()) + entries)
}

/// Waits until these messages are confirmed, and no others are there. Before, the server that
/// has them shows them alone.
fn await_confirmed(person: &Person<'_>, ids: &[String]) {
    wait_for("all that is whole is confirmed", || {
        let messages = person.messages();
        let confirmed = messages.iter().all(|message| message["confirmed"] == true);
        (confirmed && messages.iter().map(id).eq(ids.iter().cloned())).then_some(())
    });
}

/// Waits until the status of a server names a file, with these words.
fn await_named(cluster: &Cluster, file: &Path, words: &str) {
    let file = file.display().to_string();
    cluster.await_status(&format!("a status that names {file}"), |status| {
        let said = status.to_string();
        said.contains(&file) && said.contains(words)
    });
}

#[test]
fn a_torn_list_is_delivered_and_lists_of_others_are_named_and_in_the_way_until_they_are_moved() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let (left, frozen) = left_alone(&cluster);
    let mut expected: Vec<String> =
        ["one", "two", "three"].map(|text| id(&sent(&alice, &bob, text))).into();
    left_behind(&cluster, left, &frozen);
    let outbox = cluster.data_dir(left).join("outbox");
    let [list] = lists(&outbox).try_into().expect("one list");
    let whole = std::fs::read_to_string(&list).expect("its lines");
    // The next record, as far as it came onto the disk before the process was killed.
    let last = whole.lines().last().expect("an entry");
    std::fs::write(&list, format!("{whole}{}", &last[..last.len() / 2])).expect("its own file");
    let others = [("cluster", random_id().into()), ("format", 99.into())].map(|(field, value)| {
        let (list, lines) = altered(&whole, field, value);
        let path = outbox.join(format!("{list}.log"));
        std::fs::write(&path, &lines).expect("a file");
        (path, lines)
    });

    cluster.start(left);
    await_confirmed(&bob, &expected);
    await_named(&cluster, &others[0].0, "belongs to");
    await_named(&cluster, &others[1].0, "is of format 99");
    let away: Vec<u64> = (1..=3).filter(|id| *id != left).collect();
    let stop = rustix::process::Signal::STOP;
    away.iter().for_each(|id| cluster.signal(*id, stop));
    let in_doubt = random_id();
    let refuse = ["send", &bob.name, "refused", "--id", &in_doubt, "--timeout", "5s"];
    let refused = alice.does(&refuse);
    // A leader that is frozen may have been asked before: then it has it when it goes on.
    assert!(matches!(refused.code, Some(3 | 6)), "{refused:?}");
    assert!(refused.stderr.contains("accepts nothing without a majority"), "{refused:?}");
    cluster.run(&["status", "--check"]).end().code(3);
    for (path, lines) in &others {
        assert_eq!(&std::fs::read_to_string(path).expect("untouched"), lines);
        std::fs::remove_file(path).expect("moved away");
    }
    // Nobody tells it, and it goes on.
    expected.push(wait_for("a message that is taken again", || {
        let taken = alice.does(&["send", &bob.name, "four", "--json", "--timeout", "5s"]);
        (taken.code == Some(0)).then(|| id(&taken.json()))
    }));
    thaw(&cluster, &away);
    let mut there = bob.ids();
    there.retain(|id| refused.code == Some(3) || *id != in_doubt);
    assert_eq!(there, expected);
}

#[test]
fn of_a_broken_list_what_stands_before_the_damage_is_delivered_and_the_rest_is_kept_and_named() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let (left, frozen) = left_alone(&cluster);
    let taken = ["one", "two", "three"].map(|text| id(&sent(&alice, &bob, text)));
    left_behind(&cluster, left, &frozen);
    let outbox = cluster.data_dir(left).join("outbox");
    let [list] = lists(&outbox).try_into().expect("one list");
    let mut bytes = std::fs::read(&list).expect("its lines");
    let rotten = bytes.windows(3).position(|text| text == b"two").expect("a text");
    bytes[rotten] ^= 1;
    std::fs::write(&list, &bytes).expect("its own file");

    cluster.start(left);
    await_confirmed(&bob, &taken[..1]);
    let kept = list.with_extension("log.damaged");
    await_named(&cluster, &kept, "was found broken");
    assert_eq!(std::fs::read(&kept).expect("kept"), bytes);
    assert_eq!(cluster.run(&["status", "--check"]).end().code, Some(1), "somebody has to look");
    // What it holds is read from it, and sent once more under its id.
    let kept_lines = String::from_utf8(std::fs::read(&kept).expect("kept")).expect("text");
    for (line, id) in kept_lines.lines().skip(2).zip(&taken[1..]) {
        let entry = &json(line)["data"]["entry"];
        assert_eq!(entry["id"], id.as_str(), "{entry}");
        let text = entry["act"]["send"]["text"].as_str().expect("a text");
        alice.does(&["send", &bob.name, text, "--id", id]).ok();
    }
    assert_eq!(bob.ids(), taken);
    std::fs::remove_file(&kept).expect("moved away");
    cluster.await_status("nothing is wrong any more", |_| {
        cluster.run(&["status", "--check"]).end().code == Some(0)
    });
}

#[test]
fn a_full_disk_refuses_the_next_message_and_loses_none_that_was_accepted() {
    let cluster = Cluster::surviving_with(&[("LD_PRELOAD", faults::library())]);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let (left, frozen) = left_alone(&cluster);
    let mut expected = vec![id(&sent(&alice, &bob, "one"))];
    let folder = cluster.data_dir(left);
    faults::begin(&folder, Fault::Full);
    let next = random_id();
    let send =
        |limit: &str| alice.does(&["send", &bob.name, "two", "--id", &next, "--timeout", limit]);
    let refused = send("2s");
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(
        refused.stderr.contains("No space left") || refused.stderr.contains("full"),
        "{refused:?}"
    );
    assert_eq!(bob.does(&["inbox", "--peek", "--json"]).objects().len(), 1);
    faults::end(&folder, Fault::Full);
    expected.push(send("10s").ok().trim_end().to_string());
    thaw(&cluster, &frozen);
    assert_eq!(bob.ids(), expected);
}
