//! The walls between the rooms, and the layers inside them.

/// What the files of a room may not name.
pub(super) struct Wall {
    /// `src/<room>.rs` and everything in `src/<room>/`, or `bench/src` as it is.
    pub(super) room: &'static str,
    /// Rooms that this one must not know.
    pub(super) rooms: &'static [&'static str],
    /// Other words that may not occur in its code, tests included.
    pub(super) words: &'static [&'static str],
    /// What to do about it.
    pub(super) why: &'static str,
}

/// The dependencies point one way only: `proto -> config -> journal, places, logging, os -> net, member ->
/// frontend, peering, database -> server -> main`. The clock of `os` is for the journal, the log and providers, too.
pub(super) const WALLS: &[Wall] = &[
    Wall {
        room: "proto",
        rooms: &[
            "config", "places", "journal", "logging", "os", "net", "member", "frontend", "peering",
            "database", "server", "sim", "client", "cli",
        ],
        words: IMPURE,
        why: "the rules are pure: pass in what they need as a value, and let the driver do the rest",
    },
    Wall {
        room: "sim",
        rooms: &[
            "config", "places", "journal", "logging", "os", "net", "member", "frontend", "peering",
            "database", "server", "client", "cli",
        ],
        words: IMPURE,
        why: "the simulator is deterministic and drives `proto` and the conversation of `member`: time and chance come \
              from the seed",
    },
    Wall {
        room: "config",
        rooms: &[
            "places", "journal", "os", "net", "member", "frontend", "peering", "database", "server", "sim",
            "client", "cli",
        ],
        words: &[],
        why: "the configuration is what others read: let them turn it into their own terms",
    },
    Wall {
        room: "places",
        rooms: &[
            "journal", "logging", "net", "member", "frontend", "peering", "database", "server", "sim",
            "client", "cli",
        ],
        words: &[],
        why: "a provider answers a question and does not know who asks: pass in what it needs",
    },
    Wall {
        room: "journal",
        rooms: &[
            "config", "places", "logging", "net", "member", "frontend", "peering", "database", "server",
            "sim", "client", "cli",
        ],
        words: &[
            "std::net",
            "std::thread",
            "std::process",
            "Instant",
            "SystemTime",
            "Mutex",
            "RwLock",
            "log::",
        ],
        why: "the journal keeps bytes and does not know who needs them: pass in what it needs, return what it found",
    },
    Wall {
        room: "logging",
        rooms: &[
            "places", "journal", "net", "member", "frontend", "peering", "database", "server", "sim",
            "client", "cli",
        ],
        words: &["log::error!", "log::warn!", "log::info!", "log::debug!", "log::trace!"],
        why: "the log serves every room and knows none but its options, and does not log itself",
    },
    Wall {
        room: "os",
        rooms: &[
            "places", "journal", "logging", "net", "member", "frontend", "peering", "database", "server",
            "sim", "client", "cli",
        ],
        words: &[],
        why: "the operating system's clock, locks and limits serve every room and know none that uses them",
    },
    Wall {
        room: "net",
        rooms: &[
            "proto", "places", "journal", "logging", "member", "frontend", "peering", "database", "server",
            "sim", "client", "cli",
        ],
        words: &[],
        why: "connections know no protocol and no member: read into a byte slice, and call a closure that is passed in",
    },
    Wall {
        room: "member",
        rooms: &["net", "frontend", "peering", "database", "server", "sim", "client", "cli"],
        words: &["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "socket2"],
        why: "a member has no sockets: a frontend, a link or a database calls it",
    },
    Wall {
        room: "frontend",
        rooms: &["peering", "database", "server", "sim", "client", "cli"],
        words: &[],
        why: "a frontend turns bytes into calls of `member`, and knows neither links out nor databases",
    },
    Wall {
        room: "peering",
        rooms: &["frontend", "database", "server", "sim", "client", "cli"],
        words: &[],
        why: "a link out subscribes to `member`, and knows neither frontends nor databases",
    },
    Wall {
        room: "database",
        rooms: &["frontend", "peering", "server", "sim", "client", "cli"],
        words: &[],
        why: "a database subscribes to `member`, and knows neither frontends nor links out",
    },
    Wall {
        room: "server",
        rooms: &["sim", "client", "cli"],
        words: &[],
        why: "the server is driven from outside: take a checked value from `config`",
    },
    Wall {
        room: "client",
        rooms: &["places", "journal", "net", "member", "frontend", "peering", "database", "server", "sim"],
        words: &[],
        why: "a client knows the wire and nothing of the other end: what both need belongs in `proto`",
    },
    Wall {
        room: "bench/src",
        rooms: &["journal", "frontend", "peering", "database", "server", "client", "cli"],
        words: &[],
        why: "the threaded server is measured as a process; the variants share all rooms up to `net` and `member`, \
              except the journal",
    },
];

/// Parts of a room that another room may use, although the rest is behind its wall. The simulator drives the
/// conversation that all drivers share, which has no sockets, no locks and no clock; the rest of `member` has locks.
pub(super) const OPENINGS: &[(&str, &str)] = &[("sim", "member::conversation"), ("sim", "member::turn")];

/// Of the parts of a folder, each uses only those before it. What is not listed may use all and be used by all.
/// `peering` comes after `line` because the protocol between servers is framed in lines, and its `AT` lines take the
/// fast path.
pub(super) const LAYERS: &[(&str, &[&str])] =
    &[("src/proto", &["model", "store", "wal", "node", "line", "peering"])];

/// What the world is touched with.
const IMPURE: &[&str] = &[
    "std::net",
    "std::thread",
    "std::io",
    "std::fs",
    "std::process",
    "Instant",
    "SystemTime",
    "Mutex",
    "RwLock",
    "Condvar",
    "parking_lot",
    "crossbeam",
    "crossbeam_channel",
    "ureq",
    "socket2",
    "rustix",
    "ctrlc",
    "signal_hook",
    "clap",
    "log::",
    "simplelog",
];

impl Wall {
    /// Whether `path` lies in the room.
    pub(super) fn room_has(&self, path: &str) -> bool {
        let folder =
            if self.room.contains('/') { self.room.to_string() } else { format!("src/{}", self.room) };
        path.strip_prefix(&folder).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }
}
