//! The kinds of attack. Each goes on until it is told to stop, and until it has
//! done what its scale says, and returns what it has done, for people.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::{Scale, guess_of};
use crate::harness::place::random_id;
use crate::harness::raw::{HELLO, Raw};

/// Threads of one attack.
const THREADS: usize = 4;

/// Who is attacked.
pub struct Target {
    pub addresses: Vec<String>,
    pub scale: Scale,
    /// A session of an account that the attacker has.
    pub token: String,
    pub name: String,
}

/// An attack under way.
pub struct Attack<'a> {
    target: &'a Target,
    stop: &'a AtomicBool,
    begun: AtomicBool,
}

type Kind = fn(&Attack<'_>) -> usize;

/// All of them, with their names.
pub const KINDS: [(&str, Kind); 9] = [
    ("malformed lines, one connection each", malformed_first_lines),
    ("malformed requests on open connections", malformed_requests),
    ("idle connections", idle_connections),
    ("connections that say a byte now and then", slow_connections),
    ("lines that never end", endless_lines),
    ("a flood of logins", logins),
    ("a flood of registrations", registrations),
    ("followers who never read", deaf_followers),
    ("callers who say that they are replicas", false_replicas),
];

/// Lets this process hold so many connections, if the system does.
pub fn allow_connections(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.unwrap_or(u64::MAX);
    let current = limit.current.unwrap_or(u64::MAX).max(wanted.min(maximum));
    let raised = Rlimit { current: Some(current), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).expect("below the hard limit");
    assert!(current >= wanted, "this attack needs {wanted} descriptors: ulimit -Hn {wanted}");
}

impl<'a> Attack<'a> {
    pub fn new(target: &'a Target, stop: &'a AtomicBool) -> Attack<'a> {
        Attack { target, stop, begun: AtomicBool::new(false) }
    }

    /// Whether it does harm by now.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    fn begins(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn address(&self, number: usize) -> &str {
        &self.target.addresses[number % self.target.addresses.len()]
    }

    fn round(&self, total: usize) -> usize {
        total / self.target.scale.rounds
    }

    /// Does a thing on several threads, each at least its part of `times`, and
    /// until the attack is over. Attackers yield to others: they stand for
    /// other machines, and share this one's processors.
    fn repeat(&self, times: usize, deed: impl Fn(usize) -> usize + Sync) -> usize {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let deed = &deed;
                    scope.spawn(move || {
                        rustix::process::nice(19).expect("anybody may be nicer");
                        let (mut number, mut done) = (thread, 0);
                        while self.goes_on() || done < times / THREADS {
                            done += deed(number);
                            number += THREADS;
                            self.begins();
                        }
                        done
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        })
    }

    /// Opens connections with `open`, then keeps them, with `poke` at each of
    /// them now and then.
    fn hold(
        &self,
        count: usize,
        open: impl Fn(&str) -> std::io::Result<Raw>,
        poke: impl Fn(&mut Raw) -> std::io::Result<()>,
    ) -> usize {
        let mut held: Vec<Raw> = Vec::new();
        for number in 0..count {
            // A server that refuses has done its duty.
            held.extend(open(self.address(number)).ok());
        }
        let opened = held.len();
        self.begins();
        while self.goes_on() {
            held.retain_mut(|raw| poke(raw).is_ok());
            std::thread::sleep(Duration::from_millis(100));
        }
        opened
    }
}

/// Lines of every wrong kind: real ones that were changed, and nonsense.
fn malformed(number: usize) -> Vec<u8> {
    let request = format!(r#"{{"id":{number},"request":{{"send":{{"to":["bob"],"text":"x"}}}}}}"#);
    let mut bytes = request.into_bytes();
    let length = bytes.len();
    match number % 8 {
        0 => bytes.truncate(number % length),
        1 => bytes[number * 7 % length] ^= 1 << (number % 7),
        2 => bytes = vec![b'['; 200],
        3 => bytes = b"{\"a\":".repeat(60),
        4 => bytes = vec![0xff, 0x00, 0x1b, b'['],
        5 => bytes = b"GET / HTTP/1.1\r".to_vec(),
        6 => bytes = br#"{"ftchat":1,"role":"king"}"#.to_vec(),
        _ => bytes = format!(r#"{{"id":{number},"request":{{"dance":{{}}}}}}"#).into_bytes(),
    }
    bytes.retain(|byte| *byte != b'\n');
    bytes.push(b'\n');
    bytes
}

fn malformed_first_lines(attack: &Attack<'_>) -> usize {
    // Each takes a port of this machine for a while, so there are fewer.
    attack.repeat(attack.round(attack.target.scale.malformed_lines / 100), |number| {
        let Ok(mut raw) = Raw::connect(attack.address(number)) else { return 1 };
        if raw.write(&malformed(number)).is_ok() {
            raw.timeout(Duration::from_secs(2)).rest();
        }
        1
    })
}

fn malformed_requests(attack: &Attack<'_>) -> usize {
    // Many on a connection: those that have an id are answered and forgiven.
    const LINES: usize = 500;
    attack.repeat(attack.round(attack.target.scale.malformed_lines), |number| {
        let Ok(mut raw) = Raw::client(attack.address(number)) else { return LINES };
        let mut all = Vec::new();
        for line in 0..LINES {
            all.extend(format!("{{\"id\":{line},\"request\":{{\"send\":{{\"x\":[").into_bytes());
            all.extend(b"1,".repeat(line % 50));
            all.extend(b"1]}}}\n");
        }
        all.extend(malformed(number));
        // No line at all, after which the server closes.
        all.extend(b"enough\n");
        if raw.write(&all).is_ok() {
            raw.timeout(Duration::from_millis(500)).rest();
        }
        LINES
    })
}

fn idle_connections(attack: &Attack<'_>) -> usize {
    attack.hold(attack.target.scale.connections, Raw::client, |_| Ok(()))
}

fn slow_connections(attack: &Attack<'_>) -> usize {
    let open = |address: &str| {
        let mut raw = Raw::connect(address)?;
        raw.send_line(HELLO)?;
        Ok(raw)
    };
    attack.hold(attack.target.scale.slow, open, |raw| raw.write(b" "))
}

fn endless_lines(attack: &Attack<'_>) -> usize {
    let open = |address: &str| Ok(Raw::client(address)?.timeout(Duration::from_millis(10)));
    // All that fits into a line, but its end, and then a little more.
    attack.hold(attack.target.scale.slow, open, |raw| raw.write(&[b'x'; 20_000]))
}

fn logins(attack: &Attack<'_>) -> usize {
    attack.repeat(attack.round(attack.target.scale.slow), |number| {
        let Ok(mut raw) = Raw::client(attack.address(number)) else { return 1 };
        for guess in 0..20 {
            let login = guess_of(&format!("nobody-{number}-{guess}"));
            if raw.ask(login).is_err() {
                break;
            }
        }
        1
    })
}

fn registrations(attack: &Attack<'_>) -> usize {
    attack.repeat(attack.round(attack.target.scale.slow), |number| {
        let Ok(mut raw) = Raw::client(attack.address(number)) else { return 1 };
        let token = random_id().replace('-', "").repeat(2);
        let name = &token[..20];
        let register = json!({"register": {
            "operation": random_id(), "name": name, "password": "guess guess", "token": token,
        }});
        // Refused or not, it was asked for.
        let _ = raw.ask(register);
        1
    })
}

fn deaf_followers(attack: &Attack<'_>) -> usize {
    // Something to follow, so that there is something not to read.
    let text = "\u{1}".repeat(8_000);
    let Ok(mut raw) = Raw::session(attack.address(0), &attack.target.token) else { return 0 };
    for _ in 0..100 {
        let to = [&attack.target.name];
        let send = json!({"send": {"operation": random_id(), "to": to, "text": text}});
        raw.ask(send).expect("an attacker is served as well");
    }
    let open = |address: &str| {
        let mut raw = Raw::session(address, &attack.target.token)?;
        for id in 10..18 {
            raw.send_line(&json!({"id": id, "request": {"follow": {"which": "all"}}}).to_string())?;
        }
        Ok(raw)
    };
    attack.hold(attack.target.scale.slow, open, |_| Ok(()))
}

fn false_replicas(attack: &Attack<'_>) -> usize {
    let hello = format!(
        r#"{{"ftchat":1,"role":"peer","replica":2,"nonce":"{}","cluster":"{}","lineage":"{}","incarnation":1}}"#,
        "5".repeat(64),
        random_id(),
        random_id(),
    );
    attack.repeat(attack.round(attack.target.scale.slow), |number| {
        let Ok(mut raw) = Raw::connect(attack.address(number)) else { return 1 };
        let proof = format!("{{\"proof\":\"{:064x}\"}}\n", number);
        if raw.send_line(&hello).is_ok() && raw.write(proof.as_bytes()).is_ok() {
            raw.timeout(Duration::from_secs(2)).rest();
        }
        1
    })
}
