//! `webhook` and `rotation`.

use super::super::fields::{Fields, Reading};
use super::Names;
use super::paging::parse_spot;
use crate::api::{Challenge, HashName, Path, Rotation, SecretForm, Spot, Webhook, WebhookProof};
use crate::template::{Scope, Template};

#[derive(Clone, Copy)]
enum Word {
    Hmac,
    Token,
    Ed25519,
    None,
}

const WORDS: &[(&str, Word)] =
    &[("hmac", Word::Hmac), ("token", Word::Token), ("ed25519", Word::Ed25519), ("none", Word::None)];
/// What may be signed.
const SIGNED: &[&str] = &["method", "url", "path", "id", "time", "body", "form"];

/// Reads `webhook`; `None` where it is absent, or after an error.
pub(super) fn read(top: &mut Fields<'_>, names: &Names, reading: &mut Reading) -> Option<Webhook> {
    let mut fields = top.map("webhook", "webhook.", reading)?;
    if fields.node("verify").is_none() {
        reading.error(fields.at, "webhook.verify", "missing", "hmac, token, ed25519 or none");
    }
    let proof =
        fields.choice("verify", WORDS, reading).and_then(|word| proof(word, &mut fields, names, reading));
    let event = spot(&mut fields, "event", reading);
    let delivery = spot(&mut fields, "delivery", reading);
    let account = spot(&mut fields, "account", reading);
    let challenge = fields.map("challenge", "webhook.challenge.", reading).and_then(|mut said| {
        let from = spot(&mut said, "from", reading);
        let answer = Path::parse(&said.text("answer", 128, reading).unwrap_or_default());
        said.finish(reading);
        Some(Challenge { from: from?, answer })
    });
    let help = fields.text("help", 4_096, reading).unwrap_or_default();
    fields.finish(reading);
    Some(Webhook { proof: proof?, event, delivery, account, challenge, help })
}

fn proof(word: Word, fields: &mut Fields<'_>, names: &Names, reading: &mut Reading) -> Option<WebhookProof> {
    Some(match word {
        Word::None => WebhookProof::None,
        Word::Token => WebhookProof::Token { header: header(fields, "header", reading)? },
        Word::Ed25519 => WebhookProof::Ed25519 {
            over: over(fields, names, reading)?,
            header: header(fields, "header", reading)?,
            time_header: fields.text("time_header", 128, reading).map(|text| text.to_ascii_lowercase()),
        },
        Word::Hmac => {
            let hashes =
                [("sha1", HashName::Sha1), ("sha256", HashName::Sha256), ("sha512", HashName::Sha512)];
            let algorithm = fields.choice("algorithm", &hashes, reading).unwrap_or(HashName::Sha256);
            let forms =
                [("raw", SecretForm::Raw), ("base64", SecretForm::Base64), ("whsec", SecretForm::Whsec)];
            let key = fields.choice("key", &forms, reading).unwrap_or(SecretForm::Raw);
            let writing = [("hex", false), ("base64", true)];
            let is_base64 = fields.choice("encoding", &writing, reading).unwrap_or(false);
            WebhookProof::Hmac {
                algorithm,
                over: over(fields, names, reading)?,
                key,
                header: header(fields, "header", reading)?,
                prefix: fields.text("prefix", 32, reading).unwrap_or_default(),
                is_list: fields.flag("list", reading).unwrap_or(false),
                is_base64,
                time_header: fields.text("time_header", 128, reading).map(|text| text.to_ascii_lowercase()),
                tolerance_s: fields.count("tolerance", 0, 86_400, reading).unwrap_or(300),
            }
        }
    })
}

fn over(fields: &mut Fields<'_>, names: &Names, reading: &mut Reading) -> Option<Template> {
    let line = fields.line("over");
    let template = names.required(fields, "over", &[Scope::Sign], reading)?;
    for hole in template.holes().filter(|hole| !SIGNED.contains(&hole.name.as_str())) {
        reading.unknown(line, "webhook.over", &hole.name, SIGNED);
    }
    Some(template)
}

fn header(fields: &mut Fields<'_>, name: &'static str, reading: &mut Reading) -> Option<String> {
    fields.required_text(name, 128, reading).map(|text| text.to_ascii_lowercase())
}

fn spot(fields: &mut Fields<'_>, name: &'static str, reading: &mut Reading) -> Option<Spot> {
    let text = fields.text(name, 256, reading)?;
    let found = parse_spot(&text);
    if found.is_none() {
        reading.unknown(
            fields.line(name),
            &fields.key(name),
            &text,
            &["header.NAME", "body.PATH", "query.NAME"],
        );
    }
    found
}

/// Reads `rotation`.
pub(super) fn rotation(top: &mut Fields<'_>, reading: &mut Reading) -> Option<Rotation> {
    let mut fields = top.map("rotation", "rotation.", reading)?;
    let help = fields.required_text("help", 4_096, reading);
    let overlaps = fields.flag("overlaps", reading).unwrap_or(false);
    let every_days = fields.count("every_days", 1, 3_650, reading).and_then(|days| u32::try_from(days).ok());
    fields.finish(reading);
    Some(Rotation { help: help?, overlaps, every_days })
}
