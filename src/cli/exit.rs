//! How a command ends, for scripts.

use crate::error::{Error, ErrorCode};

/// Exit codes. Names and numbers are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The service refused: the message says why and what to do.
    Refused = 1,
    /// Wrong usage.
    Usage = 2,
    /// No server answered, or none may take writes; nothing was done.
    Unavailable = 3,
    /// Not logged in, wrong password, session expired.
    NotLoggedIn = 4,
    /// No such account, message, session, replica, cluster or profile.
    NotFound = 5,
    /// It may or may not have been accepted.
    Unknown = 6,
    /// This server's replica was removed from the cluster; it is not to be started again.
    Removed = 7,
    /// Interrupted: 128 and the number of SIGINT, as shells count.
    Interrupted = 130,
}

impl Exit {
    /// How a command ends that failed with this error.
    pub fn of(error: &Error) -> Exit {
        use ErrorCode::*;
        // No wildcard: each new code needs a decision about what scripts see.
        match error.code {
            WrongUsage | InvalidConfig => Exit::Usage,
            NotLoggedIn | LoginRefused | NewPasswordRequired | SessionExpired => Exit::NotLoggedIn,
            UnknownAccount | UnknownMessage | UnknownReplica | UnknownCluster | UnknownProfile
            | UnknownInvitation | UnknownSession => Exit::NotFound,
            Unavailable | ReadNotConfirmed | Behind | NeedsMajority | Restoring
            | DeadlineExceeded | TooManyConnections | DiskFull => Exit::Unavailable,
            OutcomeUnknown => Exit::Unknown,
            ReplicaRemoved => Exit::Removed,
            Interrupted => Exit::Interrupted,
            InvalidRequest | UnknownOperation | UnsupportedVersion | LineTooLong | InvalidName
            | InvalidPassword | NameTaken | InvalidText | TooMany | IdConflict | IdForgotten
            | AmbiguousId | ChangeUnderWay | UnsafeChange | RateLimited | NotConfirmed
            | NotEmpty | PermissionDenied | TlsRequired | InboxFull | StorageFull
            | RegistrationClosed | InvitationRequired | InvitationRefused | DirectoryInUse
            | WrongCluster | NewerFormat | Corrupted | Io | AddressInUse | Internal => {
                Exit::Refused
            }
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_ends_with_the_exit_of_the_manual() {
        use ErrorCode::*;
        let table: &[(u8, &[ErrorCode])] = &[
            (2, &[WrongUsage, InvalidConfig]),
            (
                3,
                &[
                    Unavailable,
                    ReadNotConfirmed,
                    Behind,
                    NeedsMajority,
                    Restoring,
                    DeadlineExceeded,
                    TooManyConnections,
                    DiskFull,
                ],
            ),
            (4, &[NotLoggedIn, LoginRefused, NewPasswordRequired, SessionExpired]),
            (5, &[UnknownAccount, UnknownMessage, UnknownReplica]),
            (5, &[UnknownCluster, UnknownProfile, UnknownInvitation, UnknownSession]),
            (6, &[OutcomeUnknown]),
            (7, &[ReplicaRemoved]),
            (130, &[Interrupted]),
            (
                1,
                &[
                    InvalidRequest,
                    UnknownOperation,
                    UnsupportedVersion,
                    LineTooLong,
                    InvalidName,
                    InvalidPassword,
                    NameTaken,
                    InvalidText,
                    TooMany,
                    IdConflict,
                    IdForgotten,
                    AmbiguousId,
                    RateLimited,
                    NotConfirmed,
                    NotEmpty,
                    PermissionDenied,
                    TlsRequired,
                    InboxFull,
                    StorageFull,
                    RegistrationClosed,
                    InvitationRequired,
                    InvitationRefused,
                    DirectoryInUse,
                    WrongCluster,
                    NewerFormat,
                    Corrupted,
                    Io,
                    AddressInUse,
                    Internal,
                ],
            ),
        ];
        for (exit, codes) in table {
            for code in *codes {
                assert_eq!(Exit::of(&Error::new(*code, "")) as u8, *exit, "{code}");
            }
        }
    }
}
