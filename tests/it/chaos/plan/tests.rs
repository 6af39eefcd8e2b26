use super::{Plan, Sort};

#[test]
fn a_seed_decides_the_steps() {
    let names = |seed| {
        let mut plan = Plan::new(seed);
        (0..500).map(|_| plan.next(|_| true).name).collect::<Vec<_>>()
    };
    assert_eq!(names(7), names(7));
    assert_ne!(names(7), names(8));
}

#[test]
fn every_sort_of_step_comes_and_one_that_has_to_wait_comes_when_it_may() {
    let mut plan = Plan::new(7);
    let early: Vec<Sort> = (0..200).map(|_| plan.next(|card| card.sort != Sort::Silence).sort).collect();
    let missing: Vec<Sort> = Sort::all().filter(|sort| !early.contains(sort)).collect();
    assert_eq!(missing, [Sort::Silence]);
    assert_eq!(plan.next(|_| true).sort, Sort::Silence);
}

#[test]
fn sorts_that_wait_for_the_same_come_in_turn() {
    let shared = [Sort::BareRedirect, Sort::MetadataFailing, Sort::NameServerSilent, Sort::NameServerFailing];
    let mut plan = Plan::new(7);
    let mut came = [0; 4];
    for step in 0..1_000 {
        let mut one_may = step % 10 == 0;
        let sort = plan.next(|card| !shared.contains(&card.sort) || std::mem::take(&mut one_may)).sort;
        if let Some(which) = shared.iter().position(|one| *one == sort) {
            came[which] += 1;
        }
    }
    assert!(came.iter().all(|times| *times >= 10), "{came:?}");
}
