//! What every fuzz target shares: how one is declared, and inputs made by breaking the seeds of its corpus.
//!
//! Not its job: the targets themselves. Those of public parsers are in `targets/`; those of parsers that a
//! room keeps to itself are in that room's own `fuzz` module. Start reading at [`target!`].

mod mutants;

pub use bolero;
pub use mutants::Seeds;

/// Random byte strings that a test run tries beside the corpus. Most parsers turn these away at once.
pub const RANDOM: usize = 500;
/// Broken seeds that a test run tries.
pub const MUTANTS: usize = 10_000;
/// The longest random input, bytes.
pub const LEN_MAX: usize = 1024;

/// Declares a target: a `#[test]` that hands bytes to `check`, which asserts what must hold of them.
///
/// As a test it runs the whole corpus (`__fuzz__/<module>__<name>/corpus` beside the file), [`RANDOM`]
/// random inputs and [`MUTANTS`] broken seeds; a slow target gives a smaller number of mutants. Under
/// `cargo bolero test` the engine chooses the inputs.
#[macro_export]
macro_rules! target {
    ($(#[$meta:meta])* $name:ident, $check:expr) => {
        $crate::target!($(#[$meta])* $name, $check, $crate::MUTANTS);
    };
    ($(#[$meta:meta])* $name:ident, $check:expr, $mutants:expr) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            let location = $crate::bolero::TargetLocation {
                package_name: env!("CARGO_PKG_NAME"),
                manifest_dir: env!("CARGO_MANIFEST_DIR"),
                module_path: module_path!(),
                file: file!(),
                line: line!(),
                item_path: $crate::bolero::__item_path__!(),
                test_name: None,
            };
            $crate::bolero::check!()
                .with_iterations($crate::RANDOM.min($mutants / 4))
                .with_max_len($crate::LEN_MAX)
                .for_each(|input: &[u8]| $check(input));
            // Only reached as a test. The name keeps the corpus from being run a second time.
            $crate::bolero::check!(name = concat!(stringify!($name), "_mutants"))
                .with_generator($crate::Seeds::of(&location))
                .with_iterations($mutants)
                .for_each(|input: &Vec<u8>| $check(input));
        }
    };
}

/// An input that holds several things: its parts, cut at lines that are `---` and nothing else.
#[must_use]
pub fn parts(input: &[u8]) -> Vec<&[u8]> {
    const CUT: &[u8] = b"\n---\n";
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.windows(CUT.len()).position(|window| window == CUT) {
        let (part, behind) = rest.split_at(at);
        parts.push(part);
        rest = behind.get(CUT.len()..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

/// Cuts `data` into pieces whose sizes are taken from `sizes`, in a circle: 1 to 31, by the low five bits of
/// each byte, so that in a seed `a` is 1 and `z` is 26.
#[must_use]
pub fn pieces<'a>(data: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut rest = data;
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |size| usize::from(*size & 31).max(1));
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::{parts, pieces};

    #[test]
    fn inputs_come_apart_without_losing_a_byte() {
        assert_eq!(parts(b"a\n---\nb\n---\n"), [&b"a"[..], b"b", b""]);
        assert_eq!(parts(b"a---b"), [&b"a---b"[..]]);
        assert_eq!(pieces(b"abcdef", b"a@c"), [&b"a"[..], b"b", b"cde", b"f"]);
        assert_eq!(pieces(b"abc", &[]), [&b"abc"[..]]);
        assert!(pieces(b"", &[1]).is_empty());
    }
}
