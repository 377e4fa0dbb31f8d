//! What happened, as lines to read and as one number.
//!
//! Every event of a world passes through [`Trace::event`]. The running hash
//! over all of them is the digest by which two runs of one seed are compared;
//! the last lines are kept and shown when a seed fails. Details (what was on
//! the wire, what the program logged) are kept only when asked for, and never
//! enter the digest, so that looking closer does not change the history.

use std::collections::VecDeque;
use std::fmt;

/// Digest of everything that happened in a world, comparable between runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceDigest {
    /// Number of events.
    pub events: u64,
    /// [`fnv`] over their lines.
    pub hash: u64,
}

impl fmt::Display for TraceDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} over {} events", self.hash, self.events)
    }
}

/// How much of a trace is kept.
#[derive(Clone, Copy, Debug)]
pub struct TraceOptions {
    /// Lines kept; older ones go.
    pub lines_max: usize,
    /// Keep details too.
    pub details: bool,
}

impl Default for TraceOptions {
    fn default() -> Self {
        TraceOptions { lines_max: 400, details: false }
    }
}

/// The trace of one world.
pub struct Trace {
    options: TraceOptions,
    digest: TraceDigest,
    lines: VecDeque<String>,
}

impl Trace {
    /// An empty trace.
    pub fn new(options: TraceOptions) -> Self {
        let digest = TraceDigest { events: 0, hash: 0xcbf2_9ce4_8422_2325 };
        Trace { options, digest, lines: VecDeque::new() }
    }

    /// Whether details are kept; making them costs time.
    pub fn wants_details(&self) -> bool {
        self.options.details
    }

    /// Records an event at a simulated instant.
    pub fn event(&mut self, now_us: u64, event: fmt::Arguments<'_>) {
        let line = format!("{:>11.3} ms  {event}", now_us as f64 / 1000.0);
        self.digest.events += 1;
        self.digest.hash = fnv(self.digest.hash, line.as_bytes());
        self.keep(line);
    }

    /// Keeps a line that is no event, if details are wanted.
    pub fn detail(&mut self, now_us: u64, detail: fmt::Arguments<'_>) {
        if self.options.details {
            self.keep(format!("{:>11.3} ms      | {detail}", now_us as f64 / 1000.0));
        }
    }

    fn keep(&mut self, line: String) {
        if self.lines.len() >= self.options.lines_max {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The digest so far.
    pub fn digest(&self) -> TraceDigest {
        self.digest
    }

    /// The lines that were kept, the latest last.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

/// A hash in the manner of FNV-1a, eight bytes at a time, continued from
/// `hash`: enough to tell two histories apart, and the same in every process,
/// which the standard hasher does not promise.
pub fn fnv(hash: u64, bytes: &[u8]) -> u64 {
    let mix =
        |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(hash, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    // The length, so that zeros at the end count.
    mix(mix(hash, u64::from_le_bytes(last)), bytes.len() as u64)
}

/// Bytes as they appear in a detail: a readable beginning.
pub fn excerpt(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(300)];
    let text = String::from_utf8_lossy(shown).escape_debug().to_string();
    if shown.len() < bytes.len() { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_change_what_is_shown_and_not_the_digest() {
        let run = |details| {
            let mut trace = Trace::new(TraceOptions { lines_max: 2, details });
            trace.event(1_000, format_args!("first"));
            trace.detail(1_000, format_args!("more"));
            trace.event(2_000, format_args!("second"));
            (trace.digest(), trace.lines().map(String::from).collect::<Vec<_>>())
        };
        let ((plain, few), (detailed, more)) = (run(false), run(true));
        assert_eq!(plain, detailed);
        assert_eq!(plain.events, 2);
        assert!(few[0].ends_with("first") && more[0].ends_with("| more"), "{few:?} {more:?}");
    }
}
