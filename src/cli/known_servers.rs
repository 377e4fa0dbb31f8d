//! What commands have learned of servers, for the next commands.
//!
//! - **Where the servers of a cluster are now**, by their own word, so that a profile finds
//!   its cluster also when every server that it names is gone. Whoever is led astray
//!   by a wrong address meets a server that cannot prove the fingerprint: that is what is
//!   trusted, and no address. Without a fingerprint only addresses of this machine are
//!   kept, and those cannot lead off it.
//! - **Which fingerprint people have confirmed** for servers that were named without one.
//!
//! One file holds what is known under one name: the fingerprint, or, where servers are
//! named without one, their list. It is written only when it changes. Of two commands at
//! once one may undo what the other has learned, which the next one learns again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::kept::{FILE_MAX_BYTES, Folder, is_missing, read};
use crate::error::{Error, ErrorCode, Result};
use crate::host::write_private;
use crate::types::{Address, Digest, Fingerprint, Servers};

/// What is known of the servers that people name in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// How they are named, for whoever looks into the file.
    servers: String,
    /// The fingerprint that somebody has confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// Where all servers of the cluster were found, when one of them said so last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<Address>,
}

/// What is known of the servers named by one word.
pub struct KnownServers<'a> {
    folder: &'a Path,
    named: &'a Servers,
}

impl KnownServers<'_> {
    /// Of these servers, below the folder of all that is known. Where there is no such
    /// folder (an empty path) nothing is known, and nothing kept.
    pub fn new<'a>(folder: &'a Path, named: &'a Servers) -> KnownServers<'a> {
        KnownServers { folder, named }
    }

    /// The addresses that were learned, without those by which the servers are named.
    ///
    /// # Errors
    /// [`ErrorCode::Io`]; [`ErrorCode::Corrupted`]; [`ErrorCode::InvalidConfig`] when
    /// others may change what is kept.
    pub fn addresses(&self) -> Result<Vec<Address>> {
        let mut addresses = self.load()?.addresses;
        addresses.retain(|address| !self.named.addresses.contains(address));
        Ok(addresses)
    }

    /// The fingerprint that somebody has confirmed.
    ///
    /// # Errors
    /// Those of [`KnownServers::addresses`].
    pub fn confirmed(&self) -> Result<Option<Fingerprint>> {
        let fingerprint = self.load()?.fingerprint.map(|text| text.parse());
        fingerprint.transpose().map_err(|_| self.broken())
    }

    /// Keeps the addresses at which the servers say they are.
    ///
    /// # Errors
    /// Those of [`KnownServers::addresses`].
    pub fn learn(&self, mut addresses: Vec<Address>) -> Result<()> {
        if self.named.fingerprint.is_none() {
            addresses.retain(Address::is_loopback);
        }
        // Each server has an order of its own.
        addresses.sort_by_key(Address::to_string);
        self.change(|known| known.addresses = addresses)
    }

    /// Keeps the fingerprint that somebody has confirmed.
    ///
    /// # Errors
    /// Those of [`KnownServers::addresses`].
    pub fn confirm(&self, fingerprint: Fingerprint) -> Result<()> {
        self.change(|known| known.fingerprint = Some(fingerprint.to_string()))
    }

    /// Forgets all of it.
    ///
    /// # Errors
    /// [`ErrorCode::Io`] that names the file.
    pub fn forget(&self) -> Result<()> {
        let file = self.file();
        match std::fs::remove_file(&file) {
            Err(error) if !is_missing(&error) => Err(Error::own_file("remove", &file, &error)),
            _ => Ok(()),
        }
    }

    /// The file in which it is kept.
    pub fn file(&self) -> PathBuf {
        let word = self.named.word();
        let name = match self.named.fingerprint {
            Some(fingerprint) => fingerprint.to_string(),
            // A list has characters that a file's name has not, and no bound.
            None => Digest::of(word.as_bytes()).to_string(),
        };
        self.folder.join(format!("{name}.json"))
    }

    fn private_folder(&self) -> Folder<'_> {
        Folder { path: self.folder, of: "what is known of servers", otherwise: "" }
    }

    fn load(&self) -> Result<Known> {
        let missing = || Known { servers: self.named.word(), ..Known::default() };
        if self.folder.as_os_str().is_empty() {
            return Ok(missing());
        }
        self.private_folder().check()?;
        match read(&self.file())? {
            Some(content) => serde_json::from_slice(&content).map_err(|_| self.broken()),
            None => Ok(missing()),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Known)) -> Result<()> {
        let before = self.load()?;
        let mut known = before.clone();
        change(&mut known);
        if known == before || self.folder.as_os_str().is_empty() {
            return Ok(());
        }
        // Two profiles may name the same cluster in two ways.
        known.servers = self.named.word();
        let content = serde_json::to_vec(&known).expect("plain data serializes");
        if content.len() as u64 > FILE_MAX_BYTES {
            // Nobody could read it again. Nobody has such addresses either.
            return Ok(());
        }
        self.private_folder().prepare()?;
        let file = self.file();
        let written = write_private(&file, &content);
        written.map_err(|error| Error::own_file("write", &file, &error))
    }

    fn broken(&self) -> Error {
        let file = self.file();
        let why = format!("{} is not what this program keeps: remove it", file.display());
        Error::new(ErrorCode::Corrupted, why)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn servers(word: &str) -> Servers {
        word.parse().expect("a word")
    }

    fn addresses(list: &str) -> Vec<Address> {
        servers(list).addresses
    }

    fn known_by_key(key: &[u8]) -> Servers {
        Servers { fingerprint: Some(Fingerprint::of(key)), ..servers("a:1,b:1") }
    }

    #[test]
    fn what_is_learned_is_kept_under_the_fingerprint() {
        let home = tempfile::tempdir().expect("temporary folder");
        let folder = home.path().join("servers");
        let (ours, other) = (known_by_key(b"ours"), known_by_key(b"other"));
        let known = KnownServers::new(&folder, &ours);
        assert_eq!(known.addresses().expect("nothing yet"), []);
        known.learn(addresses("c:1,b:1,a:9")).expect("kept");
        assert_eq!(known.addresses().expect("kept"), addresses("a:9,c:1"));
        assert_eq!(KnownServers::new(&folder, &other).addresses().expect("none"), []);
        let elsewhere = Servers { addresses: addresses("a:9"), ..ours.clone() };
        let named_otherwise = KnownServers::new(&folder, &elsewhere);
        assert_eq!(named_otherwise.addresses().expect("the same"), addresses("b:1,c:1"));
        known.forget().expect("gone");
        known.forget().expect("no error");
        assert_eq!(known.addresses().expect("nothing"), []);
    }

    #[test]
    fn what_changes_nothing_writes_nothing() {
        let home = tempfile::tempdir().expect("temporary folder");
        let (folder, ours) = (home.path().join("servers"), known_by_key(b"ours"));
        let known = KnownServers::new(&folder, &ours);
        known.learn(addresses("c:1,b:1")).expect("kept");
        let file = || std::fs::metadata(known.file()).expect("there");
        let before = file();
        assert_eq!(before.mode() & 0o7777, 0o600);
        known.learn(addresses("b:1,c:1")).expect("the same in another order");
        assert_eq!(file().ino(), before.ino());
    }

    #[test]
    fn without_a_fingerprint_no_address_leads_off_the_machine() {
        let home = tempfile::tempdir().expect("temporary folder");
        let local = servers("127.0.0.1:1");
        let known = KnownServers::new(home.path(), &local);
        known.learn(addresses("127.0.0.1:1,127.0.0.1:2,h:3,10.0.0.1:4")).expect("kept");
        assert_eq!(known.addresses().expect("kept"), addresses("127.0.0.1:2"));
    }

    #[test]
    fn a_fingerprint_is_confirmed_for_one_list() {
        let home = tempfile::tempdir().expect("temporary folder");
        let (list, other) = (servers("a:1,b:1"), servers("a:1"));
        let known = KnownServers::new(home.path(), &list);
        assert_eq!(known.confirmed().expect("none"), None);
        known.confirm(Fingerprint::of(b"ours")).expect("kept");
        assert_eq!(known.confirmed().expect("kept"), Some(Fingerprint::of(b"ours")));
        assert_eq!(KnownServers::new(home.path(), &other).confirmed().expect("none"), None);
    }

    #[test]
    fn what_is_broken_or_open_to_others_is_not_believed() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().expect("temporary folder");
        let list = servers("a:1");
        let known = KnownServers::new(home.path(), &list);
        for content in ["", "{", r#"{"servers":"","fingerprint":"ABC"}"#] {
            std::fs::write(known.file(), content).expect("own folder");
            let error = known.confirmed().expect_err(content);
            assert_eq!(error.code, ErrorCode::Corrupted);
            assert!(error.message.contains(".json"), "{error}");
        }
        std::fs::remove_file(known.file()).expect("there");
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(home.path(), open).expect("own folder");
        let error = known.confirmed().expect_err("open to others");
        assert_eq!(error.code, ErrorCode::InvalidConfig);
    }

    #[test]
    fn where_there_is_no_home_nothing_is_kept() {
        let list = known_by_key(b"ours");
        let known = KnownServers::new(Path::new(""), &list);
        known.learn(addresses("c:1")).expect("no error");
        known.confirm(Fingerprint::of(b"ours")).expect("no error");
        assert_eq!((known.addresses(), known.confirmed()), (Ok(Vec::new()), Ok(None)));
    }

    #[test]
    fn fuzz_what_is_known_of_servers() {
        let home = tempfile::tempdir().expect("temporary folder");
        let list = servers("a:1");
        let known = KnownServers::new(home.path(), &list);
        known.confirm(Fingerprint::of(b"ours")).expect("kept");
        known.learn(addresses("127.0.0.1:1")).expect("kept");
        let corpus = [std::fs::read(known.file()).expect("just kept")];
        crate::protocol::fuzzing::fuzz("what is known of servers", &corpus, |bytes| {
            std::fs::write(known.file(), bytes).expect("own folder");
            for error in [known.confirmed().err(), known.addresses().err()].into_iter().flatten() {
                assert_eq!(error.code, ErrorCode::Corrupted);
            }
        });
    }
}
