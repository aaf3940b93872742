//! What is carried, and how it ends.

use std::io::ErrorKind;
use std::time::Duration;

use control::terminate::config::Times;
use control::terminate::counts::Count;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::stage::{OPEN, Plan, REQUEST, Stage, head, hear_out, soon, words};

/// Both ends say much, one closing first, and hear all of the other.
async fn ends_close_in_turn(
    mut first: impl AsyncRead + AsyncWrite + Unpin,
    mut second: impl AsyncRead + AsyncWrite + Unpin,
) {
    let words = words();
    let early = async {
        first.write_all(&words).await.unwrap();
        first.shutdown().await.unwrap();
        hear_out(&mut first).await
    };
    let late = async {
        let heard = hear_out(&mut second).await;
        second.write_all(&words).await.unwrap();
        second.shutdown().await.unwrap();
        heard
    };
    let (early, late) = tokio::join!(early, late);
    assert!(early.as_ref() == Ok(&words) && late.as_ref() == Ok(&words), "each hears the other");
}

#[tokio::test]
async fn what_is_said_is_carried_both_ways_and_either_end_may_close_first() {
    let stage = Stage::new(Plan::default()).await;
    let (client, far) = stage.open().await;
    ends_close_in_turn(client, far).await;
    let (client, far) = stage.open().await;
    ends_close_in_turn(far, client).await;
    let counts = stage.counted(Count::Closed, 2).await;
    let len = words().len() as u64;
    assert_eq!((counts.of(Count::OctetsOut), counts.of(Count::OctetsIn)), (2 * len, 2 * len));
    assert_eq!((counts.of(Count::Opened), counts.open(), counts.refused()), (2, 0, 0));
}

#[tokio::test]
async fn the_same_goes_over_tls_with_who_is_expected() {
    let stage = Stage::new(Plan { tls: Some("proxy.example"), ..Plan::default() }).await;
    for is_client_first in [true, false] {
        let mut client = stage.ask(REQUEST).await;
        let far = stage.accept().await;
        let mut far = soon(stage.acceptor.accept(far)).await.unwrap();
        assert_eq!(head(&mut far).await, REQUEST);
        far.write_all(OPEN.as_bytes()).await.unwrap();
        far.flush().await.unwrap();
        assert_eq!(head(&mut client).await, OPEN);
        if is_client_first {
            ends_close_in_turn(client, far).await;
        } else {
            ends_close_in_turn(far, client).await;
        }
    }
    assert_eq!(stage.counted(Count::Closed, 2).await.refused(), 0);
}

#[tokio::test]
async fn an_end_of_tls_that_nobody_has_announced_is_a_reset() {
    let stage = Stage::new(Plan { tls: Some("proxy.example"), ..Plan::default() }).await;
    let mut client = stage.ask(REQUEST).await;
    let far = stage.accept().await;
    let mut far = soon(stage.acceptor.accept(far)).await.unwrap();
    head(&mut far).await;
    far.write_all(OPEN.as_bytes()).await.unwrap();
    far.flush().await.unwrap();
    head(&mut client).await;
    // Whoever sits on the way can do this.
    far.get_mut().0.shutdown().await.unwrap();
    assert_eq!(hear_out(&mut client).await, Err(ErrorKind::ConnectionReset));
    stage.counted(Count::Reset, 1).await;
}

#[tokio::test]
async fn who_speaks_first_is_heard_also_in_one_piece_with_the_answer() {
    let stage = Stage::new(Plan::default()).await;
    let mut client = stage.ask(REQUEST).await;
    let mut far = stage.accept().await;
    head(&mut far).await;
    far.write_all(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 299\r\nContent-Length: 5\r\n\r\n220 ready",
    )
    .await
    .unwrap();
    assert_eq!(head(&mut client).await, OPEN, "nothing of the next hop's head goes on");
    let mut heard = [0; 9];
    soon(client.read_exact(&mut heard)).await.unwrap();
    assert_eq!(&heard, b"220 ready");
    assert_eq!(stage.counted(Count::OctetsIn, 9).await.open(), 1);
}

#[tokio::test]
async fn a_reset_of_either_end_reaches_the_other() {
    let stage = Stage::new(Plan::default()).await;
    let (client, mut far) = stage.open().await;
    client.set_zero_linger().unwrap();
    drop(client);
    assert_eq!(hear_out(&mut far).await, Err(ErrorKind::ConnectionReset));
    let (mut client, far) = stage.open().await;
    far.set_zero_linger().unwrap();
    drop(far);
    assert_eq!(hear_out(&mut client).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(stage.counted(Count::Reset, 2).await.open(), 0);
}

#[tokio::test]
async fn who_says_nothing_for_too_long_is_reset_and_who_speaks_is_not() {
    let idle = Duration::from_millis(300);
    let times = Times { idle, ..Times::default() };
    let stage = Stage::new(Plan { times, ..Plan::default() }).await;
    let (mut client, mut far) = stage.open().await;
    for _ in 0..8 {
        client.write_all(b"a").await.unwrap();
        assert_eq!(soon(far.read_u8()).await.unwrap(), b'a');
        tokio::time::sleep(idle / 4).await;
    }
    assert_eq!(hear_out(&mut client).await, Err(ErrorKind::ConnectionReset));
    stage.counted(Count::Idle, 1).await;
}
