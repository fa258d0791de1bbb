//! The door of HTTP as those write it who take a framework: axum on hyper on tokio, over the same member. It takes the
//! reports of OwnTracks, which is what the doors are compared with.
//!
//! What it leaves out speaks for it: it asks no one who they are, and refuses neither forwarded requests nor those of
//! web pages, for which the threaded door looks through the header fields of each request.

mod door;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread;

use axum::serve::ListenerExt;
use proxyherd::config::Config;
use proxyherd::member::finder::Finder;
use proxyherd::member::watchers::Watchers;
use proxyherd_bench::driver::{Driver, listen_http};
use proxyherd_bench::process::{self, Failure};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::watch;

fn main() -> ExitCode {
    process::run_plain(serve)
}

fn serve(config: &Config) -> Result<(), Failure> {
    let driver: &Driver = Box::leak(Box::new(Driver::new(config)?));
    let stopping: &watch::Sender<bool> = Box::leak(Box::new(watch::Sender::new(false)));
    process::on_signal(|| {
        stopping.send_replace(true);
    })?;
    let listener = listen_http(config)?;
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    thread::scope(|scope| {
        // As beside the threaded door: reports are brought into the index by place.
        let changes = driver.member.subscribe();
        thread::Builder::new().spawn_scoped(scope, move || {
            Finder::default().run(&driver.member, &changes, &Watchers::new(1));
        })?;
        let served = runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?.tap_io(|socket| {
                // It fails only if the other side is gone.
                let _ = socket.set_nodelay(true);
            });
            let door = door::new(driver).into_make_service_with_connect_info::<SocketAddr>();
            let stopped = async {
                // The sender is never dropped.
                let _ = stopping.subscribe().wait_for(|&stopping| stopping).await;
            };
            driver.log_serving();
            axum::serve(listener, door).with_graceful_shutdown(stopped).await
        });
        driver.member.notifiers.stop();
        driver.log_stopped();
        Ok(served?)
    })
}
