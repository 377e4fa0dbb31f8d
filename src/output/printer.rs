//! One value in three forms, and everything that goes to standard error.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;

use anstream::AutoStream;
use serde::Serialize;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use super::{Progress, Style, Tone, sanitize};
use crate::config::ColorChoice;
use crate::error::{Error, ErrorBody, ErrorCode, Result};
use crate::types::Uuid;

/// A result that can be shown. With `--json` it is serialized as one object.
pub trait Show: Serialize {
    /// For a user at a terminal.
    ///
    /// # Errors
    /// Those of the stream.
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()>;

    /// For a pipe: lines of tab-separated fields, no header.
    ///
    /// # Errors
    /// Those of the stream.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()>;

    /// What has been done already, as the beginning of a sentence, if the value
    /// reports a change. It is printed when the value itself cannot be written, lest
    /// the command is taken for one that did nothing.
    fn outcome(&self) -> Option<String> {
        None
    }
}

/// Where output goes. Tests put buffers in place of the process's streams.
pub struct Streams {
    /// Standard output.
    pub out: Box<dyn Write + Send>,
    /// Standard error.
    pub err: Box<dyn Write + Send>,
    /// Whether a user looks at standard output.
    pub out_is_terminal: bool,
    /// Whether a user looks at standard error.
    pub err_is_terminal: bool,
    /// Whether to write colour to standard output.
    pub out_color: bool,
    /// Whether to write colour to standard error.
    pub err_color: bool,
}

#[cfg(test)]
impl Streams {
    /// What a pipe gets: no terminal, no colour.
    pub fn piped(out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Streams {
        let (out_is_terminal, err_is_terminal, out_color, err_color) = Default::default();
        Streams { out, err, out_is_terminal, err_is_terminal, out_color, err_color }
    }
}

/// Prints what commands have to say; see the head of this module.
pub struct Printer {
    json: bool,
    quiet: bool,
    streams: Streams,
    operation: Option<Uuid>,
    /// What the value that was printed last has to say; see [`Show::outcome`].
    outcome: Option<String>,
    /// Why standard output takes nothing more.
    lost: Option<Lost>,
    /// Whether the streams are those of the process.
    own_streams: bool,
}

struct Lost {
    /// Its reader is gone.
    pipe_closed: bool,
    error: Error,
}

impl Printer {
    /// A printer on the process's own streams.
    pub fn new(json: bool, quiet: bool, color: ColorChoice) -> Printer {
        let choice = match color {
            ColorChoice::Auto => None,
            ColorChoice::Always => Some(true),
            ColorChoice::Never => Some(false),
        };
        // Looks at the terminal, NO_COLOR, CLICOLOR and TERM.
        let wanted = |found: anstream::ColorChoice| {
            choice.unwrap_or(!matches!(found, anstream::ColorChoice::Never))
        };
        let streams = Streams {
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
            out_color: wanted(AutoStream::choice(&io::stdout())),
            err_color: wanted(AutoStream::choice(&io::stderr())),
            out: Box::new(BufWriter::new(io::stdout())),
            err: Box::new(io::stderr()),
        };
        Printer { own_streams: true, ..Printer::with_streams(json, quiet, streams) }
    }

    /// A printer on other streams.
    pub fn with_streams(json: bool, quiet: bool, streams: Streams) -> Printer {
        Printer {
            json,
            quiet,
            streams,
            operation: None,
            outcome: None,
            lost: None,
            own_streams: false,
        }
    }

    /// Whether results are JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether results are laid out for a user: a terminal, and no JSON.
    pub fn on_terminal(&self) -> bool {
        self.streams.out_is_terminal && !self.json
    }

    /// Names the operation that the command is about to ask for: an
    /// `outcome_unknown` error then carries it as `id`.
    pub fn set_operation(&mut self, id: Uuid) {
        self.operation = Some(id);
    }

    /// Prints one result. Off a terminal it may stay in a buffer until
    /// [`Printer::flush`].
    ///
    /// Output that cannot be written is no reason to leave undone what was asked for, so
    /// this never fails. The rest of the output is passed over, and `flush` reports it, to
    /// commands that work for the output alone, and at the end.
    pub fn show(&mut self, value: &impl Show) {
        self.outcome = value.outcome();
        if self.lost.is_some() {
            return;
        }
        let out = &mut *self.streams.out;
        let written = if self.json {
            serde_json::to_writer(&mut *out, value)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
        } else if self.streams.out_is_terminal {
            let columns = self.own_streams.then(columns).flatten();
            let style = Style { color: self.streams.out_color, columns };
            value.terminal(out, style).and_then(|()| out.flush())
        } else {
            value.plain(out)
        };
        self.note(written);
    }

    /// The same, and hands it to the operating system at once.
    pub fn show_now(&mut self, value: &impl Show) {
        self.show(value);
        // A command that needs the result asks for it.
        let _ = self.flush();
    }

    /// The same for one of many by a command that does nothing but list them.
    ///
    /// # Errors
    /// Those of [`Printer::flush`], as soon as they are known: then the rest of
    /// the list is of no use.
    pub fn list(&mut self, value: &impl Show) -> Result<()> {
        self.show(value);
        match &self.lost {
            None => Ok(()),
            Some(lost) => Err(lost.error.clone()),
        }
    }

    /// Prints text that is a result by itself and is made by this program, such
    /// as a completion script. Never fails, as [`Printer::show`].
    pub fn raw(&mut self, text: &str) {
        if self.lost.is_none() {
            let written = self.streams.out.write_all(text.as_bytes());
            self.note(written);
        }
    }

    /// Hands everything printed to the operating system.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] if anything that was printed until now is lost; see
    /// [`Printer::pipe_closed`].
    pub fn flush(&mut self) -> Result<()> {
        if self.lost.is_none() {
            let written = self.streams.out.flush();
            self.note(written);
        }
        match &self.lost {
            None => Ok(()),
            Some(lost) => Err(lost.error.clone()),
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        let Err(error) = written else { return };
        let message = match &self.outcome {
            Some(outcome) => format!("{outcome}, but that cannot be written: {error}"),
            None => format!("cannot write to standard output: {error}"),
        };
        self.lost = Some(Lost {
            pipe_closed: error.kind() == ErrorKind::BrokenPipe,
            error: Error::new(ErrorCode::Io, message),
        });
    }

    /// Whether the reader of our output is gone.
    ///
    /// `ftchat inbox | head -1` is no mistake of anybody's, so it must neither
    /// complain nor look like a failure to a script with `pipefail`: like
    /// ripgrep, the program ends quietly, and as it would have ended otherwise.
    /// (Rust ignores SIGPIPE, which would have ended it without a word in the
    /// middle of a request.)
    pub fn pipe_closed(&self) -> bool {
        self.lost.as_ref().is_some_and(|lost| lost.pipe_closed)
    }

    /// Whether an error is that of [`Printer::flush`] after the reader of our
    /// output has gone.
    pub fn is_closed_pipe(&self, error: &Error) -> bool {
        self.lost.as_ref().is_some_and(|lost| lost.pipe_closed && lost.error == *error)
    }

    /// Notices when the reader of our output goes, also while nothing is written
    /// that would fail.
    pub fn reader(&self) -> Reader {
        let watch = || {
            let pipe = io::stdout().as_fd().try_clone_to_owned().ok()?;
            // Nothing is written here, so it may be one that blocks. A file has no
            // reader that could go, and cannot be watched.
            Sender::from_owned_fd_unchecked(pipe).ok()
        };
        Reader(self.own_streams.then(watch).flatten())
    }

    /// Notes that [`Reader::left`] has resolved.
    pub fn reader_left(&mut self) {
        if self.lost.is_none() {
            self.note(Err(ErrorKind::BrokenPipe.into()));
        }
    }

    /// Tells a user something beside the result, unless `--quiet`.
    pub fn notice(&mut self, text: &str) {
        if !self.quiet {
            self.print_aside(&sanitize(text));
        }
    }

    /// The same, but only to a user who looks at standard error: a script has it in the
    /// result.
    pub fn remark(&mut self, text: &str) {
        if self.streams.err_is_terminal {
            self.notice(text);
        }
    }

    /// Reports a failure: a sentence, or one object with `--json`.
    pub fn error(&mut self, error: &Error) {
        if self.json {
            let id = self.operation.filter(|_| error.code == ErrorCode::OutcomeUnknown);
            let object = Failed { error: FailedBody { body: error.clone().into(), id } };
            let line = serde_json::to_string(&object).expect("plain data serializes");
            return self.print_aside(&line);
        }
        let style = Style { color: self.streams.err_color, columns: None };
        let name = style.paint(Tone::Bad, "ftchat:");
        self.print_aside(&format!("{name} {}", sanitize(&error.message)));
    }

    fn print_aside(&mut self, line: &str) {
        // Results come before notices about them. A lost result is reported at the end,
        // and nothing depends on a notice that cannot be written.
        let _ = self.flush();
        let _ = writeln!(self.streams.err, "{line}");
    }

    /// A progress bar over `total` steps (`None`: not known), on a terminal
    /// only and not with `--quiet` or `--json`; else one that shows nothing.
    pub fn progress(&self, what: &str, total: Option<u64>) -> Progress {
        let visible = self.streams.err_is_terminal && !self.quiet && !self.json;
        Progress::new(visible, what, total)
    }
}

/// How wide the terminal is now; its window may change at any time.
fn columns() -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(io::stdout()).ok()?.ws_col;
    (columns > 0).then_some(usize::from(columns))
}

/// The reader of our output; see [`Printer::reader`].
pub struct Reader(Option<Sender>);

impl Reader {
    /// Returns once the reading end of the pipe is closed. Where there is none,
    /// never. May be dropped and called again.
    pub async fn left(&self) {
        if let Some(pipe) = &self.0
            && pipe.ready(Interest::ERROR).await.is_ok_and(|ready| ready.is_error())
        {
            return;
        }
        std::future::pending().await
    }
}

#[derive(Serialize)]
struct Failed {
    error: FailedBody,
}

#[derive(Serialize)]
struct FailedBody {
    #[serde(flatten)]
    body: ErrorBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sync::Mutex;
    use std::sync::Arc;

    /// A stream that keeps what is written.
    #[derive(Clone, Default)]
    pub struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Buffer {
        pub fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).expect("UTF-8")
        }
    }

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A stream whose reader is gone.
    pub struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(ErrorKind::BrokenPipe.into())
        }
    }

    fn printer(json: bool, quiet: bool, terminal: bool) -> (Printer, Buffer, Buffer) {
        let (out, err) = (Buffer::default(), Buffer::default());
        let streams = Streams {
            out_is_terminal: terminal,
            err_is_terminal: terminal,
            out_color: terminal,
            ..Streams::piped(Box::new(out.clone()), Box::new(err.clone()))
        };
        (Printer::with_streams(json, quiet, streams), out, err)
    }

    #[derive(Serialize)]
    struct Word {
        word: &'static str,
    }

    impl Show for Word {
        fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
            writeln!(out, "{}", style.paint(Tone::Strong, &sanitize(self.word)))
        }
        fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
            writeln!(out, "{}", sanitize(self.word))
        }
    }

    #[test]
    fn a_result_takes_the_form_of_its_reader() {
        let word = Word { word: "a\u{202e}\n" };
        for (json, terminal, expected) in [
            (false, false, "a\\u{202e}\\n\n"),
            (false, true, "\u{1b}[1ma\\u{202e}\\n\u{1b}[0m\n"),
            (true, false, "{\"word\":\"a\u{202e}\\n\"}\n"),
            (true, true, "{\"word\":\"a\u{202e}\\n\"}\n"),
        ] {
            let (mut printer, out, err) = printer(json, false, terminal);
            printer.show(&word);
            printer.flush().expect("room");
            assert_eq!((out.text().as_str(), err.text().as_str()), (expected, ""));
        }
    }

    #[test]
    fn errors_and_notices_are_sanitized_and_go_to_standard_error() {
        let (mut plain, out, err) = printer(false, false, false);
        plain.notice("look \u{1b}[2J");
        plain.error(&Error::new(ErrorCode::NameTaken, "no \u{7}"));
        assert_eq!(err.text(), "look \\u{1b}[2J\nftchat: no \\u{7}\n");
        assert_eq!(out.text(), "");
        let (mut quiet, _, err) = printer(false, true, false);
        quiet.notice("nothing");
        assert_eq!(err.text(), "");
    }

    #[test]
    fn an_error_in_json_is_one_object_and_names_the_id_when_in_doubt() {
        let id = Uuid::from_u128(1);
        let (mut json, out, err) = printer(true, false, false);
        json.set_operation(id);
        json.error(&Error::new(ErrorCode::NameTaken, "taken"));
        json.error(&Error::outcome_unknown("who knows"));
        let expected = format!(
            "{}\n{}\n",
            r#"{"error":{"code":"name_taken","message":"taken","retryable":false}}"#,
            r#"{"error":{"code":"outcome_unknown","message":"who knows","retryable":true,"id":"ID"}}"#
                .replace("ID", &id.to_string()),
        );
        assert_eq!((err.text(), out.text()), (expected, String::new()));
    }

    /// A stream on a full disk.
    pub struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_cannot_be_written_stops_no_work_and_is_told_at_the_end() {
        for (out, closed) in
            [(Box::new(Closed) as Box<dyn Write + Send>, true), (Box::new(Full), false)]
        {
            let (mut printer, _, _) = printer(false, false, false);
            printer.streams.out = out;
            assert!(!printer.pipe_closed());
            printer.show(&Word { word: "w" });
            // What comes after a gap would be taken for the whole.
            let later = Buffer::default();
            printer.streams.out = Box::new(later.clone());
            printer.show(&Word { word: "x" });
            let error = printer.flush().expect_err("lost");
            assert_eq!((error.code, later.text().as_str()), (ErrorCode::Io, ""));
            assert_eq!((printer.pipe_closed(), printer.is_closed_pipe(&error)), (closed, closed));
            assert!(!printer.is_closed_pipe(&Error::new(ErrorCode::Io, "another")));
        }
    }
}
