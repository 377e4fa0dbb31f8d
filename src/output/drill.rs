//! What a drill prints: a line a fault, and the table at the end.

use std::io::{self, Write};
use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{Show, Style, Tone, sanitize};
use crate::drill::{Counts, Report, Step};

/// The beginning of a drill.
#[derive(Debug, Serialize)]
pub struct Announced {
    /// What repeats it.
    pub seed: u64,
    /// How many rounds.
    pub rounds: u32,
    /// Where its cluster is meanwhile.
    pub dir: PathBuf,
}

impl Show for Announced {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let text = format!(
            "Drill of {} round(s), seed {}, in {}",
            self.rounds,
            self.seed,
            sanitize(&self.dir.display().to_string())
        );
        writeln!(out, "{}", style.paint(Tone::Faint, &text))
    }

    /// `drill`, seed, rounds, folder.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let dir = self.dir.display().to_string();
        writeln!(out, "drill\t{}\t{}\t{}", self.seed, self.rounds, sanitize(&dir))
    }
}

fn servers(step: &Step) -> String {
    step.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Show for Step {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        writeln!(
            out,
            "{} {:<30} {:>8.1} ms pause {:>7} acknowledged {}",
            style.paint(Tone::Faint, &format!("{:>3}", self.round)),
            self.fault.text(),
            self.pause_ms,
            self.acknowledged,
            style.paint(Tone::Faint, &format!("servers {}", servers(self)))
        )
    }

    /// `fault`, round, name, servers, pause in ms, acknowledged.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "fault\t{}\t{}\t{}\t{:.1}\t{}",
            self.round,
            self.fault.name(),
            servers(self).replace(' ', ""),
            self.pause_ms,
            self.acknowledged
        )
    }
}

impl Show for Report {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // As wide as a terminal of 80 columns at most.
        table.set_header([
            "FAULT",
            "TIMES",
            "PAUSE MS\nMEDIAN",
            "\nWORST",
            "MESSAGES",
            "LOST",
            "DOUBLED",
            "OUT OF\nORDER",
            "FAILED",
        ]);
        let cells = |counts: &Counts| {
            let Counts { acknowledged, lost, doubled, out_of_order, failed } = counts;
            [acknowledged, lost, doubled, out_of_order, failed].map(ToString::to_string)
        };
        for row in &self.faults {
            let mut line = vec![
                row.fault.text().to_string(),
                row.times.to_string(),
                format!("{:.1}", row.pause_median_ms),
                format!("{:.1}", row.pause_worst_ms),
            ];
            line.extend(cells(&row.counts));
            table.add_row(line);
        }
        let mut line = vec!["all".to_string(), String::new(), String::new(), String::new()];
        line.extend(cells(&self.total));
        table.add_row(line);
        for (number, column) in table.column_iter_mut().enumerate() {
            column.set_padding((u16::from(number > 0), 0));
            if number > 0 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(out, "\n{table}")?;
        for failure in &self.failures {
            writeln!(out, "- {}", sanitize(failure))?;
        }
        let n = self.total.acknowledged;
        if self.ok {
            let text = format!(
                "All {n} acknowledged messages are in the right inboxes, once and in order, on \
                 every server."
            );
            return writeln!(out, "{}", style.paint(Tone::Good, &text));
        }
        writeln!(out, "{}", style.paint(Tone::Bad, "The drill has failed."))?;
        if let Some(dir) = &self.dir {
            let dir = dir.display().to_string();
            writeln!(
                out,
                "Its cluster's data and logs are left in {}; --seed {} repeats it.",
                sanitize(&dir),
                self.seed
            )?;
        }
        Ok(())
    }

    /// A line a fault: `table`, name, times, median and worst pause in ms,
    /// acknowledged, lost, doubled, out of order, failed; then the same as
    /// `total`, and `ok` or `failed` with the folder.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let cells = |counts: &Counts| {
            let Counts { acknowledged, lost, doubled, out_of_order, failed } = counts;
            format!("{acknowledged}\t{lost}\t{doubled}\t{out_of_order}\t{failed}")
        };
        for row in &self.faults {
            writeln!(
                out,
                "table\t{}\t{}\t{:.1}\t{:.1}\t{}",
                row.fault.name(),
                row.times,
                row.pause_median_ms,
                row.pause_worst_ms,
                cells(&row.counts)
            )?;
        }
        writeln!(out, "total\t\t\t\t\t{}", cells(&self.total))?;
        for failure in &self.failures {
            writeln!(out, "failure\t{}", sanitize(failure))?;
        }
        match &self.dir {
            None => writeln!(out, "ok\tseed {}", self.seed),
            Some(dir) => {
                let dir = dir.display().to_string();
                writeln!(out, "failed\tseed {}\t{}", self.seed, sanitize(&dir))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::{Fault, Row};

    #[test]
    fn the_table_fits_a_terminal_of_eighty_columns() {
        let counts = Counts { acknowledged: 12_345_678, ..Counts::default() };
        let row = |fault| Row {
            fault,
            times: 1_000,
            pause_median_ms: 2_500.1,
            pause_worst_ms: 3_000.1,
            counts,
        };
        let report = Report {
            ok: true,
            seed: 1,
            rounds: 1_000,
            faults: Fault::ALL.into_iter().map(row).collect(),
            total: counts,
            failures: Vec::new(),
            dir: None,
        };
        let mut shown = Vec::new();
        report.terminal(&mut shown, Style::default()).expect("a vector takes all");
        let shown = String::from_utf8(shown).expect("text");
        let table = shown.lines().take_while(|line| !line.starts_with("All "));
        assert_eq!(table.clone().count(), 1 + 2 + Fault::ALL.len() + 1, "{shown}");
        for line in table {
            assert!(line.chars().count() <= 80, "{} wide: {line}", line.chars().count());
        }
    }
}
