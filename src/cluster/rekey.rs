//! A new key for a cluster that runs, on behalf of an administrator who holds the old one.
//!
//! What the servers do is told in [`crate::replica`], `membership/rekey.rs`. Here is how they
//! get the key: for a local cluster its key file is replaced, which all servers have in
//! common. For another one there is a folder for each machine, as of
//! [`hosts`](super::hosts), which the administrator carries there. It appears as a whole
//! or not at all, and before the cluster hears of anything: so the same command with
//! the same folder goes on with the same key, whatever has died meanwhile.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::hosts::write;
use super::membership::{MembershipClient, RETRY_PAUSE};
use super::supervisor::Supervisor;
use super::whole::{refuse_what_is_there, written_as_a_whole};
use crate::config::CommandLines;
use crate::config::key_file::{self, FileKeys, KEY_BYTES};
use crate::error::{Error, ErrorCode, Result};
use crate::host::{Host, make_private_folders, read_bounded};
use crate::peer::{ClusterKey, Keys};
use crate::protocol::client::Member;
use crate::protocol::peer::{Call, Rekey, Rekeyed};
use crate::types::{Fingerprint, KeyStage, Servers, Succession};

/// The file by which the folder of a change is known.
const MARK: &str = "rekey.json";

/// The file of keys in each of its folders.
const KEY: &str = "cluster.key";

/// Longest mark that is read.
const MARK_MAX_BYTES: u64 = 4 * 1024;

/// What a folder of a change says of it. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    old: Fingerprint,
    new: Fingerprint,
    compromised: bool,
}

/// A change of key, as it is begun or gone on with.
#[derive(Debug)]
pub struct Rekeying {
    /// The key that is used before.
    pub old: Fingerprint,
    /// The key that takes its place.
    pub new: Fingerprint,
    /// The keys, for whoever asks the servers.
    pub keys: Keys,
    succession: Option<Succession>,
}

impl Rekeying {
    /// From one key to another. `compromised`: whether the old one is to lead nobody to the
    /// new one.
    pub fn between(old: &ClusterKey, new: &ClusterKey, compromised: bool) -> Rekeying {
        let [older, newest] = [old, new].map(|key| Zeroizing::new(*key.bytes()));
        let file = FileKeys { newest, older: Some(older) };
        Rekeying::of(&file, old.identity().fingerprint(), compromised)
    }

    /// The same of what a file holds.
    fn of(file: &FileKeys, old: Fingerprint, compromised: bool) -> Rekeying {
        let newest = ClusterKey::new(*file.newest);
        let new = newest.identity().fingerprint();
        let older = file.older.as_ref().map(|older| ClusterKey::new(**older));
        let signed = older.as_ref().filter(|_| !compromised);
        let succession = signed.map(|older| older.identity().succeeded_by(new));
        Rekeying { old, new, keys: Keys::of(newest, older), succession }
    }

    /// The word by which clients reach the cluster when the new key is used.
    pub fn word(&self, members: &[Member]) -> String {
        let addresses = members.iter().map(|member| member.address.clone()).collect();
        Servers { addresses, fingerprint: Some(self.new) }.word()
    }
}

fn fingerprint(key: &[u8; KEY_BYTES]) -> Fingerprint {
    ClusterKey::new(*key).identity().fingerprint()
}

fn new_key(host: &Host) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    host.random.fill(&mut *key);
    key
}

/// The folder of a change that was begun. `None`: there is none, or an empty one.
///
/// # Errors
/// [`ErrorCode::NotEmpty`] when something else is there; [`ErrorCode::WrongUsage`] when
/// it was begun otherwise; [`ErrorCode::InvalidConfig`] for what is not as it was written.
pub fn begun(out: &Path, compromised: bool) -> Result<Option<Rekeying>> {
    let path = out.join(MARK);
    let bytes = match read_bounded(&path, MARK_MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return refuse_what_is_there(out).map(|()| None);
        }
        Err(error) => return Err(Error::own_file("read", &path, &error)),
    };
    let broken =
        |why: &str| Error::new(ErrorCode::InvalidConfig, format!("{} {why}", path.display()));
    let mark: Mark =
        serde_json::from_slice(&bytes).map_err(|_| broken("is not what this program wrote"))?;
    let file = key_file::read(&out.join(KEY))?;
    if fingerprint(&file.newest) != mark.new {
        return Err(broken("tells of another key than the one in the file beside it"));
    }
    if mark.compromised != compromised {
        let flag = if mark.compromised { "with" } else { "without" };
        return Err(Error::new(
            ErrorCode::WrongUsage,
            format!(
                "the change in {} was begun {flag} --compromised, and goes on so; another change \
                 is made with another folder when this one is done",
                out.display()
            ),
        ));
    }
    Ok(Some(Rekeying::of(&file, mark.old, compromised)))
}

/// Makes the folder of a change of this key: what every machine needs, and the mark.
///
/// # Errors
/// [`ErrorCode::NotEmpty`]; [`ErrorCode::Io`].
pub fn begin(
    host: &Host,
    old: &ClusterKey,
    members: &[Member],
    compromised: bool,
    out: &Path,
) -> Result<Rekeying> {
    let older = Some(Zeroizing::new(*old.bytes()));
    let file = FileKeys { newest: new_key(host), older };
    let rekeying = Rekeying::of(&file, old.identity().fingerprint(), compromised);
    let mark = Mark { old: rekeying.old, new: rekeying.new, compromised };
    written_as_a_whole(host, out, |beside| {
        make_private_folders(beside).map_err(|error| Error::own_file("make", beside, &error))?;
        for folder in folders(members) {
            let folder = beside.join(folder);
            make_private_folders(&folder)
                .map_err(|error| Error::own_file("make", &folder, &error))?;
            key_file::replace(&folder.join(KEY), &file)?;
        }
        key_file::replace(&beside.join(KEY), &file)?;
        let connect = rekeying.word(members);
        write(&beside.join("connect"), &format!("{connect}\n"))?;
        write(&beside.join("README.txt"), &what_to_do(members, &mark, &connect, out))?;
        write(&beside.join(MARK), &serde_json::to_string(&mark).expect("plain data serializes"))
    })?;
    Ok(rekeying)
}

/// Leaves only the new key in the folder, now that the old one proves nothing.
///
/// # Errors
/// [`ErrorCode::Io`].
pub fn drop_old_key(out: &Path) -> Result<()> {
    let path = out.join(KEY);
    let file = FileKeys { older: None, ..key_file::read(&path)? };
    let entries = fs::read_dir(out).map_err(|error| Error::own_file("look into", out, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| Error::own_file("look into", out, &error))?;
        let inside = entry.path().join(KEY);
        if inside.exists() {
            key_file::replace(&inside, &file)?;
        }
    }
    key_file::replace(&path, &file)
}

/// The names of the machines' folders, in the order of the replicas.
fn folders(members: &[Member]) -> Vec<PathBuf> {
    let name = |member: &Member| {
        let host = member.address.host();
        let same = members.iter().filter(|other| other.address.host() == host).count();
        PathBuf::from(if same > 1 { format!("{host}-{}", member.id) } else { host.to_string() })
    };
    members.iter().map(name).collect()
}

fn what_to_do(members: &[Member], mark: &Mark, connect: &str, out: &Path) -> String {
    let lines: Vec<String> = members
        .iter()
        .zip(folders(members))
        .map(|(member, folder)| {
            let (folder, host) = (folder.display(), member.address.host());
            format!("   {folder}/cluster.key to /etc/ftchat/cluster.key on {host}\n")
        })
        .collect();
    let out = out.to_string_lossy();
    let flag =
        if mark.compromised { &["--compromised", "--out", &*out][..] } else { &["--out", &*out] };
    let people = match mark.compromised {
        false => {
            "Clients that know the old fingerprint follow by themselves, and say so. New ones need:"
        }
        true => "Clients refuse the servers until people have this word:",
    };
    format!(
        "A new key for a cluster\n\n\
         Each file cluster.key here has two lines: the new key, and the old one.\n\n\
         1. Copy, with the modes of the files (cluster.key is for its owner alone):\n\n\
         {lines}\n   \
         A server looks into its file every second. Where the service manager gives it a copy, as\n   \
         the package's unit does, restart it, one after the other:\n\n   \
         systemctl restart ftchat\n\n\
         2. When all have it they change over by themselves. How far that is tells\n\n   \
         {again}\n\n\
         3. {people}\n\n   \
         {connect}\n\n\
         4. When the old key is forgotten that command leaves one line in the files here. Copy them\n   \
         once more, so that the old key is nowhere.\n\n\
         Whoever has cluster.key is the cluster: remove this folder then.\n",
        lines = lines.concat(),
        again = CommandLines::default().line("cluster rekey", flag),
    )
}

impl MembershipClient<'_> {
    /// Asks for a change of key, and follows it until it is done, as far as it goes by
    /// itself.
    ///
    /// # Errors
    /// Those of [`MembershipClient::change`].
    pub async fn rekey(&self, rekeying: &Rekeying, force: bool) -> Result<Rekeyed> {
        let Rekeying { old, new, succession, .. } = rekeying;
        let asked = Rekey { old: *old, new: *new, succession: succession.clone(), force };
        let deadline = Instant::now() + self.limit.left();
        let mut told = String::new();
        loop {
            let rekeyed: Rekeyed = self.insist(Call::Rekey, &asked).await?;
            let Some(waits) = rekeyed.waits_for.clone().filter(|_| rekeyed.stage != KeyStage::Done)
            else {
                return Ok(rekeyed);
            };
            if waits != told {
                (self.progress)(&waits);
                told = waits;
            }
            if Instant::now() >= deadline {
                return Ok(rekeyed);
            }
            sleep(RETRY_PAUSE).await;
        }
    }
}

impl Supervisor<'_> {
    /// Gives the cluster a new key, and returns when the old one is forgotten. Goes on with
    /// a change that was begun.
    ///
    /// # Errors
    /// Those of [`MembershipClient::change`]; [`ErrorCode::OutcomeUnknown`] when it is not
    /// done in time, with what it waits for; [`ErrorCode::Io`].
    pub async fn rekey(&self, compromised: bool) -> Result<(Rekeying, Rekeyed)> {
        let path = self.cluster.key_file();
        let mut file = key_file::read(&path)?;
        let was_begun = file.older.is_some();
        let older = match file.older.take() {
            Some(older) => older,
            None => std::mem::replace(&mut file.newest, new_key(self.host)),
        };
        let rekeying_from = fingerprint(&older);
        let file = FileKeys { older: Some(older), ..file };
        let rekeying = Rekeying::of(&file, rekeying_from, compromised);
        // Servers that start from now on have both; the cluster is asked afterwards.
        key_file::replace(&path, &file)?;
        let client = MembershipClient {
            host: self.host,
            keys: rekeying.keys.clone(),
            servers: self.cluster.addresses(),
            limit: self.limit,
            // What they are told to do is done: they look at the file once a second.
            progress: &|_| (self.progress)("the servers are changing over to the new key"),
        };
        // All servers read this one file: whoever does not run has both keys when it starts.
        let rekeyed = match client.rekey(&rekeying, true).await {
            // What the file tells of is done, and was another kind of change.
            Err(error) if was_begun && error.code == ErrorCode::WrongUsage => {
                key_file::replace(&path, &FileKeys { older: None, ..file })?;
                return Box::pin(self.rekey(compromised)).await;
            }
            rekeyed => rekeyed?,
        };
        if let Some(waits) = &rekeyed.waits_for {
            return Err(Error::outcome_unknown(format!(
                "the change of key is not done yet: {waits}. The same command again goes on with it"
            )));
        }
        key_file::replace(&path, &FileKeys { older: None, ..file })?;
        if was_begun {
            (self.progress)(
                "this was the change of key that had been begun before; the same command again \
                 makes another one",
            );
        }
        Ok((rekeying, rekeyed))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::types::ReplicaId;

    fn members() -> Vec<Member> {
        let member = |(id, address): (u32, &str)| Member {
            id: ReplicaId(id),
            address: address.parse().expect("an address"),
        };
        [(1, "alpha:1"), (2, "beta:2"), (4, "beta:3")].into_iter().map(member).collect()
    }

    #[test]
    fn every_machine_gets_both_keys_and_the_same_folder_goes_on_with_the_same_key() {
        let home = tempfile::tempdir().expect("temporary folder");
        let out = home.path().join("new-key");
        let old = ClusterKey::new([1; 32]);
        assert!(begun(&out, false).expect("nothing there").is_none());
        let first = begin(&Host::real(), &old, &members(), false, &out).expect("new");
        assert_eq!(first.old, old.identity().fingerprint());
        for folder in ["", "alpha", "beta-2", "beta-4"] {
            let path = out.join(folder).join("cluster.key");
            assert_eq!(fs::metadata(&path).expect("a key").mode() & 0o777, 0o600);
            let file = key_file::read(&path).expect("two keys");
            assert_eq!(fingerprint(&file.newest), first.new);
            assert_eq!(file.older.as_deref(), Some(old.bytes()));
        }
        let again = begun(&out, false).expect("ours").expect("begun");
        assert_eq!((again.old, again.new), (first.old, first.new));
        assert_eq!(again.succession, first.succession);
        assert!(first.succession.is_some());
        let refused = begun(&out, true).expect_err("begun otherwise");
        assert_eq!(refused.code, ErrorCode::WrongUsage);
        drop_old_key(&out).expect("own folder");
        for folder in ["", "alpha", "beta-4"] {
            let file = key_file::read(&out.join(folder).join("cluster.key")).expect("one key");
            assert!(file.older.is_none() && fingerprint(&file.newest) == first.new);
        }
        let done = begun(&out, false).expect("ours").expect("done");
        assert_eq!((done.old, done.new), (first.old, first.new));
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone_and_a_stolen_key_leads_nowhere() {
        let home = tempfile::tempdir().expect("temporary folder");
        fs::write(home.path().join("mine"), "mine").expect("own folder");
        assert_eq!(begun(home.path(), false).expect_err("full").code, ErrorCode::NotEmpty);
        let out = home.path().join("out");
        let old = ClusterKey::new([1; 32]);
        let rekeying = begin(&Host::real(), &old, &members(), true, &out).expect("new");
        assert_eq!(rekeying.succession, None);
        let told = fs::read_to_string(out.join("README.txt")).expect("a file");
        for text in ["--compromised", "beta-4/cluster.key", &rekeying.word(&members())] {
            assert!(told.contains(text), "{told}");
        }
        fs::write(out.join(MARK), "{").expect("own folder");
        assert_eq!(begun(&out, true).expect_err("broken").code, ErrorCode::InvalidConfig);
    }
}
