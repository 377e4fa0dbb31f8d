//! The program as people and scripts meet it: the real binary over real
//! sockets, real processes and real terminals.
//!
//! Tests that break nothing share one cluster, in accounts of their own; tests
//! that kill servers have a cluster of their own. Waiting always is for
//! something, and gives up after [`harness::WAIT_MAX`].
// The tests live in real time and start real threads.
#![allow(clippy::disallowed_methods)]

mod accounts;
mod admission;
#[cfg(target_os = "linux")]
mod advice;
mod affairs;
mod alone;
mod at_once;
#[cfg(target_os = "linux")]
mod attack;
mod backup;
mod bench;
mod bounds;
#[cfg(target_os = "linux")]
mod disks;
mod drill;
mod encrypted;
mod failover;
#[cfg(target_os = "linux")]
mod flips;
#[cfg(target_os = "linux")]
mod hangup;
mod harness;
mod hostile;
mod input;
#[cfg(target_os = "linux")]
mod limits;
mod local_cluster;
mod looking_back;
mod lost_end;
mod majority;
mod membership;
mod messages;
#[cfg(target_os = "linux")]
mod occupied;
mod outputs;
mod profiles;
#[cfg(target_os = "linux")]
mod recover;
mod rekey;
#[cfg(target_os = "linux")]
mod secrets;
mod servers;
#[cfg(target_os = "linux")]
mod service_manager;
#[cfg(target_os = "linux")]
mod several_hosts;
#[cfg(target_os = "linux")]
mod survival;
mod terminal;
mod transfer;
#[cfg(target_os = "linux")]
mod upgrade;
#[cfg(target_os = "linux")]
mod vanishing;
