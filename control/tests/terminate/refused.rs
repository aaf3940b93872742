//! Who is refused, by which name, and what is left of it: nothing.

use std::io::ErrorKind;
use std::time::Duration;

use control::terminate::config::Times;
use control::terminate::counts::{Count, Refusal};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::stage::{Plan, REQUEST, Stage, head, hear_out};

/// The first line of what a client hears, or how it was cut off.
async fn first_line(client: &mut TcpStream) -> Result<String, ErrorKind> {
    let heard = hear_out(client).await?;
    Ok(String::from_utf8_lossy(&heard).lines().next().unwrap_or_default().to_owned())
}

async fn refused(stage: &Stage, why: Refusal, number: u64) {
    let counts = stage.counted(Count::Refused(why), number).await;
    assert_eq!((counts.of(Count::Opened), counts.refused()), (0, number), "{why:?} alone");
}

const RESET: Result<&str, ErrorKind> = Err(ErrorKind::ConnectionReset);

fn hurried() -> Plan {
    let times = Times {
        request: Duration::from_millis(200),
        reach: Duration::from_millis(200),
        answer: Duration::from_millis(200),
        ..Times::default()
    };
    Plan { times, ..Plan::default() }
}

#[tokio::test]
async fn a_request_that_is_none_is_told_so() {
    let long = format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nX: {}", "x".repeat(8192));
    let many = "X: y\r\n".repeat(17);
    for (request, said) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "HTTP/1.1 405 Method Not Allowed"),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "HTTP/1.1 400 Bad Request"),
        ("\u{16}\u{3}\u{1}\u{2}\0".to_owned(), "HTTP/1.1 400 Bad Request"),
        (format!("CONNECT a:1 HTTP/1.1\r\n{many}\r\n"), "HTTP/1.1 400 Bad Request"),
        (long, "HTTP/1.1 400 Bad Request"),
    ] {
        let stage = Stage::new(Plan::default()).await;
        let mut client = stage.ask(&request).await;
        assert_eq!(first_line(&mut client).await.as_deref(), Ok(said), "{request:.40}");
        refused(&stage, Refusal::RequestWrong, 1).await;
    }
}

#[tokio::test]
async fn nothing_is_taken_before_the_answer() {
    let stage = Stage::new(Plan::default()).await;
    let mut client = stage.ask(&format!("{REQUEST}GET / HTTP/1.1\r\n")).await;
    let said = first_line(&mut client).await;
    assert!(said.is_err() || said.as_deref() == Ok("HTTP/1.1 400 Bad Request"), "{said:?}");
    refused(&stage, Refusal::RequestEarly, 1).await;
    let mut client = stage.ask(REQUEST).await;
    let mut far = stage.accept().await;
    head(&mut far).await;
    client.write_all(b"early").await.unwrap();
    assert_eq!(hear_out(&mut far).await, Ok(Vec::new()), "the next hop hears none of it");
    refused(&stage, Refusal::RequestEarly, 2).await;
}

#[tokio::test]
async fn a_request_without_an_end_is_waited_for_so_long() {
    let stage = Stage::new(hurried()).await;
    let mut client = stage.ask("CONNECT a:1 HTTP/1.1\r\n").await;
    let said = first_line(&mut client).await;
    assert_eq!(said.as_deref(), Ok("HTTP/1.1 408 Request Timeout"));
    refused(&stage, Refusal::RequestLate, 1).await;
}

#[tokio::test]
async fn what_the_next_hop_says_instead_of_yes_is_passed_on_where_it_means_the_same() {
    for (answer, said, why) in [
        ("HTTP/1.1 403 No\r\n\r\n", Ok("HTTP/1.1 403 Forbidden"), Refusal::Denied),
        ("HTTP/1.1 407 Who\r\n\r\n", Ok("HTTP/1.1 502 Bad Gateway"), Refusal::Denied),
        ("HTTP/1.1 503 Later\r\n\r\n", Ok("HTTP/1.1 503 Service Unavailable"), Refusal::Denied),
        ("HTTP/1.1 504 Late\r\n\r\n", Ok("HTTP/1.1 504 Gateway Timeout"), Refusal::Denied),
        ("HTTP/1.1 302 Elsewhere\r\n\r\n", Ok("HTTP/1.1 502 Bad Gateway"), Refusal::Denied),
        ("SSH-2.0-no proxy\r\n", RESET, Refusal::AnswerWrong),
        ("HTTP/1.1 101 Other\r\n\r\n", RESET, Refusal::AnswerWrong),
        ("", RESET, Refusal::AnswerWrong),
        ("HTTP/1.1 200 OK\r\nX: ", RESET, Refusal::AnswerWrong),
    ] {
        let stage = Stage::new(Plan::default()).await;
        let mut client = stage.ask(REQUEST).await;
        let mut far = stage.accept().await;
        head(&mut far).await;
        far.write_all(answer.as_bytes()).await.unwrap();
        drop(far);
        assert_eq!(first_line(&mut client).await.as_deref(), said.as_deref(), "{answer}");
        refused(&stage, why, 1).await;
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_it() {
    for text in ["HTTP/1.1 100 Wait\r\n\r\n", "HTTP/1.1 200 OK\r\nX: yyyyyyyyyyyyyyyyyyy"] {
        let stage = Stage::new(Plan::default()).await;
        let mut client = stage.ask(REQUEST).await;
        let mut far = stage.accept().await;
        head(&mut far).await;
        let much = text.repeat(2000);
        // It is cut off in the middle.
        drop(far.write_all(much.as_bytes()).await);
        assert_eq!(first_line(&mut client).await.as_deref(), RESET.as_deref());
        refused(&stage, Refusal::AnswerWrong, 1).await;
    }
}

#[tokio::test]
async fn silence_has_a_name_wherever_it_is() {
    let stage = Stage::new(hurried()).await;
    let mut client = stage.ask(REQUEST).await;
    let mut far = stage.accept().await;
    head(&mut far).await;
    let said = first_line(&mut client).await;
    assert_eq!(said.as_deref(), Ok("HTTP/1.1 504 Gateway Timeout"));
    refused(&stage, Refusal::AnswerLate, 1).await;
    let stage = Stage::new(Plan { tls: Some("proxy.example"), ..hurried() }).await;
    let mut client = stage.ask(REQUEST).await;
    let _far = stage.accept().await;
    assert_eq!(first_line(&mut client).await.as_deref(), RESET.as_deref());
    refused(&stage, Refusal::Silent, 1).await;
}

#[tokio::test]
async fn who_is_not_there_or_somebody_else_is_not_asked() {
    let mut stage = Stage::new(Plan::default()).await;
    stage.next_hop = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = stage.ask(REQUEST).await;
    assert_eq!(first_line(&mut client).await.as_deref(), RESET.as_deref());
    refused(&stage, Refusal::Unreachable, 1).await;
    let stage = Stage::new(Plan { tls: Some("other.example"), ..Plan::default() }).await;
    let mut client = stage.ask(REQUEST).await;
    let far = stage.accept().await;
    assert!(stage.acceptor.accept(far).await.is_err());
    assert_eq!(first_line(&mut client).await.as_deref(), RESET.as_deref());
    refused(&stage, Refusal::Tls, 1).await;
}

#[tokio::test]
async fn who_goes_before_the_answer_takes_the_question_along() {
    let stage = Stage::new(Plan::default()).await;
    let client = stage.ask(REQUEST).await;
    let mut far = stage.accept().await;
    head(&mut far).await;
    drop(client);
    assert_eq!(hear_out(&mut far).await, Ok(Vec::new()));
    refused(&stage, Refusal::ClientGone, 1).await;
}

#[tokio::test]
async fn others_than_the_dataplane_are_not_let_in() {
    let stage = Stage::new(Plan { from: "100.64.77.1/32", ..Plan::default() }).await;
    let mut client = stage.ask("").await;
    assert_eq!(first_line(&mut client).await.as_deref(), RESET.as_deref());
    refused(&stage, Refusal::Source, 1).await;
}

#[tokio::test]
async fn no_more_are_served_than_may_be_and_a_place_that_is_left_is_given_again() {
    let stage = Stage::new(Plan { connections: 1, ..Plan::default() }).await;
    let (client, far) = stage.open().await;
    let mut other = stage.ask("").await;
    assert_eq!(first_line(&mut other).await.as_deref(), RESET.as_deref());
    stage.counted(Count::Refused(Refusal::Full), 1).await;
    drop((client, far));
    stage.counted(Count::Closed, 1).await;
    let begin = std::time::Instant::now();
    // The place is free a moment after the count.
    while stage.counts().await.of(Count::Accepted) < 2 {
        assert!(begin.elapsed() < Duration::from_secs(10));
        drop(stage.ask("").await);
    }
}
