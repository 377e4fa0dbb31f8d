//! Time and cuts: what is delivered when, who can connect to whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, ErrorKind};
use std::task::Waker;

use super::connection::{Connection, End, Segment, Side};
use crate::process_handle::{MachineId, ProcessKey, ProgramId, State};
use crate::random::Prng;

/// A sender whose bytes were held that long gives the connection up.
const GIVE_UP_AFTER_US: u64 = 20_000_000;
/// A connection attempt that was not answered is repeated after this time…
const RETRANSMIT_CONNECT_US: u64 = 250_000;
/// …and given up after that.
const CONNECT_GIVE_UP_AFTER_US: u64 = 60_000_000;
/// Connections that wait to be accepted.
const BACKLOG_MAX: usize = 128;

/// Ordinary delays between two machines.
pub const DELAY_US: (u64, u64) = (100, 900);
/// How long TCP waits before it sends a lost segment again the first time; then
/// twice as long, and so on.
const RETRANSMIT_US: u64 = 200_000;
/// A segment is not lost more often than that.
const LOSSES_MAX: u32 = 4;

/// Number of a connection or an attempt.
pub type Number = u64;

/// What happens at an instant.
#[derive(Debug)]
enum Event {
    /// Segments may have arrived.
    Arrive(Number, Side),
    /// A connection attempt reaches its target.
    Knock(Number),
    /// The answer reaches who attempted.
    Answer(Number, Result<Number, ErrorKind>),
    /// What end 0 wrote is lost again and again, and not acknowledged in time.
    GiveUp(Number),
}

/// Somebody connecting.
pub struct Attempt {
    from: ProcessKey,
    from_machine: MachineId,
    to: (MachineId, u16),
    since_us: u64,
    pub answer: Option<Result<Number, ErrorKind>>,
    pub waker: Option<Waker>,
}

/// A bound port.
pub struct Bound {
    process: ProcessKey,
    loopback_only: bool,
    pub backlog: VecDeque<Number>,
    pub waker: Option<Waker>,
}

/// Everything between the machines.
pub struct Network {
    random: Prng,
    /// Directions that deliver nothing.
    cuts: BTreeSet<(MachineId, MachineId)>,
    /// Shortest and longest ordinary delay between two machines.
    pub delay_us: (u64, u64),
    /// One of so many segments between two machines is lost and sent again
    /// until it arrives; 0: none.
    pub lost_one_in: u64,
    /// Whole snapshots that were sent to a replica.
    pub snapshots_sent: u64,
    pub(super) connections: BTreeMap<Number, Connection>,
    pub(super) attempts: BTreeMap<Number, Attempt>,
    pub(super) bound: BTreeMap<(MachineId, u16), Bound>,
    held: BTreeSet<(Number, Side)>,
    /// Connections at whose end 1 something has arrived that is not yet acknowledged.
    acknowledging: BTreeSet<Number>,
    events: BTreeMap<(u64, u64), Event>,
    next: u64,
}

impl Network {
    /// A network without connections and cuts.
    pub fn new(random: Prng) -> Network {
        Network {
            random,
            cuts: BTreeSet::new(),
            delay_us: DELAY_US,
            lost_one_in: 0,
            snapshots_sent: 0,
            connections: BTreeMap::new(),
            attempts: BTreeMap::new(),
            bound: BTreeMap::new(),
            held: BTreeSet::new(),
            acknowledging: BTreeSet::new(),
            events: BTreeMap::new(),
            next: 1,
        }
    }

    /// A number that was never given before.
    pub fn number(&mut self) -> Number {
        self.next += 1;
        self.next
    }

    fn delay_us(&mut self, from: MachineId, to: MachineId) -> u64 {
        if from == to {
            return self.random.between(10, 80);
        }
        let spike_us = if self.random.one_in(500) { self.random.between(1, 40_000) } else { 0 };
        let mut lost = 0;
        while self.lost_one_in > 0 && lost < LOSSES_MAX && self.random.one_in(self.lost_one_in) {
            lost += 1;
        }
        let again_us = RETRANSMIT_US * ((1 << lost) - 1);
        self.random.between(self.delay_us.0, self.delay_us.1) + spike_us + again_us
    }

    fn at(&mut self, instant_us: u64, event: Event) {
        let order = self.number();
        self.events.insert((instant_us, order), event);
    }

    /// Puts a segment of one side of a connection on its way.
    pub(super) fn send(&mut self, now_us: u64, number: Number, side: Side, segment: Segment) {
        let Some(connection) = self.connections.get(&number) else { return };
        let (from, to) = (connection.ends[side].machine, connection.ends[1 - side].machine);
        let delay_us = self.delay_us(from, to);
        let connection = self.connections.get_mut(&number).expect("looked up above");
        let limit_us = connection.unacknowledged_max_us.filter(|_| side == 0);
        if let Some(limit_us) = limit_us.filter(|limit_us| delay_us > *limit_us) {
            return self.at(now_us + limit_us, Event::GiveUp(number));
        }
        let arrives_us = connection.send(side, now_us + delay_us, segment);
        self.at(arrives_us, Event::Arrive(number, side));
    }

    /// Shortens a write now and then, as a full socket buffer does.
    pub(super) fn accepted_bytes(&mut self, wanted: usize, room: usize) -> usize {
        let fits = wanted.min(room);
        if fits > 1 && self.random.one_in(50) { 1 + self.random.index(fits) } else { fits }
    }

    /// Begins to connect.
    pub(super) fn attempt(
        &mut self,
        now_us: u64,
        from: ProcessKey,
        from_machine: MachineId,
        to: (MachineId, u16),
    ) -> Number {
        let number = self.number();
        let attempt =
            Attempt { from, from_machine, to, since_us: now_us, answer: None, waker: None };
        self.attempts.insert(number, attempt);
        let delay_us = self.delay_us(from_machine, to.0);
        self.at(now_us + delay_us, Event::Knock(number));
        number
    }

    /// Binds a port of a machine; port 0 is a free one.
    pub(super) fn bind(
        &mut self,
        process: ProcessKey,
        machine: MachineId,
        port: u16,
        loopback_only: bool,
    ) -> io::Result<u16> {
        let port = match port {
            0 => (49_152..=u16::MAX).find(|port| !self.bound.contains_key(&(machine, *port))),
            port => Some(port).filter(|port| !self.bound.contains_key(&(machine, *port))),
        };
        let port = port.ok_or_else(|| io::Error::from(ErrorKind::AddrInUse))?;
        let bound = Bound { process, loopback_only, backlog: VecDeque::new(), waker: None };
        self.bound.insert((machine, port), bound);
        Ok(port)
    }

    /// Whether nothing gets from one machine to the other.
    pub fn is_cut(&self, from: MachineId, to: MachineId) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// Cuts one direction of a link, or mends it. Nothing cuts a machine from
    /// itself.
    pub fn set_cut(&mut self, from: MachineId, to: MachineId, cut: bool) {
        if cut && from != to {
            self.cuts.insert((from, to));
        } else {
            self.cuts.remove(&(from, to));
        }
    }

    /// Whether links are worse than usual.
    pub fn has_weather(&self) -> bool {
        self.lost_one_in > 0 || self.delay_us != DELAY_US
    }

    /// Mends every link.
    pub fn mend_all(&mut self) {
        self.cuts.clear();
    }

    fn forget_if_over(&mut self, number: Number) {
        if self.connections.get(&number).is_some_and(Connection::is_over) {
            self.connections.remove(&number);
            self.held.remove(&(number, 0));
            self.held.remove(&(number, 1));
        }
    }

    /// Closes one side of a connection.
    pub(super) fn close(&mut self, now_us: u64, number: Number, side: Side) {
        if let Some(said) = self.connections.get_mut(&number).and_then(|it| it.close(side)) {
            self.send(now_us, number, side, said);
        }
        self.forget_if_over(number);
    }

    /// Gives a port back; whoever waits there is refused.
    pub(super) fn unbind(&mut self, now_us: u64, at: (MachineId, u16)) {
        for number in self.bound.remove(&at).into_iter().flat_map(|bound| bound.backlog) {
            // After a power cut the end is already gone, and says nothing.
            if self.connections.get(&number).is_some_and(|it| it.ends[1].open) {
                self.send(now_us, number, 1, Segment::Reset);
                self.close(now_us, number, 1);
            }
        }
    }
}

impl State {
    /// Everything that is due by now.
    pub fn deliver(&mut self) {
        self.release_held();
        self.acknowledge();
        while let Some(entry) = self.network.events.first_entry() {
            if entry.key().0 > self.now_us {
                break;
            }
            match entry.remove() {
                Event::Arrive(number, side) => self.arrive(number, side),
                Event::Knock(number) => self.knock(number),
                Event::Answer(number, answer) => self.answer(number, answer),
                Event::GiveUp(number) => self.give_up(number),
            }
        }
    }

    fn reaches(&self, from: MachineId, to: MachineId) -> bool {
        self.machines[to.0].up && !self.network.is_cut(from, to)
    }

    fn arrive(&mut self, number: Number, side: Side) {
        loop {
            let Some(connection) = self.network.connections.get(&number) else { return };
            let (from, to) = (connection.ends[side].machine, connection.ends[1 - side].machine);
            let reaches = self.reaches(from, to);
            let connection = self.network.connections.get_mut(&number).expect("looked up above");
            if !reaches {
                let held = &mut connection.pipes[side].held_since_us;
                *held = held.or(Some(self.now_us));
                self.network.held.insert((number, side));
                return;
            }
            let Some(segment) = connection.arrive(side, self.now_us) else { break };
            if side == 0 && connection.unacknowledged_max_us.is_some() {
                self.network.acknowledging.insert(number);
            }
            if connection.receive(side, segment, &mut self.wakers) {
                self.network.send(self.now_us, number, 1 - side, Segment::Reset);
            }
        }
        self.network.forget_if_over(number);
    }

    /// Gives up a connection of whose bytes nothing is acknowledged.
    fn give_up(&mut self, number: Number) {
        if let Some(connection) = self.network.connections.get_mut(&number) {
            connection.give_up(0, &mut self.wakers);
            self.network.forget_if_over(number);
        }
    }

    /// Lets what arrived be acknowledged, or given up where the way back is cut.
    fn acknowledge(&mut self) {
        for number in std::mem::take(&mut self.network.acknowledging) {
            let Some(connection) = self.network.connections.get(&number) else { continue };
            let (there, here) = (connection.ends[1].machine, connection.ends[0].machine);
            let reaches = self.reaches(there, here);
            let connection = self.network.connections.get_mut(&number).expect("looked up above");
            let since_us = &mut connection.pipes[0].unacknowledged_since_us;
            if reaches {
                *since_us = None;
                continue;
            }
            let since_us = *since_us.get_or_insert(self.now_us);
            let limit_us = connection.unacknowledged_max_us;
            if limit_us.is_some_and(|limit_us| self.now_us - since_us > limit_us) {
                self.give_up(number);
            } else {
                self.network.acknowledging.insert(number);
            }
        }
    }

    /// Sends on what a mended link has held, and gives up what was held too long.
    fn release_held(&mut self) {
        for (number, side) in self.network.held.clone() {
            let Some(connection) = self.network.connections.get(&number) else {
                self.network.held.remove(&(number, side));
                continue;
            };
            let (from, to) = (connection.ends[side].machine, connection.ends[1 - side].machine);
            let reaches = self.reaches(from, to);
            let arrives_us = self.now_us + self.network.delay_us(from, to);
            let connection = self.network.connections.get_mut(&number).expect("looked up above");
            let closely_us = connection.unacknowledged_max_us.filter(|_| side == 0);
            let limit_us = closely_us.unwrap_or(GIVE_UP_AFTER_US);
            let pipe = &mut connection.pipes[side];
            if reaches {
                pipe.held_since_us = None;
                for (due_us, _) in &mut pipe.travelling {
                    *due_us = arrives_us.max(*due_us);
                }
                let dues: Vec<u64> = pipe.travelling.iter().map(|(due_us, _)| *due_us).collect();
                self.network.held.remove(&(number, side));
                for due_us in dues {
                    self.network.at(due_us, Event::Arrive(number, side));
                }
            } else if pipe.held_since_us.is_some_and(|it| self.now_us - it > limit_us) {
                connection.give_up(side, &mut self.wakers);
                self.network.held.remove(&(number, side));
                self.network.forget_if_over(number);
            }
        }
    }

    fn knock(&mut self, number: Number) {
        let Some(attempt) = self.network.attempts.get(&number) else { return };
        let (from, from_machine, to) = (attempt.from, attempt.from_machine, attempt.to);
        let (reaches, back) = (self.reaches(from_machine, to.0), self.reaches(to.0, from_machine));
        let bound = self.network.bound.get(&to);
        let full = bound.is_some_and(|bound| bound.backlog.len() >= BACKLOG_MAX);
        if !reaches || !back || full {
            if self.now_us - attempt.since_us > CONNECT_GIVE_UP_AFTER_US {
                self.answer(number, Err(ErrorKind::TimedOut));
            } else {
                self.network.at(self.now_us + RETRANSMIT_CONNECT_US, Event::Knock(number));
            }
            return;
        }
        let listener = bound
            .filter(|bound| !bound.loopback_only || from_machine == to.0)
            .map(|bound| bound.process);
        let delay_us = self.network.delay_us(to.0, from_machine);
        let answer = match listener {
            None => Err(ErrorKind::ConnectionRefused),
            Some(process) => {
                let ends = [End::new(from, from_machine), End::new(process, to.0)];
                let connection = self.network.number();
                self.network.connections.insert(connection, Connection::new(ends));
                let bound = self.network.bound.get_mut(&to).expect("looked up above");
                bound.backlog.push_back(connection);
                self.wakers.extend(bound.waker.take());
                Ok(connection)
            }
        };
        self.network.at(self.now_us + delay_us, Event::Answer(number, answer));
    }

    fn answer(&mut self, number: Number, answer: Result<Number, ErrorKind>) {
        match self.network.attempts.get_mut(&number) {
            Some(attempt) => {
                attempt.answer = Some(answer);
                self.wakers.extend(attempt.waker.take());
            }
            // Who attempted has given up, or died.
            None => {
                if let Ok(connection) = answer {
                    self.network.close(self.now_us, connection, 0);
                }
            }
        }
    }

    /// The kernel closes what a dead process had.
    pub fn end_connections(&mut self, process: ProcessKey) {
        let now_us = self.now_us;
        let network = &mut self.network;
        network.attempts.retain(|_, attempt| attempt.from != process);
        let ports: Vec<_> = network
            .bound
            .iter()
            .filter(|(_, bound)| bound.process == process)
            .map(|(at, _)| *at)
            .collect();
        ports.into_iter().for_each(|at| network.unbind(now_us, at));
        for (number, side) in self.ends(|end| end.open && end.process == process) {
            self.network.close(now_us, number, side);
        }
    }

    /// A machine without power closes nothing: its ends are just not there.
    pub fn vanish_connections(&mut self, machine: MachineId) {
        for (number, side) in self.ends(|end| end.machine == machine) {
            if let Some(connection) = self.network.connections.get_mut(&number) {
                connection.close(side);
                self.network.forget_if_over(number);
            }
        }
    }

    /// Resets the connections between two programs, as a middle box does.
    pub fn reset_connections(&mut self, a: ProgramId, b: ProgramId) {
        let numbers: Vec<_> = self
            .network
            .connections
            .iter()
            .filter(|(_, it)| {
                let programs = (it.ends[0].process.program, it.ends[1].process.program);
                programs == (a, b) || programs == (b, a)
            })
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            if let Some(connection) = self.network.connections.get_mut(&number) {
                for end in &mut connection.ends {
                    end.break_with(ErrorKind::ConnectionReset, &mut self.wakers);
                }
            }
        }
    }

    fn ends(&self, wanted: impl Fn(&End) -> bool) -> Vec<(Number, Side)> {
        let mut found = Vec::new();
        for (number, connection) in &self.network.connections {
            found.extend((0..2).filter(|it| wanted(&connection.ends[*it])).map(|it| (*number, it)));
        }
        found
    }
}
