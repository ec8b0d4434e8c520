//! What a person does in a browser when a hub asks for an authorisation, and the OpenID provider that they do it at
//! (npm oidc-provider).

use std::time::Duration;

use hyper::Method;
use testkit::http::{Reply, send};
use testkit::hub::Hub;
use testkit::program::Program;
use testkit::tools::Tools;

/// The hub's page, opened.
pub(crate) struct Page {
    pub(crate) html: String,
    /// What the browser sends back from then on.
    pub(crate) cookie: String,
}

/// A provider that knows this hub, and its address.
pub(crate) async fn provider(hub: &Hub, ttl_s: u32) -> (Program, String) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Tools::find().unwrap().script("servers/oidc.mjs").unwrap();
    command.arg(port.to_string()).arg(hub.endpoint("/oauth/callback")).arg(ttl_s.to_string());
    let mut provider = Program::start(command).unwrap();
    while !provider.line(Duration::from_secs(60)).await.unwrap().contains("ready") {}
    (provider, format!("http://127.0.0.1:{port}"))
}

pub(crate) async fn get(url: &str, cookies: &str) -> Reply {
    send(Method::GET, url, &[("cookie", cookies)], "").await.unwrap()
}

/// Opens a link of the hub's.
pub(crate) async fn open(link: &str) -> Page {
    let page = get(link, "").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    let cookie = page.header("set-cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    Page { html: page.text().await.unwrap(), cookie: cookie.split(';').next().unwrap().to_owned() }
}

impl Page {
    /// Where it leads, and the cookie.
    pub(crate) fn leads_to(self) -> (String, String) {
        let link = self.html.split("href=\"http").nth(1).unwrap().split('"').next().unwrap();
        (format!("http{}", link.replace("&amp;", "&")), self.cookie)
    }

    /// The value of its hidden field.
    pub(crate) fn state(&self) -> &str {
        self.html.split("name=\"state\" value=\"").nth(1).unwrap().split('"').next().unwrap()
    }
}

/// Signs in at the provider as `who` and gives leave: the address that it sends the browser back to.
pub(crate) async fn give_leave(provider_url: &str, link: &str, who: &str) -> String {
    let mut cookies: Vec<String> = vec![format!("who={who}")];
    let mut url = link.to_owned();
    for _ in 0..10 {
        let reply = get(&url, &cookies.join("; ")).await;
        for line in reply.headers.get_all("set-cookie") {
            let pair = line.to_str().unwrap().split(';').next().unwrap().to_owned();
            let name = pair.split('=').next().unwrap().to_owned();
            cookies.retain(|known| !known.starts_with(&format!("{name}=")));
            cookies.push(pair);
        }
        let next = reply.header("location").to_owned();
        let status = reply.status;
        assert!(!next.is_empty(), "{url}: {status} {}", reply.text().await.unwrap());
        url = if next.starts_with('/') { format!("{provider_url}{next}") } else { next };
        if url.contains("/oauth/callback") {
            return url;
        }
    }
    panic!("the provider sends the browser round and round");
}

/// All of it, from the hub's link to its last page.
pub(crate) async fn authorise(provider_url: &str, link: &str, who: &str) {
    let (there, cookie) = open(link).await.leads_to();
    let back = give_leave(provider_url, &there, who).await;
    let reply = get(&back, &cookie).await;
    let status = reply.status;
    assert_eq!(status, 303, "{}", reply.text().await.unwrap());
}
