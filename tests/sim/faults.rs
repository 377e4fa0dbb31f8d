//! A seeded nemesis: breaks servers, machines, links and disks, and mends them.
//!
//! Between two ticks [`Nemesis::step`] may begin a fault on a server that has none, as
//! long as fewer than [`Plan::at_once`] servers have one. Every fault lasts for a while
//! and is then undone: a killed process starts again, a cut link is mended. A program
//! that ends by itself is started again too, as a service manager would do. Faults are
//! counted by kind, so that a test can require that they happened. Some faults are scenes
//! of several steps ([`scenes`]), which are played alone and begin when every server
//! runs.

mod effects;
mod kinds;
mod scenes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ftchat::types::majority;
use tokio::sync::watch;

pub use self::kinds::Fault;
use self::scenes::Step;
use crate::disk::Copy;
use crate::network::DELAY_US;
use crate::process_handle::{MachineId, ProgramId};
use crate::random::Prng;
use crate::world::World;

/// A server as the nemesis sees it.
#[derive(Clone, Debug)]
pub struct Server {
    /// What runs.
    pub program: ProgramId,
    /// Where.
    pub machine: MachineId,
    /// Its data.
    pub folder: PathBuf,
    /// What asks the program to stop, as SIGTERM does.
    pub stop: watch::Sender<bool>,
}

/// What to do to whom.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The victims.
    pub servers: Vec<Server>,
    /// Faults, each with its weight.
    pub faults: Vec<(Fault, u64)>,
    /// Most servers with a fault at once; faults that hit all are exempt.
    pub at_once: usize,
    /// Mean time between two beginnings, in milliseconds.
    pub pause_ms: u64,
    /// Shortest and longest duration of a fault, in milliseconds.
    pub lasts_ms: (u64, u64),
    /// Faults that cost no server anything: one of them is made whenever a
    /// second has passed without a fault. None: seconds may pass.
    pub fillers: Vec<Fault>,
}

impl Plan {
    /// One fault at a time, about one and a half seconds apart, each for two seconds at most.
    pub fn one_at_a_time(servers: &[Server], faults: &[(Fault, u64)]) -> Plan {
        Plan {
            servers: servers.to_vec(),
            faults: faults.to_vec(),
            at_once: 1,
            pause_ms: 1_500,
            lasts_ms: (50, 2_000),
            fillers: Vec::new(),
        }
    }

    /// Nothing: who dies is said elsewhere.
    pub fn nothing(servers: &[Server]) -> Plan {
        Plan {
            servers: servers.to_vec(),
            faults: Vec::new(),
            at_once: 0,
            pause_ms: 1_000_000,
            lasts_ms: (0, 0),
            fillers: Vec::new(),
        }
    }
}

/// What is counted besides faults.
#[derive(Debug)]
enum Event {
    Exit,
    HolderKilled,
}

struct Active {
    server: usize,
    fault: Fault,
    until_ms: u64,
}

/// See the head of this file.
pub struct Nemesis {
    plan: Plan,
    random: Prng,
    active: Vec<Active>,
    next_ms: u64,
    /// Restarts of programs that ended by themselves, with the instant.
    returning: BTreeMap<usize, u64>,
    counts: BTreeMap<String, u64>,
    /// Steps of the scene that is played, with their instants.
    scene: Vec<(u64, Step)>,
    /// Servers that a scene took down, or is about to.
    down: BTreeSet<usize>,
    leader: Option<usize>,
    /// Folders of servers as they were.
    copies: BTreeMap<usize, Copy>,
    /// Faults made so far, every step of a scene that does harm included.
    injected: u64,
    /// When faults began.
    since_ms: u64,
    /// Until when links are bad.
    weather_until_ms: Option<u64>,
    /// Until when a lost disk has time to be filled again.
    refilled_ms: u64,
    /// The server whose clock may be far from right.
    far: Option<usize>,
    /// Whether every server has had something on its disk that others have too.
    /// Two lost directories of a cluster that is only being founded are a lost
    /// cluster, and no server can tell what was in them.
    begun: bool,
}

/// How long a lost directory has to be filled again before a server may be
/// taken down: two lost directories of three are a lost cluster.
const REFILL_MS: u64 = 10_000;

impl Nemesis {
    /// A nemesis with a plan; nothing happens before the first pause is over.
    pub fn new(world: &World, plan: Plan) -> Nemesis {
        let mut random = world.with(|state| state.random.fork());
        let next_ms = world.now_ms() + random.exponential(plan.pause_ms);
        let (active, returning, counts) = Default::default();
        let (scene, down, leader) = Default::default();
        Nemesis {
            plan,
            random,
            active,
            next_ms,
            returning,
            counts,
            scene,
            down,
            leader,
            copies: BTreeMap::new(),
            injected: 0,
            since_ms: world.now_ms(),
            weather_until_ms: None,
            refilled_ms: 0,
            far: None,
            begun: false,
        }
    }

    /// How many faults were made.
    pub fn injected(&self) -> u64 {
        self.injected
    }

    /// How often each fault has begun; `Exit`: a program ended by itself.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    /// Tells which server leads, for those faults that are about it.
    pub fn learn_leader(&mut self, leader: Option<usize>) {
        self.leader = leader;
    }

    /// Tells that the cluster has begun: from now on disks may be lost.
    pub fn learn_begun(&mut self) {
        self.begun = true;
    }

    fn count_fault(&mut self, fault: Fault) {
        self.injected += 1;
        self.count(fault);
    }

    fn count(&mut self, what: impl std::fmt::Debug) {
        *self.counts.entry(format!("{what:?}")).or_default() += 1;
    }

    /// Mends what is over and begins what is due. Call it before every tick.
    pub fn step(&mut self, world: &mut World) {
        let now_ms = world.now_ms();
        let (over, active) =
            std::mem::take(&mut self.active).into_iter().partition(|it| it.until_ms <= now_ms);
        self.active = active;
        let over: Vec<Active> = over;
        for it in over {
            self.mend(world, it.server, it.fault);
        }
        self.play_scene(world, now_ms);
        self.restart_exited(world, now_ms);
        if self.weather_until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            self.clear_weather(world);
        }
        if now_ms >= self.next_ms {
            self.next_ms = now_ms + self.random.exponential(self.plan.pause_ms);
            self.begin(world, now_ms);
        }
        let due = (now_ms - self.since_ms + 500) / 1_000;
        if !self.plan.fillers.is_empty() && self.injected < due {
            self.fill(world, now_ms);
        }
    }

    /// Makes a fault that costs no server anything.
    fn fill(&mut self, world: &mut World, now_ms: u64) {
        let fault = self.plan.fillers[self.random.index(self.plan.fillers.len())];
        let server = self.random.index(self.plan.servers.len());
        self.count_fault(fault);
        self.apply(world, server, fault);
        if matches!(fault, Fault::Lossy | Fault::SlowLinks) {
            self.weather_until_ms = Some(now_ms + self.random.between(100, 2_000));
        }
    }

    fn clear_weather(&mut self, world: &World) {
        self.weather_until_ms = None;
        world.with(|state| {
            state.network.lost_one_in = 0;
            state.network.delay_us = DELAY_US;
        });
    }

    /// Mends everything at once and starts what does not run.
    pub fn stop(&mut self, world: &mut World) {
        for it in std::mem::take(&mut self.active) {
            self.mend(world, it.server, it.fault);
        }
        self.end_scene(world);
        self.clear_weather(world);
        world.with(|state| {
            state.network.mend_all();
            state.event(format_args!("all faults are over"));
        });
        for server in 0..self.plan.servers.len() {
            self.start(world, server);
        }
    }

    fn start(&self, world: &mut World, server: usize) {
        let Server { program, stop, .. } = &self.plan.servers[server];
        if !world.lives(*program) {
            stop.send_replace(false);
            world.start(*program);
        }
    }

    /// Starts what ended by itself. Call it before every tick once faults have
    /// stopped; [`Nemesis::step`] includes it.
    pub fn restart_exited(&mut self, world: &mut World, now_ms: u64) {
        for server in 0..self.plan.servers.len() {
            let program = self.plan.servers[server].program;
            let in_fault = self
                .active
                .iter()
                .any(|it| it.server == server && !it.fault.leaves_servers_running());
            if world.lives(program) || in_fault || self.down.contains(&server) {
                self.returning.remove(&server);
            } else if let Some(at_ms) = self.returning.get(&server) {
                if now_ms >= *at_ms {
                    self.start(world, server);
                }
            } else {
                if world.exit(program).is_some() {
                    self.count(Event::Exit);
                }
                let pause_ms = self.random.between(100, 1_000);
                self.returning.insert(server, now_ms + pause_ms);
            }
        }
    }

    fn begin(&mut self, world: &mut World, now_ms: u64) {
        if !self.scene.is_empty() || now_ms < self.refilled_ms {
            return;
        }
        let total = self.plan.faults.iter().map(|(_, weight)| weight).sum::<u64>();
        let mut draw = self.random.between(1, total.max(1));
        let Some(&(fault, _)) = self.plan.faults.iter().find(|(_, weight)| {
            let found = draw <= *weight;
            draw = draw.saturating_sub(*weight);
            found
        }) else {
            return;
        };
        let until_ms = now_ms + self.random.between(self.plan.lasts_ms.0, self.plan.lasts_ms.1);
        let free: Vec<usize> = (0..self.plan.servers.len())
            .filter(|server| self.active.iter().all(|it| it.server != *server))
            .collect();
        if fault.is_scene() {
            self.begin_scene(world, fault, now_ms);
        } else if matches!(fault, Fault::KillAll | Fault::CrashAll) {
            self.count_fault(fault);
            for server in 0..self.plan.servers.len() {
                // They come back one by one; what was wrong before goes on.
                self.apply(world, server, fault);
                let until_ms = now_ms + self.random.between(0, self.plan.lasts_ms.1);
                self.active.push(Active { server, fault, until_ms });
            }
        } else if matches!(fault, Fault::KillTwo | Fault::KillMost) {
            let wanted = match fault {
                Fault::KillTwo => 2,
                _ => majority(self.plan.servers.len()),
            };
            if free.len() < wanted || self.active.len() + wanted > self.plan.at_once {
                return;
            }
            self.count_fault(fault);
            let mut victims = free;
            while victims.len() > wanted {
                victims.remove(self.random.index(victims.len()));
            }
            for server in victims {
                self.apply(world, server, fault);
                let until_ms =
                    now_ms + self.random.between(self.plan.lasts_ms.0, self.plan.lasts_ms.1);
                self.active.push(Active { server, fault, until_ms });
            }
        } else if !free.is_empty() && self.active.len() < self.plan.at_once {
            if fault.is_destructive() {
                if !self.active.is_empty() || !self.begun {
                    return;
                }
                self.refilled_ms = until_ms + REFILL_MS;
            }
            let mut server = free[self.random.index(free.len())];
            if fault == Fault::FarClock {
                server = *self.far.get_or_insert(server);
                if !free.contains(&server) {
                    return;
                }
            }
            self.count_fault(fault);
            if self.leader == Some(server) {
                // A leader in the minority is another case than a follower there.
                *self.counts.entry(format!("{fault:?} of the leader")).or_default() += 1;
            }
            self.apply(world, server, fault);
            self.active.push(Active { server, fault, until_ms });
        }
    }
}
