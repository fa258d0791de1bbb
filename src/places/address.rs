//! Where a network provider is: its own address, or the one of `--places-url`.

use std::net::IpAddr;

use ureq::http::Uri;

use super::error::OpenError;

/// The most characters of a wrong address that an error repeats.
const REPEATED_CHARS_MAX: usize = 100;

/// The whole address of an interface at `path` of the server at `base`. Whatever of the path, or of the paths in
/// `also`, the base has at its end already is taken away, because that is what documents and browsers show. With
/// `secret`, plain HTTP is only for this machine.
pub(super) fn endpoint(base: &str, path: &str, also: &[&str], secret: bool) -> Result<String, OpenError> {
    let bad = |why: &str| Err(OpenError::BadUrl(why.to_owned()));
    let base = base.trim();
    let Some((_, after_scheme)) = base.split_once("://") else {
        return Err(OpenError::BadUrl(no_scheme(base)));
    };
    let Ok(uri) = base.parse::<Uri>() else {
        return bad("not an address: it looks like http://127.0.0.1:8080 or https://example.org");
    };
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host().filter(|host| !host.is_empty())) else {
        return bad("an address begins with http:// or https:// and a host");
    };
    if scheme != "http" && scheme != "https" {
        return bad("only http:// and https:// are spoken");
    }
    if uri.query().is_some() || base.contains('#') {
        return bad("a base address has no '?' and no '#'");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return bad("a user name or password in an address is not supported");
    }
    if secret && scheme == "http" && !is_this_machine(host) {
        return bad("the Google key would cross the network in the clear: use https://");
    }
    let (server, of_base) = after_scheme.split_at(after_scheme.find('/').unwrap_or(after_scheme.len()));
    let before = before(of_base.trim_end_matches('/'), path, also);
    Ok(format!("{scheme}://{server}{before}{path}"))
}

/// The path of a base address without what it has of the interface's at its end: `/proxy` of `/proxy/api`.
fn before<'a>(of_base: &'a str, path: &str, also: &[&str]) -> &'a str {
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
    let starts = ends.clone().map(|end| &path[..end]);
    let tails = ends.map(|at| &path[at..]).filter(|tail| !tail.is_empty());
    let mut known: Vec<&str> = starts.chain(tails).chain(also.iter().copied()).collect();
    known.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let rest = known.iter().find_map(|part| of_base.strip_suffix(part));
    rest.unwrap_or(of_base).trim_end_matches('/')
}

/// What to write in place of an address without a scheme.
fn no_scheme(base: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".:-_/[]".contains(c);
    let base =
        Some(base).filter(|base| !base.is_empty() && !base.starts_with('/') && base.chars().all(is_plain));
    let base = base.filter(|base| base.len() <= REPEATED_CHARS_MAX).unwrap_or("example.org");
    format!("an address begins with http:// or https://: write http://{base} or https://{base}")
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_and_a_path_make_an_address() {
        let case = |base: &str, expected: &str| {
            assert_eq!(endpoint(base, "/v1/x", &[], true).unwrap(), expected);
        };
        case("https://example.org", "https://example.org/v1/x");
        case("https://example.org/", "https://example.org/v1/x");
        case("https://example.org:8443/proxy//", "https://example.org:8443/proxy/v1/x");
        case("https://example.org/v1/x", "https://example.org/v1/x");
        case("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/x");
        case("http://[::1]:8080", "http://[::1]:8080/v1/x");
        case("http://localhost", "http://localhost/v1/x");
        assert_eq!(endpoint("http://example.org", "/a", &[], false).unwrap(), "http://example.org/a");
    }

    #[test]
    fn every_form_that_people_write_is_the_same_address() {
        let case = |path: &str, forms: &[&str]| {
            for form in forms {
                for (base, end) in
                    [("https://h", ""), ("https://h:1/proxy", ""), (" https://h", "/"), ("https://h", "// ")]
                {
                    let address =
                        endpoint(&format!("{base}{form}{end}"), path, &["/other", "/other/one"], true);
                    assert_eq!(address.unwrap(), format!("{}{path}", base.trim()), "{form}");
                }
            }
        };
        case("/api/interpreter", &["", "/api", "/api/interpreter", "/interpreter", "/other", "/other/one"]);
        case("/reverse", &["", "/reverse", "/other"]);
        case("/v1/places:searchNearby", &["", "/v1", "/v1/places:searchNearby"]);
        case(
            "/maps/api/place/nearbysearch/json",
            &["", "/maps", "/maps/api/place", "/maps/api/place/nearbysearch/json"],
        );
        // A host or a folder that is only named alike.
        let address = |base| endpoint(base, "/api/interpreter", &[], false).unwrap();
        assert_eq!(address("http://api"), "http://api/api/interpreter");
        assert_eq!(address("http://h/myapi"), "http://h/myapi/api/interpreter");
        assert_eq!(address("HTTP://h/api"), "http://h/api/interpreter");
    }

    #[test]
    fn address_without_a_scheme_is_told_how_to_write_it() {
        let error = |base| endpoint(base, "/a", &[], false).unwrap_err().to_string();
        let told = error("localhost:12345/api");
        assert!(told.ends_with("write http://localhost:12345/api or https://localhost:12345/api"), "{told}");
        let told = error("user:secret@example.org");
        assert!(told.ends_with("write http://example.org or https://example.org"), "{told}");
    }

    #[test]
    fn what_is_no_base_address_is_refused_in_a_sentence() {
        for bad in [
            "",
            "example.org",
            "/path",
            "ftp://example.org",
            "http://",
            "http://a b",
            "https://example.org?x=1",
            "https://example.org/#x",
            "https://user:word@example.org",
            "http://example.org",
            "http://127.0.0.1.example.org",
        ] {
            let error = endpoint(bad, "/v1/x", &[], true).unwrap_err().to_string();
            assert!(error.starts_with("places: --places-url: "), "{bad}: {error}");
        }
    }
}
