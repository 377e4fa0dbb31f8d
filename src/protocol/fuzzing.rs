//! Fuzzing of everything that reads bytes from outside or from a disk.
//!
//! Every module hands its parsers real lines to [`fuzz`], which changes them as an
//! attacker, a bad disk or a newer program would, and calls the parser with the
//! result. A parser may refuse; it may not panic, nor believe what it would not
//! write. Each run is the same for the same seed. `FTCHAT_FUZZ_CASES` sets how
//! many cases each parser gets (2,000 unless told), `FTCHAT_FUZZ_SEED` another
//! beginning:
//!
//! ```text
//! FTCHAT_FUZZ_CASES=1000000 cargo test --profile campaign --lib fuzz
//! ```
//!
//! (a minute for most, much longer for those that write files: whole directories,
//! backups, kept sessions.)

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use serde::de::DeserializeOwned;

const CASES: u64 = 2_000;

/// Pieces that parsers are known to stumble over.
const PIECES: [&[u8]; 24] = [
    b"null",
    b"-1",
    b"0",
    b"1e999",
    b"18446744073709551615",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"1.5",
    b"\"\"",
    b"\"\\u0000\"",
    b"\"\\ud800\"",
    b"[]",
    b"{}",
    b"[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"\"id\":",
    b",",
    b"\\",
    b"\x00",
    b"\xff\xfe",
    b"\xc0\x80",
    b"\x1b[2J",
    b"\xe2\x80\xae",
    b"                ",
];

/// A generator of changes: xorshift64*, whose whole state is one number.
pub struct Changes(u64);

impl Changes {
    /// Changes that follow from a seed.
    pub fn new(seed: u64) -> Changes {
        // Zero would stay zero.
        Changes(seed | 1)
    }

    /// The next number below `end`, which is above zero.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let longest = (length - start).min(1 + self.below(40));
        start..start + longest
    }

    /// One line of the corpus, changed a few times.
    fn line(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut line = corpus[self.below(corpus.len())].clone();
        for _ in 0..1 + self.below(4) {
            self.change(&mut line, corpus);
        }
        line
    }

    fn change(&mut self, line: &mut Vec<u8>, corpus: &[Vec<u8>]) {
        let range = self.range(line.len());
        match self.below(9) {
            0 if !line.is_empty() => {
                let at = self.below(line.len());
                line[at] ^= 1 << self.below(8);
            }
            1 => drop(line.drain(range)),
            2 => {
                let again = line[range.clone()].to_vec();
                line.splice(range.start..range.start, again);
            }
            3 => {
                let piece = PIECES[self.below(PIECES.len())];
                line.splice(range, piece.iter().copied());
            }
            4 => line.truncate(range.start),
            5 => {
                let other = &corpus[self.below(corpus.len())];
                let theirs = self.range(other.len());
                line.splice(range, other[theirs].iter().copied());
            }
            6 => self.swap_value(line),
            7 => {
                // A number, larger or smaller than any that was meant.
                let digits = line.iter().position(u8::is_ascii_digit).unwrap_or(line.len());
                let many = b"9".repeat(1 + self.below(25));
                line.splice(digits..digits, many);
            }
            _ => {
                let deep = [b'[', b'{', b'"'][self.below(3)];
                let many = vec![deep; 1 + self.below(300)];
                line.splice(range.start..range.start, many);
            }
        }
    }

    /// Puts something else in the place of one value, so that the line stays
    /// JSON and the change reaches what reads its meaning.
    fn swap_value(&mut self, line: &mut Vec<u8>) {
        let starts: Vec<usize> =
            line.iter().enumerate().filter(|(_, b)| **b == b':').map(|(at, _)| at + 1).collect();
        if starts.is_empty() {
            return;
        }
        let start = starts[self.below(starts.len())];
        let rest = &line[start..];
        let mut values =
            serde_json::Deserializer::from_slice(rest).into_iter::<serde_json::Value>();
        if let Some(Ok(_)) = values.next() {
            let end = start + values.byte_offset();
            line.splice(start..end, PIECES[self.below(13)].iter().copied());
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a whole number")),
        Err(_) => default,
    }
}

/// Hands `parse` each line of the corpus as it is, then changed ones.
///
/// # Panics
/// When `parse` does, with the seed and the line.
pub fn fuzz(name: &str, corpus: &[Vec<u8>], mut parse: impl FnMut(&[u8])) {
    let seed = number("FTCHAT_FUZZ_SEED", 1);
    // Another beginning for each name.
    let mixed =
        name.bytes().fold(seed, |mix, byte| (mix ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut changes = Changes::new(mixed);
    let cases = number("FTCHAT_FUZZ_CASES", CASES);
    let changed = (0..cases).map(|_| changes.line(corpus));
    for (case, line) in corpus.iter().cloned().chain(changed).enumerate() {
        let parsed = catch_unwind(AssertUnwindSafe(|| parse(&line)));
        assert!(
            parsed.is_ok(),
            "{name}: case {case} of FTCHAT_FUZZ_SEED={seed} panicked on {:?}",
            String::from_utf8_lossy(&line)
        );
    }
}

/// [`reads_itself`] of some type.
pub type Reads = fn(&[u8]) -> serde_json::Result<()>;

/// Whether a line is a `T`; if so, what is written of it must read as the same.
///
/// # Errors
/// It is none.
///
/// # Panics
/// When it reads as another.
pub fn reads_itself<T: Serialize + DeserializeOwned>(line: &[u8]) -> serde_json::Result<()> {
    let value: T = serde_json::from_slice(line)?;
    let written = serde_json::to_vec(&value).expect("plain data serializes");
    let again: T = serde_json::from_slice(&written).expect("own form");
    assert_eq!(serde_json::to_vec(&again).expect("plain data serializes"), written);
    Ok(())
}

/// Hands real lines, each with its reader, to [`fuzz`], and every changed line to
/// all readers.
///
/// # Panics
/// When a reader does, or refuses its real line.
pub fn fuzz_readers(name: &str, readers: &[(String, Reads)]) {
    for (real, reads) in readers {
        reads(real.as_bytes()).unwrap_or_else(|error| panic!("{real}: {error}"));
    }
    let corpus = lines(readers.iter().map(|(real, _)| real));
    let mut read = 0;
    fuzz(name, &corpus, |line| {
        read += readers.iter().filter(|(_, reads)| reads(line).is_ok()).count();
    });
    assert!(read > readers.len(), "not all changes are so wild: {read} were read");
}

/// Lines of a corpus.
pub fn lines<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Vec<Vec<u8>> {
    lines.into_iter().map(|line| line.as_ref().to_vec()).collect()
}
