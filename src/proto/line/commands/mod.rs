//! The commands of clients: one line to one typed command, or why not. Each command is a file, and an entry of the list
//! in this one.
//!
//! The file of a command has its `WORD`; `parse`, which reads the fields behind the word; and `run`, which puts the
//! reply into the batch or says what else the driver must do. The lines of neighbours are in
//! [`crate::proto::peering::grammar`].

pub mod iamat;
pub mod whatsat;

use crate::proto::line::query::WhatsAt;
use crate::proto::line::reason::Reason;
use crate::proto::line::turn::{Step, Turn};
use crate::proto::model::fields::{Fields, ParseError};

/// Makes of the list the type of all commands, and what reads and runs them.
macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident($kind:ty) in $file:ident,)*) => {
        /// A command of a client.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub enum ClientCommand<'a> {
            $($(#[$doc])* $name($kind),)*
        }

        /// Reads a client's line.
        pub fn client_command(line: &[u8]) -> Result<ClientCommand<'_>, ParseError> {
            let fields = Fields::of(line)?;
            match fields.word {
                $($file::WORD => $file::parse(fields).map(ClientCommand::$name),)*
                _ => Err(ParseError::UnknownWord),
            }
        }

        impl<'a> ClientCommand<'a> {
            /// Replies, or says what the driver must do.
            pub(crate) fn run(self, turn: Turn<'_>) -> Result<Step<'a>, Reason> {
                match self {
                    $(ClientCommand::$name(command) => $file::run(command, turn),)*
                }
            }
        }
    };
}

commands! {
    /// `IAMAT <client> <location> <time>`: where I am.
    IAmAt(iamat::IAmAt<'a>) in iamat,
    /// `WHATSAT <client> <radius> <limit>`: where that client is, and what is near it.
    WhatsAt(WhatsAt<'a>) in whatsat,
}

/// Why a line is refused, as far as its text says it; `None` for a command, which only a server can have refused.
pub fn why_refused(line: &[u8]) -> Option<Reason> {
    client_command(line).err().map(Reason::Parse)
}
