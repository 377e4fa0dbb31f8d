//! The drill as a user runs it, shortened to a few faults.

use serde_json::Value;

use crate::harness::Place;

fn left_behind(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.path()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("ftchat-drill-")).collect()
}

#[test]
fn a_drill_proves_that_nothing_is_lost_and_leaves_nothing_behind() {
    let place = Place::new();
    let temporary = place.path().display().to_string();
    let faults = "kill_leader,kill_1_and_2,freeze_one";
    let drill = place.run(&["drill", "--seed", "5", "--faults", faults, "--json"]);
    let out = drill.env("TMPDIR", &temporary).end().ok();
    let lines: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [announced, steps @ .., report] = lines.as_slice() else { panic!("{out}") };
    assert_eq!((&announced["seed"], &announced["rounds"]), (&5.into(), &1.into()));
    let mut done: Vec<&str> = steps.iter().filter_map(|step| step["fault"].as_str()).collect();
    done.sort_unstable();
    assert_eq!(done, ["freeze_one", "kill_1_and_2", "kill_leader"], "{steps:?}");
    for step in steps {
        assert!(step["pause_ms"].as_f64().is_some_and(|pause| pause > 0.0), "{step}");
        assert!(step["acknowledged"].as_u64().is_some_and(|count| count >= 3), "{step}");
    }
    assert_eq!(report["ok"], true, "{report}");
    for what in ["lost", "doubled", "out_of_order", "failed"] {
        assert_eq!(report["total"][what], 0, "{report}");
    }
    let sum: u64 = report["faults"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["acknowledged"].as_u64().expect("a count"))
        .sum();
    assert_eq!(report["total"]["acknowledged"], sum);
    assert_eq!(left_behind(&place), Vec::<String>::new());
}

#[test]
fn a_fault_that_nobody_knows_is_refused_with_the_names_of_all() {
    let place = Place::new();
    let drill = place.run(&["drill", "--faults", "kill_everybody"]);
    drill.end().fails(2, &["kill_everybody", "kill_all_start_one", "rolling_restart"]);
    place.run(&["drill", "--rounds", "0"]).end().code(2);
}
