//! What the addresses of a server ask of its options.

use std::path::PathBuf;

use super::*;

#[test]
fn http_on_other_addresses_needs_users() {
    let dir = tempfile::tempdir().unwrap();
    let [herd, access] = ["herd.toml", "access.toml"].map(|name| dir.path().join(name));
    std::fs::write(&herd, "[servers.A]\nclient = '[::1]:1'\npeer = '[::1]:2'\nhttp = '[::]:3'\n").unwrap();
    std::fs::write(&access, "[users.jane]\n").unwrap();
    let serve = format!("proxyherd serve A --herd {}", herd.display());
    let refused = job(&serve).unwrap_err().to_string();
    assert!(
        refused.contains("HTTP address of A is [::]:3") && refused.contains("--access FILE"),
        "{refused}"
    );
    assert!(served(&format!("{serve} --access {}", access.display())).access.unwrap().has_user("jane"));
}

#[test]
fn certificate_is_for_ports_of_tls_and_they_need_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herd.toml");
    let job_with = |keys: &str, options: &str| {
        let plain = "[servers.A]\nclient = '[::1]:1'\npeer = '[::1]:2'\n";
        std::fs::write(&path, format!("{plain}{keys}\n")).unwrap();
        job(format!("proxyherd serve A --herd {} {options}", path.display()).trim_end())
    };
    let refused = |keys: &str, options: &str| job_with(keys, options).unwrap_err().to_string();
    let both = "--tls-cert c.pem --tls-key k.pem";
    for (keys, options, expected) in [
        (
            "https = '[::1]:3'",
            "",
            "the HTTPS address of A is [::1]:3, where TLS needs a certificate and its key: say --tls-cert FILE too",
        ),
        (
            "client_tls = '[::1]:3'",
            "--tls-cert c.pem",
            "the client_tls address of A is [::1]:3, where TLS needs a certificate and its key: say --tls-key FILE too",
        ),
        ("", both, "A has no address for TLS, so --tls-cert and --tls-key are of no use"),
        ("", "--tls-key k.pem", "A has no address for TLS"),
        ("https = '[::]:3'", both, "the HTTPS address of A is [::]:3, where any machine"),
        ("https = '[::1]:2'", both, "are both [::1]:2"),
        ("https = '[::1]:0'", both, "it needs a port from 1 to 65535"),
        ("client_tls = '10.0.0.1:3'", both, "the client_tls address of A is 10.0.0.1:3, where any machine"),
        (
            "https = 443",
            both,
            "write an IP address or a name, and a port, in quotes, as in https = \"127.0.0.1:443\"",
        ),
    ] {
        let refused = refused(keys, options);
        assert!(refused.contains(expected), "{keys} {options}: {refused}");
    }
    let Ok(Job::Serve(config)) = job_with("https = '[::1]:3'\nclient_tls = '[::1]:4'", both) else {
        panic!()
    };
    assert_eq!(config.tls.unwrap().key, PathBuf::from("k.pem"));
    assert_eq!(crate::config::parse(&crate::config::to_toml(&config.herd)).unwrap(), config.herd);
    assert!(served("proxyherd serve Alford").tls.is_none());
}

#[test]
fn name_may_stand_for_any_machine_unless_it_is_localhost_or_bound_at_home() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herd.toml");
    let job_with = |keys: &str| {
        std::fs::write(&path, format!("[servers.A]\n{keys}\n")).unwrap();
        job(&format!("proxyherd serve A --herd {}", path.display()))
    };
    for good in [
        "client = 'localhost:1'\npeer = 'a.localhost:2'\nhttp = 'LOCALHOST:3'",
        "client = 'a.example:1'\npeer = 'a.example:2'\nlisten_client = '127.0.0.1:1'\nlisten_peer = '[::1]:2'",
        "client = '[::1]:1'\npeer = '[::1]:2'\nhttp = 'a.example:443'\nlisten_http = '127.0.0.1:3'",
    ] {
        assert!(matches!(job_with(good), Ok(Job::Serve(_))), "{good}");
    }
    for (bad, why) in [
        (
            "client = 'localhost:1'\npeer = 'a.example:2'",
            "the peer address of A is a.example:2, where any machine",
        ),
        (
            "client = 'localhost:1'\npeer = 'localhost:2'\nlisten_peer = '0.0.0.0:2'",
            "the listen_peer address of A is 0.0.0.0:2, where any machine",
        ),
        (
            "client = 'localhost:1'\npeer = 'localhost:2'\nmqtt = 'a.example:3'",
            "the MQTT address of A is a.example:3, where any machine",
        ),
        (
            "client = 'localhost:1'\npeer = 'localhost:2'\nhttp = '127.0.0.1:3'\nlisten_http = '[::]:3'",
            "the listen_http address of A is [::]:3, where any machine",
        ),
    ] {
        let refused = job_with(bad).unwrap_err().to_string();
        assert!(refused.contains(why), "{bad}: {refused}");
    }
}

#[test]
fn names_are_looked_up_when_a_check_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("herd.toml");
    std::fs::write(&path, "[servers.A]\nclient = 'localhost:1'\npeer = 'herd.invalid:2'\n").unwrap();
    let line = format!("proxyherd herd --check {} --resolve", path.display());
    let Ok(Job::Found(found)) = job(&line) else { panic!() };
    assert!(found.text.starts_with("A\n\n1 server, 0 links;"), "{}", found.text);
    assert!(found.text.contains("\nherd.invalid is not found: "), "{}", found.text);
}
