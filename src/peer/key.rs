//! The cluster's key and the proofs made with it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorCode, Result};
use crate::tls::Identity;
use crate::types::Digest;

/// The secret that every replica of a cluster holds and nobody else:
/// 32 bytes, written as 64 hexadecimal digits in a file of mode 0600.
#[derive(Clone)]
pub struct ClusterKey(Zeroizing<[u8; 32]>);

impl ClusterKey {
    /// A key from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        ClusterKey(Zeroizing::new(bytes))
    }

    /// Reads the text form; surrounding white space is ignored.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`]; the sentence does not quote the text.
    pub fn parse(text: &str) -> Result<Self> {
        match text.trim().parse::<Digest>() {
            Ok(digest) => Ok(ClusterKey::new(digest.0)),
            Err(_) => Err(Error::new(
                ErrorCode::InvalidConfig,
                "a cluster key is 64 hexadecimal digits; make one with \
                 `head -c 32 /dev/urandom | xxd -p -c 64`",
            )),
        }
    }

    /// The secret itself, for the file of another machine.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the servers of the cluster show to those who call them in TLS.
    pub fn identity(&self) -> Identity {
        Identity::of(&self.0)
    }

    /// An HMAC-SHA256 over labelled parts. Each part is preceded by its length,
    /// so that no two lists of parts are the same bytes.
    pub(super) fn prove(&self, label: &str, parts: &[&[u8]]) -> Digest {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0[..])
            .expect("HMAC takes keys of any length");
        for part in std::iter::once(label.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        Digest(mac.finalize().into_bytes().into())
    }

    /// Whether a proof is the one that [`ClusterKey::prove`] makes, compared in
    /// constant time.
    pub(super) fn verify(&self, label: &str, parts: &[&[u8]], proof: &Digest) -> bool {
        self.prove(label, parts).0.ct_eq(&proof.0).into()
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_parts_and_no_others() {
        let key = ClusterKey::new([7; 32]);
        let proof = key.prove("caller", &[b"ab", b"c"]);
        assert!(key.verify("caller", &[b"ab", b"c"], &proof));
        assert!(!key.verify("caller", &[b"a", b"bc"], &proof));
        assert!(!key.verify("callee", &[b"ab", b"c"], &proof));
        assert!(!ClusterKey::new([8; 32]).verify("caller", &[b"ab", b"c"], &proof));
    }

    #[test]
    fn a_key_is_64_digits_and_never_shown() {
        let key = ClusterKey::parse(&format!("{}\n", "ab".repeat(32))).expect("64 digits");
        assert_eq!(key.0, ClusterKey::new([0xab; 32]).0);
        assert_eq!(format!("{key:?}"), "ClusterKey(secret)");
        let error = ClusterKey::parse("hunter2").expect_err("too short");
        assert!(!error.message.contains("hunter2"));
    }
}
