//! Running the program and looking at what it did.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::place::PROGRAM;
use super::{WAIT_MAX, wait_for};

/// A command line of the program, before it runs.
#[derive(Clone)]
pub struct Run {
    pub(super) arguments: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) wrapper: Vec<String>,
    program: String,
    stdin: Vec<u8>,
    limit: Duration,
}

impl Run {
    /// The program with these arguments and no other environment.
    pub fn new<S: AsRef<str>>(environment: &BTreeMap<String, String>, arguments: &[S]) -> Run {
        Run {
            arguments: arguments.iter().map(|argument| argument.as_ref().to_string()).collect(),
            environment: environment.clone(),
            wrapper: Vec::new(),
            program: PROGRAM.to_string(),
            stdin: Vec::new(),
            limit: WAIT_MAX,
        }
    }

    /// With this on standard input, which then ends.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Run {
        self.stdin = bytes.as_ref().to_vec();
        self
    }

    /// With this variable.
    pub fn env(mut self, name: &str, value: &str) -> Run {
        self.environment.insert(name.to_string(), value.to_string());
        self
    }

    /// With further arguments behind those there are.
    pub fn and<S: AsRef<str>>(mut self, arguments: &[S]) -> Run {
        self.arguments.extend(arguments.iter().map(|argument| argument.as_ref().to_string()));
        self
    }

    /// Run by another command, which ends with `exec "$@"` or the like.
    pub fn under<S: AsRef<str>>(mut self, wrapper: &[S]) -> Run {
        self.wrapper = wrapper.iter().map(|word| word.as_ref().to_string()).collect();
        self
    }

    /// By another version of the program.
    pub fn by(mut self, program: &str) -> Run {
        self.program = program.to_string();
        self
    }

    pub(super) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if hangup_is_ignored() {
            words.extend(["/usr/bin/env", "--default-signal=HUP"].map(String::from));
        }
        words.extend(self.wrapper.iter().cloned());
        words.push(self.program.clone());
        words.extend(self.arguments.iter().cloned());
        words
    }

    fn command(&self) -> Command {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(&self.environment);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it takes longer than [`WAIT_MAX`].
    pub fn end(self) -> Output {
        let line = self.arguments.join(" ");
        let started = Instant::now();
        let mut child = Killed(self.command().spawn().expect("the program starts"));
        let mut stdin = child.0.stdin.take().expect("piped");
        let input = self.stdin.clone();
        // The program may end without reading; then the pipe breaks.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = collect(child.0.stdout.take().expect("piped"));
        let stderr = collect(child.0.stderr.take().expect("piped"));
        let status = loop {
            if let Some(status) = child.0.try_wait().expect("our child") {
                break status;
            }
            assert!(started.elapsed() < self.limit, "`ftchat {line}` does not end");
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = started.elapsed();
        let text = |reader: JoinHandle<Vec<u8>>| {
            let bytes = reader.join().expect("reading does not panic");
            String::from_utf8(bytes).expect("the program writes UTF-8")
        };
        writer.join().expect("writing does not panic");
        Output { line, code: shell_code(status), stdout: text(stdout), stderr: text(stderr), took }
    }

    /// Starts it and goes on.
    pub fn start(self) -> Running {
        let line = self.arguments.join(" ");
        let mut child = Killed(self.command().spawn().expect("the program starts"));
        let stdin = child.0.stdin.take();
        let stdout = lines(child.0.stdout.take().expect("piped"));
        let stderr = lines(child.0.stderr.take().expect("piped"));
        Running { line, child, stdin, stdout, stderr }
    }
}

/// Whether a hangup is ignored here, as under nohup: programs inherit that, and ours does not
/// end by a hangup then.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    // The first bit is the first signal, which is SIGHUP.
    ignored.is_some_and(|set| set & 1 != 0)
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe");
        bytes
    })
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            // The test may have seen enough.
            if sender.send(line.expect("the program writes UTF-8")).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program at work.
pub struct Running {
    line: String,
    child: Killed,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

impl Running {
    /// The next line of standard output.
    pub fn line(&self) -> String {
        self.stdout.recv_timeout(WAIT_MAX).unwrap_or_else(|_| {
            let stderr: Vec<String> = self.stderr.try_iter().collect();
            panic!("`ftchat {}` prints nothing more; it said: {stderr:?}", self.line)
        })
    }

    /// The next line of standard output, a JSON object.
    pub fn json(&self) -> Value {
        json(&self.line())
    }

    /// The next line of standard error that holds `text`.
    pub fn said(&self, text: &str) -> String {
        loop {
            let line = self.stderr.recv_timeout(WAIT_MAX);
            let line =
                line.unwrap_or_else(|_| panic!("`ftchat {}` never says {text:?}", self.line));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The lines of standard output that are there by now.
    pub fn printed(&self) -> Vec<String> {
        self.stdout.try_iter().collect()
    }

    /// The lines of standard error that are there by now and that nobody has looked at.
    pub fn complained(&self) -> Vec<String> {
        self.stderr.try_iter().collect()
    }

    /// Writes to standard input. Returns whether the program still reads.
    pub fn takes(&mut self, text: &str) -> bool {
        self.stdin.as_mut().expect("not closed").write_all(text.as_bytes()).is_ok()
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.0.try_wait().expect("our child").is_some()
    }

    /// Writes to standard input.
    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("not closed");
        stdin.write_all(text.as_bytes()).expect("the program reads");
    }

    /// Ends standard input.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child.0), signal)
            .expect("our child, not yet waited for");
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Waits for its end, and for what it still has to say.
    pub fn end(mut self) -> Output {
        self.close();
        let started = Instant::now();
        let status = wait_for(&format!("the end of `ftchat {}`", self.line), || {
            self.child.0.try_wait().expect("our child")
        });
        let all = |from: &Receiver<String>| from.iter().map(|line| line + "\n").collect();
        Output {
            line: self.line.clone(),
            code: shell_code(status),
            stdout: all(&self.stdout),
            stderr: all(&self.stderr),
            took: started.elapsed(),
        }
    }
}

/// The exit code as a shell shows it, which counts a signal as 128 and its number.
pub fn shell_code(status: ExitStatus) -> Option<i32> {
    status.code().or(status.signal().map(|signal| 128 + signal))
}

/// What a command did.
#[derive(Debug)]
pub struct Output {
    /// Its arguments, for whoever reads a failure.
    #[expect(dead_code, reason = "shown by Debug")]
    line: String,
    /// Its exit code, as a shell counts: 128 and more when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Output {
    /// It must have ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Output {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// It must have succeeded. Returns standard output.
    #[track_caller]
    pub fn ok(self) -> String {
        self.code(0).stdout
    }

    /// It must have succeeded with one JSON object.
    #[track_caller]
    pub fn json(self) -> Value {
        json(&self.ok())
    }

    /// It must have succeeded with a JSON object a line.
    #[track_caller]
    pub fn objects(self) -> Vec<Value> {
        self.ok().lines().map(json).collect()
    }

    /// It must have failed with this exit code, nothing on standard output and
    /// one sentence on standard error that holds all of the words.
    #[track_caller]
    pub fn fails(self, code: i32, words: &[&str]) -> Output {
        let output = self.code(code);
        assert_eq!(output.stdout, "", "{output:#?}");
        let sentence = output.stderr.lines().last().unwrap_or_default();
        assert!(sentence.starts_with("ftchat: "), "{output:#?}");
        for word in words {
            assert!(sentence.contains(word), "no {word:?} in {output:#?}");
        }
        output
    }

    /// It must have failed with this exit code and, run with `--json`, this
    /// error code. Returns the error.
    #[track_caller]
    pub fn refused(self, code: i32, error_code: &str) -> Value {
        let output = self.code(code);
        let last = output.stderr.lines().last().unwrap_or_default();
        let value: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{output:#?}"));
        let error = &value["error"];
        assert_eq!(error["code"], error_code, "{output:#?}");
        assert!(error["message"].is_string() && error["retryable"].is_boolean(), "{output:#?}");
        error.clone()
    }
}

/// A text as one JSON object.
#[track_caller]
pub fn json(text: &str) -> Value {
    let value: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text:?}"));
    assert!(value.is_object(), "{text:?}");
    value
}
