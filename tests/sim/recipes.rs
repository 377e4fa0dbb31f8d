//! What is done to clusters: faults, how often, for how long.

use crate::faults::Fault;

/// What is done to a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Recipe {
    /// For messages.
    pub name: &'static str,
    /// Faults, each with its weight.
    pub faults: &'static [(Fault, u64)],
    /// Most servers with a fault at once.
    pub at_once: usize,
    /// Mean pause between faults.
    pub pause_ms: u64,
    /// How long faults go on being made.
    pub lasts_ms: u64,
    /// Shortest and longest fault, in milliseconds.
    pub fault_lasts_ms: (u64, u64),
    /// Faults that cost no server anything, made whenever a second has passed
    /// without a fault. None: seconds may pass.
    pub fillers: &'static [Fault],
    /// Whether every send must be accepted meanwhile.
    pub seamless: bool,
    /// Whether all servers share one machine, where the last one goes on alone.
    pub one_host: bool,
    /// How many servers there are: three or five.
    pub replicas: usize,
    /// Whether servers begin with an older program, and come back with it or the
    /// newer one until all have the newer one at the end.
    pub updates: bool,
}

/// Servers of one machine die, together and one after the other, are frozen and
/// stopped, at any call of a seam, while one is always left.
pub const SURVIVORS: Recipe = Recipe {
    name: "survivors",
    faults: &[
        (Fault::Terminate, 2),
        (Fault::Kill, 4),
        (Fault::KillAtCall, 5),
        (Fault::KillTwo, 5),
        (Fault::KillAll, 2),
        (Fault::Freeze, 2),
    ],
    at_once: 2,
    pause_ms: 1_500,
    lasts_ms: 30_000,
    fault_lasts_ms: (50, 9_000),
    fillers: &[],
    seamless: false,
    one_host: true,
    replicas: 3,
    updates: false,
};

/// The same with power cuts, a failing disk and lost directories.
pub const HARD_TIMES: Recipe = Recipe {
    name: "hard-times",
    faults: &[
        (Fault::Kill, 4),
        (Fault::KillAtCall, 4),
        (Fault::KillTwo, 4),
        (Fault::CrashAll, 2),
        (Fault::SlowDisk, 1),
        (Fault::StallDisk, 1),
        (Fault::FullDisk, 1),
        (Fault::ClockJump, 1),
    ],
    fault_lasts_ms: (20, 4_000),
    ..SURVIVORS
};

/// Two die or stop, one way and another, or all, and one of them is alone for
/// long.
pub const TOGETHER: Recipe = Recipe {
    name: "together",
    faults: &[
        (Fault::KillSequence, 3),
        (Fault::KillLeader, 2),
        (Fault::TerminateTwo, 2),
        (Fault::KillAllStartOne, 3),
        (Fault::CrashStartOne, 2),
        (Fault::FreezeTwo, 1),
        (Fault::WipeOne, 1),
    ],
    lasts_ms: 60_000,
    ..SURVIVORS
};

/// Owners return while their directories are being taken over, and holders die
/// while they give them back.
pub const HANDBACK: Recipe = Recipe {
    name: "handback",
    faults: &[
        (Fault::KillWhileAdopting, 3),
        (Fault::ReturnWhileAdopting, 3),
        (Fault::KillHolder, 4),
    ],
    lasts_ms: 60_000,
    ..SURVIVORS
};

/// Processes, machines and links fail; no disk loses what it has synced.
pub const CRASHES: Recipe = Recipe {
    name: "crashes",
    faults: &[
        (Fault::Terminate, 2),
        (Fault::Kill, 4),
        (Fault::KillAtCall, 6),
        (Fault::KillAll, 1),
        (Fault::Crash, 4),
        (Fault::CrashAll, 1),
        (Fault::Freeze, 3),
        (Fault::Isolate, 2),
        (Fault::Unplug, 1),
        (Fault::OneWay, 2),
        (Fault::Reset, 2),
        (Fault::SlowDisk, 1),
        (Fault::StallDisk, 1),
        (Fault::FullDisk, 2),
        (Fault::ClockJump, 1),
        (Fault::FarClock, 1),
    ],
    at_once: 2,
    pause_ms: 1_500,
    lasts_ms: 30_000,
    fault_lasts_ms: (100, 4_000),
    fillers: &[],
    seamless: false,
    one_host: false,
    replicas: 3,
    updates: false,
};

/// One disk at a time is lost, rots or fails to sync.
pub const DAMAGE: Recipe = Recipe {
    name: "damage",
    faults: &[(Fault::Wipe, 2), (Fault::FlipBit, 2), (Fault::FailSync, 1), (Fault::Kill, 1)],
    at_once: 1,
    pause_ms: 12_000,
    lasts_ms: 45_000,
    fault_lasts_ms: (100, 4_000),
    fillers: &[],
    seamless: false,
    one_host: false,
    replicas: 3,
    updates: false,
};

/// Servers are restarted one after the other, as `cluster restart` does.
pub const ROLLING: Recipe = Recipe {
    name: "rolling",
    faults: &[(Fault::Terminate, 1)],
    at_once: 1,
    pause_ms: 6_000,
    lasts_ms: 40_000,
    fault_lasts_ms: (100, 4_000),
    fillers: &[],
    seamless: true,
    one_host: false,
    replicas: 3,
    updates: false,
};

/// Faults that cost no server anything.
const WEATHER: &[Fault] = &[Fault::ClockJump, Fault::Reset, Fault::Lossy, Fault::SlowLinks];

/// Fifteen dense seconds on one host: whoever dies is adopted.
pub const HOST: Recipe = Recipe {
    name: "host",
    faults: &[
        (Fault::Terminate, 2),
        (Fault::Kill, 4),
        (Fault::KillAtCall, 5),
        (Fault::KillAtSnapshot, 3),
        (Fault::KillAtPurge, 2),
        (Fault::KillMost, 8),
        (Fault::KillAll, 2),
        (Fault::CrashAll, 2),
        (Fault::Freeze, 2),
        (Fault::SlowDisk, 1),
        (Fault::StallDisk, 1),
        (Fault::FullDisk, 1),
    ],
    at_once: 2,
    pause_ms: 600,
    lasts_ms: 15_000,
    fault_lasts_ms: (20, 2_000),
    fillers: WEATHER,
    seamless: false,
    one_host: true,
    replicas: 3,
    updates: false,
};

/// The same with five servers, of which two may race for the dead.
pub const HOST_OF_FIVE: Recipe = Recipe { name: "host-of-five", at_once: 4, replicas: 5, ..HOST };

/// Fifteen dense seconds of scenes on one host.
pub const SCENES: Recipe = Recipe {
    name: "scenes",
    faults: &[
        (Fault::KillSequence, 1),
        (Fault::KillLeader, 2),
        (Fault::TerminateTwo, 1),
        (Fault::KillWhileAdopting, 3),
        (Fault::ReturnWhileAdopting, 3),
        (Fault::KillHolder, 3),
        (Fault::StallKillStart, 3),
    ],
    pause_ms: 200,
    ..HOST
};

/// Fifteen dense seconds on machines of their own.
pub const NETWORK: Recipe = Recipe {
    name: "network",
    faults: &[
        (Fault::Terminate, 2),
        (Fault::Kill, 4),
        (Fault::KillAtCall, 6),
        (Fault::KillAtSnapshot, 3),
        (Fault::KillAtPurge, 2),
        (Fault::KillAll, 1),
        (Fault::Crash, 4),
        (Fault::CrashAll, 2),
        (Fault::Freeze, 3),
        (Fault::Isolate, 3),
        (Fault::Unplug, 1),
        (Fault::OneWay, 3),
        (Fault::SlowDisk, 1),
        (Fault::StallDisk, 1),
        (Fault::FullDisk, 2),
        (Fault::FarClock, 2),
        (Fault::StallKillStart, 2),
    ],
    at_once: 2,
    pause_ms: 600,
    lasts_ms: 15_000,
    fault_lasts_ms: (50, 2_500),
    fillers: WEATHER,
    seamless: false,
    one_host: false,
    replicas: 3,
    updates: false,
};

/// Servers are updated one after the other, and some go back, while others die.
pub const UPDATES: Recipe = Recipe {
    name: "updates",
    faults: &[
        (Fault::Terminate, 6),
        (Fault::Kill, 4),
        (Fault::KillAtCall, 3),
        (Fault::KillAll, 1),
        (Fault::Crash, 2),
        (Fault::Isolate, 2),
        (Fault::OneWay, 2),
    ],
    updates: true,
    ..NETWORK
};

/// The same on one host, where programs of both versions run each other's replicas.
pub const UPDATES_ON_A_HOST: Recipe = Recipe {
    name: "updates-on-a-host",
    faults: &[
        (Fault::Terminate, 6),
        (Fault::Kill, 4),
        (Fault::KillAtCall, 3),
        (Fault::KillMost, 4),
        (Fault::KillAll, 1),
    ],
    updates: true,
    ..HOST
};

/// The same with five servers.
pub const NETWORK_OF_FIVE: Recipe = Recipe {
    name: "network-of-five",
    at_once: 3,
    replicas: 5,
    faults: NETWORK.faults.split_at(16).0,
    ..NETWORK
};

/// Fifteen seconds in which a disk is lost, rots or fails to sync, and until it
/// is filled again nothing else happens than weather.
pub const DISKS: Recipe = Recipe {
    name: "disks",
    faults: &[
        (Fault::Wipe, 3),
        (Fault::FlipBit, 3),
        (Fault::FailSync, 2),
        (Fault::Kill, 1),
        (Fault::FullDisk, 2),
        (Fault::StallDisk, 1),
    ],
    at_once: 1,
    ..NETWORK
};

/// Fifteen seconds in which one disk at a time loses what it had synced. Where that
/// leaves a trace another server may be killed before the first has caught up.
pub const LOSSES: Recipe = Recipe {
    name: "losses",
    faults: &[
        (Fault::LoseEnd, 3),
        (Fault::LoseEndAndKill, 3),
        (Fault::OldCopy, 2),
        (Fault::OldCopyAndKill, 2),
    ],
    at_once: 1,
    pause_ms: 200,
    ..NETWORK
};

/// The same on one host.
pub const LOSSES_OF_HOST: Recipe = Recipe { name: "losses-of-host", one_host: true, ..LOSSES };

/// All by name.
pub const ALL: &[Recipe] = &[
    CRASHES,
    DAMAGE,
    ROLLING,
    SURVIVORS,
    HARD_TIMES,
    TOGETHER,
    HANDBACK,
    HOST,
    HOST_OF_FIVE,
    SCENES,
    NETWORK,
    NETWORK_OF_FIVE,
    UPDATES,
    UPDATES_ON_A_HOST,
    DISKS,
    LOSSES,
    LOSSES_OF_HOST,
];

/// Which recipe a seed of the campaign plays: two of five on one host.
pub fn of_seed(seed: u64) -> Recipe {
    match seed % 10 {
        0 | 1 => HOST,
        2 => SCENES,
        3 => HOST_OF_FIVE,
        4..=6 => NETWORK,
        7 => NETWORK_OF_FIVE,
        _ => DISKS,
    }
}
