//! The identity that all servers of a cluster share.

use std::fmt;
use std::sync::Arc;

use hkdf::Hkdf;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber, date_time_ymd};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::types::Fingerprint;

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
}

impl Identity {
    /// The identity of the cluster with this key. The same key gives the same identity,
    /// certificate included, on every machine.
    pub fn of(cluster_key: &[u8; 32]) -> Identity {
        let mut pkcs8 = Zeroizing::new([0; 48]);
        pkcs8[..16].copy_from_slice(&PKCS8_PREFIX);
        Hkdf::<Sha256>::new(None, cluster_key)
            .expand(LABEL, &mut pkcs8[16..])
            .expect("32 bytes are not too many");
        // What follows fails for malformed keys only, and this one is well formed.
        let der = PrivatePkcs8KeyDer::from(&pkcs8[..]);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)
            .expect("an Ed25519 key");
        let certificate = params().self_signed(&key).expect("it can sign");
        let fingerprint = Fingerprint::of(&rcgen::PublicKeyData::subject_public_key_info(&key));
        let signing = any_supported_type(&PrivateKeyDer::Pkcs8(der)).expect("an Ed25519 key");
        let certified = CertifiedKey::new(vec![certificate.der().clone()], signing);
        Identity { certified: Arc::new(certified), fingerprint }
    }

    /// By which people know the cluster.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
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

/// Of a certificate that says nothing that anybody checks.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from(1u64));
    params.not_before = date_time_ymd(1975, 1, 1);
    params.not_after = date_time_ymd(4096, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "ftchat");
    params
}

/// The one implementation of cryptography: ring is built by a C compiler alone, in
/// seconds, where its alternative takes minutes.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}
