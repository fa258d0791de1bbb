//! Who may use the door while there are no users: programs on the same machine alone. And no web page of another
//! origin, which a browser would let speak for its user.

use std::net::IpAddr;

use crate::proto::http::request::{Name, Request};

/// Beginnings of header fields with which a proxy says for whom it asks, with `_` written as `-`, by their first and
/// third letters: few other names need be compared.
fn forwarded(first: u8, third: u8) -> &'static [&'static [u8]] {
    match [first, third] {
        [b'f', b'r'] => &[b"forwarded"],
        [b'f', b'y'] => &[b"fly-"],
        [b'v', b'a'] => &[b"via"],
        [b'x', b'f'] => &[b"x-forwarded"],
        [b'x', b'r'] => &[b"x-real-ip"],
        [b'x', b'c'] => &[b"x-client-ip", b"x-cluster-client-ip"],
        [b'x', b'o'] => &[b"x-original-"],
        [b'x', b'e'] => &[b"x-envoy-"],
        [b't', b'u'] => &[b"true-client-ip"],
        [b't', b'i'] => &[b"tailscale-"],
        [b'c', b'-' | b'_'] => &[b"cf-"],
        [b'c', b'n'] => &[b"cdn-loop"],
        _ => &[],
    }
}

/// Why a request is refused: the status, and a sentence.
pub(super) type Refused = (u16, &'static str);

const REFUSED: Result<(), Refused> = Err((403, "a web page of another origin may not do this"));

/// Whether a request may be answered at all.
///
/// # Errors
/// If it comes from another machine, or was meant for another server.
pub(super) fn check(
    request: &Request<'_>,
    is_local: bool,
    is_own_name: impl Fn(&str) -> bool,
) -> Result<(), Refused> {
    if !is_local {
        return Err((
            403,
            "only programs on the same machine are served, because there are no users: see --access",
        ));
    }
    if request.other_header_names().any(is_forwarded) {
        return Err((
            403,
            "a request that was forwarded is refused, because there are no users: see --access",
        ));
    }
    // A foreign name that resolves to an address of this machine brings a web page past its browser's guard.
    match request.authority().or(request.header(Name::Host)) {
        Some(host) if !is_own(host, is_own_name) => {
            Err((421, "the Host is not this machine: use localhost, 127.0.0.1, or its name in the herd file"))
        }
        _ => Ok(()),
    }
}

/// Whether a request may report or change something.
///
/// # Errors
/// If a web page of another origin makes it. A page can send many reports without a word in `Origin`, so what browsers
/// say beside it counts too.
pub(super) fn check_origin(request: &Request<'_>) -> Result<(), Refused> {
    // A page can send the browser here as if its user had typed the address, and no app says how it came.
    if request.headers(Name::SecFetchSite).any(|site| site != b"same-origin") {
        return REFUSED;
    }
    check_page(request)
}

/// Whether a request may make us ask others. A person who types an address may.
///
/// # Errors
/// If a web page of another origin makes it.
pub(super) fn check_site(request: &Request<'_>) -> Result<(), Refused> {
    if request.headers(Name::SecFetchSite).any(|site| !matches!(site, b"same-origin" | b"none")) {
        return REFUSED;
    }
    check_page(request)
}

fn check_page(request: &Request<'_>) -> Result<(), Refused> {
    // No app sends either; and a page's image, for which older browsers send neither of the others, has a referrer.
    for name in [Name::Origin, Name::Referer] {
        let is_own = |value: &[u8]| {
            request.header(Name::Host).is_some_and(|own| {
                // A proxy that speaks TLS for us has pages of https.
                let value = value.strip_prefix(b"https://").or_else(|| value.strip_prefix(b"http://"));
                let value = value.unwrap_or_default();
                let (origin, rest) = value.split_at(own.len().min(value.len()));
                !own.is_empty() && origin.eq_ignore_ascii_case(own) && matches!(rest, [] | [b'/', ..])
            })
        };
        if request.headers(name).any(|value| !is_own(value)) {
            return REFUSED;
        }
    }
    Ok(())
}

fn is_forwarded(name: &[u8]) -> bool {
    let is_same = |(byte, wanted): (&u8, &u8)| match byte {
        b'_' => *wanted == b'-',
        byte => byte.to_ascii_lowercase() == *wanted,
    };
    let [first, _, third, ..] = name else { return false };
    let begins = |wanted: &&[u8]| name.len() >= wanted.len() && name.iter().zip(*wanted).all(is_same);
    forwarded(first.to_ascii_lowercase(), third.to_ascii_lowercase()).iter().any(begins)
}

/// Whether a `Host` names this machine: `localhost`, an address of the loopback interface, or a name that the herd file
/// gives it; perhaps with a port.
fn is_own(host: &[u8], is_own_name: impl Fn(&str) -> bool) -> bool {
    let end_of = |end: u8, text: &[u8]| text.iter().position(|&byte| byte == end).unwrap_or(text.len());
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let (name, port) = rest.split_at(end_of(b']', rest));
            (name, port.get(1..).unwrap_or(b"]"))
        }
        host => host.split_at(end_of(b':', host)),
    };
    if !port.is_empty() && !port.strip_prefix(b":").is_some_and(|port| port.iter().all(u8::is_ascii_digit)) {
        return false;
    }
    // Most names are that, which need not be a text.
    if name.eq_ignore_ascii_case(b"localhost") {
        return true;
    }
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let is_address = || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    let bare = name.strip_suffix('.').unwrap_or(name);
    bare.eq_ignore_ascii_case("localhost") || is_address() || is_own_name(&bare.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_proxy_are_told_from_others() {
        for name in [
            "Forwarded",
            "Fly-Client-IP",
            "Via",
            "X-Forwarded-For",
            "x_forwarded_host",
            "X-Real-IP",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "X-Original-URL",
            "X-Envoy-External-Address",
            "True-Client-IP",
            "Tailscale-User-Login",
            "CF-Connecting-IP",
            "cf_ray",
            "CDN-Loop",
        ] {
            assert!(is_forwarded(name.as_bytes()), "{name}");
        }
        for name in
            ["", "x", "v", "vi", "cf", "cd", "Content-Type", "X-Limit-U", "X-Limit-D", "Forward", "Cfx"]
        {
            assert!(!is_forwarded(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn hosts_of_this_machine_are_told_from_others() {
        for host in
            ["localhost", "LocalHost:12750", "localhost.", "127.0.0.1:80", "127.9.9.9", "[::1]:80", "[::1]"]
        {
            assert!(is_own(host.as_bytes(), |_| false), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.alford.example",
            "alford.example.evil.example",
            "alford.example..",
            "localhost.evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "[::2]",
            "127.0.0.1.nip.io",
            "[::1].evil.example",
            "[::1",
            "localhost:evil.example",
            "localhost:80@evil.example",
            "\u{e9}",
        ] {
            assert!(!is_own(host.as_bytes(), |name| name == "alford.example"), "{host}");
        }
        for host in ["alford.example", "Alford.Example:12750", "alford.example.", "alford.example.:80"] {
            assert!(is_own(host.as_bytes(), |name| name == "alford.example"), "{host}");
            assert!(!is_own(host.as_bytes(), |name| name == "bolden.example"), "{host}");
        }
    }
}
