//! The program at a real terminal: a pseudo-terminal that controls it, so that
//! `/dev/tty`, echo and Ctrl-C are what they are for a person.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::process::Child;
use std::sync::{Arc, Mutex};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

use super::running::shell_code;
use super::{Run, wait_for};

/// The program at a terminal of 30 rows and 120 columns.
pub struct Terminal {
    line: String,
    pty: Arc<Pty>,
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    /// How much of what was shown has been waited for.
    seen: usize,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    /// Starts a command at a terminal.
    pub fn start(run: Run) -> Terminal {
        let (pty, pts) = open().expect("a pseudo-terminal");
        pty.resize(Size::new(30, 120)).expect("a size");
        let words = run.words();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .envs(&run.environment)
            .spawn(pts)
            .expect("the program starts");
        let (pty, shown) = (Arc::new(pty), Arc::new(Mutex::new(Vec::new())));
        let (from, to) = (pty.clone(), shown.clone());
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                match (&*from).read(&mut buffer) {
                    Ok(0) => return,
                    Ok(count) => to.lock().expect("not poisoned").extend(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // Linux says EIO when the last process has left the terminal.
                    Err(_) => return,
                }
            }
        });
        let line = run.arguments.join(" ");
        Terminal { line, pty, child, shown, seen: 0, reader: Some(reader) }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("not poisoned")).into_owned()
    }

    /// Waits until `text` is shown behind what was waited for before.
    #[track_caller]
    pub fn await_text(&mut self, text: &str) {
        let what = format!("{text:?} of `ftchat {}`", self.line);
        let seen = self.seen;
        self.seen = wait_for(&what, || {
            let shown = self.shown();
            shown.get(seen..)?.find(text).map(|at| seen + at + text.len())
        });
    }

    /// Whether what is typed appears on the screen.
    pub fn echoes(&self) -> bool {
        let modes = tcgetattr(self.pty.as_fd()).expect("a terminal").local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// Waits for a prompt that hides what is typed.
    #[track_caller]
    pub fn await_secret_prompt(&mut self, text: &str) {
        self.await_text(text);
        wait_for("a terminal without echo", || (!self.echoes()).then_some(()));
    }

    /// Signals the program that a shell runs at this terminal.
    pub fn signal_program(&self, signal: Signal) {
        let own = self.child.id().to_string();
        let children = format!("/proc/{own}/task/{own}/children");
        let children = std::fs::read_to_string(children).expect("the shell runs");
        for pid in children.split_whitespace() {
            let pid = pid.parse().ok().and_then(Pid::from_raw).expect("a process id");
            kill_process(pid, signal).expect("a child of the shell");
        }
    }

    /// Types.
    pub fn keys(&mut self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Waits for the end. Returns the exit code and everything that was shown.
    pub fn end(mut self) -> (Option<i32>, String) {
        let what = format!("the end of `ftchat {}`", self.line);
        let status = wait_for(&what, || self.child.try_wait().expect("our child"));
        self.reader.take().expect("ends once").join().expect("reading does not panic");
        (shell_code(status), self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
