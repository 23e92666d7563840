//! As much of an API server as node-problem-detector needs: it knows one Node, whose conditions it takes and remembers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::netns::Namespace;

/// The conditions of the Node, each with its status and its message.
pub type Conditions = BTreeMap<String, (String, String)>;

/// The server. It runs until the test ends.
#[derive(Debug)]
pub struct ApiServer {
    conditions: Arc<Mutex<Conditions>>,
}

impl ApiServer {
    /// Starts it at an address of a namespace.
    ///
    /// # Panics
    /// If the address is taken.
    #[must_use]
    pub fn start(namespace: &Namespace, address: &str) -> Self {
        let listener = namespace.within(|| TcpListener::bind(address).expect("an address of the host"));
        let conditions = Arc::new(Mutex::new(Conditions::new()));
        let known = Arc::clone(&conditions);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let known = Arc::clone(&known);
                std::thread::spawn(move || serve(&stream, &known));
            }
        });
        Self { conditions }
    }

    /// What was told last.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers one request, with the Node whatever it was.
fn serve(stream: &TcpStream, conditions: &Mutex<Conditions>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    if first.starts_with("PATCH ") {
        let patch: Value = serde_json::from_slice(&body).ok()?;
        let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
        for one in patch["status"]["conditions"].as_array()? {
            let mut conditions = conditions.lock().unwrap_or_else(PoisonError::into_inner);
            conditions.insert(text(one, "type"), (text(one, "status"), text(one, "message")));
        }
    }
    let node = json!({ "kind": "Node", "apiVersion": "v1", "metadata": { "name": "node" } }).to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:";
    writer.write_all(format!("{head} {}\r\n\r\n{node}", node.len()).as_bytes()).ok()
}
