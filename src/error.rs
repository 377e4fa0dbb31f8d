//! The one error type that crosses modules and wires.
//!
//! An error is a sentence for users (what happened, which thing, what to do)
//! and a stable [`ErrorCode`] for scripts. The code alone decides whether a
//! retry can help and which exit code a command ends with, so a server of
//! another version may change its sentences freely.
//!
//! An error that comes from a failed call of the system keeps which one that was as
//! its [`Cause`]. Only that: errors are copied to many waiters and sent over wires, where
//! a source of any type cannot go. What other sources say is in the sentence.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Result of anything that fails with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, for programs. Names never change once released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    // -- usage ------------------------------------------------------------
    /// The command line, or a value on it, is malformed.
    WrongUsage,
    /// A configuration file, variable or flag has an impossible value.
    InvalidConfig,
    // -- the service refused ----------------------------------------------
    /// A request that does not parse, or lacks what it needs.
    InvalidRequest,
    /// The request names an operation that this server does not know.
    UnknownOperation,
    /// The peer speaks another protocol version.
    UnsupportedVersion,
    /// A line longer than the bound; the connection is closed after it.
    LineTooLong,
    /// An account name that is empty, too long or has other characters.
    InvalidName,
    /// A password that is too short or too long.
    InvalidPassword,
    /// The name belongs to somebody.
    NameTaken,
    /// A text that is empty or over its bound.
    InvalidText,
    /// Too many recipients, ids or other things in one request.
    TooMany,
    /// The operation id was used before, for something else.
    IdConflict,
    /// Of the message with this operation id no more than the id is remembered.
    IdForgotten,
    /// A message id prefix that fits more than one message.
    AmbiguousId,
    /// Too many attempts; the message says when to come back.
    RateLimited,
    /// The server has no free connection slot.
    TooManyConnections,
    /// The typed confirmation does not match.
    NotConfirmed,
    /// A backup is restored into an empty cluster only.
    NotEmpty,
    /// The membership of the cluster is changing, and only one change is made at a time.
    ChangeUnderWay,
    /// The cluster could not bear this change of its membership.
    UnsafeChange,
    /// The peer does not hold the cluster's key.
    PermissionDenied,
    /// Others could read along: this connection must be encrypted.
    TlsRequired,
    /// The inbox of a recipient holds as much as it may, or as much from this sender.
    InboxFull,
    /// The servers hold as much as they may.
    StorageFull,
    /// Nobody may register in this cluster.
    RegistrationClosed,
    /// Registering takes an invitation, and none was named.
    InvitationRequired,
    /// The invitation's code is wrong, used up, over or taken back.
    InvitationRefused,
    // -- who is asking ----------------------------------------------------
    /// No session at all.
    NotLoggedIn,
    /// Unknown account or wrong password; the answer does not say which.
    LoginRefused,
    /// The account was reset and the code is right: a new password must come with it.
    NewPasswordRequired,
    /// The session has ended: expired, logged out, or its account is gone.
    SessionExpired,
    // -- no such thing ----------------------------------------------------
    /// No account of that name.
    UnknownAccount,
    /// No message with that id in this inbox.
    UnknownMessage,
    /// The cluster has no replica of that number.
    UnknownReplica,
    /// No local cluster of that name or in that directory.
    UnknownCluster,
    /// No profile of that name is kept.
    UnknownProfile,
    /// No invitation of that number.
    UnknownInvitation,
    /// The account has no session of that number.
    UnknownSession,
    // -- availability -----------------------------------------------------
    /// No server answered, or none can take the request now. Nothing was done.
    Unavailable,
    /// A read that could not be confirmed with a majority.
    ReadNotConfirmed,
    /// A write may or may not have been accepted; repeat it with the same id.
    OutcomeUnknown,
    /// What this request is to follow was taken by a server that is not back yet, or the state
    /// was another when its server looked at it. Nothing was done.
    Behind,
    /// A majority of the servers is needed for this and is not there. Nothing was done.
    NeedsMajority,
    /// A backup is being restored into this cluster. Nothing was done.
    Restoring,
    /// The request's own deadline passed before it was started. Nothing was done.
    DeadlineExceeded,
    // -- this machine -----------------------------------------------------
    /// The data directory is held by a running process.
    DirectoryInUse,
    /// The data directory belongs to another cluster or replica.
    WrongCluster,
    /// This replica was removed from the cluster.
    ReplicaRemoved,
    /// The data directory was written by a newer program.
    NewerFormat,
    /// A checksum does not hold; the message names file and line.
    Corrupted,
    /// The disk is full, so nothing more can be made durable.
    DiskFull,
    /// An operating system call on a file failed.
    Io,
    /// The listen address is taken by another process.
    AddressInUse,
    /// The user pressed Ctrl-C.
    Interrupted,
    /// A defect of this program.
    Internal,
}

impl ErrorCode {
    /// The code as scripts see it, such as `name_taken`.
    pub fn as_str(self) -> &'static str {
        use ErrorCode::*;
        match self {
            WrongUsage => "wrong_usage",
            InvalidConfig => "invalid_config",
            InvalidRequest => "invalid_request",
            UnknownOperation => "unknown_operation",
            UnsupportedVersion => "unsupported_version",
            LineTooLong => "line_too_long",
            InvalidName => "invalid_name",
            InvalidPassword => "invalid_password",
            NameTaken => "name_taken",
            InvalidText => "invalid_text",
            TooMany => "too_many",
            IdConflict => "id_conflict",
            IdForgotten => "id_forgotten",
            AmbiguousId => "ambiguous_id",
            RateLimited => "rate_limited",
            TooManyConnections => "too_many_connections",
            NotConfirmed => "not_confirmed",
            NotEmpty => "not_empty",
            ChangeUnderWay => "change_under_way",
            UnsafeChange => "unsafe_change",
            PermissionDenied => "permission_denied",
            TlsRequired => "tls_required",
            InboxFull => "inbox_full",
            StorageFull => "storage_full",
            RegistrationClosed => "registration_closed",
            InvitationRequired => "invitation_required",
            InvitationRefused => "invitation_refused",
            NotLoggedIn => "not_logged_in",
            LoginRefused => "login_refused",
            NewPasswordRequired => "new_password_required",
            SessionExpired => "session_expired",
            UnknownAccount => "unknown_account",
            UnknownMessage => "unknown_message",
            UnknownReplica => "unknown_replica",
            UnknownCluster => "unknown_cluster",
            UnknownProfile => "unknown_profile",
            UnknownInvitation => "unknown_invitation",
            UnknownSession => "unknown_session",
            Unavailable => "unavailable",
            ReadNotConfirmed => "read_not_confirmed",
            OutcomeUnknown => "outcome_unknown",
            Behind => "behind",
            NeedsMajority => "needs_majority",
            Restoring => "restoring",
            DeadlineExceeded => "deadline_exceeded",
            DirectoryInUse => "directory_in_use",
            WrongCluster => "wrong_cluster",
            ReplicaRemoved => "replica_removed",
            NewerFormat => "newer_format",
            Corrupted => "corrupted",
            DiskFull => "disk_full",
            Io => "io",
            AddressInUse => "address_in_use",
            Interrupted => "interrupted",
            Internal => "internal",
        }
    }

    /// Whether the same request, unchanged, may succeed later or elsewhere.
    pub fn retryable(self) -> bool {
        use ErrorCode::*;
        matches!(
            self,
            RateLimited
                | TooManyConnections
                | Unavailable
                | ReadNotConfirmed
                | OutcomeUnknown
                | Behind
                | NeedsMajority
                | Restoring
                | DeadlineExceeded
                | DiskFull
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure: a code for scripts and a sentence for users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What went wrong, for programs.
    pub code: ErrorCode,
    /// What happened, which thing, what to do. May quote untrusted text;
    /// whoever prints it to a terminal sanitizes it.
    pub message: String,
    /// For [`ErrorCode::RateLimited`]: when to come back, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// What the system said, if this comes from a call to it in this process.
    #[source]
    pub cause: Option<Cause>,
}

/// What the system said about a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}{}", self.number())]
pub struct Cause {
    /// Its kind on every system.
    pub kind: std::io::ErrorKind,
    /// The system's own number, where it gave one.
    pub os_error: Option<i32>,
}

impl Cause {
    fn number(&self) -> String {
        self.os_error.map(|number| format!(" (os error {number})")).unwrap_or_default()
    }
}

impl From<&std::io::Error> for Cause {
    fn from(error: &std::io::Error) -> Self {
        Cause { kind: error.kind(), os_error: error.raw_os_error() }
    }
}

impl Error {
    /// An error with the given code and sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), retry_after_ms: None, cause: None }
    }

    /// This error, with the failed call that it comes from.
    pub fn because(self, error: &std::io::Error) -> Self {
        Error { cause: Some(error.into()), ..self }
    }

    /// Whether the same request, unchanged, may succeed later or elsewhere.
    pub fn retryable(&self) -> bool {
        self.code.retryable()
    }

    /// A write whose outcome is not known: it may have entered the log.
    pub fn outcome_unknown(message: impl Into<String>) -> Self {
        Error::new(ErrorCode::OutcomeUnknown, message)
    }

    /// Nothing was done, because nobody can do it now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Error::new(ErrorCode::Unavailable, message)
    }

    /// A defect of this program, with what is known of it.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(ErrorCode::Internal, message)
    }

    /// Several failures as one, with the code of the first. `None`: there are none.
    pub fn of_many(errors: Vec<Error>) -> Option<Error> {
        let sentences: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        let message = sentences.join("; ");
        errors.into_iter().next().map(|first| Error { message, ..first })
    }

    /// A failed call, as `what` with the cause behind it.
    pub fn failed(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Error::new(ErrorCode::Io, format!("{what}: {error}")).because(error)
    }

    /// A failed call on a file: names the action, the path and the cause.
    ///
    /// "No space left" becomes [`ErrorCode::DiskFull`], which is retryable, and so
    /// does a file that may not grow, as by `ulimit -f`.
    pub fn io(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge => ErrorCode::DiskFull,
            _ => ErrorCode::Io,
        };
        Error::new(code, format!("cannot {action} {}: {error}", path.display())).because(error)
    }

    /// The same for a file of whoever gave the command. That their disk is full
    /// says nothing about servers and about what they have done.
    pub fn own_file(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Error { code: ErrorCode::Io, ..Error::io(action, path, error) }
    }
}

/// How an [`Error`] looks in a line of the protocol and on stderr with `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// See [`Error::code`]. A code that this program does not know (a newer
    /// peer's) reads as `internal`.
    #[serde(deserialize_with = "lenient_code")]
    pub code: ErrorCode,
    /// See [`Error::message`].
    pub message: String,
    /// See [`Error::retryable`].
    pub retryable: bool,
    /// See [`Error::retry_after_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

fn lenient_code<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ErrorCode, D::Error> {
    use serde::de::IntoDeserializer;
    let name = String::deserialize(deserializer)?;
    let known: Result<ErrorCode, serde::de::value::Error> =
        ErrorCode::deserialize(name.as_str().into_deserializer());
    Ok(known.unwrap_or(ErrorCode::Internal))
}

impl From<Error> for ErrorBody {
    fn from(error: Error) -> Self {
        ErrorBody {
            retryable: error.retryable(),
            code: error.code,
            message: error.message,
            retry_after_ms: error.retry_after_ms,
        }
    }
}

impl From<ErrorBody> for Error {
    fn from(body: ErrorBody) -> Self {
        Error {
            code: body.code,
            message: body.message,
            retry_after_ms: body.retry_after_ms,
            cause: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_on_the_wire_is_the_code_in_the_manual() {
        let body = ErrorBody::from(Error::new(ErrorCode::NameTaken, "taken"));
        let line = serde_json::to_string(&body).expect("plain data");
        assert_eq!(line, r#"{"code":"name_taken","message":"taken","retryable":false}"#);
        assert_eq!(ErrorCode::NameTaken.as_str(), "name_taken");
    }

    #[test]
    fn whatever_lets_a_file_not_grow_is_a_full_disk() {
        let code = |number| {
            let error = std::io::Error::from_raw_os_error(number);
            Error::io("write", std::path::Path::new("f"), &error).code
        };
        use rustix::io::Errno;
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert_eq!(code(errno.raw_os_error()), ErrorCode::DiskFull, "{errno}");
        }
        assert_eq!(code(Errno::IO.raw_os_error()), ErrorCode::Io);
    }

    #[test]
    fn an_error_keeps_which_call_failed_and_no_wire_carries_it() {
        use std::error::Error as _;
        let missing = std::io::Error::from_raw_os_error(rustix::io::Errno::NOENT.raw_os_error());
        let error = Error::io("open", std::path::Path::new("f"), &missing);
        let cause = error.source().and_then(|source| source.downcast_ref::<Cause>());
        assert_eq!(cause.map(|cause| cause.kind), Some(std::io::ErrorKind::NotFound));
        assert_eq!(error.cause.expect("kept").to_string(), "entity not found (os error 2)");
        let longer = Error { message: format!("{error}; make it"), ..error.clone() };
        assert_eq!(longer.cause, error.cause, "also when more is said");
        assert_eq!(Error::from(ErrorBody::from(error)).cause, None);
    }

    #[test]
    fn a_code_of_a_newer_server_is_read_as_internal() {
        let body: ErrorBody =
            serde_json::from_str(r#"{"code":"moon_phase","message":"m","retryable":true}"#)
                .expect("lenient");
        assert_eq!(body.code, ErrorCode::Internal);
    }
}
