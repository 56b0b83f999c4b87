//! A real browser: Debian's chromium without a window, led by the DevTools protocol over a pair of pipes.

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Chromium takes requests from descriptor 3 and answers at 4. It finds no name but addresses, and asks nobody for anything by itself.
const START: &str = "exec chromium --headless=new --no-sandbox --disable-dev-shm-usage --disable-gpu --remote-debugging-pipe \
    --no-first-run --no-default-browser-check --disable-background-networking --disable-component-update --disable-sync \
    --disable-extensions --mute-audio --window-size=1280,900 --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.*' \
    --user-data-dir=\"$0\" $1 about:blank 3<&0 4>&1 0</dev/null 1>/dev/null 2>\"$0/log\"";

/// A browser with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    /// The page, as the protocol names what it is attached to.
    page: Value,
    id: u64,
    /// What went wrong in the page: exceptions, errors in its console, and what its policy forbade.
    pub faults: Vec<String>,
    /// What was asked for.
    pub urls: Vec<String>,
    directory: PathBuf,
}

impl Browser {
    /// Starts it and opens `url`.
    pub fn open(name: &str, url: &str) -> Self {
        Self::open_with(name, url, "")
    }

    /// The same with another option of Chromium's.
    pub fn open_with(name: &str, url: &str, option: &str) -> Self {
        let directory =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", START])
            .arg(&directory)
            .arg(option)
            .env("HOME", &directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (to, out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, from) = channel();
        std::thread::spawn(move || read(out, &sender));
        let (faults, urls) = (Vec::new(), Vec::new());
        let mut browser = Self { child, to, from, page: Value::Null, id: 0, faults, urls, directory };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.page = attached["sessionId"].clone();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            browser.call(domain, json!({}));
        }
        browser.call("Page.navigate", json!({"url": url}));
        browser.until("the page has run", "document.readyState === 'complete'");
        browser
    }

    /// Calls a method of the protocol.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.id += 1;
        let mut request = json!({"id": self.id, "method": method, "params": params});
        if !self.page.is_null() {
            request["sessionId"] = self.page.clone();
        }
        self.to.write_all(format!("{request}\0").as_bytes()).unwrap();
        let end = Instant::now() + ANSWER_WITHIN;
        loop {
            let message = match self.from.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => panic!("no answer to {method}"),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!(
                        "no browser: is chromium there? {}",
                        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
                    )
                }
            };
            if message["id"] == json!(self.id) {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.faults.push(params["exceptionDetails"].to_string()),
            "Log.entryAdded" if params["entry"]["level"] == "error" => self.faults.push(params["entry"].to_string()),
            "Runtime.consoleAPICalled" => self.faults.push(params["args"].to_string()),
            "Network.requestWillBeSent" => self.urls.push(params["request"]["url"].as_str().unwrap().to_owned()),
            _ => {}
        }
    }

    /// What `script` gives in the page; a promise is waited for.
    pub fn eval(&mut self, script: &str) -> Value {
        let params = json!({"expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true});
        let answer = self.call("Runtime.evaluate", params);
        assert!(answer.get("exceptionDetails").is_none(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until `script` gives true.
    pub fn until(&mut self, what: &str, script: &str) {
        let end = Instant::now() + ANSWER_WITHIN;
        while self.eval(script) != json!(true) {
            assert!(Instant::now() < end, "not within {ANSWER_WITHIN:?}: {what}: {}", self.text("body"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What is to be read in the first element that `selector` finds.
    pub fn text(&mut self, selector: &str) -> String {
        let text = self.eval(&format!("document.querySelector({}).innerText", json!(selector)));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Presses and releases a key: its name, its code, and the text that it makes.
    pub fn press(&mut self, (key, code, text): (&str, u32, &str)) {
        for kind in ["keyDown", "keyUp"] {
            let mut params = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                params["text"] = json!(text);
            }
            self.call("Input.dispatchKeyEvent", params);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let end = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Messages end with a zero byte.
fn read(out: ChildStdout, to: &Sender<Value>) {
    let mut out = BufReader::new(out);
    loop {
        let mut message = Vec::new();
        match out.read_until(0, &mut message) {
            Ok(length) if length > 1 => message.truncate(length - 1),
            _ => return,
        }
        if serde_json::from_slice(&message).map_or(Ok(()), |message| to.send(message)).is_err() {
            return;
        }
    }
}
