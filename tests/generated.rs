//! The files in `completions/` and `man/` are those that the program makes.

use std::collections::BTreeMap;
use std::path::Path;

use ftchat::cli::{completions, man};

fn assert_fresh(folder: &str, files: Vec<(String, String)>, command: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let refresh = format!("{folder}/ is stale; refresh it with: {command}");
    let expected: BTreeMap<String, String> = files.into_iter().collect();
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{refresh} ({error})")) {
        let entry = entry.expect("a readable folder");
        let text = std::fs::read_to_string(entry.path()).expect("a text file");
        found.insert(entry.file_name().into_string().expect("a name"), text);
    }
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "{refresh}");
    for (name, text) in &expected {
        assert!(found.get(name) == Some(text), "{name} differs: {refresh}");
    }
}

#[test]
fn completions_are_fresh() {
    let command = "rm -r completions && cargo run -- completions --dir completions";
    assert_fresh("completions", completions::files(), command);
}

#[test]
fn manual_pages_are_fresh() {
    assert_fresh("man", man::pages(), "rm -r man && cargo run -- man --dir man");
}
