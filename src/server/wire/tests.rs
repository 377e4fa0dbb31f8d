use super::*;
use crate::limits::{RECIPIENTS_MAX, TEXT_MAX_BYTES};
use crate::protocol::client::{ResponseBody, ResponseLine, Sent};
use crate::types::{AccountName, Names, Place, Timestamp, Uuid};

fn message(to: usize, text: String) -> Message {
    let name = AccountName::new(&"x".repeat(32)).expect("as long as a name can be");
    let to: Names = vec![name.clone(); to].into_iter().collect();
    Message {
        id: Uuid::max(),
        from: name,
        to: to.clone(),
        text,
        at: Timestamp::MAX,
        seq: Some(u64::MAX),
        confirmed: false,
        place: Some(Place { list: Uuid::max(), number: u64::MAX }),
        seen_to: Some(u64::MAX),
        read: false,
        accepted_at: Some(Timestamp::MAX),
        notice: true,
        mention: true,
        reply_to: Some(Uuid::max()),
        answers: None,
        read_by: Some(to),
    }
}

#[test]
fn lines_are_what_clients_read() {
    let sent = Answer::Sent(Sent {
        id: Uuid::nil(),
        to: Names::from_iter([AccountName::new("bob").expect("valid")]),
        at: Timestamp(1),
        seq: Some(2),
        confirmed: true,
        place: None,
        copies: 3,
        replicas: 3,
    });
    let event = Event::Messages(vec![message(1, "\u{7}\"hi\"\n".into())]);
    let error = Error::new(ErrorCode::NameTaken, "taken");
    let mut buffer = Vec::new();
    push_result(&mut buffer, 7, &sent);
    push_event(&mut buffer, 8, &event);
    push_error(&mut buffer, None, error.clone());
    let lines: Vec<ResponseLine> = buffer
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).expect("a response"))
        .collect();
    assert!(matches!(&lines[0].body, ResponseBody::Result(answer) if *answer == sent));
    assert!(matches!(&lines[1].body, ResponseBody::Event(read) if *read == event));
    assert!(matches!(&lines[2].body, ResponseBody::Error(body) if body.code == error.code));
    assert_eq!(lines.iter().map(|line| line.id).collect::<Vec<_>>(), [Some(7), Some(8), None]);
    // And written by parts or as a whole, the bytes are the same.
    let whole = ResponseLine { id: Some(7), body: ResponseBody::Result(sent) };
    let whole = serde_json::to_vec(&whole).expect("plain data");
    assert_eq!(buffer.split(|byte| *byte == b'\n').next(), Some(&whole[..]));
}

#[test]
fn what_is_wrong_with_a_line_is_told() {
    let told = |line: &str| {
        let unreadable = parse_request(line.as_bytes()).expect_err(line);
        (unreadable.id, unreadable.error.code)
    };
    use ErrorCode::{InvalidRequest, UnknownOperation};
    assert_eq!(told("GET / HTTP/1.1"), (None, InvalidRequest));
    assert_eq!(told(r#"[1,null,{"ping":{}}]"#), (None, InvalidRequest));
    assert_eq!(told(r#"{"request":{"ping":{}}}"#), (None, InvalidRequest));
    assert_eq!(told(r#"{"id":-1,"request":{"ping":{}}}"#), (None, InvalidRequest));
    assert_eq!(told(r#"{"id":1}"#), (Some(1), InvalidRequest));
    assert_eq!(told(r#"{"id":1,"request":{"dance":{"to":"x"}}}"#), (Some(1), UnknownOperation));
    assert_eq!(told(r#"{"id":1,"request":{"send":{"to":["x"]}}}"#), (Some(1), InvalidRequest));
    assert_eq!(told(r#"{"id":1,"request":{"ping":{},"whoami":{}}}"#), (Some(1), InvalidRequest));
    let deep = format!(r#"{{"id":1,"request":{}"#, "[".repeat(40));
    assert_eq!(told(&deep), (None, InvalidRequest));
    let extra = r#"{"id":1,"new":[1],"request":{"ping":{"new":2}}}"#;
    assert_eq!(parse_request(extra.as_bytes()).expect("unknown fields are ignored").id, 1);
}

#[test]
fn every_operation_is_known_by_name() {
    // `unknown variant` lists those that the type knows.
    let error = serde_json::from_str::<RequestLine>(r#"{"id":1,"request":{"dance":{}}}"#)
        .expect_err("unknown")
        .to_string();
    let listed = error.split_once("expected one of ").expect("a list").1;
    let listed: Vec<_> = listed.split('`').skip(1).step_by(2).collect();
    assert_eq!(listed, OPERATIONS);
}

/// An answer that is short, to what is long.
fn quoting(character: &str) -> Message {
    let text = character.repeat(crate::limits::QUOTED_CHARS_MAX);
    let message = message(1, "x".into());
    let answers = Some(crate::protocol::client::Quote { from: message.from.clone(), text });
    Message { answers, ..message }
}

#[test]
fn a_page_is_cut_to_fit_a_line() {
    for message in [
        message(RECIPIENTS_MAX, "\u{1}".repeat(TEXT_MAX_BYTES)),
        message(1, "\u{1}".repeat(TEXT_MAX_BYTES)),
        message(RECIPIENTS_MAX, "\"".into()),
        message(1, "é".into()),
        quoting("\u{1}"),
        quoting("\u{1f600}"),
    ] {
        let mut page = vec![message; 5_000];
        let mut room = Room::default();
        page.truncate(page.iter().take_while(|message| room.take(message)).count());
        let mut line = Vec::new();
        push_event(&mut line, u64::MAX, &Event::Messages(page.clone()));
        assert!(line.len() <= SERVER_LINE_MAX_BYTES, "{} bytes", line.len());
        let each = line.len() / page.len();
        assert!(line.len() + 2 * each + 256 * page.len() > SERVER_LINE_MAX_BYTES, "room is used");
    }
}
