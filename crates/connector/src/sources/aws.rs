//! AWS Secrets Manager: `GetSecretValue`, as docs.aws.amazon.com/secretsmanager/latest/apireference has it.

use credential::sign::sha256;
use credential::sigv4::{Keys, Signed, amz_date, authorization};
use model::{Secret, Timestamp, hex};
use outbound::{Route, Target};
use serde_json::{Value, json};

use super::exchange::{send, words};
use super::vault::Resolve;
use super::{Failure, Fields, Got};

/// Where it is and whose keys are used.
pub struct AwsSettings {
    /// `eu-central-1`
    pub region: String,
    /// Another address than the region's, without a slash at the end.
    pub endpoint: Option<String>,
    /// References to the keys, looked up at each read.
    pub access_key_id: Secret,
    /// See there.
    pub secret_access_key: Secret,
    /// Beside temporary keys.
    pub session_token: Option<Secret>,
    /// Replaces the references.
    pub resolve: Resolve,
    /// How it is reached.
    pub route: Route,
}

/// See the head of the file.
pub struct Aws(AwsSettings);

impl Aws {
    /// A client.
    #[must_use]
    pub const fn new(settings: AwsSettings) -> Self {
        Self(settings)
    }

    /// The fields of the current version of a secret; the whole text is the field `""`.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn read(&self, name: &str, now: Timestamp) -> Result<Got, Failure> {
        let resolved = |text: &Secret| {
            (self.0.resolve)(text).map_err(|why| Failure {
                outcome: "sign_in",
                why: format!("what it is signed with cannot be had: {why}"),
                hint: "check `secrets.aws`".to_owned(),
            })
        };
        let (id, key) = (resolved(&self.0.access_key_id)?, resolved(&self.0.secret_access_key)?);
        let session = self.0.session_token.as_ref().map(resolved).transpose()?;
        let region = &self.0.region;
        // The regions in China are another partition with other names.
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url = match &self.0.endpoint {
            Some(endpoint) => format!("{endpoint}/"),
            None => format!("https://secretsmanager.{region}.{suffix}/"),
        };
        let target = Target::parse(&url, &self.0.route).map_err(|error| Failure {
            outcome: "unreachable",
            why: error.to_string(),
            hint: "check `secrets.aws.endpoint` and `region`".to_owned(),
        })?;
        let body = Secret::new(json!({ "SecretId": name }).to_string());
        let digest = hex(&sha256(body.expose().as_bytes()));
        let time = amz_date(now);
        let mut headers = vec![
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-date", &time),
            ("x-amz-target", "secretsmanager.GetSecretValue"),
        ];
        headers.extend(session.as_ref().map(|token| ("x-amz-security-token", token.expose())));
        let signed = headers.iter().copied().chain([("host", target.authority())]);
        let signed = signed.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let request = Signed { method: "POST", path: "/", query: "", headers: signed, digest: &digest };
        let keys = Keys { access_key_id: &id, secret_access_key: &key, session_token: session.as_ref() };
        let proof = authorization(request, &keys, "secretsmanager", region, &time);
        headers.push(("authorization", proof.expose()));
        let (status, answer) = send("POST", &url, &self.0.route, &headers, Some(&body)).await?;
        fields_of(status, &answer, name)
    }
}

fn fields_of(status: u16, answer: &Value, name: &str) -> Result<Got, Failure> {
    if status != 200 {
        return Err(trouble(status, answer, name));
    }
    if answer.get("ARN").is_none() {
        return Err(Failure {
            outcome: "failed",
            why: format!("what answers for `{name}` is not AWS Secrets Manager"),
            hint: "check `secrets.aws.endpoint` and the form of the keys".to_owned(),
        });
    }
    let Some(text) = answer.get("SecretString").and_then(Value::as_str) else {
        return Err(Failure {
            outcome: "binary",
            why: format!("`{name}` holds no text"),
            hint: "store it as a string: `aws secretsmanager put-secret-value --secret-string`".to_owned(),
        });
    };
    let mut fields = Fields::from([(String::new(), Secret::new(text))]);
    if let Ok(Value::Object(members)) = serde_json::from_str(text) {
        for (name, value) in members {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fields.insert(name, Secret::new(text));
        }
    }
    // Foreign words on the record: as long as AWS makes them, and no longer.
    let version = answer.get("VersionId").and_then(Value::as_str).map(|text| text.chars().take(64).collect());
    Ok(Got { fields, version })
}

fn trouble(status: u16, answer: &Value, name: &str) -> Failure {
    // `__type` may carry a namespace in front: com.amazonaws...#ResourceNotFoundException.
    let kind = answer.get("__type").and_then(Value::as_str).unwrap_or_default();
    let kind = kind.rsplit('#').next().unwrap_or_default();
    let said = ["message", "Message"].iter().find_map(|member| answer.get(*member)).and_then(Value::as_str);
    let said = said.map(|text| format!(": {}", words(text))).unwrap_or_default();
    let (outcome, hint) = match kind {
        "ResourceNotFoundException" => ("not_found", "check name and region".to_owned()),
        "AccessDeniedException" => (
            "denied",
            format!("allow `secretsmanager:GetSecretValue` on `{name}` (and `kms:Decrypt` on its key)"),
        ),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "InvalidClientTokenId"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "ExpiredTokenException" => {
            ("denied", "check the keys in `secrets.aws`, and this machine's clock".to_owned())
        }
        "ThrottlingException" => ("throttled", "raise `secrets.ttl`".to_owned()),
        "InvalidRequestException" => {
            ("deleted", "it may be marked for deletion: `aws secretsmanager restore-secret`".to_owned())
        }
        "DecryptionFailure" => ("denied", "allow `kms:Decrypt` on the key of the secret".to_owned()),
        _ if status == 429 => ("throttled", "raise `secrets.ttl`".to_owned()),
        _ => ("failed", "check `secrets.aws`".to_owned()),
    };
    let kind = if kind.is_empty() { "AWS Secrets Manager answered" } else { kind };
    Failure { outcome, why: format!("`{name}`: {kind} ({status}{said})"), hint }
}
