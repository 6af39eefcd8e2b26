use super::Plan;

#[test]
fn a_seed_decides_the_steps_and_every_kind_of_step_comes() {
    let names = |seed| {
        let mut plan = Plan::new(seed);
        (0..2_000).map(|_| plan.next().name).collect::<Vec<_>>()
    };
    assert_eq!(names(7), names(7));
    assert_ne!(names(7), names(8));
    let all = names(7).join("\n");
    for part in [
        "429",
        "503",
        "silence",
        "stall",
        "cut",
        "reset",
        "refused",
        "expired",
        "302",
        "revoked",
        "clock",
        "lifetimes",
        "rotated",
        "away",
        "reload",
        "broken",
        "names",
        "replacement",
        "kill",
        "wrong bytes",
        "permission",
    ] {
        assert!(all.contains(part), "{part}");
    }
}
