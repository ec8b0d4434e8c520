//! `mcp-trouble`: an MCP server that goes wrong when it is told to, for scenes about faults. Which fault is the name
//! of the tool that is called; faults of a start are chosen on the command line. Not for conformance: it knows the
//! few methods that the hub asks.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

/// What the tools are called, and thereby what they do.
const TOOLS: [&str; 8] = ["well", "die", "littered", "babble", "endless", "gigabyte", "stranger", "twice"];
const POLL: Duration = Duration::from_millis(20);
/// Lines of nonsense in one fit of it.
const NONSENSE_LINES: usize = 5_000;
const GIB: u64 = 1 << 30;
const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-06-18";

/// An MCP server that goes wrong on request, for tests
#[derive(Parser)]
struct Options {
    /// How it starts
    #[arg(value_enum, default_value = "well")]
    start: Start,
    /// Serve HTTP here; the first line on standard output is {"url": ...}. Else standard input and output
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Answer nothing before this file exists
    #[arg(long)]
    after: Option<PathBuf>,
    /// Make this file when the first message comes
    #[arg(long)]
    mark: Option<PathBuf>,
    /// So many further tools, which all do well
    #[arg(long, default_value_t = 0)]
    more: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Start {
    /// As it should.
    Well,
    /// Ends at the first question of the newest revision; speaks an older one.
    Touchy,
    /// Never says anything.
    Mute,
    /// Says nothing but nonsense.
    Babble,
}

fn main() -> anyhow::Result<()> {
    let options = Arc::new(Options::parse());
    match options.listen {
        Some(address) => serve_http(&options, address),
        None => serve_lines(&options),
    }
}

fn serve_lines(options: &Arc<Options>) -> anyhow::Result<()> {
    if options.start == Start::Babble {
        babble(&mut io::stdout().lock(), usize::MAX)?;
    }
    for line in io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let options = Arc::clone(options);
        std::thread::spawn(move || {
            prepare(&options, &message);
            let mut out = BufWriter::new(io::stdout().lock());
            // The hub may have cut us off: there is nobody left to tell.
            let _ = answer(&options, &message, &mut out).and_then(|()| out.flush());
        });
    }
    Ok(())
}

fn serve_http(options: &Arc<Options>, address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)?;
    let ready = json!({ "url": format!("http://{}/mcp", listener.local_addr()?) });
    let mut out = io::stdout().lock();
    writeln!(out, "{ready}")?;
    out.flush()?;
    drop(out);
    for socket in listener.incoming() {
        let (options, socket) = (Arc::clone(options), socket?);
        std::thread::spawn(move || exchange(&options, socket));
    }
    Ok(())
}

/// One request; its answer ends with the connection.
fn exchange(options: &Options, socket: TcpStream) -> anyhow::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut out = BufWriter::new(socket);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if !first.starts_with("POST ") {
        out.write_all(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
        return Ok(out.flush()?);
    }
    let message: Value = serde_json::from_slice(&body)?;
    if message.get("id").is_none() {
        out.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
        return Ok(out.flush()?);
    }
    prepare(options, &message);
    if hangs_up(&message)? {
        return Ok(());
    }
    out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n")?;
    answer(options, &message, &mut out)?;
    Ok(out.flush()?)
}

/// Leaves the marks that the scene waits for, and waits for what the scene does.
fn prepare(options: &Options, message: &Value) {
    let named = |name: &str| {
        message.pointer(&format!("/params/arguments/{name}")).and_then(Value::as_str).map(PathBuf::from)
    };
    for mark in options.mark.clone().into_iter().chain(named("mark")) {
        // A scene that waits for a mark in vain says so.
        let _ = std::fs::write(mark, "");
    }
    options.after.as_deref().into_iter().for_each(wait_for);
    named("until").as_deref().into_iter().for_each(wait_for);
}

/// Whether this is the first call that names this file as `hang_up_once`: it gets no answer. Each call adds a line
/// to the file, so that the scene can count them.
fn hangs_up(message: &Value) -> io::Result<bool> {
    let Some(path) = message.pointer("/params/arguments/hang_up_once").and_then(Value::as_str) else {
        return Ok(false);
    };
    let is_first = !Path::new(path).exists();
    let mut file = File::options().create(true).append(true).open(path)?;
    writeln!(file, "called")?;
    Ok(is_first)
}

fn wait_for(path: &Path) {
    while !path.exists() {
        std::thread::sleep(POLL);
    }
}

fn answer(options: &Options, message: &Value, out: &mut dyn Write) -> io::Result<()> {
    let Some(id) = message.get("id") else { return Ok(()) };
    match options.start {
        Start::Mute => return Ok(()),
        Start::Babble => return babble(out, NONSENSE_LINES),
        Start::Well | Start::Touchy => {}
    }
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    match method {
        "server/discover" if options.start == Start::Touchy => end("I do not know server/discover"),
        "server/discover" => say(
            out,
            id,
            json!({ "supportedVersions": [MODERN], "capabilities": { "tools": {} },
                "serverInfo": { "name": "trouble", "version": "1" } }),
        ),
        "initialize" if options.start == Start::Touchy => say(
            out,
            id,
            json!({ "protocolVersion": LEGACY, "capabilities": { "tools": {} },
                "serverInfo": { "name": "trouble", "version": "1" } }),
        ),
        "tools/list" => {
            let more = (0..options.more).map(|number| format!("more_{number:03}"));
            let names = TOOLS.iter().map(|&name| name.to_owned()).chain(more);
            let tools: Vec<Value> =
                names.map(|name| json!({ "name": name, "inputSchema": { "type": "object" } })).collect();
            say(out, id, json!({ "tools": tools }))
        }
        "tools/call" => {
            call(message.pointer("/params/name").and_then(Value::as_str).unwrap_or_default(), id, out)
        }
        _ => {
            let error = json!({ "code": -32601, "message": "not known here" });
            writeln!(out, "{}", json!({ "jsonrpc": "2.0", "id": id, "error": error }))
        }
    }
}

fn call(tool: &str, id: &Value, out: &mut dyn Write) -> io::Result<()> {
    let well = || json!({ "content": [{ "type": "text", "text": "All is well." }] });
    match tool {
        "die" => end("out of cheese"),
        "littered" => {
            out.write_all(b"loading the model ...\n\n{\"level\":\"info\"}\n\xff\xfe\n[]\n")?;
            say(out, id, well())?;
            out.write_all(b"done in 3 ms\n")
        }
        "babble" => babble(out, NONSENSE_LINES),
        "endless" => fill(out, u64::MAX),
        "gigabyte" => {
            write!(
                out,
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[{{\"type\":\"text\",\"text\":\""
            )?;
            fill(out, GIB)?;
            out.write_all(b"\"}]}}\n")
        }
        "stranger" => say(out, &json!("somebody else's"), well()),
        "twice" => writeln!(
            out,
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{},\"result\":{{\"content\":[]}}}}",
            well()
        ),
        _ => say(out, id, well()),
    }
}

fn say(out: &mut dyn Write, id: &Value, mut result: Value) -> io::Result<()> {
    if let Some(result) = result.as_object_mut() {
        result.insert("resultType".into(), json!("complete"));
    }
    writeln!(out, "{}", json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

fn babble(out: &mut dyn Write, lines: usize) -> io::Result<()> {
    (0..lines).try_for_each(|number| writeln!(out, "blah {number}"))
}

/// So many bytes without a line break.
fn fill(out: &mut dyn Write, bytes: u64) -> io::Result<()> {
    let block = [b'x'; 64 * 1024];
    let blocks = bytes / block.len() as u64;
    (0..blocks).try_for_each(|_| out.write_all(&block))
}

fn end(last_words: &str) -> ! {
    let _ = writeln!(io::stderr(), "{last_words}");
    std::process::exit(7)
}
