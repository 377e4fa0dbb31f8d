//! Runs the README's session as a newcomer would type it, and compares what
//! comes back, apart from ids, times, process ids, ports and uptimes.

use std::path::Path;
use std::process::{Command, Output};

/// One command of the session and what the README says comes back.
struct Step {
    command: String,
    expected: String,
}

fn session() -> Vec<Step> {
    let readme = include_str!("../README.md");
    let block = readme.split("```console\n").nth(1).expect("a session");
    let block = block.split("```").next().expect("its end");
    let mut steps: Vec<Step> = Vec::new();
    for line in block.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => {
                steps.push(Step { command: command.to_string(), expected: String::new() });
            }
            None => {
                let step = steps.last_mut().expect("output follows a command");
                step.expected.push_str(line);
                step.expected.push('\n');
            }
        }
    }
    steps
}

/// The program on the path, a home of its own, ports of its own.
fn shell(folder: &Path, port: u16, command: &str) -> Output {
    let path = std::env::var("PATH").expect("a path");
    Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env("HOME", folder)
        .env("FTCHAT_CLUSTER_BASE_PORT", port.to_string())
        .env(
            "FTCHAT_SERVERS",
            (port..port + 3).map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(","),
        )
        .output()
        .expect("a shell")
}

/// Three consecutive ports that are free now.
fn free_ports() -> u16 {
    loop {
        let first = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = first.local_addr().expect("bound").port();
        let bind = |offset: u16| {
            port.checked_add(offset)
                .and_then(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok())
        };
        if bind(1).is_some() && bind(2).is_some() {
            return port;
        }
    }
}

/// What differs between two runs, taken out.
fn normal(text: &str, port: u16) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let fields: Vec<String> = line.split('\t').map(|field| normal_field(field, port)).collect();
        let mut line = fields.join("\t");
        if line.contains("127.0.0.1:<port") {
            // Which replica leads, its term, log index and uptime depend on the run.
            line = fields[..2].join("\t");
        }
        if line.starts_with("stored\t") {
            // Of how much depends on the machine.
            line = "stored".to_string();
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn normal_field(field: &str, port: u16) -> String {
    let mut out = String::new();
    let mut rest = field;
    while !rest.is_empty() {
        let uuid = rest.get(..36).filter(|text| {
            text.char_indices().all(|(at, c)| match at {
                8 | 13 | 18 | 23 => c == '-',
                _ => c.is_ascii_hexdigit(),
            })
        });
        let time = rest.get(..24).filter(|text| {
            text.ends_with('Z') && text.as_bytes()[10] == b'T' && text.starts_with("20")
        });
        let (text, step) = match (uuid, time) {
            (Some(_), _) => ("<id>".to_string(), 36),
            (None, Some(_)) => ("<time>".to_string(), 24),
            (None, None) => {
                let c = rest.chars().next().expect("not empty");
                (c.to_string(), c.len_utf8())
            }
        };
        out.push_str(&text);
        rest = &rest[step..];
    }
    for offset in 0..3 {
        for base in [port, 8091] {
            out = out.replace(
                &format!("127.0.0.1:{}", base + offset),
                &format!("127.0.0.1:<port{offset}>"),
            );
        }
    }
    let is_pid = out.len() >= 2 && out.bytes().all(|byte| byte.is_ascii_digit());
    if is_pid { "<pid>".to_string() } else { out }
}

#[test]
fn the_session_in_the_readme_is_what_happens() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).expect("made");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ftchat"), bin.join("ftchat")).expect("linked");
    let port = free_ports();
    /// Ends the cluster also when an assertion fails.
    struct Down<'a>(&'a Path, u16);
    impl Drop for Down<'_> {
        fn drop(&mut self) {
            shell(self.0, self.1, "ftchat cluster down --purge");
        }
    }
    let _down = Down(folder.path(), port);
    let steps = session();
    assert!(steps.len() > 12, "the session has lost its steps");
    for Step { command, expected } in steps {
        let output = shell(folder.path(), port, &command);
        let mut seen = String::from_utf8(output.stdout).expect("UTF-8");
        if !output.status.success() {
            seen.push_str(&String::from_utf8(output.stderr).expect("UTF-8"));
            seen.push_str(&format!("[exit {}]\n", output.status.code().expect("an exit code")));
        }
        assert_eq!(normal(&seen, port), normal(&expected, port), "$ {command}\n{seen}");
    }
}
