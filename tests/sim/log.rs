//! The log lines of simulated processes, shown between the events of a trace.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::seat::{ProgramId, State};

thread_local! {
    static SPEAKER: RefCell<Option<ProgramId>> = const { RefCell::new(None) };
}

/// Runs something whose log lines belong to a program.
pub fn speak_for<T>(program: ProgramId, deed: impl FnOnce() -> T) -> T {
    SPEAKER.set(Some(program));
    let result = deed();
    SPEAKER.set(None);
    result
}

/// Runs something on this thread; with `details`, what is logged meanwhile
/// goes into the trace as details.
pub fn with_log<T>(shared: &Arc<Mutex<State>>, details: bool, deed: impl FnOnce() -> T) -> T {
    if !details {
        return deed();
    }
    let writer = TraceWriter(shared.clone());
    // FTCHAT_SIM_LOG takes the directives of `tracing`, such as `openraft=debug`.
    let wanted = std::env::var("FTCHAT_SIM_LOG").unwrap_or_else(|_| "ftchat=debug,warn".into());
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(wanted))
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, deed)
}

#[derive(Clone)]
struct TraceWriter(Arc<Mutex<State>>);

impl io::Write for TraceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let speaker = SPEAKER.with_borrow(|speaker| match speaker {
            Some(program) => state.programs[program.0].name.clone(),
            None => "world".to_string(),
        });
        let now_us = state.now_us;
        for line in String::from_utf8_lossy(bytes).lines() {
            state.trace.detail(now_us, format_args!("{speaker}: {line}"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
