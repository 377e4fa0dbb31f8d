//! What `send` says of a message that is accepted.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::{Show, Style};
use crate::protocol::client::Sent;
use crate::types::{Address, Names, Place, ReplicaId, Timestamp, Uuid, majority};

/// Of `send`.
#[derive(Debug)]
pub struct SentShown<'a>(pub &'a Sent);

/// The fields are a contract with scripts: each of them is always there, but for the last.
impl Serialize for SentShown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            id: Uuid,
            to: &'a Names,
            at: Timestamp,
            seq: Option<u64>,
            copies: u32,
            replicas: u32,
            confirmed: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            place: Option<Place>,
        }
        let Sent { id, ref to, at, seq, copies, replicas, confirmed, place } = *self.0;
        Fields { id, to, at, seq, copies, replicas, confirmed, place }.serialize(serializer)
    }
}

impl Show for SentShown<'_> {
    fn terminal(&self, out: &mut dyn Write, _: Style) -> io::Result<()> {
        self.plain(out)
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.0.id)
    }
    fn outcome(&self) -> Option<String> {
        Some(format!("the message is accepted with the id {}", self.0.id))
    }
}

/// Of `send --lines`: one of many, of which the command itself says what it did.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct SentLine<'a>(SentShown<'a>);

impl<'a> SentLine<'a> {
    /// Of a line's message.
    pub fn new(sent: &'a Sent) -> Self {
        SentLine(SentShown(sent))
    }
}

impl Show for SentLine<'_> {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        self.0.terminal(out, style)
    }
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.plain(out)
    }
}

/// Who took an unconfirmed message, and when it is delivered, as far as that is known: the
/// server that answered, and where the members of its cluster are.
pub fn accepted_alone(
    sent: &Sent,
    server: Option<(ReplicaId, &Address)>,
    members: &[Address],
) -> String {
    let by = server.map_or("one server".to_string(), |(replica, _)| format!("server {replica}"));
    let is_other = |address: &&Address| server.is_none_or(|(_, own)| own != *address);
    let others: Vec<String> = members.iter().filter(is_other).map(ToString::to_string).collect();
    let missing = majority(sent.replicas as usize).saturating_sub(sent.copies as usize);
    let back = match (others.as_slice(), missing) {
        ([first @ .., last], 1) if !first.is_empty() => {
            format!("{} or {last} is back", first.join(", "))
        }
        ([only], 1) => format!("{only} is back"),
        (several, missing) if missing > 0 && several.len() > missing => {
            format!("{missing} of {} are back", several.join(", "))
        }
        _ => "a majority of the servers is back".to_string(),
    };
    format!("accepted by {by} alone; delivered when {back}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(copies: u32, replicas: u32) -> Sent {
        Sent {
            id: Uuid::from_u128(5),
            to: Names::from_iter([]),
            at: Timestamp(0),
            seq: None,
            copies,
            replicas,
            confirmed: false,
            place: Some(Place { list: Uuid::nil(), number: 7 }),
        }
    }

    fn addresses(count: u16) -> Vec<Address> {
        (1..=count).map(|n| format!("h{n}:1").parse().expect("valid")).collect()
    }

    #[test]
    fn json_has_the_same_fields_for_every_message() {
        let json = |sent: &Sent| serde_json::to_string(&SentShown(sent)).expect("plain data");
        let confirmed = Sent { seq: Some(9), confirmed: true, place: None, ..sent(2, 3) };
        let head = "{\"id\":\"00000000-0000-0000-0000-000000000005\",\"to\":[],\
                    \"at\":\"1970-01-01T00:00:00.000Z\",";
        assert_eq!(
            json(&confirmed),
            format!("{head}\"seq\":9,\"copies\":2,\"replicas\":3,\"confirmed\":true}}")
        );
        let place = "{\"list\":\"00000000-0000-0000-0000-000000000000\",\"n\":7}";
        let expected = format!(
            "{head}\"seq\":null,\"copies\":1,\"replicas\":3,\"confirmed\":false,\"place\":{place}}}"
        );
        assert_eq!(json(&sent(1, 3)), expected);
        let line = serde_json::to_string(&SentLine::new(&sent(1, 3))).expect("plain data");
        assert_eq!(line, expected);
    }

    #[test]
    fn it_says_who_has_it_and_who_has_to_come_back() {
        let (three, five) = (addresses(3), addresses(5));
        let told = |sent: &Sent, members: &[Address]| {
            accepted_alone(sent, Some((ReplicaId(1), &three[0])), members)
        };
        let alone = "accepted by server 1 alone; delivered when";
        assert_eq!(told(&sent(1, 3), &three), format!("{alone} h2:1 or h3:1 is back"));
        assert_eq!(told(&sent(1, 2), &three[..2]), format!("{alone} h2:1 is back"));
        let two_of_four = format!("{alone} 2 of h2:1, h3:1, h4:1, h5:1 are back");
        assert_eq!(told(&sent(1, 5), &five), two_of_four);
        let nobody = format!("{alone} a majority of the servers is back");
        assert_eq!(told(&sent(1, 3), &[]), nobody, "older servers name no members");
        let unknown = accepted_alone(&sent(1, 3), None, &[]);
        assert!(unknown.starts_with("accepted by one server alone; "), "{unknown}");
    }
}
