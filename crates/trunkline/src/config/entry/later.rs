//! Entries whose connector comes with a later version: read and checked all the same, shown as
//! `configuring` with an honest reason, never callable.

use super::auth;
use super::{Shape, Type};
use crate::config::fields::{Fields, Reading};
use crate::config::tree::Mark;

/// An entry that waits.
#[derive(Debug, Clone)]
pub(crate) struct Later {
    /// For what, with what to add.
    pub(crate) reason: String,
}

/// Reads the keys that all of these types share.
pub(super) fn read(at: Mark, kind: Type, mut fields: Fields<'_>, reading: &mut Reading<'_>) -> Shape {
    let mut missing: Vec<String> = Vec::new();
    let endpoint = fields.text("endpoint", reading);
    if let Some(said) = &endpoint
        && !said.value().parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some())
    {
        reading.error(said.at, &fields.key("endpoint"), format!("`{said}` is not a URL"), None);
    }
    fields.text("integration", reading);
    let has_host = connection(&mut fields, reading);
    match kind {
        Type::Database | Type::Queue | Type::Cache if endpoint.is_none() && !has_host => {
            missing.push("connection.host (or endpoint)".to_owned());
        }
        _ => {}
    }
    auth::read(&mut fields, reading);
    fields.number("timeout", 0.001, 86_400.0, reading);
    fields.count("retry_count", 0, 10, reading);
    crate::config::egress::read_entry(&mut fields, reading);
    fields.finish(reading);
    let mut reason = format!(
        "connections of type `{}` come with a later version of Trunkline; this entry was read and is kept as it is",
        kind.name()
    );
    if !missing.is_empty() {
        reason.push_str(&format!("; it will also need {} (line {})", missing.join(", "), at.line));
    }
    Shape::Later(Later { reason })
}

/// Reads `connection`; whether it names a host.
fn connection(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> bool {
    let Some(mut connection) = fields.map("connection", reading) else { return false };
    let host = connection.text("host", reading);
    connection.count("port", 1, 65_535, reading);
    connection.text("database", reading);
    connection.finish(reading);
    host.is_some()
}
