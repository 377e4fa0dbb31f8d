//! Every bound of the system in one place, each with its reason.
//!
//! Constants are bounds that a peer or the data format relies on; [`Limits`] holds
//! those that an operator may change.

use std::time::Duration;

/// Version of the line protocol, sent in the first line of every connection.
pub const PROTOCOL_VERSION: u32 = 1;

/// The newest feature level that this program knows; see [`crate::replica`],
/// `level.rs`, for what a level is and how it is raised.
///
/// | level | what it brought |
/// |---|---|
/// | 0 | version 0.1.0, which knew no levels |
/// | 1 | levels themselves; an entry forgets a bounded number of operation ids |
/// | 2 | replicas come, go and move; registration, invitations, what administrators do |
/// | 3 | bounds on what an account and all of them may store; a new key for the cluster |
/// | 4 | how long messages are kept; what servers took without a majority is settled in the log |
/// | 5 | answers to messages; what people decide about their own accounts |
pub const FEATURE_LEVEL_KNOWN: u32 = 5;

/// The feature level that brought changes of membership.
pub const LEVEL_OF_MEMBERSHIP: u32 = 2;

/// The feature level that brought who may come in.
pub const LEVEL_OF_ADMISSION: u32 = 2;

/// The feature level that brought how much may be stored.
pub const LEVEL_OF_BOUNDS: u32 = 3;

/// The feature level that brought new keys for a running cluster.
pub const LEVEL_OF_REKEY: u32 = 3;

/// The feature level that brought how long messages are kept.
pub const LEVEL_OF_KEEPING: u32 = 4;

/// The feature level at which the log settles what a server took without a majority.
pub const LEVEL_OF_SETTLING: u32 = 4;

/// The feature level that brought answers to messages, and what people do about their own
/// accounts.
pub const LEVEL_OF_CONVERSATIONS: u32 = 5;

/// Format of a data directory of a cluster at feature level 0, written into
/// `identity.json`.
pub const DATA_FORMAT_FIRST: u32 = 1;

/// The newest format of a data directory that this program knows: each feature
/// level has the next one, so that an older program refuses the directory
/// before it reads what it does not know.
pub const DATA_FORMAT_VERSION: u32 = data_format(FEATURE_LEVEL_KNOWN);

/// The format of a data directory in which there may be what a feature level
/// brought.
pub const fn data_format(level: u32) -> u32 {
    DATA_FORMAT_FIRST + level
}

/// The feature level of a directory of this format.
pub const fn feature_level(data_format: u32) -> u32 {
    data_format.saturating_sub(DATA_FORMAT_FIRST)
}

/// The newest format of a list of the outbox that this program knows. A list that an older
/// program finds is left alone by it, so this is apart from [`DATA_FORMAT_VERSION`].
pub const OUTBOX_FORMAT_VERSION: u32 = 1;

/// Entries that a server without a majority may hold: a message every 10 ms for almost three
/// hours. A server that starts reads them in about a second, and when a majority is back they
/// go through the log at some thousands a second.
pub const OUTBOX_ENTRIES_MAX: u64 = 1_000_000;

/// Bytes of all their files: a million messages of 100 bytes fit. What is not settled is shown
/// to readers, so it is in memory as well, where it takes less than on the disk.
pub const OUTBOX_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Lists that a server without a majority may hold. Each start that takes something makes
/// one, and the replicated state remembers each for ever, in 24 bytes.
pub const OUTBOX_LISTS_MAX: u64 = 1_000;

/// Pause between two looks whether the feature level can be raised. Nobody waits
/// for it, and a look costs microseconds.
pub const FEATURE_LEVEL_LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How far a replica's time may be from the clock in the middle of those that it
/// knows: more than synchronized clocks differ, and less than a user minds. See the
/// peers' clocks.
pub const CLOCK_LEAD_MAX_MS: u64 = 10_000;

/// Longest that an administrator may have messages kept for, in days; for longer there is
/// no bound at all.
pub const KEEP_DAYS_MAX: u32 = 3_650;

/// How far apart the marks are by which the age of messages is known, in milliseconds: a
/// day, as messages are kept for days. Part of the replicated behaviour.
pub const MARK_INTERVAL_MS: u64 = 24 * 3600 * 1000;

/// Most such marks: more than there are days in [`KEEP_DAYS_MAX`]. Beyond it the oldest
/// goes, and what was sent before it counts with the next one. Part of the replicated
/// behaviour.
pub const MARKS_MAX: usize = 4_000;

/// Marks that one log entry takes away because they are of no use, a fraction of a
/// millisecond's work. Part of the replicated behaviour.
pub const MARKS_DROPPED_PER_ENTRY: usize = 64;

/// Lists that one log entry takes messages out of whose time is over, all lists of its last
/// message besides: a few milliseconds' work. Part of the replicated behaviour.
pub const EXPIRED_LISTS_PER_ENTRY: usize = 512;

/// Pause between two questions to a peer for its clock. In between, its last report is
/// reckoned on: only if somebody has set the clock does a new one tell more.
pub const CLOCK_LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a peer's report of its clock is believed. It is asked several times
/// meanwhile.
pub const CLOCK_BELIEVED_MAX: Duration = Duration::from_secs(60);

/// Longest account name in bytes. Names are ASCII, so bytes are characters.
pub const ACCOUNT_NAME_MAX_BYTES: usize = 32;

/// Longest message text in bytes of UTF-8: several screens of prose, and small
/// enough that a full batch of them stays far below [`PEER_LINE_MAX_BYTES`].
pub const TEXT_MAX_BYTES: usize = 8 * 1024;

/// What a message takes in memory beside its text, and its place in one list: about 145
/// bytes were measured. By this the bytes of an inbox are counted, so that many short
/// messages count for what they cost.
pub const MESSAGE_OVERHEAD_BYTES: u64 = 160;

/// What each recipient of a message takes in memory beside that: its label, its place in an
/// inbox, and what the inbox has from this sender.
pub const RECIPIENT_OVERHEAD_BYTES: u64 = 64;

/// What a remembered operation takes in memory, about, its place among the ids included.
/// Part of the replicated behaviour, as the three that follow.
pub const REMEMBERED_BYTES: u64 = 320;

/// What each name takes in the outcome of a message that is remembered beyond its end.
pub const REMEMBERED_NAME_BYTES: u64 = 40;

/// What an account takes in memory, about: its hash, its names and its places in indexes.
pub const ACCOUNT_OVERHEAD_BYTES: u64 = 1024;

/// What a session takes in memory, about.
pub const SESSION_OVERHEAD_BYTES: u64 = 256;

/// One sender may fill one of so many parts of an inbox. Part of the replicated behaviour.
pub const SENDER_PARTS: u64 = 4;

/// Remembered operation ids may take one of so many parts of what is stored in all. Part
/// of the replicated behaviour.
pub const REMEMBERED_PARTS: u64 = 4;

/// So many operation ids that were tried more than once are remembered beyond the window.
/// Part of the replicated behaviour, as the two that follow.
pub const REPEATS_REMEMBERED_MAX: usize = 1_000_000;

/// What each of them takes in memory, about.
pub const REPEAT_BYTES: u64 = 64;

/// They may take one of so many parts of what is stored in all, where that is bounded.
pub const REPEATS_PARTS: u64 = 64;

/// From so much on that less than one of so many parts of the room is left, users are told,
/// and what only its sender's list still holds goes. Part of the replicated behaviour.
pub const SHORT_ROOM_PARTS: u64 = 5;

/// What an inbox may hold where others than this machine's users come in: a million short
/// messages, or thirty thousand of the longest.
pub const ACCOUNT_BYTES_DEFAULT: u64 = 256 * 1024 * 1024;

/// Changes that one account may ask of one server in a second, where others than this
/// machine's users come in: more than people do, and what bots do with ease.
pub const CHANGES_PER_ACCOUNT_PER_S_DEFAULT: u32 = 200;

/// Lowest bounds that can be set: room for some of the longest messages, so that no number
/// that was mistyped stops everything.
pub const ACCOUNT_BYTES_MIN: u64 = 64 * 1024;

/// See [`ACCOUNT_BYTES_MIN`].
pub const TOTAL_BYTES_MIN: u64 = 1024 * 1024;

/// Highest bound that can be set: more than any machine has, and far from what counting
/// could exceed.
pub const STORED_BYTES_MAX: u64 = 1 << 50;

/// So many characters of a message are shown with one that answers it.
pub const QUOTED_CHARS_MAX: usize = 80;

/// How many `@` of a text are looked at for mentions, the first ones.
pub const MENTIONS_MAX: usize = 64;

/// Most words that a search looks for at once: each of them is compared with every message.
pub const SEARCH_WORDS_MAX: usize = 8;

/// Most bytes of all words of a search together.
pub const SEARCH_MAX_BYTES: usize = 1_024;

/// Most recipients of one message. One message to all of them is one log entry.
/// Sixty-four kibibytes of request line hold about 1,900 names of full length.
pub const RECIPIENTS_MAX: usize = 1_000;

/// Most message ids in one `delete` or `mark_read` request.
pub const IDS_PER_REQUEST_MAX: usize = 1_000;

/// Shortest and longest password in bytes. The upper bound keeps the work of
/// hashing an unauthenticated request constant.
pub const PASSWORD_MIN_BYTES: usize = 8;
/// See [`PASSWORD_MIN_BYTES`].
pub const PASSWORD_MAX_BYTES: usize = 1024;

/// Longest first line of a connection, newline included. A client's is short and a
/// replica's introduces it. A connection that is not authenticated needs no more of a
/// server's memory.
pub const FIRST_LINE_MAX_BYTES: usize = 4 * 1024;

/// Longest line that a client may send, newline included.
pub const CLIENT_LINE_MAX_BYTES: usize = 64 * 1024;

/// Longest line that a server sends to a client. A page of an inbox is cut so
/// that it fits; clients refuse more before they buffer it.
pub const SERVER_LINE_MAX_BYTES: usize = 512 * 1024;

/// Longest line between replicas, newline included. A batch of operations is
/// bounded by [`BATCH_MAX_BYTES`]; several entries share one append frame.
pub const PEER_LINE_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Deepest nesting of arrays and objects in a line from outside.
pub const JSON_DEPTH_MAX: usize = 32;

/// Most replicas of a cluster: each more makes every write slower, and nobody has
/// asked for as many. Part of the replicated behaviour, from feature level 2 on.
pub const REPLICAS_MAX: usize = 9;

/// How far a new replica's number may be beyond all others: those between are never used
/// again. Part of the replicated behaviour, from feature level 2 on.
pub const REPLICA_ID_JUMP_MAX: u32 = 100;

/// Most operations in one log entry.
pub const BATCH_MAX_OPERATIONS: usize = 1_024;

/// Most bytes of serialized operations in one log entry, apart from a single
/// operation that is larger alone (its line is bounded by the protocol).
pub const BATCH_MAX_BYTES: usize = 1024 * 1024;

/// Most steps of applying one log entry, apart from a single operation that takes
/// more alone: a few milliseconds, in which nobody reads. A full entry of messages
/// to one account each stays below it. See `Action::steps`.
pub const BATCH_MAX_STEPS: usize = 32 * 1024;

/// Messages in one page of an inbox at most, whatever the client asked for.
pub const PAGE_MAX_MESSAGES: usize = 1_000;

/// Bytes of message texts after which a page of an inbox is cut.
/// JSON may write one byte as six (`\u0000`), hence the distance to
/// [`SERVER_LINE_MAX_BYTES`].
pub const PAGE_MAX_TEXT_BYTES: usize = 64 * 1024;

/// Steps that a query makes while it holds the lock that it shares with whoever
/// applies the log. A step is about a quarter of a microsecond; see
/// `chat/look.rs`.
pub const QUERY_STEPS_MAX: usize = 1_024;

/// Fewest hexadecimal digits of a message id's beginning that a search takes.
pub const ID_PREFIX_MIN_DIGITS: usize = 4;

/// Sessions that one account may hold; one more ends the oldest. Part of the
/// replicated behaviour: changing it changes what a log means.
pub const SESSIONS_PER_ACCOUNT_MAX: usize = 64;

/// Accounts that one account may block: more than anybody is molested by, in 8 KiB. Part of
/// the replicated behaviour.
pub const BLOCKED_MAX: usize = 1_000;

/// How far apart the times are that are noted of a session's use, in milliseconds: an hour,
/// so that hardly any change has to note one. Part of the replicated behaviour.
pub const SESSION_USE_INTERVAL_MS: u64 = 3600 * 1000;

/// Expired sessions that one log entry ends by itself, so that no entry takes
/// long. Part of the replicated behaviour.
pub const SESSIONS_EXPIRED_PER_ENTRY_MAX: usize = 1_024;

/// Messages of deleted accounts that one log entry takes out of their lists, a
/// few milliseconds' work. Part of the replicated behaviour.
pub const ORPHANS_REMOVED_PER_ENTRY_MAX: usize = 1_024;

/// Operation ids that one log entry forgets by itself, beside as many as its own
/// operations take steps: more than it may add, so that what is too old does not pile
/// up. A restored backup's ids all become too old at the same entry. Part of the
/// replicated behaviour, from feature level 1 on.
pub const IDS_FORGOTTEN_PER_ENTRY: usize = 2 * ORPHANS_REMOVED_PER_ENTRY_MAX;

/// Invitations that there may be at once. One more takes the place of the oldest that is
/// of no use any more. Part of the replicated behaviour.
pub const INVITATIONS_MAX: usize = 1_000;

/// Accounts that can be made with one invitation: more than anybody invites, and few
/// enough that a code which got around does bounded harm.
pub const INVITATION_USES_MAX: u32 = 100_000;

/// How long a code may be good: ten years, after which nobody remembers whom it was for.
pub const CODE_LIFETIME_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What administrators have done is remembered for so many actions: years of them, in a
/// few hundred kilobytes. Part of the replicated behaviour.
pub const ACTIONS_KEPT: usize = 1_000;

/// Longest name that an administrator's machine may give: a user's and a host's.
pub const ADMINISTRATOR_NAME_MAX_BYTES: usize = 320;

/// Items in one page of an answer to an administrator.
pub const ADMINISTRATION_PAGE: usize = 200;

/// Longest line of a snapshot that holds more than one item.
pub const SNAPSHOT_LINE_TARGET_BYTES: usize = 60 * 1024;

/// Longest `--timeout` that the client accepts. The de-duplication window must
/// outlive every retry, so retries need a bound.
///
/// A leader writes at most about 5,000 entries a second, one fdatasync each, so
/// the default window of a million entries is 200 seconds at the very least, as far as
/// the ids in it fit into their part of what may be stored: [`REMEMBERED_PARTS`].
pub const TIMEOUT_MAX: Duration = Duration::from_secs(180);

/// Bounds that configuration may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of all kinds that one server holds at once.
    pub connections_max: usize,
    /// Of those, slots that only replicas and authenticated sessions may use,
    /// so that a flood of unauthenticated ones never locks out peers and users.
    pub connections_reserved: usize,
    /// Connections from one remote address. On loopback everyone shares one
    /// address, so there the limit is [`Limits::connections_max`].
    pub connections_per_address_max: usize,
    /// A connection that has not sent its first line by then is closed.
    pub first_line_timeout_ms: u64,
    /// Requests of one connection that may be in progress at once; the next
    /// line is not read before one of them is answered.
    pub requests_in_flight_max: usize,
    /// Bytes that wait to be written to one client before it counts as a slow
    /// reader and is dropped.
    pub write_queue_max_bytes: usize,
    /// Bytes that all client connections may hold together, in half lines,
    /// requests in progress and answers not yet written. Beyond it each gets
    /// by with little, and whoever holds much without need is dropped.
    pub connection_memory_max_bytes: usize,
    /// Password hashes computed at once. Each takes 19 MiB.
    pub password_hashes_in_parallel: usize,
    /// Failed logins that an account may have from one address in one burst;
    /// ten times that from everywhere, and an address on all accounts.
    pub failed_login_burst: u32,
    /// Seconds after which one failed login is forgiven.
    pub failed_login_refill_s: u64,
    /// Registrations that one address may make in one burst.
    pub registration_burst: u32,
    /// Seconds after which one registration is forgiven.
    pub registration_refill_s: u64,
    /// Changes (messages, marks, deletions) that one account may ask of one server in a
    /// second, on average; 0: as many as it likes.
    pub changes_per_account_per_s: u32,
    /// Of those, how many at once after a quiet time.
    pub change_burst: u32,
    /// Follows that one account may have open at one server.
    pub follows_per_account_max: usize,
    /// Log entries for which an operation id is remembered, or fewer where those take more
    /// than their part of what may be stored. The replicated
    /// state decides by it, so every replica of a cluster must use the same.
    pub deduplication_window_entries: u64,
    /// How long a session lives, in seconds.
    pub session_lifetime_s: u64,
    /// A snapshot is taken when the log has grown by so many bytes since the
    /// last one, and by three quarters of what that snapshot takes: then a message
    /// is rewritten about twice in all, however many there are, and a server that
    /// starts finds less than half of them in the log, which is twice the work of
    /// finding them in the snapshot.
    pub snapshot_log_min_bytes: u64,
    /// Log entries that are kept although a snapshot contains them, so that a
    /// replica which was away shortly needs no snapshot.
    pub log_entries_kept: u64,
    /// A file of the log gets no further entry when it has grown to this size.
    /// Old entries go by whole files, so this is how finely room is freed.
    pub log_segment_max_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 12_000,
            connections_reserved: 1_024,
            connections_per_address_max: 256,
            first_line_timeout_ms: 5_000,
            requests_in_flight_max: 1_024,
            write_queue_max_bytes: 4 * 1024 * 1024,
            // With ten thousand idle connections and two password hashes below
            // 256 MiB in all.
            connection_memory_max_bytes: 64 * 1024 * 1024,
            password_hashes_in_parallel: 2,
            failed_login_burst: 10,
            failed_login_refill_s: 6,
            registration_burst: 1_000,
            registration_refill_s: 1,
            changes_per_account_per_s: 0,
            change_burst: 2_000,
            // Screens of one user, or of a bot with many.
            follows_per_account_max: 256,
            // More than `TIMEOUT_MAX` under full load, weeks of ordinary chat.
            deduplication_window_entries: 1_000_000,
            session_lifetime_s: 90 * 24 * 3600,
            snapshot_log_min_bytes: 32 * 1024 * 1024,
            log_entries_kept: 5_000,
            log_segment_max_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Bytes of snapshot lines in one call, apart from one line that is longer
/// alone. While leader and follower handle one, their messages wait, so parts
/// are as small as what the disk is given at once.
pub const SNAPSHOT_PART_BYTES: usize = 256 * 1024;
