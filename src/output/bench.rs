//! What a benchmark prints.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{Show, Style, Tone};
use crate::bench::{Latency, Report};

/// One or more measurements of one benchmark: a table on a terminal, else a
/// line each. With `--json` every measurement is an object of its own, so this
/// is only ever shown whole where there is no JSON.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Measured(pub Vec<Report>);

/// `64 in flight`, or `5,000 a second asked`.
fn load(report: &Report) -> String {
    match (report.in_flight, report.rate_asked) {
        (Some(in_flight), _) => format!("{in_flight} in flight"),
        (None, Some(rate)) => format!("{rate:.0}/s asked"),
        (None, None) => report.mode.to_string(),
    }
}

fn cells(latency: &Latency) -> [String; 6] {
    let Latency { min: _, mean, p50, p90, p99, p999, max } = *latency;
    [mean, p50, p90, p99, p999, max].map(|ms| format!("{ms:.3}"))
}

impl Show for Measured {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([
            "LOAD", "ANSWERS", "A SECOND", "MEAN MS", "P50", "P90", "P99", "P99.9", "WORST",
        ]);
        for report in &self.0 {
            let mut row =
                vec![load(report), report.messages.to_string(), format!("{:.0}", report.rate)];
            row.extend(cells(&report.latency_ms));
            table.add_row(row);
            if let Some(delivery) = &report.delivery {
                for (what, count, latency) in [
                    ("→ a follower", delivery.deliveries, &delivery.latency_ms),
                    ("→ the last follower", report.messages, &delivery.last_ms),
                ] {
                    let mut row = vec![what.to_string(), count.to_string(), String::new()];
                    row.extend(cells(latency));
                    table.add_row(row);
                }
            }
        }
        for column in 1..9 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        writeln!(out, "{table}")?;
        for report in &self.0 {
            let seconds = report.elapsed_s.max(0.001);
            let text = format!(
                "{}: {} clients, {} accounts, {:.1} s; {:.2} MB/s sent, {:.2} MB/s received; \
                 {} sent again",
                load(report),
                report.clients,
                report.accounts,
                report.elapsed_s,
                report.sent_bytes as f64 / seconds / 1e6,
                report.received_bytes as f64 / seconds / 1e6,
                report.repeated,
            );
            writeln!(out, "{}", style.paint(Tone::Faint, &text))?;
        }
        Ok(())
    }

    /// A line each: `send` or `inbox`, `closed` or `open`, requests in flight or
    /// rate asked for, answers, seconds, answers a second, and in ms mean, p50,
    /// p90, p99, p99.9 and the longest; sent again, bytes sent and received.
    /// With followers two lines more: `delivery` and `last`, deliveries or
    /// messages, and the same times.
    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        for report in &self.0 {
            writeln!(
                out,
                "{}\t{}\t{}\t{}\t{:.3}\t{:.1}\t{}\t{}\t{}\t{}",
                report.work,
                report.mode,
                report.in_flight.map_or(report.rate_asked.unwrap_or(0.0), |n| n as f64),
                report.messages,
                report.elapsed_s,
                report.rate,
                cells(&report.latency_ms).join("\t"),
                report.repeated,
                report.sent_bytes,
                report.received_bytes
            )?;
            if let Some(delivery) = &report.delivery {
                let (all, last) = (cells(&delivery.latency_ms), cells(&delivery.last_ms));
                writeln!(out, "delivery\t{}\t{}", delivery.deliveries, all.join("\t"))?;
                writeln!(out, "last\t{}\t{}", report.messages, last.join("\t"))?;
            }
        }
        Ok(())
    }
}

impl Show for Report {
    fn terminal(&self, out: &mut dyn Write, style: Style) -> io::Result<()> {
        Measured(vec![self.clone()]).terminal(out, style)
    }

    fn plain(&self, out: &mut dyn Write) -> io::Result<()> {
        Measured(vec![self.clone()]).plain(out)
    }
}
