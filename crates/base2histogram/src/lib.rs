//! Stands in for the crate of this name, and records nothing.
//!
//! openraft keeps sixteen histograms in each replica and records in every round of
//! its loop, but only its feature `runtime-stats` reads them, which nobody here asks
//! for. The published crate makes tables of 27 MB for them, two thirds of the memory
//! of an idle server.
//!
//! `[patch.crates-io]` puts this one in its place. It has what openraft calls and no
//! more, so that an openraft that asks for more does not compile.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::fmt;
use std::marker::PhantomData;

/// Counts nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()>(PhantomData<T>);

impl<T> Histogram<T> {
    /// An empty one, as it stays.
    #[allow(clippy::new_without_default, reason = "openraft asks for no default")]
    pub fn new() -> Self {
        Histogram(PhantomData)
    }

    /// Forgets the value.
    pub fn record(&mut self, _value: u64) {}

    /// Forgets the value, however often it came.
    pub fn record_n(&mut self, _value: u64, _count: u64) {}

    /// Nothing but zeros.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats::default()
    }
}

/// What would be told of a [`Histogram`].
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "the names say all")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not recorded")
    }
}

/// Would draw histograms.
pub struct AsciiChart<T = ()>(PhantomData<T>);

impl<T> AsciiChart<T> {
    /// An empty one, as it stays.
    #[allow(clippy::new_without_default, reason = "openraft asks for no default")]
    pub fn new() -> Self {
        AsciiChart(PhantomData)
    }

    /// Leaves the histogram out.
    #[must_use]
    pub fn add(self, _name: &str, _histogram: Histogram<T>) -> Self {
        self
    }
}
