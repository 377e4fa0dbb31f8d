//! What `cluster rekey` prints.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Show, Style, sanitize};
use crate::cluster::rekey::Rekeying;
use crate::protocol::peer::Rekeyed;
use crate::types::{Fingerprint, KeyStage};

/// How far a change of key has come.
#[derive(Debug, Serialize)]
pub struct ShownRekey {
    stage: KeyStage,
    fingerprint: Fingerprint,
    old_fingerprint: Fingerprint,
    compromised: bool,
    connect: String,
    waits_for: Option<String>,
    dir: Option<PathBuf>,
}

impl ShownRekey {
    /// Of a change as the leader tells it.
    pub fn new(rekeying: &Rekeying, rekeyed: &Rekeyed, compromised: bool) -> ShownRekey {
        ShownRekey {
            stage: rekeyed.stage,
            fingerprint: rekeying.new,
            old_fingerprint: rekeying.old,
            compromised,
            connect: rekeying.word(&rekeyed.members),
            waits_for: rekeyed.waits_for.clone(),
            dir: None,
        }
    }

    /// The same with the folder that was made for the machines.
    pub fn with_folder(self, dir: &Path) -> ShownRekey {
        ShownRekey { dir: Some(dir.to_path_buf()), ..self }
    }
}

impl Show for ShownRekey {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        let dir = self.dir.as_ref().map(|dir| dir.to_string_lossy());
        let dir = dir.as_deref().map(sanitize);
        match (self.stage, &dir) {
            (KeyStage::Done, None) => {
                writeln!(
                    out,
                    "The cluster has a new key, and no server takes the old one any more."
                )?;
            }
            (KeyStage::Done, Some(dir)) => {
                writeln!(
                    out,
                    "The cluster has a new key, and no server takes the old one any more."
                )?;
                writeln!(
                    out,
                    "The files in {dir} have only the new one now: copy them once more."
                )?;
            }
            (KeyStage::Announced, Some(dir)) => writeln!(
                out,
                "The old key is used until every server has the new one: README.txt in {dir} says \
                 what to do."
            )?,
            (KeyStage::Announced, None) => {
                writeln!(out, "The old key is used until every server knows the new one.")?;
            }
            (KeyStage::Used, _) => {
                writeln!(out, "The new key is used, and the old one is not forgotten yet.")?;
            }
        }
        if let Some(waits_for) = &self.waits_for {
            writeln!(out, "Not done yet: {}.", sanitize(waits_for))?;
        }
        match self.compromised {
            true => writeln!(out, "Clients refuse the new key until people have this word:")?,
            false => writeln!(out, "Clients follow by themselves; new ones need this word:")?,
        }
        writeln!(out, "  {}", sanitize(&self.connect))
    }

    /// Stage, fingerprint, word.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let stage = match self.stage {
            KeyStage::Announced => "announced",
            KeyStage::Used => "used",
            KeyStage::Done => "done",
        };
        writeln!(out, "{stage}\t{}\t{}", self.fingerprint, self.connect)
    }
}
