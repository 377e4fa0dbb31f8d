//! What is on a machine's disk: a tree of files as processes see it, and how to undo
//! every change since the last sync.
//!
//! All processes see all changes at once (the page cache). Only what was synced is
//! durable: contents by `sync_data` of the file, names by `sync_dir` of the folder.
//! [`super::crash`] decides what a power cut leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Component, Path};

use bytes::Bytes;

use crate::world::ProcessKey;

/// Number of a file or folder; survives renames.
pub type Inode = u64;

const ROOT: Inode = 0;

/// Whether a change of content has reached the platter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Only in the page cache.
    Waiting,
    /// Synced, behind a change that was lost.
    Durable,
    /// Dropped by a failed sync, although readers still see it.
    Lost,
}

/// A change of a file's content.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Bytes added at the end, which was at `at`.
    Append { at: usize, bytes: Bytes },
    /// Cut to `to` bytes; what was cut off.
    Cut { to: usize, removed: Vec<u8> },
}

/// A file: its content as read, and the changes that are not durable.
#[derive(Debug, Default)]
pub struct FileBody {
    /// As every process reads it.
    pub current: Vec<u8>,
    /// In the order in which they were made.
    pub pending: Vec<(Edit, Fate)>,
}

/// A file or folder.
#[derive(Debug)]
pub enum Node {
    File(FileBody),
    Folder(BTreeMap<String, Inode>),
}

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
pub enum NameEdit {
    Link { folder: Inode, name: String, inode: Inode },
    Unlink { folder: Inode, name: String, inode: Inode },
    Rename { from: (Inode, String), to: (Inode, String), inode: Inode, replaced: Option<Inode> },
}

impl NameEdit {
    /// The folders whose entries it changes.
    pub fn folders(&self) -> [Inode; 2] {
        match self {
            NameEdit::Link { folder, .. } | NameEdit::Unlink { folder, .. } => [*folder, *folder],
            NameEdit::Rename { from, to, .. } => [from.0, to.0],
        }
    }
}

/// One machine's disk.
#[derive(Debug)]
pub struct Image {
    pub(super) nodes: BTreeMap<Inode, Node>,
    next: u64,
    pub(super) name_edits: Vec<NameEdit>,
    /// Open files by descriptor.
    pub(super) descriptors: BTreeMap<u64, (ProcessKey, Inode)>,
    /// Locked files.
    pub(super) locks: BTreeMap<Inode, ProcessKey>,
    /// Bytes that fit; `None`: plenty.
    pub quota_bytes: Option<u64>,
}

fn error(kind: ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{}: {kind}", path.display()))
}

impl Default for Image {
    fn default() -> Self {
        Image {
            nodes: BTreeMap::from([(ROOT, Node::Folder(BTreeMap::new()))]),
            next: 1,
            name_edits: Vec::new(),
            descriptors: BTreeMap::new(),
            locks: BTreeMap::new(),
            quota_bytes: None,
        }
    }
}

impl Image {
    fn names(path: &Path) -> io::Result<Vec<&str>> {
        let mut names = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => {
                    names.push(name.to_str().ok_or_else(|| error(ErrorKind::InvalidInput, path))?);
                }
                Component::RootDir | Component::CurDir => {}
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(error(ErrorKind::InvalidInput, path));
                }
            }
        }
        Ok(names)
    }

    fn folder(&self, inode: Inode, path: &Path) -> io::Result<&BTreeMap<String, Inode>> {
        match self.nodes.get(&inode) {
            Some(Node::Folder(entries)) => Ok(entries),
            _ => Err(error(ErrorKind::NotADirectory, path)),
        }
    }

    fn entries(&mut self, inode: Inode) -> &mut BTreeMap<String, Inode> {
        match self.nodes.get_mut(&inode) {
            Some(Node::Folder(entries)) => entries,
            _ => unreachable!("inode {inode} was looked up as a folder"),
        }
    }

    /// The file or folder of a path.
    pub fn find(&self, path: &Path) -> io::Result<Inode> {
        let mut inode = ROOT;
        for name in Self::names(path)? {
            inode = *self
                .folder(inode, path)?
                .get(name)
                .ok_or_else(|| error(ErrorKind::NotFound, path))?;
        }
        Ok(inode)
    }

    fn parent_and_name(&self, path: &Path) -> io::Result<(Inode, String)> {
        let names = Self::names(path)?;
        let name = names.last().ok_or_else(|| error(ErrorKind::InvalidInput, path))?.to_string();
        let parent = self.find(path.parent().unwrap_or(Path::new("")))?;
        self.folder(parent, path)?;
        Ok((parent, name))
    }

    fn link(&mut self, folder: Inode, name: String, node: Node) -> Inode {
        let inode = self.next;
        self.next += 1;
        self.nodes.insert(inode, node);
        self.entries(folder).insert(name.clone(), inode);
        self.name_edits.push(NameEdit::Link { folder, name, inode });
        inode
    }

    /// Who holds the lock of the file that a path leads to.
    pub fn holder(&self, path: &Path) -> Option<ProcessKey> {
        self.locks.get(&self.find(path).ok()?).copied()
    }

    /// The content of a file.
    pub fn body(&self, inode: Inode, path: &Path) -> io::Result<&FileBody> {
        match self.nodes.get(&inode) {
            Some(Node::File(body)) => Ok(body),
            Some(Node::Folder(_)) => Err(error(ErrorKind::IsADirectory, path)),
            None => Err(error(ErrorKind::NotFound, path)),
        }
    }

    /// The content of a file, to change it.
    pub fn body_mut(&mut self, inode: Inode, path: &Path) -> io::Result<&mut FileBody> {
        match self.nodes.get_mut(&inode) {
            Some(Node::File(body)) => Ok(body),
            Some(Node::Folder(_)) => Err(error(ErrorKind::IsADirectory, path)),
            None => Err(error(ErrorKind::NotFound, path)),
        }
    }

    pub fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut folder = ROOT;
        for name in Self::names(path)? {
            folder = match self.folder(folder, path)?.get(name) {
                Some(inode) => *inode,
                None => self.link(folder, name.to_string(), Node::Folder(BTreeMap::new())),
            };
        }
        self.folder(folder, path).map(|_| ())
    }

    pub fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Ok(self.folder(self.find(path)?, path)?.keys().cloned().collect())
    }

    /// Makes a file or empties an old one.
    pub fn create(&mut self, path: &Path) -> io::Result<Inode> {
        let (folder, name) = self.parent_and_name(path)?;
        if let Some(inode) = self.folder(folder, path)?.get(&name).copied() {
            self.body_mut(inode, path)?.cut(0);
            return Ok(inode);
        }
        if self.room() == 0 {
            return Err(error(ErrorKind::StorageFull, path));
        }
        Ok(self.link(folder, name, Node::File(FileBody::default())))
    }

    /// The file of a path, made if it is missing and left as it is if not.
    pub fn find_or_create(&mut self, path: &Path) -> io::Result<Inode> {
        match self.find(path) {
            Ok(inode) => self.body(inode, path).map(|_| inode),
            Err(error) if error.kind() == ErrorKind::NotFound => self.create(path),
            Err(error) => Err(error),
        }
    }

    /// Puts a durable file there, for what the system itself provides.
    pub fn put(&mut self, path: &Path, content: Bytes) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        self.create_dir_all(folder)?;
        let inode = self.create(path)?;
        let body = self.body_mut(inode, path)?;
        body.append(content);
        body.sync();
        for folder in folder.ancestors() {
            self.sync_dir(folder)?;
        }
        Ok(())
    }

    pub fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_folder, from_name) = self.parent_and_name(from)?;
        let (to_folder, to_name) = self.parent_and_name(to)?;
        let inode = self.find(from)?;
        let replaced = self.folder(to_folder, to)?.get(&to_name).copied();
        if replaced == Some(inode) {
            return Ok(());
        }
        if let Some(old) = replaced {
            match (&self.nodes[&old], &self.nodes[&inode]) {
                (Node::File(_), Node::File(_)) => {}
                (Node::Folder(entries), Node::Folder(_)) if entries.is_empty() => {}
                (Node::Folder(_), Node::Folder(_)) => {
                    return Err(error(ErrorKind::DirectoryNotEmpty, to));
                }
                (Node::Folder(_), Node::File(_)) => {
                    return Err(error(ErrorKind::IsADirectory, to));
                }
                (Node::File(_), Node::Folder(_)) => {
                    return Err(error(ErrorKind::NotADirectory, to));
                }
            }
        }
        self.entries(from_folder).remove(&from_name);
        self.entries(to_folder).insert(to_name.clone(), inode);
        let (from, to) = ((from_folder, from_name), (to_folder, to_name));
        self.name_edits.push(NameEdit::Rename { from, to, inode, replaced });
        Ok(())
    }

    pub fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.find(path)?;
        self.body(inode, path)?;
        let (folder, name) = self.parent_and_name(path)?;
        self.unlink(folder, name, inode);
        Ok(())
    }

    fn unlink(&mut self, folder: Inode, name: String, inode: Inode) {
        self.entries(folder).remove(&name);
        self.name_edits.push(NameEdit::Unlink { folder, name, inode });
    }

    /// Removes a folder as an operating system does: entry by entry, so that a
    /// crash may leave it half empty.
    pub fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.find(path)?;
        let (folder, name) = self.parent_and_name(path)?;
        self.folder(inode, path)?;
        self.empty_folder(inode);
        self.unlink(folder, name, inode);
        Ok(())
    }

    fn empty_folder(&mut self, folder: Inode) {
        for (name, inode) in self.entries(folder).clone() {
            if matches!(self.nodes[&inode], Node::Folder(_)) {
                self.empty_folder(inode);
            }
            self.unlink(folder, name, inode);
        }
    }

    /// Makes a folder's names durable. A rename between two folders takes the
    /// other folder's changes along, as a journal does.
    pub fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let inode = self.find(path)?;
        self.folder(inode, path)?;
        let mut synced = BTreeSet::from([inode]);
        loop {
            let before = synced.len();
            for edit in &self.name_edits {
                let folders = edit.folders();
                if folders.iter().any(|folder| synced.contains(folder)) {
                    synced.extend(folders);
                }
            }
            if synced.len() == before {
                break;
            }
        }
        self.name_edits.retain(|edit| !synced.contains(&edit.folders()[0]));
        self.collect_garbage();
        Ok(())
    }

    /// Forgets what no name, no change that may be taken back, and no open
    /// descriptor leads to.
    pub(super) fn collect_garbage(&mut self) {
        let mut reached = BTreeSet::new();
        let mut open: Vec<Inode> = vec![ROOT];
        open.extend(self.descriptors.values().map(|(_, inode)| *inode));
        open.extend(self.locks.keys());
        for edit in &self.name_edits {
            open.extend(edit.folders());
            match edit {
                NameEdit::Link { inode, .. } | NameEdit::Unlink { inode, .. } => open.push(*inode),
                NameEdit::Rename { inode, replaced, .. } => {
                    open.push(*inode);
                    open.extend(replaced);
                }
            }
        }
        while let Some(inode) = open.pop() {
            if reached.insert(inode)
                && let Some(Node::Folder(entries)) = self.nodes.get(&inode)
            {
                open.extend(entries.values());
            }
        }
        self.nodes.retain(|inode, _| reached.contains(inode));
    }

    /// Every file below a folder with its path, in order.
    pub fn files_below(&self, path: &Path) -> io::Result<Vec<(String, Inode)>> {
        let start = self.find(path)?;
        let mut open = vec![(path.display().to_string(), start)];
        let mut files = Vec::new();
        while let Some((path, inode)) = open.pop() {
            match &self.nodes[&inode] {
                Node::File(_) => files.push((path, inode)),
                Node::Folder(entries) => open.extend(
                    entries.iter().rev().map(|(name, inode)| (format!("{path}/{name}"), *inode)),
                ),
            }
        }
        Ok(files)
    }

    pub fn used_bytes(&self, path: &Path) -> io::Result<u64> {
        let files = self.files_below(path)?;
        files
            .iter()
            .try_fold(0, |sum, (_, inode)| Ok(sum + self.body(*inode, path)?.current.len() as u64))
    }

    /// Bytes in all files, except those that the system itself provides.
    pub fn used_in_all(&self) -> u64 {
        let used = |path| self.used_bytes(Path::new(path)).unwrap_or(0);
        used("/") - used("/proc") - used("/etc")
    }

    /// Bytes that still fit.
    pub fn room(&self) -> u64 {
        let Some(quota) = self.quota_bytes else { return u64::MAX };
        quota.saturating_sub(self.used_in_all())
    }
}

impl FileBody {
    /// Adds bytes at the end.
    pub fn append(&mut self, bytes: Bytes) {
        let at = self.current.len();
        self.current.extend_from_slice(&bytes);
        self.pending.push((Edit::Append { at, bytes }, Fate::Waiting));
    }

    /// Cuts to a length; nothing happens when the file is no longer than that.
    pub fn cut(&mut self, to: usize) {
        if to < self.current.len() {
            let removed = self.current.split_off(to);
            self.pending.push((Edit::Cut { to, removed }, Fate::Waiting));
        }
    }
}
