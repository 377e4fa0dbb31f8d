//! The seam: the network as a process meets it.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use ftchat::host::{BoxFuture, Elsewhere, Listener, Network as NetworkSeam, Patience, Stream};
use ftchat::types::Address;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::connection::{Segment, Side};
use super::links::Number;
use crate::process_handle::{MachineId, ProcessHandle, State};
use crate::trace::{excerpt, fnv};

/// Calls without a payload are shorter than that.
const SHORT_BYTES: usize = 300;

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The network of a process.
pub struct SimNetwork(pub ProcessHandle);

/// The machine that a host name means on a machine.
fn resolve(state: &State, here: MachineId, address: &Address) -> io::Result<MachineId> {
    if address.is_loopback() {
        return Ok(here);
    }
    let found = state.machines.iter().position(|machine| machine.name == address.host());
    found.map(MachineId).ok_or_else(|| {
        io::Error::new(ErrorKind::NotFound, format!("unknown host {:?}", address.host()))
    })
}

/// Forgets an attempt that is dropped before its answer came.
struct Attempting<'a> {
    handle: &'a ProcessHandle,
    number: Number,
}

impl Drop for Attempting<'_> {
    fn drop(&mut self) {
        self.handle.if_alive(|state| {
            let attempt = state.network.attempts.remove(&self.number);
            if let Some(Ok(connection)) = attempt.and_then(|attempt| attempt.answer) {
                state.network.close(state.now_us, connection, 0);
            }
        });
    }
}

impl SimNetwork {
    /// Opens a connection.
    fn open(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        let (handle, address) = (self.0.clone(), address.clone());
        Box::pin(async move {
            let began = Instant::now();
            let number = handle
                .enter(|state| {
                    let target = (resolve(state, handle.machine, &address)?, address.port());
                    let name = state.name(handle.process);
                    state.event(format_args!("{name} connects to {address}"));
                    let now_us = state.now_us;
                    Ok::<_, io::Error>(state.network.attempt(
                        now_us,
                        handle.process,
                        handle.machine,
                        target,
                    ))
                })
                .await?;
            let attempting = Attempting { handle: &handle, number };
            let answer = poll_fn(|context| {
                handle.poll_alive(|state| match state.network.attempts.get_mut(&number) {
                    Some(attempt) => match attempt.answer.take() {
                        Some(answer) => Poll::Ready(answer),
                        None => {
                            attempt.waker = Some(context.waker().clone());
                            Poll::Pending
                        }
                    },
                    None => Poll::Ready(Err(ErrorKind::ConnectionAborted)),
                })
            })
            .await;
            drop(attempting);
            handle.if_alive(|state| {
                let name = state.name(handle.process);
                match answer {
                    Ok(number) => {
                        state.event(format_args!("{name} is connected to {address} by {number}"))
                    }
                    Err(kind) => {
                        state.event(format_args!("{name} cannot connect to {address}: {kind}"));
                    }
                }
            });
            let round_trip = began.elapsed();
            match answer {
                Ok(number) => {
                    let goes_elsewhere = handle.if_alive(|state| {
                        let connection = state.network.connections.get(&number)?;
                        let [here, there] = &connection.ends;
                        Some(here.machine != there.machine)
                    });
                    let patience = SimPatience { handle: handle.clone(), number };
                    let elsewhere = Elsewhere { round_trip, patience: Arc::new(patience) };
                    let elsewhere = goes_elsewhere.flatten().unwrap_or(false).then_some(elsewhere);
                    let stream = Stream::local(SimStream { handle, number, side: 0 });
                    Ok(stream.leading(elsewhere))
                }
                Err(kind) => Err(io::Error::new(kind, format!("{address}: {kind}"))),
            }
        })
    }
}

impl NetworkSeam for SimNetwork {
    fn connect(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        self.open(address)
    }

    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let (handle, address) = (self.0.clone(), address.clone());
        Box::pin(async move {
            let port = handle
                .enter(|state| {
                    if address.host() != "0.0.0.0"
                        && resolve(state, handle.machine, &address)? != handle.machine
                    {
                        return Err(io::Error::from(ErrorKind::AddrNotAvailable));
                    }
                    let name = state.name(handle.process);
                    state.event(format_args!("{name} binds {address}"));
                    state.network.bind(
                        handle.process,
                        handle.machine,
                        address.port(),
                        address.is_loopback(),
                    )
                })
                .await?;
            let bound: Address = format!("{}:{port}", address.host())
                .parse()
                .expect("an address with another port is an address");
            Ok(Box::new(SimListener { handle, port, bound }) as Box<dyn Listener>)
        })
    }
}

/// See [`Patience`].
struct SimPatience {
    handle: ProcessHandle,
    number: Number,
}

impl Patience for SimPatience {
    fn limit(&self, unacknowledged_max: Option<Duration>) {
        self.handle.if_alive(|state| {
            if let Some(connection) = state.network.connections.get_mut(&self.number) {
                let limit_us = unacknowledged_max.map(|limit| limit.as_micros() as u64);
                connection.unacknowledged_max_us = limit_us;
            }
        });
    }
}

/// A bound port of a process.
struct SimListener {
    handle: ProcessHandle,
    port: u16,
    bound: Address,
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.handle.if_alive(|state| {
            state.network.unbind(state.now_us, (self.handle.machine, self.port));
        });
    }
}

impl Listener for SimListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, String)>> {
        Box::pin(poll_fn(|context| {
            self.handle.poll_alive(|state| {
                let at = (self.handle.machine, self.port);
                let bound = state.network.bound.get_mut(&at).expect("bound while it is held");
                let Some(number) = bound.backlog.pop_front() else {
                    bound.waker = Some(context.waker().clone());
                    return Poll::Pending;
                };
                let from = match state.network.connections.get(&number) {
                    Some(connection) => connection.ends[0].machine,
                    None => return Poll::Ready(Err(io::Error::from(ErrorKind::ConnectionAborted))),
                };
                let stream = SimStream { handle: self.handle.clone(), number, side: 1 };
                let name = match from == self.handle.machine {
                    true => "127.0.0.1".to_string(),
                    false => state.machines[from.0].name.clone(),
                };
                Poll::Ready(Ok((Stream::local(stream), name)))
            })
        }))
    }

    fn local_address(&self) -> Address {
        self.bound.clone()
    }
}

/// One end of a connection.
struct SimStream {
    handle: ProcessHandle,
    number: Number,
    side: Side,
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.handle.if_alive(|state| state.network.close(state.now_us, self.number, self.side));
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.handle.poll_alive(|state| {
            let connection = state.network.connections.get_mut(&self.number);
            let connection = connection.expect("kept while an end is open");
            let (waker, max) = (context.waker(), buffer.remaining());
            match connection.read(self.side, max, waker, &mut state.wakers) {
                None => Poll::Pending,
                Some(Ok(bytes)) => {
                    buffer.put_slice(&bytes);
                    Poll::Ready(Ok(()))
                }
                Some(Err(error)) => Poll::Ready(Err(error)),
            }
        })
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.handle.count();
        self.handle.poll_alive(|state| {
            let (number, side) = (self.number, self.side);
            let connection = state.network.connections.get_mut(&number);
            let connection = connection.expect("kept while an end is open");
            if let Some(error) = connection.write_error(side) {
                return Poll::Ready(Err(error));
            }
            let room = connection.room(side);
            if bytes.is_empty() {
                return Poll::Ready(Ok(0));
            }
            if room == 0 {
                connection.wait_to_write(side, context.waker());
                return Poll::Pending;
            }
            let peer = connection.ends[1 - side].process;
            let count = state.network.accepted_bytes(bytes.len(), room);
            let bytes = &bytes[..count];
            if bytes.len() < SHORT_BYTES && contains(bytes, b"\"snapshot_end\"") {
                state.network.snapshots_sent += 1;
            }
            let (from, to) = (state.name(self.handle.process), state.name(peer));
            let hash = fnv(0, bytes) as u32;
            state.event(format_args!("{from} → {to} by {number}: {count} bytes ({hash:08x})"));
            if state.trace.wants_details() {
                let now_us = state.now_us;
                state.trace.detail(now_us, format_args!("{}", excerpt(bytes)));
            }
            let segment = Segment::Data(Bytes::copy_from_slice(bytes));
            state.network.send(state.now_us, number, side, segment);
            Poll::Ready(Ok(count))
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.handle.poll_alive(|state| {
            let connection = state.network.connections.get_mut(&self.number);
            let connection = connection.expect("kept while an end is open");
            let said = std::mem::replace(&mut connection.pipes[self.side].shut, true);
            if !said && connection.ends[self.side].broken.is_none() {
                state.network.send(state.now_us, self.number, self.side, Segment::End);
            }
            Poll::Ready(Ok(()))
        })
    }
}
