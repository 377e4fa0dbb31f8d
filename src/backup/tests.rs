//! The file: what was written is read, and nothing else is.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;

use super::file::{self, BackupWriter, Verified};
use super::take::NewFile;
use super::{FORMAT, Head, Source};
use crate::chat::{Action, Batch, Effects, Operation, State};
use crate::error::{ErrorCode, Result};
use crate::host::{Disk, DiskFile};
use crate::storage::testing::FaultyDisk;
use crate::types::{AccountName, Digest, Timestamp, Uuid};

fn state(people: u64, messages: u64) -> State {
    let mut state = State::new(1_000);
    let name = |n: u64| AccountName::new(&format!("person{n}")).expect("valid");
    let mut index = 0;
    let mut apply = |action: Action| {
        index += 1;
        let id = Uuid::from_u128(u128::from(index));
        let batch = Batch { at: Timestamp(index), operations: vec![Operation { id, action }] };
        state.apply(index, &batch, &mut Effects::default());
    };
    for n in 0..people {
        apply(Action::Register {
            account: Uuid::from_u128(u128::from(n) + 1),
            name: name(n),
            password_hash: "hash".into(),
            token_hash: Digest::of(&n.to_le_bytes()),
            expires: Timestamp::MAX,
            invitation: None,
            from: None,
        });
    }
    for n in 0..messages {
        let text = format!("message {n} \u{1} \" \\ \u{202e}");
        apply(Action::Send {
            session: n % people + 1,
            to: vec![name((n + 1) % people)],
            text,
            again: false,
            after: None,
            reply_to: None,
        });
    }
    state
}

fn written(state: &State) -> Vec<u8> {
    let view = state.view();
    let (accounts, messages) = view.counts();
    let head = Head {
        format: FORMAT,
        version: "1.2.3".into(),
        cluster: Uuid::nil(),
        index: 7,
        at: Timestamp(1),
        state_hash: state.hash().to_string(),
        accounts,
        messages,
        confirmed: true,
    };
    let mut writer = BackupWriter::begin(Vec::new(), &head).expect("a vector");
    for line in view.for_backup().lines() {
        writer.line(&line).expect("a vector");
    }
    let (bytes, totals, all) = writer.finish().expect("a vector");
    assert_eq!((bytes.len() as u64, totals.bytes < all), (all, true));
    bytes
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn file(&self, content: &[u8]) -> PathBuf {
        let path = self.0.path().join("backup");
        std::fs::write(&path, content).expect("a file of ours");
        path
    }

    /// Refused as damaged, naming file and line.
    fn refuses(&self, content: &[u8]) -> String {
        let path = self.file(content);
        let error = verify(&path, &|_| {}).expect_err("not what was written");
        assert_eq!(error.code, ErrorCode::Corrupted, "{error}");
        let named = error.message.contains("line") && error.message.contains(name(&path));
        assert!(named, "{error}");
        error.message
    }
}

fn verify(path: &Path, progress: &dyn Fn(u64)) -> Result<Verified> {
    file::verify(Source::once(path)?, progress)
}

fn name(path: &Path) -> &str {
    path.to_str().expect("ours")
}

#[test]
fn what_was_written_is_whole_and_readable() {
    let folder = Folder::new();
    let bytes = written(&state(3, 40));
    let verified = verify(&folder.file(&bytes), &|_| {}).expect("as written");
    assert_eq!((verified.head.accounts, verified.head.messages), (3, 40));
    assert_eq!(verified.bytes, bytes.len() as u64);
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    assert_eq!(verified.lines as usize + 2, lines.by_ref().count());
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(line).expect("JSON");
    }
    // The identity is that of the content.
    let again = verify(&folder.file(&bytes), &|_| {}).expect("as written");
    assert_eq!(again.id(), verified.id());
    let other = verify(&folder.file(&written(&state(3, 41))), &|_| {}).expect("as written");
    assert_ne!(other.id(), verified.id());
}

#[test]
fn every_truncation_is_refused() {
    let folder = Folder::new();
    let bytes = written(&state(2, 3));
    for length in 0..bytes.len() {
        folder.refuses(&bytes[..length]);
    }
    assert!(folder.refuses(b"").contains("empty"));
    assert!(folder.refuses(&bytes[..bytes.len() - 1]).contains("cut short"));
    let end = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines");
    assert!(folder.refuses(&bytes[..=end]).contains("interrupted"));
}

#[test]
fn every_flipped_bit_is_refused() {
    let folder = Folder::new();
    let bytes = written(&state(2, 2));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            folder.refuses(&flipped);
        }
    }
}

#[test]
fn what_follows_the_end_and_what_is_no_backup_is_refused() {
    let folder = Folder::new();
    let bytes = written(&state(2, 2));
    folder.refuses(&[&bytes[..], b"\n"].concat());
    assert!(folder.refuses(&[&bytes[..], &bytes[..]].concat()).contains("follows the end"));
    folder.refuses(b"hello\n");
    folder.refuses(&[0; 100_000]);
    folder.refuses(&crate::storage::record::encode(b"{\"something\":1}"));
}

#[test]
fn a_backup_of_a_newer_program_is_not_taken_for_a_broken_one() {
    let folder = Folder::new();
    let newer = crate::storage::record::encode(b"{\"backup\":{\"format\":2,\"new\":true}}");
    let error = verify(&folder.file(&newer), &|_| {}).expect_err("newer");
    assert_eq!(error.code, ErrorCode::NewerFormat);
}

#[test]
fn totals_that_do_not_fit_are_refused_each_by_itself() {
    let folder = Folder::new();
    let bytes = written(&state(2, 3));
    let end = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines") + 1;
    let last = crate::storage::record::decode(&bytes[end..bytes.len() - 1]).expect("as written");
    let last: serde_json::Value = serde_json::from_slice(last).expect("JSON");
    for (field, wrong) in [
        ("lines", serde_json::json!(last["backup_end"]["lines"].as_u64().expect("a number") + 1)),
        ("bytes", serde_json::json!(last["backup_end"]["bytes"].as_u64().expect("a number") - 1)),
        ("sha256", serde_json::json!("0".repeat(64))),
    ] {
        let mut other = last.clone();
        other["backup_end"][field] = wrong;
        let record = crate::storage::record::encode(other.to_string().as_bytes());
        let message = folder.refuses(&[&bytes[..end], &record].concat());
        assert!(message.contains("totals do not fit"), "{field}: {message}");
    }
    let same = crate::storage::record::encode(last.to_string().as_bytes());
    verify(&folder.file(&[&bytes[..end], &same].concat()), &|_| {}).expect("as written");
}

/// A file that is not under its name yet, with something in it.
async fn unfinished(disk: &Arc<dyn Disk>, path: &Path) -> Result<(NewFile, Box<dyn DiskFile>)> {
    let new = NewFile::beside(disk, path, 7).await?;
    let temporary = path.parent().expect("a folder").join(format!(".ftchat-{:016x}.tmp", 7));
    let mut file = disk.create(&temporary).await.expect("own folder");
    file.append("new".into()).await.expect("room");
    Ok((new, file))
}

#[tokio::test]
async fn what_is_not_on_the_disk_does_not_get_the_name() {
    let folder = Folder::new();
    let faulty = FaultyDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
    let path = folder.file(b"old");
    let (new, file) = unfinished(&disk, &path).await.expect("begun");
    faulty.fail_syncs(true);
    new.put_in_place(file).await.expect_err("it is not durable");
    assert_eq!(std::fs::read(&path).expect("there"), b"old");
    assert_eq!(std::fs::read_dir(folder.0.path()).expect("there").count(), 1, "nothing is left");
    faulty.fail_syncs(false);
    let (new, file) = unfinished(&disk, &path).await.expect("begun");
    new.put_in_place(file).await.expect("in place");
    assert_eq!(std::fs::read(&path).expect("there"), b"new");
    assert_eq!(std::fs::read_dir(folder.0.path()).expect("there").count(), 1);
    let (new, file) = unfinished(&disk, &path).await.expect("begun");
    drop((new, file));
    assert_eq!(std::fs::read_dir(folder.0.path()).expect("there").count(), 1, "nothing is left");
}

#[tokio::test]
async fn a_backup_is_not_done_before_its_name_is_on_the_disk() {
    let folder = Folder::new();
    let faulty = FaultyDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
    let (new, file) = unfinished(&disk, &folder.file(b"old")).await.expect("begun");
    faulty.refuse_to_open(Some(rustix::io::Errno::ACCESS));
    new.put_in_place(file).await.expect_err("the folder cannot be synced");
}

#[test]
fn only_the_end_of_what_was_verified_is_its_end() {
    let folder = Folder::new();
    let (one, other) = (written(&state(3, 40)), written(&state(2, 40)));
    let verified = verify(&folder.file(&one), &|_| {}).expect("whole");
    for (content, same) in [(&one, true), (&other, false)] {
        let bytes = Box::new(std::io::Cursor::new(content.clone()));
        let begun = file::BackupReader::begin(Path::new("backup"), bytes);
        let (mut reader, _) = begun.expect("a backup");
        assert!(!reader.read_all_of(&verified), "nothing of it yet");
        while reader.next().expect("whole").is_some() {
            assert!(!reader.read_all_of(&verified), "not all of it yet");
        }
        assert_eq!(reader.read_all_of(&verified), same);
    }
}

#[tokio::test]
async fn every_name_that_a_file_may_have_is_one_for_a_backup() {
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::symlink;
    let disk = crate::host::Host::real().disk;
    let folder = Folder::new();
    let at = |name: Vec<u8>| folder.0.path().join(std::ffi::OsString::from_vec(name));
    for name in [vec![b'x'; 255], b"caf\xe9".to_vec(), b"-".to_vec(), b" \n".to_vec()] {
        let (new, file) = unfinished(&disk, &at(name.clone())).await.expect("begun");
        new.put_in_place(file).await.expect("in place");
        assert_eq!(std::fs::read(at(name)).expect("there"), b"new");
    }
    // What links lead to is written, also where nothing is yet; they stay links.
    let (first, second) = (at(b"first".to_vec()), at(b"second".to_vec()));
    symlink("second", &first).expect("own folder");
    symlink("target", &second).expect("own folder");
    for _ in 0..2 {
        let (new, file) = unfinished(&disk, &first).await.expect("begun");
        new.put_in_place(file).await.expect("in place");
        assert_eq!(std::fs::read(at(b"target".to_vec())).expect("there"), b"new");
        assert!(std::fs::symlink_metadata(&first).expect("there").is_symlink());
    }
    let circle = at(b"circle".to_vec());
    symlink("circle", &circle).expect("own folder");
    for wrong in [circle, folder.0.path().to_path_buf(), PathBuf::from("/dev/null")] {
        let error = NewFile::beside(&disk, &wrong, 7).await.err().expect("no file");
        assert_eq!(error.code, ErrorCode::WrongUsage, "{error}");
    }
}

#[test]
fn what_is_read_once_is_kept_and_the_same_when_it_is_read_again() {
    let folder = Folder::new();
    let bytes = written(&state(3, 40));
    let path = folder.file(&bytes);
    let source = Source::again(&path, Path::new("/nonexistent"), 1).expect("a file");
    let verified = file::verify(source, &|_| {}).expect("as written");
    // Whatever has the name now: these are the bytes that were verified.
    std::fs::remove_file(&path).expect("own file");
    folder.file(b"another");
    let mut again = Vec::new();
    verified.content.expect("kept").reader().read_to_end(&mut again).expect("readable");
    assert_eq!(again, bytes);
}

#[test]
fn fuzz_backup_files() {
    let (folder, original) = (Folder::new(), written(&state(3, 5)));
    crate::protocol::fuzzing::fuzz("backups", std::slice::from_ref(&original), |bytes| {
        let verified = verify(&folder.file(bytes), &|_| {});
        assert_eq!(verified.is_ok(), bytes == original, "nothing else is a backup");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn lines_that_are_moved_doubled_or_missing_are_refused(
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
        how in 0..3,
    ) {
        let folder = Folder::new();
        let bytes = written(&state(4, 30));
        let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
        let before = lines.clone();
        let from = from.index(lines.len());
        match how {
            0 => { lines.remove(from); }
            1 => lines.insert(from, before[from]),
            _ => {
                let line = lines.remove(from);
                lines.insert(to.index(lines.len() + 1), line);
            }
        }
        if lines != before {
            folder.refuses(&lines.concat());
        }
    }
}
