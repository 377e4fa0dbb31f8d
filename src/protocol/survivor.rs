//! What a server does that is left without a majority.

use serde::{Deserialize, Serialize, Serializer};

/// What a server does that is left without a majority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Survivor {
    /// Adopt dead neighbours on this host, and go on alone where nothing proves that the
    /// others are dead.
    Auto,
    /// Adopt dead neighbours on this host, and else wait for a majority.
    Adopt,
    /// Strict majority.
    #[default]
    Never,
}

impl Survivor {
    /// Whether dead neighbours are adopted.
    pub fn adopts(self) -> bool {
        self != Survivor::Never
    }

    /// Whether a server goes on alone.
    pub fn goes_alone(self) -> bool {
        self == Survivor::Auto
    }

    /// As one would write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Survivor::Auto => "auto",
            Survivor::Adopt => "adopt",
            Survivor::Never => "never",
        }
    }
}

/// Writes what a program of the version before reads as well.
pub(super) fn for_older_programs<S: Serializer>(
    survivor: &Survivor,
    to: S,
) -> Result<S::Ok, S::Error> {
    let known = if survivor.adopts() { Survivor::Auto } else { Survivor::Never };
    known.serialize(to)
}

/// The same in a file that a program of the version before may read: to it a server that
/// only adopts is what it knows as `auto`.
pub mod in_a_file {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Survivor;

    #[derive(Serialize, Deserialize)]
    struct Fields {
        #[serde(serialize_with = "super::for_older_programs")]
        survivor: Survivor,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        adopts_only: bool,
    }

    /// Writes the fields of a flattened one.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(survivor: &Survivor, to: S) -> Result<S::Ok, S::Error> {
        let adopts_only = *survivor == Survivor::Adopt;
        Fields { survivor: *survivor, adopts_only }.serialize(to)
    }

    /// Reads them.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Survivor, D::Error> {
        let Fields { survivor, adopts_only } = Fields::deserialize(from)?;
        Ok(if adopts_only && survivor == Survivor::Auto { Survivor::Adopt } else { survivor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct File {
        name: String,
        #[serde(flatten, with = "in_a_file")]
        survivor: Survivor,
    }

    #[test]
    fn a_file_says_to_an_older_program_what_that_knows() {
        for (survivor, written) in [
            (Survivor::Auto, r#"{"name":"x","survivor":"auto"}"#),
            (Survivor::Adopt, r#"{"name":"x","survivor":"auto","adopts_only":true}"#),
            (Survivor::Never, r#"{"name":"x","survivor":"never"}"#),
        ] {
            let file = File { name: "x".to_string(), survivor };
            assert_eq!(serde_json::to_string(&file).expect("plain data"), written);
            assert_eq!(serde_json::from_str::<File>(written).expect("its own"), file);
        }
    }
}
