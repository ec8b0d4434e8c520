//! How an API's webhooks are told from forgeries: a recipe, not code.

use super::{HashName, Path, Spot};
use crate::template::Template;

/// What comes in, and how it is proved.
#[derive(Debug)]
pub struct Webhook {
    /// How its sender proves itself.
    pub proof: WebhookProof,
    /// Where the kind of event is.
    pub event: Option<Spot>,
    /// Where the delivery's own id is: the same again is the same delivery.
    pub delivery: Option<Spot>,
    /// Where the account of the API is that it is about.
    pub account: Option<Spot>,
    /// How the API asks whether somebody is there, if it does.
    pub challenge: Option<Challenge>,
    /// What people have to set up at the vendor.
    pub help: String,
}

/// How a sender proves itself.
#[derive(Debug)]
pub enum WebhookProof {
    /// HMAC of a text with a shared secret.
    Hmac {
        /// The hash.
        algorithm: HashName,
        /// What is signed: `{sign.body}`, `{sign.time}.{sign.body}`, `{sign.id}.{sign.time}.{sign.body}`.
        over: Template,
        /// How the secret becomes the key.
        key: SecretForm,
        /// Where the signature is.
        header: String,
        /// What stands before it: `sha256=`, `v0=`; or the name of its part in `t=...,v1=...`.
        prefix: String,
        /// Whether the header is a list of parts.
        is_list: bool,
        /// Whether it is written in base64; otherwise in hex.
        is_base64: bool,
        /// The header with the time; part `t` of the same header where it is a list.
        time_header: Option<String>,
        /// How old it may be, seconds; 0 for any age.
        tolerance_s: u64,
    },
    /// A shared word in a header, compared in constant time.
    Token {
        /// Where it is.
        header: String,
    },
    /// Ed25519 under a public key that the vendor shows.
    Ed25519 {
        /// What is signed.
        over: Template,
        /// Where the signature is, in hex.
        header: String,
        /// The header with the time.
        time_header: Option<String>,
    },
    /// Nothing: the vendor signs nothing, and what comes is hearsay to be asked about.
    None,
}

/// How a shared secret becomes a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretForm {
    /// As it is.
    Raw,
    /// Base64 of the key.
    Base64,
    /// Base64 behind `whsec_` (Standard Webhooks).
    Whsec,
}

/// A question whether somebody is there.
#[derive(Debug)]
pub struct Challenge {
    /// Where its value is.
    pub from: Spot,
    /// The member of the answer that repeats it; the whole answer where it is empty.
    pub answer: Path,
}
