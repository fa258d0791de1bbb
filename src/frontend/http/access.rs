//! Who asks: without an access file a program on this machine, which may do all; with one a user, who shows a
//! token. And with or without one, guests who have the link of a share.

use std::borrow::Cow;
use std::sync::Arc;

use super::guard;
use super::route;
use crate::config::{Access, TokenHash, User};
use crate::frontend::access::{AccessControl, Current};
use crate::frontend::connection::Shared;
use crate::member::Member;
use crate::member::conversation::Remote;
use crate::member::metrics::Event;
use crate::net::admission::network;
use crate::os::clock;
use crate::proto::http::form;
use crate::proto::http::request::{Name, Request};
use crate::proto::http::response::Response;
use crate::proto::http::share::Share;
use crate::proto::model::stored_line::StoredLine;
use crate::proto::store::update::trimmed;

/// The most tokens that are looked up of one request: a header field, the path, and the query have one each.
const TOKENS_MAX: usize = 4;

/// What a browser is told, so that it asks for a login.
const CHALLENGE: &str = "Basic realm=\"proxyherd\", charset=\"UTF-8\"";

/// Keys of a query whose value is a token.
const TOKEN_KEYS: [&str; 2] = ["token", "api_key"];

/// Who asks.
pub(in crate::frontend) enum Asker {
    /// A program on this machine, as there is no access file.
    Local,
    /// The user of this index.
    User(Arc<Access>, usize, TokenHash),
    /// One who has the link of a share.
    Guest(Share),
}

/// The token of an asker is no longer good, or another user's now.
pub(in crate::frontend) struct Revoked;

/// The longest `Authorization` that a connection remembers: a name and a token have half of it.
const LOGIN_BYTES_MAX: usize = 256;

/// The `Authorization` with which a user has made a request on a connection. A phone shows the same with each report,
/// and to hash a token takes as long as half of all else.
#[derive(Default)]
pub(super) struct LastLogin(Option<(Vec<u8>, u64, usize, TokenHash)>);

/// A token, and whose it is said to be.
#[derive(Debug, PartialEq, Eq)]
struct Login<'a> {
    user: Option<String>,
    token: Cow<'a, [u8]>,
}

impl Asker {
    /// Who makes this request.
    ///
    /// # Errors
    /// The answer to one who may not make any.
    pub(super) fn of(shared: Shared<'_>, request: &Request<'_>, remote: Remote) -> Result<Asker, Response> {
        let logins = logins(request);
        let access = shared.access.map(AccessControl::current);
        // A right token is enough whatever else is wrong: a proxy may have a login of its own in the header.
        let user = access.and_then(|access| {
            let (user, token) = logins.iter().find_map(|login| login.user_in(&access))?;
            Some(Asker::User(access, user, token))
        });
        if let Some(user) = user {
            return Ok(user);
        }
        // One that has ended must not do more without users than it did before.
        if let Some(login) = logins.iter().find(|login| Share::is_token(&login.token)) {
            match share_of(shared.member, &login.token) {
                Some(share) if !has_ended(shared.member, &share) => return Ok(Asker::Guest(share)),
                Some(_) => return Err(unauthorised("this share has ended")),
                None if shared.access.is_none() => return Err(unauthorised("this is no share of this herd")),
                None => {}
            }
        }
        let Some(control) = shared.access else {
            let checked = guard::check(request, remote.is_local(), |name| is_own_name(shared, name));
            return checked.map(|()| Asker::Local).map_err(|(status, why)| Response::problem(status, why));
        };
        match logins.is_empty() {
            true => Err(unauthorised("this needs the token of a user")),
            false => Err(failed(shared, control, remote)),
        }
    }

    /// Who logs in with this user and this token, at a door without requests.
    ///
    /// # Errors
    /// Why one may not who may not.
    pub(in crate::frontend) fn of_login(
        shared: Shared<'_>,
        user: Option<&str>,
        token: Option<&[u8]>,
        remote: Remote,
    ) -> Result<Asker, NotLoggedIn> {
        let user = user.filter(|user| !user.is_empty());
        // Where an app has but one field, the token stands in it.
        let (user, token) = match token.filter(|token| !token.is_empty()) {
            Some(token) => (user, Some(token)),
            None => (None, user.map(str::as_bytes)),
        };
        let Some(control) = shared.access else {
            // The link of a share must not do more without users than it does with them.
            let is_share = token.is_some_and(Share::is_token);
            let is_local = remote.is_local();
            return if is_local && !is_share { Ok(Asker::Local) } else { Err(NotLoggedIn::NoUsers) };
        };
        let Some(token) = token else { return Err(NotLoggedIn::NoToken) };
        let (access, user) = (control.current(), user.map(str::to_owned));
        match (Login { user, token: Cow::Borrowed(token) }).user_in(&access) {
            Some((user, token)) => Ok(Asker::User(access, user, token)),
            None if wait_after_failure(shared, control, remote) => Err(NotLoggedIn::WrongToken),
            None => Err(NotLoggedIn::TooMany),
        }
    }

    /// Whether it is a program on this machine, which may do everything.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Asker::Local)
    }

    /// The user, if there are users.
    pub(in crate::frontend) fn user(&self) -> Option<&User> {
        match self {
            Asker::Local | Asker::Guest(_) => None,
            Asker::User(access, user, _) => Some(access.user(*user)),
        }
    }

    /// Takes the rights of the moment, if the users have changed since `generation`, and returns the asker as it was.
    ///
    /// # Errors
    /// [`Revoked`]: the connection ends.
    pub(in crate::frontend) fn renew(
        &mut self,
        control: Option<&AccessControl>,
        generation: &mut u64,
    ) -> Result<Option<Asker>, Revoked> {
        let Some(control) = control else { return Ok(None) };
        let current = control.current_generation();
        if current.generation == *generation {
            return Ok(None);
        }
        let now = self.again(&current.access).ok_or(Revoked)?;
        *generation = current.generation;
        Ok(Some(std::mem::replace(self, now)))
    }

    /// The same asker with the users of `access`; `None` if the token is revoked, or another user's now.
    fn again(&self, access: &Arc<Access>) -> Option<Asker> {
        match self {
            Asker::Local => Some(Asker::Local),
            Asker::Guest(share) => Some(Asker::Guest(share.clone())),
            Asker::User(before, user, token) => {
                let now = access.user_of(token)?;
                let is_same = access.user(now).id == before.user(*user).id;
                is_same.then(|| Asker::User(Arc::clone(access), now, *token))
            }
        }
    }

    /// Whether a client is one of a group of users.
    pub(super) fn has_group(&self, group: &str, client: &str) -> bool {
        match self {
            Asker::Local | Asker::Guest(_) => false,
            Asker::User(access, ..) => access.is_of_group(group, client),
        }
    }

    /// Whether the asker may report as this client.
    pub(in crate::frontend) fn may_report(&self, client: &str) -> bool {
        match self {
            Asker::Local => true,
            Asker::Guest(_) => false,
            Asker::User(access, user, _) => access.may_report(*user, client),
        }
    }

    /// Whether the asker may see where this client is.
    pub(in crate::frontend) fn may_see(&self, client: &str) -> bool {
        match self {
            Asker::Local => true,
            Asker::Guest(share) => share.client == client,
            Asker::User(access, user, _) => access.may_see(*user, client),
        }
    }

    /// The users whose clients the asker may see, each with those that do not bear the user's name; `None` for all
    /// clients.
    pub(super) fn seen_users(&self) -> Option<impl Iterator<Item = (&str, &[String])>> {
        let Asker::User(access, user, _) = self else { return None };
        Some(access.seen_by(*user)?.map(|user| (user.id.as_str(), user.devices.as_slice())))
    }

    /// The name of the person whose client this is, if there are users and it is known.
    pub(in crate::frontend) fn name_of(&self, client: &str) -> Option<&str> {
        match self {
            Asker::Local | Asker::Guest(_) => None,
            Asker::User(access, ..) => access.name_of(client),
        }
    }

    /// Who it is and from where, for the log.
    pub(in crate::frontend) fn at(&self, remote: Remote) -> String {
        match self {
            Asker::Local => remote.to_string(),
            Asker::Guest(_) => format!("a guest at {remote}"),
            Asker::User(access, user, _) => format!("{} at {remote}", access.user(*user).id),
        }
    }

    /// Whether the asker may ask how the server is, and forget clients.
    pub(in crate::frontend) fn is_admin(&self) -> bool {
        match self {
            Asker::Local => true,
            Asker::Guest(_) => false,
            Asker::User(access, user, _) => access.user(*user).is_admin,
        }
    }

    /// The share, if the asker has but its link.
    pub(super) fn share(&self) -> Option<&Share> {
        match self {
            Asker::Guest(share) => Some(share),
            Asker::Local | Asker::User(..) => None,
        }
    }
}

impl LastLogin {
    /// Who makes this request of the connection.
    ///
    /// # Errors
    /// As [`Asker::of`].
    pub(super) fn asker(
        &mut self,
        shared: Shared<'_>,
        request: &Request<'_>,
        remote: Remote,
    ) -> Result<Asker, Response> {
        let user = shared.access.and_then(|control| self.user(request, control.current_generation()));
        user.map_or_else(|| Asker::of(shared, request, remote), Ok)
    }

    /// The user of the header, whom the users of the moment must still have.
    fn user(&mut self, request: &Request<'_>, current: Current) -> Option<Asker> {
        let Current { access, generation } = current;
        let shown = request.header(Name::Authorization).filter(|shown| shown.len() <= LOGIN_BYTES_MAX)?;
        if let Some((before, of, user, token)) = &self.0
            && *of == generation
            && is_same(before, shown)
        {
            return Some(Asker::User(access, *user, *token));
        }
        let logins = header_logins(shown);
        let mut logins = logins.iter().filter(|login| !login.token.is_empty());
        let (user, token) = logins.find_map(|login| login.user_in(&access))?;
        self.0 = Some((shown.to_vec(), generation, user, token));
        Some(Asker::User(access, user, token))
    }
}

/// Compares all bytes, because a proxy may have requests of several users on one connection, and how long it takes
/// must not tell one of them what another has shown.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |found, (a, b)| found | (a ^ b)) == 0
}

/// Why one is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::frontend) enum NotLoggedIn {
    /// It is another machine, and there are no users.
    #[error("only programs on the same machine are served, because there are no users: see --access")]
    NoUsers,
    /// It shows none.
    #[error("this needs the token of a user")]
    NoToken,
    /// It is wrong.
    #[error("the token is wrong, or not this user's")]
    WrongToken,
    /// Too many wrong ones are being refused.
    #[error("too many wrong tokens are being refused")]
    TooMany,
}

impl Login<'_> {
    fn user_in(&self, access: &Access) -> Option<(usize, TokenHash)> {
        let token = TokenHash::of(&self.token);
        let user = access.user_of(&token)?;
        self.user.as_ref().is_none_or(|name| *name == access.user(user).id).then_some((user, token))
    }
}

/// The share of a token, if the herd has made it.
fn share_of(member: &Member, token: &[u8]) -> Option<Share> {
    member.me.secrets.iter().find_map(|secret| Share::of_token(token, secret))
}

/// Whether a share is over, or its client was forgotten since it was made.
fn has_ended(member: &Member, share: &Share) -> bool {
    let era = member.read(|node| {
        let stored = node.store().stored_line_of(share.client.as_bytes());
        stored.and_then(|line| StoredLine::parse(trimmed(line)).ok()).map(|line| line.era())
    });
    // What is made at one server may be shown at another before that knows the client.
    clock::now().seconds >= share.until_s || era.is_some_and(|era| era != share.era)
}

/// The answer to a wrong token.
fn failed(shared: Shared<'_>, control: &AccessControl, remote: Remote) -> Response {
    match wait_after_failure(shared, control, remote) {
        true => unauthorised("the token is wrong, or not this user's"),
        false => Response::problem(429, "too many wrong tokens are being refused").with("Retry-After", "5"),
    }
}

/// Waits after a wrong token, the longer the more of them have come from there. Whether there was a place to wait.
fn wait_after_failure(shared: Shared<'_>, control: &AccessControl, remote: Remote) -> bool {
    let what = format_args!("{remote} has shown a wrong token");
    shared.member.metrics.count_and_warn(Event::Login, remote.from, what);
    let wait = control.failed.wait_of(network(remote.from.ip()), clock::instant());
    let Some(_place) = control.failed.place_to_wait() else { return false };
    shared.gate.open.pause(wait);
    true
}

fn unauthorised(why: &str) -> Response {
    Response::problem(401, why).with("WWW-Authenticate", CHALLENGE)
}

/// All tokens that a request shows.
fn logins<'a>(request: &Request<'a>) -> Vec<Login<'a>> {
    let named = |token: &'a [u8]| Login { user: None, token: Cow::Borrowed(token) };
    let (in_header, in_path) = (request.header(Name::Authorization), route::token(request.path()));
    // Without users most requests show none.
    if in_header.is_none() && in_path.is_none() && request.query().is_empty() {
        return Vec::new();
    }
    let mut logins = in_header.map(header_logins).unwrap_or_default();
    logins.extend(in_path.map(named));
    let pairs = request.query_pairs().into_iter().filter(|pair| TOKEN_KEYS.contains(&&*pair.0));
    logins.extend(pairs.map(|(_, token)| Login { user: None, token: token.into_bytes().into() }));
    logins.retain(|login| !login.token.is_empty());
    logins.truncate(TOKENS_MAX);
    logins
}

/// The tokens of an `Authorization`.
fn header_logins(field: &[u8]) -> Vec<Login<'_>> {
    let end = memchr::memchr(b' ', field).unwrap_or(field.len());
    let (scheme, shown) = (&field[..end], field[end..].trim_ascii());
    let alone = |token| Login { user: None, token };
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return vec![alone(Cow::Borrowed(shown))];
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Vec::new();
    }
    // Base64 has no colon: so Overland sends its token as it is, and a colon.
    if let Some(colon) = memchr::memchr(b':', shown) {
        return vec![alone(Cow::Borrowed(&shown[..colon]))];
    }
    let decoded = std::str::from_utf8(shown).ok().and_then(form::base64).unwrap_or_default();
    let Some(colon) = memchr::memchr(b':', &decoded) else { return Vec::new() };
    let (user, token) = (&decoded[..colon], &decoded[colon + 1..]);
    match (user, token) {
        // Where an app has but one field, the token stands in it.
        (token, []) | ([], token) => vec![alone(Cow::Owned(token.to_vec()))],
        (user, token) => {
            let user = String::from_utf8_lossy(user).into_owned();
            vec![Login { user: Some(user), token: Cow::Owned(token.to_vec()) }]
        }
    }
}

/// Whether the herd file gives this server the name for HTTP.
fn is_own_name(shared: Shared<'_>, name: &str) -> bool {
    let herd = Arc::clone(&shared.herd.read());
    let me = herd.member(shared.member.me.name.as_str());
    let addresses = me.into_iter().flat_map(|me| [&me.http, &me.https]).flatten();
    addresses.filter_map(|address| address.name()).any(|own| own == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_the_same_if_all_bytes_are() {
        for (one, other, are_same) in
            [("", "", true), ("ab", "ab", true), ("ab", "ac", false), ("ab", "abc", false)]
        {
            assert_eq!(is_same(one.as_bytes(), other.as_bytes()), are_same, "{one} {other}");
        }
    }

    #[test]
    fn tokens_of_a_header_are_found() {
        let login = |user: Option<&str>, token: &str| {
            vec![Login { user: user.map(str::to_owned), token: token.as_bytes().to_vec().into() }]
        };
        for (field, found) in [
            ("Basic amFuZTpzM2NyZXQ=", login(Some("jane"), "s3cret")),
            ("basic  amFuZTpzM2NyZXQ", login(Some("jane"), "s3cret")),
            ("Basic czNjcmV0Og==", login(None, "s3cret")),
            ("Basic OnMzY3JldA==", login(None, "s3cret")),
            ("Basic s3cret:", login(None, "s3cret")),
            ("Bearer s3cret", login(None, "s3cret")),
            ("BEARER s3cret ", login(None, "s3cret")),
            ("Bearer", login(None, "")),
            ("Basic", Vec::new()),
            ("Basic ???", Vec::new()),
            ("Basic amFuZQ==", Vec::new()),
            ("Digest username=\"jane\"", Vec::new()),
            ("", Vec::new()),
        ] {
            assert_eq!(header_logins(field.as_bytes()), found, "{field}");
        }
    }
}
