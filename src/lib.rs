//! ftchat: fault-tolerant chat in one binary.
//!
//! Three servers hold the same messages; shell users send and read them with
//! one-liners. A message that `send` acknowledged is delivered to its inbox
//! exactly once, whatever crashes, in one order that every replica agrees on.
//!
//! # The way of a message
//!
//! ```text
//!  ftchat send bob hi        cli ─► client ──────────────┐ a line of JSON
//!                                                        ▼
//!  any server           server: session, limits ─► replica ─► consensus
//!                                                        │ forwarded to the leader
//!                                                        ▼
//!  the leader           gathered with others into one log entry, written once
//!                        │ peer links                    │ storage
//!                        ▼                               ▼
//!  followers            log, fdatasync              log, fdatasync
//!                        └────── a majority has it ──────┘
//!                                                        ▼
//!  every replica        chat::State applies it, in log order; the answer goes
//!                       back the way the message came
//! ```
//!
//! # The modules
//! A module imports only from those that stand above it in this list; a test of the
//! code base keeps it so.
//! The head of every module says what it is for, what it promises and how it fails.
//!
//! | module | purpose |
//! |---|---|
//! | [`limits`], [`error`], [`types`] | the bounds that peers, data and operators rely on, each with its reason; one error type with stable codes; names, numbers, instants |
//! | [`sync`] | locks, and what becomes of one whose holder panicked |
//! | [`planted`] | bugs that only tests can wake, to prove that they are found |
//! | [`host`] | the seams: time, randomness, network, disk; a simulation puts its own in |
//! | [`tls`] | encryption, and the one identity that all servers of a cluster derive from its key |
//! | [`protocol`] | the JSON every process speaks |
//! | [`config`] | flag, environment, file, default, each value with its origin |
//! | [`chat`] | the state machine: accounts, sessions, inboxes, de-duplication; pure and deterministic |
//! | [`storage`] | one data directory: lock, identity, log, vote, snapshots; bytes and checksums |
//! | [`peer`] | authenticated, multiplexed connections between replicas |
//! | [`consensus`] | one order of operations, agreed by a majority; the only module that names openraft |
//! | [`replica`] | one replica as a value: found, join, run, stop |
//! | [`survival`] | the last server of a host goes on: it adopts its dead neighbours' replicas |
//! | [`server`] | client sessions: authentication, bounds, following |
//! | [`client`] | finds a live server, repeats with the same id, follows across failovers |
//! | [`backup`] | a consistent copy of everything in one file, and back |
//! | [`administration`] | who may come in: asks the servers for whoever holds the cluster's key |
//! | [`recovery`] | a new cluster out of what is left of an old one whose other machines are gone, and what one of these brings that turns up later |
//! | [`cluster`] | supervises a local cluster of `serve` processes |
//! | [`drill`] | everything that may go wrong with servers, done to a cluster of its own; then the proof |
//! | [`mod@bench`] | load on the configured servers, from outside, and how long each answer took |
//! | [`output`] | tables, plain lines, JSON, progress; the one place where text is made harmless for a terminal |
//! | [`cli`] | one file per verb, and what verbs share: context, stored tokens, manual pages |
//!
//! # Where to start reading
//! [`chat`] for what the system does, [`consensus`] for how it agrees,
//! [`storage`] for how it remembers, `tests/sim` for how it is proved.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
// The heads of the modules lead into them; read the docs with private items.
#![allow(rustdoc::private_intra_doc_links)]

pub mod administration;
pub mod backup;
pub mod bench;
pub mod chat;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod config;
pub mod consensus;
pub mod drill;
pub mod error;
pub mod host;
pub mod limits;
pub mod output;
pub mod peer;
pub mod planted;
pub mod protocol;
pub mod recovery;
pub mod replica;
pub mod server;
pub mod storage;
pub mod survival;
pub mod sync;
pub mod tls;
pub mod types;
