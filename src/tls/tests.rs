//! Handshakes between both sides, and with what is neither.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::host::{BoxFuture, Host, Listener, Network, Stream};
use crate::sync::Mutex;
use crate::types::{Address, Fingerprint};

/// Both ends of a connection on which the caller expects a fingerprint.
async fn meet<S, F>(
    expected: Fingerprint,
    serve: impl FnOnce(Stream) -> F,
) -> (io::Result<Stream>, S)
where
    F: Future<Output = S>,
{
    let (here, there) = tokio::io::duplex(64 * 1024);
    let network = Pinned::new(Host::real().network, expected);
    tokio::join!(network.secure(Stream::local(here)), serve(Stream::local(there)))
}

fn acceptor(key: u8) -> (Acceptor, Fingerprint) {
    let identity = Identity::of(&[key; 32]);
    (Acceptor::new(Host::real(), &identity), identity.fingerprint())
}

#[test]
fn the_identity_of_a_key_is_the_same_for_ever() {
    let identity = Identity::of(&[7; 32]);
    assert_eq!(
        identity.fingerprint().to_string(),
        "FOEN-UXES-7JFV-3Y6O-IVXU-5SJP-AVSP-VNFD-SD5J-Y6UB-37J2-52LH-4VYQ-URAL"
    );
    let again = Identity::of(&[7; 32]);
    assert_eq!(identity.certified().cert, again.certified().cert);
    assert_ne!(Identity::of(&[8; 32]).fingerprint(), identity.fingerprint());
}

#[tokio::test]
async fn who_knows_the_fingerprint_speaks_in_private() {
    let (acceptor, fingerprint) = acceptor(7);
    let (caller, server) = meet(fingerprint, |stream| acceptor.accept(stream)).await;
    let (mut caller, mut server) = (caller.expect("known"), server.expect("a handshake"));
    caller.write_all(b"hello").await.expect("open");
    caller.flush().await.expect("open");
    let mut said = [0; 5];
    server.read_exact(&mut said).await.expect("open");
    assert_eq!(&said, b"hello");
}

#[tokio::test]
async fn another_clusters_server_is_told_nothing() {
    let (acceptor, found) = acceptor(8);
    let expected = Identity::of(&[7; 32]).fingerprint();
    let (caller, server) = meet(expected, |stream| acceptor.accept(stream)).await;
    let refused = caller.err().expect("another cluster");
    assert_eq!(WrongServer::found_by(&refused), Some(WrongServer { expected, found }));
    assert!(server.is_err(), "the handshake has not ended");
}

/// The certificate is no secret: everybody is shown it. Only who has the key may use it.
#[tokio::test]
async fn the_right_certificate_without_its_key_is_refused() {
    let identity = Identity::of(&[7; 32]);
    let tls = thief(&identity);
    let (caller, _) = meet(identity.fingerprint(), |stream| tls.accept(stream)).await;
    let refused = caller.err().expect("a forged signature");
    assert!(refused.to_string().contains("BadSignature"), "{refused}");
    assert_eq!(WrongServer::found_by(&refused), None);
    let ((network, there), nowhere) = (one_connection(), nowhere());
    let (found, _) = tokio::join!(fingerprint_of(&network, &nowhere), tls.accept(there));
    assert!(found.expect_err("a forged signature").to_string().contains("BadSignature"));
}

/// A server that shows the certificate of another, without its key.
fn thief(of: &Identity) -> tokio_rustls::TlsAcceptor {
    let shown = of.certified().cert.clone();
    let thief = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key of its own");
    let key = rustls::crypto::ring::sign::any_supported_type(&PrivateKeyDer::Pkcs8(
        PrivatePkcs8KeyDer::from(thief.serialize_der()),
    ))
    .expect("an Ed25519 key");
    let certified = Arc::new(rustls::sign::CertifiedKey::new(shown, key));
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// A network that leads to one connection, once, whose other end is here.
struct OneConnection(Mutex<Option<Stream>>);

fn one_connection() -> (OneConnection, Stream) {
    let (here, there) = tokio::io::duplex(64 * 1024);
    (OneConnection(Mutex::new(Some(Stream::local(here)))), Stream::local(there))
}

fn nowhere() -> Address {
    "h:1".parse().expect("an address")
}

impl Network for OneConnection {
    fn connect(&self, _: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        let stream = self.0.lock().take().expect("one");
        Box::pin(async move { Ok(stream) })
    }
    fn listen(&self, _: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        unreachable!("nobody listens here")
    }
}

#[tokio::test]
async fn who_is_asked_for_its_fingerprint_proves_it_and_hears_nothing() {
    let (acceptor, fingerprint) = acceptor(7);
    let ((network, there), nowhere) = (one_connection(), nowhere());
    let served = async {
        let mut inside = acceptor.accept(there).await.expect("a handshake");
        let mut said = Vec::new();
        inside.read_to_end(&mut said).await.expect("a goodbye");
        said
    };
    let (found, said) = tokio::join!(fingerprint_of(&network, &nowhere), served);
    assert_eq!((found.expect("proved"), said), (fingerprint, Vec::new()));
    // Who speaks no TLS proves nothing.
    let (network, mut there) = one_connection();
    let plain = async {
        there.write_all(b"{\"ftchat\":1}\n").await.expect("room");
        there.read_to_end(&mut Vec::new()).await.expect("closed");
    };
    let (found, ()) = tokio::join!(fingerprint_of(&network, &nowhere), plain);
    found.expect_err("no handshake");
}

#[tokio::test]
async fn what_is_no_handshake_ends_with_an_error() {
    let (acceptor, _) = acceptor(7);
    for said in [&b"\x16\x03\x01"[..], b"\x16nonsense of a good length", b""] {
        let (mut here, there) = tokio::io::duplex(1024);
        here.write_all(said).await.expect("room");
        here.shutdown().await.expect("open");
        let refused = acceptor.accept(there).await.err();
        refused.unwrap_or_else(|| panic!("a handshake of {said:?}"));
    }
}

#[tokio::test]
async fn a_handshake_ends_when_nobody_waits_for_it_any_more() {
    let (acceptor, _) = acceptor(7);
    let (mut here, there) = tokio::io::duplex(1024);
    let accepting = acceptor.accept(there);
    tokio::time::timeout(Duration::from_millis(20), accepting).await.err().expect("nothing came");
    assert_eq!(here.read(&mut [0]).await.expect("closed"), 0);
}

/// The header of a record, and of a first message of 65,535 bytes that never end.
#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let (acceptor, _) = acceptor(7);
    let (mut here, there) = tokio::io::duplex(1024);
    let writing = async {
        let mut record = vec![22, 3, 1, 0x3f, 0xff, 1, 0, 0xff, 0xff];
        record.resize(5 + 0x3fff, 0);
        let mut written = 0;
        while here.write_all(&record).await.is_ok() {
            written += record.len();
        }
        written
    };
    let (refused, written) = tokio::join!(acceptor.accept(there), writing);
    refused.err().expect("too much");
    assert!(written <= 32 * 1024, "{written} bytes were taken");
}

/// A certificate of the usual kind is none of ours, whatever its key is.
#[test]
fn a_key_of_another_kind_has_a_fingerprint_too() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let params = CertificateParams::new(vec!["host".to_string()]).expect("a name");
    let certificate = params.self_signed(&key).expect("it can sign");
    let parsed = rustls::server::ParsedCertificate::try_from(certificate.der()).expect("DER");
    let theirs = Fingerprint::of(&parsed.subject_public_key_info());
    assert_ne!(theirs, Identity::of(&[7; 32]).fingerprint());
}

#[tokio::test]
async fn who_knows_either_key_of_a_change_is_shown_the_one_that_it_knows() {
    let (old, new) = (Identity::of(&[1; 32]), Identity::of(&[2; 32]));
    let shown = Shown::from(&old);
    shown.become_those(vec![old.clone(), new.clone()]);
    let acceptor = Acceptor::new(Host::real(), shown);
    for known in [&old, &new] {
        let (caller, server) = meet(known.fingerprint(), |stream| acceptor.accept(stream)).await;
        assert!(caller.is_ok() && server.is_ok(), "{known:?}");
    }
    let stranger = Identity::of(&[3; 32]).fingerprint();
    let (caller, _) = meet(stranger, |stream| acceptor.accept(stream)).await;
    let wrong = WrongServer::found_by(&caller.map(drop).expect_err("another cluster"));
    assert_eq!(wrong, Some(WrongServer { expected: stranger, found: old.fingerprint() }));
}

/// What becomes of a client that knows an older key, at a server that shows a new one.
async fn follow(successions: &[crate::types::Succession]) -> (bool, Option<Fingerprint>) {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let known = Identity::of(&[1; 32]).fingerprint();
    let acceptor = Acceptor::new(Host::real(), &Identity::following(&[3; 32], successions));
    let followed = Followed::default();
    let pinned = Pinned::following(Host::real().network, known, followed.clone());
    let (caller, _) =
        tokio::join!(pinned.secure(Stream::local(here)), acceptor.accept(Stream::local(there)));
    (caller.is_ok(), followed.get())
}

#[tokio::test]
async fn a_client_follows_what_an_older_key_has_signed_and_nothing_else() {
    let at = |byte: u8| Identity::of(&[byte; 32]);
    let chain = [at(1).succeeded_by(at(2).fingerprint()), at(2).succeeded_by(at(3).fingerprint())];
    assert_eq!(follow(&chain).await, (true, Some(at(3).fingerprint())));
    assert_eq!(follow(&[]).await, (false, None), "after a theft nothing leads there");
    assert_eq!(follow(&chain[1..]).await, (false, None));
    let forged = at(3).succeeded_by(at(3).fingerprint());
    assert_eq!(follow(&[forged]).await, (false, None));
    // A server follows nothing: it has the key or it does not.
    let (here, there) = tokio::io::duplex(64 * 1024);
    let acceptor = Acceptor::new(Host::real(), &Identity::following(&[3; 32], &chain));
    let pinned = Pinned::to_any_of(Host::real().network, vec![at(1).fingerprint()]);
    let (caller, _) =
        tokio::join!(pinned.secure(Stream::local(here)), acceptor.accept(Stream::local(there)));
    assert!(caller.is_err());
}
