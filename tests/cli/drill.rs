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

#[cfg(target_os = "linux")]
mod hosts {
    use std::path::Path;

    use rustix::process::Signal;

    use super::left_behind;
    use crate::harness::network::Network;
    use crate::harness::processes::serving;
    use crate::harness::{Place, Run, wait_for};

    /// What gives somebody who may make namespaces all rights in new ones; `None`, said aloud,
    /// where the system does not let us.
    fn as_root() -> Option<[&'static str; 3]> {
        Network::new().map(|_| ["unshare", "--user", "--map-root-user"])
    }

    fn drill(place: &Place, faults: &str) -> Run {
        let drill = place.run(&["drill", "--hosts", "--seed", "5", "--faults", faults]);
        drill.env("TMPDIR", &place.path().display().to_string())
    }

    fn nobody_serves(dir: &str) {
        wait_for("the end of all servers", || {
            let of = |id: u32| serving(&Path::new(dir).join(format!("data-{id}")));
            [1, 2, 3].into_iter().all(|id| of(id).is_none()).then_some(())
        });
    }

    #[test]
    fn machines_without_power_and_network_lose_no_line_and_leave_nothing_behind() {
        let Some(as_root) = as_root() else { return };
        let place = Place::new();
        let drill = drill(&place, "partition_1_2,power_cut_two,one_way").and(&["--json"]);
        let drill = drill.under(&as_root).start();
        let announced = drill.json();
        let steps = [drill.json(), drill.json(), drill.json()];
        let mut done: Vec<&str> = steps.iter().filter_map(|step| step["fault"].as_str()).collect();
        done.sort_unstable();
        assert_eq!(done, ["one_way", "partition_1_2", "power_cut_two"], "{steps:?}");
        for step in &steps {
            assert!(step["pause_ms"].as_f64().is_some_and(|pause| pause > 0.0), "{step}");
            assert!(step["late"].is_u64() && step["settled_ms"].is_f64(), "{step}");
            assert_eq!(step["confirmed"], step["unconfirmed"], "{step}");
            // Whoever has lost both others goes on alone.
            let is_alone = step["fault"] != "one_way";
            let alone = step["unconfirmed"].as_u64().expect("a count");
            assert!(!is_alone || alone > 0, "{step}");
        }
        let report = drill.json();
        assert_eq!(report["ok"], true, "{report}");
        drill.end().code(0);
        for what in ["lost", "doubled", "out_of_order", "failed"] {
            assert_eq!(report["total"][what], 0, "{report}");
        }
        assert_eq!(report["total"]["confirmed"], report["total"]["unconfirmed"], "{report}");
        assert_eq!(left_behind(&place), Vec::<String>::new());
        nobody_serves(announced["dir"].as_str().expect("a folder"));
    }

    /// Asked to end it does so in order. Killed it cannot, and takes its machines along.
    #[test]
    fn a_drill_that_is_ended_takes_its_machines_along() {
        let Some(as_root) = as_root() else { return };
        for (how, code) in [(Signal::INT, 130), (Signal::KILL, 137)] {
            let place = Place::new();
            let drill = drill(&place, "power_cut_one,freeze_two").and(&["--json"]);
            let drill = drill.under(&as_root).start();
            let dir = drill.json()["dir"].as_str().expect("a folder").to_string();
            // A fault was done, so that everything runs.
            drill.line();
            drill.signal(how);
            drill.end().code(code);
            nobody_serves(&dir);
            let is_killed = how == Signal::KILL;
            assert_eq!(left_behind(&place).len(), usize::from(is_killed));
        }
    }

    #[test]
    fn who_may_not_make_machines_is_told_what_is_needed_before_anything_is_made() {
        let place = Place::new();
        // In a user namespace in which it is nobody, even root may do nothing. Where there are
        // none, this is not run by root.
        let nobody: &[&str] = if as_root().is_some() { &["unshare", "--user"] } else { &[] };
        let refused = || drill(&place, "one_way").under(nobody);
        refused().end().fails(1, &["--hosts", "needs root", "nothing was made"]);
        refused().and(&["--json"]).end().refused(1, "io");
        let no_program = drill(&place, "one_way").env("PATH", "/nonexistent").end();
        no_program.fails(1, &["`ip`", "iproute2"]);
        assert_eq!(left_behind(&place), Vec::<String>::new());
    }

    #[test]
    fn faults_of_one_machine_are_none_of_three() {
        let place = Place::new();
        drill(&place, "kill_leader").end().fails(2, &["kill_leader", "partition_1_1_1"]);
        let here = place.run(&["drill", "--faults", "one_way"]).end();
        here.fails(2, &["one_way", "kill_leader"]);
    }
}
