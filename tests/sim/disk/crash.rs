//! What the platter holds: syncs that succeed and fail, power cuts, rot.
//!
//! A power cut undoes every change since the last sync, but some of them stay after all,
//! as if a kernel had been writing back: of each file a prefix of its appends and cuts,
//! the last one torn at any byte; of each folder a prefix of its creations, renames and
//! removals. Contents and names are independent of each other, so a renamed file may be
//! there without its content, and a synced file without its name.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::image::{Edit, Fate, FileBody, Image, Inode, NameEdit, Node};
use crate::random::Prng;
use crate::trace::excerpt;
use crate::world::ProcessKey;

impl FileBody {
    /// A successful sync: what waits is durable now.
    pub fn sync(&mut self) {
        for (_, fate) in &mut self.pending {
            if *fate == Fate::Waiting {
                *fate = Fate::Durable;
            }
        }
        // What has no lost change before it never needs to be taken back.
        let first_lost = self.pending.iter().position(|(_, fate)| *fate == Fate::Lost);
        self.pending.drain(..first_lost.unwrap_or(self.pending.len()));
    }

    /// A failed sync. Linux marks the pages clean all the same, so the next
    /// sync succeeds although the bytes are nowhere but in memory; other file
    /// systems keep them dirty.
    pub fn fail_sync(&mut self, drop_pages: bool) {
        for (_, fate) in &mut self.pending {
            if *fate == Fate::Waiting && drop_pages {
                *fate = Fate::Lost;
            }
        }
    }

    /// A power cut.
    fn crash(&mut self, random: &mut Prng) {
        let pending = std::mem::take(&mut self.pending);
        for (edit, _) in pending.iter().rev() {
            match edit {
                Edit::Append { at, .. } => self.current.truncate(*at),
                Edit::Cut { removed, .. } => self.current.extend_from_slice(removed),
            }
        }
        let waiting = pending.iter().filter(|(_, fate)| *fate == Fate::Waiting).count() as u64;
        let mut survivors = random.between(0, waiting);
        let last_durable = pending.iter().rposition(|(_, fate)| *fate == Fate::Durable);
        for (place, (edit, fate)) in pending.into_iter().enumerate() {
            let whole = match fate {
                Fate::Durable => true,
                Fate::Lost => false,
                Fate::Waiting if survivors > 0 => {
                    survivors -= 1;
                    true
                }
                Fate::Waiting => {
                    // The first that does not survive whole may be torn.
                    if let Edit::Append { bytes, .. } = &edit {
                        let torn = random.between(0, bytes.len() as u64) as usize;
                        self.current.extend_from_slice(&bytes[..torn]);
                    }
                    return;
                }
            };
            match edit {
                Edit::Append { bytes, .. } if whole => self.current.extend_from_slice(&bytes),
                // A hole: later bytes are durable, these never were.
                Edit::Append { bytes, .. } if last_durable > Some(place) => {
                    self.current.resize(self.current.len() + bytes.len(), 0);
                }
                Edit::Append { .. } => {}
                Edit::Cut { to, .. } if whole => self.current.truncate(to),
                Edit::Cut { .. } => {}
            }
        }
    }
}

impl Image {
    /// A power cut: see the head of this file. All processes must be gone.
    pub fn crash(&mut self, random: &mut Prng) {
        self.descriptors.clear();
        self.locks.clear();
        let edits = std::mem::take(&mut self.name_edits);
        let (mut stopped, mut undone) = (BTreeSet::<Inode>::new(), Vec::new());
        for edit in edits {
            let folders = edit.folders();
            if folders.iter().any(|folder| stopped.contains(folder)) || random.one_in(3) {
                stopped.extend(folders);
                undone.push(edit);
            }
        }
        for edit in undone.into_iter().rev() {
            self.undo(edit);
        }
        self.collect_garbage();
        for node in self.nodes.values_mut() {
            if let Node::File(body) = node {
                body.crash(random);
            }
        }
    }

    fn undo(&mut self, edit: NameEdit) {
        let mut put = |folder: Inode, name: String, inode: Option<Inode>| {
            if let Some(Node::Folder(entries)) = self.nodes.get_mut(&folder) {
                match inode {
                    Some(inode) => entries.insert(name, inode),
                    None => entries.remove(&name),
                };
            }
        };
        match edit {
            NameEdit::Link { folder, name, .. } => put(folder, name, None),
            NameEdit::Unlink { folder, name, inode } => put(folder, name, Some(inode)),
            NameEdit::Rename { from, to, inode, replaced } => {
                put(to.0, to.1, replaced);
                put(from.0, from.1, Some(inode));
            }
        }
    }

    /// The end of a process: its descriptors and locks go, what it wrote stays.
    pub fn release(&mut self, process: ProcessKey) {
        self.descriptors.retain(|_, (owner, _)| *owner != process);
        self.locks.retain(|_, owner| *owner != process);
    }

    /// Flips one bit of a synced file below a folder and says where.
    ///
    /// # Errors
    /// When the folder does not exist.
    pub fn flip_bit(&mut self, path: &Path, random: &mut Prng) -> io::Result<Option<String>> {
        let files: Vec<_> = self
            .files_below(path)?
            .into_iter()
            .filter(|(_, inode)| {
                matches!(&self.nodes[inode], Node::File(body)
                    if body.pending.is_empty() && !body.current.is_empty())
            })
            .collect();
        if files.is_empty() {
            return Ok(None);
        }
        let (name, inode) = &files[random.index(files.len())];
        let body = self.body_mut(*inode, path)?;
        let (place, bit) = (random.index(body.current.len()), random.index(8));
        body.current[place] ^= 1 << bit;
        Ok(Some(format!("{name}, byte {place}, bit {bit}")))
    }

    /// Every file below a folder with its beginning, for traces.
    pub fn dump(&self, path: &Path) -> String {
        let mut text = String::new();
        let Ok(files) = self.files_below(path) else {
            return format!("{} is not there\n", path.display());
        };
        for (name, inode) in files {
            if let Node::File(body) = &self.nodes[&inode] {
                let unsynced = match body.pending.len() {
                    0 => String::new(),
                    pending => format!(", {pending} changes not durable"),
                };
                let length = body.current.len();
                let _ = writeln!(text, "{name} ({length} bytes{unsynced})");
                for line in body.current.split(|byte| *byte == b'\n').take(20) {
                    let _ = writeln!(text, "    {}", excerpt(line));
                }
            }
        }
        text
    }
}
