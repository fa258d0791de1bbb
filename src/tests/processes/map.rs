//! The map and the page of the herd, in a real browser.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proxyherd::config::TokenHash;
use serde_json::{Value, json};
use ureq::Agent;

use crate::browser::{Browser, ENTER, ESCAPE, RIGHT, TAB};
use crate::database::Redis;
use crate::free_address::free_address;
use crate::programs::program;
use crate::real::{RealHerd, ask, eventually, line, note, now};
use crate::transcripts::run::Talk as _;

const PAIR: [&str; 2] = ["Alford", "Bolden"];
const LINK: [(&str, &str); 1] = [("Alford", "Bolden")];

/// A name that would run if it were markup.
const MARKUP: &str = "<img/src=x/onerror=document.title='run'>";

/// How many clients a large map has.
const MANY: usize = 5_000;

/// Two servers, and one user, who may see all.
fn herd_with_user() -> RealHerd {
    let mut herd = RealHerd::with_http(&PAIR, &LINK, &["--access", "access.toml"]);
    let users =
        format!("[users.jane]\ntokens = ['{}']\nsee = 'all'\nadmin = true\n", TokenHash::of(b"jane-token"));
    fs::write(herd.path("access.toml"), users).unwrap();
    PAIR.iter().for_each(|name| herd.start_one(name));
    herd
}

fn seconds() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a client has a clock")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The place of a client in the list of the page, as JavaScript finds it.
fn row(client: &str) -> String {
    format!("[...document.querySelectorAll('#list button')].find((row) => row.dataset.client === {client:?})")
}

fn is_listed(client: &str) -> String {
    format!("{} !== undefined", row(client))
}

const IS_LIVE: &str = "document.body.dataset.state === 'live'";

fn view(browser: &Browser) -> Value {
    browser.value("document.body.dataset.view")
}

#[test]
fn map_shows_what_another_server_was_told() {
    let Some(browser) = Browser::start(1280, 800) else { return };
    let herd = herd_with_user();
    let mut talk = herd.client("Bolden");
    let kiwi = |place: &str, time: u64| format!("IAMAT kiwi {place} {time}");
    assert!(ask(&mut talk, &kiwi("+34.068930-118.445127", seconds() - 60)).starts_with("AT "));
    let map = format!("http://{}/", herd.http("Alford"));

    // A user logs in.
    browser.open(&map);
    browser.until("document.body.dataset.state === 'login' && document.activeElement.id === 'token'");
    assert_eq!(browser.value("document.querySelectorAll('#list li').length"), 0);
    browser.type_into("#token", &format!("jane-token{ENTER}"));
    browser.until(IS_LIVE);
    browser.until(&is_listed("kiwi"));
    assert_eq!(browser.value("document.body.dataset.clients"), "1");
    assert_eq!(browser.value("location.href"), json!(map), "no token stands in the address");

    // What another server is told is on the map soon.
    let since = now();
    assert!(ask(&mut talk, &format!("IAMAT {MARKUP} +48.85+2.35 {}", seconds())).starts_with("AT "));
    browser.until("document.body.dataset.clients === '2'");
    note(format_args!("a report to another server was on the map after {:?}", since.elapsed()));
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    browser.run("document.getElementById('all').click()");
    browser.until(&is_listed(MARKUP));
    let name = format!("{}.querySelector('bdi').textContent", row(MARKUP));
    assert_eq!(browser.value(&name), json!(MARKUP));
    browser.run(&format!("{}.click()", row(MARKUP)));
    browser.until("!document.getElementById('details').hidden");
    assert_eq!(browser.value("document.getElementById('name').textContent"), json!(MARKUP));
    assert_eq!(browser.value("document.querySelectorAll('#list img, #details img').length"), 0);
    assert_eq!(browser.value("document.title"), "Map - proxyherd");

    // A client that moves is followed.
    browser.run(
        "document.getElementById('search').value = 'KIW'; document.getElementById('find').requestSubmit()",
    );
    browser.until("document.body.dataset.chosen === 'kiwi'");
    browser.run("document.getElementById('follow').click()");
    assert!(ask(&mut talk, &kiwi("+35.000000-118.000000", seconds())).starts_with("AT "));
    browser.until("document.body.dataset.view.endsWith('/35.00000/-118.00000')");
    browser.run("document.getElementById('near').click()");
    browser.until("document.querySelectorAll('#places h3').length === 1");

    // A reload keeps the view, the client and the login.
    browser.run("document.getElementById('in').click()");
    browser.until("document.body.dataset.view.includes('/35.0')");
    let before = view(&browser);
    browser.reload();
    browser.until(IS_LIVE);
    browser.until("document.body.dataset.chosen === 'kiwi'");
    assert_eq!(view(&browser), before);
    assert_eq!(browser.errors(), [""; 0]);

    // A forgotten client is gone.
    let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
    let delete = agent.delete(format!("http://{}/v1/clients/kiwi", herd.http("Bolden")));
    assert_eq!(delete.header("Authorization", "Bearer jane-token").call().unwrap().status(), 204);
    browser.until("document.body.dataset.clients === '1' && document.getElementById('details').hidden");
    browser.until(&format!("!({})", is_listed("kiwi")));

    // Who logs out leaves nothing behind, and a wrong token says so.
    browser.run("document.getElementById('logout').click()");
    browser.until("document.body.dataset.state === 'login'");
    assert_eq!(browser.value("sessionStorage.length"), 0);
    browser.type_into("#token", &format!("wrong{ENTER}"));
    browser.until("document.getElementById('why').textContent.includes('token is wrong')");
}

#[test]
fn map_shows_where_a_client_was() {
    let (Some(browser), Some(redis)) = (Browser::start(1280, 800), Redis::start(&[])) else { return };
    let mut herd = RealHerd::with_http(&PAIR, &LINK, &["--database", &redis.url(), "--history", "30d"]);
    herd.start_one("Alford");
    let mut talk = herd.client("Alford");
    for (minutes, place) in [(3, "+50.1+8.6"), (2, "+50.2+8.7"), (1, "+50.2+8.8")] {
        let line = format!("IAMAT kiwi {place} {}", seconds() - 60 * minutes);
        assert!(ask(&mut talk, &line).starts_with("AT "));
    }
    browser.open(&format!("http://{}/", herd.http("Alford")));
    browser.until(IS_LIVE);
    browser.until(&is_listed("kiwi"));
    browser.run(&format!("{}.click()", row("kiwi")));
    browser.until("!document.querySelector('#track').hidden");
    // The writer may be behind for a moment.
    eventually("all reports are in the history", || {
        browser.run("document.querySelector('#track').click()");
        browser.until("!/Looking/.test(document.querySelector('#tracked').textContent)");
        let said = browser.value("document.querySelector('#tracked').textContent");
        said.as_str().is_some_and(|said| said.starts_with("3 reports since ")).then_some(())
    });
    browser.picture("track");
    browser.run("document.querySelector('#close').click()");
    browser.until("document.querySelector('#tracked').textContent === ''");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn map_is_used_by_keys_and_guarded_by_its_policy() {
    let Some(browser) = Browser::start(1000, 700) else { return };
    let mut herd = RealHerd::with_http(&PAIR, &LINK, &[]);
    PAIR.iter().for_each(|name| herd.start_one(name));
    let mut talk = herd.client("Alford");
    for (client, place) in [("kiwi", "+34.0-118.4"), ("emu", "-33.8+151.2"), ("moa", "-18.1+178.4")] {
        assert!(ask(&mut talk, &format!("IAMAT {client} {place} {}", seconds())).starts_with("AT "));
    }
    // Without users there is no login.
    browser.open(&format!("http://{}/", herd.http("Alford")));
    browser.until(IS_LIVE);
    browser.until("document.querySelectorAll('#list li').length === 3");

    // From the search to the list, to the details, and back.
    browser.run("document.getElementById('search').focus()");
    browser.press(&['e', 'm', 'u']);
    browser.until("document.querySelectorAll('#list li').length === 1");
    browser.press(&[TAB, ENTER]);
    browser.until("document.body.dataset.chosen === 'emu' && document.activeElement.id === 'details'");
    browser.press(&[ESCAPE]);
    browser.until("document.body.dataset.chosen === '' && document.activeElement.dataset.client === 'emu'");
    // The map itself.
    browser.run("document.getElementById('canvas').focus()");
    let before = view(&browser);
    browser.press(&[RIGHT, '+', '+']);
    eventually("the keys have moved the map", || (view(&browser) != before).then_some(()));
    let before = view(&browser);
    browser.press(&['-']);
    eventually("the keys have zoomed the map", || (view(&browser) != before).then_some(()));
    browser.press(&[ENTER]);
    browser.until("document.activeElement.id === 'details' && document.body.dataset.chosen !== ''");
    assert_eq!(browser.errors(), [""; 0]);

    // Each control has a name, and what is told aloud has its place.
    let unnamed = "[...document.querySelectorAll('button, input, canvas[tabindex]')].filter((it) => \
                   !it.textContent.trim() && !it.ariaLabel && !it.labels?.length).length";
    assert_eq!(browser.value(unnamed), 0);
    assert_eq!(browser.value("document.querySelectorAll('[role=status], [aria-live]').length"), 3);

    // What others could smuggle in does not run, and asks no other machine.
    browser.run(
        "window.violations = []; \
         addEventListener('securitypolicyviolation', (event) => violations.push(event.effectiveDirective)); \
         const script = document.createElement('script'); \
         try { script.text = 'document.title = 1'; } catch { violations.push('trusted-types'); } \
         document.body.append(script); \
         try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); } catch { violations.push('markup'); } \
         const image = new Image(); image.src = 'http://127.0.0.1:1/x.png'; document.body.append(image); \
         fetch('http://127.0.0.1:1/').catch(() => {});",
    );
    for directive in ["img-src", "connect-src", "markup"] {
        browser.until(&format!("violations.includes('{directive}')"));
    }
    assert_eq!(browser.value("document.title"), "Map - proxyherd");
}

#[test]
fn map_fits_a_phone_and_the_dark() {
    let Some(browser) = Browser::start(1000, 700) else { return };
    let mut herd = RealHerd::with_http(&PAIR, &LINK, &[]);
    PAIR.iter().for_each(|name| herd.start_one(name));
    let long = "x".repeat(300);
    let report = format!("IAMAT {long} -18.1+179.9 {}", seconds());
    assert!(ask(&mut herd.client("Alford"), &report).starts_with("AT "));
    let colour = "getComputedStyle(document.body).backgroundColor";
    browser.open(&format!("http://{}/", herd.http("Alford")));
    browser.until(IS_LIVE);
    let light = browser.value(colour);
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    browser.pretend("Emulation.setEmulatedMedia", dark);
    eventually("it is dark", || (browser.value(colour) != light).then_some(()));
    let phone = json!({ "width": 360, "height": 640, "deviceScaleFactor": 2, "mobile": true });
    browser.pretend("Emulation.setDeviceMetricsOverride", phone);
    browser.reload();
    browser.until(&format!("{IS_LIVE} && {}", is_listed(&long)));
    browser.run(&format!("{}.click()", row(&long)));
    browser.until("!document.getElementById('details').hidden");
    browser.until("document.getElementById('canvas').width === 720");
    assert_eq!(browser.value("document.documentElement.scrollWidth"), 360);
    let height = browser.value("document.getElementById('map').clientHeight").as_u64().unwrap();
    assert!(height > 150, "the map has {height} pixels");
    browser.picture("phone");
    browser.pretend("Emulation.clearDeviceMetricsOverride", json!({}));
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn page_of_the_herd_shows_which_links_are_up() {
    let Some(browser) = Browser::start(1000, 800) else { return };
    let mut herd = RealHerd::with_http(&PAIR, &LINK, &[]);
    herd.start_one("Alford");
    browser.open(&format!("http://{}/herd", herd.http("Alford")));
    browser.until(&format!("{IS_LIVE} && document.querySelectorAll('#picture circle').length === 2"));
    assert_eq!(browser.value("document.querySelector('[data-link=Bolden]').dataset.up"), "false");
    herd.start_one("Bolden");
    browser.until("document.querySelector('[data-link=Bolden]').dataset.up === 'true'");
    browser.until("document.querySelectorAll('#picture line.up').length === 1");
    browser.picture("herd");
    // What the other one sees is at its own address.
    let there = format!("http://{}/herd", herd.http("Bolden"));
    assert_eq!(browser.value("document.querySelector('[data-server=Bolden]').href"), there.as_str());
    browser.run("document.querySelector('[data-server=Bolden]').click()");
    browser.until("document.getElementById('state')?.textContent === 'As Bolden sees it'");
    browser.until("document.querySelector('[data-link=Alford]').dataset.up === 'true'");
    browser.open(&format!("http://{}/herd", herd.http("Alford")));
    browser.until("document.querySelectorAll('#picture line.up').length === 1");
    herd.kill_one("Bolden");
    browser.until("document.querySelectorAll('#picture line.down').length === 1");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn shared_link_shows_one_client_at_any_server_and_ends() {
    let Some(browser) = Browser::start(1000, 700) else { return };
    let mut herd = RealHerd::with_http(&PAIR, &LINK, &["--secret-file", "herd.secret"]);
    fs::write(herd.path("herd.secret"), "0123456789abcdef".repeat(4)).unwrap();
    PAIR.iter().for_each(|name| herd.start_one(name));
    let mut talk = herd.client("Alford");
    for (client, place) in [("kiwi", "+34.0-118.4"), ("emu", "-33.8+151.2")] {
        assert!(ask(&mut talk, &format!("IAMAT {client} {place} {}", seconds())).starts_with("AT "));
    }
    let map = format!("http://{}/", herd.http("Alford"));
    browser.open(&map);
    browser.until(IS_LIVE);
    browser.until(&is_listed("kiwi"));
    browser.run(&format!("{}.click()", row("kiwi")));
    browser.run("document.getElementById('share').click()");
    browser.until("!document.getElementById('shared').hidden");
    let link = browser.value("document.getElementById('link').value");
    let link = link.as_str().unwrap();
    let (page, token) = link.split_once("#share=").unwrap();
    assert_eq!(page, map);
    // Any server honours it.
    browser.open("about:blank");
    browser.open(&format!("http://{}/#share={token}", herd.http("Bolden")));
    browser.until(&format!("{IS_LIVE} && document.body.dataset.chosen === 'kiwi'"));
    assert_eq!(browser.value("document.body.dataset.clients"), "1");
    browser.until("document.body.dataset.view.endsWith('/34.00000/-118.40000')");
    browser.picture("shared");
    assert_eq!(browser.errors(), [""; 0]);
    let forgotten = herd.run(&["forget", "Alford", "kiwi"]);
    assert!(forgotten.status.success());
    browser.until("document.body.dataset.state === 'ended'");
}

#[test]
fn map_of_many_clients_is_quick() {
    let Some(browser) = Browser::start(1400, 900) else { return };
    let mut herd = RealHerd::with_http(&PAIR, &LINK, &[]);
    PAIR.iter().for_each(|name| herd.start_one(name));
    let mut talk = herd.client("Bolden");
    let time = seconds();
    // All over the world, and from just now to a month ago.
    let reports: String = (0..MANY)
        .map(|number| {
            let (north, east) = (number * 7_919 % 1_400, number * 104_729 % 3_600);
            let (latitude, longitude) = (north as f64 / 10.0 - 65.0, east as f64 / 10.0 - 180.0);
            let age = [5, 900, 20_000, 2_000_000][number % 4];
            format!("IAMAT client-{number} {latitude:+.4}{longitude:+.4} {}\n", time - age)
        })
        .collect();
    talk.send(reports.as_bytes()).unwrap();
    for _ in 0..MANY {
        assert!(line(&mut talk).starts_with("AT "));
    }
    let all = format!("document.body.dataset.clients === '{MANY}'");
    // So that the first server has all of them when the page comes.
    browser.open(&format!("http://{}/", herd.http("Alford")));
    browser.until(&all);
    browser.reload();
    browser.until(&format!("{IS_LIVE} && {all}"));
    let first = browser.value("performance.getEntriesByName('first-contentful-paint')[0].startTime");
    let whole = browser.value("performance.getEntriesByName('all-clients')[0].startTime");
    browser.picture("many");
    // The page's own calls are timed from outside.
    browser.run(
        "window.times = []; const request = requestAnimationFrame.bind(window); \
         window.requestAnimationFrame = (draw) => request((now) => { \
             const since = performance.now(); draw(now); times.push(performance.now() - since); }); \
         document.getElementById('canvas').focus()",
    );
    for _ in 0..50 {
        browser.press(&[RIGHT; 6]);
    }
    browser.until("times.length >= 20");
    let median = browser.value("times.sort((a, b) => a - b)[times.length >> 1]").as_f64().unwrap();
    note(format_args!(
        "{MANY} clients: first paint after {first} ms, all drawn after {whole} ms, a frame takes {median} ms"
    ));
    assert!(median < 200.0, "a frame takes {median} ms");
    assert_eq!(browser.errors(), [""; 0]);
}

#[test]
fn map_is_live_over_tls_below_a_base_path() {
    let (Some(openssl), Some(browser)) = (program("openssl", "openssl"), Browser::start(1000, 700)) else {
        return;
    };
    let options = ["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--http-base-path", "/where"];
    let mut herd = RealHerd::new(&["Alford"], &[], &options);
    let https = free_address();
    let file = herd.path("herd.toml");
    let mut pair = Command::new(openssl);
    pair.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]);
    pair.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    pair.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = pair.arg("-keyout").arg(herd.path("key.pem")).arg("-out").arg(herd.path("cert.pem")).output();
    assert!(made.unwrap().status.success());
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, format!("{text}https = \"{https}\"\n")).unwrap();
    herd.start_one("Alford");
    let mut talk = herd.client("Alford");
    assert!(ask(&mut talk, &format!("IAMAT kiwi +34.07-118.44 {}", seconds() - 9)).starts_with("AT "));
    assert!(ask(&mut talk, &format!("IAMAT emu -33.86+151.21 {}", seconds() - 9)).starts_with("AT "));
    let begun = now();
    browser.open(&format!("https://{https}/where/"));
    browser.until(&format!("{IS_LIVE} && {} && {}", is_listed("kiwi"), is_listed("emu")));
    note(format_args!("over TLS the first clients are there after {:.1} s", begun.elapsed().as_secs_f64()));
    assert!(ask(&mut talk, &format!("IAMAT moa -41.28+174.77 {}", seconds())).starts_with("AT "));
    browser.until(&is_listed("moa"));
    // A stream of a box, as a page asks for one: what is elsewhere does not come.
    browser.run(
        "window.told = ''; \
         fetch('v1/events?box=170,-50,180,-30').then(async ({ body }) => { \
           const reader = body.pipeThrough(new TextDecoderStream()).getReader(); \
           for (;;) { const { value, done } = await reader.read(); if (done) break; window.told += value; } \
         });",
    );
    browser.until("told.includes('event: current')");
    assert!(ask(&mut talk, &format!("IAMAT emu -33.9+151.2 {}", seconds())).starts_with("AT "));
    assert!(ask(&mut talk, &format!("IAMAT kakapo -46.9+168.1 {}", seconds())).starts_with("AT "));
    assert!(ask(&mut talk, &format!("IAMAT weka -42.0+174.0 {}", seconds())).starts_with("AT "));
    browser.until("told.includes('weka')");
    assert_eq!(browser.value("/moa/.test(told) && !/emu|kiwi|kakapo/.test(told)"), true);
    browser.open(&format!("https://{https}/where/herd"));
    browser.until(&format!("{IS_LIVE} && document.querySelectorAll('#picture circle').length === 1"));
    assert_eq!(browser.errors(), [""; 0]);
}
