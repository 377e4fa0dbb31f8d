//! The caller's side.

use std::fmt;
use std::io;
use std::sync::Arc;

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

use super::identity::provider;
use super::{PROTOCOL, binding_of};
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
}

impl Pinned {
    /// Over another network, for the cluster with this fingerprint.
    pub fn new(network: Arc<dyn Network>, fingerprint: Fingerprint) -> Pinned {
        Pinned { network, tls: connector(Some(fingerprint)) }
    }

    /// Performs the handshake of a connection that is made, and returns what is inside.
    ///
    /// # Errors
    /// What is wrong with who answers; see [`WrongServer::found_by`].
    pub fn secure(&self, stream: Stream) -> impl Future<Output = io::Result<Stream>> + use<> {
        let elsewhere = stream.elsewhere().cloned();
        let securing = self.tls.connect(any_name(), stream);
        async move {
            let stream = securing.await?;
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
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let found = match shown {
        Some(certificate) => fingerprint_in(certificate).map_err(io::Error::other),
        None => Err(io::Error::other("showed no certificate")),
    };
    // A server that does not hear the goodbye finds the connection closed.
    let _ = stream.shutdown().await;
    found
}

fn connector(expected: Option<Fingerprint>) -> TlsConnector {
    let provider = provider();
    let verifier = Verifier { expected, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has what TLS 1.3 needs")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
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

/// Compares the public key, and lets the handshake be signed with it. Nothing else of
/// the certificate says anything about who answers.
struct Verifier {
    /// `None`: any, as somebody is still to say which it should be.
    expected: Option<Fingerprint>,
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
        match self.expected.filter(|expected| *expected != found) {
            None => Ok(ServerCertVerified::assertion()),
            Some(expected) => {
                let wrong = WrongServer { expected, found };
                Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
            }
        }
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
