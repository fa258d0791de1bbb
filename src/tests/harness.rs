//! Servers in this process, on addresses of their own, and the one way in which tests talk to them: lines
//! in, lines out.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::config::{
    self, Auth, BasePath, Config, Herd, JournalOptions, Limits, LogOptions, MapOptions, PlacesArgs, Purpose,
    Scheduling,
};
use crate::journal::{Disk, RealDisk};
use crate::member::Member;
use crate::os::clock;
use crate::os::mapping::Mapping;
use crate::places::{self, PlacesProvider};
use crate::proto::model::name::ServerName;
use crate::proto::model::stored_line::StoredLine;
use crate::proto::store::cursor::Cursor;
use crate::proto::store::digest::{Bucket, Digest, record_hash};
use crate::proto::store::update::Source;
use crate::proto::store::{SCAN_RECORDS_MAX, Store};
use crate::server::{Reloader, Server, Stopper};
use crate::tests::free_address::free_address;

/// How long a test waits for what must happen. Long enough for a machine that does ten other things.
pub(crate) const WAIT: Duration = Duration::from_secs(20);

/// A herd of servers with these names and links, each with free addresses.
pub(crate) fn herd(names: &[&str], links: &[(&str, &str)], catch_up: bool) -> Herd {
    let name = |text: &str| ServerName::parse(text).unwrap();
    let member = |text: &&str| config::Member::herd(name(text), free_address(), free_address());
    let links = links.iter().map(|(a, b)| (name(a), name(b))).collect();
    Herd::new(names.iter().map(member).collect(), links, catch_up).unwrap()
}

/// What one server of a herd is started with.
pub(crate) fn config(herd: &Herd, name: &str) -> Config {
    Config {
        name: ServerName::parse(name).unwrap(),
        herd: herd.clone(),
        herd_file: None,
        log: LogOptions::default(),
        journal: JournalOptions::default(),
        places: PlacesArgs::default(),
        limits: Limits { connections_max: 100, ..Limits::default() },
        proxy_from: Vec::new(),
        clock_lead_max: None,
        explains: false,
        has_tree: true,
        auth: Auth::Loopback,
        secret_files: Vec::new(),
        access: None,
        tls: None,
        owntracks_keys: None,
        mqtt_relays: false,
        http_base_path: BasePath::default(),
        map: MapOptions::default(),
        database: None,
        scheduling: Scheduling::default(),
    }
}

/// One server on its own.
pub(crate) fn alone() -> TestServer {
    TestServer::start(&herd(&["Alford"], &[], true), "Alford", catalogue())
}

/// The provider that needs nothing.
pub(crate) fn catalogue() -> Arc<dyn PlacesProvider> {
    places::open(&places::Options::default()).unwrap()
}

/// A server that runs in threads of this process until it is dropped.
pub(crate) struct TestServer {
    pub(crate) clients: SocketAddr,
    pub(crate) peers: SocketAddr,
    pub(crate) member: Arc<Member>,
    pub(crate) stopper: Stopper,
    pub(crate) reloader: Reloader,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    pub(crate) fn start(herd: &Herd, name: &str, places: Arc<dyn PlacesProvider>) -> TestServer {
        TestServer::with(&config(herd, name), places)
    }

    pub(crate) fn with(config: &Config, places: Arc<dyn PlacesProvider>) -> TestServer {
        TestServer::on(Arc::new(RealDisk), config, places)
    }

    pub(crate) fn on(disk: Arc<dyn Disk>, config: &Config, places: Arc<dyn PlacesProvider>) -> TestServer {
        let server = Server::bind_on(disk, config, places).unwrap();
        let (stopper, reloader, member) = (server.stopper(), server.reloader(), Arc::clone(server.member()));
        let thread = Builder::new().spawn(move || server.run().unwrap()).unwrap();
        let [clients, peers] = [Purpose::Client, Purpose::Peer].map(|purpose| {
            let (_, address) = config.member().listens(purpose).unwrap();
            address.to_socket_addrs().unwrap().next().unwrap()
        });
        TestServer { clients, peers, member, stopper, reloader, thread: Some(thread) }
    }

    /// A conversation on the client port.
    pub(crate) fn client(&self) -> Talk {
        Talk::with(self.clients)
    }

    /// A conversation on the peer port.
    pub(crate) fn peer(&self) -> Talk {
        Talk::with(self.peers)
    }

    /// Checks the store against itself, and returns how many clients it knows.
    pub(crate) fn clients_known(&self) -> usize {
        self.member.read(|node| check(node.store()))
    }

    /// Waits for all threads of a server that stops by itself, and passes on their panics.
    pub(crate) fn joined(mut self) {
        self.thread.take().unwrap().join().unwrap();
    }

    /// Stops the server, waits for all its threads, and passes on their panics.
    pub(crate) fn stop(mut self) {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a thread of the server panicked");
        }
    }
}

/// Checks a store against itself, and returns how many records it has.
fn check(store: &Store) -> usize {
    let mut lines = Vec::new();
    let mut position = 0;
    while position < store.last_seq() {
        position = Cursor::new(position, Source::NONE)
            .copy(store, u64::MAX, SCAN_RECORDS_MAX, &mut lines)
            .position();
    }
    let mut digest = Digest::empty();
    let mut count = 0;
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n").expect("a stored line has its line feed");
        let (start, end) = StoredLine::parse(text).expect("a stored line is read back").client_range();
        let client = &text[start..end];
        assert_eq!(store.stored_line_of(client), Some(line));
        digest.replace(Bucket::of(client), 0, record_hash(text));
        count += 1;
    }
    assert_eq!(&digest, store.digest());
    assert_eq!(count, store.len() + store.tombstones());
    store.len()
}

/// A disk that fails while it is told to.
#[derive(Debug, Default)]
pub(crate) struct FailingDisk {
    pub(crate) fails: AtomicBool,
    /// Whether lanes have log buffers.
    pub(crate) maps: bool,
}

impl FailingDisk {
    fn fault(&self) -> io::Result<()> {
        if self.fails.load(Ordering::Relaxed) { Err(rustix::io::Errno::IO.into()) } else { Ok(()) }
    }
}

impl Disk for FailingDisk {
    /// What is written to a buffer fails later, which is not what most tests are about.
    fn map(&self, path: &Path, bytes: usize) -> io::Result<Mapping> {
        if self.maps { RealDisk.map(path, bytes) } else { Err(io::ErrorKind::Unsupported.into()) }
    }

    fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.fault().and_then(|()| RealDisk.write(file, offset, bytes))
    }

    fn flush(&self, file: &File) -> io::Result<()> {
        self.fault().and_then(|()| RealDisk.flush(file))
    }
}

/// One connection to a server. Every wait in it ends after [`WAIT`] with a failed test.
pub(crate) struct Talk {
    pub(crate) socket: TcpStream,
    replies: BufReader<TcpStream>,
}

impl Talk {
    pub(crate) fn with(address: SocketAddr) -> Talk {
        Talk::of(TcpStream::connect_timeout(&address, WAIT).unwrap())
    }

    /// Over a socket that is connected.
    pub(crate) fn of(socket: TcpStream) -> Talk {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        let replies = BufReader::new(socket.try_clone().unwrap());
        Talk { socket, replies }
    }

    /// From an address of this machine's own choosing.
    pub(crate) fn from(own: SocketAddr, address: SocketAddr) -> Talk {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&own.into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Talk::of(socket.into())
    }

    /// With the least room for replies that a kernel gives.
    pub(crate) fn with_little_room(address: SocketAddr) -> Talk {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(2304).unwrap();
        socket.connect(&address.into()).unwrap();
        Talk::of(socket.into())
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Talk {
        self.socket.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// The next line, without its line feed.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.replies.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the connection ended in {line:?}");
        line.pop();
        line
    }

    /// The next line, or none if the connection has ended.
    pub(crate) fn line_or_end(&mut self) -> Option<String> {
        let mut line = String::new();
        self.replies.read_line(&mut line).ok().filter(|count| *count > 0).map(|_| line)
    }

    /// Sends one line and returns the one line that comes back.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\n")).line()
    }

    /// The JSON that follows an `AT` line, up to the empty line that ends it.
    pub(crate) fn json(&mut self) -> serde_json::Value {
        let mut text = String::new();
        loop {
            match self.line() {
                end if end.is_empty() => return serde_json::from_str(&text).unwrap(),
                line => text.push_str(&line),
            }
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn half_close(&mut self) -> &mut Talk {
        self.socket.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// So many bytes, as text.
    pub(crate) fn bytes(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        self.replies.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// So many bytes.
    pub(crate) fn raw(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.replies.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Everything until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.replies.read_to_end(&mut rest).unwrap();
        rest
    }
}

/// Asks again and again until `found` has an answer, for what becomes true on another thread's time.
pub(crate) fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = clock::deadline(WAIT);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(clock::deadline(Duration::ZERO) < deadline, "not within {WAIT:?}: {what}");
        std::thread::yield_now();
    }
}
