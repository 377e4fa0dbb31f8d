//! What can go wrong, by name.

/// How far a wrong clock is off, in milliseconds: more than a session lasts.
pub const FAR_MS: i64 = 100 * 86_400_000;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGTERM: the program stops by itself, and is started again.
    Terminate,
    /// SIGKILL between two calls.
    Kill,
    /// SIGKILL at some call of a seam, soon.
    KillAtCall,
    /// SIGKILL while a snapshot is written or put in its place.
    KillAtSnapshot,
    /// SIGKILL while a file is removed: a purged segment, an old snapshot.
    KillAtPurge,
    /// SIGKILL of two servers at once.
    KillTwo,
    /// SIGKILL of a majority at once.
    KillMost,
    /// SIGKILL of every server at once.
    KillAll,
    /// Power cut of one machine.
    Crash,
    /// Power cut of every machine at once.
    CrashAll,
    /// SIGSTOP, later SIGCONT.
    Freeze,
    /// No server reaches this one and it reaches none; clients still do.
    Isolate,
    /// Nobody at all reaches this one, and it reaches nobody.
    Unplug,
    /// This one is not heard by another server, but hears it.
    OneWay,
    /// The connections of two programs are reset.
    Reset,
    /// Segments between machines get lost for a while, and are sent again.
    Lossy,
    /// All links between machines take up to fifty times as long for a while.
    SlowLinks,
    /// A disk that takes thirty times as long.
    SlowDisk,
    /// A disk that does nothing for a while.
    StallDisk,
    /// A disk with no or very little room.
    FullDisk,
    /// The next sync fails.
    FailSync,
    /// The wall clock jumps by up to an hour, for good.
    ClockJump,
    /// A wall clock is a hundred days ahead or behind for a while. It is always the
    /// same one in a world: two that are wrong together outvote the third.
    FarClock,
    /// The server is killed and its data folder is emptied.
    Wipe,
    /// A bit of a synced file flips while the server is down.
    FlipBit,
    /// Scene: two are killed, the second before the first is back.
    KillSequence,
    /// Scene: whoever leads is killed.
    KillLeader,
    /// Scene: the disk of whoever leads stalls, it is killed in the middle of
    /// its writes, and milliseconds later its directory is opened again.
    StallKillStart,
    /// Scene: two are told to stop, shortly after each other.
    TerminateTwo,
    /// Scene: all are killed, and one alone is back for long.
    KillAllStartOne,
    /// Scene: the machine of all loses power, and one alone is back for long.
    CrashStartOne,
    /// Scene: two are frozen at once.
    FreezeTwo,
    /// Scene: one is killed and its folder emptied; the others stay whole
    /// until it has caught up.
    WipeOne,
    /// Scene: one is killed and loses the end of its log, which it had synced. The
    /// others stay whole until it has caught up.
    LoseEnd,
    /// Scene: one is killed and loses the end of its log, which leaves a trace;
    /// another one is killed at about the time when it is back.
    LoseEndAndKill,
    /// Scene: one is killed and finds its folder as it was a while ago. The others
    /// stay whole until it has caught up.
    OldCopy,
    /// Scene: one finds its folder as it was before it was started last, and another
    /// one is killed at about the time when it is back.
    OldCopyAndKill,
    /// Scene: two are killed, and the third at one of its next calls, when it
    /// is adopting them.
    KillWhileAdopting,
    /// Scene: two are killed, and both are back milliseconds later.
    ReturnWhileAdopting,
    /// Scene: two are killed and adopted. One is back, and milliseconds later,
    /// when it is given its directory, the holder is killed.
    KillHolder,
}

impl Fault {
    /// Whether a server runs while it lasts, unless it ends by itself.
    pub fn leaves_servers_running(self) -> bool {
        matches!(self, Fault::FailSync | Fault::FullDisk | Fault::StallDisk | Fault::FarClock)
    }

    /// Whether it costs a replica what it has stored.
    pub fn is_destructive(self) -> bool {
        matches!(self, Fault::Wipe | Fault::FlipBit | Fault::FailSync)
    }
}
