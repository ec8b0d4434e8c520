//! The systems that are asked, and what of theirs may be named outside of the administrator's file.

use credential::{Keeper, Location};
use model::Timestamp;

use super::{Aws, Failure, Got, Lasting, Vault};

/// The outcome of asking a system that the file does not declare.
pub(super) const UNDECLARED: &str = "undeclared";

/// The systems of one configuration.
pub struct Systems {
    /// Vault.
    pub vault: Option<Vault>,
    /// AWS Secrets Manager.
    pub aws: Option<Aws>,
    /// How long values are good.
    pub lasting: Lasting,
    /// What connections made through the API may name in Vault: paths as references have them.
    pub vault_opening: Opening,
    /// The same in AWS Secrets Manager: names and ARNs.
    pub aws_opening: Opening,
}

/// Places that are open: whole names, or beginnings with a `*` behind them. Nothing is open by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opening(pub Vec<String>);

// === impl Opening ===

impl Opening {
    fn admits(&self, place: &str, whole: impl Fn(&str) -> String) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            // Judged as what is asked for in the end: one place has several spellings.
            Some(_) => whole(pattern).strip_suffix('*').is_some_and(|start| place.starts_with(start)),
            None => whole(pattern) == place,
        })
    }
}

// === impl Systems ===

impl Systems {
    /// Whether a connection that was made through the API may name it.
    ///
    /// # Errors
    /// That it may not, and who can change that.
    pub(super) fn may_name(&self, location: &Location) -> Result<(), Failure> {
        let is_open = match (location.keeper, &self.vault) {
            (Keeper::Vault, None) => false,
            (Keeper::Vault, Some(vault)) => {
                let whole = |path: &str| vault.whole_path(path);
                self.vault_opening.admits(&whole(&location.path), whole)
            }
            (Keeper::AwsSecretsManager, _) => {
                self.aws.is_some() && self.aws_opening.admits(&location.path, str::to_owned)
            }
        };
        if is_open {
            return Ok(());
        }
        Err(Failure {
            outcome: "closed",
            why: format!(
                "connections made through the API may not name this secret in {}",
                location.keeper.name()
            ),
            hint: format!(
                "whoever runs the hub can open it: `secrets.{}.from_api` in the file",
                section(location.keeper)
            ),
        })
    }

    pub(super) async fn read(&self, location: &Location, now: Timestamp) -> Result<Got, Failure> {
        let undeclared = || Failure {
            outcome: UNDECLARED,
            why: format!("the file declares no {}", location.keeper.name()),
            hint: format!("declare it under `secrets.{}`", section(location.keeper)),
        };
        match location.keeper {
            Keeper::Vault => {
                self.vault.as_ref().ok_or_else(undeclared)?.read(&location.path, location.version).await
            }
            Keeper::AwsSecretsManager => {
                self.aws.as_ref().ok_or_else(undeclared)?.read(&location.path, now).await
            }
        }
    }
}

/// Where the file declares it.
const fn section(keeper: Keeper) -> &'static str {
    match keeper {
        Keeper::Vault => "vault",
        Keeper::AwsSecretsManager => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::Opening;

    #[test]
    fn nothing_is_open_but_what_was_named() {
        let whole = |path: &str| match path.contains("/data/") {
            true => path.to_owned(),
            false => format!("secret/data/{path}"),
        };
        let opening = |patterns: &[&str]| Opening(patterns.iter().map(|one| (*one).to_owned()).collect());
        let team = opening(&["secret/data/team/*", "shared/smtp"]);
        for (place, is_open) in [
            ("team/github", true),
            ("secret/data/team/github", true),
            ("secret/data/shared/smtp", true),
            ("team", false),
            ("teams/github", false),
            ("secret/data/shared/smtp2", false),
            ("other/data/team/github", false),
            ("secret/data/x/secret/data/team/github", false),
        ] {
            assert_eq!(team.admits(&whole(place), whole), is_open, "{place}");
        }
        assert!(!opening(&[]).admits("secret/data/team/github", whole));
        assert!(opening(&["*"]).admits("secret/data/anything", whole));
        assert!(!opening(&["*"]).admits("other/data/anything", whole), "another engine is named by its name");
    }
}
