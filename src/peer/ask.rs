//! One question to one server of the cluster, by whoever holds its key.

use std::time::Duration;

use bytes::Bytes;

use super::ClusterKey;
use super::handshake::Credentials;
use super::link::{CallError, Link, LinkTiming};
use super::switchboard::Switchboard;
use crate::host::{BoxFuture, Host};
use crate::protocol::client::Member;
use crate::protocol::peer::{Call, Introduction};

/// Opens a connection to `member`, introduces itself as `from`, makes one call
/// and closes. `spawn` runs the task of the connection.
///
/// # Errors
/// As a call on a [`Link`]; no answer within `limit` is [`CallError::Lost`].
#[expect(clippy::too_many_arguments, reason = "each is one part of the question")]
pub async fn ask(
    host: &Host,
    key: &ClusterKey,
    from: Introduction,
    member: &Member,
    call: Call,
    body: Bytes,
    limit: Duration,
    spawn: impl FnOnce(BoxFuture<'static, ()>),
) -> Result<Bytes, CallError> {
    let credentials = Credentials::new(key.clone(), from);
    let timing = LinkTiming { connect: limit, redial: (limit, limit), silence: limit };
    let board = Switchboard::default();
    let link = Link::start(host.clone(), credentials, member.clone(), timing, board, spawn);
    let mut changes = link.watch();
    let asking = async {
        // The first attempt decides: whoever asks tries again by itself.
        changes.changed().await;
        link.call(call, body).await
    };
    match tokio::time::timeout(limit, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(CallError::Lost(format!(
            "replica {} at {} gave no answer within {} ms",
            member.id,
            member.address,
            limit.as_millis()
        ))),
    }
}
