//! The log lines of simulated processes, shown between the events of a trace.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::process_handle::{ProgramId, State};

thread_local! {
    static SPEAKER: RefCell<Option<ProgramId>> = const { RefCell::new(None) };
}

/// Runs something whose log lines belong to a program.
pub fn speak_for<T>(program: ProgramId, action: impl FnOnce() -> T) -> T {
    SPEAKER.set(Some(program));
    let result = action();
    SPEAKER.set(None);
    result
}

/// Runs something on this thread; with `details`, what is logged meanwhile
/// goes into the trace as details.
pub fn with_log<T>(shared: &Arc<Mutex<State>>, details: bool, action: impl FnOnce() -> T) -> T {
    if !details {
        return action();
    }
    let writer = TraceWriter(shared.clone());
    // FTCHAT_SIM_LOG takes what FTCHAT_LOG takes, such as `openraft=debug`.
    let wanted = std::env::var("FTCHAT_SIM_LOG").unwrap_or_else(|_| "ftchat=debug,warn".into());
    let filter: Targets = wanted.parse().expect("FTCHAT_SIM_LOG is a log filter");
    let lines = tracing_subscriber::fmt::layer()
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let subscriber = tracing_subscriber::registry().with(lines).with(filter);
    tracing::subscriber::with_default(subscriber, action)
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
