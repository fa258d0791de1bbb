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
        ("https = 443", both, "write an IP address and a port in quotes, as in https = \"127.0.0.1:443\""),
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
