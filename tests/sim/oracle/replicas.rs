//! What a server reports about itself must not contradict what others report.

use std::collections::BTreeMap;

/// Collects what replicas report, and contradictions between them.
#[derive(Debug, Default)]
pub struct Replicas {
    /// By applied index: the state's fingerprint, and who had it first.
    states: BTreeMap<u64, (String, String)>,
    /// By term and node: the process that led.
    leaders: BTreeMap<(u64, u64), String>,
    violations: Vec<String>,
}

impl Replicas {
    /// A process says that its state after the entry `applied` has this
    /// fingerprint. Equal index means equal state, on every replica and also
    /// after any restart.
    pub fn state(&mut self, process: &str, applied: u64, state_hash: &str) {
        let first =
            self.states.entry(applied).or_insert_with(|| (state_hash.into(), process.into()));
        if first.0 != state_hash {
            let told = format!(
                "states differ at index {applied}: {} has {}, {process} has {state_hash}",
                first.1, first.0
            );
            self.violations.push(told);
        }
    }

    /// A process says that it leads as a node in a term. A node leads a term
    /// once, so within one term no two processes may run the same node as its
    /// leader. Two nodes may lead the same term: leader ids are (term, node).
    pub fn leader(&mut self, process: &str, term: u64, node: u64) {
        let first = self.leaders.entry((term, node)).or_insert_with(|| process.into());
        if first != process {
            let told =
                format!("{first} and {process} both led term {term} as the same node {node}");
            self.violations.push(told);
        }
    }

    /// Somebody has seen something that must not be.
    pub fn contradict(&mut self, told: Option<String>) {
        self.violations.extend(told);
    }

    /// Indices at which states were compared.
    pub fn compared(&self) -> usize {
        self.states.len()
    }

    /// Leaders that were seen.
    pub fn leaders(&self) -> usize {
        self.leaders.len()
    }

    /// What was found.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }
}
