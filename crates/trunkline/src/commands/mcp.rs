//! `trunkline mcp`: MCP on standard input and output. A running hub is bridged to; without one, a hub is
//! started just for this, on the same configuration and data.

mod bridge;

use std::sync::Arc;
use std::time::Duration;

use mcp_door::{Endpoint, LineAuth};
use outbound::OutboundError;

use super::client::Remote;
use super::{configuration, env, serve};
use crate::cli::Shared;
use crate::config::{Wanted, data_folder};
use crate::say::{Quit, note};
use crate::wiring::house::{self, Purpose};
use crate::wiring::hub::{Hub, tell};
use crate::wiring::telemetry;

/// How long a hub may take to say that it is there.
const HELLO: Duration = Duration::from_secs(3);

/// Serves until the input ends.
pub(crate) fn run(shared: &Shared, toolset: Option<&str>, connection: Option<&str>) -> Result<(), Quit> {
    let path = match (toolset, connection) {
        (Some(name), _) => format!("/mcp/s/{}", name.replace('_', "-")),
        (None, Some(name)) => format!("/mcp/c/{}", name.replace('_', "-")),
        (None, None) => "/mcp".to_owned(),
    };
    let endpoint = Endpoint::parse(&path).ok_or_else(|| {
        Quit::usage(format!("`{}` is not a key", toolset.or(connection).unwrap_or_default()))
    })?;
    let control = serve::control_runtime()?;
    let result = control.block_on(async {
        let hub = Remote::of(shared);
        match hub.send("GET", "/health", None, &[], HELLO).await {
            Ok(_) => bridge::run(&hub, &path).await,
            Err(OutboundError::Connect { .. } | OutboundError::Timeout { was_sent: false, .. })
                if !Remote::is_named(shared) =>
            {
                embedded(shared, endpoint).await
            }
            Err(error) => Err(hub.quit(&error)),
        }
    });
    // A read of standard input that nobody waits for any more cannot be interrupted.
    control.shutdown_background();
    result
}

/// A hub just for this.
async fn embedded(shared: &Shared, endpoint: Endpoint) -> Result<(), Quit> {
    let config = configuration(shared, None);
    if config.is_fatal() {
        for problem in &config.problems {
            note(&problem.to_string());
        }
        return Err(Quit::silent(2));
    }
    telemetry::start(&config.hub.log);
    tell(&config.problems);
    let data = data_folder(shared.data.as_deref(), &env);
    let house = house::enter(&config, &data, Purpose::Run).await?;
    let wanted = Wanted { file: config.file.clone(), listen: None };
    let hub = Hub::new(house, &config, wanted).await?;
    let mut secrets = hub.connect(&config).await;
    let following = async {
        while secrets.changed().await.is_ok() {
            hub.reload(&config);
        }
        std::future::pending().await
    };
    let auth = LineAuth::Known(hub.operator(), endpoint);
    let door = Arc::clone(&hub.door);
    tokio::select! {
        () = door.serve_lines(tokio::io::stdin(), tokio::io::stdout(), auth) => {}
        () = stop() => {}
        () = following => {}
    }
    hub.close().await;
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
