//! No file imports another that imports it, by whatever way round.
//!
//! Looked at are the files and folders that lie in one folder: what one of them takes
//! from another makes an arrow, also by way of a name that their common parent hands
//! on, and arrows must not lead back to where they began. A folder and what is in it
//! count as one, so a file may use what its `mod.rs` has. Tests may import anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{read, root, sources};

/// A module by the names that lead to it.
type Module = Vec<String>;

/// The program's modules, what each imports, and under which names it has it.
struct Program {
    modules: BTreeSet<Module>,
    imports: BTreeMap<Module, Vec<Vec<String>>>,
    names: BTreeMap<(Module, String), Vec<String>>,
}

fn module_of(path: &Path) -> Module {
    let inside = path.strip_prefix(root().join("src")).expect("below src").with_extension("");
    let names = inside.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    names.filter(|name| name != "mod").collect()
}

fn is_test(module: &[String]) -> bool {
    let helpers = ["tests", "testing", "fuzz", "fuzzing", "fake"];
    module.iter().any(|name| helpers.contains(&name.as_str()))
}

/// The text without comments, without its tests, and without what only docs import.
fn code(text: &str) -> String {
    let mut kept = Vec::new();
    let mut skips = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default();
        let starts = line.trim_start();
        if starts.starts_with("mod tests {") || starts.starts_with("pub mod tests {") {
            break;
        }
        if starts.starts_with("#[cfg(doc)]") || starts.starts_with("#[cfg(test)]") {
            skips = true;
        } else if skips {
            skips = !starts.ends_with(';') && starts.starts_with("use ");
        } else {
            kept.push(line);
        }
    }
    kept.join("\n")
}

/// The paths of `a::{b, c::{d, e as f}}`, each with the name that it gets.
fn expand(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let Some((before, rest)) = tree.split_once('{') else {
        let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
        let path: Vec<String> = path.split("::").map(|part| part.trim().to_string()).collect();
        let last = path.last().cloned().unwrap_or_default();
        return vec![(path, if name.is_empty() { last } else { name.trim().to_string() })];
    };
    let prefix: Vec<String> = before
        .split("::")
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(String::from)
        .collect();
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for letter in inside.chars() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().expect("one at least").push(letter),
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty()).flat_map(|part| expand(part));
    parts.map(|(path, name)| ([prefix.clone(), path].concat(), name)).collect()
}

/// Paths in the code that begin where they say: `super::files::read`.
fn paths(code: &str, children: &BTreeSet<&str>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for word in code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')) {
        let path: Vec<String> = word.split("::").map(String::from).collect();
        let begins = ["crate", "super", "self"].contains(&path[0].as_str());
        if path.len() > 1 && begins {
            found.push(path);
        } else if path.len() > 1 && children.contains(path[0].as_str()) {
            found.push([vec!["self".to_string()], path].concat());
        }
    }
    found
}

impl Program {
    fn read() -> Program {
        let files = sources(&root().join("src"));
        let files = files.iter().map(|path| (module_of(path), read(path)));
        Program::of(files.filter(|(module, _)| *module != ["lib"] && *module != ["main"]))
    }

    fn of(files: impl Iterator<Item = (Module, String)>) -> Program {
        let files: BTreeMap<Module, String> = files
            .filter(|(module, _)| !is_test(module))
            .map(|(module, text)| (module, code(&text)))
            .collect();
        let modules: BTreeSet<Module> = files.keys().cloned().collect();
        let mut program = Program { modules, imports: BTreeMap::new(), names: BTreeMap::new() };
        for (module, code) in &files {
            let children = program
                .modules
                .iter()
                .filter(|child| child.len() == module.len() + 1 && child.starts_with(module));
            let children: BTreeSet<&str> =
                children.filter_map(|child| child.last()).map(String::as_str).collect();
            let mut imports = paths(code, &children);
            for statement in code.split(';') {
                let Some((_, tree)) = statement.rsplit_once("use ") else { continue };
                for (path, name) in expand(tree) {
                    program.names.insert((module.clone(), name), path.clone());
                    imports.push(path);
                }
            }
            program.imports.insert(module.clone(), imports);
        }
        program
    }

    /// The module where a path leads from a module; `None` for other crates.
    fn resolve(&self, from: &Module, path: &[String], hops: usize) -> Option<Module> {
        let mut at = from.clone();
        let mut rest = path;
        match path[0].as_str() {
            "crate" => (at, rest) = (Module::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            name => {
                let child = [from.clone(), vec![name.to_string()]].concat();
                if !self.modules.contains(&child) {
                    return None;
                }
            }
        }
        for name in rest {
            let child = [at.clone(), vec![name.clone()]].concat();
            if self.modules.iter().any(|module| module.starts_with(&child)) {
                at = child;
            } else if let Some(path) = self.names.get(&(at.clone(), name.clone()))
                && hops > 0
            {
                return self.resolve(&at, path, hops - 1).or(Some(at));
            } else {
                break;
            }
        }
        Some(at)
    }

    /// Who takes something from whom, among those of one folder.
    fn arrows(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let mut arrows: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (from, imports) in &self.imports {
            for to in imports.iter().filter_map(|path| self.resolve(from, path, 8)) {
                let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                if shared < from.len() && shared < to.len() {
                    let arrow = arrows.entry(from[..=shared].to_vec()).or_default();
                    arrow.insert(to[..=shared].to_vec());
                }
            }
        }
        arrows
    }
}

/// A way from a module back to itself.
fn circle(
    arrows: &BTreeMap<Module, BTreeSet<Module>>,
    way: &mut Vec<Module>,
    done: &mut BTreeSet<Module>,
) -> Option<Vec<Module>> {
    let at = way.last().expect("it begins somewhere").clone();
    for next in arrows.get(&at).into_iter().flatten() {
        if let Some(begin) = way.iter().position(|module| module == next) {
            return Some(way[begin..].to_vec());
        }
        if !done.contains(next) {
            way.push(next.clone());
            if let Some(found) = circle(arrows, way, done) {
                return Some(found);
            }
            way.pop();
        }
    }
    done.insert(at);
    None
}

#[test]
fn no_imports_go_round_in_a_circle() {
    let arrows = Program::read().arrows();
    let count: usize = arrows.values().map(BTreeSet::len).sum();
    assert!(count > 300, "only {count} imports were found");
    let mut done = BTreeSet::new();
    for module in arrows.keys() {
        if let Some(found) = circle(&arrows, &mut vec![module.clone()], &mut done) {
            let names: Vec<String> = found.iter().map(|module| module.join("::")).collect();
            panic!("{} imports itself by way of {}", names[0], names[1..].join(", "));
        }
    }
}

#[test]
fn a_circle_is_found_by_whatever_way_it_goes() {
    let module = |name: &str| -> Module { name.split("::").map(String::from).collect() };
    let programs: [&[(&str, &str)]; 4] = [
        &[("a::b", "use super::c::X;"), ("a::c", "fn f() { super::b::g(); }")],
        &[
            ("a", "mod b;\npub use self::c::X;"),
            ("a::b", "use super::{X, Y};"),
            ("a::c", "use crate::a::{b::{self}};"),
        ],
        &[("a::b", "use super::c;"), ("a::c::d", "use super::super::b::E as F;")],
        &[("a", "use crate::b;"), ("b", "use crate::c::Z;"), ("c", "use crate::a::Y;")],
    ];
    for files in programs {
        let texts = files.iter().map(|(name, text)| (module(name), (*text).to_string()));
        let program = Program::of(texts);
        let arrows = program.arrows();
        let begins = arrows.keys().cloned().collect::<Vec<_>>();
        let mut done = BTreeSet::new();
        let found = begins
            .iter()
            .any(|begin| circle(&arrows, &mut vec![begin.clone()], &mut done).is_some());
        assert!(found, "{files:?}");
    }
}
