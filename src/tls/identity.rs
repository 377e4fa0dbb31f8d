//! The identity that all servers of a cluster share.

use std::fmt;
use std::sync::Arc;

use hkdf::Hkdf;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair, SerialNumber,
    date_time_ymd,
};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::succession;
use crate::sync::Mutex;
use crate::types::{Digest, Fingerprint, Succession};

/// What the derived key is for: another use of the cluster's key has another label.
const LABEL: &[u8] = b"ftchat tls identity 1";

/// An Ed25519 key in PKCS #8 (RFC 8410, section 7), up to the 32 bytes of the key itself.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Key, certificate and fingerprint of a cluster. Clones share them.
#[derive(Clone)]
pub struct Identity {
    certified: Arc<CertifiedKey>,
    fingerprint: Fingerprint,
    public_key: [u8; 32],
}

impl Identity {
    /// The identity of the cluster with this key. The same key gives the same identity,
    /// certificate included, on every machine.
    pub fn of(cluster_key: &[u8; 32]) -> Identity {
        Identity::following(cluster_key, &[])
    }

    /// The same with what leads to it from older keys.
    pub fn following(cluster_key: &[u8; 32], successions: &[Succession]) -> Identity {
        let mut pkcs8 = Zeroizing::new([0; 48]);
        pkcs8[..16].copy_from_slice(&PKCS8_PREFIX);
        Hkdf::<Sha256>::new(None, cluster_key)
            .expand(LABEL, &mut pkcs8[16..])
            .expect("32 bytes are not too many");
        // What follows fails for malformed keys only, and this one is well formed.
        let der = PrivatePkcs8KeyDer::from(&pkcs8[..]);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)
            .expect("an Ed25519 key");
        let certificate = params(successions).self_signed(&key).expect("it can sign");
        let fingerprint = Fingerprint::of(&rcgen::PublicKeyData::subject_public_key_info(&key));
        let mut public_key = [0; 32];
        public_key.copy_from_slice(rcgen::PublicKeyData::der_bytes(&key));
        let signing = any_supported_type(&PrivateKeyDer::Pkcs8(der)).expect("an Ed25519 key");
        let certified = CertifiedKey::new(vec![certificate.der().clone()], signing);
        Identity { certified: Arc::new(certified), fingerprint, public_key }
    }

    /// By which people know the cluster.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// That the key of another identity takes the place of this one's.
    pub fn succeeded_by(&self, to: Fingerprint) -> Succession {
        let certified = self.certified();
        let signer = certified.key.choose_scheme(&[SignatureScheme::ED25519]);
        let signature = signer
            .and_then(|signer| signer.sign(&succession::signed(&to)).ok())
            .expect("an Ed25519 key signs");
        let half = |at: usize| {
            let mut half = [0; 32];
            half.copy_from_slice(&signature[at..at + 32]);
            Digest(half)
        };
        Succession { from: Digest(self.public_key()), to, signature: [half(0), half(32)] }
    }

    /// The 32 bytes of RFC 8032.
    pub(super) fn public_key(&self) -> [u8; 32] {
        self.public_key
    }

    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.fingerprint)
    }
}

/// The identities that a server shows to those who call: the one that the caller names
/// first of those that there are, and the first one to who names none. Clones share them.
#[derive(Clone, Debug)]
pub struct Shown(Arc<Mutex<Vec<Identity>>>);

impl Shown {
    /// Shows these from now on: at least one.
    pub fn become_those(&self, identities: Vec<Identity>) {
        *self.0.lock() = identities;
    }
}

impl From<&Identity> for Shown {
    fn from(identity: &Identity) -> Shown {
        Shown(Arc::new(Mutex::new(vec![identity.clone()])))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let identities = self.0.lock();
        let named = hello.alpn().into_iter().flatten().find_map(|name| {
            identities.iter().find(|identity| named(&identity.fingerprint()) == name)
        });
        named.or(identities.first()).map(Identity::certified)
    }
}

/// How a caller names a fingerprint that it knows, among the protocols that it speaks (RFC
/// 7301): a server of an older program passes over it.
pub(super) fn named(fingerprint: &Fingerprint) -> Vec<u8> {
    format!("ftchat-identity/{fingerprint}").into_bytes()
}

/// Of a certificate that says nothing that anybody checks, but what leads to its key.
fn params(successions: &[Succession]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(1u64));
    params.not_before = date_time_ymd(1975, 1, 1);
    params.not_after = date_time_ymd(4096, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ftchat");
    let comment = succession::comment(successions).into_iter();
    let comment = comment.map(|it| CustomExtension::from_oid_content(&succession::COMMENT, it));
    params.custom_extensions = comment.collect();
    params
}
