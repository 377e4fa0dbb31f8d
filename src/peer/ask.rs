//! Asks one server of the cluster, for an administrator or a replica that starts.

use std::time::Duration;

use bytes::Bytes;

use super::Keys;
use super::credentials::Credentials;
use super::link::{CallError, Link, LinkTiming, LinkWatch};
use super::local_transport::LocalTransport;
use crate::host::{BoxFuture, Host};
use crate::protocol::client::Member;
use crate::protocol::peer::{Call, Introduction};

/// One connection to one server, for several calls. It is not mended when it
/// breaks: the caller decides where to ask next. Dropping it closes it.
pub struct Conversation {
    link: Link,
    /// Until it is connected.
    connecting: Option<LinkWatch>,
    member: Member,
    limit: Duration,
}

impl Conversation {
    /// Opens a connection to `member` and introduces itself as `from`. `limit`
    /// bounds every call; `spawn` runs the task of the connection.
    pub fn open(
        host: &Host,
        keys: &Keys,
        from: Introduction,
        member: &Member,
        limit: Duration,
        spawn: impl FnOnce(BoxFuture<'static, ()>),
    ) -> Conversation {
        let credentials = Credentials::new(keys.clone(), from);
        let timing = LinkTiming { connect: limit, redial: (limit, limit), receive: limit };
        let local_transport = LocalTransport::default();
        let at = vec![member.address.clone()];
        let link =
            Link::start(host.clone(), credentials, member.id, at, timing, local_transport, spawn);
        let connecting = Some(link.watch());
        Conversation { link, connecting, member: member.clone(), limit }
    }

    /// Makes a call.
    ///
    /// # Errors
    /// As a call on a [`Link`]; no answer in time is [`CallError::Lost`].
    pub async fn call(&mut self, call: Call, body: Bytes) -> Result<Bytes, CallError> {
        let connecting = self.connecting.take();
        let asking = async {
            // The first attempt decides: the caller tries again by itself.
            if let Some(mut connecting) = connecting {
                connecting.changed().await;
            }
            self.link.call(call, body).await
        };
        match tokio::time::timeout(self.limit, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Lost(format!(
                "replica {} at {} gave no answer within {} ms",
                self.member.id,
                self.member.address,
                self.limit.as_millis()
            ))),
        }
    }
}

/// Opens a [`Conversation`], makes one call and closes.
///
/// # Errors
/// Those of [`Conversation::call`].
#[expect(clippy::too_many_arguments, reason = "each is one part of the question")]
pub async fn ask(
    host: &Host,
    keys: &Keys,
    from: Introduction,
    member: &Member,
    call: Call,
    body: Bytes,
    limit: Duration,
    spawn: impl FnOnce(BoxFuture<'static, ()>),
) -> Result<Bytes, CallError> {
    Conversation::open(host, keys, from, member, limit, spawn).call(call, body).await
}
