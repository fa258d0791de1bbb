//! The bytes that have come and are no whole packet yet.

/// The room for them that a connection keeps: most packets fit.
const KEPT_BYTES: usize = 2 * 1024;

/// The bytes of a connection.
#[derive(Debug, Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// What has come and was not taken.
    pub(super) fn held(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Room for more. It grows with what comes, because a client may announce what it never sends.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == 0 && self.buffer.len() != KEPT_BYTES {
            self.buffer = vec![0; KEPT_BYTES];
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.end, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// The length of that room.
    pub(super) fn room(&self) -> usize {
        self.buffer.len() - self.end
    }

    /// So many bytes have come.
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// So many were a packet.
    pub(super) fn taken(&mut self, count: usize) {
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }
}
