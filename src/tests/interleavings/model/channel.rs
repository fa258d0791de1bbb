//! Bounded channels with the methods of `crossbeam_channel`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvError, RecvTimeoutError, TryRecvError, TrySendError};

use super::Watched;

#[derive(Debug)]
pub struct Sender<T>(Arc<Watched<Channel<T>>>);

#[derive(Debug)]
pub struct Receiver<T>(Arc<Watched<Channel<T>>>);

#[derive(Debug)]
struct Channel<T> {
    queue: VecDeque<T>,
    capacity: usize,
    senders: usize,
    receivers: usize,
    /// Receivers that wait: without capacity a message goes to one of them, or nowhere.
    takers: usize,
}

pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Channel { queue: VecDeque::new(), capacity, senders: 1, receivers: 1, takers: 0 };
    let channel = Arc::new(Watched::new(channel));
    (Sender(Arc::clone(&channel)), Receiver(channel))
}

impl<T> Channel<T> {
    fn has_room(&self) -> bool {
        self.queue.len() < if self.capacity == 0 { self.takers } else { self.capacity }
    }
}

impl<T> Sender<T> {
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.0.change(|channel| {
            if channel.receivers == 0 {
                return Err(TrySendError::Disconnected(message));
            }
            if !channel.has_room() {
                return Err(TrySendError::Full(message));
            }
            channel.queue.push_back(message);
            Ok(())
        })
    }
}

impl<T> Receiver<T> {
    pub fn recv(&self) -> Result<T, RecvError> {
        let mut is_taker = false;
        let received = self.0.wait(|channel| {
            let next = channel.queue.pop_front();
            if next.is_some() || channel.senders == 0 {
                channel.takers -= usize::from(is_taker);
                return Some(next);
            }
            channel.takers += usize::from(!is_taker);
            is_taker = true;
            None
        });
        received.ok_or(RecvError)
    }

    pub fn recv_timeout(&self, _: Duration) -> Result<T, RecvTimeoutError> {
        self.recv().map_err(|RecvError| RecvTimeoutError::Disconnected)
    }

    /// Who gives a deadline goes on without a message too, so here it passes while others go on.
    pub fn recv_deadline(&self, _: Instant) -> Result<T, RecvTimeoutError> {
        self.try_recv()
            .or_else(|_| {
                shuttle::thread::yield_now();
                self.try_recv()
            })
            .map_err(|error| match error {
                TryRecvError::Empty => RecvTimeoutError::Timeout,
                TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            })
    }

    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.0.change(|channel| match channel.queue.pop_front() {
            Some(message) => Ok(message),
            None if channel.senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        })
    }

    pub fn len(&self) -> usize {
        self.0.peek(|channel| channel.queue.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.0.peek(|channel| channel.senders += 1);
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.0.peek(|channel| channel.receivers += 1);
        Receiver(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.change(|channel| channel.senders -= 1);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unread = self.0.change(|channel| {
            channel.receivers -= 1;
            if channel.receivers == 0 { std::mem::take(&mut channel.queue) } else { VecDeque::new() }
        });
        drop(unread);
    }
}
