//! How the host sleeps between two drains, and what wakes it before its time.

use std::os::fd::OwnedFd;
use std::time::Duration;

use aya::maps::{Array, MapData};
use rustix::event::{PollFd, PollFlags, Timespec, epoll};
use rustix::io::Errno;
use wirespan_events::config::{control, wake};

use super::ring::Ring;

/// Why a sleep has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Its time is over.
    InTime,
    /// The kernel side has asked for it.
    ByKernel,
    /// By a signal: whoever sleeps may have been told to stop.
    BySignal,
}

pub(super) struct Waking {
    control: Array<MapData, u32>,
    /// Edge-triggered: what waits in the rings wakes nobody, a wakeup by the kernel side does.
    edges: Option<OwnedFd>,
}

impl Waking {
    pub(super) fn new(control: Array<MapData, u32>, rings: &[Ring]) -> Self {
        let edges = edges(rings)
            .inspect_err(|error| tracing::debug!(%error, "no sleep between drains is long"))
            .ok();
        Self { control, edges }
    }

    /// For `time`, or until there is need: see [`wake::BY_NEED`]. `None` where that cannot be asked for.
    pub(super) fn until_needed(&mut self, time: Duration) -> Option<Woken> {
        let edges = self.edges.as_ref()?;
        self.control.set(control::WAKE, wake::BY_NEED, 0).ok()?;
        let timeout = Timespec::try_from(time).ok();
        let mut woken = [const { std::mem::MaybeUninit::uninit() }; 1];
        let woken = match epoll::wait(edges, &mut woken, timeout.as_ref()) {
            Ok(([], _)) => Woken::InTime,
            Err(Errno::INTR) => Woken::BySignal,
            // Of an error the next drain may come early.
            Ok(_) | Err(_) => Woken::ByKernel,
        };
        let _ = self.control.set(control::WAKE, wake::NEVER, 0);
        Some(woken)
    }

    /// For `time`, or until there is a record. `None` where that cannot be asked for.
    pub(super) fn until_any(&mut self, rings: &[Ring], time: Duration) -> Option<Woken> {
        self.control.set(control::WAKE, wake::BY_ANY, 0).ok()?;
        let mut woken = Woken::ByKernel;
        // A record that came before the flag was set wakes nobody.
        if rings.iter().all(Ring::is_empty) {
            let mut polled: Vec<PollFd<'_>> = rings
                .iter()
                .map(|ring| PollFd::from_borrowed_fd(ring.fd(), PollFlags::IN))
                .collect();
            let timeout = Timespec::try_from(time).ok();
            // Whatever comes of it, the rings are looked at next.
            woken = match rustix::event::poll(&mut polled, timeout.as_ref()) {
                Ok(0) => Woken::InTime,
                Err(Errno::INTR) => Woken::BySignal,
                Ok(_) | Err(_) => Woken::ByKernel,
            };
        }
        let _ = self.control.set(control::WAKE, wake::NEVER, 0);
        Some(woken)
    }
}

fn edges(rings: &[Ring]) -> rustix::io::Result<OwnedFd> {
    let edges = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    for ring in rings {
        epoll::add(
            &edges,
            ring.fd(),
            epoll::EventData::new_u64(0),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
    }
    Ok(edges)
}
