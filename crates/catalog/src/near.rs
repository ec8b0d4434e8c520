//! Slips of the pen: which known word was meant.

/// The nearest of `known` to `word`, when it is near enough to have been meant.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let limit = (word.chars().count().div_ceil(3)).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase().replace('-', "_")), candidate))
        .filter(|(far, candidate)| *far <= limit && *far < candidate.len())
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: Levenshtein's edits plus the swap of two neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = (cell(&above, j + 1) + 1).min(cell(&row, j) + 1);
            best = best.min(cell(&above, j) + usize::from(from != to));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn a_slip_finds_its_word_and_a_stranger_finds_none() {
        let known = ["command", "args", "env", "timeout", "url"];
        assert_eq!(nearest("comand", known), Some("command"));
        assert_eq!(nearest("tiemout", known), Some("timeout"));
        assert_eq!(nearest("Args", known), Some("args"));
        assert_eq!(nearest("agrs", known), Some("args"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!((distance("", "ab"), distance("ab", "ba"), distance("kitten", "sitting")), (2, 1, 3));
    }
}
