//! The caller's side.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, OtherError,
    SignatureScheme,
};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::identity::named;
use super::{PROTOCOL, binding_of, provider, succession};
use crate::host::{BoxFuture, Listener, Network, Stream};
use crate::types::{Address, Fingerprint};

/// Whoever answers is not of the cluster that is looked for. Nothing was sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shows the fingerprint {found}, and not {expected}; it belongs to another cluster")]
pub struct WrongServer {
    /// Of the cluster that is looked for.
    pub expected: Fingerprint,
    /// Of the one that answers.
    pub found: Fingerprint,
}

impl WrongServer {
    /// What an attempt to connect failed by, if it was this.
    pub fn found_by(error: &io::Error) -> Option<WrongServer> {
        let tls = error.get_ref()?.downcast_ref::<TlsError>()?;
        let TlsError::InvalidCertificate(CertificateError::Other(OtherError(other))) = tls else {
            return None;
        };
        other.downcast_ref().copied()
    }
}

/// A network on which only the servers of one cluster are spoken to, in TLS.
#[derive(Clone)]
pub struct Pinned {
    network: Arc<dyn Network>,
    tls: TlsConnector,
    /// Who was named, and where it is noted that another one has turned up in its place.
    followed: Option<(Fingerprint, Followed)>,
}

/// The newer key that a cluster turned out to have, as its older one has signed.
#[derive(Clone, Debug, Default)]
pub struct Followed(Arc<OnceLock<Fingerprint>>);

impl Followed {
    /// Its fingerprint, if there was one.
    pub fn get(&self) -> Option<Fingerprint> {
        self.0.get().copied()
    }

    /// Notes who has proved to be the one that was named, or to stand in its place. The
    /// first one counts.
    fn note(&self, named: Fingerprint, found: Fingerprint) {
        if named != found {
            let _ = self.0.set(found);
        }
    }
}

impl Pinned {
    /// Over another network, for the cluster with this fingerprint, and with those that
    /// its key has signed over to.
    pub fn new(network: Arc<dyn Network>, fingerprint: Fingerprint) -> Pinned {
        Pinned::following(network, fingerprint, Followed::default())
    }

    /// The same, and notes where it turns out that the cluster has a newer key.
    pub fn following(
        network: Arc<dyn Network>,
        fingerprint: Fingerprint,
        followed: Followed,
    ) -> Pinned {
        let expected = Expected { any_of: vec![fingerprint], follows: true };
        let followed = Some((fingerprint, followed));
        Pinned { network, tls: connector(Some(expected)), followed }
    }

    /// Over another network, for a cluster with one of these fingerprints and no other, the
    /// likeliest first: for who has the key itself.
    pub fn to_any_of(network: Arc<dyn Network>, fingerprints: Vec<Fingerprint>) -> Pinned {
        let expected = Expected { any_of: fingerprints, follows: false };
        Pinned { network, tls: connector(Some(expected)), followed: None }
    }

    /// Performs the handshake of a connection that is made, and returns what is inside.
    ///
    /// # Errors
    /// What is wrong with who answers; see [`WrongServer::found_by`].
    pub fn secure(&self, stream: Stream) -> impl Future<Output = io::Result<Stream>> + use<> {
        let elsewhere = stream.elsewhere().cloned();
        let securing = self.tls.connect(any_name(), stream);
        let followed = self.followed.clone();
        async move {
            let stream = securing.await?;
            // Not before: until now whoever answers has only shown a certificate, which is
            // no secret.
            if let Some((named, followed)) = followed {
                followed.note(named, shown_by(&stream)?);
            }
            let binding = binding_of(stream.get_ref().1)?;
            Ok(Stream::encrypted(stream, binding).leading(elsewhere))
        }
    }
}

impl Network for Pinned {
    fn connect(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        let (connecting, pinned) = (self.network.connect(address), self.clone());
        Box::pin(async move { pinned.secure(connecting.await?).await })
    }

    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        self.network.listen(address)
    }
}

/// Asks whoever listens at an address for its fingerprint. It has proved that it has the
/// key: the handshake is signed with it. Nothing is sent to it but the handshake, so this
/// may be anybody. Has no time limit of its own.
///
/// # Errors
/// That nobody listens, or that who does shakes no hands.
pub async fn fingerprint_of(network: &dyn Network, address: &Address) -> io::Result<Fingerprint> {
    let stream = network.connect(address).await?;
    let mut stream = connector(None).connect(any_name(), stream).await?;
    let found = shown_by(&stream);
    // A server that does not hear the goodbye finds the connection closed.
    let _ = stream.shutdown().await;
    found
}

/// Who has shaken hands.
fn shown_by(stream: &TlsStream<Stream>) -> io::Result<Fingerprint> {
    match stream.get_ref().1.peer_certificates().and_then(<[_]>::first) {
        Some(certificate) => fingerprint_in(certificate).map_err(io::Error::other),
        None => Err(io::Error::other("showed no certificate")),
    }
}

fn connector(expected: Option<Expected>) -> TlsConnector {
    let provider = provider();
    let names = expected.iter().flat_map(|expected| expected.any_of.iter().map(named));
    let protocols = std::iter::once(PROTOCOL.to_vec()).chain(names).collect();
    let verifier = Verifier { expected, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has what TLS 1.3 needs")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = protocols;
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    TlsConnector::from(Arc::new(config))
}

/// Names in certificates are not looked at; the interface wants one.
fn any_name() -> ServerName<'static> {
    ServerName::try_from("ftchat").expect("a name")
}

fn fingerprint_in(certificate: &CertificateDer<'_>) -> Result<Fingerprint, TlsError> {
    let certificate = ParsedCertificate::try_from(certificate)?;
    Ok(Fingerprint::of(&certificate.subject_public_key_info()))
}

/// Whom a caller wants to answer.
#[derive(Debug)]
struct Expected {
    any_of: Vec<Fingerprint>,
    /// Whether also one whose key an older one has signed.
    follows: bool,
}

impl Expected {
    /// Whether it is one of those.
    fn check(&self, found: Fingerprint, certificate: &CertificateDer<'_>) -> Result<(), TlsError> {
        if self.any_of.contains(&found) {
            return Ok(());
        }
        let expected = self.any_of.first().copied().unwrap_or(found);
        if self.follows && succession::lead(&succession::shown_in(certificate), expected, found) {
            return Ok(());
        }
        let wrong = WrongServer { expected, found };
        Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
    }
}

/// Compares the public key, and lets the handshake be signed with it. Nothing else of
/// the certificate says anything about who answers, but what an older key has signed.
struct Verifier {
    /// `None`: any, as somebody is still to say which it should be.
    expected: Option<Expected>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({:?})", self.expected)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let found = fingerprint_in(end_entity)?;
        self.expected.as_ref().map_or(Ok(()), |expected| expected.check(found, end_entity))?;
        Ok(ServerCertVerified::assertion())
    }

    /// Never asked: only TLS 1.3 is spoken.
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(TlsError::General("TLS 1.2 is not spoken".to_string()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
