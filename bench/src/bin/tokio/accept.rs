//! Accepting: one task for each port, which starts a task for each connection.

use std::sync::Arc;

use clap::ValueEnum;
use proxyherd_bench::listen::{ACCEPT_PAUSE, ACCEPT_PAUSE_MAX, is_about_one_connection, note_accept_failure};
use proxyherd_bench::shared::Port;
use proxyherd_bench::talk::Talk;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::herd::{Alive, Herd};
use crate::textbook;
use crate::tuned;

/// How a conversation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// As the tutorials have it.
    Textbook,
    /// As fast as measuring made it.
    Tuned,
}

/// Accepts until its task is ended.
pub(crate) async fn accept_all(herd: Arc<Herd>, listener: TcpListener, port: Port, alive: Alive) {
    let mut pause = ACCEPT_PAUSE;
    loop {
        let (socket, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                note_accept_failure(&error, pause == ACCEPT_PAUSE);
                if !is_about_one_connection(&error) {
                    sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
                continue;
            }
        };
        pause = ACCEPT_PAUSE;
        if !herd.shared.enter(port) {
            // Tried at once, for what a new socket sends never has to wait.
            let socket = socket2::SockRef::from(&socket);
            herd.shared.refuse(from, |line| socket.send(line));
            continue;
        }
        let entered = Entered { herd: Arc::clone(&herd), port, _alive: alive.clone() };
        tokio::spawn(async move {
            let herd = &entered.herd;
            let Ok(mut talk) = Talk::begin(&herd.shared, port, from) else { return };
            let how = match herd.style {
                Style::Textbook => textbook::converse(herd, &mut talk, socket).await,
                Style::Tuned => tuned::converse(herd, &mut talk, socket).await,
            };
            talk.ended(&how);
        });
    }
}

/// A connection that counts, until it is dropped: at the end of its task, or in a panic of it.
struct Entered {
    herd: Arc<Herd>,
    port: Port,
    _alive: Alive,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.herd.shared.leave(self.port);
    }
}
