//! How large a world is: how much its users do, and how small its servers' files are.

use ftchat::limits::Limits;

use crate::random::Prng;

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Bytes of log after which a snapshot is taken.
    pub snapshot_bytes: u64,
    /// Entries that are kept behind a snapshot.
    pub entries_kept: u64,
    /// Bytes of a segment of the log.
    pub segment_bytes: u32,
    /// Log entries for which an operation is remembered.
    pub window_entries: u64,
    /// Whether some commands are given little time.
    pub hasty: bool,
    /// Most lines of one pipeline.
    pub lines_max: u64,
    /// Most messages of a page.
    pub page_max: u64,
    /// Names under which users come and go.
    pub guests: &'static [&'static str],
    /// How many accounts there are that only get messages.
    pub crowd: usize,
    /// Whether a backup is restored before users register.
    pub restores: bool,
    /// Whether somebody bounds what may be stored, for a while.
    pub bounds: bool,
    /// Whether servers on machines of their own go on without a majority.
    pub goes_alone: bool,
    /// Whether somebody watches, and how many looks there are for a backup.
    pub surveys_per_backup: u64,
}

impl Default for Scale {
    /// Residents alone, in no hurry, and files so small that snapshots, purges and
    /// transfers happen all the time.
    fn default() -> Scale {
        Scale {
            snapshot_bytes: 20_000,
            entries_kept: 30,
            segment_bytes: 16 * 1024,
            window_entries: Limits::default().deduplication_window_entries,
            hasty: false,
            lines_max: 20,
            page_max: 200,
            guests: &[],
            crowd: 0,
            restores: false,
            bounds: false,
            goes_alone: false,
            surveys_per_backup: 4,
        }
    }
}

/// What kind of load a world has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    Thin,
    /// Hundreds of lines at once, from several users.
    Heavy,
    /// Messages to hundreds.
    Crowd,
    /// Little, after a backup was restored.
    Restored,
}

impl Scale {
    /// The scale that belongs to a seed. Recipes follow the last digit of a seed, so
    /// what stands before it decides here.
    pub fn of_seed(seed: u64) -> Scale {
        let mut random = Prng::new(seed ^ 0x5ca1e);
        let load = match seed / 10 % 12 {
            4 | 10 => Load::Heavy,
            5 => Load::Crowd,
            7 => Load::Restored,
            _ => Load::Thin,
        };
        let mut scale = Scale {
            snapshot_bytes: [6_000, 20_000, 60_000, 150_000][random.index(4)],
            entries_kept: [3, 30, 200][random.index(3)],
            segment_bytes: [4, 16, 64][random.index(3)] * 1024,
            hasty: true,
            page_max: [15, 60, 200][random.index(3)],
            guests: &["dave", "erin"],
            ..Scale::default()
        };
        if random.one_in(3) {
            // More than a client's time limit allows, and less than a world has.
            scale.window_entries = 2_000;
        }
        // By itself, so that the rest of a world is as it was.
        scale.bounds = Prng::new(seed ^ 0xb0_0d5).one_in(3);
        match load {
            Load::Thin => {}
            Load::Restored => scale.restores = true,
            Load::Heavy => {
                scale.lines_max = 250;
                scale.snapshot_bytes = [20_000, 60_000][random.index(2)];
                scale.page_max = 1_000;
            }
            Load::Crowd => {
                scale.crowd = 200;
                scale.page_max = 1_000;
                scale.snapshot_bytes = 150_000;
                scale.segment_bytes = 64 * 1024;
            }
        }
        scale
    }

    /// The same for users who must not notice anything: nobody is given little time
    /// or goes away.
    pub fn without_failures(self) -> Scale {
        Scale { hasty: false, guests: &[], restores: false, bounds: false, ..self }
    }

    /// The limits of this world's servers.
    pub fn limits(&self) -> Limits {
        Limits {
            snapshot_log_min_bytes: self.snapshot_bytes,
            log_entries_kept: self.entries_kept,
            log_segment_max_bytes: self.segment_bytes,
            deduplication_window_entries: self.window_entries,
            ..Limits::default()
        }
    }
}
