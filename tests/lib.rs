//! Whole-product scenes: they drive the real binary. The tests are in `it/`.
