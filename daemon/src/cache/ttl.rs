//! The range that TTLs are brought into.

/// A lower and an upper bound of TTLs, in seconds, which cannot be inverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtlBounds {
    min: u32,
    max: u32,
}

impl TtlBounds {
    /// Takes both bounds; a lower one above the upper one is lowered to it.
    #[must_use]
    pub const fn new(min: u32, max: u32) -> Self {
        Self { min: if min < max { min } else { max }, max }
    }

    /// Returns the same range without a lower bound.
    #[must_use]
    pub const fn from_zero(self) -> Self {
        Self { min: 0, max: self.max }
    }

    /// Returns the same range with an upper bound of `most` seconds at most.
    #[must_use]
    pub const fn at_most(self, most: u32) -> Self {
        Self::new(self.min, if most < self.max { most } else { self.max })
    }

    /// Brings a TTL into the range.
    #[must_use]
    pub fn apply(self, ttl: u32) -> u32 {
        ttl.max(self.min).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_bound_above_the_upper_one_gives_way() {
        let inverted = TtlBounds::new(30, 10);
        assert_eq!([0, 5, 10, 20, 60].map(|ttl| inverted.apply(ttl)), [10; 5]);
        let sound = TtlBounds::new(10, 30);
        assert_eq!([0, 10, 20, 30, u32::MAX].map(|ttl| sound.apply(ttl)), [10, 10, 20, 30, 30]);
        assert_eq!([0, 20, 60].map(|ttl| sound.from_zero().apply(ttl)), [0, 20, 30]);
    }
}
