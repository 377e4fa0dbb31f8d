//! People who never stop talking while servers fail, and the count at the end.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::running::json;
use super::{Cluster, Output, Person, Run, wait_for};

/// Between two messages of somebody, so that tests share a machine. Nothing
/// depends on it.
const PACE: Duration = Duration::from_millis(15);

/// Somebody who sends message after message, each with a command of its own;
/// somebody who writes line after line into one `send --lines`; and the one
/// whom they write to, who runs `inbox` again and again. Every command has the
/// default time limit and must end with 0.
pub struct Steady<'a> {
    reader: Person<'a>,
    one_by_one: Person<'a>,
    by_lines: Person<'a>,
    progress: Arc<Progress>,
    /// Ids in the order in which they were acknowledged or printed.
    workers: Option<[JoinHandle<Vec<String>>; 3]>,
}

#[derive(Default)]
struct Progress {
    senders_stop: AtomicBool,
    reader_stops: AtomicBool,
    one_by_one_sent: AtomicUsize,
    lines_written: AtomicUsize,
    lines_sent: AtomicUsize,
    inboxes_read: AtomicUsize,
    failure: Mutex<Option<Output>>,
}

impl Progress {
    /// Keeps what went wrong first.
    fn fails(&self, output: Output) {
        self.failure.lock().expect("not poisoned").get_or_insert(output);
    }

    #[track_caller]
    fn check(&self) {
        let failure = self.failure.lock().expect("not poisoned").take();
        assert!(failure.is_none(), "a command did not end with 0: {failure:#?}");
    }
}

impl<'a> Steady<'a> {
    /// Three people who are new, at work.
    pub fn start(cluster: &'a Cluster) -> Steady<'a> {
        let [reader, one_by_one, by_lines] =
            ["reader", "one-by-one", "by-lines"].map(|name| cluster.person(name));
        let progress = Arc::new(Progress::default());
        let send = one_by_one.run(&["send", &reader.name]);
        let lines = by_lines.run(&["send", &reader.name, "--lines", "--json"]);
        let inbox = reader.run(&["inbox", "--json"]);
        let workers = [
            work(&progress, move |progress| send_one_by_one(&send, progress)),
            work(&progress, move |progress| send_lines(lines, progress)),
            work(&progress, move |progress| read(&inbox, progress)),
        ];
        let steady = Steady { reader, one_by_one, by_lines, progress, workers: Some(workers) };
        steady.goes_on();
        steady
    }

    /// Waits until messages are acknowledged that were sent after this call,
    /// and an inbox is read that was asked for after it.
    #[track_caller]
    pub fn goes_on(&self) {
        let now = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        // The first to end may have begun before.
        let sent = now(&self.progress.one_by_one_sent) + 2;
        let read = now(&self.progress.inboxes_read) + 2;
        let lines = now(&self.progress.lines_written) + 1;
        wait_for("messages that come and go", || {
            self.progress.check();
            let done = now(&self.progress.one_by_one_sent) >= sent
                && now(&self.progress.inboxes_read) >= read
                && now(&self.progress.lines_sent) >= lines;
            done.then_some(())
        });
    }

    /// Ends it, and counts: every acknowledged message is in the inbox once
    /// and was read once, in the order in which it was acknowledged, and
    /// nothing else is there.
    #[track_caller]
    pub fn all_arrived(mut self) {
        let [one_by_one, by_lines, read] = self.workers.take().expect("ends once");
        self.progress.senders_stop.store(true, Ordering::SeqCst);
        let one_by_one = joined(one_by_one);
        let by_lines = joined(by_lines);
        self.progress.reader_stops.store(true, Ordering::SeqCst);
        let read = joined(read);
        self.progress.check();

        let inbox = self.reader.messages();
        let from = |person: &Person<'_>| -> Vec<String> {
            inbox.iter().filter(|message| message["from"] == person.name.as_str()).map(id).collect()
        };
        assert_eq!(from(&self.one_by_one), one_by_one);
        assert_eq!(from(&self.by_lines), by_lines);
        assert_eq!(inbox.len(), one_by_one.len() + by_lines.len(), "somebody else wrote");
        assert!(inbox.is_sorted_by(|a, b| a["seq"].as_u64() < b["seq"].as_u64()), "{inbox:?}");
        assert_eq!(read, inbox.iter().map(id).collect::<Vec<_>>());
    }
}

impl Drop for Steady<'_> {
    fn drop(&mut self) {
        self.progress.senders_stop.store(true, Ordering::SeqCst);
        self.progress.reader_stops.store(true, Ordering::SeqCst);
        for worker in self.workers.take().into_iter().flatten() {
            // The test has failed already; this only leaves nothing behind.
            let _ = worker.join();
        }
    }
}

fn work(
    progress: &Arc<Progress>,
    job: impl FnOnce(&Progress) -> Vec<String> + Send + 'static,
) -> JoinHandle<Vec<String>> {
    let progress = progress.clone();
    std::thread::spawn(move || job(&progress))
}

fn joined(worker: JoinHandle<Vec<String>>) -> Vec<String> {
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn id(message: &Value) -> String {
    message["id"].as_str().expect("an id").to_string()
}

fn send_one_by_one(send: &Run, progress: &Progress) -> Vec<String> {
    let mut ids = Vec::new();
    while !progress.senders_stop.load(Ordering::SeqCst) {
        let sent = send.clone().and(&[&format!("message {}", ids.len())]).end();
        if sent.code != Some(0) {
            progress.fails(sent);
            break;
        }
        ids.push(sent.stdout.trim_end().to_string());
        progress.one_by_one_sent.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(PACE);
    }
    ids
}

fn send_lines(lines: Run, progress: &Progress) -> Vec<String> {
    let mut sender = lines.start();
    let mut ids = Vec::new();
    let (mut written, mut read_by_it) = (0, true);
    while read_by_it && !progress.senders_stop.load(Ordering::SeqCst) {
        // Counted before it is written, so that nobody waits for an earlier line.
        progress.lines_written.fetch_add(1, Ordering::SeqCst);
        read_by_it = sender.takes(&format!("line {written}\n"));
        written += usize::from(read_by_it);
        ids.extend(sender.printed().iter().map(|line| id(&json(line))));
        progress.lines_sent.store(ids.len(), Ordering::SeqCst);
        std::thread::sleep(PACE);
    }
    let ended = sender.end();
    ids.extend(ended.stdout.lines().map(|line| id(&json(line))));
    if ended.code != Some(0) || ids.len() != written {
        progress.fails(ended);
    }
    ids
}

/// Reads on until nobody sends any more, and then once again.
fn read(inbox: &Run, progress: &Progress) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let last = progress.reader_stops.load(Ordering::SeqCst);
        let read = inbox.clone().end();
        if read.code != Some(0) {
            progress.fails(read);
            return ids;
        }
        ids.extend(read.stdout.lines().map(|line| id(&json(line))));
        progress.inboxes_read.fetch_add(1, Ordering::SeqCst);
        if last {
            return ids;
        }
        std::thread::sleep(PACE);
    }
}
