//! Hard days for a server that is alone: it dies with a long list, its clock jumps.

use ftchat::limits::CLOCK_LEAD_MAX_MS;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{left_alone, sent, thaw};
use crate::harness::faults;
use crate::harness::{Cluster, wait_for};

/// Lines that a server takes alone before it dies.
const MANY: usize = 20_000;

#[test]
fn a_server_that_dies_with_a_long_list_goes_on_and_all_of_it_is_confirmed_once_and_in_order() {
    let cluster = Cluster::surviving();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let (left, frozen) = left_alone(&cluster);
    let lines: String = (0..MANY).map(|number| format!("{number}\n")).collect();
    let taken = alice.run(&["send", &bob.name, "--lines", "--timeout", "60s"]).stdin(lines).end();
    let taken = taken.ok();
    let mut expected: Vec<&str> = taken.lines().collect();
    assert_eq!(expected.len(), MANY);
    cluster.crash(left);
    wait_for("the end of a server", || cluster.server(left).is_none().then_some(()));

    cluster.admin(&["start", &left.to_string()]).end().ok();
    // Nobody has led it since, so it waits for the others first.
    let last = alice.does(&["send", &bob.name, "last", "--json", "--timeout", "60s"]).json();
    assert_eq!(last["confirmed"], false, "{last}");
    expected.push(last["id"].as_str().expect("an id"));
    let status = cluster.status();
    assert_eq!(status["unconfirmed"], expected.len(), "{status}");
    assert_eq!(bob.ids(), expected, "it shows all of them, a page after the other");
    thaw(&cluster, &frozen);
    assert_eq!(bob.ids(), expected);
    let messages = bob.messages();
    assert!(messages.iter().all(|message| message["confirmed"] == true));
    assert!(messages.is_sorted_by(|a, b| a["seq"].as_u64() < b["seq"].as_u64()));
}

fn instant(text: &Value) -> Timestamp {
    text.as_str().and_then(|text| text.parse().ok()).expect("an instant")
}

/// What a message is counted by is where it stands, and sessions end by the clocks of several.
#[test]
fn a_clock_that_jumps_by_years_while_alone_loses_no_message_and_ends_no_session() {
    const YEAR_S: i64 = 365 * 24 * 3_600;
    const TEN_YEARS_S: i64 = 10 * YEAR_S;
    let clocks = tempfile::tempdir().expect("a folder");
    let folder = clocks.path().display().to_string();
    let faults = [("LD_PRELOAD", faults::library()), (faults::CLOCKS, &folder)];
    let cluster = Cluster::surviving_with(&faults);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let begun = Timestamp::now();
    let mut expected = Vec::new();
    for off_s in [TEN_YEARS_S, -TEN_YEARS_S] {
        let (left, frozen) = left_alone(&cluster);
        let pid = cluster.server(left).expect("it runs");
        sent(&alice, &bob, &format!("before a jump of {off_s} s"));
        faults::set_clock(clocks.path(), pid, off_s);
        let jumped = sent(&alice, &bob, &format!("behind a jump of {off_s} s"));
        let at = instant(&jumped["at"]);
        assert!(at.duration_since(begun).abs().as_secs() > YEAR_S, "it has jumped: {jumped}");
        thaw(&cluster, &frozen);
        faults::set_clock(clocks.path(), pid, 0);
        expected.extend(["before", "behind"].map(|when| format!("{when} a jump of {off_s} s")));
        assert_eq!(bob.texts(), expected);
        for message in bob.messages() {
            // A leader's clock may be ahead of the others' by so much.
            let late = Timestamp::now() + SignedDuration::from_millis(CLOCK_LEAD_MAX_MS as i64);
            let at = instant(&message["at"]);
            assert!(at >= begun && at <= late, "{message}");
        }
        for person in [&alice, &bob] {
            person.does(&["whoami"]).ok();
        }
        cluster.await_whole();
    }
}
