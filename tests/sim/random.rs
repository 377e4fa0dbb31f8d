//! Seeded randomness: one small generator, forked for every part of a world.
//!
//! xoshiro256++ (Blackman and Vigna, 2018), seeded through splitmix64 as its
//! authors advise. Forks are independent streams, so that a part which draws
//! more numbers than before does not change what another part draws.

use std::sync::{Arc, Mutex, PoisonError};

use ftchat::host::Random;

/// A deterministic generator.
#[derive(Clone, Debug)]
pub struct Prng {
    state: [u64; 4],
}

pub fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Prng {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        let mut mixer = seed;
        Prng { state: std::array::from_fn(|_| splitmix64(&mut mixer)) }
    }

    /// A generator of its own for some part of the world.
    pub fn fork(&mut self) -> Prng {
        Prng::new(self.next_u64())
    }

    /// A number from the whole range.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number from `low` to `high`, both included.
    ///
    /// # Panics
    /// When `low > high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range: {low}..={high}");
        match (high - low).checked_add(1) {
            // The bias of a remainder is below 2^-40 for the ranges used here.
            Some(width) => low + self.next_u64() % width,
            None => self.next_u64(),
        }
    }

    /// An index below `length`.
    ///
    /// # Panics
    /// When `length` is 0.
    pub fn index(&mut self, length: usize) -> usize {
        assert!(length > 0, "nothing to choose from");
        (self.next_u64() % length as u64) as usize
    }

    /// True once in `in_how_many` times.
    pub fn one_in(&mut self, in_how_many: u64) -> bool {
        self.between(1, in_how_many) == 1
    }

    /// Rounds microseconds to whole milliseconds, up or down by chance, so
    /// that the mean is right although timers know no less than a millisecond.
    pub fn whole_ms(&mut self, duration_us: u64) -> u64 {
        duration_us / 1000 + u64::from(self.between(0, 999) < duration_us % 1000)
    }

    /// A waiting time with the given mean, exponentially distributed: arrivals
    /// that know nothing of each other.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        let unit = (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        (-(1.0 - unit).ln() * mean as f64) as u64
    }

    /// Fills a buffer.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The seam: a process's source of random bytes.
pub struct SimRandom(Arc<Mutex<Prng>>);

impl SimRandom {
    /// A source that continues the generator.
    pub fn new(generator: Prng) -> Self {
        SimRandom(Arc::new(Mutex::new(generator)))
    }
}

impl Random for SimRandom {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_forks_differ() {
        let draw = |seed| {
            let mut random = Prng::new(seed);
            let mut fork = random.fork();
            (random.next_u64(), fork.next_u64(), random.between(3, 9))
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_ne!(draw(7).0, draw(7).1);
    }

    #[test]
    fn rounding_and_waiting_keep_their_means() {
        let mut random = Prng::new(1);
        let rounded: u64 = (0..10_000).map(|_| random.whole_ms(1_250)).sum();
        assert!((12_200..12_800).contains(&rounded), "{rounded} ms for 12,500");
        let waited: u64 = (0..10_000).map(|_| random.exponential(100)).sum();
        assert!((950_000..1_050_000).contains(&waited), "{waited} for 1,000,000");
    }
}
