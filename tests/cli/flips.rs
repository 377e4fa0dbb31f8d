//! Single bits that flip at rest, anywhere in the directory of a replica that
//! does not run: the real program, its real files.
//!
//! A round: one replica of three is frozen, whichever, the leader as well; one
//! bit of one of its files flips; it is killed; a message is sent; its server is
//! started. (Frozen first, so that nobody else runs its files when the bit
//! flips. Afterwards a survivor may try to.) Then it must be a caught-up voter with the state that the others have, and
//! give its reader, asked alone, exactly the messages that were acknowledged
//! since the last round. Where the flip must be noticed, its server has said so
//! with the file, and the line in a log, and has set the files aside.
//!
//! `cargo test` plays a few rounds on every kind of file. Any number, in
//! several clusters at once:
//!
//! ```text
//! FTCHAT_TEST_FLIPS=10000 FTCHAT_TEST_CLUSTERS=4 \
//!     cargo test --release --test cli flips:: -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::place::random_number;
use crate::harness::{Cluster, Person, wait_for};

/// Kinds of files, and whether a flip in one must be noticed. What is but a
/// hint is forgotten or written anew; `LOCK` is text for people.
const KINDS: [(&str, bool); 7] = [
    ("LOCK", false),
    ("identity.json", true),
    ("vote.json", true),
    ("committed.json", false),
    ("neighbours.json", false),
    ("log", true),
    ("snapshot", true),
];

/// Rounds on each kind of file without `FTCHAT_TEST_FLIPS`.
const ROUNDS_A_KIND: usize = 4;

fn from_environment(name: &str, otherwise: usize) -> usize {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => otherwise,
    }
}

/// What came of the rounds on one kind of file.
#[derive(Clone, Copy, Default)]
struct Tally {
    rounds: u32,
    noticed: u32,
    slowest: Duration,
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_and_repaired_and_nothing_is_lost() {
    let rounds = from_environment("FTCHAT_TEST_FLIPS", ROUNDS_A_KIND * KINDS.len());
    let clusters = from_environment("FTCHAT_TEST_CLUSTERS", 2);
    let next = AtomicUsize::new(0);
    let started = Instant::now();
    let play = || {
        let mut tallies = BTreeMap::<&str, Tally>::new();
        let flips = Flips::new();
        loop {
            let round = next.fetch_add(1, Ordering::Relaxed);
            if round >= rounds {
                flips.everything_is_there();
                return tallies;
            }
            let (kind, noticed, took) = flips.round(round);
            let tally = tallies.entry(kind).or_default();
            tally.rounds += 1;
            tally.noticed += u32::from(noticed);
            tally.slowest = tally.slowest.max(took);
            if round % 100 == 99 {
                print_now(&format!("{} rounds in {:?}", round + 1, started.elapsed()));
            }
        }
    };
    let mut all = BTreeMap::<&str, Tally>::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clusters).map(|_| scope.spawn(play)).collect();
        for thread in threads {
            for (kind, tally) in thread.join().expect("no round failed") {
                let sum = all.entry(kind).or_default();
                sum.rounds += tally.rounds;
                sum.noticed += tally.noticed;
                sum.slowest = sum.slowest.max(tally.slowest);
            }
        }
    });
    assert_eq!(all.values().map(|tally| tally.rounds as usize).sum::<usize>(), rounds);
    for (kind, Tally { rounds, noticed, slowest }) in all {
        print_now(&format!(
            "{kind}: {rounds} flips, {noticed} set aside, slowest back in {slowest:?}"
        ));
    }
}

/// Not through a macro: those are silent in a test that passes.
fn print_now(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A cluster whose bits flip, and two people.
struct Flips {
    cluster: Cluster,
    /// What was sent in all, and what the reader has not seen yet.
    sent: std::cell::RefCell<(Vec<String>, usize)>,
    sender: String,
    reader: String,
}

impl Flips {
    fn new() -> Flips {
        // Snapshots soon and small files, so that there are several of them.
        let cluster = Cluster::surviving_with(&[
            ("FTCHAT_LIMITS_SNAPSHOT_LOG_MIN_BYTES", "6000"),
            ("FTCHAT_LIMITS_LOG_ENTRIES_KEPT", "20"),
            ("FTCHAT_LIMITS_LOG_SEGMENT_MAX_BYTES", "4096"),
        ]);
        let [sender, reader] = ["sender", "reader"].map(|name| cluster.person(name).name);
        let flips = Flips { cluster, sent: Default::default(), sender, reader };
        let lines: String =
            (0..60).map(|n| format!("at first {n} {}\n", "x".repeat(200))).collect();
        let send = flips.sender().run(&["send", &flips.reader, "--lines"]).stdin(&lines);
        flips.note(&send.end().ok());
        flips.reader().does(&["inbox"]).ok();
        flips.sent.borrow_mut().1 = 60;
        wait_for("a snapshot on every replica", || {
            (1..=3)
                .all(|id| !files(&flips.cluster.data_dir(id), "snapshot").is_empty())
                .then_some(())
        });
        flips
    }

    fn sender(&self) -> Person<'_> {
        self.cluster.known(&self.sender)
    }

    fn reader(&self) -> Person<'_> {
        self.cluster.known(&self.reader)
    }

    fn note(&self, ids: &str) {
        self.sent.borrow_mut().0.extend(ids.lines().map(str::to_string));
    }

    fn send(&self, text: &str) {
        let sent = self.sender().does(&["send", &self.reader, text]);
        self.note(&sent.ok());
    }

    /// A round on a kind of file that goes by its number: on which kind it was,
    /// whether the flip was noticed, how long the replica took to return.
    fn round(&self, number: usize) -> (&'static str, bool, Duration) {
        let id = 1 + random_number() % 3;
        let folder = self.cluster.data_dir(id);
        self.cluster.signal(id, Signal::STOP);
        for old in folders_set_aside(&folder) {
            std::fs::remove_dir_all(old).expect("a folder that nobody needs");
        }
        let server_log = PathBuf::from(format!("{}.log", folder.display()));
        let said_before = std::fs::read(&server_log).expect("a log").len();
        // Hints are not always there: then it is the turn of the next kind.
        let mut kinds = KINDS.iter().cycle().skip(number % KINDS.len());
        let (kind, must_be_noticed) = *kinds
            .find(|(kind, _)| !files(&folder, kind).is_empty())
            .expect("a directory has files");
        let flip = Flip::somewhere(&folder, kind);

        self.cluster.crash(id);
        wait_for("the end of a server", || self.cluster.server(id).is_none().then_some(()));
        self.send("while one is down");

        let started = Instant::now();
        self.comes_back(id, &flip);
        let took = started.elapsed();

        let said = std::fs::read(&server_log).expect("a log").split_off(said_before);
        let said = String::from_utf8_lossy(&said);
        let noticed = !folders_set_aside(&folder).is_empty();
        // A survivor that ran it meanwhile may have replaced what was wrong.
        let replaced = !noticed && said.contains("while another ran it");
        assert!(noticed == must_be_noticed || replaced, "{flip:?} on replica {id}: {said}");
        if noticed {
            let name = flip.path.file_name().expect("a name").to_string_lossy();
            assert!(said.contains(&*name), "{flip:?} is not named in: {said}");
            let line = format!("line {} ", flip.line);
            assert!(kind != "log" || said.contains(&line), "{flip:?} is not named in: {said}");
        }
        self.send("now that it is back");
        self.reads_what_was_sent(id, &flip);
        (kind, noticed, took)
    }

    /// Starts its server and waits, for at most a minute, until the replica is
    /// a voter again with the state of the others.
    fn comes_back(&self, id: u64, flip: &Flip) {
        let start = ["start", &id.to_string(), "--timeout", "20s"];
        wait_for("a server that has its port", || {
            let started = self.cluster.admin(&start).end();
            // A process that is killed gives its port back a moment after
            // everything else, when nobody can tell any more whose it was.
            (!started.stderr.contains("is taken by another")).then_some(())
        });
        let whole = || drop(self.cluster.await_whole());
        for _ in 0..2 {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(whole)).is_ok() {
                return;
            }
        }
        panic!("{flip:?} on replica {id}: {}", self.logs());
    }

    /// The last that every server said.
    fn logs(&self) -> String {
        self.cluster.admin(&["logs", "-n", "60"]).end().stdout
    }

    /// The replica, asked alone, serves what is new, and nothing else.
    fn reads_what_was_sent(&self, id: u64, flip: &Flip) {
        let address = &self.cluster.addresses()[id as usize - 1];
        let inbox = self.reader().does(&["inbox", "--json", "--servers", address]).objects();
        let ids: Vec<&str> = inbox.iter().filter_map(|message| message["id"].as_str()).collect();
        let (sent, seen) = &mut *self.sent.borrow_mut();
        assert_eq!(ids, sent[*seen..], "after {flip:?} on replica {id}");
        *seen = sent.len();
    }

    fn everything_is_there(&self) {
        assert_eq!(self.reader().ids(), self.sent.borrow().0);
    }
}

/// One bit that was changed.
#[derive(Debug)]
struct Flip {
    path: PathBuf,
    /// The line of the file that it is in, from 1.
    line: usize,
    #[expect(dead_code, reason = "shown by Debug")]
    at: u64,
    #[expect(dead_code, reason = "shown by Debug")]
    bit: u64,
}

impl Flip {
    /// Flips a random bit of a random file of a kind.
    fn somewhere(folder: &Path, kind: &str) -> Flip {
        let files = files(folder, kind);
        let path = files[random_number() as usize % files.len()].clone();
        let mut bytes = std::fs::read(&path).expect("a file");
        let at = random_number() % bytes.len() as u64;
        let bit = random_number() % 8;
        let line = bytes[..at as usize].iter().filter(|byte| **byte == b'\n').count() + 1;
        bytes[at as usize] ^= 1 << bit;
        std::fs::write(&path, bytes).expect("a file");
        Flip { path, line, at, bit }
    }
}

/// The files of a kind that are not empty.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let path = folder.join(kind);
    let files = match path.is_dir() {
        false => vec![path],
        true => {
            let entries = std::fs::read_dir(&path).expect("a folder");
            let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
            // One that was being written when its server was killed is removed.
            files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
            files
        }
    };
    let is_something = |file: &PathBuf| file.metadata().is_ok_and(|metadata| metadata.len() > 0);
    files.into_iter().filter(is_something).collect()
}

fn folders_set_aside(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_set_aside = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("damaged-"))
    };
    paths.filter(is_set_aside).collect()
}
