//! Snapshot lines that a disk, or a defect, has changed.

use super::snapshots::eventful;
use super::*;
use crate::protocol::fuzzing::{Changes, fuzz};

#[test]
fn fuzz_snapshots() {
    let chat = eventful();
    let written = lines(&chat.state);
    let mut places = Changes::new(3);
    let mut restored = 0;
    fuzz("snapshots", &written, |line| {
        // In the place of any line, or beside it.
        let mut changed = written.clone();
        let at = places.below(changed.len());
        match places.below(3) {
            0 => changed[at] = line.to_vec(),
            1 => changed.insert(at, line.to_vec()),
            _ => drop(changed.remove(at)),
        }
        if let Ok(state) = restore(100, &changed) {
            // The hash at the end lets nothing through but the same state.
            audit(&state);
            assert_eq!(state.hash(), chat.state.hash());
            restored += 1;
        }
    });
    assert!(restored > 0, "a line may be written another way");
}
