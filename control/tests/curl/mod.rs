//! curl as an HTTP client that nobody here wrote.
#![allow(dead_code, reason = "each test file uses its part")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it fails"
)]

use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// What came back; status 0 when nothing did.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The value of a header, named in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

pub(crate) struct Curl {
    base: String,
}

impl Curl {
    pub(crate) fn new(base: String) -> Self {
        Self { base }
    }

    /// Before each path.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send_body(&["-X", "POST"], path, body).await
    }

    pub(crate) async fn post_chunked(&self, path: &str, body: &Value) -> Answer {
        self.send_body(&["-X", "POST", "-H", "Transfer-Encoding: chunked"], path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, token: &str, body: &Value) -> Answer {
        let bearer = format!("Authorization: Bearer {token}");
        self.send_body(&["-X", "PATCH", "-H", &bearer], path, body).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(&["-H", &format!("Authorization: Bearer {token}")], path).await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Answer {
        let bearer = format!("Authorization: Bearer {token}");
        self.send(&["-X", "DELETE", "-H", &bearer], path).await
    }

    async fn send_body(&self, options: &[&str], path: &str, body: &Value) -> Answer {
        let kind = ["-H", "Content-Type: application/json; charset=UTF-8", "--data-binary", "@-"];
        self.run(&[options, &kind].concat(), path, body.to_string().as_bytes()).await
    }

    pub(crate) async fn send(&self, options: &[&str], path: &str) -> Answer {
        self.run(options, path, b"").await
    }

    /// Octets as they are.
    pub(crate) async fn run(&self, options: &[&str], path: &str, input: &[u8]) -> Answer {
        let mut child = Command::new("curl")
            .args(["-s", "-i", "--max-time", "30", "--noproxy", "*", "-H", "Expect:"])
            .args(options)
            .arg(format!("{}{path}", self.base))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is needed; scripts/setup installs it");
        let mut stdin = child.stdin.take().unwrap();
        // It may end before it has read all.
        drop(stdin.write_all(input).await);
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
}
