//! Accepting: one task for each port, which starts a task for each connection.

use clap::ValueEnum;
use proxyherd::net::accept::{ACCEPT_PAUSE, ACCEPT_PAUSE_MAX, is_about_one_connection, log_failure};
use proxyherd::net::admission::Class;
use socket2::SockRef;
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
pub(crate) async fn accept_all(herd: &'static Herd, listener: TcpListener, class: Class, alive: Alive) {
    let mut pause = ACCEPT_PAUSE;
    loop {
        let (socket, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                log_failure(&error, pause == ACCEPT_PAUSE);
                if !is_about_one_connection(&error) {
                    sleep(pause).await;
                    pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                }
                continue;
            }
        };
        pause = ACCEPT_PAUSE;
        // Tried at once, because what a new socket sends never has to wait.
        let send = |line: &[u8]| SockRef::from(&socket).send(line);
        let Some(admitted) = herd.driver.admit(class, from, send) else { continue };
        let alive = alive.clone();
        tokio::spawn(async move {
            // Until the end of the task, or a panic of it.
            let _entered = (alive, admitted);
            let Ok(mut conversation) = herd.driver.begin(class, from) else { return };
            let ended = match herd.style {
                Style::Textbook => textbook::converse(herd, &mut conversation, socket).await,
                Style::Tuned => tuned::converse(herd, &mut conversation, socket).await,
            };
            conversation.remote().log_disconnected(&herd.driver.member.metrics, ended.err().as_ref());
        });
    }
}
