//! Configuration and key files that somebody has mistyped.

use std::path::Path;

use super::{file, key_file};
use crate::error::ErrorCode;
use crate::protocol::fuzzing::{fuzz, lines};
use crate::types::Digest;

const WHOLE: &str = r#"
servers = ["127.0.0.1:8091", "h:2"]
timeout = "1m30s"
json = true
verbose = 2

[serve]
id = 1
peers = "1=127.0.0.1:8091"
listen = "127.0.0.1:8091"
log = "ftchat=debug,info"

[limits]
connections_max = 1_000
deduplication_window_entries = 1000000
"#;

#[test]
fn fuzz_configuration_files() {
    let corpus =
        lines(WHOLE.split("\n\n").chain([WHOLE, "a = [[[[[[1]]]]]]", "a.b.c = {d={e=1}}"]));
    fuzz("configuration files", &corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Err(error) = file::parse(Path::new("f.toml"), &text) {
            assert_eq!(error.code, ErrorCode::InvalidConfig);
            assert!(error.message.starts_with("f.toml:"), "names file and line: {error}");
        }
    });
}

#[test]
fn fuzz_key_files() {
    let corpus = lines([format!("{}\n", Digest([0xa7; 32])), format!(" {}", Digest([0; 32]))]);
    fuzz("key files", &corpus, |bytes| {
        if let Some(key) = key_file::parse(bytes) {
            let text = String::from_utf8_lossy(bytes).to_lowercase();
            assert_eq!(text.trim(), Digest(*key).to_string(), "one way to write a key");
        }
    });
}
