//! The simulated network delays, holds, refuses and breaks as TCP does.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ftchat::host::Host;
use ftchat::types::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::trace::TraceOptions;
use crate::world::{MachineId, ProgramId, World, simulate};

/// What a caller met, in order.
type Notes = Arc<Mutex<Vec<String>>>;

fn note(notes: &Notes, text: String) {
    notes.lock().unwrap_or_else(PoisonError::into_inner).push(text);
}

fn noted(notes: &Notes) -> Vec<String> {
    notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn address() -> Address {
    "server:7".parse().expect("an address")
}

/// Echoes every byte of every connection.
async fn echo(host: Host) -> Result<(), String> {
    let listener = host.network.listen(&address()).await.map_err(|error| error.to_string())?;
    loop {
        let (mut stream, from) = listener.accept().await.map_err(|error| error.to_string())?;
        assert_eq!(from, "client");
        ftchat::host::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Sends a word every 100 ms and notes how long each echo took, rounded.
async fn call(host: Host, notes: Notes) -> Result<(), String> {
    let begun = Instant::now();
    let mut stream = match host.network.connect(&address()).await {
        Ok(stream) => stream,
        Err(error) => {
            note(&notes, format!("{:?} after {} s", error.kind(), begun.elapsed().as_secs()));
            return Ok(());
        }
    };
    for _ in 0..20 {
        let sent = Instant::now();
        let mut word = [0; 4];
        let mut echo = async || {
            stream.write_all(b"word").await?;
            stream.read_exact(&mut word).await
        };
        match echo().await {
            Ok(_) if sent.elapsed() < Duration::from_millis(100) => note(&notes, "fast".into()),
            Ok(_) => note(&notes, format!("after {} s", sent.elapsed().as_secs())),
            Err(error) => {
                note(&notes, format!("{:?} after {} s", error.kind(), sent.elapsed().as_secs()));
                return Ok(());
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

struct Scene {
    client: MachineId,
    server: MachineId,
    echo: ProgramId,
    caller: ProgramId,
    notes: Notes,
}

fn scene(world: &mut World) -> Scene {
    let (client, server) = (world.add_machine("client"), world.add_machine("server"));
    let notes = Notes::default();
    let echo = world.install(server, "echo", |host| Box::pin(echo(host)));
    let noting = notes.clone();
    let caller = world.install(client, "call", move |host| Box::pin(call(host, noting.clone())));
    Scene { client, server, echo, caller, notes }
}

/// A call that is disturbed after half a second; the disturbance ends later.
fn disturbed(
    lasts_ms: u64,
    disturb: impl FnOnce(&mut World, &Scene),
    mend: impl FnOnce(&mut World, &Scene),
) -> Vec<String> {
    let mut result = Vec::new();
    let history = simulate(11, TraceOptions::default(), |world| {
        let scene = scene(world);
        world.start(scene.echo);
        world.run_for_ms(10);
        world.start(scene.caller);
        world.run_for_ms(500);
        disturb(world, &scene);
        world.run_for_ms(lasts_ms);
        mend(world, &scene);
        world.run_until(200_000, |world| !world.lives(scene.caller));
        result = noted(&scene.notes);
    });
    assert_eq!(history.failures, Vec::<String>::new());
    result
}

fn cut(world: &mut World, from: MachineId, to: MachineId, cut: bool) {
    world.with(|state| state.network.set_cut(from, to, cut));
}

fn slow(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).filter(|word| *word != "fast").collect()
}

#[test]
fn echoes_are_fast_when_nothing_is_wrong() {
    let words = disturbed(0, |_, _| {}, |_, _| {});
    assert_eq!(words, vec!["fast"; 20]);
}

#[test]
fn each_direction_that_is_cut_holds_bytes_and_loses_none() {
    for there in [true, false] {
        let ends = |scene: &Scene| match there {
            true => (scene.client, scene.server),
            false => (scene.server, scene.client),
        };
        let words = disturbed(
            5_000,
            |world, scene| cut(world, ends(scene).0, ends(scene).1, true),
            |world, scene| cut(world, ends(scene).0, ends(scene).1, false),
        );
        assert_eq!((words.len(), slow(&words)), (20, vec!["after 4 s"]), "{words:?}");
    }
}

#[test]
fn a_cut_that_lasts_breaks_the_connection_of_who_sends() {
    let cut_off = |world: &mut World, scene: &Scene| cut(world, scene.client, scene.server, true);
    let words = disturbed(60_000, cut_off, |_, _| {});
    assert_eq!(slow(&words), ["TimedOut after 20 s"]);
}

#[test]
fn a_frozen_server_goes_on_where_it_stopped() {
    let words = disturbed(
        30_000,
        |world, scene| world.freeze(scene.echo),
        |world, scene| world.resume(scene.echo),
    );
    assert_eq!((words.len(), slow(&words)), (20, vec!["after 29 s"]), "{words:?}");
}

#[test]
fn a_killed_server_is_noticed_at_once() {
    let words = disturbed(1_000, |world, scene| world.kill(scene.echo), |_, _| {});
    assert!(matches!(slow(&words)[..], ["ConnectionReset after 0 s" | "UnexpectedEof after 0 s"]));
}

#[test]
fn a_server_without_power_is_noticed_when_it_is_back() {
    let words = disturbed(
        8_000,
        |world, scene| world.crash(scene.server),
        |world, scene| world.power_on(scene.server),
    );
    assert_eq!(slow(&words), ["ConnectionReset after 7 s"]);
}

#[test]
fn connections_that_are_reset_fail_on_both_sides() {
    let reset = |world: &mut World, scene: &Scene| {
        world.with(|state| state.reset_connections(scene.caller, scene.echo));
    };
    assert_eq!(slow(&disturbed(0, reset, |_, _| {})), ["ConnectionReset after 0 s"]);
}

#[test]
fn connecting_is_refused_waits_or_fails() {
    type Before = fn(&mut World, &Scene);
    let cases: [(Before, &[&str]); 4] = [
        (|_, _| {}, &["ConnectionRefused after 0 s"]),
        (|world, scene| world.crash(scene.server), &["TimedOut after 60 s"]),
        (|world, scene| cut(world, scene.server, scene.client, true), &["TimedOut after 60 s"]),
        // A frozen process still accepts, but does not answer.
        (
            |world, scene| {
                world.start(scene.echo);
                world.run_for_ms(10);
                world.freeze(scene.echo);
            },
            &[],
        ),
    ];
    for (before, expected) in cases {
        simulate(12, TraceOptions::default(), |world| {
            let scene = scene(world);
            before(world, &scene);
            world.start(scene.caller);
            world.run_until(100_000, |world| !world.lives(scene.caller));
            assert_eq!(noted(&scene.notes), expected);
        });
    }
}

#[test]
fn a_slow_reader_makes_its_writer_wait() {
    simulate(13, TraceOptions::default(), |world| {
        let (client, server) = (world.add_machine("client"), world.add_machine("server"));
        let notes = Notes::default();
        let sleeper = world.install(server, "sleeper", |host| {
            Box::pin(async move {
                let listener = host.network.listen(&address()).await.expect("free");
                let (mut stream, _) = listener.accept().await.expect("a caller");
                tokio::time::sleep(Duration::from_secs(3)).await;
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.expect("an end");
                assert_eq!(all.len(), 1_000_000);
                Ok(())
            })
        });
        let noting = notes.clone();
        let writer = world.install(client, "writer", move |host| {
            let notes = noting.clone();
            Box::pin(async move {
                let begun = Instant::now();
                let mut stream = host.network.connect(&address()).await.expect("listens");
                stream.write_all(&vec![7; 1_000_000]).await.expect("taken");
                note(&notes, format!("wrote after {} s", begun.elapsed().as_secs()));
                stream.shutdown().await.expect("says the end");
                std::future::pending().await
            })
        });
        world.start(sleeper);
        world.run_for_ms(5);
        world.start(writer);
        assert!(world.run_until(10_000, |world| !world.lives(sleeper)));
        assert_eq!(world.exit(sleeper), Some(Ok(())));
        assert_eq!(noted(&notes), ["wrote after 3 s"]);
    });
}

#[test]
fn ports_are_bound_once_and_freed_with_their_process() {
    simulate(14, TraceOptions::default(), |world| {
        let scene = scene(world);
        world.start(scene.echo);
        world.run_for_ms(5);
        let second = world.install(scene.server, "second", |host| {
            Box::pin(async move {
                match host.network.listen(&address()).await {
                    Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(()),
                    Err(error) => Err(error.to_string()),
                    Ok(_) => Err("bound".to_string()),
                }
            })
        });
        world.start(second);
        world.run_for_ms(5);
        assert_eq!(world.exit(second), Some(Ok(())));
        world.kill(scene.echo);
        world.start(second);
        world.run_for_ms(5);
        assert_eq!(world.exit(second), Some(Err("bound".to_string())));
    });
}
