//! What can be done to a simulated herd from outside, at the present moment.

use super::{Crash, World};

impl World {
    /// A client sends bytes to a server: whole lines, or parts of them. Answers the replies; a server that is
    /// down answers nothing.
    pub fn report(&mut self, server: usize, bytes: &[u8]) -> Vec<u8> {
        self.note("report", server, bytes);
        self.hear_client(server, bytes)
    }

    /// The `AT` line that a server has of a client, if it is up and knows it.
    pub fn line_of(&self, server: usize, client: &str) -> Option<&[u8]> {
        self.servers[server].life.as_ref()?.node.store().line_of(client.as_bytes())
    }

    /// The operator of a server has it forget a client.
    pub fn forget(&mut self, server: usize, client: &str) {
        self.note("forget", server, client.as_bytes());
        self.forget_client(server, client);
    }

    /// A link goes down: its connections lose what is in flight, and no dial gets through until it is healed.
    pub fn cut(&mut self, link: usize) {
        self.note("cut", link, b"");
        self.disturbed = true;
        self.wires[link].up = false;
        self.sever_link(link);
    }

    /// A link comes up again.
    pub fn heal(&mut self, link: usize) {
        self.note("heal", link, b"");
        self.wires[link].up = true;
    }

    /// A blackhole: a link loses all packets, and neither end learns of it. What is sent waits until it is restored.
    pub fn darken(&mut self, link: usize) {
        self.note("darken", link, b"");
        self.disturbed = true;
        self.wires[link].dark = true;
    }

    /// Restores a blackholed link.
    pub fn lighten(&mut self, link: usize) {
        self.note("lighten", link, b"");
        self.wires[link].dark = false;
        self.send_held(link);
    }

    /// A server stops at once. What it has only in memory is gone, and more if it is not just killed.
    pub fn crash(&mut self, server: usize, crash: Crash) {
        self.note("crash", server, b"");
        self.disturbed = true;
        self.stop(server, crash);
        self.sever_server(server);
    }

    /// Crash in commit: a server will be killed in the midst of its next commit of several records, if one comes before
    /// the end.
    pub fn doom(&mut self, server: usize) {
        self.note("doom", server, b"");
        self.disturbed = true;
        self.servers[server].is_doomed = self.servers[server].life.is_some();
    }

    /// A server that has crashed starts again, with what is durable on its disk.
    pub fn restart(&mut self, server: usize) {
        self.note("restart", server, b"");
        self.start(server);
    }

    /// The threads of a server do not run any more, until it is resumed.
    pub fn stall(&mut self, server: usize) {
        self.note("stall", server, b"");
        self.disturbed = true;
        if self.servers[server].life.is_some() {
            self.servers[server].stalled.get_or_insert_default();
        }
    }

    /// A stalled server goes on with all that has waited for it.
    pub fn resume(&mut self, server: usize) {
        self.note("resume", server, b"");
        for event in self.servers[server].stalled.take().into_iter().flatten() {
            self.queue.plan(self.now_ns, event);
        }
    }

    /// From now on servers may drift apart, so that they repair it: lines may be sent again.
    pub fn expect_repairs(&mut self) {
        self.witness.drifted = true;
    }

    /// Everything works again; what is known now must not be lost from here on.
    pub fn heal_all(&mut self) {
        (0..self.wires.len()).for_each(|link| self.heal(link));
        (0..self.wires.len()).for_each(|link| self.lighten(link));
        self.servers.iter_mut().for_each(|server| server.is_doomed = false);
        (0..self.servers.len()).for_each(|server| self.resume(server));
        (0..self.servers.len()).for_each(|server| self.restart(server));
        self.remember_floor();
    }

    /// Changes a record behind a server's back, as a fault of its memory or of a program would do it.
    #[cfg(test)]
    pub(crate) fn drift(&mut self, server: usize, line: &str) {
        self.witness.made_up(line.as_bytes());
        if let Some(life) = &mut self.servers[server].life {
            life.node.plant(line.as_bytes());
        }
    }
}
