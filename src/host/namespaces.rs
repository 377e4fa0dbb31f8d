//! Machines that are not there: a network of their own, a boot of their own, and processes
//! that are gone when whoever started them is.
//!
//! Linux gives each thread the namespaces that it asks for, and a socket or a process gets
//! those of the thread that makes it. So nothing has to move for long: a thread of its own
//! enters, makes a socket or starts a process, and ends. The namespaces have no names. They
//! last as long as a process is in them or the values here hold them open, and nobody has to
//! remove them, however this process ends.
//!
//! # How it fails
//! Only who may administer this machine, or a user namespace, may make them: the system
//! refuses with [`io::ErrorKind::PermissionDenied`].

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use super::Host;
use super::real::{host_with, socket};

/// The network and the mounts of one machine. Clones are the same machine.
#[derive(Clone)]
pub struct Namespaces(Arc<Open>);

struct Open {
    network: File,
    mounts: File,
}

impl Namespaces {
    /// A machine whose network has nothing but a loopback device, which is down. `files`: what
    /// stands there in the place of files of this machine, each with that file. One that this
    /// machine has not is passed over.
    ///
    /// # Errors
    /// Those of the head of this file.
    pub fn new(files: &[(&Path, &Path)]) -> io::Result<Namespaces> {
        on_a_thread_of_its_own(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
            let nothing = None::<&Path>;
            // Or what is mounted here would be seen outside as well.
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(nothing, Path::new("/"), nothing, private, nothing)?;
            for (file, place) in files.iter().filter(|(_, place)| place.exists()) {
                mount(Some(*file), *place, nothing, MsFlags::MS_BIND, nothing)?;
            }
            let own = |kind: &str| File::open(Path::new("/proc/thread-self/ns").join(kind));
            Ok(Namespaces(Arc::new(Open { network: own("net")?, mounts: own("mnt")? })))
        })
    }

    /// Does something on a thread that sees this machine, and waits for it: sockets and
    /// processes that it makes are the machine's.
    ///
    /// # Errors
    /// Those of `job`, and of entering.
    pub fn run<T: Send>(&self, job: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        on_a_thread_of_its_own(|| {
            self.enter()?;
            job()
        })
    }

    /// Starts a process on this machine, of a family.
    ///
    /// # Errors
    /// Those of entering and of starting.
    pub fn start(&self, family: &Family, command: &mut Command) -> io::Result<Child> {
        // A Ctrl-C that is meant for whoever starts it does not reach it.
        command.process_group(0);
        on_a_thread_of_its_own(|| {
            self.enter()?;
            setns(&family.namespace, CloneFlags::CLONE_NEWPID)?;
            command.spawn()
        })
    }

    /// The operating system, with connections that begin on this machine.
    pub fn host(&self) -> Host {
        let machine = self.clone();
        host_with(Arc::new(move |address| machine.run(|| socket(address))))
    }

    /// Where the system shows its network to other processes, as long as this value lives.
    pub fn network_path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.network.as_raw_fd())
    }

    fn enter(&self) -> io::Result<()> {
        // A thread that shares its working directory cannot change its mounts.
        unshare(CloneFlags::CLONE_FS)?;
        setns(&self.0.network, CloneFlags::CLONE_NEWNET)?;
        setns(&self.0.mounts, CloneFlags::CLONE_NEWNS)?;
        Ok(())
    }
}

/// Processes that end, by SIGKILL, when this value is dropped or this process ends, however
/// it does: the system kills a namespace of processes with its first one, and that one ends
/// with its input.
pub struct Family {
    first: Child,
    namespace: File,
}

impl Family {
    /// With nobody in it yet.
    ///
    /// # Errors
    /// Those of the head of this file.
    pub fn new() -> io::Result<Family> {
        on_a_thread_of_its_own(|| {
            unshare(CloneFlags::CLONE_NEWPID)?;
            let first = Command::new("cat")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()?;
            let namespace = File::open(format!("/proc/{}/ns/pid", first.id()))?;
            Ok(Family { first, namespace })
        })
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // It may have ended already. It is gone only when all others are, which is for their
        // parent to see: this does not wait.
        let _ = self.first.kill();
    }
}

/// Runs a job on a thread that nobody else gets: what it has entered, it does not leave.
fn on_a_thread_of_its_own<T: Send>(job: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let name = "machine".to_string();
        let thread = std::thread::Builder::new().name(name).spawn_scoped(scope, job)?;
        match thread.join() {
            Ok(done) => done,
            Err(panicked) => std::panic::resume_unwind(panicked),
        }
    })
}
