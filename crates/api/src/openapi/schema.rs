//! Schemas of what comes from rooms that know nothing of OpenAPI: the words of `model`'s enums, call
//! records and access. The tests hold them against real answers.

use std::borrow::Cow;

use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, Required};
use utoipa::{PartialSchema, ToSchema};

/// A closed set of words under a name of its own.
macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident = $($word:literal)*;)*) => {$(
        $(#[doc = $doc])*
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let description = concat!($($doc, "\n",)*).trim();
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some(description))
                    .enum_values(Some([$($word),*]))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

/// The same for an enum of `model` that lists its words itself.
macro_rules! listed {
    ($($(#[doc = $doc:literal])* $name:ident = $model:ty;)*) => {$(
        $(#[doc = $doc])*
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .description(Some(concat!($($doc, "\n",)*).trim()))
                    .enum_values(Some(<$model>::ALL.iter().map(|one| one.as_str())))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )*};
}

listed! {
    /// What the owner of a connection is told.
    ConnectionStatus = model::ConnectionStatus;
    /// What kind of thing an integration connects.
    IntegrationType = model::IntegrationKind;
    /// Where an integration stands in the catalogue.
    IntegrationCategory = model::Category;
    /// How a connection proves itself.
    AuthMethod = model::AuthMethod;
    /// What happened to a connection.
    EventType = store::EventType;
}

words! {
    /// How a connection runs right now.
    Condition = "starting" "started" "degraded" "stopped";
    /// Where a connection may be moved by word; the other statuses follow from tests.
    SettableStatus = "configuring" "error" "disconnected";
    /// Era of the Model Context Protocol.
    Era = "legacy" "modern";
    /// What a call asked for.
    CallKind = "tool" "resource" "prompt" "completion" "task" "proxy" "test" "secret";
    /// How a call ended.
    CallOutcome = "ok" "tool_error" "rpc_error" "input_required" "task_started" "fault" "cancelled";
    /// Whose fault it is.
    Blame = "caller" "upstream" "operator" "bug";
}

/// One call as it was recorded.
#[derive(ToSchema)]
#[expect(dead_code, reason = "records are kept as JSON; this is what they look like")]
pub(crate) struct CallRecord {
    /// `call_...`
    id: String,
    /// When it was accepted: milliseconds since 1970, UTC.
    at: i64,
    /// Who called.
    principal: String,
    /// Through which door: `mcp`, `call`, `cli`.
    door: String,
    #[schema(inline)]
    kind: CallKind,
    /// Key of the connection; null when none was found.
    #[schema(required = true)]
    connection: Option<String>,
    /// Tool name, resource URI or prompt name; of a secret, where it was read.
    target: String,
    #[schema(inline)]
    outcome: CallOutcome,
    /// `TL-nnnn`, when the hub refused or failed.
    #[schema(required = true)]
    code: Option<String>,
    /// The fault's text; of a secret, which version was read, or why none was.
    #[schema(required = true)]
    detail: Option<String>,
    /// The stage that refused.
    #[schema(required = true)]
    refused_by: Option<String>,
    /// Microseconds from acceptance to answer.
    duration_us: u64,
    /// Bytes of the parameters.
    bytes_in: u32,
    /// Bytes of the result.
    bytes_out: u32,
    stages: Vec<Stage>,
    /// Only where the connection says `record: arguments`.
    #[schema(required = true)]
    arguments: Option<String>,
}

/// One stage of a call.
#[derive(ToSchema)]
#[expect(dead_code, reason = "records are kept as JSON; this is what they look like")]
pub(crate) struct Stage {
    /// Name of the stage.
    stage: String,
    /// Microseconds spent in it.
    us: u32,
}

/// Patterns over `connection__tool` with `*` for anything. Deny wins; an empty `allow` allows nothing.
#[derive(ToSchema)]
#[expect(dead_code, reason = "`model::Access` is what is used; this is what it looks like")]
pub(crate) struct Access {
    allow: Vec<String>,
    deny: Vec<String>,
    /// May use the management API.
    manage: bool,
}

/// The parameter `Idempotency-Key`, which every write understands.
pub(crate) fn idempotency_key() -> utoipa::openapi::path::Parameter {
    utoipa::openapi::path::ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(utoipa::openapi::path::ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A fresh value per request. The same request sent again is answered with what the first one got \
             (header `Idempotency-Replayed: true`) and does not run again; another request \
             under the same key is 422. Remembered for 24 hours; answers over 190 KiB are not held, and \
             sending such a request again is 409.",
        ))
        .schema(Some(
            ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255)),
        ))
        .build()
}

/// The secrets of a document's connections, sealed under a passphrase.
#[derive(ToSchema)]
#[schema(as = SealedSecrets)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its description is used: the values are `connector`'s")]
pub(crate) struct SealedSecrets {
    /// How the key is made of the passphrase, and what seals.
    algorithm: String,
    /// Rounds of the derivation.
    rounds: u32,
    /// Its salt, base64.
    salt: String,
    /// Tells a wrong passphrase from an altered document, base64.
    check: String,
    /// The sealed values, base64.
    sealed: String,
}
