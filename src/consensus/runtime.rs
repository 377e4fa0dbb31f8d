//! Tasks of consensus, each with its source of random numbers.

use std::future::Future;

use futures::FutureExt;
use openraft::AsyncRuntime;

use super::types::Runtime;
use crate::host::{BoxFuture, Host};

/// Gives a future, and every task that consensus spawns below it, random
/// numbers from the host. Whatever makes the engine do something runs inside of
/// one; its metrics and settings are read and set from anywhere.
pub fn scoped<F: Future>(host: &Host, future: F) -> impl Future<Output = F::Output> + use<F> {
    Runtime::scope(host.random_u64(), future)
}

/// Spawns a scoped task. As with [`host::spawn`](crate::host::spawn), it goes behind a
/// pointer.
pub fn spawn<F>(host: &Host, future: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    spawn_boxed(host, Box::pin(future));
}

fn spawn_boxed(host: &Host, future: BoxFuture<'static, ()>) {
    // Spawning draws the task's seed from the spawner's, hence a scope around
    // it. The handle is not needed: tasks end when their channels close.
    let spawned = scoped(host, async move { drop(Runtime::spawn(future)) });
    spawned.now_or_never().expect("spawning does not wait");
}
