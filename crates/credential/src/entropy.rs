//! Real randomness: the operating system's, through the crypto library.

use model::Entropy;

/// The random source of a running hub.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// Never hands out predictable bytes: a system without randomness ends the process, because every
    /// key, id and nonce made after that would be worthless and nobody would notice.
    fn fill(&self, out: &mut [u8]) {
        if aws_lc_rs::rand::fill(out).is_err() {
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use model::Entropy;

    use super::SystemEntropy;

    #[test]
    fn two_draws_differ_and_fill_the_whole_buffer() {
        let (mut first, mut second) = ([0_u8; 64], [0_u8; 64]);
        SystemEntropy.fill(&mut first);
        SystemEntropy.fill(&mut second);
        assert_ne!(first, second);
        assert!(first.chunks(16).all(|part| part.iter().any(|byte| *byte != 0)));
    }
}
