//! From the capture thread to a worker, without ever waiting.
//!
//! The queue to a worker is bounded. While it is full, events gather here up to a limit; beyond it
//! they lose their payload, then data events are left out altogether. Positions make either an
//! exact gap. Opens, ends and closes have room of their own, which lasts for as many connections;
//! what finds none of it is left out too: a connection whose opening is not known has no spans, and
//! one whose end is not known is forgotten when it has been idle.

use std::thread::{self, Thread};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use wirespan_capture::{Missing, Nanos, SocketEvent};

/// Batches a worker may be behind. A batch is what one drain of the rings brought.
const QUEUE_BATCHES: usize = 64;

/// Payload held for a worker that is behind, in bytes: half a second at 64 MiB/s.
const MAX_HELD_BYTES: usize = 32 << 20;

/// Data events held for a worker that is behind.
const MAX_HELD_EVENTS: usize = 262_144;

/// Events held in all. The room beyond [`MAX_HELD_EVENTS`] is for what opens and ends connections:
/// at 10,000 new connections a second it lasts for some ten seconds of a stuck worker.
const MAX_HELD: usize = MAX_HELD_EVENTS + 262_144;

/// What a worker gets.
#[derive(Debug)]
pub(crate) struct Batch {
    pub events: Vec<SocketEvent>,
    /// No event earlier than this will follow.
    pub watermark: Nanos,
}

/// The thread behind a queue is gone, by a defect of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerEnded;

/// The worker's end of its queue.
///
/// Its thread parks while there is nothing. To wait on the channel itself would spin and yield first, a
/// few times for each batch: on a busy node these are as many turns that the observed programs lose.
#[derive(Debug)]
pub(crate) struct Batches(Receiver<Batch>);

impl Batches {
    /// Waits for the next batch; `None` when no more will come. Only on the thread that
    /// [`Feeder::wakes`] was told of.
    pub(crate) fn wait(&self) -> Option<Batch> {
        loop {
            match self.0.try_recv() {
                Ok(batch) => return Some(batch),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => thread::park(),
            }
        }
    }
}

/// Wakes a worker a last time when nothing more will come.
#[derive(Debug)]
struct Worker(Option<Thread>);

impl Worker {
    fn wake(&self) {
        if let Some(thread) = &self.0 {
            thread.unpark();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.wake();
    }
}

#[derive(Debug)]
pub(crate) struct Feeder {
    queue: Sender<Batch>,
    // Behind the queue: it is to be woken when that has ended.
    worker: Worker,
    held: Vec<SocketEvent>,
    held_bytes: usize,
    lost_bytes: u64,
    lost_events: u64,
}

impl Feeder {
    #[must_use]
    pub(crate) fn new() -> (Self, Batches) {
        let (queue, receiver) = bounded(QUEUE_BATCHES);
        (
            Self {
                queue,
                worker: Worker(None),
                held: Vec::new(),
                held_bytes: 0,
                lost_bytes: 0,
                lost_events: 0,
            },
            Batches(receiver),
        )
    }

    /// The thread that takes the batches.
    pub(crate) fn wakes(&mut self, worker: Thread) {
        self.worker = Worker(Some(worker));
    }

    pub(crate) fn add(&mut self, mut event: SocketEvent) {
        if let SocketEvent::Data(data) = &mut event {
            if self.held.len() >= MAX_HELD_EVENTS {
                self.lost_events = self.lost_events.saturating_add(1);
                self.lost_bytes = self.lost_bytes.saturating_add(data.bytes.len() as u64);
                return;
            }
            if self.held_bytes >= MAX_HELD_BYTES && !data.bytes.is_empty() {
                self.lost_bytes = self.lost_bytes.saturating_add(data.bytes.len() as u64);
                data.bytes = Bytes::new();
                data.missing = Missing::Ring;
            }
            self.held_bytes = self.held_bytes.saturating_add(data.bytes.len());
        } else if self.held.len() >= MAX_HELD {
            self.lost_events = self.lost_events.saturating_add(1);
            return;
        }
        self.held.push(event);
    }

    /// Hands over what is held if there is room. `false`: the worker has ended.
    pub(crate) fn flush(&mut self, watermark: Nanos) -> bool {
        let batch = Batch {
            events: std::mem::take(&mut self.held),
            watermark,
        };
        match self.queue.try_send(batch) {
            Ok(()) => {
                self.worker.wake();
                self.held_bytes = 0;
                true
            }
            Err(TrySendError::Full(batch)) => {
                self.held = batch.events;
                true
            }
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// The last hand-over, when there is time to wait: ends the worker's queue.
    ///
    /// # Errors
    /// When the worker has ended before.
    pub(crate) fn finish(self, watermark: Nanos) -> Result<(), WorkerEnded> {
        self.queue
            .send(Batch {
                events: self.held,
                watermark,
            })
            .map_err(|_| WorkerEnded)
    }

    /// Payload bytes and events lost here so far.
    #[must_use]
    pub(crate) const fn lost(&self) -> (u64, u64) {
        (self.lost_bytes, self.lost_events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirespan_capture::{ConnectionKey, Data, Direction, Layer};

    fn data(position: u64, len: usize) -> SocketEvent {
        SocketEvent::Data(Data {
            key: ConnectionKey {
                socket: 1,
                generation: 1,
            },
            direction: Direction::Sent,
            layer: Layer::Socket,
            position,
            len: len as u64,
            bytes: Bytes::from(vec![0; len]),
            entry: 1,
            exit: 1,
            missing: Missing::Unwanted,
        })
    }

    #[test]
    fn a_worker_that_is_behind_costs_payload_not_order() {
        let (mut feeder, receiver) = Feeder::new();
        for _ in 0..QUEUE_BATCHES {
            assert!(feeder.flush(1));
        }
        let piece = 1 << 20;
        for n in 0..40_u64 {
            feeder.add(data(n << 20, piece));
            assert!(feeder.flush(2), "full is not ended");
        }
        assert_eq!(feeder.lost(), (8 << 20, 0));
        for _ in 0..QUEUE_BATCHES {
            receiver.wait().unwrap();
        }
        assert!(feeder.flush(3));
        let batch = receiver.wait().unwrap();
        assert_eq!(batch.events.len(), 40);
        let SocketEvent::Data(last) = batch.events.last().unwrap() else {
            panic!("data")
        };
        assert_eq!(
            (last.position, last.len, last.bytes.len(), last.missing),
            (39 << 20, 1 << 20, 0, Missing::Ring)
        );
    }

    #[test]
    fn a_stuck_worker_costs_no_more_memory_than_its_limit() {
        let (mut feeder, _receiver) = Feeder::new();
        let close = || {
            SocketEvent::Close(wirespan_capture::Close {
                key: ConnectionKey {
                    socket: 1,
                    generation: 1,
                },
                time: 1,
                reason: wirespan_capture::CloseReason::Finished,
                positions: [None; 2],
            })
        };
        for _ in 0..MAX_HELD_EVENTS + 10 {
            feeder.add(data(0, 0));
        }
        assert_eq!(
            feeder.lost(),
            (0, 10),
            "data gives way to what ends connections"
        );
        for _ in 0..MAX_HELD {
            feeder.add(close());
        }
        assert_eq!(feeder.held.len(), MAX_HELD);
        assert_eq!(feeder.lost().1, 10 + MAX_HELD_EVENTS as u64);
    }

    #[test]
    fn a_worker_that_waits_gets_every_batch_and_the_end() {
        const BATCHES: u64 = 2_000;
        let (mut feeder, batches) = Feeder::new();
        let worker = thread::spawn(move || {
            std::iter::from_fn(|| batches.wait())
                .map(|batch| batch.events.len() as u64)
                .sum::<u64>()
        });
        feeder.wakes(worker.thread().clone());
        for n in 0..BATCHES {
            feeder.add(data(n, 1));
            assert!(feeder.flush(n));
            if n % 16 == 0 {
                // So that it finds nothing now and then.
                thread::yield_now();
            }
        }
        feeder.finish(BATCHES).unwrap();
        assert_eq!(worker.join().unwrap(), BATCHES);
    }

    #[test]
    fn a_worker_that_has_ended_is_noticed() {
        let (mut feeder, receiver) = Feeder::new();
        drop(receiver);
        assert!(!feeder.flush(1));
    }
}
