//! Tests of the code base itself: who imports whom, how long files are, that
//! nothing is left half done. Rules that nobody checks are forgotten.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/placement.rs"]
mod placement;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Modules in order: each may import those before it. Some are further restricted
/// by [`NARROW`].
const MODULES: &[&str] = &[
    "limits",
    "error",
    "types",
    "sync",
    "planted",
    "host",
    "tls",
    "protocol",
    "config",
    "chat",
    "storage",
    "peer",
    "consensus",
    "replica",
    "survival",
    "server",
    "client",
    "backup",
    "administration",
    "recovery",
    "cluster",
    "drill",
    "bench",
    "output",
    "cli",
];

/// Modules that must not see everything before them, and what they may see.
const NARROW: &[(&str, &[&str])] = &[
    (
        "client",
        &["limits", "error", "types", "sync", "planted", "host", "tls", "protocol", "config"],
    ),
    ("bench", &["limits", "error", "types", "sync", "host", "protocol", "client", "config"]),
    (
        "output",
        &[
            "limits", "error", "types", "sync", "protocol", "client", "backup", "recovery",
            "cluster", "config", "drill", "bench",
        ],
    ),
];

/// A file that needs more lines than this wants a second module.
const LINES_MAX: usize = 500;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of this project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("source files are UTF-8")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The module of a file below `src`; `None` for the roots.
fn module(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(root().join("src")).expect("below src");
    let first = inside.components().next()?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "lib" | "main")).then(|| name.to_string())
}

/// Modules that a file names as `crate::module`, apart from comments.
fn imports(text: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            if line[..at].ends_with('$') {
                continue;
            }
            let rest = &line[at + "crate::".len()..];
            let name: String =
                rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            modules.push(name);
        }
    }
    modules.retain(|name| MODULES.contains(&name.as_str()));
    modules
}

#[test]
fn imports_point_one_way() {
    let order: BTreeMap<&str, usize> =
        MODULES.iter().enumerate().map(|(n, module)| (*module, n)).collect();
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let Some(module) = module(&path) else { continue };
        let own =
            *order.get(module.as_str()).unwrap_or_else(|| panic!("{module} is no known module"));
        for import in imports(&read(&path)) {
            let upward = order[import.as_str()] <= own;
            let narrow = NARROW
                .iter()
                .find(|(narrow, _)| *narrow == module)
                .is_none_or(|(_, may)| import == module || may.contains(&import.as_str()));
            if !upward || !narrow {
                wrong.push(format!("{}: {module} must not import {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_consensus_names_the_engine() {
    for path in sources(&root().join("src")) {
        if module(&path).as_deref() == Some("consensus") {
            continue;
        }
        let text = read(&path);
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            assert!(!line.contains("openraft"), "{}: {line}", path.display());
        }
    }
}

#[test]
fn the_state_is_read_through_a_bounded_look_only() {
    let mut locked = Vec::new();
    for path in sources(&root().join("src")) {
        let text = read(&path);
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        locked.extend(code.filter(|line| line.contains("shown.read()")).map(str::to_string));
    }
    // The one in `Machine::look`. Whoever needs the state asks there, in steps.
    assert_eq!(locked.len(), 1, "{}", locked.join("\n"));
}

#[test]
fn what_becomes_of_a_poisoned_lock_is_decided_in_one_place() {
    for path in sources(&root().join("src")) {
        if module(&path).as_deref() == Some("sync") {
            continue;
        }
        let text = read(&path);
        for line in text.lines().filter(|line| line.contains("std::sync")) {
            let names = line.split(|c: char| !c.is_alphanumeric());
            let locks = names.into_iter().any(|name| matches!(name, "Mutex" | "RwLock"));
            assert!(!locks, "{}: use crate::sync: {line}", path.display());
        }
    }
}

#[test]
fn nothing_in_the_program_plants_a_bug() {
    for path in sources(&root().join("src")) {
        // The one test that hunts bugs of a part which no server of the simulation uses.
        let is_hunt = path == root().join("src/storage/outbox/tests/planted.rs");
        if module(&path).as_deref() == Some("planted") || is_hunt {
            continue;
        }
        let text = read(&path);
        for mark in ["plant(", "planted::plant", "planted::{plant", "Planted"] {
            assert!(!text.contains(mark), "{} contains {mark}", path.display());
        }
    }
}

#[test]
fn files_are_short_enough_to_read() {
    for folder in ["src", "tests", "benches"] {
        for path in sources(&root().join(folder)) {
            let lines = read(&path).lines().count();
            assert!(
                lines <= LINES_MAX,
                "{} has {lines} lines; at most {LINES_MAX}",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_is_left_half_done() {
    // Written in two parts, so that this file does not find itself.
    let marks = [
        concat!("to", "do!("),
        concat!("un", "implemented!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("XX", "X"),
        concat!("db", "g!("),
    ];
    for folder in ["src", "tests", "benches"] {
        for path in sources(&root().join(folder)) {
            let text = read(&path);
            for mark in marks {
                assert!(!text.contains(mark), "{} contains {mark}", path.display());
            }
        }
    }
}

/// The program's text without comments, tests, and the examples of its help.
fn printed(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut text = code.collect::<Vec<_>>().join("\n");
    for help in ["after_help = \"", "long_about = \""] {
        while let Some(start) = text.find(help) {
            let body = start + help.len();
            let mut escaped = false;
            let end = text[body..].find(|c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            text.replace_range(start..body + end.expect("a literal ends"), "");
        }
    }
    // Literals that go on in the next line.
    let lines: Vec<&str> = text.split("\\\n").collect();
    lines.iter().map(|line| line.trim_start()).collect()
}

#[test]
fn command_lines_for_users_are_made_in_one_place() {
    let command = <ftchat::cli::Cli as clap::CommandFactory>::command();
    let verbs: Vec<&str> = command.get_subcommands().map(|verb| verb.get_name()).collect();
    let mut wrong = Vec::new();
    for path in sources(&root().join("src")) {
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        let tests = ["/tests", "tests.rs", "fuzz.rs", "fake.rs", "config/command_line.rs"];
        if tests.iter().any(|part| name.contains(part)) {
            continue;
        }
        let text = printed(&read(&path));
        for (at, _) in text.match_indices("ftchat ") {
            let rest = &text[at + "ftchat ".len()..];
            let word = rest.split(|c: char| c != '-' && !c.is_ascii_lowercase()).next();
            let word = word.unwrap_or_default();
            // That a verb has help is true wherever it is said.
            if verbs.contains(&word) && !rest[word.len()..].starts_with(" --help") {
                let line = rest.lines().next().unwrap_or_default();
                wrong.push(format!("{name}: ftchat {line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "use config::CommandLines:\n{}", wrong.join("\n"));
}

#[test]
fn changed_dependencies_are_in_use() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("a text file");
    assert!(
        !lock.contains("[[patch.unused]]"),
        "a crate in crates/ replaces nothing any more: remove it"
    );
}

/// Every crate below the root, and this package itself.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of this project") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(manifests(&path));
        } else if name == "Cargo.toml" {
            found.push(path);
        }
    }
    found
}

#[test]
fn all_code_in_the_tree_is_our_own() {
    let (ours, mut crates) = (read(&root().join("LICENSE")), 0);
    for path in manifests(&root()) {
        crates += 1;
        let text = read(&path);
        let of_others = ["repository =", "authors =", "homepage ="];
        let named = of_others.iter().find(|field| text.contains(**field));
        assert!(named.is_none(), "{} names where it came from", path.display());
        assert!(text.contains("license = \"MIT\""), "{} has another license", path.display());
        assert!(text.contains("publish = false"), "{} may be published", path.display());
        let folder = path.parent().expect("a folder");
        for name in ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT", "COPYING", "NOTICE"] {
            let license = folder.join(name);
            let foreign = license.exists() && read(&license) != ours;
            assert!(!foreign, "{} is not the license of this project", license.display());
        }
    }
    assert_eq!(crates, 3, "a crate that is new: is it ours, and why is it not a dependency?");
    for folder in ["vendor", "third_party", "third-party", "external", ".gitmodules"] {
        assert!(!root().join(folder).exists(), "{folder} is for code of others");
    }
}

#[test]
fn files_that_comments_name_are_there() {
    let all: Vec<PathBuf> = ["src", "tests", "benches"]
        .iter()
        .flat_map(|folder| sources(&root().join(folder)))
        .collect();
    for path in &all {
        let text = read(path);
        for word in text.split('`').filter(|word| word.ends_with(".rs")) {
            let is_name = word.len() > 3
                && word.bytes().all(|b| b.is_ascii_lowercase() || b"_/.".contains(&b));
            let found = all.iter().any(|file| file.ends_with(word));
            assert!(!is_name || found, "{} speaks of {word}, which is not there", path.display());
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for module in MODULES {
        let folder = root().join("src").join(module).join("mod.rs");
        let file = root().join("src").join(format!("{module}.rs"));
        let path = if folder.exists() { folder } else { file };
        assert!(read(&path).starts_with("//! "), "{} has no head", path.display());
    }
}

#[test]
fn every_source_file_is_part_of_the_program() {
    for path in sources(&root().join("src")) {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        if matches!(stem, "lib" | "main") {
            continue;
        }
        let (parent, name) = if stem == "mod" {
            let folder = path.parent().expect("a folder");
            let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
            (folder.parent().expect("a folder"), name)
        } else {
            (path.parent().expect("a folder"), stem)
        };
        let declared = ["mod.rs", "lib.rs"]
            .iter()
            .map(|file| parent.join(file))
            .chain([parent.with_extension("rs")]);
        let by_name = declared.filter(|file| file.exists()).any(|file| {
            read(&file).lines().any(|line| line.trim_end().ends_with(&format!("mod {name};")))
        });
        assert!(by_name, "{} is declared nowhere", path.display());
    }
}
