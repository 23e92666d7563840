//! What is counted of each upstream: plain numbers that belong to one engine, raised where the event happens.

use std::time::Duration;

/// Upper ends of the histogram's buckets, in milliseconds; the last bucket has none.
pub(crate) const LATENCY_ENDS: [u64; 9] = [1, 3, 10, 30, 100, 300, 1_000, 3_000, 6_000];

/// The numbers of one upstream since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamCounters {
    /// Queries that it was asked, without those that were sent again.
    pub asked: u64,
    /// Queries that it answered, whatever it said.
    pub answered: u64,
    /// Queries that it left without an answer until their lookup ended.
    pub timed_out: u64,
    /// How long its answers took, where that is known.
    pub latency: Histogram,
}

/// A number for each range of times; see [`LATENCY_ENDS`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram([u64; LATENCY_ENDS.len() + 1]);

impl UpstreamCounters {
    /// Counts an answer. `after` is how long it took, where that is known.
    pub(super) fn has_answered(&mut self, after: Option<Duration>) {
        self.answered += 1;
        if let Some(after) = after {
            self.latency.record(after);
        }
    }

    /// Adds what another engine has counted.
    pub fn add(&mut self, other: &Self) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.timed_out += other.timed_out;
        self.latency.0.iter_mut().zip(other.latency.0).for_each(|(mine, theirs)| *mine += theirs);
    }
}

impl Histogram {
    fn record(&mut self, time: Duration) {
        let end = LATENCY_ENDS.partition_point(|end| Duration::from_millis(*end) < time);
        if let Some(bucket) = self.0.get_mut(end) {
            *bucket += 1;
        }
    }

    /// The numbers, the shortest times first.
    #[must_use]
    pub fn buckets(&self) -> &[u64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_in_the_bucket_of_its_time() {
        let mut counters = UpstreamCounters::default();
        for micros in [0, 1_000, 1_001, 250_000, 6_000_000, 60_000_000] {
            counters.has_answered(Some(Duration::from_micros(micros)));
        }
        counters.has_answered(None);
        assert_eq!(counters.latency.buckets(), [2, 1, 0, 0, 0, 1, 0, 0, 1, 1]);
        counters.add(&counters.clone());
        assert_eq!((counters.answered, counters.latency.buckets()[0]), (14, 4));
    }
}
