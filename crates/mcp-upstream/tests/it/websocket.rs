//! Servers over WebSocket, the far side written out by hand.

use std::sync::{Arc, Mutex};

use connector::Connector;
use mcp_upstream::Transport;
use model::{Code, Era};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::*;

/// Reads one masked frame: opcode and payload.
async fn read_frame(socket: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    socket.read_exact(&mut head).await.ok()?;
    assert!(head[1] & 0x80 != 0, "clients mask");
    let length = match head[1] & 0x7f {
        126 => socket.read_u16().await.unwrap() as usize,
        127 => usize::try_from(socket.read_u64().await.unwrap()).unwrap(),
        short => short as usize,
    };
    let mut mask = [0; 4];
    socket.read_exact(&mut mask).await.unwrap();
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).await.unwrap();
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
    Some((head[0], payload))
}

async fn write_frame(socket: &mut TcpStream, first: u8, payload: &[u8]) {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length @ 126..=65535 => {
            out.push(126);
            out.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    socket.write_all(&out).await.unwrap();
}

/// The key of RFC 6455 §1.3 is random here; the accept value is computed by `openssl`-free means: the test's own SHA-1.
fn accept(key: &str) -> String {
    let mut h: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
    let mut data = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").into_bytes();
    let bits = (data.len() as u64) * 8;
    data.push(0x80);
    while data.len() % 64 != 56 {
        data.push(0);
    }
    data.extend_from_slice(&bits.to_be_bytes());
    for block in data.chunks(64) {
        let mut w = [0_u32; 80];
        for (n, word) in block.chunks(4).enumerate() {
            w[n] = u32::from_be_bytes(word.try_into().unwrap());
        }
        for n in 16..80 {
            w[n] = (w[n - 3] ^ w[n - 8] ^ w[n - 14] ^ w[n - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = h;
        for (n, word) in w.iter().enumerate() {
            let (f, k) = match n {
                0..20 => ((b & c) | (!b & d), 0x5A82_7999),
                20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (into, value) in h.iter_mut().zip([a, b, c, d, e]) {
            *into = into.wrapping_add(value);
        }
    }
    let bytes: Vec<u8> = h.iter().flat_map(|word| word.to_be_bytes()).collect();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0_u32, |n, b| (n << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = (n >> (18 - 6 * place)) & 63;
            out.push(if place > chunk.len() { '=' } else { alphabet[digit as usize] as char });
        }
    }
    out
}

async fn upgrade(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let key = head.lines().find_map(|l| l.strip_prefix("sec-websocket-key: ")).unwrap();
    let reply = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: mcp\r\n\r\n",
        accept(key)
    );
    socket.write_all(reply.as_bytes()).await.unwrap();
    head
}

#[tokio::test]
async fn a_server_is_called_over_websocket_with_pings_and_fragments_in_between() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/mcp", listener.local_addr().unwrap());
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let pongs: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (log, ponged) = (Arc::clone(&heads), Arc::clone(&pongs));
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let head = upgrade(&mut socket).await;
            log.lock().unwrap().push(head);
            let ponged = Arc::clone(&ponged);
            tokio::spawn(async move {
                while let Some((first, payload)) = read_frame(&mut socket).await {
                    match first & 0x0f {
                        1 => {}
                        10 => {
                            ponged.lock().unwrap().push(payload);
                            continue;
                        }
                        _ => break,
                    }
                    let message: Value = serde_json::from_slice(&payload).unwrap();
                    let reply = match message["method"].as_str().unwrap() {
                        "server/discover" => answer(&message, discovery()),
                        "tools/list" => answer(&message, json!({"tools":[tool("any")]})),
                        "tools/call" => answer(&message, json!({"echo":message["params"]["arguments"]})),
                        _ => continue,
                    };
                    // In three fragments with a ping among them.
                    let bytes = reply.as_bytes();
                    let (a, rest) = bytes.split_at(5);
                    let (b, c) = rest.split_at(rest.len() / 2);
                    write_frame(&mut socket, 0x01, a).await;
                    write_frame(&mut socket, 0x89, b"beat").await;
                    write_frame(&mut socket, 0x00, b).await;
                    write_frame(&mut socket, 0x80, c).await;
                }
            });
        }
    });
    let mut settings = settings(Transport::WebSocket { url });
    settings.headers.push(("Authorization".to_owned(), model::Secret::new("Bearer t")));
    let upstream = up(settings).await;
    assert_eq!(upstream.state().era, Some(Era::Modern));
    let long = "x".repeat(70_000);
    let asked = request("any", json!({"name":"any","arguments":{"long":long}}));
    assert_eq!(done(upstream.call(&plain(), asked).await)["echo"]["long"], long);
    let head = heads.lock().unwrap()[0].clone();
    assert!(
        head.contains("sec-websocket-protocol: mcp") && head.contains("Authorization: Bearer t"),
        "{head}"
    );
    assert!(pongs.lock().unwrap().iter().any(|pong| pong == b"beat"));
}

#[tokio::test]
async fn a_server_that_does_not_upgrade_is_named() {
    let fake = FakeHttp::start(|_| Box::pin(async { Reply::status(426) })).await;
    let url = fake.url.replace("http://", "ws://");
    let upstream = mcp_upstream::McpUpstream::start(settings(Transport::WebSocket { url }), parts());
    eventually("it is down", || upstream.state().reason.is_some()).await;
    let fault = upstream.call(&plain(), call("any")).await.unwrap_err();
    assert_eq!(fault.code, Code::BAD_ANSWER, "{fault}");
    assert!(fault.detail.contains("WebSocket"));
}
