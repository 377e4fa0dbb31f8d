//! Where tests are, so that everybody finds them: short ones at the end of the file that
//! they test, long ones in `tests.rs` beside it, several files in a folder `tests`.

use std::path::Path;

use super::{read, root, sources};

/// Tests with more lines than this have a file of their own.
const INLINE_MAX: usize = 200;

/// Modules that only tests have and that are no tests: what several of them share, and
/// what fuzzes the parsers of a module.
const HELPERS: &[&str] = &["fake", "fuzz", "fuzzing", "testing"];

/// What is wrong with the tests of a file.
fn wrong(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if name.ends_with("_tests.rs") {
        found.push("tests are in tests.rs, or in a folder tests".to_string());
    }
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        if line.starts_with("#[path") {
            found.push("a module is where its name says, not where a path does".to_string());
        }
        let Some((before, rest)) = line.split_once("mod ") else { continue };
        let of_tests = at > 0 && lines[at - 1] == "#[cfg(test)]";
        if !of_tests || !(before.is_empty() || before.starts_with("pub")) {
            continue;
        }
        let module = rest.trim_end_matches([';', '{', ' ']);
        if module != "tests" && !HELPERS.contains(&module) {
            found.push(format!("tests are in a module tests, not in {module}"));
        }
        if rest.ends_with('{') {
            let length = lines[at..].iter().position(|line| *line == "}").unwrap_or_default() + 1;
            if length > INLINE_MAX {
                found.push(format!("{length} lines of tests belong into tests.rs beside it"));
            }
            if lines[at + length..].iter().any(|line| !line.is_empty()) {
                found.push("something follows the tests".to_string());
            }
        }
    }
    found
}

/// Whether a folder has both a file and a folder of tests.
fn has_two_places(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tests.rs") && path.with_extension("").exists()
}

#[test]
fn tests_are_where_everybody_looks_for_them() {
    let mut all = Vec::new();
    for path in ["src", "tests/sim"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let name = path.strip_prefix(root()).expect("below the root").display().to_string();
        let mut found = wrong(&name, &read(&path));
        if has_two_places(&path) {
            found.push("there is a folder tests as well: move it there, as mod.rs".to_string());
        }
        all.extend(found.into_iter().map(|what| format!("{name}: {what}")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn tests_in_another_place_are_found() {
    let short = "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn one() {}\n}\n";
    assert_eq!(wrong("src/a.rs", short), Vec::<String>::new());
    let elsewhere =
        "#[cfg(test)]\npub(crate) mod tests;\n#[cfg(test)]\nmod fuzz;\nmod other {\n}\n";
    assert_eq!(wrong("src/a.rs", elsewhere), Vec::<String>::new());
    let long = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn f() {}\n".repeat(INLINE_MAX));
    for (name, text) in [
        ("src/a_tests.rs", short),
        ("src/a.rs", &long),
        ("src/a.rs", &short.replace("mod tests", "mod checks")),
        ("src/a.rs", "#[cfg(test)]\nmod power_tests;\n"),
        ("src/a.rs", &format!("{short}\nfn g() {{}}\n")),
        ("src/a.rs", "#[cfg(test)]\n#[path = \"tests/a.rs\"]\nmod tests;\n"),
    ] {
        assert_eq!(wrong(name, text).len(), 1, "{name}: {text}");
    }
}
