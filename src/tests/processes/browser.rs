//! A real browser without a window, driven through WebDriver: plain JSON over HTTP.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use ureq::Agent;

use crate::programs::program;
use crate::real::{eventually, note};

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that have no character of their own.
pub(crate) const ENTER: char = '\u{e007}';
pub(crate) const ESCAPE: char = '\u{e00c}';
pub(crate) const RIGHT: char = '\u{e014}';
pub(crate) const TAB: char = '\u{e004}';

/// A browser, which ends when it is dropped.
pub(crate) struct Browser {
    driver: Child,
    /// It could not print any more if its output were closed.
    _printed: Lines<BufReader<ChildStdout>>,
    agent: Agent,
    session: String,
}

impl Browser {
    /// A browser with a window of this size; says so if there is none.
    pub(crate) fn start(width: u32, height: u32) -> Option<Browser> {
        let chromedriver = program("chromedriver", "chromium-driver")?;
        let mut command = Command::new(chromedriver);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = command.spawn().unwrap();
        // It says which port it has been given.
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.unwrap();
            let (_, port) = line.split_once("successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
        let session = format!("http://127.0.0.1:{}/session", port.expect("it says its port"));
        let mut browser = Browser { driver, _printed: lines, agent, session };
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            // Those of tests have no authority.
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", format!("--window-size={width},{height}"),
            ] },
        } } });
        let begun = browser.say("POST", "", Some(&wanted));
        let id = begun["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {begun}"));
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
    }

    /// One command, and the value of its answer.
    fn say(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let address = format!("{}{path}", self.session);
        let answer = match (method, body) {
            ("POST", body) => {
                let body = body.map_or_else(|| "{}".to_owned(), Value::to_string);
                self.agent.post(&address).content_type("application/json").send(body)
            }
            ("DELETE", _) => self.agent.delete(&address).call(),
            (_, _) => self.agent.get(&address).call(),
        };
        let text = answer.unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["value"].take()
    }

    /// Goes to an address.
    pub(crate) fn open(&self, address: &str) {
        self.say("POST", "/url", Some(&json!({ "url": address })));
    }

    /// Loads the page again.
    pub(crate) fn reload(&self) {
        self.say("POST", "/refresh", None);
    }

    /// What an expression of JavaScript is in the page.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression};"))
    }

    /// Runs JavaScript in the page.
    pub(crate) fn run(&self, script: &str) -> Value {
        let value = self.say("POST", "/execute/sync", Some(&json!({ "script": script, "args": [] })));
        assert!(value["error"].is_null(), "{script}: {value}");
        value
    }

    /// Waits until an expression of JavaScript is true.
    pub(crate) fn until(&self, expression: &str) {
        let mut last = String::new();
        eventually(&format!("{expression}; the page says {last}"), || {
            last = self.value("document.body ? document.body.innerText : ''").to_string();
            (self.value(expression) == Value::Bool(true)).then_some(())
        });
    }

    /// Types into what a selector finds.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let found =
            self.say("POST", "/element", Some(&json!({ "using": "css selector", "value": selector })));
        let element = found[ELEMENT].as_str().unwrap_or_else(|| panic!("{selector}: {found}"));
        self.say("POST", &format!("/element/{element}/value"), Some(&json!({ "text": text })));
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(crate) fn press(&self, keys: &[char]) {
        let actions: Vec<Value> = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })))
            .collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.say("POST", "/actions", Some(&body));
    }

    /// What the browser has complained of since it was asked last.
    pub(crate) fn errors(&self) -> Vec<String> {
        let log = self.say("POST", "/se/log", Some(&json!({ "type": "browser" })));
        let entries = log.as_array().unwrap();
        entries.iter().filter(|entry| entry["level"] == "SEVERE").map(Value::to_string).collect()
    }

    /// Says through the protocol of its developers what it is to pretend.
    pub(crate) fn pretend(&self, command: &str, parameters: Value) {
        let body = json!({ "cmd": command, "params": parameters });
        self.say("POST", "/goog/cdp/execute", Some(&body));
    }

    /// Writes a picture of the page to the folder that `PROXYHERD_SCREENSHOTS` names, if it does.
    pub(crate) fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("PROXYHERD_SCREENSHOTS") else { return };
        let picture = self.say("GET", "/screenshot", None);
        let picture = proxyherd::proto::http::form::base64(picture.as_str().unwrap()).unwrap();
        let path = Path::new(&folder).join(format!("{name}.png"));
        fs::write(&path, picture).unwrap();
        note(format_args!("{} is written", path.display()));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser is the driver's child, and ends with its session alone.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
