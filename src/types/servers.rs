//! The servers of a cluster, as people name them.

use std::str::FromStr;

use super::{Address, Fingerprint};
use crate::error::{Error, ErrorCode};

/// How a word begins that names a whole cluster.
const SCHEME: &str = "ftchat://";

/// The port of a server that is named without one.
pub const DEFAULT_PORT: u16 = 8091;

/// Some addresses of a cluster, and how to know it: `HOST:PORT,…`, or one word,
/// `ftchat://HOST[:PORT],…[#FINGERPRINT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// One or more, none twice.
    pub addresses: Vec<Address>,
    /// If it is there, only servers that show it are spoken to.
    pub fingerprint: Option<Fingerprint>,
}

impl Servers {
    /// The word that names them, with all its ports, and the fingerprint if there is one.
    pub fn word(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(Address::to_string).collect();
        let fingerprint = self.fingerprint.map(|it| format!("#{it}")).unwrap_or_default();
        format!("{SCHEME}{}{fingerprint}", addresses.join(","))
    }
}

impl FromStr for Servers {
    type Err = Error;

    /// # Errors
    /// [`ErrorCode::WrongUsage`], with what is wrong and where.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (list, fingerprint, is_word) = match text.trim().strip_prefix(SCHEME) {
            None => (text, None, false),
            Some(rest) => match rest.split_once('#') {
                None => (rest, None, true),
                Some((list, fingerprint)) => (list, Some(fingerprint.parse()?), true),
            },
        };
        let mut addresses: Vec<Address> = Vec::new();
        // Programs that handle addresses of the web put a slash there.
        let list = if is_word { list.strip_suffix('/').unwrap_or(list) } else { list };
        for part in list.split(',').map(str::trim) {
            let address = match is_word {
                true => Address::with_default_port(part, DEFAULT_PORT)?,
                false => part.parse()?,
            };
            if addresses.contains(&address) {
                return Err(Error::new(
                    ErrorCode::WrongUsage,
                    format!("the address {address} is there twice"),
                ));
            }
            addresses.push(address);
        }
        Ok(Servers { addresses, fingerprint })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINGERPRINT: &str =
        "BNZU-R6QD-RFYM-JDWA-PTLT-WYSX-6OPM-QEHW-B4LO-445W-FY6G-4JQQ-VPDA-NHZF";

    #[test]
    fn a_list_or_a_word_names_the_servers() {
        let known = format!("ftchat://alpha:8091,[::1]:9000,10.0.0.7:8091#{FINGERPRINT}");
        for (text, shown) in [
            ("a:1, b:2", "ftchat://a:1,b:2"),
            ("ftchat://a,b:2,[::1]", "ftchat://a:8091,b:2,[::1]:8091"),
            ("ftchat://a:1/", "ftchat://a:1"),
            (&format!("ftchat://alpha,[::1]:9000,10.0.0.7#{FINGERPRINT}"), &known),
            (
                &format!("ftchat://alpha,[::1]:9000,10.0.0.7/#{}", FINGERPRINT.to_lowercase()),
                &known,
            ),
        ] {
            let servers: Servers = text.parse().unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(servers.word(), shown, "{text}");
            assert_eq!(shown.parse::<Servers>().expect("own text").word(), shown);
        }
    }

    #[test]
    fn what_names_no_servers_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "HOST:PORT"),
            ("a", "HOST:PORT"),
            ("a:1,", "HOST:PORT"),
            ("a:1,a:1", "a:1 is there twice"),
            ("ftchat://a,a:8091", "a:8091 is there twice"),
            ("ftchat://", "HOST:PORT"),
            ("ftchat://a#", "0 are given"),
            ("http://a:1", "HOST:PORT"),
            (&format!("ftchat://a#{}", FINGERPRINT.replacen('B', "C", 1)), "last four characters"),
            (&format!("ftchat://a#{}", &FINGERPRINT[..60]), "48 are given"),
        ] {
            let refused = text.parse::<Servers>().expect_err(text);
            assert!(refused.message.contains(why), "{text}: {}", refused.message);
        }
    }
}
