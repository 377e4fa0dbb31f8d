//! Taking a backup.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use serde_json::value::RawValue;

use super::administrator::{Administrator, Attempts, Failed, LONG_ANSWER_MAX, Server, parse};
use super::file::BackupWriter;
use super::{FORMAT, Head, Taken};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Disk, DiskFile};
use crate::protocol::peer::{Backup, BackupHead, Call};

/// Bytes that are gathered before they are written.
const WRITE_BYTES: usize = 256 * 1024;

/// Most links from one to the next that are followed, as the system does.
const LINKS_MAX: usize = 40;

/// Where a backup goes.
pub enum Target {
    /// A file, which is replaced if it is there, once the backup is whole.
    File(PathBuf),
    /// A stream, such as standard output.
    Stream(Box<dyn Write>),
}

/// Takes a backup of a running cluster, at whichever server can give one.
/// `progress` is called with how many lines there are so far.
///
/// # Errors
/// [`ErrorCode::Unavailable`] when no server gives one in time,
/// [`ErrorCode::Restoring`], [`ErrorCode::WrongUsage`] for a target that is no
/// file, [`ErrorCode::Io`], also for a full disk. Then there is no new file, and
/// an old one is as it was.
pub async fn take(
    administrator: &Administrator,
    target: Target,
    confirmed: bool,
    progress: &dyn Fn(u64),
) -> Result<Taken> {
    match target {
        Target::File(path) => {
            let (disk, random) = (&administrator.host.disk, administrator.host.random_u64());
            let new = NewFile::beside(disk, &path, random).await?;
            let mut goal = Goal::File(&new);
            let (taken, out) = fetch(administrator, &mut goal, confirmed, progress).await?;
            let Out::File { file, .. } = out else {
                return Err(Error::internal("a backup went elsewhere"));
            };
            new.put_in_place(file).await?;
            Ok(Taken { file: Some(path), ..taken })
        }
        Target::Stream(stream) => {
            let mut goal = Goal::Stream(Some(stream));
            Ok(fetch(administrator, &mut goal, confirmed, progress).await?.0)
        }
    }
}

/// What is begun anew with every attempt.
enum Goal<'a> {
    File(&'a NewFile),
    /// Only the first attempt can be written.
    Stream(Option<Box<dyn Write>>),
}

impl Goal<'_> {
    async fn open(&mut self) -> Result<Out> {
        match self {
            Goal::File(new) => new.begin().await,
            Goal::Stream(stream) => stream.take().map(Out::Stream).ok_or_else(|| {
                Error::unavailable("the backup broke off, and what was written is not the whole")
            }),
        }
    }
}

/// Where one attempt is written.
enum Out {
    File { path: PathBuf, file: Box<dyn DiskFile> },
    Stream(Box<dyn Write>),
}

impl Out {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        let (path, written) = match self {
            Out::File { path, file } => (path.as_path(), file.append(Bytes::from(bytes)).await),
            Out::Stream(stream) => (Path::new("the backup"), stream.write_all(&bytes)),
        };
        written.map_err(|error| Error::own_file("write", path, &error))
    }
}

/// Fetches until one server has given all of it.
async fn fetch(
    administrator: &Administrator,
    goal: &mut Goal<'_>,
    confirmed: bool,
    progress: &dyn Fn(u64),
) -> Result<(Taken, Out)> {
    let mut attempts = Attempts::new();
    loop {
        let mut begun = false;
        let fetched = async {
            let mut server = match confirmed {
                true => administrator.connect(&mut attempts).await?,
                false => administrator.connect_for(LONG_ANSWER_MAX, &mut attempts).await?,
            };
            let (head, taken_alone) = begin(&mut server, confirmed).await?;
            begun = true;
            let mut out = goal.open().await?;
            let taken = fetch_from(&mut server, head, &mut out, &mut attempts, progress).await?;
            Ok((Taken { taken_alone, ..taken }, out))
        };
        match fetched.await {
            Ok(fetched) => return Ok(fetched),
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::Passing(error)) if begun && matches!(goal, Goal::Stream(_)) => {
                return Err(error);
            }
            Err(Failed::Passing(error)) => {
                let message = format!("no backup was taken: {}", error.message);
                administrator.pause(&attempts, Error { message, ..error }).await?;
            }
        }
    }
}

/// Returns also how many changes are in it that the server took without a majority.
pub(super) async fn begin(server: &mut Server, confirmed: bool) -> Result<(Head, u64), Failed> {
    let head: BackupHead = parse(&server.call(Call::Backup, &Backup { confirmed }).await?)?;
    let BackupHead { cluster, index, at, state_hash, accounts, messages, taken_alone } = head;
    let head = Head {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_string(),
        cluster,
        index,
        at,
        state_hash,
        accounts,
        messages,
        confirmed,
    };
    Ok((head, taken_alone))
}

async fn fetch_from(
    server: &mut Server,
    head: Head,
    out: &mut Out,
    attempts: &mut Attempts,
    progress: &dyn Fn(u64),
) -> Result<Taken, Failed> {
    let in_memory = |error: io::Error| Failed::Final(Error::internal(error.to_string()));
    let mut writer = BackupWriter::begin(Vec::new(), &head).map_err(in_memory)?;
    let mut lines = 0;
    loop {
        let part = server.call(Call::BackupPart, &()).await?;
        let part: Vec<&RawValue> = match serde_json::from_slice(&part) {
            Ok(part) => part,
            Err(error) => return Err(Failed::Passing(Error::unavailable(error.to_string()))),
        };
        if part.is_empty() {
            break;
        }
        for line in part {
            writer.line(line.get().as_bytes()).map_err(in_memory)?;
            lines += 1;
        }
        if writer.written().len() >= WRITE_BYTES {
            // Asking another server makes no room.
            out.write(std::mem::take(writer.written())).await.map_err(Failed::Final)?;
        }
        attempts.went_on();
        progress(lines);
    }
    let (rest, totals, bytes) = writer.finish().map_err(in_memory)?;
    out.write(rest).await.map_err(Failed::Final)?;
    if let Out::Stream(stream) = out {
        let flushed = stream.flush();
        let failed = |error| Error::own_file("write", Path::new("the backup"), &error);
        flushed.map_err(|error| Failed::Final(failed(error)))?;
    }
    let sha256 = totals.sha256.to_string();
    Ok(Taken { file: None, head, lines, bytes, sha256, taken_alone: 0 })
}

/// A file that is not under its name yet. Dropped, it is removed.
pub(super) struct NewFile {
    disk: Arc<dyn Disk>,
    /// Where it is to be, with links followed.
    path: PathBuf,
    temporary: PathBuf,
    placed: bool,
}

impl NewFile {
    pub(super) async fn beside(disk: &Arc<dyn Disk>, path: &Path, random: u64) -> Result<NewFile> {
        let path = follow_links(path)?;
        match fs::metadata(&path) {
            Ok(there) if !there.is_file() => {
                return Err(Error::new(
                    ErrorCode::WrongUsage,
                    format!(
                        "{} is no regular file; `-` writes a backup to standard output",
                        path.display()
                    ),
                ));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::own_file("look at", &path, &error));
            }
            _ => {}
        }
        if path.file_name().is_none() {
            return Err(Error::new(
                ErrorCode::WrongUsage,
                format!("{} is no name for a file", path.display()),
            ));
        }
        // No longer than any name, however long the file's is.
        let temporary = path.with_file_name(format!(".ftchat-{random:016x}.tmp"));
        let new = NewFile { disk: disk.clone(), path, temporary, placed: false };
        // A user who cannot write there need not wait for the servers.
        new.begin().await?;
        Ok(new)
    }

    /// Begins it anew, empty.
    async fn begin(&self) -> Result<Out> {
        let made = self.disk.create(&self.temporary).await;
        let file = made.map_err(|error| Error::own_file("make", &self.temporary, &error))?;
        Ok(Out::File { path: self.path.clone(), file })
    }

    /// Makes it durable under its name.
    pub(super) async fn put_in_place(mut self, mut file: Box<dyn DiskFile>) -> Result<()> {
        let failed = |action, path: &Path| {
            let path = path.to_path_buf();
            move |error: io::Error| Error::own_file(action, &path, &error)
        };
        file.sync_data().await.map_err(failed("sync", &self.path))?;
        drop(file);
        let renamed = self.disk.rename(&self.temporary, &self.path).await;
        renamed.map_err(failed("replace", &self.path))?;
        self.placed = true;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        self.disk.sync_dir(folder).await.map_err(failed("sync", folder))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.placed {
            // Nobody reads it; if it cannot be removed, it is left. On a real host this
            // is done when it is first polled.
            let _ = self.disk.remove_file(&self.temporary).now_or_never();
        }
    }
}

/// Where a path leads to, whether or not there is a file: the backup does not replace a
/// link, but is written to the file that the link names.
fn follow_links(path: &Path) -> Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // No link: it names itself.
            Err(_) => return Ok(path),
        }
    }
    Err(Error::new(
        ErrorCode::WrongUsage,
        format!("{} is a link that leads in a circle", path.display()),
    ))
}
