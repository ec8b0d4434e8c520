//! Following redirects, for callers that want it. Nothing follows them by itself.
//!
//! Each hop is a target of its own on the same route: read anew, resolved anew, judged anew. Beyond the first
//! origin nothing goes along that the next one has no right to: no credentials, no client certificate.

use crate::host::read_authority;
use crate::target::scheme_of;
use crate::{Client, Head, OutboundError, Outgoing, Response, Target};

/// Most redirects that are followed in a row.
pub const HOPS_MAX: usize = 5;

/// An answer, and where it came from in the end.
#[derive(Debug)]
pub struct Followed {
    /// The answer. It is a redirect itself only where following was not asked for by its kind: see
    /// [`Client::send_following`].
    pub response: Response,
    /// Who gave it.
    pub target: Target,
    /// How many redirects led there.
    pub hops: usize,
}

impl Client {
    /// As [`Client::send`], and goes where 301, 302, 303, 307 and 308 point to, at most [`HOPS_MAX`] times and all
    /// within the request's deadline.
    ///
    /// Only `GET` and `HEAD` without a body are followed; of others the redirect is the answer. To another origin
    /// only those header lines go that [`Head::for_strangers`] keeps, and they stay away when it leads back. From
    /// `https` nothing leads to `http`.
    ///
    /// # Errors
    /// As [`Client::send`], and [`OutboundError::Redirect`].
    pub async fn send_following(
        &self,
        target: &Target,
        request: Outgoing<'_>,
    ) -> Result<Followed, OutboundError> {
        let is_followed =
            matches!(request.method, "GET" | "HEAD") && request.body.iter().all(|p| p.is_empty());
        let mut here = target.clone();
        let mut reduced: Option<Head> = None;
        let mut hops = 0;
        loop {
            let head = reduced.as_ref().unwrap_or(request.head);
            let response = self.send(&here, Outgoing { head, ..request }).await?;
            let is_redirect = matches!(response.status, 301 | 302 | 303 | 307 | 308);
            if !is_redirect || !is_followed {
                return Ok(Followed { response, target: here, hops });
            }
            let failed = |why| OutboundError::Redirect { host: here.origin.host.clone(), why };
            if hops == HOPS_MAX {
                return Err(failed("too many of them in a row"));
            }
            let mut places =
                response.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("location"));
            let (Some((_, place)), None) = (places.next(), places.next()) else {
                return Err(failed("it names no place, or several"));
            };
            let next = here.hop(place)?;
            if !next.is_same_origin(&here) {
                reduced = Some(head.for_strangers());
            }
            hops += 1;
            here = next;
        }
    }
}

impl Target {
    /// Where `place`, a server's `Location`, leads from here.
    fn hop(&self, place: &str) -> Result<Self, OutboundError> {
        let failed = |why| OutboundError::Redirect { host: self.origin.host.clone(), why };
        let place = place.split('#').next().unwrap_or_default();
        if place.is_empty() {
            return Err(failed("it names no place"));
        }
        let scheme = if self.origin.is_tls { "https" } else { "http" };
        let whole = match scheme_of(place) {
            Some(other) if other.eq_ignore_ascii_case("https") => place.to_owned(),
            Some(other) if other.eq_ignore_ascii_case("http") => {
                if self.origin.is_tls {
                    return Err(failed("it leads from https to http"));
                }
                place.to_owned()
            }
            Some(_) => return Err(failed("it leads to something other than http and https")),
            None if place.starts_with("//") => format!("{scheme}:{place}"),
            None => return self.join(place),
        };
        let authority = whole.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?']).next().unwrap_or_default();
        // Told apart from what the reader of URLs would say: this URL is the server's, not the operator's.
        read_authority(authority).map_err(failed)?;
        let next = Self::parse(&whole, &self.origin.route)?;
        // In the same origin the connection, and the right to what went along, are the same.
        if next.is_same_origin(self) { self.join(&whole) } else { Ok(next.into_stranger()) }
    }
}
