//! Reading a file's lines from its end, in pieces: the newest records stand there.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use crate::flusher::LINE_BYTES_MAX;

const PIECE: usize = 256 * 1024;
/// What is longer than any line of ours without a break is not ours.
const CARRY_MAX: usize = 4 * LINE_BYTES_MAX;

/// Hands every line that is not empty to `look`, last one first, until it breaks.
pub(crate) fn lines(
    file: &mut File,
    mut look: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> std::io::Result<ControlFlow<()>> {
    let mut at = file.seek(SeekFrom::End(0))?;
    // Bytes from `at` on that are not handed over yet: the beginning of them may be half a line.
    let mut carry: Vec<u8> = Vec::new();
    while at > 0 {
        let step = at.min(PIECE as u64);
        at -= step;
        let mut piece = vec![0; usize::try_from(step).unwrap_or(PIECE)];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut piece)?;
        if carry.len() > CARRY_MAX {
            carry.clear();
        }
        piece.append(&mut carry);
        let mut end = piece.len();
        while let Some(before) = piece.get(..end).and_then(|bytes| memchr::memrchr(b'\n', bytes)) {
            if look_at(piece.get(before + 1..end), &mut look).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            end = before;
        }
        piece.truncate(end);
        carry = piece;
    }
    Ok(look_at(Some(&carry), &mut look))
}

fn look_at(line: Option<&[u8]>, look: &mut impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
    match line {
        Some(line) if !line.is_empty() => look(line),
        _ => ControlFlow::Continue(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::ops::ControlFlow;

    use super::{PIECE, lines};

    fn read(content: &[u8], limit: usize) -> Vec<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let mut seen = Vec::new();
        let _end = lines(&mut file, |line| {
            seen.push(line.to_vec());
            if seen.len() == limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        seen
    }

    #[test]
    fn lines_come_backwards_whole_also_over_the_edges_of_pieces() {
        let long = vec![b'x'; PIECE + 7];
        let content = [b"first\n\n".as_slice(), &long, b"\nthird\nhalf"].concat();
        let expected: Vec<&[u8]> = vec![b"half", b"third", &long, b"first"];
        assert_eq!(read(&content, usize::MAX), expected);
        assert_eq!(read(&content, 2), expected[..2]);
        assert!(read(b"", usize::MAX).is_empty());
        assert!(read(b"\n", usize::MAX).is_empty());
    }

    #[test]
    fn a_break_at_every_offset_of_a_piece_is_found() {
        for offset in PIECE - 2..PIECE + 2 {
            let content = [vec![b'a'; offset], b"\n".to_vec(), vec![b'b'; 3]].concat();
            assert_eq!(read(&content, usize::MAX), [vec![b'b'; 3], vec![b'a'; offset]]);
        }
    }
}
