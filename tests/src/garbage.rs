//! Bytes that are no proper query, the same in every run.

use crate::query::{Query, types};

/// A generator of messages: every second one begins as a query, and breaks later.
#[derive(Clone, Debug)]
pub struct Garbage {
    state: u64,
    round: usize,
    query: Vec<u8>,
}

impl Default for Garbage {
    fn default() -> Self {
        let query = Query::new("garbage.test", types::A).edns(1232).bytes();
        Self { state: 0x2545_f491_4f6c_dd1d, round: 0, query }
    }
}

impl Garbage {
    /// The next byte (a linear congruential generator with Knuth's constants).
    fn byte(&mut self) -> u8 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state.to_be_bytes()[0]
    }
}

impl Iterator for Garbage {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut bytes: Vec<u8> = (0..self.round % 97).map(|_| self.byte()).collect();
        if self.round.is_multiple_of(2) {
            let keep = usize::from(self.byte()) % self.query.len();
            bytes.splice(..0, self.query[..keep].iter().copied());
        }
        self.round += 1;
        Some(bytes)
    }
}
