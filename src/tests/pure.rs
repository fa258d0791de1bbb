//! The golden transcripts against the pure core: nodes, sessions and links in memory, and nothing else.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::transcripts::run::{Herd, Talk, run};
use super::transcripts::{each_transcript, format::Transcript, transcript};
use crate::proto::line::batch::Batch;
use crate::proto::line::framing::{Framing, Line};
use crate::proto::line::query::Query;
use crate::proto::model::epoch::Epoch;
use crate::proto::model::name::ServerName;
use crate::proto::model::time::Moment;
use crate::proto::node::NO_WAL;
use crate::proto::node::{Identity, Neighbour, Node};
use crate::proto::peering::link::{Answered, Link};
use crate::proto::session::{Session, Step};
use crate::tests::peers::KEY;

/// What a provider finds: as many as it is asked for.
const RESULTS: usize = 20;

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let transcript = transcript(stringify!($name)).unwrap();
            // Any chunking of the bytes must come to the same.
            for piece_bytes in [usize::MAX, 7, 1] {
                let held = run(&transcript, &mut World::new(&transcript), piece_bytes);
                held.unwrap_or_else(|why| {
                    panic!("{}.txt:{why} (in pieces of {piece_bytes} bytes)", stringify!($name))
                });
            }
        }
    )*};
}
each_transcript!(tests);

/// A herd in memory. Each connection to it has a share of it.
struct World {
    state: Rc<RefCell<State>>,
}

struct State {
    names: Vec<String>,
    /// A member that is dead has none.
    nodes: Vec<Option<Node>>,
    wires: Vec<Wire>,
    /// How often a server was started: each life has an epoch of its own.
    lives: u64,
    links: Vec<(usize, usize)>,
}

/// One direction of a link: the sender's side, and the conversation at the other end.
struct Wire {
    from: usize,
    to: usize,
    link: Link,
    far_end: Conversation,
}

/// What a driver holds of a connection.
struct Conversation {
    framing: Framing,
    session: Session,
    batch: Batch,
    replies: VecDeque<u8>,
    closed: bool,
}

impl World {
    fn new(transcript: &Transcript) -> World {
        let index = |name: &String| transcript.servers.iter().position(|known| known == name).unwrap();
        let links = transcript.links.iter().flat_map(|(a, b)| [(index(a), index(b)), (index(b), index(a))]);
        let mut state = State {
            names: transcript.servers.clone(),
            nodes: transcript.servers.iter().map(|_| None).collect(),
            wires: Vec::new(),
            lives: 0,
            links: links.collect(),
        };
        (0..state.nodes.len()).for_each(|at| state.start(at));
        World { state: Rc::new(RefCell::new(state)) }
    }

    fn index(&self, server: &str) -> usize {
        self.state.borrow().names.iter().position(|name| name == server).unwrap()
    }

    fn talk(&self, server: &str, with: fn(&Arc<Identity>) -> Conversation) -> Result<PureTalk, String> {
        let at = self.index(server);
        let state = self.state.borrow();
        let node = state.nodes[at].as_ref().ok_or_else(|| format!("{server} is dead"))?;
        let conversation = with(node.identity());
        Ok(PureTalk { state: Rc::clone(&self.state), at, conversation })
    }
}

impl Herd for World {
    type Talk = PureTalk;

    fn connect(&mut self, server: &str) -> Result<PureTalk, String> {
        self.talk(server, Conversation::with_client)
    }

    fn connect_as_peer(&mut self, server: &str) -> Result<PureTalk, String> {
        self.talk(server, Conversation::with_neighbour)
    }

    fn ask_again(&mut self, times: u64) -> bool {
        self.state.borrow_mut().pump();
        // Nothing is under way any more, so another answer would be the same.
        times < 2
    }

    fn kill(&mut self, server: &str) -> Result<(), String> {
        let at = self.index(server);
        let mut state = self.state.borrow_mut();
        // What has been written to a neighbour arrives: how much that is, no transcript may depend on.
        state.nodes[at] = None;
        state.wires.retain_mut(|wire| {
            if wire.to == at {
                wire.link.hung_up();
            }
            wire.from != at
        });
        Ok(())
    }

    fn start(&mut self, server: &str) -> Result<(), String> {
        let at = self.index(server);
        self.state.borrow_mut().start(at);
        Ok(())
    }
}

impl State {
    fn start(&mut self, at: usize) {
        self.lives += 1;
        let name = |at: usize| ServerName::parse(&self.names[at]).unwrap();
        let neighbours: Vec<usize> =
            self.links.iter().filter(|(from, _)| *from == at).map(|(_, to)| *to).collect();
        let named = neighbours.iter().map(|&to| Neighbour::herd(name(to))).collect();
        let me = Arc::new(Identity::new(name(at), named, Epoch(self.lives)));
        for (index, &to) in neighbours.iter().enumerate() {
            let link = Link::new(Arc::clone(&me), index);
            // Replaced when the link says hello.
            let far_end = Conversation::with_neighbour(&me);
            self.wires.push(Wire { from: at, to, link, far_end });
        }
        self.nodes[at] = Some(Node::new(me));
    }

    /// Lets all links send until none has anything left to send.
    fn pump(&mut self) {
        let State { nodes, wires, .. } = self;
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for wire in wires.iter_mut() {
                let [Some(from), Some(to)] = nodes.get_disjoint_mut([wire.from, wire.to]).unwrap() else {
                    continue;
                };
                if !wire.link.is_live() {
                    wire.greet(from, to);
                }
                let mut lines = Vec::new();
                while let Some(due) = wire.link.due(from, NO_WAL, Duration::ZERO, &mut lines) {
                    quiet = false;
                    wire.far_end.receive(to, &lines);
                    wire.link.written(due, Duration::ZERO);
                    lines.clear();
                }
                let complaint = String::from_utf8_lossy(wire.far_end.replies.make_contiguous()).into_owned();
                assert_eq!(complaint, "", "a server complains of its neighbour");
            }
        }
    }
}

impl Wire {
    /// Each side says all it must until the link is up.
    fn greet(&mut self, from: &Node, to: &mut Node) {
        self.far_end = Conversation::with_neighbour(to.identity());
        let mut line = self.link.hello(KEY);
        while !self.link.is_live() {
            self.far_end.receive(to, &line);
            let answer = self.far_end.line().unwrap().unwrap();
            match self.link.answered(from, &answer, Duration::ZERO).unwrap() {
                Answered::Reply(reply) => line = reply,
                Answered::Up => return,
                other @ (Answered::Acknowledged
                | Answered::Pruned
                | Answered::Grafted
                | Answered::Known
                | Answered::Differs(_)) => panic!("{other:?}"),
            }
        }
    }
}

impl Conversation {
    fn with_client(me: &Arc<Identity>) -> Conversation {
        Conversation::new(Session::client(Arc::clone(me)), Framing::for_client())
    }

    fn with_neighbour(me: &Arc<Identity>) -> Conversation {
        Conversation::new(Session::peer(Arc::clone(me), KEY), Framing::for_peer())
    }

    fn new(session: Session, framing: Framing) -> Conversation {
        let batch = Batch::default();
        Conversation { framing, session, batch, replies: VecDeque::new(), closed: false }
    }

    /// Takes bytes as they come from a socket.
    fn receive(&mut self, node: &mut Node, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.closed {
            let space = self.framing.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.turn(node, count);
        }
    }

    /// What a driver does after each read; 0 is the end of the stream.
    fn turn(&mut self, node: &mut Node, count: usize) {
        self.framing.filled(count);
        self.lines(node);
        node.apply(&mut self.batch, None);
        self.replies.extend(self.batch.replies());
        self.batch.sent();
        self.closed |= count == 0;
    }

    fn lines(&mut self, node: &mut Node) {
        let received = Moment { seconds: 1_700_000_000, nanos: 5 };
        loop {
            self.session.canonical_lines(&mut self.framing, received, usize::MAX, &mut self.batch);
            self.session.skip_telnet(&mut self.framing, &mut self.batch);
            let Some(line) = self.framing.next_line() else {
                let unfinished = self.session.unfinished_line(self.framing.partial(), &mut self.batch);
                self.closed |= unfinished.is_some();
                return;
            };
            let (Line::Whole(text) | Line::TooLong(text)) = line;
            match self.session.line(line, received, &mut self.batch) {
                Step::Next | Step::Secured | Step::Refused(_) => {}
                Step::Ask(ask) => {
                    node.apply(&mut self.batch, None);
                    match Query::of(node.store(), &ask) {
                        Some(search) => search.finish(&answer(), self.batch.reply()),
                        None => self.batch.refuse(text),
                    }
                }
                Step::Authenticated(_) => self.session.authenticate(node, &mut self.batch),
                Step::Heartbeat(beat) => {
                    node.apply(&mut self.batch, None);
                    self.session.heartbeat(node, &beat, true, &mut self.batch);
                }
                Step::Close(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        let Some(end) = self.replies.iter().position(|&byte| byte == b'\n') else {
            let silent = !self.closed || !self.replies.is_empty();
            return if silent { Err("no line comes".to_owned()) } else { Ok(None) };
        };
        let mut line: Vec<u8> = self.replies.drain(..=end).collect();
        line.pop();
        Ok(Some(line))
    }
}

/// A client's end of a conversation.
struct PureTalk {
    state: Rc<RefCell<State>>,
    at: usize,
    conversation: Conversation,
}

impl Talk for PureTalk {
    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        let node = state.nodes[self.at].as_mut().ok_or("the server is dead")?;
        self.conversation.receive(node, bytes);
        Ok(())
    }

    fn half_close(&mut self) -> Result<(), String> {
        let mut state = self.state.borrow_mut();
        let node = state.nodes[self.at].as_mut().ok_or("the server is dead")?;
        self.conversation.turn(node, 0);
        Ok(())
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, String> {
        self.conversation.line()
    }
}

/// What a provider says: more line feeds than are passed on, and as many results as it is asked for.
fn answer() -> String {
    let results: Vec<_> = (0..RESULTS).map(|at| format!("\n\n\n      {{ \"name\" : \"{at}\" }}")).collect();
    let results = results.join(",");
    format!(
        "{{\n   \"html_attributions\" : [],\n\n   \"results\" : [{results}\n   ],\n   \"status\" : \"OK\"\n}}\n\n"
    )
}

#[test]
fn a_transcript_that_does_not_hold_says_where() {
    let herd = "herd Alford\na@Alford> IAMAT k +1+1 5\n";
    let cases = [
        ("a@Alford< AT Alford <skew> k +1+1 5\n", ""),
        ("a@Alford< AT Alford <skew> k +1+1 6\n", "3: instead came AT Alford +"),
        ("a@Alford< AT Alford <skew> k +1+1\n", "3: instead came AT Alford +"),
        ("a@Alford< AT Alford <skew> k +1+1 5 \n", "3: instead came AT Alford +"),
        ("a@Alford< AT Alford <skew x>k +1+1 5\n", "3: instead came AT Alford +"),
        ("a@Alford< ? IAMAT k +1+1 5\n", "3: instead came AT Alford +"),
        ("a@Alford< <json 5>\n", "3: no line comes"),
        ("", "a@Alford at the end: no line asked for AT Alford +"),
        ("a@Alford<|\n", "3: no line asked for AT Alford +"),
        ("b@Alford< x\n", "3: no line comes"),
        ("a@Alford< AT Alford <skew k> k +1+1 5\na@Alford<|\n", "4: no line comes"),
        ("a@Alford>|\na@Alford< AT Alford <skew> k +1+1 5\na@Alford< x\n", "5: the server has closed"),
        (
            "a@Alford< AT Alford <skew k> k +1+1 5\na@Alford? WHATSAT k 1 1\na@Alford< AT\n",
            "4: after 2 times",
        ),
        (
            "a@Alford< AT Alford <skew k> k +1+1 5\na@Alford> IAMAT k +1+1 4\na@Alford< AT Alford <skew k> k +1+1 4\n",
            "5: instead came AT Alford +",
        ),
        (
            "a@Alford< AT Alford <skew k> k +1+1 5\na@Alford> WHATSAT k 1 3\na@Alford< AT Alford <skew k> k +1+1 5\n\
             a@Alford< <json 2>\n",
            "6: 3 results, not 2",
        ),
    ];
    for (rest, why) in cases {
        let transcript = Transcript::parse(format!("{herd}{rest}").as_bytes()).unwrap();
        let held = run(&transcript, &mut World::new(&transcript), usize::MAX);
        match held {
            Ok(()) => assert_eq!(why, "", "{rest}"),
            Err(error) => assert!(!why.is_empty() && error.starts_with(why), "{rest}{error}"),
        }
    }
}

#[test]
fn what_is_no_transcript_says_where() {
    let cases = [
        ("herd A\na@B> x", "2: B is not of the herd"),
        ("herd A\n\na@A> \\q", "3: \\q is no escape"),
        ("herd A\na@A> \\x4", "2: \\x needs two digits"),
        ("herd A\na@A>x", "2: a space or | follows"),
        ("herd A\nhello", "2: this is no step"),
        ("herd A\na> x", "2: who talks is like"),
        ("herd A\na@A< <many>", "2: <many> stands for nothing"),
        ("links AB", "1: a link is like"),
    ];
    for (text, why) in cases {
        let error = Transcript::parse(text.as_bytes()).unwrap_err();
        assert!(error.starts_with(why), "{text}: {error}");
    }
}

#[test]
fn every_file_with_a_transcript_is_run() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/transcripts");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            transcript(path.file_stem().unwrap().to_str().unwrap()).unwrap();
        }
    }
}
