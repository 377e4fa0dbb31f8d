//! What consensus sends between replicas and writes to the log, as bytes.

pub mod append;
pub mod calls;
pub mod entry;
pub mod records;
