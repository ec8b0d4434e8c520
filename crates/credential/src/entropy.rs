//! Real randomness: the operating system's, through the crypto library.

use std::cell::RefCell;

use model::Entropy;
use zeroize::Zeroize;

/// Draws up to this size come from a stock that is filled at once; every call needs a few bytes for its id.
const SMALL: usize = 32;
const STOCK: usize = 1024;

/// The random source of a running hub.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

/// Random bytes that nobody has seen yet. What is handed out is wiped here.
struct Stock {
    bytes: [u8; STOCK],
    left: usize,
}

thread_local! {
    static STOCKED: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; STOCK], left: 0 }) };
}

impl Stock {
    fn draw(&mut self, out: &mut [u8]) {
        if self.left < out.len() {
            draw_system(&mut self.bytes);
            self.left = STOCK;
        }
        let from = self.left - out.len();
        if let Some(drawn) = self.bytes.get_mut(from..self.left) {
            out.copy_from_slice(drawn);
            drawn.zeroize();
        }
        self.left = from;
    }
}

/// Never hands out predictable bytes: a system without randomness ends the process, because every key, id
/// and nonce made after that would be worthless and nobody would notice.
fn draw_system(out: &mut [u8]) {
    if aws_lc_rs::rand::fill(out).is_err() {
        std::process::abort();
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        if out.len() <= SMALL {
            STOCKED.with_borrow_mut(|stock| stock.draw(out));
        } else {
            draw_system(out);
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

    #[test]
    fn small_draws_never_repeat_across_refills_and_threads() {
        let draw = || {
            (0..500).map(|_| {
                let mut bytes = [0_u8; 10];
                SystemEntropy.fill(&mut bytes);
                bytes
            })
        };
        let mut seen: std::collections::HashSet<[u8; 10]> = draw().collect();
        let others: Vec<_> = std::thread::spawn(move || draw().collect::<Vec<_>>()).join().unwrap();
        seen.extend(others);
        assert_eq!(seen.len(), 1000);
        assert!(!seen.contains(&[0; 10]));
    }
}
