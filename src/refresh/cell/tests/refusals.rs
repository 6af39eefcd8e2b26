//! Values that are refused, once and one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Failure, Mint, RefreshCell, seconds};

/// More refusals than are followed by a load at once.
const MANY: u32 = 7;

fn refuse(cell: &RefreshCell<Mint>) {
    let held = cell.peek().expect("a value is held");
    cell.refused(&held, Arc::new(Failure::Refused));
}

#[tokio::test(start_paused = true)]
async fn values_that_are_refused_one_after_the_other_are_backed_off() {
    let (mint, cell) = Mint::cell(3600);
    let until = Instant::now() + seconds(60);
    while Instant::now() < until {
        match cell.fetch().await {
            Ok(value) => cell.refused(&value, Arc::new(Failure::Refused)),
            Err(error) => {
                assert_eq!(*error, Failure::Refused);
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    assert!(mint.loads() < 12, "{} loads in a minute of refusals", mint.loads());
}

#[tokio::test(start_paused = true)]
async fn refusals_long_ago_do_not_count_as_refusals_in_a_row() {
    let (mint, cell) = Mint::cell(3600);
    for _ in 0..10 {
        cell.fetch().await.unwrap();
        refuse(&cell);
        cell.fetch().await.unwrap();
        sleep(seconds(3000)).await;
        cell.fetch().await.unwrap();
        sleep(seconds(10)).await;
    }
    assert_eq!(mint.loads(), 21);
}

#[tokio::test(start_paused = true)]
async fn what_never_gets_old_is_refused_now_and_then_without_a_pause() {
    let (_, cell) = Mint::cell(20);
    for _ in 0..MANY {
        let until = Instant::now() + seconds(70);
        while Instant::now() < until {
            cell.fetch().await.unwrap();
            sleep(seconds(1)).await;
        }
        refuse(&cell);
        let refused = Instant::now();
        assert!(cell.fetch().await.is_ok(), "the refusals of values that lived for seconds were counted for ever");
        assert!(refused.elapsed() <= seconds(1), "a load was put off for {:?}", refused.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_patient_caller_outlasts_values_that_are_taken_back_again_and_again() {
    let (mint, cell) = Mint::cell(3600);
    for number in 1..=MANY {
        assert_eq!(cell.fetch_within(seconds(12)).await.unwrap().value, number as usize);
        refuse(&cell);
    }
    assert!(cell.fetch().await.is_err(), "nothing was put off, and there was nothing to outlast");
    assert_eq!(mint.loads(), MANY as usize);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_values_that_are_refused_for_good() {
    let (mint, cell) = Mint::cell(3600);
    let begun = Instant::now();
    while begun.elapsed() < seconds(120) {
        let asked = Instant::now();
        match cell.fetch_within(seconds(12)).await {
            Ok(_) => refuse(&cell),
            Err(error) => assert_eq!(*error, Failure::Refused),
        }
        if begun.elapsed() > seconds(30) {
            assert!(asked.elapsed() <= seconds(1), "a caller waited for {:?}", asked.elapsed());
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(mint.loads() < 15, "{} loads in two minutes of refusals", mint.loads());
}
