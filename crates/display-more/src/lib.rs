//! Stands in for the crate of this name: how openraft writes options, results, lists
//! and sets into its log.
//!
//! The published crate writes times as well, which openraft never asks it for, and so
//! brings a calendar, the time zones of the world and the parsers that their tables are
//! made with: twenty crates and the better part of a minute of every build.
//!
//! `[patch.crates-io]` puts this one in its place. It has what openraft calls and no
//! more, so that an openraft that asks for more does not compile.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

/// Entries of a list that are shown unless said otherwise.
const SHOWN: usize = 5;

/// An option: what is in it, or `None`.
pub struct OptionDisplay<'a, T>(&'a Option<T>);

impl<T: Display> Display for OptionDisplay<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("None"),
        }
    }
}

/// Writes options.
pub trait DisplayOptionExt<'a, T: Display> {
    /// What is in it, or `None`.
    fn display(&'a self) -> OptionDisplay<'a, T>;
}

impl<'a, T: Display> DisplayOptionExt<'a, T> for Option<T> {
    fn display(&'a self) -> OptionDisplay<'a, T> {
        OptionDisplay(self)
    }
}

/// A result: `Ok(…)` or `Err(…)`.
pub struct ResultDisplay<'a, T, E>(&'a Result<T, E>);

impl<T: Display, E: Display> Display for ResultDisplay<'_, T, E> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(value) => write!(f, "Ok({value})"),
            Err(error) => write!(f, "Err({error})"),
        }
    }
}

/// Writes results.
pub trait DisplayResultExt<'a, T: Display, E: Display> {
    /// `Ok(…)` or `Err(…)`.
    fn display(&'a self) -> ResultDisplay<'a, T, E>;
}

impl<'a, T: Display, E: Display> DisplayResultExt<'a, T, E> for Result<T, E> {
    fn display(&'a self) -> ResultDisplay<'a, T, E> {
        ResultDisplay(self)
    }
}

/// The first values of many, and the last one.
struct Few<I>(I, usize);

impl<T: Display, I: ExactSizeIterator<Item = T> + Clone> Few<I> {
    fn write(&self, f: &mut Formatter<'_>, around: (&str, &str)) -> fmt::Result {
        let Few(values, shown) = self;
        let count = values.len();
        f.write_str(around.0)?;
        for (place, value) in values.clone().enumerate() {
            let cut = count > *shown && place + 1 >= *shown && place + 1 < count;
            if cut {
                continue;
            }
            if place > 0 {
                f.write_str(",")?;
            }
            if count > *shown && place + 1 == count {
                f.write_str("..,")?;
            }
            value.fmt(f)?;
        }
        f.write_str(around.1)
    }
}

/// A slice: `[1,2,..,9]`.
pub struct SliceDisplay<'a, T>(&'a [T], usize);

impl<T: Display> Display for SliceDisplay<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Few(self.0.iter(), self.1).write(f, ("[", "]"))
    }
}

/// Writes slices.
pub trait DisplaySliceExt<'a, T: Display> {
    /// At most some.
    fn display(&'a self) -> SliceDisplay<'a, T> {
        self.display_n(SHOWN)
    }

    /// At most so many.
    fn display_n(&'a self, shown: usize) -> SliceDisplay<'a, T>;
}

impl<'a, T: Display> DisplaySliceExt<'a, T> for [T] {
    fn display_n(&'a self, shown: usize) -> SliceDisplay<'a, T> {
        SliceDisplay(self, shown)
    }
}

/// A set: `{1,2,..,9}`.
pub struct SetDisplay<'a, T>(&'a BTreeSet<T>, usize);

impl<T: Display> Display for SetDisplay<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Few(self.0.iter(), self.1).write(f, ("{", "}"))
    }
}

/// Writes sets.
pub trait DisplayBTreeSetExt<'a, T: Display> {
    /// At most some.
    fn display(&'a self) -> SetDisplay<'a, T> {
        self.display_n(SHOWN)
    }

    /// At most so many.
    fn display_n(&'a self, shown: usize) -> SetDisplay<'a, T>;
}

impl<'a, T: Display> DisplayBTreeSetExt<'a, T> for BTreeSet<T> {
    fn display_n(&'a self, shown: usize) -> SetDisplay<'a, T> {
        SetDisplay(self, shown)
    }
}
