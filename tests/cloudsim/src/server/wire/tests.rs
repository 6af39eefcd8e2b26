//! Pacing on paused time: the figures are exact but for the grain of the timer and the catch-up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, sink};
use tokio::time::Instant;

use super::{BreakOff, Grip, ResetOnClose, Wire};
use crate::pace::{INITIAL_WINDOW, Pace};

impl ResetOnClose for DuplexStream {
    fn reset_on_close(&self) -> io::Result<()> {
        Ok(())
    }
}

/// How long it takes to write `bytes` at a pace and with a limit of the answer's own.
async fn time_to_write(bytes: usize, pace: Pace, limit: Option<u64>) -> Duration {
    let (near, mut far) = duplex(64 * 1024);
    tokio::spawn(async move { tokio::io::copy(&mut far, &mut sink()).await });
    let grip = Arc::new(Grip::default());
    grip.limit(limit);
    let mut wire = Wire::new(near, pace, grip);
    let start = Instant::now();
    wire.write_all(&vec![0; bytes]).await.unwrap();
    start.elapsed()
}

fn close_to(took: Duration, wanted: f64) {
    let took = took.as_secs_f64();
    assert!((took - wanted).abs() < wanted * 0.05 + 0.01, "took {took} s, wanted {wanted} s");
}

#[tokio::test(start_paused = true)]
async fn the_slower_of_pace_and_limit_rules() {
    let pace = |rate| Pace { bytes_per_second: rate, ..Pace::default() };
    close_to(time_to_write(1_000_000, pace(Some(1_000_000)), None).await, 1.0);
    close_to(time_to_write(1_000_000, pace(Some(1_000_000)), Some(500_000)).await, 2.0);
    close_to(time_to_write(1_000_000, pace(None), Some(2_000_000)).await, 0.5);
    assert_eq!(time_to_write(1_000_000, pace(None), None).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn slow_start_doubles_the_window_each_round_trip() {
    let pace = Pace { round_trip: Duration::from_millis(100), slow_start: true, ..Pace::default() };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
    let window = INITIAL_WINDOW as usize;
    // A rate that doubles each round trip carries (2^n - 1) / ln 2 windows in n of them.
    close_to(time_to_write(window * 7 * 1_000 / 693, pace, None).await, 0.3);
    close_to(time_to_write(window * 31 * 1_000 / 693, pace, None).await, 0.5);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_loses_half_of_its_window_with_each_timeout() {
    let pace = Pace { round_trip: Duration::from_millis(100), slow_start: true, ..Pace::default() };
    let (near, mut far) = duplex(64 * 1024);
    tokio::spawn(async move { tokio::io::copy(&mut far, &mut sink()).await });
    let mut wire = Wire::new(near, pace, Arc::new(Grip::default()));
    wire.write_all(&vec![0; 1_000_000]).await.unwrap();
    let warm = wire.window;
    tokio::time::sleep(Duration::from_millis(250)).await;
    wire.write_all(&[0]).await.unwrap();
    assert!(wire.window >= warm, "a pause shorter than a timeout costs nothing");
    tokio::time::sleep(Duration::from_millis(650)).await;
    wire.write_all(&[0]).await.unwrap();
    assert!((wire.window / warm - 0.25).abs() < 0.01, "two timeouts: {} of {warm}", wire.window);
    tokio::time::sleep(Duration::from_mins(1)).await;
    wire.write_all(&[0]).await.unwrap();
    assert!(wire.window < INITIAL_WINDOW + 1.0, "{}", wire.window);
}

#[tokio::test]
async fn a_break_off_comes_after_what_was_written() {
    let (near, mut far) = duplex(1024);
    let grip = Arc::new(Grip::default());
    let mut wire = Wire::new(near, Pace::default(), Arc::clone(&grip));
    wire.write_all(b"0123456789").await.unwrap();
    grip.break_off(BreakOff::Fin);
    assert!(wire.flush().await.is_err());
    drop(wire);
    let mut read = Vec::new();
    far.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"0123456789");
}
