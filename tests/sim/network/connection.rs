//! One connection: two pipes of bytes and two ends that hold them.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::task::Waker;

use bytes::Bytes;

use crate::process_handle::{MachineId, ProcessKey};

/// Bytes that one direction holds, sent and received and not yet read, before
/// its writer waits.
pub const PIPE_MAX_BYTES: usize = 256 * 1024;

/// What travels.
#[derive(Debug)]
pub enum Segment {
    /// Bytes.
    Data(Bytes),
    /// The sender writes no more.
    End,
    /// The sender knows no such connection, or wants none.
    Reset,
}

/// One direction.
#[derive(Debug, Default)]
pub struct Pipe {
    /// On the way, with the instant of arrival, which never decreases.
    pub travelling: VecDeque<(u64, Segment)>,
    travelling_bytes: usize,
    /// Arrived and not yet read.
    pub received: VecDeque<Bytes>,
    received_bytes: usize,
    /// Nothing comes after what was received.
    pub ended: bool,
    /// The writer has shut it down.
    pub shut: bool,
    /// Since when a cut holds it.
    pub held_since_us: Option<u64>,
    /// Since when something that arrived cannot be acknowledged, as the way back is cut.
    pub unacknowledged_since_us: Option<u64>,
}

/// One side of a connection.
#[derive(Debug)]
pub struct End {
    /// Whose it is.
    pub process: ProcessKey,
    /// Where it is.
    pub machine: MachineId,
    /// Whether a process still has it.
    pub open: bool,
    /// Why it broke.
    pub broken: Option<ErrorKind>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl End {
    /// An end of a process.
    pub fn new(process: ProcessKey, machine: MachineId) -> End {
        End { process, machine, open: true, broken: None, reader: None, writer: None }
    }

    /// Ends the connection for this side.
    pub fn break_with(&mut self, kind: ErrorKind, wakers: &mut Vec<Waker>) {
        self.broken = Some(kind);
        self.wake(wakers);
    }

    fn wake(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.reader.take());
        wakers.extend(self.writer.take());
    }

    fn error(&self) -> Option<io::Error> {
        self.broken.map(|kind| io::Error::new(kind, "the simulated connection broke"))
    }
}

/// Which side; `1 - side` is the other. Side 0 connected, side 1 accepted.
pub type Side = usize;

/// A connection. Pipe `side` carries what end `side` writes.
#[derive(Debug)]
pub struct Connection {
    pub ends: [End; 2],
    pub pipes: [Pipe; 2],
    /// How long what end 0 writes may stay without an acknowledgement of the machine of end
    /// 1, if it says so.
    pub unacknowledged_max_us: Option<u64>,
}

impl Connection {
    /// A fresh connection.
    pub fn new(ends: [End; 2]) -> Connection {
        let pipes = [Pipe::default(), Pipe::default()];
        Connection { ends, pipes, unacknowledged_max_us: None }
    }

    /// Ends the connection for a side, none of whose bytes on the way will arrive.
    pub fn give_up(&mut self, side: Side, wakers: &mut Vec<Waker>) {
        self.pipes[side].travelling.clear();
        self.ends[side].break_with(ErrorKind::TimedOut, wakers);
    }

    /// Puts a segment on its way.
    pub fn send(&mut self, side: Side, arrives_us: u64, segment: Segment) -> u64 {
        let pipe = &mut self.pipes[side];
        if let Segment::Data(bytes) = &segment {
            pipe.travelling_bytes += bytes.len();
        }
        // Overtaking is for packets; a stream waits for the slower ones.
        let last_us = pipe.travelling.back().map_or(0, |(arrives_us, _)| *arrives_us);
        let arrives_us = arrives_us.max(last_us);
        pipe.travelling.push_back((arrives_us, segment));
        arrives_us
    }

    /// Bytes that a side may still write before it has to wait.
    pub fn room(&self, side: Side) -> usize {
        let pipe = &self.pipes[side];
        PIPE_MAX_BYTES.saturating_sub(pipe.travelling_bytes + pipe.received_bytes)
    }

    /// Why a side cannot write, if it cannot.
    pub fn write_error(&self, side: Side) -> Option<io::Error> {
        let shut = self.pipes[side].shut.then(|| io::Error::from(ErrorKind::BrokenPipe));
        self.ends[side].error().or(shut)
    }

    /// Remembers who waits for room.
    pub fn wait_to_write(&mut self, side: Side, waker: &Waker) {
        self.ends[side].writer = Some(waker.clone());
    }

    /// Takes what a side has received, at most `max` bytes. `None`: wait.
    pub fn read(
        &mut self,
        side: Side,
        max: usize,
        waker: &Waker,
        wakers: &mut Vec<Waker>,
    ) -> Option<io::Result<Bytes>> {
        let pipe = &mut self.pipes[1 - side];
        if let Some(first) = pipe.received.front_mut() {
            let bytes = first.split_to(max.min(first.len()));
            if first.is_empty() {
                pipe.received.pop_front();
            }
            pipe.received_bytes -= bytes.len();
            wakers.extend(self.ends[1 - side].writer.take());
            return Some(Ok(bytes));
        }
        if let Some(error) = self.ends[side].error() {
            return Some(Err(error));
        }
        if pipe.ended {
            return Some(Ok(Bytes::new()));
        }
        self.ends[side].reader = Some(waker.clone());
        None
    }

    /// The next segment of a pipe that has arrived by now.
    pub fn arrive(&mut self, side: Side, now_us: u64) -> Option<Segment> {
        let pipe = &mut self.pipes[side];
        if pipe.travelling.front()?.0 > now_us {
            return None;
        }
        let (_, segment) = pipe.travelling.pop_front()?;
        if let Segment::Data(bytes) = &segment {
            pipe.travelling_bytes -= bytes.len();
        }
        Some(segment)
    }

    /// Hands an arrived segment to the receiving end. True when that end
    /// answers with a reset, because nobody has it any more.
    pub fn receive(&mut self, from: Side, segment: Segment, wakers: &mut Vec<Waker>) -> bool {
        let end = &mut self.ends[1 - from];
        let pipe = &mut self.pipes[from];
        if !end.open || end.broken.is_some() {
            return matches!(segment, Segment::Data(_));
        }
        match segment {
            Segment::Data(bytes) => {
                pipe.received_bytes += bytes.len();
                pipe.received.push_back(bytes);
            }
            Segment::End => pipe.ended = true,
            Segment::Reset => end.broken = Some(ErrorKind::ConnectionReset),
        }
        end.wake(wakers);
        false
    }

    /// Closes a side. What it says to the other: an end, or a reset when it
    /// leaves something unread, as TCP does.
    pub fn close(&mut self, side: Side) -> Option<Segment> {
        self.ends[side].open = false;
        (self.ends[side].reader, self.ends[side].writer) = (None, None);
        if self.ends[side].broken.is_some() {
            return None;
        }
        let unread = self.pipes[1 - side].received_bytes > 0;
        self.pipes[1 - side].received.clear();
        self.pipes[1 - side].received_bytes = 0;
        if unread {
            return Some(Segment::Reset);
        }
        let said = std::mem::replace(&mut self.pipes[side].shut, true);
        (!said).then_some(Segment::End)
    }

    /// Whether nothing will ever happen here again.
    pub fn is_over(&self) -> bool {
        let over = |side: Side| (!self.ends[side].open) && self.pipes[side].travelling.is_empty();
        over(0) && over(1)
    }
}
