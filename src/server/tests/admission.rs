//! Who may come in: what a server does before the log decides, and after an answer was
//! lost.

use super::*;
use crate::chat::{Action, Change, Operation, Outcome};
use crate::limits::LEVEL_OF_ADMISSION;
use crate::protocol::administration::Registration;
use crate::types::{AccountName, Timestamp, code_hash};

const CODE: &str = "GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV";

impl Rig {
    /// What an administrator does at another server.
    fn administer(&self, change: Change) {
        let operation = |action| Operation { id: id_of(&format!("{action:?} {change:?}")), action };
        let level = Action::RaiseLevel { level: LEVEL_OF_ADMISSION };
        let asked = Action::Administer { by: "root@alpha".into(), change: change.clone() };
        let outcomes = self.replica.apply(vec![operation(level), operation(asked)]);
        assert!(!matches!(outcomes[1], Outcome::Refused(_)), "{outcomes:?}");
    }

    fn set_registration(&self, registration: Registration) {
        self.administer(Change::SetRegistration { registration, unless_set: false });
    }
}

fn register_with(name: &str, invitation: &str) -> Value {
    let mut request = register(name);
    request["register"]["invitation"] = invitation.into();
    request
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_stranger_reaches_the_log_and_a_repetition_does() {
    let rig = Rig::start();
    rig.set_registration(Registration::Invited);
    let code_hash = code_hash(CODE);
    rig.administer(Change::Invite { code_hash, uses: 1, expires: Timestamp::MAX });
    let mut client = rig.client().await;
    assert_eq!(client.refused(register("alice")).await, "invitation_required");
    assert_eq!(client.refused(register_with("alice", "wrong")).await, "invitation_refused");
    assert!(rig.replica.proposed().is_empty(), "no password was hashed, no entry written");
    let typed = CODE.to_lowercase().replace('-', " ");
    let first = client.ask(register_with("alice", &typed)).await;
    assert_eq!(first["result"]["session"]["name"], "alice", "{first}");
    // The answer was lost: the same again, at another server, when nothing is left of it.
    let again = rig.client().await.ask(register_with("alice", CODE)).await;
    assert_eq!(again["result"], first["result"]);
    assert_eq!(rig.client().await.refused(register_with("bob", CODE)).await, "invitation_refused");
    rig.set_registration(Registration::Closed);
    assert_eq!(rig.client().await.refused(register("bob")).await, "registration_closed");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_was_just_founded_lets_nobody_in_before_it_is_decided_who_may() {
    let rig = Rig::start();
    *rig.replica.proposed_registration.lock() = Registration::Invited;
    let early = rig.client().await.ask(register("alice")).await;
    assert_eq!(code(&early), "unavailable", "{early}");
    assert!(early["error"]["message"].to_string().contains("was just founded"), "{early}");
    rig.set_registration(Registration::Open);
    rig.registered("alice").await;
}

#[tokio::test(start_paused = true)]
async fn a_code_sets_a_new_password_once_however_often_it_is_asked_for() {
    let rig = Rig::start();
    rig.registered("alice").await;
    let name = AccountName::new("alice").expect("valid");
    let code_hash = code_hash(CODE);
    rig.administer(Change::ResetAccount { name, code_hash, expires: Timestamp::MAX });
    let mut client = rig.client().await;
    assert_eq!(client.refused(login(1, "alice", PASSWORD)).await, "login_refused");
    assert_eq!(client.refused(login(2, "alice", "wrong code")).await, "login_refused");
    assert_eq!(client.refused(login(3, "alice", CODE)).await, "new_password_required");
    let with_new = |number: u128, new: &str| {
        let mut request = login(number, "alice", CODE);
        request["login"]["new_password"] = new.into();
        request
    };
    assert_eq!(client.refused(with_new(4, "short")).await, "invalid_password");
    let first = client.ask(with_new(5, "a better horse")).await;
    assert_eq!(first["result"]["session"]["name"], "alice", "{first}");
    let again = rig.client().await.ask(with_new(5, "a better horse")).await;
    assert_eq!(again["result"], first["result"]);
    // Knowing the id of that request is not enough.
    let mut stolen = with_new(5, "the worst horse");
    stolen["login"]["token"] = token("mallory").into();
    assert_eq!(rig.client().await.refused(stolen).await, "id_conflict");
    assert_eq!(client.refused(with_new(6, "the worst horse")).await, "login_refused");
    assert_eq!(client.refused(login(7, "alice", PASSWORD)).await, "login_refused");
    let later = client.ask(login(8, "alice", "a better horse")).await;
    assert_eq!(later["result"]["session"]["name"], "alice", "{later}");
}
