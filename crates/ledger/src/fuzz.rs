//! Fuzz targets of this room: files that a crash, a full disk or somebody's editor left behind.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use ::fuzz::{parts, target};
use model::{ManualClock, Timestamp};
use serde_json::Value;

use crate::segments::Segments;
use crate::{CallFilter, LedgerOptions, SEARCH_MAX, reverse, search};

/// Just under the size of the pieces that files are read in.
const NEARLY_A_PIECE: usize = 256 * 1024 - 16;

target!(
    /// Lines come backwards as they come forwards, wherever the pieces of the file are cut.
    reverse_lines,
    |input: &[u8]| {
        // Filled up from behind, so that the edge of a piece falls somewhere into the input.
        let filler = vec![b'x'; NEARLY_A_PIECE - input.len().min(64) / 2];
        for content in [input.to_vec(), [input, b"\n", &filler].concat(), [input, &filler, input].concat()] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&content).unwrap();
            let mut seen: Vec<Vec<u8>> = Vec::new();
            let _end = reverse::lines(&mut file, |line| {
                seen.push(line.to_vec());
                ControlFlow::Continue(())
            })
            .unwrap();
            seen.reverse();
            let wanted: Vec<&[u8]> = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
            assert!(seen == wanted, "{} lines instead of {}", seen.len(), wanted.len());
        }
    },
    200
);

/// The lines that are records.
fn records(content: &[u8]) -> Vec<Value> {
    let lines = content.split(|byte| *byte == b'\n');
    lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()).filter(Value::is_object).collect()
}

target!(
    /// A search finds every record that matches and nothing else, torn lines or not.
    /// Parts: target, text, since, the lines; an empty part is not asked for.
    searches,
    |input: &[u8]| {
        let parts = parts(input);
        let text = |at: usize| {
            let text = String::from_utf8_lossy(parts.get(at).copied().unwrap_or_default()).into_owned();
            Some(text).filter(|text| !text.is_empty())
        };
        let since = text(2).and_then(|text| text.parse().ok()).map(Timestamp);
        let filter = CallFilter { target: text(0), text: text(1), since, limit: SEARCH_MAX, ..CallFilter::default() };
        // Whole records as the ledger writes them, everything else as it is.
        let lines: Vec<Arc<[u8]>> = parts.get(3).copied().unwrap_or_default().split(|byte| *byte == b'\n').map(|line| {
            serde_json::from_slice::<Value>(line).map_or_else(|_| line.into(), |value| value.to_string().into_bytes().into())
        }).collect();
        let found = search::in_memory(&lines, &filter);
        let needle = filter.text.as_ref().map(|text| {
            let quoted = Value::from(text.to_ascii_lowercase()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        });
        let is_match = |record: &Value| {
            filter.target.as_ref().is_none_or(|target| record["target"] == **target)
                && needle.as_ref().is_none_or(|needle| record.to_string().to_ascii_lowercase().contains(needle))
                && filter.since.is_none_or(|since| record["at"].as_i64().is_none_or(|at| at >= since.0))
        };
        assert!(found.iter().all(is_match));
        let mut wanted = records(&lines.join(&b'\n'));
        wanted.reverse();
        wanted.retain(is_match);
        // Records far too old end a search by `since`: files are in the order of answers.
        assert!(wanted.starts_with(&found));
        if filter.since.is_none() {
            assert_eq!(found.len(), wanted.len().min(SEARCH_MAX));
        }
    }
);

target!(
    /// Whatever a file ended with, what is appended after it is found, and so is every record before.
    torn_files,
    |input: &[u8]| {
        let folder = tempfile::tempdir().unwrap();
        let name = "0000000007-call_00000000000000000000000000.jsonl";
        std::fs::write(folder.path().join(name), input).unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp(1000)));
        let (mut segments, torn) = Segments::open(folder.path(), LedgerOptions::default(), clock).unwrap();
        assert_eq!(torn, u64::from(input.last().is_some_and(|byte| *byte != b'\n')));
        segments.append(b"{\"id\":\"new\"}\n", "call_x").unwrap();
        let filter = CallFilter { limit: SEARCH_MAX, ..CallFilter::default() };
        let mut found = search::in_folder(folder.path(), &filter).unwrap();
        found.reverse();
        let mut wanted = records(input);
        wanted.push(serde_json::json!({ "id": "new" }));
        assert_eq!(found, wanted);
    },
    200
);
