//! A progress bar, or nothing at all.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Progress of something long, drawn on standard error. Removed when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(visible: bool, what: &str, total: Option<u64>) -> Progress {
        let target =
            if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template = match total {
            Some(_) => "{msg} [{bar:30}] {human_pos}/{human_len} {per_sec} eta {eta}",
            None => "{spinner} {msg} {human_pos} {per_sec}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is constant");
        let bar = ProgressBar::with_draw_target(total, target).with_style(style);
        bar.set_message(super::sanitize(what).into_owned());
        Progress(bar)
    }

    /// Says what is being done now.
    pub fn describe(&self, what: &str) {
        self.0.set_message(super::sanitize(what).into_owned());
    }

    /// So many steps are done.
    pub fn set(&self, steps: u64) {
        self.0.set_position(steps);
    }

    /// Counts one more step.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// Runs `print` while the bar is out of the way, so that a terminal which
    /// shows both never mixes them.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
