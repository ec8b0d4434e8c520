//! Scenes of recording, writing, losing and finding calls.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::{CallFilter, LedgerOptions, Recorder};
use model::id::CallId;
use model::{
    CallKind, CallOutcome, CallRecord, Clock, Code, ManualClock, SeededEntropy, StageNote, Timestamp,
};
use serde_json::Value;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(NOW))
}

fn call(n: u64) -> CallRecord {
    let at = ManualClock::at(NOW.plus_ms(i64::try_from(n).unwrap()));
    CallRecord {
        id: CallId::new(&at, &SeededEntropy::new(n)),
        at: at.now(),
        principal: "key_ada".into(),
        door: "mcp",
        kind: CallKind::Tool,
        connection: Some("files".parse().unwrap()),
        target: format!("tool-{n}").into(),
        outcome: CallOutcome::Ok,
        code: None,
        detail: None,
        refused_by: None,
        duration_us: 1500,
        bytes_in: 10,
        bytes_out: 20,
        stages: vec![StageNote { stage: "policy", us: 1 }],
        arguments: None,
    }
}

fn open(folder: &Path, clock: &Arc<ManualClock>, options: LedgerOptions) -> Recorder {
    Recorder::open(folder, options, Arc::clone(clock) as Arc<dyn Clock>).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

async fn targets(recorder: &Recorder, filter: CallFilter) -> Vec<String> {
    let found = recorder.search(filter).await.unwrap();
    found.iter().map(|record| record["target"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_flushed_record_is_one_private_json_line_and_found_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    let recorder = open(&calls, &clock(), LedgerOptions::default());
    recorder.record(call(1));
    recorder.flush().await.unwrap();
    let file = files(&calls).pop().unwrap();
    assert!(file.to_str().unwrap().ends_with(&format!("{}.jsonl", call(1).id)));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 1);
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["outcome"], &line["at"]), (&"ok".into(), &(NOW.0 + 1).into()));
    recorder.close().await;
    let recorder = open(&calls, &clock(), LedgerOptions::default());
    recorder.record(call(2));
    assert_eq!(targets(&recorder, CallFilter::default()).await, ["tool-2", "tool-1"]);
    assert_eq!(files(&calls).len(), 1, "a restart goes on in the same file");
    assert_eq!((recorder.dropped(), recorder.status().torn), (0, 0));
}

#[tokio::test]
async fn reads_of_secrets_are_on_record_and_told_only_when_asked_for() {
    let recorder = Recorder::memory().unwrap();
    recorder.record(call(1));
    recorder.record(CallRecord { kind: CallKind::Secret, ..call(2) });
    assert_eq!(targets(&recorder, CallFilter::default()).await, ["tool-1"]);
    let of = |kind| CallFilter { kind: Some(kind), ..CallFilter::default() };
    assert_eq!(targets(&recorder, of(CallKind::Secret)).await, ["tool-2"]);
    assert_eq!(targets(&recorder, of(CallKind::Tool)).await, ["tool-1"]);
}

#[tokio::test]
async fn every_filter_narrows_and_the_limit_holds() {
    let recorder = Recorder::memory().unwrap();
    for n in 1..=5 {
        let mut record = call(n);
        match n {
            2 => record.connection = Some("mail".parse().unwrap()),
            3 => {
                record.outcome = CallOutcome::Fault;
                record.code = Some(Code::TIMEOUT);
                record.detail = Some("no \"answer\" from Über-Server".into());
            }
            4 => record.principal = "key_bob".into(),
            5 => record.arguments = Some("{\"connection\":\"mail\",\"outcome\":\"fault\"}".into()),
            _ => {}
        }
        recorder.record(record);
    }
    let all = CallFilter::default;
    assert_eq!(targets(&recorder, all()).await.len(), 5);
    let some = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        // The fifth holds the same bytes in its arguments, which are not its connection or outcome.
        (CallFilter { connection: some("mail"), ..all() }, vec!["tool-2"]),
        (CallFilter { outcome: Some(CallOutcome::Fault), ..all() }, vec!["tool-3"]),
        (CallFilter { principal: some("key_bob"), ..all() }, vec!["tool-4"]),
        (CallFilter { target: some("tool-1"), ..all() }, vec!["tool-1"]),
        (CallFilter { target: some("tool"), ..all() }, vec![]),
        (CallFilter { text: some("no \"ANSWER\" from über"), ..all() }, vec![]),
        (CallFilter { text: some("no \"ANSWER\" from Über"), ..all() }, vec!["tool-3"]),
        (CallFilter { text: some("tl-1401"), ..all() }, vec!["tool-3"]),
        (CallFilter { since: Some(NOW.plus_ms(4)), ..all() }, vec!["tool-5", "tool-4"]),
        (CallFilter { connection: some("files"), limit: 2, ..all() }, vec!["tool-5", "tool-4"]),
        (CallFilter { limit: 0, ..all() }, vec!["tool-5"]),
    ] {
        assert_eq!(targets(&recorder, filter.clone()).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_line_that_a_crash_cut_short_is_skipped_and_counted_and_hurts_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = open(folder.path(), &clock(), LedgerOptions::default());
    recorder.record(call(1));
    recorder.close().await;
    let file = files(folder.path()).pop().unwrap();
    OpenOptions::new().append(true).open(&file).unwrap().write_all(b"{\"id\":\"call_0").unwrap();
    let recorder = open(folder.path(), &clock(), LedgerOptions::default());
    assert_eq!(recorder.status().torn, 1);
    recorder.record(call(2));
    assert_eq!(targets(&recorder, CallFilter::default()).await, ["tool-2", "tool-1"]);
}

#[tokio::test]
async fn files_rotate_by_size_and_age_and_the_oldest_go() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let options = LedgerOptions { segment_bytes_max: 700, segment_age_ms_max: 60_000, segments_max: 3 };
    let recorder = open(folder.path(), &clock, options);
    for n in 1..=8 {
        recorder.record(call(n));
        recorder.flush().await.unwrap();
    }
    let (kept, newest) = (files(folder.path()), targets(&recorder, CallFilter::default()).await);
    assert_eq!(kept.len(), 3);
    assert_eq!(newest.first().unwrap(), "tool-8");
    assert!(!newest.contains(&"tool-1".to_owned()));
    let newest_file = kept.last().unwrap().clone();
    clock.advance_ms(60_000);
    recorder.record(call(9));
    recorder.flush().await.unwrap();
    assert!(files(folder.path()).last().unwrap() > &newest_file);
    assert_eq!(files(folder.path()).len(), 3);
}

#[tokio::test]
async fn files_that_are_too_old_go_and_the_newest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let options = LedgerOptions { segment_bytes_max: 1, ..LedgerOptions::default() };
    let recorder = open(folder.path(), &clock, options);
    for n in 1..=4 {
        // Each in a file of its own.
        recorder.record(call(n));
        recorder.flush().await.unwrap();
    }
    assert_eq!(files(folder.path()).len(), 4);
    assert_eq!(recorder.remove_before(Timestamp(0)).await.unwrap(), 0, "nothing is that old");
    assert_eq!(files(folder.path()).len(), 4);
    assert_eq!(recorder.remove_before(Timestamp(i64::MAX)).await.unwrap(), 3);
    assert_eq!(targets(&recorder, CallFilter::default()).await, ["tool-4"], "it is being written to");
    recorder.record(call(5));
    assert_eq!(targets(&recorder, CallFilter::default()).await, ["tool-5", "tool-4"]);
    let memory = Recorder::memory().unwrap();
    memory.record(call(1));
    assert_eq!(memory.remove_before(Timestamp(i64::MAX)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_full_buffer_drops_and_counts_and_never_waits() {
    // The folder is gone, so that nothing can be written, and the buffers fill.
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    let recorder = open(&calls, &clock(), LedgerOptions::default());
    std::fs::remove_dir(&calls).unwrap();
    recorder.record(call(0));
    let error = recorder.flush().await.unwrap_err();
    assert!(error.fault().hint.contains("free space"));
    assert!(recorder.status().failing.is_some());
    for n in 1..=10_000 {
        recorder.record(call(n));
    }
    let dropped = recorder.dropped();
    assert!(dropped > 0);
    // Once the disk is back, everything that was kept is written: nothing more is lost.
    std::fs::create_dir(&calls).unwrap();
    recorder.flush().await.unwrap();
    assert_eq!(recorder.status().written + dropped, 10_001);
    assert_eq!((recorder.dropped(), recorder.status().failing), (dropped, None));
    let oldest = CallFilter { target: Some("tool-0".into()), ..CallFilter::default() };
    assert_eq!(targets(&recorder, oldest).await, ["tool-0"], "what waited comes once");
}

#[tokio::test]
async fn many_threads_record_at_once_and_closing_writes_it_all() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Arc::new(open(folder.path(), &clock(), LedgerOptions::default()));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let recorder = Arc::clone(&recorder);
            std::thread::spawn(move || (0..500).for_each(|n| recorder.record(call(thread * 1000 + n))))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    recorder.close().await;
    assert_eq!((recorder.status().written, recorder.dropped()), (4000, 0));
    recorder.record(call(1));
    assert_eq!(recorder.dropped(), 1, "after closing, records are lost and counted");
    recorder.flush().await.unwrap();
    let lines: usize =
        files(folder.path()).iter().map(|file| std::fs::read_to_string(file).unwrap().lines().count()).sum();
    assert_eq!(lines, 4000);
}

#[tokio::test]
async fn dropping_the_recorder_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = open(folder.path(), &clock(), LedgerOptions::default());
    recorder.record(call(1));
    drop(recorder);
    assert_eq!(std::fs::read_to_string(&files(folder.path())[0]).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn listeners_get_what_comes_after_them_as_it_is_written() {
    let recorder = Recorder::memory().unwrap();
    recorder.record(call(1));
    recorder.flush().await.unwrap();
    let mut tail = recorder.tail();
    recorder.record(call(2));
    let line: Value = serde_json::from_str(&tail.recv().await.unwrap()).unwrap();
    assert_eq!(line["target"], "tool-2");
    assert!(tail.try_recv().is_err());
}

#[tokio::test]
async fn every_observer_sees_every_record_once_however_closely_somebody_looks() {
    let recorder = Recorder::memory().unwrap();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seeing = Arc::clone(&seen);
    let count = Arc::new(AtomicU64::new(0));
    recorder.observe(move |record| seeing.lock().unwrap().push(record.target.to_string()));
    let counting = Arc::clone(&count);
    recorder.observe(move |_| _ = counting.fetch_add(1, Ordering::Relaxed));
    for n in 0..3 {
        recorder.record(call(n));
        recorder.flush().await.unwrap();
    }
    let closely = recorder.look_closely();
    recorder.record(call(3));
    while seen.lock().unwrap().len() < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    recorder.flush().await.unwrap();
    drop(closely);
    assert_eq!(*seen.lock().unwrap(), ["tool-0", "tool-1", "tool-2", "tool-3"]);
    assert_eq!(count.load(Ordering::Relaxed), 4);
    assert_eq!(recorder.search(CallFilter::default()).await.unwrap().len(), 4, "each is written once");
}

#[tokio::test]
async fn endless_arguments_are_left_out_and_said_so() {
    let recorder = Recorder::memory().unwrap();
    let mut record = call(1);
    record.arguments = Some("x".repeat(300_000));
    record.detail = Some("\u{1}".repeat(100_000));
    recorder.record(record);
    let found = recorder.search(CallFilter::default()).await.unwrap();
    assert_eq!(found[0]["arguments"], "{\"left_out_bytes\":300000}");
    assert!(found[0].to_string().len() < 256 * 1024);
}
