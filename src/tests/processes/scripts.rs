//! What the scripts leave behind, and what they leave alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A script of ours, which finds these variables in its environment.
fn script(name: &str, variables: &[(&str, &Path)]) -> Output {
    let mut command = Command::new("/bin/bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).envs(variables.iter().copied());
    command.output().unwrap()
}

/// A folder of programs that is a PATH of its own: these of the system, and these shell scripts.
fn programs(folder: &Path, of_system: &[&str], own: &[(&str, &str)]) -> PathBuf {
    let path = folder.join("programs");
    fs::create_dir(&path).unwrap();
    for name in of_system {
        let found = ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(name));
        let found = found.iter().find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(found, path.join(name)).unwrap();
    }
    for (name, text) in own {
        fs::write(path.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    path
}

fn write_all(folder: &Path, files: &[&str]) {
    for file in files {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
}

#[test]
fn clean_removes_what_servers_left_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let ours = [
        "lock",
        "A.log",
        "A.log.old-1",
        "A.log.old-17",
        "A.log.1",
        "A.log.2.gz",
        "A.out",
        "A.pid",
        "data/A/lock",
        "data/A/admin.sock",
        "data/A/database.unread",
        "data/A/journal-0000000001.log",
        "data/A/journal-0000000001.7.log",
        "data/A/journal-0000000001.1.log.damaged",
        "data/A/journal-0000000001.1.log.buffer",
        "data/A/snapshot-0000000002.log",
        "data/A/snapshot-0000000003.log.tmp",
        "data/A/journal-0000000001.log.damaged",
    ];
    let others = ["mine.txt", "B.log", "A.logs", "A.log.old-x", "data/A/mine", "data/B/lock", ".hidden"];
    write_all(&run, &ours);
    write_all(&run, &others);
    fs::write(run.join("herd"), "A 127.0.0.1:1 127.0.0.1:2\n").unwrap();
    let cleaned = script("scripts/clean.sh", &[("PROXYHERD_RUN_DIR", &run)]);
    assert!(cleaned.status.success(), "{cleaned:?}");
    assert!(String::from_utf8_lossy(&cleaned.stdout).contains("this is not ours and stays: "), "{cleaned:?}");
    assert_eq!(ours.iter().find(|file| run.join(file).exists()), None);
    assert_eq!(others.iter().find(|file| !run.join(file).exists()), None);
    assert!(!run.join("herd").exists());

    // A folder that only has a file of that name is no folder of ours.
    let other = dir.path().join("other");
    write_all(&other, &["lock", "A.log"]);
    let refused = script("scripts/clean.sh", &[("PROXYHERD_RUN_DIR", &other)]);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(other.join("lock").exists() && other.join("A.log").exists());

    // All of it goes if all of it is ours.
    let whole = dir.path().join("whole");
    write_all(&whole, &ours);
    fs::write(whole.join("names"), "A\n").unwrap();
    fs::write(whole.join("herd"), "A 127.0.0.1:1 127.0.0.1:2\n").unwrap();
    assert!(script("scripts/clean.sh", &[("PROXYHERD_RUN_DIR", &whole)]).status.success());
    assert!(!whole.exists());
}

#[test]
fn an_interrupted_installation_leaves_no_policy_behind() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("policy-rc.d");
    // The policy is there while packages are installed; then the terminal is closed, or the script is ended.
    for signal in ["INT", "TERM", "HUP"] {
        let folder = dir.path().join(signal);
        fs::create_dir(&folder).unwrap();
        let apt =
            format!("\"$POLICY_RC_D\"; echo $? >'{}'; kill -{signal} $PPID", folder.join("said").display());
        let path = programs(&folder, &["chmod", "rm", "grep"], &[("apt-get", &apt), ("id", "echo 0")]);
        let ended = script("bench/field/redis_memcached.sh", &[("PATH", &path), ("POLICY_RC_D", &policy)]);
        assert_eq!(ended.status.code(), Some(130), "{ended:?}");
        assert!(String::from_utf8_lossy(&ended.stdout).starts_with("Installing with apt-get"), "{ended:?}");
        assert_eq!(fs::read_to_string(folder.join("said")).unwrap(), "101\n", "it forbids servers to start");
        assert!(!policy.exists());
    }
}

#[test]
fn faults_names_what_it_needs_before_it_builds() {
    let dir = tempfile::tempdir().unwrap();
    let built = dir.path().join("built");
    let cargo = format!(
        "echo '{{\"target_directory\":\"/nowhere\"}}'; [ \"$1\" = metadata ] || : >'{}'",
        built.display()
    );
    let path = programs(dir.path(), &["dirname", "sed"], &[("cargo", &cargo)]);
    let ended = script("scripts/faults.sh", &[("PATH", &path)]);
    assert_eq!(ended.status.code(), Some(77), "{ended:?}");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        said.contains("needs `unshare`, which is not here: Debian: apt-get install util-linux"),
        "{said}"
    );
    assert!(!built.exists());
}

/// The names of the functions that a script defines.
fn functions(script: &str) -> Vec<&str> {
    script
        .lines()
        .filter_map(|line| line.split_once("() {").or(line.split_once("() (")))
        .map(|it| it.0)
        .collect()
}

#[test]
fn no_script_has_a_function_of_the_name_of_one_that_it_sources() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let records = text("records.sh");
    let theirs = functions(&records);
    assert!(theirs.contains(&"build_release"), "{theirs:?}");
    for file in ["", "deploy"].map(|part| folder.join(part)).iter().flat_map(|it| fs::read_dir(it).unwrap()) {
        let path = file.unwrap().path();
        let is_script = path.extension().is_some_and(|kind| kind == "sh") && !path.ends_with("records.sh");
        let script = if is_script { fs::read_to_string(&path).unwrap() } else { String::new() };
        if script.contains("/records.sh\"") {
            let twice: Vec<_> = functions(&script).into_iter().filter(|own| theirs.contains(own)).collect();
            assert!(twice.is_empty(), "{} redefines {twice:?}", path.display());
        }
    }
}

#[test]
fn run_builds_the_program_if_it_is_given_none() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = "echo \"cargo $*\"; exit 1";
    let path =
        programs(folder.path(), &["dirname", "setsid", "flock", "timeout", "env"], &[("cargo", cargo)]);
    let mut command = Command::new("/bin/bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/run.sh"));
    command.env_clear().env("PATH", path).env("PROXYHERD_RUN_DIR", folder.path().join("run"));
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(printed, "cargo build --release --package proxyherd --locked\n", "{said}");
    assert!(said.contains("the program does not build, see above"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
