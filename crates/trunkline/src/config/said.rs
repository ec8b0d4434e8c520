//! A text of the file beside what its references made of it. Only the first is ever shown: the second may be
//! anything that the environment or a file holds, whatever setting it ended up in.

use std::fmt;

use credential::has_reference;
use model::Secret;

use super::tree::Mark;

/// One text. `Display` is what the file says, so a problem that names the text cannot tell more than that.
pub(crate) struct Said<'n> {
    /// Where it stands.
    pub(crate) at: Mark,
    written: &'n str,
    value: Secret,
}

impl<'n> Said<'n> {
    /// What the file says, and what came of it.
    pub(crate) fn new(at: Mark, written: &'n str, value: Secret) -> Self {
        Self { at, written, value }
    }

    /// A text in a place where references are not replaced.
    pub(crate) fn literal(at: Mark, written: &'n str) -> Self {
        Self::new(at, written, Secret::new(written))
    }

    /// As the file spells it, references and all.
    pub(crate) fn written(&self) -> &'n str {
        self.written
    }

    /// What to use. It never goes into a problem, and no part of it does.
    pub(crate) fn value(&self) -> &str {
        self.value.expose()
    }

    /// The same as its own.
    pub(crate) fn into_value(self) -> String {
        self.value.expose().to_owned()
    }

    /// The same where it is a secret.
    pub(crate) fn into_secret(self) -> Secret {
        self.value
    }

    /// Why the value is not `wanted`. A parser's own words quote what it was given, so they are repeated only
    /// where that is what the file says.
    pub(crate) fn not(&self, wanted: &str, error: &dyn fmt::Display) -> String {
        if has_reference(self.written) {
            format!("`{self}` does not give {wanted}")
        } else {
            error.to_string()
        }
    }
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written)
    }
}
