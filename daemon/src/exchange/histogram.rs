//! How long things took: a number for each range of times. Plain numbers that one thread owns; threads' histograms are
//! added up by whoever wants the whole.

use std::time::Duration;

/// Upper ends of the buckets, in microseconds, each twice the one before; the last bucket has none.
pub(crate) const ENDS: [u64; 15] = [
    250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 1_024_000, 2_048_000,
    4_096_000,
];

/// The numbers, and the sum of the times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; ENDS.len() + 1],
    sum: Duration,
}

impl Histogram {
    /// Counts a time.
    pub(crate) fn record(&mut self, time: Duration) {
        self.record_all(time, 1);
    }

    /// Counts a time that `number` of them took.
    pub(crate) fn record_all(&mut self, time: Duration, number: u32) {
        let end = ENDS.partition_point(|end| Duration::from_micros(*end) < time);
        if let Some(bucket) = self.buckets.get_mut(end) {
            *bucket += u64::from(number);
        }
        self.sum = self.sum.saturating_add(time.saturating_mul(number));
    }

    /// Adds what another thread has counted.
    pub fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(mine, theirs)| *mine += theirs);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// The numbers, the shortest times first: one for each of [`ENDS`], and one for all that took longer.
    #[must_use]
    pub fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// The sum of all times.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// The number of times that were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The time within which `percent` of 100 were done, as far as buckets tell: within one, times are taken to be
    /// spread evenly. Times beyond the last end count as that end. `None` where nothing was counted.
    #[must_use]
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        let count = self.count();
        let wanted = (count * u64::from(percent)).div_ceil(100).max(1);
        let (mut below, mut start) = (0, 0);
        for (number, end) in self.buckets.iter().zip(ENDS) {
            if below + number >= wanted {
                let part = (end - start) * (wanted - below) / number.max(&1);
                return Some(Duration::from_micros(start + part));
            }
            (below, start) = (below + number, end);
        }
        (count > 0).then(|| Duration::from_micros(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        micros.iter().for_each(|time| histogram.record(Duration::from_micros(*time)));
        histogram
    }

    #[test]
    fn each_time_is_in_the_bucket_of_its_range() {
        let histogram = of(&[0, 250, 251, 1_000, 1_001, 4_096_000, 60_000_000]);
        let expected = [2, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
        assert_eq!((histogram.buckets(), histogram.count()), (&expected[..], 7));
        assert_eq!(histogram.sum(), Duration::from_micros(64_098_502));
        let mut both = histogram.clone();
        both.add(&histogram);
        assert_eq!((both.count(), both.buckets()[0]), (14, 4));
    }

    #[test]
    fn percentiles_are_right_within_a_bucket() {
        assert_eq!(of(&[]).percentile(50), None);
        let mut histogram = Histogram::default();
        histogram.record_all(Duration::from_millis(3), 98);
        histogram.record_all(Duration::from_millis(300), 2);
        let [median, most] = [50, 99].map(|percent| histogram.percentile(percent).unwrap());
        assert!((Duration::from_millis(2)..=Duration::from_millis(4)).contains(&median), "{median:?}");
        assert!((Duration::from_millis(256)..=Duration::from_millis(512)).contains(&most), "{most:?}");
        assert_eq!(of(&[60_000_000]).percentile(50), Some(Duration::from_micros(4_096_000)));
    }
}
