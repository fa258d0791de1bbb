//! A new token of a user: what goes into the access file, and what goes onto the phone.

use std::path::Path;

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;

use crate::config::{Access, ConfigError, TokenHash, check_user_name};
use crate::os::random;
use crate::proto::http::form;

/// The device that a phone calls itself, if nothing else is said.
pub(super) const DEVICE_DEFAULT: &str = "phone";

/// Makes a token for a user, and says what to do with it. With the address of a server for phones there is a link that
/// configures OwnTracks too.
pub(super) fn text(
    user: &str,
    access: Option<&Path>,
    url: Option<&str>,
    device: &str,
) -> Result<String, ConfigError> {
    check_user_name(user)?;
    let is_known = access.map(Access::load).transpose()?.is_some_and(|access| access.has_user(user));
    let token = random::token().map_err(|error| {
        ConfigError::Usage(format!("the operating system has no random numbers: {error}"))
    })?;
    let hash = TokenHash::of(token.as_bytes());
    let place = if is_known {
        "The hash, for the `tokens` of this user in the access file"
    } else {
        "The lines for the access file"
    };
    let lines = match is_known {
        true => format!("  \"{hash}\"\n"),
        // A dot would begin a table within the table.
        false => format!("  [users.{user:?}]\n  tokens = [\"{hash}\"]\n"),
    };
    let mut text = format!(
        "The token of {user}, which is shown this once:\n  {token}\n\n{place}; send the server SIGHUP then:\n{lines}"
    );
    if let Some(url) = url {
        text += &for_phones(user, device, &token, url)?;
    }
    Ok(text)
}

/// What is typed, opened or photographed on the phone.
fn for_phones(user: &str, device: &str, token: &str, url: &str) -> Result<String, ConfigError> {
    let base = base_of(url)?;
    let configuration = json!({
        "_type": "configuration",
        // HTTP.
        "mode": 3,
        "url": format!("{base}/pub"),
        "auth": true,
        "username": user,
        "password": token,
        "deviceId": device,
    });
    let mut configuration = configuration.to_string();
    // Not all apps take an equals sign at the end, so there must be nothing to fill up.
    while !configuration.len().is_multiple_of(3) {
        configuration.push(' ');
    }
    // A plus sign in a query is a space for some.
    let configuration = form::to_base64(configuration.as_bytes());
    let inline = form::attribute_value(&configuration);
    let link = format!("owntracks:///config?inline={inline}");
    let picture = QrCode::with_error_correction_level(&link, EcLevel::L)
        .map(|code| code.render::<Dense1x2>().build())
        .map_err(|error| ConfigError::Usage(format!("--url {url} makes no QR code: {error}")))?;
    let warning = if base.starts_with("http://") {
        "\nWithout TLS everybody on the way can read the token: use https:// outside of a network of your own.\n"
    } else {
        ""
    };
    Ok(format!(
        "{warning}\nThe link that configures OwnTracks as {user}/{device}, to be opened or photographed:\n  \
         {link}\n\n{picture}\n\nThe address for apps that send no login, with {user}/{device} as their identifier:\n  \
         {base}/t/{token}/\n"
    ))
}

/// The address without the slash at its end.
fn base_of(url: &str) -> Result<&str, ConfigError> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@' | '"' | '\\');
    match rest.map(|rest| rest.trim_end_matches('/')) {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && !rest.contains(is_odd) => {
            Ok(url.trim_end_matches('/'))
        }
        _ => Err(ConfigError::Usage(
            "--url takes the address at which phones reach the server, such as https://herd.example"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(user: &str, access: Option<&Path>, url: Option<&str>) -> String {
        text(user, access, url, "my-phone").unwrap()
    }

    #[test]
    fn new_token_comes_with_what_it_needs() {
        let token_of = |text: &str| text.lines().nth(1).unwrap().trim().to_owned();
        let (one, two) = (printed("jane", None, None), printed("jane", None, None));
        let token = token_of(&one);
        assert!(token.len() == 64 && token != token_of(&two), "{one}");
        // What is printed for the file is what it takes, and what the token opens.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("access.toml");
        let lines = one.split("SIGHUP then:\n").nth(1).unwrap();
        std::fs::write(&file, lines).unwrap();
        let access = Access::load(&file).unwrap();
        let jane = access.user_of(&TokenHash::of(token.as_bytes())).unwrap();
        assert_eq!(access.user(jane).id, "jane");

        let known = printed("jane", Some(&file), None);
        assert!(known.contains("for the `tokens` of this user") && !known.contains("[users"), "{known}");
        let found = printed("j.d", None, Some("https://herd.example/"));
        assert!(found.contains("[users.\"j.d\"]") && found.contains('\u{2588}'), "{found}");
        let token = token_of(&found);
        assert!(found.ends_with(&format!("  https://herd.example/t/{token}/\n")), "{found}");
        let link = found.split("owntracks:///config?inline=").nth(1).unwrap().lines().next().unwrap();
        assert!(link.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{link}");
        let configuration = form::base64(link).unwrap();
        let configuration: serde_json::Value = serde_json::from_slice(&configuration).unwrap();
        assert_eq!(
            configuration,
            json!({
                "_type": "configuration", "mode": 3, "url": "https://herd.example/pub", "auth": true,
                "username": "j.d", "password": token, "deviceId": "my-phone",
            })
        );
        // Behind a proxy that serves other programs too.
        let below = printed("a", None, Some("https://herd.example/proxyherd/"));
        let link = below.split("inline=").nth(1).unwrap().lines().next().unwrap();
        let configuration = String::from_utf8(form::base64(link).unwrap()).unwrap();
        assert!(configuration.contains("\"https://herd.example/proxyherd/pub\""), "{configuration}");
        assert!(below.contains("  https://herd.example/proxyherd/t/"), "{below}");
        assert!(printed("a", None, Some("http://10.0.0.1:80")).contains("Without TLS everybody"));
        for (user, access, url) in [
            ("a/b", None, None),
            ("a:b", None, None),
            ("", None, None),
            ("a", None, Some("herd.example")),
            ("a", None, Some("https:///pub")),
            ("a", None, Some("https://u:p@h")),
            ("a", None, Some("https://h/?token=x")),
            ("a", Some(Path::new("/nowhere")), None),
        ] {
            assert!(text(user, access, url, "phone").is_err(), "{user} {url:?}");
        }
    }
}
