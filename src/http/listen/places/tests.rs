use std::time::Duration;

use tokio::time::{Instant, advance, sleep};

use super::{LEAST, Limits, Overdue, Place, Places};

const LIMITS: Limits =
    Limits { first: Duration::from_secs(10), idle: Duration::from_secs(45), stalled: Duration::from_secs(300) };

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_longest_idle_gives_way_and_who_carries_a_request_never_does() {
    let places = Places::new(3);
    let first = places.take().unwrap();
    advance(SECOND).await;
    let second = places.take().unwrap();
    advance(SECOND).await;
    let third = places.take().unwrap();
    advance(SECOND).await;
    // Who has just carried one is the youngest.
    drop(first.life().carry().unwrap());
    let carried = second.life().carry().unwrap();
    let fourth = places.take().unwrap();
    assert!(third.life().has_given_up() && third.life().carry().is_none());
    assert!(!first.life().has_given_up() && !second.life().has_given_up());
    // It goes later than it gave its place up, which changes nothing.
    drop(third);
    advance(SECOND).await;
    drop(fourth.life().carry().unwrap());
    let _fifth = places.take().unwrap();
    assert!(first.life().has_given_up() && !fourth.life().has_given_up());
    let _sixth = places.take().unwrap();
    let _seventh = places.take().unwrap();
    assert!(!second.life().has_given_up());
    drop(carried);
}

#[tokio::test(start_paused = true)]
async fn where_all_carry_requests_nobody_gives_way_until_one_goes() {
    let places = Places::new(2);
    let [first, second] = [places.take().unwrap(), places.take().unwrap()];
    let _carried = [first.life().carry().unwrap(), second.life().carry().unwrap()];
    assert!(places.take().is_none());
    drop(first);
    let third = places.take().unwrap();
    // What waits for the socket is a request still.
    third.life().set_blocked(true);
    assert!(places.take().is_none());
    third.life().set_blocked(false);
    assert!(places.take().is_some());
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_nothing_has_its_limit() {
    let begun = Instant::now();
    let place = Place::uncounted();
    assert_eq!(place.life().overdue(LIMITS).await, Overdue::Silent);
    assert_eq!(begun.elapsed(), LIMITS.first);

    let place = Place::uncounted();
    let life = place.life();
    let begun = Instant::now();
    let asking = async {
        sleep(5 * SECOND).await;
        drop(life.carry().unwrap());
        sleep(8 * SECOND).await;
        drop(life.carry().unwrap());
    };
    let (overdue, ()) = tokio::join!(life.overdue(LIMITS), asking);
    assert_eq!(overdue, Overdue::Idle);
    assert_eq!(begun.elapsed(), 13 * SECOND + LIMITS.idle);

    let place = Place::uncounted();
    let life = place.life();
    let begun = Instant::now();
    let reading = async {
        let carried = life.carry().unwrap();
        for _ in 0..10 {
            sleep(100 * SECOND).await;
            carried.moved(LEAST.try_into().unwrap());
        }
        // A trickle is nothing.
        loop {
            sleep(SECOND).await;
            carried.moved(8);
        }
    };
    let overdue = tokio::select! {
        overdue = life.overdue(LIMITS) => overdue,
        () = reading => unreachable!(),
    };
    assert_eq!(overdue, Overdue::Stalled);
    let took = begun.elapsed();
    assert!(took >= 1000 * SECOND + LIMITS.stalled && took <= 1001 * SECOND + LIMITS.stalled + LIMITS.idle, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_answer_that_is_not_taken_is_a_stall() {
    let place = Place::uncounted();
    let begun = Instant::now();
    drop(place.life().carry().unwrap());
    place.life().set_blocked(true);
    assert_eq!(place.life().overdue(LIMITS).await, Overdue::Stalled);
    assert_eq!(begun.elapsed(), LIMITS.stalled);
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_be_displaced_is_told() {
    let places = Places::new(1);
    let place = places.take().unwrap();
    let life = place.life().clone();
    let told = tokio::spawn(async move { life.overdue(LIMITS).await });
    tokio::task::yield_now().await;
    let _newcomer = places.take().unwrap();
    assert_eq!(told.await.unwrap(), Overdue::GivenUp);
}
