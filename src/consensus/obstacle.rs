//! Why a replica that does not answer was not adopted.

use crate::types::ReplicaId;

/// What stands in the way of helping one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Whom the sentence is about.
    pub subject: Subject,
    /// The sentence; what follows the subject where that is named.
    pub why: String,
}

/// See [`Obstacle::subject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The replica.
    Replica,
    /// The server whose replica it is.
    Server,
    /// Something else, which the sentence names.
    Other,
}

impl Subject {
    /// Its kind before a number; empty where the sentence says it.
    pub fn kind(self) -> &'static str {
        match self {
            Subject::Replica => "replica",
            Subject::Server => "server",
            Subject::Other => "",
        }
    }
}

impl Obstacle {
    /// The whole sentence about one replica.
    pub fn sentence(&self, replica: ReplicaId) -> String {
        let Obstacle { subject, why } = self;
        match subject {
            Subject::Replica | Subject::Server => format!("{} {replica} {why}", subject.kind()),
            Subject::Other => why.clone(),
        }
    }
}
