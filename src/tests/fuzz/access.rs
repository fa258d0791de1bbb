//! The text of an access file: users that keep what the file promises, or one sentence about what is wrong.

use std::path::Path;

use crate::config::{Access, check_user_name};

/// The bounds of `Limits` in `OPERATING.md`.
const USERS_MAX: usize = 10_000;
const TOKENS_MAX: usize = 20_000;

/// The most bytes of the name of a user and of a person.
const NAME_BYTES_MAX: usize = 64;

/// The most bytes of the name of a client.
const CLIENT_BYTES_MAX: usize = 1_024;

/// More characters than a sentence needs that quotes a name or two.
const ERROR_CHARS_MAX: usize = 2_000;

/// `data` is the file.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Access::parse(Path::new("access.toml"), text) {
        Ok(access) => good(&access),
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
            assert!(
                sentence.chars().count() <= ERROR_CHARS_MAX && sentence.split(' ').count() > 3,
                "{sentence}"
            );
        }
    }
}

fn good(access: &Access) {
    let (users, tokens) = access.counts();
    assert!((1..=USERS_MAX).contains(&users) && tokens <= TOKENS_MAX);
    let mut clients = vec!["kiwi".to_owned(), "/".to_owned(), String::new()];
    for user in (0..users).map(|index| access.user(index)) {
        assert!(
            check_user_name(&user.id).is_ok() && user.id.len() <= NAME_BYTES_MAX && access.has_user(&user.id)
        );
        assert!(user.name.as_ref().is_none_or(|name| (1..=NAME_BYTES_MAX).contains(&name.len())));
        for device in &user.devices {
            assert!((1..=CLIENT_BYTES_MAX).contains(&device.len()), "{device}");
            assert!(
                !device.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control()),
                "{device:?}"
            );
        }
        clients.push(format!("{}/phone", user.id));
        clients.extend(user.devices.iter().cloned());
    }
    for index in 0..users {
        let user = access.user(index);
        let own = format!("{}/phone", user.id);
        assert!(access.may_report(index, &own) && access.may_see(index, &own));
        assert!(!access.may_report(index, &user.id) || user.devices.contains(&user.id));
        for client in &clients {
            // Who may report may see, and is told of it as a friend.
            assert!(!access.may_report(index, client) || access.may_see(index, client), "{client}");
            let Some(mut seen) = access.seen_by(index) else { continue };
            let is_of = |client: &str, id: &str| {
                client
                    .strip_prefix(id)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .is_some_and(|rest| !rest.is_empty())
            };
            let is_found = seen.any(|seen| seen.devices.contains(client) || is_of(client, &seen.id));
            assert_eq!(is_found, access.may_see(index, client), "{} and {client}", user.id);
        }
    }
}
