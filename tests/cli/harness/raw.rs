//! A connection that speaks by hand, and need not be polite.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::WAIT_MAX;

/// The first line of a client.
pub const HELLO: &str = r#"{"ftchat":1,"role":"client"}"#;

/// See the head of this file.
pub struct Raw {
    stream: BufReader<TcpStream>,
    last_id: u64,
}

impl Raw {
    /// Connects and says nothing.
    pub fn connect(address: &str) -> std::io::Result<Raw> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        stream.set_write_timeout(Some(WAIT_MAX))?;
        Ok(Raw { stream: BufReader::with_capacity(1024, stream), last_id: 0 })
    }

    /// Connects as a client and hears who answers.
    pub fn client(address: &str) -> std::io::Result<Raw> {
        let mut raw = Raw::connect(address)?;
        raw.send_line(HELLO)?;
        raw.receive()?;
        Ok(raw)
    }

    /// Connects as a client with a session.
    pub fn session(address: &str, token: &str) -> std::io::Result<Raw> {
        let mut raw = Raw::client(address)?;
        let answer = raw.ask(json!({"authenticate": {"token": token}}))?;
        assert!(answer["result"]["session"].is_object(), "{answer}");
        Ok(raw)
    }

    /// Bounds how long reading and writing may take.
    pub fn timeout(self, limit: Duration) -> Raw {
        let stream = self.stream.get_ref();
        stream.set_read_timeout(Some(limit)).expect("a time above zero");
        stream.set_write_timeout(Some(limit)).expect("a time above zero");
        self
    }

    /// Writes bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Writes a line.
    pub fn send_line(&mut self, line: &str) -> std::io::Result<()> {
        self.write(format!("{line}\n").as_bytes())
    }

    /// The next line; empty at the end of the connection.
    pub fn receive(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line)
    }

    /// Makes a request and returns its answer.
    pub fn ask(&mut self, request: Value) -> std::io::Result<Value> {
        self.last_id += 1;
        self.send_line(&json!({"id": self.last_id, "request": request}).to_string())?;
        let line = self.receive()?;
        serde_json::from_str(&line)
            .map_err(|error| std::io::Error::other(format!("{error} in {line:?}")))
    }

    /// Everything until the server closes, or until it says nothing more.
    pub fn rest(mut self) -> String {
        let mut all = String::new();
        loop {
            match self.receive() {
                Ok(line) if !line.is_empty() => all.push_str(&line),
                _ => return all,
            }
        }
    }
}
