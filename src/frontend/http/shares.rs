//! Share links: an asker who may see a client lets others see it too, until an end, without making them users.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::access::Asker;
use super::asked::Asked;
use super::question;
use crate::member::Member;
use crate::proto::http::request::{Name, Request};
use crate::proto::http::response::Response;
use crate::proto::http::share::Share;
use crate::proto::model::calendar::date_time;
use crate::proto::model::time::Moment;

/// The shortest share, and the longest: a month, because nothing ends a link that was forgotten but its end.
const SHARE_TIME_MIN: Duration = Duration::from_secs(1);
const SHARE_TIME_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    client: String,
    r#for: String,
}

/// Makes a share.
pub(super) fn make(asked: &Asked<'_, '_>, asker: &Asker) -> Response {
    let (member, request) = (asked.shared.member, asked.request);
    let Some(secret) = member.me.secrets.first() else {
        let why = "this herd has no secret, so it cannot sign links: give all servers one with --secret-file";
        return Response::problem(409, why);
    };
    let Ok(wanted) = serde_json::from_slice::<Wanted>(request.body) else {
        return Response::problem(400, "the body is not {\"client\":\"NAME\",\"for\":\"2h\"}");
    };
    let most = longest(member);
    let time = humantime::parse_duration(&wanted.r#for).ok();
    let Some(time) = time.filter(|time| (SHARE_TIME_MIN..=most).contains(time)) else {
        let most = humantime::format_duration(most);
        return Response::problem(
            400,
            &format!("for is no time from 1s to {most} with its unit, such as 2h"),
        );
    };
    let located = member.locate(wanted.client.as_bytes()).filter(|_| asker.may_see(&wanted.client));
    let Some(located) = located else { return question::unknown_client() };
    let until = asked.received.after(time);
    let share = Share { client: wanted.client, era: located.era(), until_s: until.seconds };
    let token = share.token(secret);
    let url = format!("{}/#share={token}", base(request));
    Response::json(&json!({
        "client": share.client,
        "token": token,
        "url": url,
        "expires": date_time(Moment { seconds: share.until_s, nanos: 0 }),
        "expires_s": share.until_s,
    }))
}

/// A share ends before a forgotten client may be known no more: who begins again then has another era, or none.
fn longest(member: &Member) -> Duration {
    member.me.expire_after.map_or(SHARE_TIME_MAX, |most| most.min(SHARE_TIME_MAX))
}

/// Where the asker has found us: what a page says of itself knows of proxies that speak TLS for us.
fn base(request: &Request<'_>) -> String {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    match (request.header(Name::Origin), request.authority().or(request.header(Name::Host))) {
        (Some(origin), _) => text(origin.to_vec()),
        (None, Some(host)) => format!("http://{}", text(host.to_vec())),
        (None, None) => String::new(),
    }
}
