//! What the command line asks of a running server over HTTP, and where the answer goes.

use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};
use std::path::PathBuf;

use super::backup;
use super::clients;
use super::conversation::{Outputs, Replies};
use super::drain;
use super::error::ClientError;
use super::filters::Filters;
use super::forget;
use super::http::Server;
use super::share;
use super::status;
use super::terminal::Terminal;
use super::watch;

/// What is asked of a server.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// How it is, for programs if so.
    Status(bool),
    /// Where clients are.
    Clients {
        /// Which of them.
        filters: Filters,
        /// How many at most.
        limit: u32,
        /// Whether it is for programs.
        json: bool,
    },
    /// What becomes of clients, for programs if so.
    Watch(Filters, bool),
    /// A link that lets others see a client for so long.
    Share(String, String),
    /// To remove a client.
    Forget(String),
    /// All that is stored, into a file or to standard output.
    Export(Option<PathBuf>),
    /// To take what was exported, from a file or from standard input.
    Import(Option<PathBuf>),
    /// To take no more clients, to give them so long, and to stop.
    Drain(std::time::Duration),
}

impl Command {
    /// Asks a server, and prints its answer: on a terminal nothing in it is obeyed.
    ///
    /// # Errors
    /// If the server cannot be asked, or refuses.
    pub fn run(&self, server: &Server) -> Result<Replies, ClientError> {
        let (stdout, notes) = (io::stdout().lock(), io::stderr());
        if stdout.is_terminal() {
            self.run_on(server, &mut Outputs { replies: Terminal::new(stdout), notes: Terminal::new(notes) })
        } else {
            self.run_on(server, &mut Outputs { replies: BufWriter::new(stdout), notes: Terminal::new(notes) })
        }
    }

    fn run_on(
        &self,
        server: &Server,
        outputs: &mut Outputs<impl Write, impl Write>,
    ) -> Result<Replies, ClientError> {
        let http = server.open()?;
        let done = match self {
            Command::Status(json) => status::status(&http, *json, outputs),
            Command::Clients { filters, limit, json } => {
                clients::clients(&http, filters, *limit, *json, outputs)
            }
            Command::Watch(filters, json) => watch::watch(&http, filters, *json, outputs),
            Command::Share(client, time) => share::share(&http, client, time, outputs),
            Command::Forget(client) => forget::forget(&http, client, outputs),
            Command::Export(path) => backup::export(&http, path.as_deref(), outputs),
            Command::Import(path) => backup::import(&http, path.as_deref(), outputs),
            Command::Drain(time) => drain::drain(&http, *time, outputs),
        };
        let done = done.and_then(|done| outputs.replies.flush().map(|()| done).map_err(ClientError::Output));
        match done {
            // The reader has seen enough.
            Err(ClientError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(Replies::Good),
            done => done,
        }
    }
}
