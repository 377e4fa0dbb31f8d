//! Where the program's dependencies come from and under which licences, by the
//! rules of `deny.toml`. `cargo deny check` looks closer, at advisories too; this
//! needs nothing but cargo.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn rules() -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    std::fs::read_to_string(path).expect("the rules").parse().expect("TOML")
}

fn texts(value: &toml::Value) -> BTreeSet<String> {
    let list = value.as_array().expect("a list");
    list.iter().map(|item| item.as_str().expect("a text").to_string()).collect()
}

/// Every package that `Cargo.lock` names, as cargo describes it. It fetches what
/// was never built here, such as packages for other systems.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

/// Whether an expression of licences (SPDX: `OR`, `AND`, `WITH`, parentheses; in
/// old packages `/` for `OR`) can be met with the allowed ones.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = any(&words, allowed);
    assert!(rest.is_empty(), "{expression:?} is no expression of licences");
    met
}

fn any<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = all(words, allowed);
    while let ["OR", after @ ..] = rest {
        let (other, after) = all(after, allowed);
        (met, rest) = (met | other, after);
    }
    (met, rest)
}

fn all<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = one(words, allowed);
    while let ["AND", after @ ..] = rest {
        let (other, after) = one(after, allowed);
        (met, rest) = (met & other, after);
    }
    (met, rest)
}

fn one<'a>(words: &'a [&'a str], allowed: &BTreeSet<String>) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => {
            let (met, rest) = any(inner, allowed);
            assert_eq!(rest.first(), Some(&")"), "{words:?}");
            (met, &rest[1..])
        }
        [licence, "WITH", exception, rest @ ..] => {
            (allowed.contains(&format!("{licence} WITH {exception}")), rest)
        }
        [licence, rest @ ..] => (allowed.contains(*licence), rest),
        [] => (false, &[]),
    }
}

#[test]
fn expressions_of_licences_are_read_as_they_are_meant() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception"].map(str::to_string).into();
    for good in ["MIT", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "MIT AND (GPL-3.0 OR MIT)"] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-3.0", &allowed));
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", "(GPL-3.0 OR X) AND MIT"] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence_and_source_and_none_is_banned() {
    let rules = rules();
    let allowed = texts(&rules["licenses"]["allow"]);
    let registries: BTreeSet<String> = texts(&rules["sources"]["allow-registry"])
        .iter()
        .map(|registry| format!("registry+{registry}"))
        .collect();
    let banned = rules["bans"]["deny"].as_array().expect("a list");
    let banned: BTreeSet<&str> =
        banned.iter().map(|ban| ban["crate"].as_str().expect("a name")).collect();
    let (packages, mut wrong) = (packages(), Vec::new());
    assert!(packages.len() > 50, "{} packages are not all", packages.len());
    for package in &packages {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or("none");
        if !is_allowed(licence, &allowed) {
            wrong.push(format!("{name} has the licence {licence}"));
        }
        match package["source"].as_str() {
            Some(source) if registries.contains(source) => {}
            Some(source) => wrong.push(format!("{name} comes from {source}")),
            // Of this repository.
            None => {
                let manifest = package["manifest_path"].as_str().expect("a path");
                if !manifest.starts_with(env!("CARGO_MANIFEST_DIR")) {
                    wrong.push(format!("{name} lies outside, at {manifest}"));
                }
            }
        }
        if banned.contains(name) {
            wrong.push(format!("{name} is banned"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_code_of_this_program_is_unsafe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let library = std::fs::read_to_string(root.join("lib.rs")).expect("the library");
    assert!(library.contains("\n#![forbid(unsafe_code)]\n"));
    // The other crate of this package has nothing but a call of the library.
    let program = std::fs::read_to_string(root.join("main.rs")).expect("the program");
    assert!(!program.contains("unsafe"));
}
