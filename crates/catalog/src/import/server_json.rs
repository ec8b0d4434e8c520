//! `server.json` of the MCP registry as an entry: the first of its packages that this hub can start, or else
//! the first of its addresses. Nothing is downloaded; versions stay pinned as the document has them.

use serde_json::Value;

use super::document::parse;
use super::inputs::{arguments, filled, named};
use super::launch::{Head, Launch, Named, escaped};
use super::names::{cut, line};
use super::report::Report;
use super::write::Tree;
use super::{Imported, Options, Refused, items, refused, slug_of, text};

/// A registry whose packages can be started.
struct Registry {
    word: &'static str,
    /// What starts them.
    command: &'static str,
    /// Its addresses; a package of another registry is another package.
    addresses: &'static [&'static str],
    /// Where people look at one.
    page: &'static str,
}

const REGISTRIES: &[Registry] = &[
    Registry {
        word: "npm",
        command: "npx",
        addresses: &["https://registry.npmjs.org"],
        page: "https://www.npmjs.com/package/",
    },
    Registry {
        word: "pypi",
        command: "uvx",
        addresses: &["https://pypi.org", "https://pypi.org/simple"],
        page: "https://pypi.org/project/",
    },
];
/// The most packages and addresses that are looked at.
const CHOICES_MAX: usize = 50;

/// Makes an entry of a `server.json`, alone or as the registry's API answers with it.
///
/// # Errors
/// When it is none, or nothing in it can be started or reached.
pub fn server_json(document: &str, options: &Options) -> Result<Imported, Refused> {
    let root = parse(document)?;
    let server = root.get("server").filter(|server| server.is_object()).unwrap_or(&root);
    let Some(name) = text(server, "name").map(|name| line(cut(&name, 250))) else {
        return refused("is no server.json: it has no `name`");
    };
    let short = name.rsplit('/').next().unwrap_or(&name);
    let mut report = Report::default();
    let mut made: Option<(Launch, Option<String>)> = None;
    let mut refusals = Vec::new();
    for (n, package) in items(server, "packages").iter().take(CHOICES_MAX).enumerate() {
        let place = format!("packages.{n}");
        if made.is_some() {
            report.add(place, "is not used: one way to start it is enough");
            continue;
        }
        // What a package that cannot be started has said so far is thrown away with it.
        let mut notes = Report::default();
        match self::package(package, &mut notes) {
            Ok(found) => {
                notes
                    .into_notes()
                    .into_iter()
                    .for_each(|note| report.add(format!("{place} {}", note.place), note.what));
                made = Some(found);
            }
            Err(why) => refusals.push((place, why)),
        }
    }
    for (n, remote) in items(server, "remotes").iter().take(CHOICES_MAX).enumerate() {
        let place = format!("remotes.{n}");
        if made.is_some() {
            report.add(place, "is not used: there is another way to reach it");
            continue;
        }
        match self::remote(remote, &mut report) {
            Ok(launch) => made = Some((launch, None)),
            Err(why) => refusals.push((place, why)),
        }
    }
    let Some((launch, page)) = made else {
        let why: Vec<String> = refusals.iter().map(|(place, why)| format!("{place} {why}")).collect();
        let why = if why.is_empty() { "has neither packages nor remotes".to_owned() } else { why.join("; ") };
        return refused(format!("nothing in it can be started or reached: {why}"));
    };
    refusals.iter().for_each(|(place, why)| report.add(place, format!("is left out: it {why}")));
    if text(server, "status").is_some_and(|status| status != "active") {
        report.add("status", "is not `active`: its makers do not keep it up");
    }
    let links =
        [text(server, "websiteUrl"), server.get("repository").and_then(|repository| text(repository, "url"))];
    let mut sources: Vec<String> = page.into_iter().collect();
    sources.extend(links.iter().flatten().map(|link| link.to_string()));
    let docs_url = links.into_iter().flatten().next().map(std::borrow::Cow::into_owned);
    let head = Head {
        slug: slug_of(options, &[short, &name])?,
        name: text(server, "title").map_or_else(|| short.to_owned(), |title| title.into_owned()),
        description: text(server, "description").unwrap_or_default().into_owned(),
        docs_url,
        version: text(server, "version").map(std::borrow::Cow::into_owned),
        sources,
        min_tools: 0,
    };
    launch.finish(head, report)
}

/// A package as what starts it, and the page that people look at.
fn package(package: &Value, report: &mut Report) -> Result<(Launch, Option<String>), String> {
    let word = text(package, "registryType").or_else(|| text(package, "registry_type")).unwrap_or_default();
    let Some(registry) = REGISTRIES.iter().find(|registry| registry.word == word) else {
        return Err(match word.as_ref() {
            "mcpb" => "is a bundle: download it, check its fileSha256, and import the file".to_owned(),
            other => format!("is of `{}`; npm and pypi are started", line(cut(other, 60))),
        });
    };
    let transport = package.get("transport").and_then(|transport| text(transport, "type"));
    if let Some(other) = transport.filter(|transport| transport != "stdio") {
        return Err(format!("speaks {} and has to be started beside the hub", line(cut(&other, 60))));
    }
    let address = text(package, "registryBaseUrl");
    if let Some(other) = address.filter(|url| !registry.addresses.contains(&url.trim_end_matches('/'))) {
        return Err(format!("is of the registry {}, not of the usual one", line(cut(&other, 120))));
    }
    let name = text(package, "identifier").unwrap_or_default();
    if !is_package(&name) {
        return Err(format!("is called `{}`, which is no name of a package", line(cut(&name, 120))));
    }
    let version = text(package, "version").unwrap_or_default();
    let is_version = version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+!-".contains(&b))
        && version != "latest";
    if !version.is_empty() && !is_version {
        return Err(format!("has the version `{}`, which is none that is pinned", line(cut(&version, 60))));
    }
    let mut launch = Launch::new();
    launch.texts.extend([("protocol", "stdio".to_owned()), ("command", registry.command.to_owned())]);
    let hint = text(package, "runtimeHint");
    if let Some(hint) = hint.filter(|hint| hint != registry.command) {
        report.add(
            "runtimeHint",
            format!("is {}; it is started with {}", line(cut(&hint, 60)), registry.command),
        );
    }
    if registry.command == "npx" {
        launch.args.push(Tree::text("-y"));
    }
    // `-y` and the package itself stand there already.
    let is_said = |one: &&Value| {
        let value = text(one, "value").or_else(|| text(one, "name")).unwrap_or_default();
        let is_package = value.starts_with(name.as_ref()) && value.len() <= name.len() + version.len() + 2;
        !is_package && !matches!(value.as_ref(), "-y" | "--yes")
    };
    let runtime: Vec<Value> = items(package, "runtimeArguments").iter().filter(is_said).cloned().collect();
    arguments(&runtime, true, &mut launch, report)?;
    let pinned = if version.is_empty() {
        report.add("version", "is not said: whatever is newest is started each time");
        name.to_string()
    } else {
        format!("{name}@{version}")
    };
    launch.args.push(Tree::text(escaped(&pinned)));
    arguments(items(package, "packageArguments"), false, &mut launch, report)?;
    named(items(package, "environmentVariables"), Named::Env, &mut launch, report);
    Ok((launch, Some(format!("{}{name}", registry.page))))
}

/// A name that a registry has; paths, URLs and options are none.
fn is_package(name: &str) -> bool {
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"-_.~/@".contains(&b);
    let scoped = name.strip_prefix('@');
    let plain = scoped.map_or(Some(name), |rest| {
        rest.split_once('/').filter(|(scope, _)| !scope.is_empty()).map(|(_, rest)| rest)
    });
    name.len() <= 214
        && name.bytes().all(is_fit)
        && plain.is_some_and(|plain| {
            plain.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && !plain.contains(['/', '@'])
                && !plain.contains("..")
        })
}

/// An address.
fn remote(remote: &Value, report: &mut Report) -> Result<Launch, String> {
    let kind = text(remote, "type").or_else(|| text(remote, "transport_type")).unwrap_or_default();
    let protocol = match kind.as_ref() {
        "streamable-http" | "streamable" | "http" => "http",
        "sse" => "sse",
        other => {
            return Err(format!("speaks `{}`; streamable-http and sse are spoken", line(cut(other, 60))));
        }
    };
    let url = text(remote, "url").unwrap_or_default();
    let is_whole = url.starts_with("https://") || url.starts_with("http://");
    if !is_whole || url.len() > 2_000 || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("has the address `{}`, which is no whole one", line(cut(&url, 120))));
    }
    let mut launch = Launch::new();
    let template = filled(&url, remote, &mut launch)
        .map_err(|secret| format!("has the secret `{}` in its address", line(&secret)))?;
    if template.contains("{{") {
        return Err("has a part in its address that no variable fills in".to_owned());
    }
    launch.texts.extend([("protocol", protocol.to_owned()), ("url", template)]);
    named(items(remote, "headers"), Named::Headers, &mut launch, report);
    Ok(launch)
}
