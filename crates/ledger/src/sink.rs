//! Where lines end up: files, or a bounded ring in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::segments::Segments;

/// Lines that memory holds.
const RING_LINES_MAX: usize = 10_000;
/// Bytes that memory holds.
const RING_BYTES_MAX: usize = 32 * 1024 * 1024;

pub(crate) enum Sink {
    Files(Segments),
    Memory(Arc<Mutex<Ring>>),
}

/// The newest lines.
#[derive(Default)]
pub(crate) struct Ring {
    lines: VecDeque<Arc<[u8]>>,
    bytes: usize,
}

// === impl Sink ===

impl Sink {
    /// Keeps `lines` (each with its line break), for good once this returns.
    pub(crate) fn append(&mut self, lines: &[u8], first_id: &str) -> std::io::Result<()> {
        match self {
            Self::Files(segments) => segments.append(lines, first_id),
            Self::Memory(ring) => {
                ring.lock().unwrap_or_else(PoisonError::into_inner).append(lines);
                Ok(())
            }
        }
    }
}

// === impl Ring ===

impl Ring {
    /// What is there, oldest first.
    pub(crate) fn lines(&self) -> Vec<Arc<[u8]>> {
        self.lines.iter().cloned().collect()
    }

    fn append(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            self.bytes += line.len();
            self.lines.push_back(line.into());
        }
        while self.lines.len() > RING_LINES_MAX || self.bytes > RING_BYTES_MAX {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }
}
