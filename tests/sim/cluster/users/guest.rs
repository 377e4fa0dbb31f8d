//! A user who comes and goes under one name.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ftchat::error::ErrorCode;
use ftchat::host::Host;
use ftchat::protocol::client::{Answer, Request};

use super::resident::recipients;
use super::shell::Shell;
use super::{PASSWORD, TIMEOUT, Users, draw, register, reply_of, token};
use crate::oracle::{Call, Reply};

/// How long a guest stays at most.
const STAY_MAX_MS: u64 = 4_000;

/// What a guest changes the password to.
const NEW_PASSWORD: &str = "a better password";

/// See the head of this file.
pub struct Guest;

impl Guest {
    /// Comes and goes until all is quiet.
    pub async fn run(host: Host, name: &str, users: Users) -> Result<(), String> {
        for visit in 1.. {
            tokio::time::sleep(Duration::from_millis(draw(&host, STAY_MAX_MS / 2))).await;
            if users.quiet.load(Ordering::Relaxed) {
                break;
            }
            let owner = format!("{name}#{visit}");
            let call = Call::Register { owner: owner.clone() };
            let operation = users.recorder.begin(&owner, call);
            let mut client = users.client(&host, TIMEOUT)?;
            let token = register(&mut client, &host, &users, name).await?;
            users.recorder.end(operation, Reply::Registered);
            let cluster = client.cluster().await.map_err(|error| error.to_string())?;
            let shell = Shell::new(&host, &users, &owner, &token, cluster)?;
            stay(shell, name).await?;
        }
        Ok(())
    }
}

/// Reads and writes a little, then goes for good.
async fn stay(mut shell: Shell, name: &str) -> Result<(), String> {
    let leaves =
        tokio::time::Instant::now() + Duration::from_millis(draw(&shell.host, STAY_MAX_MS));
    let mut number = 0;
    while tokio::time::Instant::now() < leaves {
        number += 1;
        let hurries = shell.one_in(4);
        shell.hurry(hurries)?;
        match draw(&shell.host, 10) {
            0..4 => drop(shell.read_all(0).await?),
            4 => shell.read_unread().await?,
            5 => shell.send_lines(number).await?,
            _ => {
                let (to, text) = (recipients(&shell), format!("{} {number}", shell.owner));
                shell.send(to, text).await?;
            }
        }
        shell.pause(400).await;
    }
    shell.hurry(false)?;
    let password = match shell.one_in(3) {
        true => change_password(&shell, name).await?,
        false => PASSWORD,
    };
    leave(&mut shell, password).await
}

/// Changes the password, however long it takes, and sees that the old one opens nothing then,
/// whichever server is asked. Returns the one from then on.
async fn change_password(shell: &Shell, name: &str) -> Result<&'static str, String> {
    let (operation, mut in_doubt) = (shell.host.uuid(), false);
    loop {
        let request = Request::ChangePassword {
            operation,
            password: PASSWORD.to_string(),
            new_password: NEW_PASSWORD.to_string(),
        };
        match shell.client_for(shell.hasty_limit())?.request(request).await {
            Ok(Answer::Done { .. }) => break,
            Ok(answer) => return Err(format!("changed the password and got {answer:?}")),
            // Until the last server is updated.
            Err(error) if error.code == ErrorCode::UnsupportedVersion && !in_doubt => {
                return Ok(PASSWORD);
            }
            Err(error) => in_doubt |= reply_of(error)? == Reply::Unknown,
        }
    }
    shell.users.count("passwords changed");
    loop {
        let request = Request::Login {
            operation: shell.host.uuid(),
            name: name.to_string(),
            password: PASSWORD.to_string(),
            token: token(&shell.host),
            new_password: None,
        };
        match shell.users.client(&shell.host, TIMEOUT)?.request(request).await {
            Err(error) if error.code == ErrorCode::LoginRefused => return Ok(NEW_PASSWORD),
            Ok(_) => return Err(format!("{name} logged in with the password of before")),
            Err(error) => drop(reply_of(error)?),
        }
    }
}

/// Deletes the account, however long it takes. What was told to have done nothing
/// has not: the account is still there then.
async fn leave(shell: &mut Shell, password: &str) -> Result<(), String> {
    let call = Call::DeleteAccount { owner: shell.owner.clone() };
    let mut operation = shell.host.uuid();
    let recorded = shell.users.recorder.begin(&shell.owner, call);
    let mut in_doubt = false;
    loop {
        let limit = if shell.users.scale.hasty { shell.hasty_limit() } else { TIMEOUT };
        let mut client = shell.client_for(limit)?;
        let request = Request::DeleteAccount { operation, password: password.to_string() };
        match client.request(request).await {
            Ok(Answer::Done { .. }) => break,
            Ok(answer) => return Err(format!("left and got {answer:?}")),
            // The first attempt has ended the session that a second one needs.
            Err(error) if error.code == ErrorCode::SessionExpired && in_doubt => break,
            Err(error) => match reply_of(error)? {
                Reply::Refused(_) if !in_doubt => {
                    shell.users.count("departures refused");
                    operation = shell.host.uuid();
                    shell.read_all(0).await?;
                }
                Reply::Refused(_) => {}
                _ => in_doubt = true,
            },
        }
    }
    shell.users.recorder.end(recorded, Reply::Deleted);
    Ok(())
}
