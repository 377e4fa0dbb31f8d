//! What a client and a server say to each other.
//!
//! ```text
//! → {"ftchat":1,"role":"client"}
//! ← {"ftchat":1,"version":"0.1.0","cluster":"…","replica":1,"leader":"127.0.0.1:8092",
//!    "members":["127.0.0.1:8091","127.0.0.1:8092","127.0.0.1:8093"]}
//! → {"id":1,"request":{"authenticate":{"token":"…"}}}
//! → {"id":2,"request":{"send":{"operation":"…","to":["bob"],"text":"hello"}}}
//! ← {"id":1,"result":{"session":{"name":"alice","account":"…","expires":"…"}}}
//! ← {"id":2,"result":{"sent":{"id":"…","to":["bob"],"at":"…","seq":1,"copies":2,"replicas":3}}}
//! ```
//!
//! Every request that changes something carries `operation`, a UUID of the
//! client's making. The same id again is the same operation: it is applied
//! once and answered alike. After [`ErrorCode::OutcomeUnknown`] the client
//! repeats the request with the same id, here or at another server.
//!
//! [`ErrorCode::OutcomeUnknown`]: crate::error::ErrorCode::OutcomeUnknown

mod answer;
mod own;
mod query;
mod server_status;

use serde::{Deserialize, Serialize};

pub use self::answer::{Alone, Answer, Event, Message, Quote, Sent, SessionInfo, Unread};

pub use self::own::{OwnSession, OwnSettings, Setting, setting};
pub use self::query::{InboxQuery, PastQuery, Which};
pub use self::server_status::{Member, ServerStatus};
pub use super::replica::{ReplicaState, ReplicaStatus, UNKNOWN};
pub use super::survivor::Survivor;
#[cfg(test)]
use crate::error::ErrorBody;
use crate::types::{Address, Place, ReplicaId, Timestamp, Uuid};

/// First line of a client's connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientHello {
    /// The protocol version: [`crate::limits::PROTOCOL_VERSION`].
    pub ftchat: u32,
    /// Always [`Role::Client`] here.
    pub role: Role,
}

/// Who opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A user's or script's program.
    Client,
    /// Another replica; it must prove that it holds the cluster's key.
    Peer,
}

/// First line of a server's answer to a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerHello {
    /// The protocol version.
    pub ftchat: u32,
    /// The program's version.
    pub version: String,
    /// The cluster, under which clients keep their sessions; absent while the
    /// replica has not learned or founded one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Uuid>,
    /// The replica that answers.
    pub replica: ReplicaId,
    /// Where the leader listens, as far as this server knows; absent while
    /// nobody leads. Any server takes any request: this is for clients with
    /// many, each of which another server would have to pass on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Address>,
    /// Where every replica of the cluster is found, as far as this server knows, so that
    /// clients find those that they were not told of. Older servers leave it out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Address>,
    /// Whether this server has a majority; absent where it has.
    #[serde(default, skip_serializing_if = "Mode::is_majority")]
    pub mode: Mode,
    /// Since when it has none, of one that is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alone_since: Option<Timestamp>,
}

/// With whom a server agrees on what it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A majority confirms it.
    #[default]
    Majority,
    /// No majority is there, and the server takes messages by itself.
    Alone,
    /// A majority is back, and has not confirmed all yet that was taken alone.
    Settling,
}

impl Mode {
    /// Whether it is the usual one.
    pub fn is_majority(&self) -> bool {
        *self == Mode::Majority
    }
}

/// Who has to have a change, or to vouch for what a read shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// A majority, or it is refused. Whoever says nothing means this, as clients do that do
    /// not know of anything else.
    #[default]
    Majority,
    /// A server that is alone suffices where no majority is there.
    Any,
}

impl Confirm {
    /// Whether nothing less than a majority will do.
    pub fn is_majority(&self) -> bool {
        *self == Confirm::Majority
    }
}

/// A line from a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RequestLine {
    /// Names the answer. Unique among the connection's unanswered requests.
    pub id: u64,
    /// How long the client will wait, in milliseconds from now: the server
    /// stops trying then. Absent: [`crate::limits::TIMEOUT_MAX`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Of a change: it is to be refused if a change that this connection asked for
    /// earlier has failed, or fails before this one enters the log. This holds until the
    /// connection ends. Otherwise this change would overtake the failed one if the client
    /// sends it before it knows of the failure.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_order: bool,
    /// Who has to confirm it.
    #[serde(default, skip_serializing_if = "Confirm::is_majority")]
    pub confirm: Confirm,
    /// What is asked.
    pub request: Request,
}

/// What a client asks of a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Binds a session to this connection. Answered with [`Answer::Session`].
    Authenticate {
        /// The session's token: 64 hexadecimal digits.
        token: String,
    },
    /// Makes an account and a session, and binds it. → [`Answer::Session`]
    Register {
        /// Operation id.
        operation: Uuid,
        /// The new account's name.
        name: String,
        /// Its password, 8 to 1024 bytes.
        password: String,
        /// The session's token, 64 random hexadecimal digits that the client
        /// made: made here, a repeated request could not answer with it again.
        token: String,
        /// The code of an invitation, where one is needed; case, hyphens and spaces do not
        /// matter.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invitation: Option<String>,
    },
    /// Makes a session, and binds it. → [`Answer::Session`]
    Login {
        /// Operation id.
        operation: Uuid,
        /// The account's name.
        name: String,
        /// Its password; of an account that was reset the code that came with that.
        password: String,
        /// As in [`Request::Register`].
        token: String,
        /// With such a code: the password from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new_password: Option<String>,
    },
    /// Ends the bound session. → [`Answer::Done`]
    Logout {
        /// Operation id.
        operation: Uuid,
    },
    /// The bound session. → [`Answer::Session`]
    Whoami {},
    /// Account names that match, in order. → [`Answer::Accounts`]
    Accounts {
        /// `*` any characters, `?` one; absent: all. Case is ignored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        glob: Option<String>,
        /// Names after this one only: the last of the previous page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// One message to one or more accounts, all or none. → [`Answer::Sent`]
    Send {
        /// Operation id, which is the message's id.
        operation: Uuid,
        /// Recipients' names.
        to: Vec<String>,
        /// 1 to 8192 bytes.
        text: String,
        /// Whether no server was asked for this operation before. The ids of others are
        /// remembered for longer, and whoever says nothing is taken to ask again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        first: bool,
        /// The last unconfirmed message of the same stream: this one comes behind it, or not
        /// at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<After>,
        /// The message that this one answers, which the sender may see.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<Uuid>,
    },
    /// A page of my messages, oldest first, as of now. → [`Answer::Messages`]
    Inbox(InboxQuery),
    /// A page of messages that I may see, the newest first. → [`Answer::Past`]
    Past(PastQuery),
    /// How much is unread, by who sent it. → [`Answer::Unread`]
    Unread {
        /// Names after this one only: the last of the previous page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Messages as they come: events of the kind [`Event`], until the
    /// connection ends or [`Request::Unfollow`]. First those that match now.
    Follow(InboxQuery),
    /// Ends a follow of this connection. → [`Answer::Done`]
    Unfollow {
        /// The id of the request that started it.
        follow: u64,
    },
    /// Marks messages of my inbox as read. → [`Answer::Marked`]
    MarkRead {
        /// Operation id.
        operation: Uuid,
        /// `seq` of each. Unknown ones are passed over.
        #[serde(default)]
        seqs: Vec<u64>,
        /// Ids of others, as of unconfirmed ones. Unknown ones are refused.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ids: Vec<Uuid>,
    },
    /// Finds messages of my inbox by the beginning of their ids. → [`Answer::Found`]
    Find {
        /// Beginnings of ids, hyphens optional, case ignored; at least 4 digits.
        prefixes: Vec<String>,
    },
    /// Removes messages from my inbox, all or none. → [`Answer::Deleted`]
    Delete {
        /// Operation id.
        operation: Uuid,
        /// Whole ids.
        ids: Vec<Uuid>,
    },
    /// Removes the bound session's account with its inbox and sessions. → [`Answer::Done`]
    DeleteAccount {
        /// Operation id.
        operation: Uuid,
        /// The account's password.
        password: String,
    },
    /// Sets another password of the bound session's account, and ends all its other sessions.
    /// → [`Answer::Done`]
    ChangePassword {
        /// Operation id.
        operation: Uuid,
        /// The password until now.
        password: String,
        /// The password from now on, 8 to 1024 bytes.
        new_password: String,
    },
    /// The sessions of the bound session's account. → [`Answer::Sessions`]
    Sessions {},
    /// Ends sessions of the bound session's account, all or none. → [`Answer::Done`]
    EndSessions {
        /// Operation id.
        operation: Uuid,
        /// Which, as [`OwnSession::id`].
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ids: Vec<u64>,
        /// All but the bound one, in their place.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        others: bool,
    },
    /// Lets nothing come into the inbox of the bound session's account any more that another
    /// one sends. Nobody else can tell. → [`Answer::Done`]
    Block {
        /// Operation id.
        operation: Uuid,
        /// The other account's name.
        name: String,
    },
    /// Lets it come again. → [`Answer::Done`]
    Unblock {
        /// Operation id.
        operation: Uuid,
        /// The other account's name.
        name: String,
    },
    /// Whom the bound session's account has blocked. → [`Answer::Blocked`]
    Blocked {},
    /// What the bound session's account has set. → [`Answer::Settings`]
    Settings {},
    /// Sets something of the bound session's account. → [`Answer::Done`]
    ChangeSetting {
        /// Operation id.
        operation: Uuid,
        /// What, as [`Setting::key`].
        key: String,
        /// To what.
        value: String,
    },
    /// This server's view of its replicas and of the cluster. Needs no session
    /// and no quorum. → [`Answer::Status`]
    Status {},
    /// Answered at once. → [`Answer::Done`]
    Ping {},
}

impl Request {
    /// The same, of an operation that a server may have been asked for before.
    pub fn repeated(mut self) -> Request {
        if let Request::Send { first, .. } = &mut self {
            *first = false;
        }
        self
    }

    /// The same, of a message that comes behind another one, wherever it is taken.
    pub fn behind(mut self, before: After) -> Request {
        if let Request::Send { after, .. } = &mut self {
            *after = Some(before);
        }
        self
    }

    /// Whether it is a message that comes behind another one.
    pub fn is_behind_another(&self) -> bool {
        matches!(self, Request::Send { after: Some(_), .. })
    }

    /// The operation id, of a request that changes something.
    pub fn operation(&self) -> Option<Uuid> {
        match self {
            Request::Register { operation, .. }
            | Request::Login { operation, .. }
            | Request::Logout { operation }
            | Request::Send { operation, .. }
            | Request::MarkRead { operation, .. }
            | Request::Delete { operation, .. }
            | Request::DeleteAccount { operation, .. }
            | Request::ChangePassword { operation, .. }
            | Request::EndSessions { operation, .. }
            | Request::ChangeSetting { operation, .. }
            | Request::Block { operation, .. }
            | Request::Unblock { operation, .. } => Some(*operation),
            Request::Authenticate { .. }
            | Request::Whoami {}
            | Request::Sessions {}
            | Request::Settings {}
            | Request::Blocked {}
            | Request::Accounts { .. }
            | Request::Inbox(_)
            | Request::Past(_)
            | Request::Unread { .. }
            | Request::Follow(_)
            | Request::Unfollow { .. }
            | Request::Find { .. }
            | Request::Status {}
            | Request::Ping {} => None,
        }
    }
}

/// The unconfirmed message that another one comes behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// The list that it stands in.
    pub list: Uuid,
    /// Where in it.
    #[serde(rename = "n")]
    pub number: u64,
    /// The message itself: the log may have it otherwise, as its server was not alone yet when
    /// it was asked for. Older clients leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
}

impl After {
    /// Behind this message, if no majority has confirmed it.
    pub fn of(sent: &Sent) -> Option<After> {
        let Place { list, number } = sent.place.filter(|_| !sent.confirmed)?;
        Some(After { list, number, id: Some(sent.id) })
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        Place { list: self.list, number: self.number }
    }
}

/// Every operation that a client may ask for, to tell an unknown one from a
/// malformed one.
pub const OPERATIONS: [&str; 26] = [
    "authenticate",
    "register",
    "login",
    "logout",
    "whoami",
    "accounts",
    "send",
    "inbox",
    "past",
    "unread",
    "follow",
    "unfollow",
    "mark_read",
    "find",
    "delete",
    "delete_account",
    "change_password",
    "sessions",
    "end_sessions",
    "block",
    "unblock",
    "blocked",
    "settings",
    "change_setting",
    "status",
    "ping",
];

/// A line from a server after its hello. Servers write it and clients read it by
/// parts; as one type it is for tests.
#[cfg(test)]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResponseLine {
    /// The request's id; absent on an error about a line without a readable id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Result, error or event.
    #[serde(flatten)]
    pub body: ResponseBody,
}

/// Exactly one of the three keys is there.
#[cfg(test)]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseBody {
    /// The request is done.
    Result(Answer),
    /// The request failed. Of a follow: it has ended.
    Error(ErrorBody),
    /// Something for a running follow.
    Event(Event),
}
