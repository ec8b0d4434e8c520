//! What did not map.

/// The most notes of one report; what is beyond is counted.
const NOTES_MAX: usize = 300;
/// The longest place and the longest words of a note, in characters.
const CHARS_MAX: usize = 300;

/// One thing of the document that is not in the entry, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where it stands in the document.
    pub place: String,
    /// What became of it.
    pub what: String,
}

/// The notes so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    notes: Vec<Note>,
    more: usize,
}

// === impl Report ===

impl Report {
    /// Notes something; twice the same is once.
    pub(super) fn add(&mut self, place: impl AsRef<str>, what: impl AsRef<str>) {
        let cut = |text: &str| text.chars().take(CHARS_MAX).collect::<String>();
        let note = Note { place: cut(place.as_ref()), what: cut(what.as_ref()) };
        if self.notes.contains(&note) {
            return;
        }
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn into_notes(mut self) -> Vec<Note> {
        if self.more > 0 {
            self.notes
                .push(Note { place: String::new(), what: format!("and {} more like these", self.more) });
        }
        self.notes
    }
}
