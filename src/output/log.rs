//! A server's log: one event, one line, nothing that acts on a terminal.
//!
//! Names and addresses in a log may come from anybody. A newline among them would
//! forge an entry, and an escape sequence would act on the terminal of whoever reads
//! the log later. The subscriber hands over one whole event at a time, so every such
//! character but its last newline is made visible here.

use std::io::{self, Write};

use super::sanitize_bytes;

/// The form of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// For users.
    Text,
    /// One JSON object a line.
    Json,
}

/// Takes one event for each call of `write` and passes on one safe line.
pub struct LogWriter<W: Write> {
    out: W,
    form: LogForm,
}

impl<W: Write> LogWriter<W> {
    /// A writer to `out`.
    pub fn new(out: W, form: LogForm) -> LogWriter<W> {
        LogWriter { out, form }
    }
}

impl<W: Write> Write for LogWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        let mut safe = match self.form {
            LogForm::Text => sanitize_bytes(line),
            LogForm::Json => json_escape(&String::from_utf8_lossy(line)),
        };
        safe.push('\n');
        self.out.write_all(safe.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Escapes what [`super::sanitize()`] would, in JSON's own way. Outside of its
/// strings JSON has none of these characters but spaces, so it stays the same
/// object.
fn json_escape(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    for c in line.chars() {
        let mut buffer = [0; 4];
        if super::sanitize(c.encode_utf8(&mut buffer)).as_ref() == &*c.encode_utf8(&mut [0; 4]) {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);
    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str = "x\n2026 INFO forged \x1b[2J\u{202e}\u{e0041}";

    fn logged(form: LogForm) -> String {
        let buffer = Buffer::default();
        let out = buffer.clone();
        let builder = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || LogWriter::new(out.clone(), form));
        let event = || tracing::info!(name = %HOSTILE, "hello {HOSTILE}");
        match form {
            LogForm::Text => tracing::subscriber::with_default(builder.finish(), event),
            LogForm::Json => tracing::subscriber::with_default(builder.json().finish(), event),
        }
        String::from_utf8(buffer.0.lock().clone()).expect("text")
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        for form in [LogForm::Text, LogForm::Json] {
            let text = logged(form);
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(text.is_ascii() && !text.contains('\x1b'), "{text:?}");
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        let object: serde_json::Value = serde_json::from_str(&logged(LogForm::Json)).expect("JSON");
        assert_eq!(object["fields"]["name"], HOSTILE);
    }
}
