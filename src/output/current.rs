//! Tables of which one row is the current one.

use std::io::{self, Write};

use comfy_table::Table;

use super::{Style, Tone};

/// Writes a table whose first column has `*` in the row of the current one, which stands out.
pub(super) fn write_with_current(
    table: &Table,
    out: &mut dyn Write,
    style: Style,
) -> io::Result<()> {
    for line in table.to_string().lines() {
        let line = line.trim_end();
        match line.trim_start().starts_with('*') {
            true => writeln!(out, "{}", style.paint(Tone::Strong, line))?,
            false => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}
