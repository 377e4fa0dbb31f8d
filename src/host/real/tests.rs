use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("exists").mode() & 0o7777
}

#[test]
fn the_clock_agrees_with_the_system_and_random_bytes_differ() {
    let seconds = jiff::Timestamp::now().as_second().abs_diff(host().clock.now().0 as i64 / 1000);
    assert!(seconds <= 2, "{seconds} s apart");
    assert_ne!(host().uuid(), host().uuid());
    assert_ne!(host().random_u64(), host().random_u64());
}

#[tokio::test]
async fn a_folder_that_does_not_open_is_told_from_one_that_does_not_sync() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = host().disk.sync_dir(&folder.path().join("missing")).await;
    let error = missing.expect_err("it is not there");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.get_ref().is_some_and(|inner| inner.is::<NotOpened>()), "{error:?}");
    host().disk.sync_dir(folder.path()).await.expect("syncs");
}

#[tokio::test]
async fn hundreds_of_connections_wait_until_they_are_accepted() {
    const WAITING: usize = 400;
    crate::host::allow_descriptors(4_096);
    let allowed = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    if allowed.trim().parse().is_ok_and(|allowed: usize| allowed < WAITING) {
        return;
    }
    let network = host().network;
    let listener = network.listen(&"127.0.0.1:0".parse().expect("valid")).await;
    let listener = listener.expect("listens");
    let connecting = (0..WAITING).map(|_| network.connect(&listener.local_address()));
    // One for which there is no room asks again after a second, and then after
    // two, as long as nobody is accepted.
    let limit = std::time::Duration::from_secs(20);
    let connected = tokio::time::timeout(limit, futures::future::try_join_all(connecting));
    connected.await.expect("all at once").expect("all connect");
}

#[tokio::test]
async fn bytes_travel_both_ways_and_the_remote_address_has_no_port() {
    let host = host();
    for any in ["127.0.0.1:0", "localhost:0", "[::1]:0"] {
        let any: Address = any.parse().expect("valid");
        let listener = match host.network.listen(&any).await {
            Ok(listener) => listener,
            // Not every machine has IPv6.
            Err(_) if any.host() == "::1" => continue,
            Err(error) => panic!("{any}: {error}"),
        };
        let address = listener.local_address();
        assert_eq!(address.host(), any.host());
        assert_ne!(address.port(), 0);
        let (client, server) = tokio::join!(host.network.connect(&address), listener.accept());
        let (mut client, (mut server, remote)) =
            (client.expect("connects"), server.expect("accepts"));
        assert!(remote.parse::<std::net::IpAddr>().expect("an address").is_loopback());
        client.write_all(b"ping").await.expect("sends");
        let mut four = [0; 4];
        server.read_exact(&mut four).await.expect("receives");
        server.write_all(&four).await.expect("answers");
        client.read_exact(&mut four).await.expect("is answered");
        assert_eq!(&four, b"ping");
        let taken = host.network.listen(&address).await;
        assert_eq!(taken.err().map(|e| e.kind()), Some(io::ErrorKind::AddrInUse));
    }
}

/// Plain text is for connections that nobody else can see, and that nobody from another
/// machine could have made.
#[tokio::test]
async fn what_a_server_is_bound_to_decides_whether_others_could_read_along() {
    for (bound, called, open) in [
        ("127.0.0.1:0", "127.0.0.1", false),
        ("LOCALHOST:0", "localhost", false),
        ("[::1]:0", "[::1]", false),
        ("0.0.0.0:0", "127.0.0.1", true),
        ("[::]:0", "[::1]", true),
        ("[::]:0", "127.0.0.1", true),
    ] {
        let listener = match host().network.listen(&bound.parse().expect("valid")).await {
            Ok(listener) => listener,
            // Not every machine has IPv6.
            Err(_) if bound.starts_with('[') => continue,
            Err(error) => panic!("{bound}: {error}"),
        };
        let port = listener.local_address().port();
        let address = format!("{called}:{port}").parse().expect("valid");
        let (client, server) = tokio::join!(host().network.connect(&address), listener.accept());
        assert!(!client.expect("connects").is_open(), "{bound}: to this machine");
        assert_eq!(server.expect("accepts").0.is_open(), open, "{bound}");
    }
}

#[tokio::test]
async fn an_address_that_somebody_has_is_passed_over() {
    let listen = |addresses: &[&str]| {
        let addresses: Vec<SocketAddr> =
            addresses.iter().map(|text| text.parse().expect("valid")).collect();
        listen_at_one_of(addresses.into_iter())
    };
    let taken = listen(&["127.0.0.1:0"]).expect("free");
    let taken = taken.local_addr().expect("bound").to_string();
    assert!(listen(&[&taken, "127.0.0.1:0"]).is_ok());
    let error = listen(&[&taken]).map(drop).expect_err("taken");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_file_keeps_what_was_appended_and_cut() -> io::Result<()> {
    let (disk, folder) = (host().disk, tempfile::tempdir()?);
    let (deep, path) = (folder.path().join("a/b"), folder.path().join("a/b/file"));
    disk.create_dir_all(&deep).await?;
    disk.create_dir_all(&deep).await?;
    assert_eq!((mode(&deep), mode(&folder.path().join("a"))), (0o700, 0o700));
    assert!(disk.open(&path).await.is_err(), "open makes no file");

    let mut file = disk.create(&path).await?;
    file.append(Bytes::from_static(b"0123456789")).await?;
    file.truncate(4).await?;
    file.append(Bytes::from_static(b"xy")).await?;
    file.sync_data().await?;
    assert_eq!((file.len().await?, mode(&path)), (6, 0o600));
    assert_eq!(file.read_at(2, 3).await?, b"23x");
    assert_eq!(file.read_at(4, 99).await?, b"xy");
    assert_eq!(file.read_at(99, 1).await?, b"");
    assert_eq!(disk.used_bytes(folder.path()).await?, 6);

    // An old file is gone, and so is its mode.
    fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    assert_eq!(disk.create(&path).await?.len().await?, 0);
    assert_eq!(mode(&path), 0o600);
    disk.rename(&path, &deep.join("other")).await?;
    disk.sync_dir(&deep).await?;
    assert_eq!(disk.list(&deep).await?, ["other"]);
    assert_eq!(disk.read(&deep.join("other")).await?, b"");
    disk.remove_file(&deep.join("other")).await?;
    disk.remove_dir_all(&folder.path().join("a")).await?;
    assert_eq!(disk.list(folder.path()).await?, [] as [String; 0]);
    Ok(())
}

#[tokio::test]
async fn a_lock_has_one_holder_whom_others_can_read() -> io::Result<()> {
    let (disk, folder) = (host().disk, tempfile::tempdir()?);
    let path = folder.path().join("LOCK");
    let mut lock = disk.try_lock(&path).await?.expect("free");
    assert_eq!(mode(&path), 0o600);
    let inode = fs::metadata(&path)?.ino();
    lock.write_holder("a long description").await?;
    lock.write_holder("short").await?;
    assert!(disk.try_lock(&path).await?.is_none());
    assert_eq!(disk.read(&path).await?, b"short");
    drop(lock);
    let again = disk.try_lock(&path).await?.expect("free again");
    assert_eq!((fs::metadata(&path)?.ino(), disk.read(&path).await?), (inode, b"short".into()));
    drop(again);
    Ok(())
}
