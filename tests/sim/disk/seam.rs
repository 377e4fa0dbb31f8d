//! The seam: a machine's disk as one of its processes meets it.

use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use ftchat::host::{BoxFuture, Disk, DiskFile, FileId, FileLock, FileSystem};
use ftchat::planted::{self, Bug};

use super::image::{Image, Inode};
use super::{Cost, DiskHealth};
use crate::random::Prng;
use crate::trace::fnv;
use crate::world::{ProcessHandle, State};

/// The disk of a process's machine.
pub struct SimDisk(pub ProcessHandle);

/// One call: time passes, the effect happens if the process still lives, time
/// passes again. A process that dies in the first part has done nothing, one
/// that dies in the second has done it and never hears of it.
async fn call<T>(
    handle: &ProcessHandle,
    cost: Cost,
    what: String,
    effect: impl FnOnce(&mut Image, &mut Prng, &mut DiskHealth) -> io::Result<T>,
) -> io::Result<T> {
    perform(handle, cost, what, None, effect).await
}

/// A call that changes something: a path, and the open file if it is one.
async fn change<T>(
    handle: &ProcessHandle,
    cost: Cost,
    what: String,
    changed: (&Path, Option<Inode>),
    effect: impl FnOnce(&mut Image, &mut Prng, &mut DiskHealth) -> io::Result<T>,
) -> io::Result<T> {
    perform(handle, cost, what, Some(changed), effect).await
}

async fn perform<T>(
    handle: &ProcessHandle,
    cost: Cost,
    what: String,
    changed: Option<(&Path, Option<Inode>)>,
    effect: impl FnOnce(&mut Image, &mut Prng, &mut DiskHealth) -> io::Result<T>,
) -> io::Result<T> {
    let (before_ms, after_ms) = handle
        .enter(|state| {
            let now_us = state.now_us;
            let machine = &mut state.machines[handle.machine.0];
            machine.health.latency_ms(cost, now_us, &mut machine.random)
        })
        .await;
    handle.pause(before_ms).await;
    if changed.is_some() {
        handle.if_alive(|state| state.count_change(handle.process, &what, false));
    }
    let result = handle
        .alive(|state| {
            if let Some((path, inode)) = changed {
                check_owner(state, handle, path, inode);
            }
            let machine = &mut state.machines[handle.machine.0];
            let result = effect(&mut machine.disk, &mut machine.random, &mut machine.health);
            note(state, handle, &what, result.as_ref().err());
            if changed.is_some() {
                state.count_change(handle.process, &what, true);
            }
            result
        })
        .await;
    handle.pause(after_ms).await;
    // The result may hold a lock, which must not be dropped under the state.
    handle.alive(|_| ()).await;
    result
}

/// Nobody changes what is in a data directory but the process that holds its
/// lock. Whatever servers believe of each other, this decides whether two ever
/// ran the same replica, so it is looked at from outside, at every change.
fn check_owner(state: &mut State, handle: &ProcessHandle, path: &Path, changed: Option<Inode>) {
    let Some(Component::Normal(top)) = path.components().nth(1) else { return };
    let is_data = top.to_str().is_some_and(|name| name.starts_with("data"));
    if !is_data || path.components().count() < 3 {
        return;
    }
    let disk = &state.machines[handle.machine.0].disk;
    // A file that was unlinked meanwhile is nobody's any more.
    let is_there = changed.is_none_or(|inode| disk.find(path).is_ok_and(|found| found == inode));
    let holder = disk.holder(&Path::new("/").join(top).join("LOCK"));
    if is_there && holder != Some(handle.process) {
        let name = state.name(handle.process);
        let holder = holder.map_or("nobody".to_string(), |holder| state.name(holder));
        state
            .failures
            .push(format!("{name} changed {}, whose lock {holder} holds", path.display()));
    }
}

fn note(state: &mut State, handle: &ProcessHandle, what: &str, error: Option<&io::Error>) {
    let process = state.name(handle.process);
    match error {
        None => state.event(format_args!("{process} disk {what}")),
        Some(error) => state.event(format_args!("{process} disk {what}: {error}")),
    }
}

/// Runs a call whose arguments are copied into its future.
macro_rules! disk_call {
    ($self:ident, $cost:expr, $what:expr, $path:ident, $effect:expr) => {{
        let (handle, $path, what) = ($self.0.clone(), $path.to_path_buf(), $what);
        Box::pin(async move { call(&handle, $cost, what, $effect).await })
    }};
}

/// [`disk_call`] of something that changes what a path leads to.
macro_rules! disk_change {
    ($self:ident, $cost:expr, $what:expr, $path:ident, $effect:expr) => {{
        let (handle, $path, what) = ($self.0.clone(), $path.to_path_buf(), $what);
        Box::pin(async move { change(&handle, $cost, what, (&$path, None), $effect).await })
    }};
}

impl SimDisk {
    fn open_file(
        &self,
        path: &Path,
        action: &'static str,
        changes: bool,
        find: impl FnOnce(&mut Image, &Path) -> io::Result<Inode> + Send + 'static,
    ) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        let (handle, path) = (self.0.clone(), path.to_path_buf());
        Box::pin(async move {
            let what = format!("{action} {}", path.display());
            let process = handle.process;
            let changed = changes.then_some((path.as_path(), None));
            let (descriptor, inode) =
                perform(&handle, Cost::Light, what, changed, |image, _, _| {
                    let inode = find(image, &path)?;
                    image.body(inode, &path)?;
                    let descriptor =
                        image.descriptors.last_key_value().map_or(0, |(last, _)| last + 1);
                    image.descriptors.insert(descriptor, (process, inode));
                    Ok((descriptor, inode))
                })
                .await?;
            Ok(Box::new(SimFile { handle, path, descriptor, inode }) as Box<dyn DiskFile>)
        })
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        let what = format!("make folder {}", path.display());
        disk_change!(self, Cost::Light, what, path, |image, _, _| image.create_dir_all(&path))
    }

    fn list(&self, path: &Path) -> BoxFuture<'static, io::Result<Vec<String>>> {
        let what = format!("list {}", path.display());
        disk_call!(self, Cost::Light, what, path, |image, _, _| image.list(&path))
    }

    fn create(&self, path: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        self.open_file(path, "create", true, Image::create)
    }

    fn open(&self, path: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        self.open_file(path, "open", false, |image, path| image.find(path))
    }

    fn read(&self, path: &Path) -> BoxFuture<'static, io::Result<Vec<u8>>> {
        let what = format!("read {}", path.display());
        disk_call!(self, Cost::Light, what, path, |image, _, _| {
            Ok(image.body(image.find(&path)?, &path)?.current.clone())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> BoxFuture<'static, io::Result<()>> {
        let what = format!("rename {} to {}", from.display(), to.display());
        let from = from.to_path_buf();
        disk_change!(self, Cost::Light, what, to, |image, _, _| image.rename(&from, &to))
    }

    fn remove_file(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        let what = format!("remove {}", path.display());
        disk_change!(self, Cost::Light, what, path, |image, _, _| image.remove_file(&path))
    }

    fn remove_dir_all(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        let what = format!("remove folder {}", path.display());
        disk_change!(self, Cost::Light, what, path, |image, _, _| image.remove_dir_all(&path))
    }

    fn sync_dir(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        let what = format!("sync folder {}", path.display());
        disk_change!(self, Cost::Sync, what, path, |image, _, health| {
            // A failing disk fails the names as well; they stay as uncertain
            // as they were.
            if health.take_sync_failure() {
                return Err(sync_failure());
            }
            image.sync_dir(&path)
        })
    }

    fn try_lock(&self, path: &Path) -> BoxFuture<'static, io::Result<Option<Box<dyn FileLock>>>> {
        let (handle, path) = (self.0.clone(), path.to_path_buf());
        Box::pin(async move {
            let what = format!("try to lock {}", path.display());
            let process = handle.process;
            call(&handle, Cost::Light, what, |image, _, _| {
                let inode = image.find_or_create(&path)?;
                let held = image.locks.contains_key(&inode);
                if held && !planted::is(Bug::AdoptWithoutLock) {
                    return Ok(None);
                }
                image.locks.entry(inode).or_insert(process);
                // Made at once: who gives up waiting for the call drops it.
                let lock = SimLock { handle: handle.clone(), path: path.clone(), inode };
                Ok(Some(Box::new(lock) as Box<dyn FileLock>))
            })
            .await
        })
    }

    fn is_locked(&self, path: &Path) -> BoxFuture<'static, io::Result<bool>> {
        let what = format!("probe the lock of {}", path.display());
        disk_call!(self, Cost::Light, what, path, |image, _, _| {
            Ok(image.locks.contains_key(&image.find(&path)?))
        })
    }

    fn file_id(&self, path: &Path) -> BoxFuture<'static, io::Result<FileId>> {
        let what = format!("look at {}", path.display());
        disk_call!(self, Cost::Light, what, path, |image, _, _| Ok(file_id(image.find(&path)?)))
    }

    fn file_system(&self, path: &Path) -> BoxFuture<'static, io::Result<FileSystem>> {
        let what = format!("look at the file system of {}", path.display());
        disk_call!(self, Cost::Light, what, path, |image, _, _| {
            image.find(&path)?;
            Ok(FileSystem { name: "simulated".to_string(), locks_are_local: true })
        })
    }

    fn used_bytes(&self, path: &Path) -> BoxFuture<'static, io::Result<u64>> {
        let what = format!("measure {}", path.display());
        disk_call!(self, Cost::Light, what, path, |image, _, _| image.used_bytes(&path))
    }
}

fn file_id(inode: Inode) -> FileId {
    FileId { device: 1, inode }
}

fn sync_failure() -> io::Error {
    io::Error::other("input/output error: the disk did not take the data")
}

/// An open file of a process.
struct SimFile {
    handle: ProcessHandle,
    path: PathBuf,
    descriptor: u64,
    inode: Inode,
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.handle.if_alive(|state| {
            state.machines[self.handle.machine.0].disk.descriptors.remove(&self.descriptor);
        });
    }
}

/// Adds bytes, as many as there is room for.
async fn append(handle: &ProcessHandle, path: &Path, inode: Inode, bytes: Bytes) -> io::Result<()> {
    let what = format!(
        "append {} bytes ({:08x}) to {}",
        bytes.len(),
        fnv(0, &bytes) as u32,
        path.display()
    );
    change(handle, Cost::Light, what, (path, Some(inode)), |image, _, _| {
        let fits = usize::try_from(image.room()).unwrap_or(usize::MAX).min(bytes.len());
        let body = image.body_mut(inode, path)?;
        body.append(bytes.slice(..fits));
        if fits < bytes.len() {
            return Err(io::Error::new(ErrorKind::StorageFull, "no space left on device"));
        }
        Ok(())
    })
    .await
}

impl DiskFile for SimFile {
    fn len(&self) -> BoxFuture<'_, io::Result<u64>> {
        let what = format!("measure {}", self.path.display());
        Box::pin(call(&self.handle, Cost::Light, what, |image, _, _| {
            Ok(image.body(self.inode, &self.path)?.current.len() as u64)
        }))
    }

    fn append(&mut self, mut bytes: Bytes) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            // Large writes are not atomic: a process may die between two halves.
            let parts = self.handle.with(|state| {
                let random = &mut state.machines[self.handle.machine.0].random;
                random.one_in(8).then(|| random.between(0, bytes.len() as u64) as usize)
            });
            if let Some(first) = parts.filter(|first| *first > 0 && *first < bytes.len()) {
                append(&self.handle, &self.path, self.inode, bytes.split_to(first)).await?;
            }
            append(&self.handle, &self.path, self.inode, bytes).await
        })
    }

    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        let what = format!("read {length} bytes at {offset} of {}", self.path.display());
        Box::pin(call(&self.handle, Cost::Light, what, move |image, _, _| {
            let content = &image.body(self.inode, &self.path)?.current;
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
            Ok(content[start..start.saturating_add(length).min(content.len())].to_vec())
        }))
    }

    fn truncate(&mut self, length: u64) -> BoxFuture<'_, io::Result<()>> {
        let what = format!("cut {} to {length} bytes", self.path.display());
        let this = &*self;
        let changed = (this.path.as_path(), Some(this.inode));
        Box::pin(change(&this.handle, Cost::Light, what, changed, move |image, _, _| {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            image.body_mut(this.inode, &this.path)?.cut(length);
            Ok(())
        }))
    }

    fn sync_data(&mut self) -> BoxFuture<'_, io::Result<()>> {
        let what = format!("sync {}", self.path.display());
        let this = &*self;
        let changed = (this.path.as_path(), Some(this.inode));
        Box::pin(change(&this.handle, Cost::Sync, what, changed, move |image, random, health| {
            let fails = health.take_sync_failure();
            let body = image.body_mut(this.inode, &this.path)?;
            if fails {
                body.fail_sync(random.one_in(2));
                return Err(sync_failure());
            }
            body.sync();
            Ok(())
        }))
    }
}

/// A lock that a process holds.
struct SimLock {
    handle: ProcessHandle,
    path: PathBuf,
    inode: Inode,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.handle.if_alive(|state| {
            let locks = &mut state.machines[self.handle.machine.0].disk.locks;
            if locks.get(&self.inode) == Some(&self.handle.process) {
                locks.remove(&self.inode);
            }
            let process = state.name(self.handle.process);
            state.event(format_args!("{process} disk unlock {}", self.path.display()));
        });
    }
}

impl FileLock for SimLock {
    fn file_id(&self) -> BoxFuture<'_, io::Result<FileId>> {
        Box::pin(async move { Ok(file_id(self.inode)) })
    }

    fn write_holder(&mut self, text: &str) -> BoxFuture<'_, io::Result<()>> {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        Box::pin(async move {
            let what = format!("cut {} to 0 bytes", self.path.display());
            let changed = (self.path.as_path(), Some(self.inode));
            change(&self.handle, Cost::Light, what, changed, |image, _, _| {
                image.body_mut(self.inode, &self.path)?.cut(0);
                Ok(())
            })
            .await?;
            append(&self.handle, &self.path, self.inode, bytes).await
        })
    }
}
