//! `secrets`: the systems that keep secrets for this hub, and how long what they give is good.

use model::Secret;

use super::fields::{Fields, Reading};

/// See the head of the file.
#[derive(Debug, Clone)]
pub(crate) struct Secrets {
    /// How long a value is used before it is read again, seconds.
    pub(crate) ttl_s: u64,
    /// How much longer it is used while it cannot be read, seconds.
    pub(crate) stale_s: u64,
    /// Vault.
    pub(crate) vault: Option<Vault>,
    /// AWS Secrets Manager.
    pub(crate) aws: Option<Aws>,
}

/// Where Vault is and how one signs in. What is signed in with is kept as it is written, and looked up anew each
/// time.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    /// Without a slash at the end.
    pub(crate) address: String,
    /// The namespace.
    pub(crate) namespace: Option<String>,
    /// The engine of paths without `/data/`.
    pub(crate) mount: String,
    /// A PEM file of authorities to trust beside the machine's.
    pub(crate) ca: Option<String>,
    /// A token.
    pub(crate) token: Option<Secret>,
    /// An application.
    pub(crate) approle: Option<AppRole>,
    /// What connections made through the API may name: paths, with a `*` at the end for what begins so.
    pub(crate) from_api: Vec<String>,
}

/// An application in Vault.
#[derive(Debug, Clone)]
pub(crate) struct AppRole {
    /// Where the method is mounted.
    pub(crate) mount: String,
    /// Who.
    pub(crate) role_id: Secret,
    /// Proof.
    pub(crate) secret_id: Secret,
}

/// AWS Secrets Manager.
#[derive(Debug, Clone)]
pub(crate) struct Aws {
    /// The region.
    pub(crate) region: String,
    /// Another address than the region's, without a slash at the end.
    pub(crate) endpoint: Option<String>,
    /// A PEM file of authorities to trust beside the machine's.
    pub(crate) ca: Option<String>,
    /// References to the keys.
    pub(crate) access_key_id: Secret,
    /// See there.
    pub(crate) secret_access_key: Secret,
    /// Beside temporary keys.
    pub(crate) session_token: Option<Secret>,
    /// As for Vault, names.
    pub(crate) from_api: Vec<String>,
}

impl Default for Secrets {
    fn default() -> Self {
        Self { ttl_s: 300, stale_s: 3600, vault: None, aws: None }
    }
}

impl Secrets {
    /// Everything that it says, for comparing: references as they are written, literal secrets too.
    pub(crate) fn said(&self) -> Secret {
        let vault = self.vault.iter().flat_map(|vault| {
            let role = vault.approle.iter().flat_map(|role| [&role.role_id, &role.secret_id]);
            vault.token.iter().chain(role)
        });
        let aws = self.aws.iter().flat_map(|aws| {
            [&aws.access_key_id, &aws.secret_access_key].into_iter().chain(&aws.session_token)
        });
        let secrets: Vec<&str> = vault.chain(aws).map(Secret::expose).collect();
        Secret::new(format!("{self:?}{secrets:?}"))
    }
}

/// Reads the section.
pub(super) fn read(top: &mut Fields<'_>, reading: &mut Reading<'_>) -> Secrets {
    let default = Secrets::default();
    let Some(mut fields) = top.map("secrets", reading) else { return default };
    let secrets = Secrets {
        ttl_s: fields.count("ttl", 1, 86_400, reading).unwrap_or(default.ttl_s),
        stale_s: fields.count("stale", 0, 604_800, reading).unwrap_or(default.stale_s),
        vault: vault(&mut fields, reading),
        aws: aws(&mut fields, reading),
    };
    fields.finish(reading);
    secrets
}

fn vault(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Vault> {
    let mut fields = fields.map("vault", reading)?;
    let address = url(&mut fields, "address", reading);
    let namespace = fields.text("namespace", reading).map(super::said::Said::into_value);
    let mount = fields.text("mount", reading).map(super::said::Said::into_value);
    let ca = fields.text("ca", reading).map(super::said::Said::into_value);
    let token = reference(&mut fields, "token", None, reading);
    let approle = approle(&mut fields, reading);
    let from_api = opening(&mut fields, reading);
    let at = fields.at;
    if address.is_none() && !fields.is_said("address") {
        let hint = "for example https://vault.example.com:8200".to_owned();
        reading.error(at, "secrets.vault.address", "missing", Some(hint));
    }
    if token.is_some() == approle.is_some() && !fields.is_said("approle") {
        let hint = "name one of `token` and `approle`".to_owned();
        reading.error(at, "secrets.vault.token", "there is no way to sign in", Some(hint));
    } else if token.is_some() && approle.is_some() {
        let hint = "leave out `token` or `approle`".to_owned();
        reading.error(at, "secrets.vault.token", "there are two ways to sign in", Some(hint));
    }
    fields.finish(reading);
    let mount = mount.map_or_else(|| "secret".to_owned(), |text| text.trim_matches('/').to_owned());
    Some(Vault { address: address?, namespace, mount, ca, token, approle, from_api })
}

fn approle(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<AppRole> {
    let mut fields = fields.map("approle", reading)?;
    let mount = fields.text("mount", reading).map(super::said::Said::into_value);
    let role_id = needed(&mut fields, "role_id", reading);
    let secret_id = needed(&mut fields, "secret_id", reading);
    fields.finish(reading);
    let mount = mount.map_or_else(|| "approle".to_owned(), |text| text.trim_matches('/').to_owned());
    Some(AppRole { mount, role_id: role_id?, secret_id: secret_id? })
}

fn aws(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Option<Aws> {
    let mut fields = fields.map("aws", reading)?;
    let at = fields.at;
    let region = match fields.text("region", reading) {
        Some(said) => Some(said.into_value()),
        None => {
            reading.resolve(at, "secrets.aws.region", "${AWS_REGION:-}").map(|text| text.expose().to_owned())
        }
    };
    let region = region.filter(|text| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    });
    if region.is_none() {
        let hint = "for example eu-central-1; AWS_REGION does too".to_owned();
        reading.error(at, "secrets.aws.region", "missing, or no region", Some(hint));
    }
    let endpoint = url(&mut fields, "endpoint", reading);
    let ca = fields.text("ca", reading).map(super::said::Said::into_value);
    let access_key_id = reference(&mut fields, "access_key_id", Some("${AWS_ACCESS_KEY_ID}"), reading);
    let secret_access_key =
        reference(&mut fields, "secret_access_key", Some("${AWS_SECRET_ACCESS_KEY}"), reading);
    let session_token = match reference(&mut fields, "session_token", None, reading) {
        // Belongs to the keys of the environment.
        None if !fields.is_said("access_key_id") => Some(Secret::new("${AWS_SESSION_TOKEN:-}")),
        said => said,
    };
    let from_api = opening(&mut fields, reading);
    fields.finish(reading);
    Some(Aws {
        region: region?,
        endpoint,
        ca,
        access_key_id: access_key_id?,
        secret_access_key: secret_access_key?,
        session_token,
        from_api,
    })
}

/// What connections made through the API may name: nothing that is not said.
fn opening(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for said in fields.texts("from_api", reading).unwrap_or_default() {
        let text = said.value();
        let start = text.strip_suffix('*').unwrap_or(text);
        if text.is_empty() || start.contains(['*', '#', '?']) || text.chars().any(char::is_whitespace) {
            let hint = "write it whole, or its beginning with a `*` behind it: secret/data/team/*".to_owned();
            let what = format!("`{said}` is no place of secrets");
            reading.error(said.at, &fields.key("from_api"), what, Some(hint));
        } else {
            out.push(text.to_owned());
        }
    }
    out
}

/// A secret as it is written, after its references have been tried once.
fn reference(
    fields: &mut Fields<'_>,
    name: &'static str,
    usual: Option<&str>,
    reading: &mut Reading<'_>,
) -> Option<Secret> {
    match fields.raw_text(name, reading) {
        Some((raw, at)) => {
            reading.resolve_secret(at, &fields.key(name), raw)?;
            Some(Secret::new(raw))
        }
        None => {
            let usual = usual?;
            reading.resolve(fields.at, &fields.key(name), usual)?;
            Some(Secret::new(usual))
        }
    }
}

fn needed(fields: &mut Fields<'_>, name: &'static str, reading: &mut Reading<'_>) -> Option<Secret> {
    let found = reference(fields, name, None, reading);
    if !fields.is_said(name) {
        reading.error(fields.at, &fields.key(name), "missing", None);
    }
    found
}

fn url(fields: &mut Fields<'_>, name: &'static str, reading: &mut Reading<'_>) -> Option<String> {
    let said = fields.text(name, reading)?;
    let is_url = said.value().parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none()
    });
    if !is_url {
        let hint = "for example https://vault.example.com:8200".to_owned();
        reading.error(
            said.at,
            &fields.key(name),
            format!("`{said}` is not an http or https URL"),
            Some(hint),
        );
        return None;
    }
    Some(said.value().trim_end_matches('/').to_owned())
}
