//! The network between the machines: a router with a cable to each, which lets everything
//! that goes some ways vanish.
//!
//! A rule of the router's own routing says for each way that is cut: what comes in by this
//! cable for that machine goes nowhere. Nobody is told of it, as of a cable that is out; and
//! what comes back is not concerned, so a way is cut in one direction alone. For that Linux
//! needs the program `ip` and nothing else: no filter, no queue.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use super::plan::Way;
use crate::error::{Error, ErrorCode, Result};
use crate::host::Namespaces;

/// The router and the cables.
pub struct Router {
    namespaces: Namespaces,
    cut: BTreeSet<Way>,
}

/// The address of a machine, with those of 0, 1, 2 in networks of their own.
pub fn address(machine: usize) -> String {
    format!("10.0.{}.2", machine + 1)
}

/// Where a machine finds the router.
fn gateway(machine: usize) -> String {
    format!("10.0.{}.1", machine + 1)
}

impl Router {
    /// A router, and a cable to each of these machines, whose network is brought up.
    ///
    /// # Errors
    /// [`ErrorCode::Io`]: the system or `ip` refuses, and says why.
    pub fn new(machines: &[Namespaces]) -> Result<Router> {
        let failed = |error: io::Error| Error::failed("cannot make a network of machines", &error);
        let namespaces = Namespaces::new(&[]).map_err(failed)?;
        let forward = || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1");
        namespaces.run(forward).map_err(failed)?;
        for (number, machine) in machines.iter().enumerate() {
            let (address, gateway) = (address(number), gateway(number));
            let cable = format!("cable{number}");
            let network = machine.network_path();
            ip(
                &namespaces,
                &format!(
                    "link add {cable} type veth peer name eth0 netns {network}\n\
                     address add {gateway}/24 dev {cable}\n\
                     link set {cable} up\n"
                ),
            )?;
            ip(
                machine,
                &format!(
                    "link set lo up\n\
                     address add {address}/24 dev eth0\n\
                     link set eth0 up\n\
                     route add default via {gateway}\n"
                ),
            )?;
        }
        Ok(Router { namespaces, cut: BTreeSet::new() })
    }

    /// From now on everything vanishes that goes these ways, and nothing that goes others.
    ///
    /// # Errors
    /// [`ErrorCode::Io`].
    pub fn cut(&mut self, ways: &BTreeSet<Way>) -> Result<()> {
        ip(&self.namespaces, &changes(&self.cut, ways))?;
        self.cut.clone_from(ways);
        Ok(())
    }
}

/// What the router is told.
fn changes(before: &BTreeSet<Way>, after: &BTreeSet<Way>) -> String {
    let mut text = String::new();
    let mut tell = |what: &str, (from, to): &Way| {
        let to = address(*to);
        writeln!(text, "rule {what} iif cable{from} to {to} blackhole").expect("a text takes all");
    };
    before.difference(after).for_each(|way| tell("del", way));
    after.difference(before).for_each(|way| tell("add", way));
    text
}

/// Whether the program is there that makes networks.
///
/// # Errors
/// [`ErrorCode::Io`] with what to do.
pub fn check_program() -> Result<()> {
    let mut look = Command::new("ip");
    let look = look.arg("-Version").stdout(Stdio::null()).stderr(Stdio::null());
    look.status().map(drop).map_err(|error| no_program(&error))
}

fn no_program(error: &io::Error) -> Error {
    Error::new(
        ErrorCode::Io,
        format!(
            "the network between the machines is made by the program `ip`, which cannot be run \
             ({error}); install iproute2"
        ),
    )
}

/// Has `ip` do what these lines say, on a machine.
fn ip(machine: &Namespaces, lines: &str) -> Result<()> {
    let run = || {
        let mut command = Command::new("ip");
        let piped = command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = piped.stderr(Stdio::piped()).spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // It may have ended at the first line; then its own words say why.
            let _ = input.write_all(lines.as_bytes());
        }
        child.wait_with_output()
    };
    let output = machine.run(run).map_err(|error| no_program(&error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Err(Error::new(
        ErrorCode::Io,
        format!("the program `ip` could not change the network of machines: {}", said.join("; ")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_told_and_each_direction_by_itself() {
        let (one, other) = (BTreeSet::from([(0, 1), (1, 0)]), BTreeSet::from([(1, 0), (2, 1)]));
        assert_eq!(
            changes(&one, &other),
            "rule del iif cable0 to 10.0.2.2 blackhole\n\
             rule add iif cable2 to 10.0.2.2 blackhole\n"
        );
        assert_eq!(changes(&one, &one), "");
    }
}
