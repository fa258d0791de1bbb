//! Where a network provider is: its own address, or the one of `--places-url`.

use std::net::IpAddr;

use ureq::http::Uri;

use super::error::OpenError;

/// The whole address of an interface at `path` of the server at `base`. A base that ends in the path
/// already is taken as it is, because that is what a browser shows. With `secret`, plain HTTP is only for
/// this machine.
pub(super) fn endpoint(base: &str, path: &str, secret: bool) -> Result<String, OpenError> {
    let bad = |why| Err(OpenError::BadUrl(why));
    let base = base.trim_end_matches('/');
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
    Ok(format!("{}{path}", base.strip_suffix(path).unwrap_or(base)))
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
            assert_eq!(endpoint(base, "/v1/x", true).unwrap(), expected);
        };
        case("https://example.org", "https://example.org/v1/x");
        case("https://example.org/", "https://example.org/v1/x");
        case("https://example.org:8443/proxy//", "https://example.org:8443/proxy/v1/x");
        case("https://example.org/v1/x", "https://example.org/v1/x");
        case("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/x");
        case("http://[::1]:8080", "http://[::1]:8080/v1/x");
        case("http://localhost", "http://localhost/v1/x");
        assert_eq!(endpoint("http://example.org", "/a", false).unwrap(), "http://example.org/a");
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
            let error = endpoint(bad, "/v1/x", true).unwrap_err().to_string();
            assert!(error.starts_with("places: --places-url: "), "{bad}: {error}");
        }
    }
}
