//! One password hash: Argon2id, in memory that the system has back at once.
//!
//! A hash needs 19 MiB for a few hundredths of a second, on whichever thread is
//! free. jemalloc, which the program uses, gives blocks of more than 8 MiB back as
//! soon as they are freed (`opt.oversize_threshold` of its manual). glibc would keep
//! them in the arenas of its threads: 650 MiB after a hundred logins, of which no
//! more than two are hashed at once.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// Bytes of salt, as RFC 9106 recommends.
pub(super) const SALT_BYTES: usize = 16;

/// Bytes of hash, as RFC 9106 recommends.
pub(super) const HASH_BYTES: usize = 32;

/// The hash of a password with a salt, in PHC form.
///
/// # Errors
/// Of Argon2: no memory, a password of 4 GiB or more.
pub(super) fn hash(password: &[u8], salt: &[u8], params: &Params) -> Result<String, String> {
    let hash = compute(password, salt, params, HASH_BYTES).map_err(|error| error.to_string())?;
    in_phc_form(salt, &hash, params)
}

/// Writes down what makes up a stored hash.
///
/// # Errors
/// A part of it has no such form.
pub(super) fn in_phc_form(salt: &[u8], hash: &[u8], params: &Params) -> Result<String, String> {
    let stored = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(|error| error.to_string())?,
        salt: Some(Salt::new(salt).map_err(|error| error.to_string())?),
        hash: Some(Output::new(hash).map_err(|error| error.to_string())?),
    };
    Ok(stored.to_string())
}

/// Whether a password is the one of a stored hash, at the cost that the hash
/// names. What is not of our making matches nothing.
pub(super) fn matches(password: &[u8], stored: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else { return false };
    let ours = stored.algorithm == Algorithm::Argon2id.ident()
        && stored.version == Some(Version::V0x13.into());
    let (true, Ok(params), Some(salt), Some(expected)) =
        (ours, Params::try_from(&stored), &stored.salt, &stored.hash)
    else {
        return false;
    };
    // Compared in constant time, as outputs are.
    compute(password, salt.as_ref(), &params, expected.len())
        .is_ok_and(|found| Output::new(&found).as_ref() == Ok(expected))
}

fn compute(
    password: &[u8],
    salt: &[u8],
    params: &Params,
    hash_bytes: usize,
) -> argon2::Result<Vec<u8>> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let (count, mut hash) = (params.block_count(), vec![0; hash_bytes]);
    let mut memory = Vec::new();
    memory.try_reserve_exact(count).map_err(|_| argon2::Error::OutOfMemory)?;
    memory.resize(count, Block::new());
    argon2.hash_password_into_with_memory(password, salt, &mut hash, &mut memory)?;
    Ok(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params::new(16, 2, 1, Some(HASH_BYTES)).expect("a cost Argon2 has")
    }

    #[test]
    fn a_hash_is_what_other_programs_make_of_the_password() {
        // By the command `argon2` of the reference implementation:
        // echo -n password | argon2 somesaltsomesalt -id -v 13 -t 2 -k 16 -p 1 -l 32 -e
        let found = hash(b"password", b"somesaltsomesalt", &params()).expect("hashed");
        let reference = "$argon2id$v=19$m=16,t=2,p=1$c29tZXNhbHRzb21lc2FsdA\
                         $pm+uKE/6IotOs81ivOeuWaCsZgsqVT+PQyU9P3r3XBI";
        assert_eq!(found, reference);
        assert!(matches(b"password", &found) && !matches(b"passwore", &found));
    }

    #[test]
    fn what_is_no_hash_of_ours_matches_nothing() {
        let ours = hash(b"password", b"somesaltsomesalt", &params()).expect("hashed");
        let (without_hash, _) = ours.rsplit_once('$').expect("fields");
        for other in [
            "",
            "password",
            without_hash,
            &ours.replace("argon2id", "argon2i"),
            &ours.replace("v=19", "v=16"),
            &ours.replace("t=2", "t=0"),
            &ours.replace("t=2", "t=3"),
        ] {
            assert!(!matches(b"password", other), "{other}");
        }
    }
}
