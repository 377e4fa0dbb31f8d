//! The operating system behind the seams.
//!
//! Files are made private (0600, folders 0700) whatever the umask says: a umask
//! of 0 would publish password hashes, one of 0777 would lock their owner out.
//! What is there already keeps its mode.
//! Every file is close-on-exec (the standard library's default), so no child
//! process inherits a lock and keeps it beyond our death.
#![allow(clippy::disallowed_methods, reason = "this is the one module that may call the system")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpSocket};

use self::connect::connect_to_one_of;
use self::patience::elsewhere;
use super::bounded::read_bounded;
use super::private::{make_private_folders, open_private, replace_private};
use super::threads::Threads;
use super::{
    BoxFuture, Clock, Disk, DiskFile, FileId, FileLock, FileSystem, Host, Listener, Network,
    NotOpened, Random, Stream,
};
use crate::types::{Address, Timestamp};

mod connect;
mod patience;
#[cfg(test)]
mod tests;

/// Longest file that is read as a whole. Ours have some kilobytes; snapshots and
/// logs are read piece by piece.
const FILE_READ_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Connections that may wait until they are accepted.
const BACKLOG: u32 = 1024;

/// Makes a socket for a connection to an address.
pub type OpenSocket = Arc<dyn Fn(SocketAddr) -> io::Result<TcpSocket> + Send + Sync>;

/// See [`Host::real`].
pub fn host() -> Host {
    host_with(Arc::new(socket))
}

/// The same, where connections begin with sockets that `open` makes.
pub fn host_with(open: OpenSocket) -> Host {
    Host {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        network: Arc::new(Tcp { open }),
        disk: Arc::new(LocalDisk),
        workers: Arc::new(Threads),
    }
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a flat battery on the board; time-stamps are
        // labels here, so the epoch does as well as any other wrong time.
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Timestamp(since_1970.unwrap_or_default().as_millis() as u64).min(Timestamp::MAX)
    }
}

struct SystemRandom;

impl Random for SystemRandom {
    /// # Panics
    /// When the system has no random bytes: going on would make guessable keys.
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

struct Tcp {
    open: OpenSocket,
}

impl Network for Tcp {
    fn connect(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        let (address, open) = (address.clone(), self.open.clone());
        Box::pin(async move {
            let found = tokio::net::lookup_host((address.host(), address.port())).await?;
            let (stream, round_trip) = connect_to_one_of(&open, found).await?;
            // Lines are written whole, so waiting for more only adds latency.
            stream.set_nodelay(true)?;
            let (own, remote) = (stream.local_addr()?, stream.peer_addr()?);
            if stays_here(own) && stays_here(remote) {
                return Ok(Stream::local(stream));
            }
            let elsewhere = match own.ip() == remote.ip() {
                true => None,
                false => Some(elsewhere(&stream, round_trip)?),
            };
            Ok(Stream::open(stream).leading(elsewhere))
        })
    }

    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let address = address.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((address.host(), address.port())).await?;
            let listener = listen_at_one_of(found)?;
            let port = listener.local_addr()?.port();
            let address = with_port(&address, port);
            let only_this_machine = stays_here(listener.local_addr()?);
            Ok(Box::new(TcpAcceptor { listener, address, only_this_machine }) as Box<dyn Listener>)
        })
    }
}

/// Listens at the first of a name's addresses that can be had.
fn listen_at_one_of(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpListener> {
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let socket = match bind(address) {
            // Where there is no IPv6, all addresses are those of IPv4.
            Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && lacks_ipv6(&error) => {
                bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
            }
            bound => bound,
        };
        match socket {
            Ok(socket) => return socket.listen(BACKLOG),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// A socket of an address's family.
pub fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = socket(address)?;
    // So that connections of a dead predecessor in TIME_WAIT do not keep its
    // successor from the address.
    socket.set_reuseaddr(true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // All addresses are those of IPv4 too, whatever the system's default is.
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

/// Whether the system has no IPv6, or none of its addresses.
fn lacks_ipv6(error: &io::Error) -> bool {
    let missing = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(missing)
}

fn with_port(address: &Address, port: u16) -> Address {
    let text = match address.host() {
        host if host.contains(':') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    };
    text.parse().expect("the host of an address makes an address again")
}

struct TcpAcceptor {
    listener: TcpListener,
    address: Address,
    /// Whether no other machine can reach the address that is bound.
    only_this_machine: bool,
}

/// Whether what goes there does not leave this machine.
fn stays_here(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl Listener for TcpAcceptor {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, String)>> {
        Box::pin(async move {
            loop {
                let (stream, remote) = self.listener.accept().await?;
                // Some systems refuse this on a connection that was reset while
                // it waited. That is the end of the connection, not of the listener.
                if stream.set_nodelay(true).is_err() {
                    continue;
                }
                let stream = match self.only_this_machine && stays_here(remote) {
                    true => Stream::local(stream),
                    false => Stream::open(stream),
                };
                return Ok((stream, remote.ip().to_canonical().to_string()));
            }
        })
    }

    fn local_address(&self) -> Address {
        self.address.clone()
    }
}

struct LocalDisk;

/// A future that makes a blocking call when it is first polled.
fn call<T: 'static>(
    path: &Path,
    operation: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> BoxFuture<'static, io::Result<T>> {
    let path = path.to_path_buf();
    Box::pin(async move { operation(&path) })
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().into_string().map_err(|name| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{name:?} in it is not UTF-8"))
        })?);
    }
    names.sort();
    Ok(names)
}

fn used_bytes(path: &Path) -> io::Result<u64> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // Old segments go while this walks.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    entries.map(|entry| used_bytes(&entry?.path())).sum()
}

fn file_id(metadata: &fs::Metadata) -> FileId {
    FileId { device: metadata.dev(), inode: metadata.ino() }
}

impl Disk for LocalDisk {
    fn create_dir_all(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        call(path, make_private_folders)
    }

    fn list(&self, path: &Path) -> BoxFuture<'static, io::Result<Vec<String>>> {
        call(path, names)
    }

    fn create(&self, path: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        call(path, |path| {
            let file = replace_private(OpenOptions::new().read(true).append(true), path)?;
            Ok(Box::new(OpenFile(file)) as Box<dyn DiskFile>)
        })
    }

    fn open(&self, path: &Path) -> BoxFuture<'static, io::Result<Box<dyn DiskFile>>> {
        call(path, |path| {
            let file = OpenOptions::new().read(true).append(true).open(path)?;
            Ok(Box::new(OpenFile(file)) as Box<dyn DiskFile>)
        })
    }

    fn read(&self, path: &Path) -> BoxFuture<'static, io::Result<Vec<u8>>> {
        call(path, |path| read_bounded(path, FILE_READ_MAX_BYTES))
    }

    fn rename(&self, from: &Path, to: &Path) -> BoxFuture<'static, io::Result<()>> {
        let to: PathBuf = to.to_path_buf();
        call(from, move |from| fs::rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        call(path, |path| fs::remove_file(path))
    }

    fn remove_dir_all(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        call(path, |path| fs::remove_dir_all(path))
    }

    fn sync_dir(&self, path: &Path) -> BoxFuture<'static, io::Result<()>> {
        call(path, |path| File::open(path).map_err(NotOpened::error)?.sync_all())
    }

    fn try_lock(&self, path: &Path) -> BoxFuture<'static, io::Result<Option<Box<dyn FileLock>>>> {
        call(path, |path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = open_private(&mut options, path)?;
            // Named in full: the standard library's own `File::try_lock` does
            // not promise to be an flock, and a POSIX fcntl lock would be lost
            // as soon as anything in this process closed the file.
            match fs4::FileExt::try_lock(&file) {
                Ok(()) => {}
                Err(fs4::TryLockError::WouldBlock) => return Ok(None),
                Err(fs4::TryLockError::Error(error)) => return Err(error),
            }
            Ok(Some(Box::new(HeldLock(file)) as Box<dyn FileLock>))
        })
    }

    fn is_locked(&self, path: &Path) -> BoxFuture<'static, io::Result<bool>> {
        call(path, |path| match fs4::FileExt::try_lock_shared(&File::open(path)?) {
            // Closing the file lets go of it.
            Ok(()) => Ok(false),
            Err(fs4::TryLockError::WouldBlock) => Ok(true),
            Err(fs4::TryLockError::Error(error)) => Err(error),
        })
    }

    fn file_id(&self, path: &Path) -> BoxFuture<'static, io::Result<FileId>> {
        call(path, |path| Ok(file_id(&fs::metadata(path)?)))
    }

    fn file_system(&self, path: &Path) -> BoxFuture<'static, io::Result<FileSystem>> {
        call(path, super::file_systems::kind_of)
    }

    fn used_bytes(&self, path: &Path) -> BoxFuture<'static, io::Result<u64>> {
        call(path, used_bytes)
    }
}

/// Closing the file releases the lock, and so does the end of the process.
struct HeldLock(File);

impl FileLock for HeldLock {
    fn file_id(&self) -> BoxFuture<'_, io::Result<FileId>> {
        Box::pin(async move { Ok(file_id(&self.0.metadata()?)) })
    }

    fn write_holder(&mut self, text: &str) -> BoxFuture<'_, io::Result<()>> {
        let text = text.to_string();
        Box::pin(async move {
            // Written over the old text and cut afterwards: the block is
            // reused, so that this works on a full disk as well.
            self.0.write_all_at(text.as_bytes(), 0)?;
            self.0.set_len(text.len() as u64)
        })
    }
}

/// Opened for appending: writes go to the end also after a truncation.
struct OpenFile(File);

impl DiskFile for OpenFile {
    fn len(&self) -> BoxFuture<'_, io::Result<u64>> {
        Box::pin(async move { Ok(self.0.metadata()?.len()) })
    }

    fn append(&mut self, bytes: Bytes) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move { io::Write::write_all(&mut self.0, &bytes) })
    }

    fn read_at(&self, offset: u64, length: usize) -> BoxFuture<'_, io::Result<Vec<u8>>> {
        Box::pin(async move {
            let mut buffer = vec![0; length];
            let mut filled = 0;
            while filled < length {
                match self.0.read_at(&mut buffer[filled..], offset + filled as u64) {
                    Ok(0) => break,
                    Ok(count) => filled += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            buffer.truncate(filled);
            Ok(buffer)
        })
    }

    fn truncate(&mut self, length: u64) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move { self.0.set_len(length) })
    }

    fn sync_data(&mut self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move { self.0.sync_data() })
    }
}
