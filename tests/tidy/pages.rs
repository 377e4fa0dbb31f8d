//! The pages for contributors name files and items that are there.
//!
//! A link to code is [`Item::name`](path) or [`src/lib.rs`](src/lib.rs), the text in
//! backticks. Of an item the last part must be defined in the linked file, and the
//! parts before it must be named there; a path must be the path of the link. What is
//! said about an item no test can know.

use super::{read, root};

/// Each page, its folder below the root, and how many links to code it has at least.
const PAGES: [(&str, &str, usize); 2] =
    [("CONTRIBUTING.md", "", 40), ("docs/ARCHITECTURE.md", "docs", 80)];

/// A link of a page: what is shown, and where it leads.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    text: String,
    target: String,
}

impl Link {
    /// What stands between the backticks of a link to code.
    fn code(&self) -> Option<&str> {
        self.text.strip_prefix('`')?.strip_suffix('`')
    }
}

/// The links of a page, apart from those in blocks of code.
fn links(page: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for prose in page.split("\n```").step_by(2) {
        let mut rest = prose;
        while let Some(middle) = rest.find("](") {
            let text = rest[..middle].rsplit('[').next().unwrap_or_default();
            let after = &rest[middle + 2..];
            let Some(end) = after.find(')') else { break };
            found.push(Link { text: text.to_string(), target: after[..end].to_string() });
            rest = &after[end..];
        }
    }
    found
}

/// A path from the root of `target` as it is linked from a folder.
fn resolve(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a name stands in a text, and not as a part of a longer one.
fn names(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        !text[..at].ends_with(is_word) && !text[at + name.len()..].starts_with(is_word)
    })
}

/// Whether a line begins the definition of an item, a field or a variant.
fn defines(line: &str, name: &str) -> bool {
    const KINDS: [&str; 9] = [
        "fn ",
        "struct ",
        "enum ",
        "trait ",
        "const ",
        "static ",
        "type ",
        "mod ",
        "macro_rules! ",
    ];
    let ends = |rest: &str| !rest.starts_with(is_word);
    let item = KINDS.iter().any(|kind| {
        line.match_indices(kind).any(|(at, _)| {
            let whole = !line[..at].ends_with(is_word);
            let rest = line[at + kind.len()..].strip_prefix(name);
            whole && rest.is_some_and(ends)
        })
    });
    let begins = ["pub(super) ", "pub(crate) ", "pub ", ""];
    let begins = begins.iter().find_map(|begin| line.strip_prefix(begin)).unwrap_or(line);
    item || begins.strip_prefix(name).is_some_and(|rest| {
        let field = rest.starts_with(':') && !rest.starts_with("::");
        let variant = name.starts_with(char::is_uppercase)
            && (rest.is_empty() || [",", "(", " {", " ="].iter().any(|end| rest.starts_with(end)));
        field || variant
    })
}

/// What is wrong with a link to code; `content` is that of its file.
fn wrong(shown: &str, path: &str, content: &str) -> Option<String> {
    if shown.contains('/') || shown.contains('.') {
        return (shown != path).then(|| format!("`{shown}` leads to {path}"));
    }
    let code: Vec<&str> =
        content.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
    let parts: Vec<&str> = shown.split("::").collect();
    let (last, before) = parts.split_last()?;
    if !code.iter().any(|line| defines(line, last)) {
        return Some(format!("`{shown}` is not defined in {path}"));
    }
    let unnamed = before.iter().find(|part| !code.iter().any(|line| names(line, part)));
    unnamed.map(|part| format!("`{shown}`: {path} says nothing of {part}"))
}

/// The name of a heading in links, as it is made by those who show Markdown.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| is_word(*c) || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_of_the_pages_leads_to_what_it_names() {
    let mut told = Vec::new();
    for (page, folder, at_least) in PAGES {
        let text = read(&root().join(page));
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let anchors: Vec<String> =
            headings.map(|line| anchor(line.trim_start_matches('#'))).collect();
        let mut count = 0;
        for link in links(&text) {
            let target = link.target.as_str();
            if target.starts_with("https://") {
                continue;
            }
            if let Some(wanted) = target.strip_prefix('#') {
                if !anchors.iter().any(|anchor| anchor == wanted) {
                    told.push(format!("{page}: no heading is {target}"));
                }
                continue;
            }
            let path = resolve(folder, target);
            if !root().join(&path).exists() {
                told.push(format!("{page}: {path} is not there"));
            } else if let Some(shown) = link.code() {
                count += 1;
                let file = root().join(&path);
                let content = if file.is_file() { read(&file) } else { String::new() };
                told.extend(wrong(shown, &path, &content).map(|why| format!("{page}: {why}")));
            }
        }
        if count < at_least {
            told.push(format!("{page} has only {count} links to code"));
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn the_readme_leads_to_the_pages() {
    let targets: Vec<String> =
        links(&read(&root().join("README.md"))).into_iter().map(|link| link.target).collect();
    for (page, ..) in PAGES {
        assert!(targets.iter().any(|it| it == page), "{page}");
    }
}

#[test]
fn links_are_found_outside_of_code() {
    let page =
        "See [`A::b`](../src/a.rs) and\n[it](x.md).\n```rust\n[`no`](n.rs)\n```\n[`c`](d.rs)";
    let link = |text: &str, target: &str| Link { text: text.into(), target: target.into() };
    let found = links(page);
    assert_eq!(found, [link("`A::b`", "../src/a.rs"), link("it", "x.md"), link("`c`", "d.rs")]);
    let code: Vec<Option<&str>> = found.iter().map(Link::code).collect();
    assert_eq!(code, [Some("A::b"), None, Some("c")]);
    assert_eq!(resolve("docs", "../src/a.rs"), "src/a.rs");
    assert_eq!(resolve("", "./src/a.rs"), "src/a.rs");
    assert_eq!(anchor(" The way of a write: `x`"), "the-way-of-a-write-x");
}

#[test]
fn a_link_that_has_gone_wrong_is_found() {
    let file = "//! fn only_said()\npub struct Log {\n    next: u64,\n}\nenum Deed {\n    Vote(u8),\n    \
                Close,\n}\nimpl Log {\n    pub(super) async fn append_all(&self) {}\n}\n\
                pub const LINES_MAX: u8 = 1;\nmacro_rules! keys {}\n";
    for right in
        ["Log", "Log::next", "Deed::Vote", "Deed::Close", "Log::append_all", "LINES_MAX", "keys"]
    {
        assert_eq!(wrong(right, "src/log.rs", file), None, "{right}");
    }
    for gone in [
        "Logs",
        "Log::append",
        "Log::nex",
        "Deed::Vot",
        "Deed::Open",
        "append_al",
        "only_said",
        "LINES",
        "Writer::next",
        "u64",
    ] {
        assert!(wrong(gone, "src/log.rs", file).is_some(), "{gone}");
    }
    assert_eq!(wrong("src/log.rs", "src/log.rs", file), None);
    assert!(wrong("src/lag.rs", "src/log.rs", file).is_some());
    assert!(wrong("log.rs", "src/log.rs", file).is_some());
}
