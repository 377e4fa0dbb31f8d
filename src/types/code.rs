//! Codes that people are given once: invitations, and new beginnings for an account
//! whose password is forgotten.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use super::Digest;

/// Random bytes of a code: 120 bits, which nobody guesses, also with the hash at hand.
pub const CODE_BYTES: usize = 15;

/// Characters that are read in one breath.
const GROUP_CHARS: usize = 4;

/// A code in the form in which it is shown: six groups of four letters and digits, as
/// `GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV`. Servers know its hash alone.
pub struct Code(Zeroizing<String>);

impl Code {
    /// From random bytes.
    pub fn new(random: &[u8; CODE_BYTES]) -> Code {
        let text = Zeroizing::new(BASE32_NOPAD.encode(random));
        let groups = text.as_bytes().chunks(GROUP_CHARS).map(|it| it.iter().map(|c| *c as char));
        let mut shown = Zeroizing::new(String::with_capacity(text.len() * 5 / 4));
        for (number, group) in groups.enumerate() {
            shown.extend((number > 0).then_some('-').into_iter().chain(group));
        }
        Code(shown)
    }

    /// What it is known by.
    pub fn hash(&self) -> Digest {
        code_hash(&self.0)
    }

    /// Its text, for whoever asked for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

/// What a code is known by, in whatever way somebody has typed it: case, hyphens and
/// spaces do not matter. Of a text that is no code it is a sum that nothing has.
pub fn code_hash(typed: &str) -> Digest {
    let plain = typed.chars().filter(|c| *c != '-' && !c.is_whitespace());
    let plain: Zeroizing<String> = Zeroizing::new(plain.map(|c| c.to_ascii_uppercase()).collect());
    Digest::of(plain.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_known_in_whatever_way_it_is_typed() {
        let code = Code::new(b"123456789012345");
        assert_eq!(code.reveal(), "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV");
        for typed in ["gezdgnbvgy3tqojqgezdgnbv", " GEZD GNBV GY3T QOJQ GEZD-GNBV\n"] {
            assert_eq!(code_hash(typed), code.hash(), "{typed:?}");
        }
        for other in ["", "GEZD", "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBW", "ſ"] {
            assert_ne!(code_hash(other), code.hash(), "{other:?}");
        }
        assert_eq!(format!("{code:?}"), "Code", "no log has it");
    }
}
