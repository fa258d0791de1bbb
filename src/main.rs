//! The life of the program: read the command line, do what it says, exit with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::SUCCESS
}
