//! An HTTP server on this machine that behaves as a test wants: well, badly, slowly or not at all.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A request as it came in.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Its place among all requests to this server, from 0.
    pub(super) number: usize,
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// Answers one request; says whether the connection stays.
type Behaviour = dyn Fn(&Seen, &mut dyn Write) -> io::Result<bool> + Send + Sync;

/// A running server; dropping it ends its connections and joins its threads.
pub(super) struct LocalServer {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    connections: Mutex<Vec<(TcpStream, JoinHandle<()>)>>,
    stopping: AtomicBool,
    behaviour: Box<Behaviour>,
    tls: Option<Arc<ServerConfig>>,
}

impl LocalServer {
    /// Serves HTTP.
    pub(super) fn http<F>(behaviour: F) -> LocalServer
    where
        F: Fn(&Seen, &mut dyn Write) -> io::Result<bool> + Send + Sync + 'static,
    {
        LocalServer::start(Box::new(behaviour), None)
    }

    /// Serves HTTPS.
    pub(super) fn https<F>(tls: ServerConfig, behaviour: F) -> LocalServer
    where
        F: Fn(&Seen, &mut dyn Write) -> io::Result<bool> + Send + Sync + 'static,
    {
        LocalServer::start(Box::new(behaviour), Some(Arc::new(tls)))
    }

    /// Gives every request the same whole reply.
    pub(super) fn replying(status: u16, body: &str) -> LocalServer {
        let body = body.to_owned();
        LocalServer::http(move |_, out| reply(out, status, &[], &body))
    }

    /// The base address, for `--places-url`.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Every request so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// How many connections there have been.
    pub(super) fn connections(&self) -> usize {
        self.shared.connections.lock().len()
    }

    fn start(behaviour: Box<Behaviour>, tls: Option<Arc<ServerConfig>>) -> LocalServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            connections: Mutex::default(),
            stopping: AtomicBool::new(false),
            behaviour,
            tls,
        });
        let for_acceptor = Arc::clone(&shared);
        let acceptor = Builder::new().spawn(move || accept(&listener, &for_acceptor)).unwrap();
        LocalServer { address, scheme, shared, acceptor: Some(acceptor) }
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.acceptor.take().unwrap().join().unwrap();
        for (stream, thread) in std::mem::take(&mut *self.shared.connections.lock()) {
            let _ = stream.shutdown(Shutdown::Both);
            thread.join().unwrap();
        }
    }
}

/// Writes a whole reply; the connection may stay.
pub(super) fn reply(
    out: &mut dyn Write,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    out.write_all(format!("{head}\r\n{body}").as_bytes())?;
    out.flush()?;
    Ok(true)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let stream = stream.unwrap();
        let for_drop = stream.try_clone().unwrap();
        let for_thread = Arc::clone(shared);
        // The client may break off whenever it likes: that is not an error of the test.
        let thread = Builder::new().spawn(move || drop(serve(stream, &for_thread))).unwrap();
        shared.connections.lock().push((for_drop, thread));
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let close = stream.try_clone()?;
    let outcome = match &shared.tls {
        Some(config) => {
            let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            converse(StreamOwned::new(connection, stream), shared)
        }
        None => converse(stream, shared),
    };
    // Another handle to the socket is kept for the end, so dropping this one would not close it.
    let _ = close.shutdown(Shutdown::Both);
    outcome
}

fn converse(stream: impl Read + Write, shared: &Shared) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(mut seen) = request(&mut stream)? {
        {
            let mut all = shared.seen.lock();
            seen.number = all.len();
            all.push(seen.clone());
        }
        if !(shared.behaviour)(&seen, stream.get_mut())? {
            break;
        }
    }
    Ok(())
}

/// The next request; `None` when the client has left.
fn request(stream: &mut BufReader<impl Read>) -> io::Result<Option<Seen>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    Ok(Some(Seen { number: 0, method, target, headers, body }))
}
