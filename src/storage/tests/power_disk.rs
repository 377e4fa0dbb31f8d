//! For tests: a disk in memory, of which a power cut leaves what was synced.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, MutexGuard};

use bytes::Bytes;

use crate::host::{BoxFuture, Disk, DiskFile, FileId, FileLock, FileSystem, Host};
use crate::sync::Mutex;

/// What is left for the next process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The power was cut: what was synced, contents by their file's sync, names by
    /// their folder's.
    Synced,
    /// The power was cut when everything had reached the disk by itself.
    All,
    /// Only the process died: everything, but a power cut may still take it.
    Unsynced,
    /// The power was cut when all that was written had reached the disk by itself, and
    /// no cut of a file and no change of names had.
    Uncut,
    /// The power was cut when all names and the second half of what was written to each
    /// file had reached the disk by themselves, and the first half had not: zeros.
    Hole,
}

/// See the head of this file. Clones are the same disk.
#[derive(Clone)]
pub struct PowerDisk {
    image: Arc<Mutex<Image>>,
    /// In which life of the machine a process has it; `None` for the test.
    life: Option<usize>,
}

struct Image {
    /// By number. The first one is the root.
    nodes: Vec<Node>,
    /// Changes and syncs so far.
    steps: usize,
    /// After so many there is no power.
    steps_max: usize,
    /// Whether the power has gone, in the middle of a write if there was one.
    gone: bool,
    /// Counts power cuts: who was there before the last one has nothing any more.
    life: usize,
    locked: Vec<usize>,
    /// Bytes that still fit; `None`: no bound.
    room: Option<usize>,
}

enum Node {
    /// As it is read, as it was synced, and as it was after the last write.
    File {
        now: Vec<u8>,
        synced: Vec<u8>,
        written: Vec<u8>,
    },
    Folder {
        now: Names,
        synced: Names,
    },
}

type Names = BTreeMap<String, usize>;

impl PowerDisk {
    pub fn new() -> PowerDisk {
        let root = Node::Folder { now: Names::new(), synced: Names::new() };
        let image = Image {
            nodes: vec![root],
            steps: 0,
            steps_max: usize::MAX,
            gone: false,
            life: 0,
            locked: Vec::new(),
            room: None,
        };
        PowerDisk { image: Arc::new(Mutex::new(image)), life: None }
    }

    /// The real machine with this disk, until the power is cut.
    pub fn host(&self) -> Host {
        let life = Some(self.image().life);
        let disk = PowerDisk { image: Arc::clone(&self.image), life };
        Host { disk: Arc::new(disk), ..Host::real() }
    }

    /// Cuts the power after so many further steps.
    pub fn cut_after(&self, steps: usize) {
        let mut image = self.image();
        image.steps_max = image.steps + steps;
    }

    /// How many more bytes can be written.
    pub fn set_room(&self, bytes: Option<usize>) {
        self.image().room = bytes;
    }

    /// Whether nothing has failed for want of power.
    pub fn is_on(&self) -> bool {
        !self.image().gone
    }

    /// Restores the power, which is cut now if it was not.
    pub fn restart(&self, left: Left) {
        let mut image = self.image();
        image.life += 1;
        image.steps_max = usize::MAX;
        image.gone = false;
        image.locked.clear();
        for node in &mut image.nodes {
            match (left, &mut *node) {
                (Left::All, Node::File { now, synced, .. }) => synced.clone_from(now),
                (Left::All | Left::Hole, Node::Folder { now, synced }) => synced.clone_from(now),
                (Left::Synced, Node::File { now, synced, .. }) => now.clone_from(synced),
                (Left::Synced | Left::Uncut, Node::Folder { now, synced }) => {
                    now.clone_from(synced);
                }
                (Left::Uncut, Node::File { now, synced, written }) => {
                    now.clone_from(written);
                    synced.clone_from(written);
                }
                (Left::Hole, Node::File { now, synced, written }) => {
                    let unsynced = written.get_mut(synced.len()..).unwrap_or_default();
                    let half = unsynced.len().div_ceil(2);
                    unsynced[..half].fill(0);
                    now.clone_from(written);
                    synced.clone_from(written);
                }
                (Left::Unsynced, _) => {}
            }
            if let Node::File { now, written, .. } = node {
                written.clone_from(now);
            }
        }
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock()
    }

    /// Looks at something, or changes it in one step.
    fn call<T: Send + 'static>(
        &self,
        steps: usize,
        action: impl FnOnce(&mut Image) -> io::Result<T>,
    ) -> BoxFuture<'static, io::Result<T>> {
        let mut image = self.image();
        let done = match image.takes(self.life, steps) {
            true => action(&mut image),
            false => Err(io::Error::other("there is no power")),
        };
        Box::pin(std::future::ready(done))
    }

    fn file(&self, number: usize) -> Box<dyn DiskFile> {
        Box::new(PowerFile { disk: self.clone(), number })
    }
}

impl Image {
    /// Whether a call of so many steps is done for a process of this life.
    fn takes(&mut self, life: Option<usize>, steps: usize) -> bool {
        let alive = life.is_none_or(|life| life == self.life);
        self.gone |= alive && self.steps + steps > self.steps_max;
        if !alive || self.gone {
            return false;
        }
        self.steps += steps;
        true
    }

    fn names(&mut self, folder: usize) -> io::Result<&mut Names> {
        match &mut self.nodes[folder] {
            Node::Folder { now, .. } => Ok(now),
            Node::File { .. } => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn find(&mut self, path: &Path) -> io::Result<usize> {
        let mut number = 0;
        for part in path.components() {
            if let Component::Normal(name) = part {
                let name = name.to_string_lossy();
                let found = self.names(number)?.get(&*name).copied();
                number = found.ok_or(io::ErrorKind::NotFound)?;
            }
        }
        Ok(number)
    }

    /// The folder of a path, and its name there.
    fn place(&mut self, path: &Path) -> io::Result<(usize, String)> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = self.find(path.parent().unwrap_or(Path::new("/")))?;
        Ok((folder, name.to_string_lossy().into_owned()))
    }

    fn content(&mut self, number: usize) -> io::Result<&mut Vec<u8>> {
        match &mut self.nodes[number] {
            Node::File { now, .. } => Ok(now),
            Node::Folder { .. } => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// Writes as much as fits to the end of a file; whether that is all.
    fn write(&mut self, number: usize, bytes: &[u8]) -> io::Result<()> {
        let fitting = self.room.map_or(bytes.len(), |room| room.min(bytes.len()));
        self.room = self.room.map(|room| room - fitting);
        let content = self.content(number)?;
        content.extend_from_slice(&bytes[..fitting]);
        if let Node::File { now, written, .. } = &mut self.nodes[number] {
            written.clone_from(now);
        }
        match fitting == bytes.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    /// The number behind a path, which is made if there is none.
    fn make(&mut self, path: &Path, node: fn() -> Node) -> io::Result<usize> {
        let (folder, name) = self.place(path)?;
        if let Some(found) = self.names(folder)?.get(&name) {
            return Ok(*found);
        }
        self.nodes.push(node());
        let number = self.nodes.len() - 1;
        self.names(folder)?.insert(name, number);
        Ok(number)
    }
}

fn empty_file() -> Node {
    Node::File { now: Vec::new(), synced: Vec::new(), written: Vec::new() }
}

fn empty_folder() -> Node {
    Node::Folder { now: Names::new(), synced: Names::new() }
}

impl Disk for PowerDisk {
    fn create_dir_all(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        self.call(1, |image| {
            let mut folders: Vec<&Path> = path.ancestors().collect();
            folders.pop();
            while let Some(folder) = folders.pop() {
                image.make(folder, empty_folder)?;
            }
            Ok(())
        })
    }
    fn list(&self, path: &Path) -> BoxFuture<'static, io::Result<Vec<String>>> {
        self.call(0, |image| {
            let number = image.find(path)?;
            Ok(image.names(number)?.keys().cloned().collect())
        })
    }
    fn create(&self, path: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        let made = self.call(1, |image| {
            let number = image.make(path, empty_file)?;
            image.content(number)?.clear();
            Ok(number)
        });
        let disk = self.clone();
        Box::pin(async move { Ok(disk.file(made.await?)) })
    }
    fn open(&self, path: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        let found = self.call(0, |image| image.find(path));
        let disk = self.clone();
        Box::pin(async move { Ok(disk.file(found.await?)) })
    }
    fn read(&self, path: &Path) -> BoxFuture<'static, io::Result<Vec<u8>>> {
        self.call(0, |image| {
            let number = image.find(path)?;
            Ok(image.content(number)?.clone())
        })
    }
    fn rename(&self, from: &Path, to: &Path) -> BoxFuture<'static, io::Result<()>> {
        self.call(1, |image| {
            let ((from, old), (to, new)) = (image.place(from)?, image.place(to)?);
            let number = image.names(from)?.remove(&old).ok_or(io::ErrorKind::NotFound)?;
            image.names(to)?.insert(new, number);
            Ok(())
        })
    }
    fn remove_file(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        self.call(1, |image| {
            let (folder, name) = image.place(path)?;
            image.names(folder)?.remove(&name).ok_or(io::ErrorKind::NotFound)?;
            Ok(())
        })
    }
    fn remove_dir_all(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        self.remove_file(path)
    }
    fn sync_dir(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        self.call(1, |image| {
            let number = image.find(path)?;
            match &mut image.nodes[number] {
                Node::Folder { now, synced } => synced.clone_from(now),
                Node::File { .. } => return Err(io::ErrorKind::NotADirectory.into()),
            }
            Ok(())
        })
    }
    fn try_lock(&self, path: &Path) -> BoxFuture<'static, io::Result<Option<Box<dyn FileLock>>>> {
        let taken = self.call(1, |image| {
            let number = image.make(path, empty_file)?;
            if image.locked.contains(&number) {
                return Ok(None);
            }
            image.locked.push(number);
            Ok(Some(number))
        });
        let disk = self.clone();
        Box::pin(async move {
            let lock =
                |number| Box::new(PowerLock(PowerFile { disk, number })) as Box<dyn FileLock>;
            Ok(taken.await?.map(lock))
        })
    }
    fn is_locked(&self, path: &Path) -> BoxFuture<'static, io::Result<bool>> {
        self.call(0, |image| {
            let number = image.find(path)?;
            Ok(image.locked.contains(&number))
        })
    }
    fn file_id(&self, path: &Path) -> BoxFuture<'static, io::Result<FileId>> {
        self.call(0, |image| Ok(FileId { device: 1, inode: image.find(path)? as u64 }))
    }
    fn file_system(&self, _path: &Path) -> BoxFuture<'static, io::Result<FileSystem>> {
        let known = FileSystem { name: "memory".into(), locks_are_local: true };
        Box::pin(std::future::ready(Ok(known)))
    }
    fn used_bytes(&self, _path: &Path) -> BoxFuture<'static, io::Result<u64>> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

struct PowerFile {
    disk: PowerDisk,
    number: usize,
}

impl PowerFile {
    fn call<T: Send + 'static>(
        &self,
        steps: usize,
        action: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> BoxFuture<'static, io::Result<T>> {
        self.disk.call(steps, |image| Ok(action(image.content(self.number)?)))
    }
}

impl DiskFile for PowerFile {
    fn len(&self) -> BoxFuture<'_, io::Result<u64>> {
        self.call(0, |content| content.len() as u64)
    }
    /// When the power goes, half of it is written.
    fn append(&mut self, bytes: Bytes) -> BoxFuture<'_, io::Result<()>> {
        let mut image = self.disk.image();
        if image.steps == image.steps_max && !image.gone {
            // It is told as what it is below.
            let _ = image.write(self.number, &bytes[..bytes.len() / 2]);
        }
        drop(image);
        self.disk.call(1, |image| image.write(self.number, &bytes))
    }
    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        self.call(0, |content| {
            let from = content.len().min(offset as usize);
            content[from..content.len().min(from + length)].to_vec()
        })
    }
    fn truncate(&mut self, length: u64) -> BoxFuture<'_, io::Result<()>> {
        self.call(1, |content| content.resize(length as usize, 0))
    }
    fn sync_data(&mut self) -> BoxFuture<'_, io::Result<()>> {
        self.disk.call(1, |image| {
            if let Node::File { now, synced, written } = &mut image.nodes[self.number] {
                synced.clone_from(now);
                written.clone_from(now);
            }
            Ok(())
        })
    }
}

struct PowerLock(PowerFile);

impl FileLock for PowerLock {
    fn file_id(&self) -> BoxFuture<'_, io::Result<FileId>> {
        let id = FileId { device: 1, inode: self.0.number as u64 };
        Box::pin(std::future::ready(Ok(id)))
    }
    fn write_holder(&mut self, text: &str) -> BoxFuture<'_, io::Result<()>> {
        let text = text.as_bytes().to_vec();
        self.0.call(1, move |content| *content = text)
    }
}

impl Drop for PowerLock {
    fn drop(&mut self) {
        let mut image = self.0.disk.image();
        if self.0.disk.life.is_none_or(|life| life == image.life) {
            image.locked.retain(|number| *number != self.0.number);
        }
    }
}
