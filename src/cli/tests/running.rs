//! Commands that ask a running server, and thirty mistakes in them.

use std::fs;

use super::{job, refused};
use crate::cli::{Job, usage};
use crate::client::http::Server;
use crate::client::{Command, Filters};

fn asked(line: &str) -> (Server, Command) {
    let Job::Ask(server, command) = job(line).unwrap() else { panic!("{line}") };
    (server, command)
}

/// A herd of four: one without HTTP, one with HTTP on all addresses, one with HTTPS alone, one legacy.
fn herd_file(dir: &tempfile::TempDir) -> String {
    let path = dir.path().join("herd.toml");
    let text = "links = [['A', 'B'], ['B', 'C'], ['C', 'D']]\n\
                [servers.A]\nclient = '127.0.0.1:1'\npeer = '127.0.0.1:2'\n\
                [servers.B]\nclient = '127.0.0.1:3'\npeer = '127.0.0.1:4'\nhttp = '0.0.0.0:5'\n\
                [servers.C]\nclient = '127.0.0.1:6'\npeer = '127.0.0.1:7'\nhttps = '192.0.2.1:8'\n\
                [servers.D]\nclient = '127.0.0.1:9'\nclassic = true\n";
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn servers_are_found_by_name_and_by_address() {
    let dir = tempfile::tempdir().unwrap();
    let file = herd_file(&dir);
    for (words, url) in [
        ("status", "http://127.0.0.1:12750"),
        ("status Bolden", "http://127.0.0.1:12751"),
        ("status --url https://herd.example/", "https://herd.example"),
        ("status http://[::1]:80/base", "http://[::1]:80/base"),
        (&format!("status B --herd {file}"), "http://127.0.0.1:5"),
        (&format!("import x C --herd {file}"), "https://192.0.2.1:8"),
        ("share jane Bolden --for 2h", "http://127.0.0.1:12751"),
        ("drain Powell --for 5s", "http://127.0.0.1:12754"),
    ] {
        assert_eq!(asked(&format!("proxyherd {words}")).0.url, url, "{words}");
    }
    let (server, command) = asked("proxyherd export --token-file t --ca c --out -");
    assert_eq!((server.token_file, server.ca), (Some("t".into()), Some("c".into())));
    assert_eq!(command, Command::Export(None));
    assert_eq!(asked("proxyherd import -").1, Command::Import(None));
    let (_, command) = asked("proxyherd clients --near -34,151.5 --radius 1.5km --limit 5 --json");
    let filters = Filters { near: Some(((-34.0, 151.5), Some(1_500.0))), ..Filters::default() };
    assert_eq!(command, Command::Clients { filters, limit: 5, json: true });
    let (_, command) = asked("proxyherd watch --client a --client b");
    let filters = Filters { clients: vec!["a".to_owned(), "b".to_owned()], ..Filters::default() };
    assert_eq!(command, Command::Watch(filters, false));
}

#[test]
fn mistakes_are_one_sentence_that_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let file = herd_file(&dir);
    for (words, advice) in [
        ("status Nobody", "choose one of Alford, "),
        ("status 127.0.0.1:12750", "say its address as --url http://127.0.0.1:12750"),
        ("status --url herd.example", "say it as http://HOST:PORT or https://HOST"),
        ("status --url ftp://herd.example", "say it as http://HOST:PORT"),
        ("status --url https://u:p@herd.example", "a token by --token-file"),
        ("status --url http://h/?token=x", "a token by --token-file"),
        ("status --url http://", "say it as http://HOST:PORT"),
        ("status --url http://:12750", "say it as http://HOST:PORT"),
        ("status --herd /nowhere", "`proxyherd herd` prints one to start from"),
        (&format!("status --herd {file}"), "A has no address for HTTP: give it one in the herd file"),
        (&format!("status D --herd {file}"), "D has no address for HTTP"),
        (&format!("watch E --herd {file}"), "choose one of A, B, C, D"),
        ("clients --box 1,2,3", "--box 1,2,3: box is not WEST,SOUTH,EAST,NORTH"),
        ("clients --box 1,4,3,2", "the south of the box is greater"),
        ("watch --box 170,0,190,1", "a longitude is beyond 180"),
        ("watch --near 91,0", "a latitude is beyond 90"),
        ("watch --near 1,1", "say within which --radius"),
        ("clients --near here", "near is not LATITUDE,LONGITUDE"),
        ("drain --for 2h", "--for is at most 1h"),
    ] {
        let found = job(&format!("proxyherd {words}")).unwrap_err().to_string();
        assert!(found.contains(advice) && !found.contains('\n'), "{words}: {found}");
    }
    for (words, advice) in [
        ("status Bolden --url http://h", "cannot be used with"),
        ("status --url http://h --herd h.toml", "cannot be used with"),
        ("clients --radius 5km", "required arguments were not provided: --near"),
        ("clients --near 1,1 --radius far", "it takes a distance such as 500m or 5km"),
        ("clients --near 1,1 --radius -5", "unexpected argument '-5'"),
        ("clients --near 1,1 --box 1,1,2,2", "cannot be used with"),
        ("clients --client a --group b", "cannot be used with"),
        ("clients --limit 0", "it takes a whole number"),
        ("clients --limit 1001", "1000"),
        ("import", "<FILE>"),
        ("export out.backup --out", "a value is required"),
        ("drain --for soon", "invalid value 'soon' for '--for <TIME>'"),
        ("drain --for 30", "invalid value '30'"),
        ("share jane", "--for <TIME>"),
        ("wacth", "a similar subcommand exists: 'watch'"),
        ("backup", "unrecognized subcommand"),
    ] {
        let found = usage::sentence(refused(&format!("proxyherd {words}")));
        assert!(found.contains(advice) && !found.contains('\n'), "{words}: {found}");
    }
}

#[test]
fn every_command_teaches_by_example() {
    for command in ["status", "clients", "watch", "share", "export", "import", "drain"] {
        let help = refused(&format!("proxyherd {command} --help")).to_string();
        assert!(help.contains(&format!("proxyherd {command}")) && help.contains("Examples:"), "{help}");
        let manual = super::printed("proxyherd man");
        assert!(manual.contains(&format!("proxyherd-{command}")), "{command}");
        assert!(super::printed("proxyherd completions bash").contains(command), "{command}");
    }
}
