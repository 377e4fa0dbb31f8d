//! Connecting to a name that has several addresses.
//!
//! A machine may have addresses that do not answer from here: another family, another
//! network, a cable that is out. Whoever tries one after the other waits minutes for the
//! first. So the next one is tried when an attempt has failed, or has lasted for
//! [`ATTEMPT_DELAY`]; the first that is connected counts, and the others are given up (RFC
//! 8305, "Happy Eyeballs Version 2", sections 4 and 5). The resolver's order stands, except
//! that the families take turns.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::net::TcpStream;

use tokio::time::{Instant, sleep};

use super::OpenSocket;

/// How long an attempt has no other beside it, as RFC 8305 recommends.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to one of some addresses by a socket that `open` makes, and says how long that
/// attempt took: a packet there and one back. No time limit of its own beyond the operating
/// system's.
///
/// # Errors
/// What the attempt that failed last said; [`io::ErrorKind::NotFound`] without addresses.
pub async fn connect_to_one_of(
    open: &OpenSocket,
    addresses: impl Iterator<Item = SocketAddr>,
) -> io::Result<(TcpStream, Duration)> {
    let mut untried = families_in_turn(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        attempts.extend(untried.next().map(|address| attempt(open, address)));
        let others = untried.len() > 0;
        tokio::select! {
            biased;
            ended = attempts.next() => match ended {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(error)) => failed = error,
                None => return Err(failed),
            },
            () = sleep(ATTEMPT_DELAY), if others => {}
        }
    }
}

async fn attempt(open: &OpenSocket, address: SocketAddr) -> io::Result<(TcpStream, Duration)> {
    let began = Instant::now();
    let stream = open(address)?.connect(address).await?;
    Ok((stream, began.elapsed()))
}

/// The same addresses, beginning with the family of the first one.
fn families_in_turn(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let addresses: Vec<SocketAddr> = addresses.collect();
    let family = |address: &SocketAddr| address.is_ipv4();
    let first = addresses.first().is_some_and(family);
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| family(address) == first);
    let rounds = one.len().max(other.len());
    (0..rounds).flat_map(|n| [one.get(n), other.get(n)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use tokio::net::TcpSocket;
    use tokio::time::timeout;

    use super::*;

    /// Far more than any attempt here takes, and less than the operating system goes on.
    const LIMIT: Duration = Duration::from_secs(30);

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    /// An address that stays taken, and at which nobody listens.
    fn refusing() -> (TcpSocket, SocketAddr) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        (socket, address)
    }

    async fn connected_to(addresses: &[SocketAddr]) -> io::Result<SocketAddr> {
        let open: OpenSocket = Arc::new(super::super::socket);
        let connecting = connect_to_one_of(&open, addresses.iter().copied());
        timeout(LIMIT, connecting).await.expect("an address answers")?.0.peer_addr()
    }

    #[tokio::test]
    async fn an_address_that_is_silent_keeps_nobody_from_the_next() {
        // With one connection waiting beyond its backlog a listener answers nobody.
        let (silent, to_silent) = refusing();
        let _silent = silent.listen(1).expect("listens");
        let mut waiting = Vec::new();
        for _ in 0..2 {
            waiting.push(TcpStream::connect(to_silent).await.expect("there is room"));
        }
        let (_listener, answers) = listener();
        let (_socket, refuses) = refusing();
        for addresses in [&[to_silent, answers][..], &[refuses, to_silent, refuses, answers]] {
            assert_eq!(connected_to(addresses).await.expect("the last one answers"), answers);
        }
    }

    #[tokio::test]
    async fn the_first_address_that_answers_is_taken() {
        let [(_first, first), (_second, second)] = [listener(), listener()];
        let (_socket, refuses) = refusing();
        assert_eq!(connected_to(&[first, second]).await.expect("both answer"), first);
        assert_eq!(connected_to(&[refuses, second, first]).await.expect("two answer"), second);
    }

    #[tokio::test]
    async fn where_none_answers_it_is_said_why() {
        let [(_first, first), (_second, second)] = [refusing(), refusing()];
        let refused = connected_to(&[first, second]).await.expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let nothing = connected_to(&[]).await.expect_err("nowhere to go");
        assert_eq!(nothing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_families_take_turns() {
        let all = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"];
        let parsed = all.map(|address| address.parse().expect("an address"));
        let turns: Vec<String> =
            families_in_turn(parsed.into_iter()).iter().map(ToString::to_string).collect();
        assert_eq!(turns, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
    }
}
