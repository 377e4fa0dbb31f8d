//! What a drill prints: a line a fault, and the table at the end.

use std::io::{self, Write};
use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{Show, Style, Tone, sanitize};
use crate::drill::{Counts, Report, Step, Unconfirmed};

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

/// The columns at the end of a line that only a drill with hosts has.
fn columns(alone: Option<Unconfirmed>) -> String {
    alone.map_or(String::new(), |Unconfirmed { unconfirmed, confirmed, late }| {
        format!("\t{unconfirmed}\t{confirmed}\t{late}")
    })
}

fn servers(step: &Step) -> String {
    step.servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Show for Step {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let alone = self.alone.map_or(String::new(), |it| match it.unconfirmed {
            0 => String::new(),
            n => format!("{n} of them alone "),
        });
        writeln!(
            out,
            "{} {:<30} {:>8.1} ms pause {:>7} acknowledged {alone}{}",
            style.paint(Tone::Faint, &format!("{:>3}", self.round)),
            self.fault.text(),
            self.pause_ms,
            self.acknowledged,
            style.paint(Tone::Faint, &format!("servers {}", servers(self)))
        )
    }

    /// `fault`, round, name, servers, pause in ms, acknowledged; with hosts also unconfirmed,
    /// confirmed, late, and until all was settled in ms.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let settled = self.settled_ms.map_or(String::new(), |ms| format!("\t{ms:.1}"));
        writeln!(
            out,
            "fault\t{}\t{}\t{}\t{:.1}\t{}{}{settled}",
            self.round,
            self.fault.name(),
            servers(self).replace(' ', ""),
            self.pause_ms,
            self.acknowledged,
            columns(self.alone)
        )
    }
}

impl Show for Report {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let table = match self.total.alone {
            None => self.table(),
            Some(_) => self.table_with_hosts(),
        };
        writeln!(out, "\n{table}")?;
        for failure in &self.failures {
            writeln!(out, "- {}", sanitize(failure))?;
        }
        let n = self.total.acknowledged;
        if self.ok {
            let alone = match self.total.alone {
                None => String::new(),
                Some(alone) => format!(", {} of which a server took alone,", alone.unconfirmed),
            };
            let text = format!(
                "All {n} acknowledged messages{alone} are in the right inboxes, once and in order, \
                 on every server."
            );
            return writeln!(out, "{}", style.paint(Tone::Good, &text));
        }
        writeln!(out, "{}", style.paint(Tone::Bad, "The drill has failed."))?;
        if let Some(dir) = &self.dir {
            let dir = dir.display().to_string();
            let hosts = if self.total.alone.is_some() { "--hosts " } else { "" };
            writeln!(
                out,
                "Its cluster's data and logs are left in {}; {hosts}--seed {} repeats it.",
                sanitize(&dir),
                self.seed
            )?;
        }
        Ok(())
    }

    /// A line a fault: `table`, name, times, median and worst pause in ms,
    /// acknowledged, lost, doubled, out of order, failed, and with hosts unconfirmed,
    /// confirmed, late; then the same as `total`, and `ok` or `failed` with the folder.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        let cells = |counts: &Counts| {
            let Counts { acknowledged, lost, doubled, out_of_order, failed, alone } = *counts;
            let alone = columns(alone);
            format!("{acknowledged}\t{lost}\t{doubled}\t{out_of_order}\t{failed}{alone}")
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

impl Report {
    fn table(&self) -> Table {
        let header = [
            "FAULT",
            "TIMES",
            "PAUSE MS\nMEDIAN",
            "\nWORST",
            "MESSAGES",
            "LOST",
            "DOUBLED",
            "OUT OF\nORDER",
            "FAILED",
        ];
        let cells = |counts: &Counts| {
            let Counts { acknowledged, lost, doubled, out_of_order, failed, alone: _ } = *counts;
            [acknowledged, lost, doubled, out_of_order, failed].map(|n| n.to_string()).to_vec()
        };
        let mut rows = Vec::new();
        for row in &self.faults {
            let times = row.times.to_string();
            let pauses = [row.pause_median_ms, row.pause_worst_ms].map(|ms| format!("{ms:.1}"));
            let first = vec![row.fault.text().to_string(), times];
            rows.push([first, pauses.to_vec(), cells(&row.counts)].concat());
        }
        let empty = vec![String::new(); 3];
        rows.push([vec!["all".to_string()], empty, cells(&self.total)].concat());
        aligned(&header, rows)
    }

    /// Without the medians: it has to fit a terminal.
    fn table_with_hosts(&self) -> Table {
        let header = [
            "FAULT",
            "N",
            "WORST\nPAUSE\nMS",
            "MESSAGES",
            "UNCON-\nFIRMED",
            "CON-\nFIRMED",
            "LATE",
            "LOST",
            "DOUB-\nLED",
            "OUT OF\nORDER",
            "FAI-\nLED",
        ];
        let cells = |counts: &Counts| {
            let Counts { acknowledged, lost, doubled, out_of_order, failed, alone } = *counts;
            let Unconfirmed { unconfirmed, confirmed, late } = alone.unwrap_or_default();
            let cells =
                [acknowledged, unconfirmed, confirmed, late, lost, doubled, out_of_order, failed];
            cells.map(|n| n.to_string()).to_vec()
        };
        let mut rows = Vec::new();
        for row in &self.faults {
            let first = [row.fault.text().to_string(), row.times.to_string()];
            let pause = vec![format!("{:.0}", row.pause_worst_ms)];
            rows.push([first.to_vec(), pause, cells(&row.counts)].concat());
        }
        let empty = vec![String::new(); 2];
        rows.push([vec!["all".to_string()], empty, cells(&self.total)].concat());
        aligned(&header, rows)
    }
}

/// A table as wide as a terminal of 80 columns at most, its numbers to the right.
fn aligned(header: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(number > 0), 0));
        if number > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::{Fault, Row};

    fn report(faults: &[Fault], alone: Option<Unconfirmed>) -> Report {
        let counts = Counts { acknowledged: 12_345_678, alone, ..Counts::default() };
        let row = |fault: &Fault| Row {
            fault: *fault,
            times: 1_000,
            pause_median_ms: 2_500.1,
            pause_worst_ms: 3_000.1,
            settled_worst_ms: alone.map(|_| 2_000.0),
            counts,
        };
        Report {
            ok: true,
            seed: 1,
            rounds: 1_000,
            faults: faults.iter().map(row).collect(),
            total: counts,
            failures: Vec::new(),
            dir: None,
        }
    }

    #[test]
    fn the_table_fits_a_terminal_of_eighty_columns() {
        let alone = Unconfirmed { unconfirmed: 999_999, confirmed: 999_999, late: 9_999 };
        for (faults, alone, header) in [(&Fault::ALL[..], None, 2), (&Fault::HOSTS, Some(alone), 3)]
        {
            let mut shown = Vec::new();
            let report = report(faults, alone);
            report.terminal(&mut shown, Style::default()).expect("a vector takes all");
            let shown = String::from_utf8(shown).expect("text");
            let table = shown.lines().take_while(|line| !line.starts_with("All "));
            assert_eq!(table.clone().count(), 1 + header + faults.len() + 1, "{shown}");
            for line in table {
                assert!(line.chars().count() <= 80, "{} wide: {line}", line.chars().count());
            }
        }
    }

    #[test]
    fn in_a_pipe_the_columns_of_a_drill_with_hosts_stand_behind_the_others() {
        let alone = Unconfirmed { unconfirmed: 7, confirmed: 6, late: 5 };
        let shown = |alone| {
            let mut shown = Vec::new();
            report(&[Fault::FreezeTwo], alone).plain(&mut shown).expect("a vector takes all");
            String::from_utf8(shown).expect("text")
        };
        let (without, with) = (shown(None), shown(Some(alone)));
        for (without, with) in without.lines().zip(with.lines()).take(2) {
            assert_eq!(format!("{without}\t7\t6\t5"), with);
        }
    }
}
