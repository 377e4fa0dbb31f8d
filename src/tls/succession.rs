//! How who knows a cluster's older key comes to know the new one.
//!
//! The old identity signs the fingerprint of the new one: a [`Succession`]. Servers show
//! the last ones in their certificate, as its comment (`nsComment`), so a caller has them
//! before it has sent anything, and programs that look at certificates show them to people.
//! The certificate itself proves nothing: each succession is looked at alone, from the
//! fingerprint that the caller knows to the one with whose key the handshake is signed.
//! One that was made up, or belongs to another cluster, leads nowhere.
//!
//! Whoever has stolen the old key could sign such a word too. So after a theft none is
//! made, and all that were made before are left out: see [`crate::types::KeyChange`].

use rustls::SignatureScheme;

use super::provider;
use crate::types::{Fingerprint, SUCCESSIONS_MAX, Succession};

/// What is signed begins with it, so that no signature of a handshake passes for it.
const LABEL: &[u8] = b"ftchat succession 1\0";

/// What a public key begins with as `SubjectPublicKeyInfo` (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// What each stands behind in the comment.
const MARK: &str = "ftchat-succession=";

/// The arcs of `nsComment`.
pub(super) const COMMENT: [u64; 7] = [2, 16, 840, 1, 113_730, 1, 13];

/// The same as it stands in a certificate.
const COMMENT_DER: [u8; 11] = [6, 9, 0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 1, 13];

/// Whether a word is signed with the key that it names; if so, that key's fingerprint.
pub fn signed_by(succession: &Succession) -> Option<Fingerprint> {
    let Succession { from, to, signature: [r, s] } = succession;
    let algorithms = provider().signature_verification_algorithms;
    let (_, ed25519) =
        algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::ED25519)?;
    let signature = [r.0, s.0].concat();
    let verified =
        ed25519.iter().any(|it| it.verify_signature(&from.0, &signed(to), &signature).is_ok());
    verified.then(|| Fingerprint::of(&[&SPKI_PREFIX[..], &from.0].concat()))
}

/// Whether successions lead from one key to another.
pub(super) fn lead(successions: &[Succession], from: Fingerprint, to: Fingerprint) -> bool {
    let mut known = from;
    for succession in successions.iter().take(SUCCESSIONS_MAX) {
        if signed_by(succession) == Some(known) {
            known = succession.to;
        }
        // What follows may lead on, to a key that is not used yet.
        if known == to && from != to {
            return true;
        }
    }
    false
}

/// What is signed.
pub(super) fn signed(to: &Fingerprint) -> Vec<u8> {
    [LABEL, to.as_bytes()].concat()
}

/// The content of the comment, in DER; `None` when there is nothing to say.
pub(super) fn comment(successions: &[Succession]) -> Option<Vec<u8>> {
    if successions.is_empty() {
        return None;
    }
    let line = |it: &Succession| {
        let Succession { from, to, signature: [r, s] } = it;
        format!("{MARK}{from},{to},{r},{s}")
    };
    let text = successions.iter().map(line).collect::<Vec<_>>().join("\n");
    // An IA5String; eight of them have some two thousand bytes.
    let length = u16::try_from(text.len()).expect("few and short").to_be_bytes();
    Some([&[0x16, 0x82], &length[..], text.as_bytes()].concat())
}

/// The successions in a certificate. Whatever is malformed is none.
pub(super) fn shown_in(certificate: &[u8]) -> Vec<Succession> {
    let place = memchr::memmem::find(certificate, &COMMENT_DER);
    let Some(rest) = place.map(|at| &certificate[at + COMMENT_DER.len()..]) else {
        return Vec::new();
    };
    let text = value(rest, 4).and_then(|octets| value(octets, 0x16));
    let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()) else {
        return Vec::new();
    };
    let read = |line: &str| {
        let mut parts = line.strip_prefix(MARK)?.split(',');
        let mut next = || parts.next();
        let (from, to) = (next()?.parse().ok()?, next()?.parse().ok()?);
        let signature = [next()?.parse().ok()?, next()?.parse().ok()?];
        Some(Succession { from, to, signature })
    };
    text.lines().take(SUCCESSIONS_MAX).filter_map(read).collect()
}

/// What is in an element of DER with this tag, which the bytes begin with.
fn value(der: &[u8], tag: u8) -> Option<&[u8]> {
    let rest = der.strip_prefix(&[tag])?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), rest.get(2..)?),
        _ => return None,
    };
    rest.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Identity;

    fn identity(byte: u8) -> Identity {
        Identity::of(&[byte; 32])
    }

    fn successions(keys: &[u8]) -> Vec<Succession> {
        let made = |pair: &[u8]| identity(pair[0]).succeeded_by(identity(pair[1]).fingerprint());
        keys.windows(2).map(made).collect()
    }

    #[test]
    fn a_succession_is_signed_by_the_older_key_and_by_no_other() {
        let made = identity(1).succeeded_by(identity(2).fingerprint());
        assert_eq!(signed_by(&made), Some(identity(1).fingerprint()));
        let elsewhere = Succession { to: identity(3).fingerprint(), ..made.clone() };
        assert_eq!(signed_by(&elsewhere), None);
        let other = identity(3).succeeded_by(made.to);
        assert_eq!(signed_by(&Succession { from: other.from, ..made }), None);
    }

    #[test]
    fn who_knows_any_older_key_is_led_to_the_newest_and_a_made_up_word_leads_nowhere() {
        let chain = successions(&[1, 2, 3, 4]);
        let at = |byte: u8| identity(byte).fingerprint();
        for known in [1, 2, 3] {
            assert!(lead(&chain, at(known), at(4)), "{known}");
            assert!(!lead(&chain, at(known), at(5)), "{known}");
        }
        assert!(lead(&chain, at(1), at(2)), "the next key is announced, and this one is used");
        assert!(!lead(&chain, at(2), at(1)) && !lead(&chain, at(2), at(2)));
        assert!(!lead(&chain, at(9), at(4)));
        assert!(!lead(&chain[1..], at(1), at(4)), "what is missing is not guessed");
        // A thief of key 9 names itself the successor of key 1.
        let forged = identity(9).succeeded_by(at(9));
        let forged = Succession { from: chain[0].from, ..forged };
        assert!(!lead(&[forged], at(1), at(9)));
    }

    #[test]
    fn a_certificate_shows_what_it_was_made_with_and_rot_is_nothing() {
        let chain = successions(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(chain.len(), SUCCESSIONS_MAX);
        let shown = Identity::following(&[9; 32], &chain);
        assert_eq!(shown.fingerprint(), identity(9).fingerprint());
        let certificate = shown.certified().cert[0].to_vec();
        assert_eq!(shown_in(&certificate), chain);
        assert_eq!(shown_in(&identity(9).certified().cert[0]), []);
        assert_eq!(shown_in(&certificate[..certificate.len() / 2]), []);
        for at in 0..certificate.len() {
            let mut rotten = certificate.clone();
            rotten[at] ^= 0x85;
            let found = shown_in(&rotten);
            assert!(found.len() <= SUCCESSIONS_MAX);
            drop(shown_in(&certificate[..at]));
        }
    }
}
