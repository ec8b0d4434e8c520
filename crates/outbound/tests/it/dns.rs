//! Resolvers of the tests: one that always says the same, and a real little DNS server that changes its mind, with
//! a resolver that asks it over UDP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use outbound::{Lookup, Resolver};
use tokio::net::UdpSocket;

/// Says the same to whoever asks, and counts.
pub(crate) struct Says {
    addresses: Vec<IpAddr>,
    asked: AtomicUsize,
}

impl Says {
    pub(crate) fn new(addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Self { addresses, asked: AtomicUsize::new(0) }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolver for Says {
    fn look_up<'a>(&'a self, _name: &'a str) -> Lookup<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(self.addresses.clone()) })
    }
}

const A: u16 = 1;
const AAAA: u16 = 28;

/// A DNS server (RFC 1035) on a port of its own, for whatever name. Answers live for no time at all.
pub(crate) struct Dns {
    at: SocketAddr,
    lookups: Arc<AtomicUsize>,
}

impl Dns {
    /// `script` says what the n-th lookup is told; a lookup is a question for A, then one for AAAA.
    pub(crate) async fn start(script: impl Fn(usize) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let lookups: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&lookups);
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            let mut told = Vec::new();
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let question = &buffer[..length];
                let kind = u16::from_be_bytes([question[length - 4], question[length - 3]]);
                if kind == A {
                    told = script(count.fetch_add(1, Ordering::SeqCst));
                }
                socket.send_to(&answer(question, kind, &told), from).await.unwrap();
            }
        });
        Self { at, lookups }
    }

    /// Where it listens.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    /// How many lookups have been made.
    pub(crate) fn lookups(&self) -> usize {
        self.lookups.load(Ordering::SeqCst)
    }
}

fn answer(question: &[u8], kind: u16, told: &[IpAddr]) -> Vec<u8> {
    let records: Vec<Vec<u8>> = told
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(v4), A) => Some(v4.octets().to_vec()),
            (IpAddr::V6(v6), AAAA) => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut out = question.to_vec();
    // A response without error, and so many answers.
    out[2..4].copy_from_slice(&0x8180_u16.to_be_bytes());
    out[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    for data in records {
        // The name of the question, its type, IN, no time to live.
        out.extend_from_slice(&0xc00c_u16.to_be_bytes());
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0]);
        out.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&data);
    }
    out
}

impl Dns {
    async fn ask(&self, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend_from_slice(label.as_bytes());
        }
        question.extend_from_slice(&[0, 0]);
        question.push(u8::try_from(kind).unwrap());
        question.extend_from_slice(&[0, 1]);
        socket.send_to(&question, self.at).await?;
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).await?;
        let count = usize::from(u16::from_be_bytes([buffer[6], buffer[7]]));
        let mut rest = &buffer[question.len()..length];
        let mut found = Vec::new();
        for _ in 0..count {
            let data = usize::from(u16::from_be_bytes([rest[10], rest[11]]));
            let (record, behind) = rest.split_at(12 + data);
            rest = behind;
            found.push(match kind {
                A => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(&record[12..]).unwrap())),
                _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&record[12..]).unwrap())),
            });
        }
        Ok(found)
    }
}

impl Resolver for Dns {
    fn look_up<'a>(&'a self, name: &'a str) -> Lookup<'a> {
        Box::pin(async move {
            let mut found = self.ask(name, A).await?;
            found.extend(self.ask(name, AAAA).await?);
            Ok(found)
        })
    }
}
