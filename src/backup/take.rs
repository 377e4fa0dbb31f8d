//! Taking a backup.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::administrator::{Administrator, Attempts, Failed, Server, parse};
use super::file::BackupWriter;
use super::{FORMAT, Head, Taken};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::peer::{Backup, BackupHead, Call};

/// Where a backup goes.
pub enum Target {
    /// A file, which is replaced if it is there, once the backup is whole.
    File(PathBuf),
    /// A stream, such as standard output.
    Stream(Box<dyn Write>),
}

/// Takes a backup of a running cluster, at whichever server can give one.
/// `progress` hears how many lines there are so far.
///
/// # Errors
/// [`ErrorCode::Unavailable`] when no server gives one in time,
/// [`ErrorCode::Restoring`], [`ErrorCode::WrongUsage`] for a target that is no
/// file, [`ErrorCode::Io`] and [`ErrorCode::DiskFull`]. Then there is no new
/// file, and an old one is as it was.
pub async fn take(
    administrator: &Administrator<'_>,
    target: Target,
    confirmed: bool,
    progress: &dyn Fn(u64),
) -> Result<Taken> {
    match target {
        Target::File(path) => {
            let mut file = NewFile::beside(&path, administrator.host.random_u64())?;
            let mut open = || file.restart();
            let taken = fetch(administrator, &mut open, true, confirmed, progress).await?;
            file.put_in_place()?;
            Ok(Taken { file: Some(path), ..taken })
        }
        Target::Stream(stream) => {
            let mut stream = Some(stream);
            let mut open = || {
                let broke_off = "the backup broke off, and what was written is not the whole";
                stream.take().ok_or_else(|| Error::unavailable(broke_off))
            };
            fetch(administrator, &mut open, false, confirmed, progress).await
        }
    }
}

/// Fetches until one server has given all of it. `open` begins the target anew.
async fn fetch<W: Write>(
    administrator: &Administrator<'_>,
    open: &mut dyn FnMut() -> Result<W>,
    again: bool,
    confirmed: bool,
    progress: &dyn Fn(u64),
) -> Result<Taken> {
    let mut attempts = Attempts::new();
    loop {
        let mut begun = false;
        let fetched = async {
            let mut server = administrator.connect(&mut attempts).await?;
            let head = begin(&mut server, confirmed).await?;
            begun = true;
            fetch_from(&mut server, head, open()?, &mut attempts, progress).await
        };
        match fetched.await {
            Ok(taken) => return Ok(taken),
            Err(Failed::Final(error)) => return Err(error),
            Err(Failed::Passing(error)) if begun && !again => return Err(error),
            Err(Failed::Passing(error)) => {
                let message = format!("no backup was taken: {}", error.message);
                administrator.pause(&attempts, Error { message, ..error }).await?;
            }
        }
    }
}

async fn begin(server: &mut Server, confirmed: bool) -> Result<Head, Failed> {
    let head: BackupHead = parse(&server.call(Call::Backup, &Backup { confirmed }).await?)?;
    let BackupHead { cluster, index, at, state_hash, accounts, messages } = head;
    Ok(Head {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_string(),
        cluster,
        index,
        at,
        state_hash,
        accounts,
        messages,
        confirmed,
    })
}

async fn fetch_from<W: Write>(
    server: &mut Server,
    head: Head,
    out: W,
    attempts: &mut Attempts,
    progress: &dyn Fn(u64),
) -> Result<Taken, Failed> {
    let failed = |error: io::Error| {
        // Asking another server makes no room.
        Failed::Final(Error::io("write", Path::new("the backup"), &error))
    };
    let mut writer = BackupWriter::begin(out, &head).map_err(failed)?;
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
            writer.line(line.get().as_bytes()).map_err(failed)?;
            lines += 1;
        }
        attempts.went_on();
        progress(lines);
    }
    let (_, totals, bytes) = writer.finish().map_err(failed)?;
    Ok(Taken { file: None, head, lines, bytes, sha256: totals.sha256.to_string() })
}

/// A file that is not under its name yet. Dropped, it is removed.
struct NewFile {
    /// Where it is to be, with links followed.
    path: PathBuf,
    temporary: PathBuf,
    file: Option<File>,
}

impl NewFile {
    fn beside(path: &Path, random: u64) -> Result<NewFile> {
        let path = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
            Err(error) => return Err(Error::io("look at", path, &error)),
            Ok(there) if there.is_file() => {
                path.canonicalize().map_err(|error| Error::io("find", path, &error))?
            }
            Ok(_) => {
                return Err(Error::new(
                    ErrorCode::WrongUsage,
                    format!(
                        "{} is no regular file; `-` writes a backup to standard output",
                        path.display()
                    ),
                ));
            }
        };
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(Error::new(
                ErrorCode::WrongUsage,
                format!("{} is no name for a file", path.display()),
            ));
        };
        let temporary = path.with_file_name(format!(".{name}.{random:016x}.tmp"));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = made.map_err(|error| Error::io("make", &temporary, &error))?;
        // Made first, so that it is removed when anything fails.
        let new = NewFile { path, temporary, file: Some(file) };
        let closed = new.file()?.set_permissions(Permissions::from_mode(0o600));
        closed.map_err(|error| Error::io("set the mode of", &new.temporary, &error))?;
        Ok(new)
    }

    fn file(&self) -> Result<&File> {
        self.file.as_ref().ok_or_else(|| Error::internal("a backup's file was closed too early"))
    }

    /// Empties it for another attempt.
    fn restart(&mut self) -> Result<BufWriter<File>> {
        let fresh = OpenOptions::new().write(true).truncate(true).open(&self.temporary);
        let fresh = fresh.map_err(|error| Error::io("open", &self.temporary, &error))?;
        Ok(BufWriter::with_capacity(256 * 1024, fresh))
    }

    /// Makes it durable under its name.
    fn put_in_place(mut self) -> Result<()> {
        let failed = |deed, path: &Path| {
            let path = path.to_path_buf();
            move |error: io::Error| Error::io(deed, &path, &error)
        };
        self.file()?.sync_all().map_err(failed("sync", &self.temporary))?;
        fs::rename(&self.temporary, &self.path).map_err(failed("replace", &self.path))?;
        self.file = None;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(failed("sync", folder))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Nobody reads it; what cannot be removed is left.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
