//! Validate: arguments against the tool's input schema, before anything is sent.

use model::{Code, Fault};

use crate::snapshot::MountedTool;

pub(crate) fn run(tool: &MountedTool, arguments: Option<&[u8]>) -> Result<(), Fault> {
    tool.check.apply(arguments.unwrap_or(b"{}")).map_err(|violations| {
        Fault::new(
            Code::BAD_ARGUMENTS,
            format!("arguments of `{}` do not fit its schema: {violations}", tool.tool.name),
        )
        .with_hint("correct the named fields; tools/list shows the schema")
    })
}
