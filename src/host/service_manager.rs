//! The service manager that started this process, as systemd does, and what it is told
//! (the protocol of `sd_notify`).
//!
//! A service manager names a socket in `NOTIFY_SOCKET` and learns there that a server
//! answers, how it is, that it still moves, and that it ends. Each notification is one
//! datagram of lines `NAME=VALUE`.
//!
//! # What it promises
//! - Whoever was not started by a service manager notifies nobody, at no cost.
//! - Nothing here waits. The manager of a whole machine may be busy for seconds, and a
//!   server must not stand still for it; least of all the thread that watches over the
//!   runtime. That is why this is not done by a library: those wait, and some know no
//!   abstract addresses.
//! - A notification never has more lines than were meant: a sentence with a line end in
//!   it could say anything in the server's name.
//!
//! # How it fails
//! A notification that is not taken at once is lost, and the caller learns so: what must
//! arrive is sent again. The first one that cannot be sent at all is told in the log.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};

/// What a service manager tells one process. A process that is started by this one must
/// not have them: it would speak in this one's name.
pub const SERVICE_VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Bytes of a sentence at most. A manager drops a datagram of more than 4 KiB, and shows
/// the sentence in one line.
const STATUS_MAX_BYTES: usize = 1000;

/// Something to tell the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification<'a> {
    /// The service does what it is for.
    Ready,
    /// The service ends.
    Stopping,
    /// How it is, in a sentence for people.
    Status(&'a str),
    /// It moves.
    Watchdog,
    /// Starting or ending takes this much longer from now on.
    ExtendTimeout(Duration),
}

/// The service manager that started this process, or nobody. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct ServiceManager(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How long it waits for a [`Notification::Watchdog`], where it does.
    watchdog: Option<Duration>,
    /// Whether the log has been told that it cannot be reached.
    told: AtomicBool,
}

impl ServiceManager {
    /// The one that the environment names; nobody on other systems than Linux.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] when what it says of itself cannot be understood.
    pub fn from_environment() -> Result<ServiceManager> {
        if !cfg!(target_os = "linux") {
            return Ok(ServiceManager::default());
        }
        ServiceManager::named(|name| std::env::var_os(name).filter(|text| !text.is_empty()))
    }

    fn named<T: AsRef<OsStr>>(variable: impl Fn(&str) -> Option<T>) -> Result<ServiceManager> {
        let Some(text) = variable("NOTIFY_SOCKET") else { return Ok(ServiceManager::default()) };
        let text = text.as_ref();
        let address = address(text).map_err(|error| {
            let message = format!(
                "NOTIFY_SOCKET is {}, and no socket of a service manager has such an address: \
                 {error}",
                text.display()
            );
            Error::new(ErrorCode::InvalidConfig, message)
        })?;
        let socket = UnixDatagram::unbound()
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .map_err(|error| Error::failed("cannot make a socket", &error))?;
        let number = |name: &str| -> Result<Option<u64>> {
            let Some(text) = variable(name) else { return Ok(None) };
            let text = text.as_ref().to_string_lossy();
            text.parse().map(Some).map_err(|_| {
                let message = format!("{name} is {text}, and not a whole number");
                Error::new(ErrorCode::InvalidConfig, message)
            })
        };
        // Who inherited the variables is not who is watched.
        let is_meant =
            number("WATCHDOG_PID")?.is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC")?.filter(|_| is_meant).map(Duration::from_micros);
        let told = AtomicBool::new(false);
        Ok(ServiceManager(Some(Arc::new(Inner { socket, address, watchdog, told }))))
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// How long it waits for a sign that the process moves, before it ends it; `None`
    /// when it does not wait for any.
    pub fn watchdog(&self) -> Option<Duration> {
        self.0.as_ref()?.watchdog
    }

    /// Tells it. Returns whether it was taken, which it always is where nobody is told.
    pub fn notify(&self, notifications: &[Notification<'_>]) -> bool {
        let Some(manager) = &self.0 else { return true };
        let sent = manager.socket.send_to_addr(&datagram(notifications), &manager.address);
        match sent {
            Ok(_) => true,
            Err(error) => {
                let busy = error.kind() == io::ErrorKind::WouldBlock;
                if !busy && !manager.told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "the service manager, which NOTIFY_SOCKET names, cannot be told how this \
                         server is: {error}"
                    );
                }
                false
            }
        }
    }
}

/// As it travels.
fn datagram(notifications: &[Notification<'_>]) -> Vec<u8> {
    let mut text = String::new();
    for notification in notifications {
        let written = match notification {
            Notification::Ready => writeln!(text, "READY=1"),
            Notification::Stopping => writeln!(text, "STOPPING=1"),
            Notification::Status(sentence) => writeln!(text, "STATUS={}", one_line(sentence)),
            Notification::Watchdog => writeln!(text, "WATCHDOG=1"),
            Notification::ExtendTimeout(by) => {
                writeln!(text, "EXTEND_TIMEOUT_USEC={}", by.as_micros())
            }
        };
        written.expect("a text takes everything");
    }
    text.into_bytes()
}

fn one_line(sentence: &str) -> String {
    let mut end = sentence.len().min(STATUS_MAX_BYTES);
    while !sentence.is_char_boundary(end) {
        end -= 1;
    }
    sentence[..end].replace(|c: char| c.is_control(), " ")
}

/// A path, or after an `@` the name of an abstract address.
#[cfg(target_os = "linux")]
fn address(text: &OsStr) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;

    match text.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(text),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it begins neither with / nor @")),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(text: &OsStr) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(text)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn named(variables: &[(&str, &str)]) -> Result<ServiceManager> {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
        ServiceManager::named(|name| {
            variables.iter().find(|(it, _)| it == name).map(|(_, text)| text.clone())
        })
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).expect("a datagram");
        String::from_utf8(bytes[..length].to_vec()).expect("text")
    }

    #[test]
    fn it_is_told_at_a_path_and_at_an_abstract_address() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).expect("a new path");
        let name = format!("@{}", path.display());
        let by_name = UnixDatagram::bind_addr(&address(OsStr::new(&name)).expect("a name"));
        let by_name = by_name.expect("nobody has that name");
        for (text, socket) in [(path.display().to_string(), by_path), (name, by_name)] {
            let manager = named(&[("NOTIFY_SOCKET", &text)]).expect("an address");
            assert!(manager.is_there() && manager.watchdog().is_none());
            assert!(manager.notify(&[Notification::Ready, Notification::Status("all is well")]));
            assert_eq!(received(&socket), "READY=1\nSTATUS=all is well\n");
            assert!(manager.notify(&[Notification::ExtendTimeout(Duration::from_secs(2))]));
            assert_eq!(received(&socket), "EXTEND_TIMEOUT_USEC=2000000\n");
        }
    }

    #[test]
    fn nobody_is_told_where_nobody_is_named() {
        let manager = named(&[("WATCHDOG_USEC", "1000000")]).expect("nobody");
        assert!(!manager.is_there() && manager.watchdog().is_none());
        assert!(manager.notify(&[Notification::Ready]));
    }

    #[test]
    fn a_watchdog_is_for_the_process_that_it_names() {
        let own = std::process::id().to_string();
        let watchdog = |more: &[(&str, &str)]| {
            let socket = ("NOTIFY_SOCKET", "/run/notify");
            Ok::<_, Error>(named(&[&[socket], more].concat())?.watchdog())
        };
        let second = ("WATCHDOG_USEC", "1000000");
        assert_eq!(watchdog(&[second]), Ok(Some(Duration::from_secs(1))));
        assert_eq!(watchdog(&[second, ("WATCHDOG_PID", &own)]), Ok(Some(Duration::from_secs(1))));
        assert_eq!(watchdog(&[second, ("WATCHDOG_PID", "1")]), Ok(None));
        for wrong in [("WATCHDOG_USEC", "soon"), ("WATCHDOG_PID", "-1")] {
            let error = watchdog(&[wrong]).expect_err("no number");
            assert_eq!(error.code, ErrorCode::InvalidConfig);
            assert!(error.message.contains(wrong.0), "{error}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_understood_is_named() {
        let error = named(&[("NOTIFY_SOCKET", "vsock:2:1234")]).expect_err("neither");
        assert_eq!(error.code, ErrorCode::InvalidConfig);
        assert!(error.message.contains("vsock:2:1234"), "{error}");
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("notify");
        let manager = named(&[("NOTIFY_SOCKET", &path.display().to_string())]).expect("a path");
        assert!(!manager.notify(&[Notification::Watchdog]), "nobody is there");
        let socket = UnixDatagram::bind(&path).expect("a new path");
        // It never reads, and its queue has an end.
        while manager.notify(&[Notification::Watchdog]) {}
        received(&socket);
        assert!(manager.notify(&[Notification::Watchdog]), "there is room again");
    }

    #[test]
    fn a_sentence_is_one_line_of_bounded_length() {
        let text = |sentence: &str| {
            String::from_utf8(datagram(&[Notification::Status(sentence)])).expect("text")
        };
        assert_eq!(text("slow\nSTOPPING=1\u{85}"), "STATUS=slow STOPPING=1 \n");
        let long = text(&"ä".repeat(STATUS_MAX_BYTES));
        assert_eq!(long.len(), "STATUS=\n".len() + STATUS_MAX_BYTES);
    }
}
