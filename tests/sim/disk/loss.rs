//! A disk that loses what it had synced: the end of a log, or everything since
//! a copy was made. Done to the files of a server that is down.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::image::{Image, Node};
use crate::random::Prng;

/// Most records that are lost with the end of a log.
const RECORDS_MAX: usize = 60;

/// What is left of the end of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostEnd {
    /// Half a record, which is a trace.
    Torn,
    /// Whole records, so that nothing shows.
    Clean,
    /// The last segment, without any content.
    Emptied,
}

/// All files of a folder at one time.
#[derive(Clone, Debug)]
pub struct Copy(Vec<(PathBuf, Vec<u8>)>);

impl Image {
    /// Takes away the end of the last segment of a log; says where.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn lose_end(&mut self, log: &Path, what: LostEnd, random: &mut Prng) -> io::Result<String> {
        // Names are zero-padded, so the last one is that of the last segment.
        let files = self.files_below(log)?;
        let Some((name, inode)) = files.into_iter().max() else {
            return Ok("there is no segment".to_string());
        };
        let Some(Node::File(body)) = self.nodes.get_mut(&inode) else {
            unreachable!("{name} is a file")
        };
        body.sync();
        let mut ends: Vec<usize> =
            (1..=body.current.len()).filter(|end| body.current[end - 1] == b'\n').collect();
        ends.insert(0, 0);
        let most = (ends.len() - 1).min(RECORDS_MAX);
        let lost = random.between(most.min(1) as u64, most as u64) as usize;
        let whole = ends[ends.len() - 1 - lost];
        let left = match what {
            LostEnd::Clean => whole,
            LostEnd::Emptied => 0,
            // At least a byte of the first lost record is left, and one is gone.
            LostEnd::Torn if lost > 0 => {
                let next = ends[ends.len() - lost];
                random.between(whole as u64 + 1, next as u64 - 1) as usize
            }
            LostEnd::Torn => whole,
        };
        let before = body.current.len();
        body.current.truncate(left);
        Ok(format!("{name}: {left} of {before} bytes are left"))
    }

    /// Copies a folder.
    ///
    /// # Errors
    /// When there is none.
    pub fn copy(&self, folder: &Path) -> io::Result<Copy> {
        let files = self.files_below(folder)?.into_iter();
        let content = files.map(|(name, inode)| {
            let path = PathBuf::from(name);
            Ok((path.clone(), self.body(inode, &path)?.current.clone()))
        });
        Ok(Copy(content.collect::<io::Result<_>>()?))
    }

    /// Replaces a folder by a copy of what it was.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn put_back(&mut self, folder: &Path, copy: &Copy) -> io::Result<()> {
        self.remove_dir_all(folder)?;
        self.sync_dir(Path::new("/"))?;
        for (path, content) in &copy.0 {
            self.put(path, Bytes::from(content.clone()))?;
        }
        Ok(())
    }
}
