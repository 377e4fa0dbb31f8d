//! Encryption, and who the other side is.
//!
//! # One secret, one identity
//! All servers of a cluster hold the same key. Each derives from it the same Ed25519 key
//! (HKDF with SHA-256, RFC 5869), so the cluster has one identity, by which people know
//! it: the [`Fingerprint`](crate::types::Fingerprint) of its public key. Nobody has to
//! make, sign, copy or renew certificates. A stolen server is a stolen copy of everything
//! either way.
//!
//! # A new key
//! A cluster may get a new key while it runs. Which identity a server shows from then on is
//! changed under it ([`Shown`]), and who knows the old one is led to the new one by
//! what the old one has signed: `succession.rs`.
//!
//! # The handshake
//! TLS 1.3 and nothing older. The server shows a certificate, as the protocol wants one,
//! but a caller of ours looks at its public key alone: whether its fingerprint is the
//! expected one, and whether the handshake is signed with it. So nothing expires, names
//! an address, or depends on a clock; the certificate is valid from 1975 to 4096 for programs
//! that ask. There is no resumption, and hence no ticket that could be stolen.
//!
//! # Who may speak in plain text
//! The first byte of a connection tells: 22 begins a handshake of TLS (RFC 8446, section
//! 5.1), and `{` a line of ours. Either is answered. So `openssl s_client` can speak to a
//! server, and `nc` on its own machine too.
//!
//! # How it fails
//! A server without the key cannot sign; one of another cluster has another fingerprint.
//! In both cases a caller has sent nothing yet, and says what it found
//! ([`WrongServer`]). A caller whose user has still to say whether a fingerprint is the right
//! one asks for nothing but that ([`fingerprint_of`]), and sends nothing either. Handshakes are computed on a thread of their own: a flood of them
//! delays other handshakes and no heartbeat. Who shakes hands for ever takes no more
//! than 16 KiB, and no more time than a first line may. Each encrypted connection holds up
//! to 48 KiB of its own, of which the bound on connections' memory knows nothing.

mod accept;
mod bounded;
mod connect;
mod identity;
mod succession;
#[cfg(test)]
mod tests;

pub use self::accept::{Acceptor, HANDSHAKE_BYTE};
pub use self::connect::{Followed, Pinned, WrongServer, fingerprint_of};
pub use self::identity::{Identity, Shown};
pub use self::succession::signed_by;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;

use crate::host::Binding;

/// What only the two ends of a connection know once they have shaken hands.
fn binding_of<D>(connection: &rustls::ConnectionCommon<D>) -> std::io::Result<Binding> {
    let exported = connection.export_keying_material(
        Binding::default(),
        b"EXPORTER-Channel-Binding",
        Some(b""),
    );
    exported.map_err(std::io::Error::other)
}

/// What is spoken inside, as both sides name it in the handshake (RFC 7301).
const PROTOCOL: &[u8] = b"ftchat/1";

/// The one implementation of cryptography: ring is built by a C compiler alone, in
/// seconds, where its alternative takes minutes.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}
