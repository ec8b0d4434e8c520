//! How response times are spread: counts in buckets that get wider with the value, so that hours can be
//! added together and still tell percentiles.

use std::collections::BTreeMap;

/// Exact below 16 ms; above, eight buckets to each doubling: a value told from it is at most one eighth too
/// large, never too small.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram(BTreeMap<u16, u64>);

/// Bytes of one bucket when stored: its number and its count.
const BUCKET_LEN: usize = 10;

impl Histogram {
    /// Counts one value.
    pub fn add(&mut self, value_ms: u32) {
        *self.0.entry(bucket(value_ms)).or_default() += 1;
    }

    /// Counts everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// The smallest value, rounded up to its bucket's end, that so many of a thousand do not pass.
    #[must_use]
    pub fn per_mille(&self, share: u64) -> u32 {
        let total: u64 = self.0.values().sum();
        let wanted = total.saturating_mul(share).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (bucket, count) in &self.0 {
            seen += count;
            if seen >= wanted {
                return end_of(*bucket);
            }
        }
        0
    }

    /// As the store keeps it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * BUCKET_LEN);
        for (bucket, count) in &self.0 {
            bytes.extend_from_slice(&bucket.to_be_bytes());
            bytes.extend_from_slice(&count.to_be_bytes());
        }
        bytes
    }

    /// Reads what [`Histogram::to_bytes`] wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (buckets, rest) = bytes.as_chunks::<BUCKET_LEN>();
        if !rest.is_empty() {
            return None;
        }
        let read = |chunk: &[u8; BUCKET_LEN]| {
            let (bucket, count) = chunk.split_at_checked(2)?;
            Some((u16::from_be_bytes(bucket.try_into().ok()?), u64::from_be_bytes(count.try_into().ok()?)))
        };
        buckets.iter().map(read).collect::<Option<_>>().map(Self)
    }
}

/// Below 16 the value itself; above, 8 buckets for each power of two.
fn bucket(value: u32) -> u16 {
    if value < 16 {
        return u16::try_from(value).unwrap_or(0);
    }
    let power = value.ilog2();
    let part = (value >> (power - 3)) & 7;
    u16::try_from(16 + (power - 4) * 8 + part).unwrap_or(u16::MAX)
}

/// The largest value of a bucket.
fn end_of(bucket: u16) -> u32 {
    let Some(above) = bucket.checked_sub(16) else { return u32::from(bucket) };
    let (power, part) = (u32::from(above) / 8 + 4, u64::from(above) % 8);
    let end = (1_u64 << power.min(40)) + ((part + 1) << (power.min(40) - 3)) - 1;
    u32::try_from(end).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Histogram, bucket, end_of};

    #[test]
    fn every_value_lies_in_its_bucket_and_is_told_at_most_an_eighth_too_large() {
        let values = (0..5_000).chain([65_535, 65_536, 1 << 30, u32::MAX - 1, u32::MAX]);
        for value in values {
            let told = end_of(bucket(value));
            assert!(told >= value && u64::from(told - value) * 8 <= u64::from(value), "{value}: {told}");
            assert_eq!(bucket(told), bucket(value));
        }
    }

    #[test]
    fn percentiles_are_ranks_and_histograms_add_up() {
        let (mut low, mut high) = (Histogram::default(), Histogram::default());
        (1..=10).for_each(|value| low.add(value));
        assert_eq!((low.per_mille(500), low.per_mille(950), low.per_mille(1)), (5, 10, 1));
        assert_eq!(Histogram::default().per_mille(500), 0);
        (0..90).for_each(|_| high.add(1_000));
        low.merge(&high);
        assert_eq!((low.per_mille(100), low.per_mille(101)), (10, 1_023));
        assert_eq!(Histogram::from_bytes(&low.to_bytes()), Some(low));
        assert_eq!(Histogram::from_bytes(&[0; 9]), None);
    }
}
