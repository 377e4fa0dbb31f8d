//! Where a data directory is. A copy of it is somewhere else.

use std::path::{Path, PathBuf};

use super::lock::boot_id;
use crate::host::{Disk, FileId};
use crate::protocol::peer::{Location, Opening};

/// Where Linux names the machine, the same after every restart.
const MACHINE_ID_PATH: &str = "/etc/machine-id";

/// Everything of a [`Location`] but the opening.
#[derive(Clone, Debug)]
pub(super) struct Place {
    boot: String,
    machine: String,
    path: PathBuf,
    pub(super) lock: FileId,
}

impl Place {
    pub(super) async fn of(disk: &dyn Disk, directory: &Path, lock: FileId) -> Place {
        Place {
            boot: boot_id(disk).await.ok().flatten().unwrap_or_default(),
            machine: machine_id(disk).await.unwrap_or_default(),
            path: directory.to_path_buf(),
            lock,
        }
    }

    pub(super) fn location(&self, opening: Opening) -> Location {
        Location {
            boot: self.boot.clone(),
            machine: self.machine.clone(),
            path: self.path.clone(),
            lock: self.lock,
            opens: opening.number,
            opening: opening.id,
        }
    }
}

/// The machine, where the system names it.
pub(super) async fn machine_id(disk: &dyn Disk) -> Option<String> {
    let bytes = disk.read(Path::new(MACHINE_ID_PATH)).await.ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim().to_string()).filter(|id| !id.is_empty())
}
